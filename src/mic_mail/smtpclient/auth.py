"""Signing in to a smarthost: the client's side of SASL (RFC 4954). Pure.

In: a name, a password, what the server says. Out: what is answered; `SignInFailed` where the server does not prove that it
knows the password too, or says what has no sense. The best way that is offered is taken, and no lesser one after it:

    SCRAM-SHA-256   the password does not go over the line, and the server shows that it has it (RFC 5802, 7677)
    PLAIN, LOGIN    the password itself, under TLS alone: whoever calls sees to that
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Generator, Sequence

from mic_mail.auth.sasl import saslprep

LEAST_ITERATIONS, MOST_ITERATIONS = 4_096, 1_000_000
"""RFC 7677 §4 wants so many at least; more than the other would keep a core busy for as long as the server likes."""
WAYS = ("SCRAM-SHA-256", "PLAIN", "LOGIN")

_BASE64_WORD = re.compile(r"[A-Za-z0-9+/=]{4,}")
_PART = 8
"""So many characters of what was said, among others in one word, give it away."""

Talk = Generator[bytes, bytes, None]
"""Yields what is sent, is sent what comes back; both without base64. The first is the initial response."""


class SignInFailed(Exception):
    """The exchange has come to no good end. The text is for logs and holds no secret."""


def way(offered: str) -> str | None:
    """The best of those that the server names behind AUTH; None: none that is known here."""
    names = offered.upper().split()
    return next((name for name in WAYS if name in names), None)


def ctx(name: str, login: str, password: str, nonce: str) -> Talk:
    """The exchange by that way. LOGIN begins with nothing: there the server asks."""
    match name:
        case "SCRAM-SHA-256":
            return _scram(login, password, nonce)
        case "PLAIN":
            return _plain(login, password)
        case _:
            return _login(login, password)


def answer(exchange: Talk, challenge: bytes) -> bytes:
    """What is said to a challenge; takes as long as the server's rounds."""
    try:
        return exchange.send(challenge)
    except StopIteration:
        raise SignInFailed("the server asks for more than there is to say") from None


def finish(exchange: Talk) -> None:
    """The server is content: is it so to the end, and has it proved what it had to?"""
    try:
        exchange.send(b"")
    except StopIteration:
        return
    raise SignInFailed("the server was content before the end")


def encoded(octets: bytes) -> bytes:
    """As it goes over the line (RFC 4954 §4)."""
    return base64.b64encode(octets)


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignInFailed("the server's challenge is not base64") from error


def without_secrets(text: str, password: str, said: Sequence[bytes]) -> str:
    """What a server says of a sign-in, for logs and reports: some say back what they were told, whole or in part."""
    told = [octets.decode() for octets in (*said, encoded(password.encode()))]

    def hidden(word: re.Match[str]) -> str:
        parts = [word[0][start : start + _PART] for start in range(max(len(word[0]) - _PART, 0) + 1)]
        known = any(part in each for each in told for part in parts) or any(each and each in word[0] for each in told)
        return "..." if known else word[0]

    return _BASE64_WORD.sub(hidden, text.replace(password, "..."))


def _plain(login: str, password: str) -> Talk:
    yield f"\0{login}\0{password}".encode()


def _login(login: str, password: str) -> Talk:
    yield b""
    yield login.encode()
    yield password.encode()


def _scram(login: str, password: str, nonce: str) -> Talk:
    name = login.replace("=", "=3D").replace(",", "=2C")
    first = f"n={name},r={nonce}"
    challenge = (yield b"n,," + first.encode()).decode("utf-8", "replace")
    fields = _fields(challenge)
    together, iterations = fields.get("r", ""), fields.get("i", "")
    if "m" in fields or not together.startswith(nonce) or len(together) == len(nonce):
        raise SignInFailed("the server's challenge makes no sense (RFC 5802 §5.1)")
    if not (iterations.isascii() and iterations.isdecimal() and len(iterations) < 10):
        raise SignInFailed("the server's challenge makes no sense (RFC 5802 §5.1)")
    if not LEAST_ITERATIONS <= int(iterations) <= MOST_ITERATIONS:
        raise SignInFailed(f"the server asks for {iterations} rounds")
    prepared = saslprep(password)
    salted = hashlib.pbkdf2_hmac(
        "sha256", (password if prepared is None else prepared).encode(), decoded(fields.get("s", "")), int(iterations)
    )
    final = f"c={base64.b64encode(b'n,,').decode()},r={together}"
    said = f"{first},{challenge},{final}".encode()
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
    proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    answer = yield f"{final},p={base64.b64encode(proof).decode()}".encode()
    verifier = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")
    told = _fields(answer.decode("utf-8", "replace")).get("v", "")
    if not hmac.compare_digest(decoded(told), verifier):
        raise SignInFailed("the server does not know the password (RFC 5802 §3)")
    yield b""


def _fields(message: str) -> dict[str, str]:
    return {part[0]: part[2:] for part in message.split(",") if part[1:2] == "="}
