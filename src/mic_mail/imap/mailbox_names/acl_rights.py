"""The rights of RFC 4314 as implemented here: flags, READ-ONLY, and their letters in responses. Pure.

The owner of a mailbox holds all of them, `a` included, which allows listing the rights of others. Delegations of a unit's
mailbox are not its own decision (Reg. 12.3: the head of the unit names, the Centre records), so SETACL is refused in any
case.
"""

from mic_mail.errors import Refused, Text
from mic_mail.policy.unit_mail.delegation import RIGHTS
from mic_mail.storage.types import ALL_FLAGS, DELETED, SEEN

OWNER = RIGHTS + "a"
"""The rights of an owner: `lrswipkxtea`."""
VIRTUAL = {"c": "kx", "d": "te"}
"""Letters of RFC 2086 that are shown where any of these rights is held (RFC 4314 §2.1.1)."""

_FLAG_RIGHTS = {"s": SEEN, "t": DELETED, "w": ALL_FLAGS & ~(SEEN | DELETED)}
_WRITING = frozenset("iswte")
"""Rights without which SELECT is READ-ONLY (RFC 4314 §5.2).

All flags are shared, except \\Seen where each person has their own.
"""
_ASKING = frozenset("lrikxa")
"""Rights of which any one allows MYRIGHTS (RFC 4314 §4)."""


class NoPermission(Refused):
    """NOPERM: the mailbox may be seen, but the operation is not allowed on it."""

    def __init__(self) -> None:
        text = Text("Ông/Bà không có quyền này đối với hộp thư.", "You do not have this right on the mailbox.")
        super().__init__(text, clause="12.3")


def allowed_flags(rights: str) -> int:
    """Return the flag bits that STORE, APPEND, COPY and MOVE may set or clear (RFC 4314 §4)."""
    bits = 0
    for letter, flags in _FLAG_RIGHTS.items():
        if letter in rights:
            bits |= flags
    return bits


def reads_only(rights: str) -> bool:
    return not _WRITING.intersection(rights)


def may_ask(rights: str) -> bool:
    return bool(_ASKING.intersection(rights))


def with_legacy_rights(rights: str) -> bytes:
    """Return the rights as ACL and MYRIGHTS show them, with the letters that older clients expect."""
    return (rights + "".join(old for old, new in VIRTUAL.items() if set(new) & set(rights))).encode("ascii")
