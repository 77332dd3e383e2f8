"""Generate app passwords for single devices and programs, and recognise them without argon2.

They have 140 random bits, so a salted HMAC is as good as the slowest hash, and a phone that signs in each minute costs a
microsecond. Hyphens, blanks and case of a typed password are ignored. The SCRAM keys of all passwords of a mailbox share one
salt and iteration count (docs/decisions/0082): the client's name selects these, its proof then shows which password it is.
`make` takes tens of milliseconds (PBKDF2): run it in the hash executor.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence

from mic_mail.auth import password_hash
from mic_mail.auth.password_hash import scram_keys
from mic_mail.policy.credentials.verifiers import AppCredential

GROUPS = 7
_LONGEST_TYPED = 4 * GROUPS * password_hash.GROUP


def generate() -> str:
    """Generate a password, to be shown once: seven groups of four legible characters."""
    return password_hash.generate(GROUPS)


def make(password: str, salt: bytes | None, iterations: int) -> AppCredential:
    """Return the verifiers of `password`, a generated one; blocking.

    `salt` is that of the mailbox's SCRAM keys, if it has any.
    """
    own = secrets.token_bytes(16)
    scram = scram_keys(password.encode(), salt or secrets.token_bytes(16), iterations)
    return AppCredential(0, own, _digest(own, _bare(password) or ""), scram)


def recognised(password: str, among: Sequence[AppCredential]) -> AppCredential | None:
    """Return the entry that this password belongs to, or None."""
    if not among or (bare := _bare(password)) is None:
        return None
    found = None
    for each in among:
        if hmac.compare_digest(_digest(each.salt, bare), each.digest):
            found = each
    return found


def _bare(password: str) -> str | None:
    """Return the characters alone; None if it cannot be an app password."""
    return password_hash.characters_of(password, GROUPS) if len(password) <= _LONGEST_TYPED else None


def _digest(salt: bytes, bare: str) -> bytes:
    return hmac.digest(salt, bare.encode(), hashlib.sha256)
