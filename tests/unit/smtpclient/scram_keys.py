"""The keys of SCRAM that a server holds for a password."""

import hashlib
from dataclasses import dataclass

from mic_mail.auth import sasl


@dataclass
class Keys:
    """What a server keeps."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def keys(password: str) -> Keys:
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 4096)
    client = sasl._hmac(salted, b"Client Key")
    return Keys(b"salt", 4096, hashlib.sha256(client).digest(), sasl._hmac(salted, b"Server Key"))
