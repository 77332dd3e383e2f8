"""Codes of a second factor: TOTP (RFC 6238) as every authenticator knows it, recovery codes, and how the secrets are sealed.

SHA-1, six digits, thirty seconds: what authenticators take that ignore the rest of the URI. A code of the step before and after
counts too, since clocks differ; which step it was of is told, so that whoever stores that takes none twice (§5.2). Secrets have
to be read again, unlike passwords: they lie in the directory sealed by AES-256-GCM under a key that lies beside it in a file.
"""

import hmac
import secrets
from base64 import b32encode
from hashlib import sha256
from urllib.parse import quote, urlencode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from mic_mail.auth.password_hash import LEGIBLE

SECRET_OCTETS = 20
"""RFC 4226 §4, R6."""
DIGITS = 6
STEP_SECONDS = 30
WINDOW = 1
"""Steps before and after the present one (RFC 6238 §5.2)."""
RECOVERY_CODES = 10
_GROUP, _GROUPS = 4, 4
_NONCE_OCTETS = 12


class SealBroken(Exception):
    """The secret was not sealed with this key, or is not what was sealed."""


def make_secret() -> bytes:
    """A new one."""
    return secrets.token_bytes(SECRET_OCTETS)


def typed(secret: bytes) -> str:
    """As a person types it into an authenticator: base32 in groups of four."""
    text = b32encode(secret).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def uri(secret: bytes, account: str, issuer: str) -> str:
    """What a QR code holds, and a link on the telephone itself (the Key URI format of authenticators)."""
    label = quote(f"{issuer}:{account}", safe="")
    parameters = {"secret": b32encode(secret).decode(), "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS}
    return f"otpauth://totp/{label}?{urlencode({**parameters, 'period': STEP_SECONDS}, quote_via=quote)}"


def code(secret: bytes, step: int) -> str:
    """The code of a step."""
    return _totp(secret).generate(step * STEP_SECONDS).decode()


def step_of(secret: bytes, text: str, unix_seconds: float) -> int | None:
    """The step that `text` is the code of, around now; None: it is no code of these."""
    digits = "".join(text.split())
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    now, found = int(unix_seconds // STEP_SECONDS), None
    for step in range(now - WINDOW, now + WINDOW + 1):  # all of them, so that time tells nothing
        if hmac.compare_digest(code(secret, step).encode(), digits.encode()):
            found = step
    return found


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303 - HMAC-SHA-1, which authenticators speak


# ------------------------------------------------------------ recovery codes


def recovery_codes() -> list[str]:
    """New ones, each for one sign-in without the device: 80 bits."""
    return [
        "-".join("".join(secrets.choice(LEGIBLE) for _ in range(_GROUP)) for _ in range(_GROUPS)) for _ in range(RECOVERY_CODES)
    ]


def recovery_digest(holder: str, text: str) -> bytes | None:
    """What is kept of a recovery code; None for what cannot be one. Chance of 80 bits needs no slow hash."""
    bare = "".join(sign for sign in text.lower() if sign != "-" and not sign.isspace())
    if len(bare) != _GROUP * _GROUPS or not set(bare) <= set(LEGIBLE):
        return None
    return sha256(f"{holder}\0{bare}".encode()).digest()


# ------------------------------------------------------------ at rest


def seal(key: bytes, secret: bytes, holder: str) -> bytes:
    """The secret as the directory holds it: nobody else's, and nothing without the key."""
    nonce = secrets.token_bytes(_NONCE_OCTETS)
    return nonce + AESGCM(key).encrypt(nonce, secret, holder.encode())


def unseal(key: bytes, sealed: bytes, holder: str) -> bytes:
    """The secret; `SealBroken` where it is not `holder`'s, or was sealed with another key."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], holder.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error
