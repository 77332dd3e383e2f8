"""Authentication to a smarthost: the client's side of SASL (RFC 4954). Pure.

In: a name, a password, the server's challenges. Out: the responses; `SignInFailed` where the server does not prove that it
knows the password too, or sends nonsense. The best mechanism offered is used, without falling back to a weaker one:

    SCRAM-SHA-256   the password is not sent, and the server proves that it knows it (RFC 5802, 7677)
    PLAIN, LOGIN    the password itself; the caller ensures TLS
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Generator, Sequence

from mic_mail.auth.sasl import saslprep
from mic_mail.errors import Text, Trouble

LEAST_ITERATIONS, MOST_ITERATIONS = 4_096, 1_000_000
"""Bounds on the iteration count.

RFC 7677 §4 requires the lower one; more than the upper one would keep a core busy for as long as the server likes.
"""
MECHANISMS = ("SCRAM-SHA-256", "PLAIN", "LOGIN")

_BASE64_WORD = re.compile(r"[A-Za-z0-9+/=]{4,}")
_PART = 8
"""Characters of a credential that, within one word of a reply, count as a leak."""

Exchange = Generator[bytes, bytes, None]
"""A SASL exchange: yields responses, receives challenges, both without base64.

The first value yielded is the initial response.
"""


_NO_CHALLENGE = Text(
    "lời hỏi của máy chủ không hợp lệ (RFC 5802 §5.1)",
    "the server's challenge is invalid (RFC 5802, section 5.1)",
)


class SignInFailed(Trouble):
    """The exchange failed. The text is for logs and holds no secret."""


def best_mechanism(offered: str) -> str | None:
    """Return the best supported mechanism in the server's AUTH list; None if there is none."""
    names = offered.upper().split()
    return next((name for name in MECHANISMS if name in names), None)


def begin(name: str, login: str, password: str, nonce: str) -> Exchange:
    """Begin the exchange of a mechanism. LOGIN begins with an empty response, as the server prompts."""
    match name:
        case "SCRAM-SHA-256":
            return _scram(login, password, nonce)
        case "PLAIN":
            return _plain(login, password)
        case _:
            return _login(login, password)


def answer(exchange: Exchange, challenge: bytes) -> bytes:
    """Return the response to a challenge; takes time in proportion to the server's iteration count."""
    try:
        return exchange.send(challenge)
    except StopIteration:
        raise SignInFailed(
            Text("máy chủ đòi nhiều hơn cách đăng nhập này có", "the server asks for more data than the mechanism has")
        ) from None


def finish(exchange: Exchange) -> None:
    """End the exchange at the server's success; raise unless it was complete and the server's proof valid."""
    try:
        exchange.send(b"")
    except StopIteration:
        return
    raise SignInFailed(Text("máy chủ chấp nhận khi chưa đăng nhập xong", "the server accepted the exchange before its end"))


def encoded(octets: bytes) -> bytes:
    """Return octets as sent (RFC 4954 §4)."""
    return base64.b64encode(octets)


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignInFailed(Text("lời hỏi của máy chủ không phải base64", "the server's challenge is not base64")) from error


def without_secrets(text: str, password: str, responses: Sequence[bytes]) -> str:
    """Remove secrets from a server's reply for logs and reports.

    Some servers echo what they were sent, whole or in part.
    """
    sent = [octets.decode() for octets in (*responses, encoded(password.encode()))]

    def hidden(word: re.Match[str]) -> str:
        parts = [word[0][start : start + _PART] for start in range(max(len(word[0]) - _PART, 0) + 1)]
        known = any(part in each for each in sent for part in parts) or any(each and each in word[0] for each in sent)
        return "..." if known else word[0]

    return _BASE64_WORD.sub(hidden, text.replace(password, "..."))


def _plain(login: str, password: str) -> Exchange:
    yield f"\0{login}\0{password}".encode()


def _login(login: str, password: str) -> Exchange:
    yield b""
    yield login.encode()
    yield password.encode()


def _scram(login: str, password: str, nonce: str) -> Exchange:
    name = login.replace("=", "=3D").replace(",", "=2C")
    first = f"n={name},r={nonce}"
    challenge = (yield b"n,," + first.encode()).decode("utf-8", "replace")
    fields = _fields(challenge)
    whole_nonce, iterations = fields.get("r", ""), fields.get("i", "")
    if "m" in fields or not whole_nonce.startswith(nonce) or len(whole_nonce) == len(nonce):
        raise SignInFailed(_NO_CHALLENGE)
    if not (iterations.isascii() and iterations.isdecimal() and len(iterations) < 10):
        raise SignInFailed(_NO_CHALLENGE)
    if not LEAST_ITERATIONS <= int(iterations) <= MOST_ITERATIONS:
        raise SignInFailed(Text(f"máy chủ đòi tính {iterations} vòng", f"the server asks for {iterations} iterations"))
    prepared = saslprep(password)
    salted = hashlib.pbkdf2_hmac(
        "sha256", (password if prepared is None else prepared).encode(), decoded(fields.get("s", "")), int(iterations)
    )
    final = f"c={base64.b64encode(b'n,,').decode()},r={whole_nonce}"
    signed = f"{first},{challenge},{final}".encode()
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    answer = yield f"{final},p={base64.b64encode(proof).decode()}".encode()
    verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    server_signature = _fields(answer.decode("utf-8", "replace")).get("v", "")
    if not hmac.compare_digest(decoded(server_signature), verifier):
        raise SignInFailed(
            Text(
                "máy chủ không chứng minh được là biết mật khẩu (RFC 5802 §3)",
                "the server does not know the password (RFC 5802, section 3)",
            )
        )
    yield b""


def _fields(message: str) -> dict[str, str]:
    return {part[0]: part[2:] for part in message.split(",") if part[1:2] == "="}
