"""Second factors: TOTP codes (RFC 6238), recovery codes, and the encryption of their secrets.

SHA-1, six digits, thirty seconds: the values of authenticators that ignore the parameters of the URI. Codes of the previous
and next step count too, since clocks differ; the step is returned, so that a caller that stores it accepts none twice (§5.2).
Unlike passwords, secrets have to be readable: the directory holds them encrypted by AES-256-GCM with a key in a file beside
it.
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

from mic_mail.auth.password_hash import characters_of, generate

SECRET_OCTETS = 20
"""Octets of a secret (RFC 4226 §4, R6)."""
DIGITS = 6
STEP_SECONDS = 30
WINDOW = 1
"""Steps accepted before and after the present one (RFC 6238 §5.2)."""
RECOVERY_CODES = 10
_NONCE_OCTETS = 12


class SealBroken(Exception):
    """The secret was not encrypted with this key, or was altered."""


def make_secret() -> bytes:
    """Generate a secret."""
    return secrets.token_bytes(SECRET_OCTETS)


def typed(secret: bytes) -> str:
    """Return the secret for typing into an authenticator: base32 in groups of four."""
    text = b32encode(secret).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def uri(secret: bytes, account: str, issuer: str) -> str:
    """Return the Key URI for a QR code, or a link on the phone itself."""
    label = quote(f"{issuer}:{account}", safe="")
    parameters = {"secret": b32encode(secret).decode(), "issuer": issuer, "algorithm": "SHA1", "digits": DIGITS}
    return f"otpauth://totp/{label}?{urlencode({**parameters, 'period': STEP_SECONDS}, quote_via=quote)}"


def code(secret: bytes, step: int) -> str:
    """Return the code of a step."""
    return _totp(secret).generate(step * STEP_SECONDS).decode()


def step_of(secret: bytes, text: str, unix_seconds: float) -> int | None:
    """Return the step around now whose code `text` is; None if there is none."""
    digits = "".join(text.split())
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    now, found = int(unix_seconds // STEP_SECONDS), None
    for step in range(now - WINDOW, now + WINDOW + 1):  # all of them, so that the time reveals nothing
        if hmac.compare_digest(code(secret, step).encode(), digits.encode()):
            found = step
    return found


def _totp(secret: bytes) -> TOTP:
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS)  # noqa: S303 - HMAC-SHA-1, which authenticators speak


# ------------------------------------------------------------ recovery codes


def recovery_codes() -> list[str]:
    """Generate recovery codes of 80 bits, each for one sign-in without the device."""
    return [generate() for _ in range(RECOVERY_CODES)]


def recovery_digest(holder: str, text: str) -> bytes | None:
    """Return the stored digest of a recovery code; None if it cannot be one.

    80 random bits need no slow hash.
    """
    bare = characters_of(text)
    return None if bare is None else sha256(f"{holder}\0{bare}".encode()).digest()


# ------------------------------------------------------------ at rest


def seal(key: bytes, secret: bytes, holder: str) -> bytes:
    """Encrypt a secret for the directory, bound to its holder."""
    nonce = secrets.token_bytes(_NONCE_OCTETS)
    return nonce + AESGCM(key).encrypt(nonce, secret, holder.encode())


def unseal(key: bytes, sealed: bytes, holder: str) -> bytes:
    """Decrypt a secret; `SealBroken` if it is not `holder`'s, or was encrypted with another key."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:], holder.encode())
    except (InvalidTag, ValueError) as error:
        raise SealBroken from error
