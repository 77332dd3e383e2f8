"""What the letters of RFC 4314 mean here: which flags they let change, what SELECT says of them, how they are shown. Pure.

Whose mailbox it is holds all of them, `a` included, by which it may ask who else holds what; whom a unit's mailbox is given to
is not its own to say (Reg. 12.3: the head names, the Centre records), so SETACL is refused all the same.
"""

from mic_mail.errors import Refused, Text
from mic_mail.imap.parser.commands import DELETED, SEEN
from mic_mail.policy.delegation import RIGHTS
from mic_mail.storage.types import ALL_FLAGS

OWNER = RIGHTS + "a"
"""`lrswipkxtea`"""
VIRTUAL = {"c": "kx", "d": "te"}
"""RFC 4314 §2.1.1: letters of RFC 2086 that are shown where any of these is held."""

_FLAG_RIGHTS = {"s": SEEN, "t": DELETED, "w": ALL_FLAGS & ~(SEEN | DELETED)}
_WRITING = frozenset("iswte")
"""RFC 4314 §5.2: without any of these SELECT is READ-ONLY; all flags are shared, but \\Seen where each has their own."""
_ASKING = frozenset("lrikxa")
"""RFC 4314 §4: any of these lets ask MYRIGHTS."""


class NoPermission(Refused):
    """IMAP NOPERM: the mailbox may be seen, and this may not be done to it."""

    def __init__(self) -> None:
        text = Text("Ông/Bà không có quyền này đối với hộp thư.", "You do not have this right on the mailbox.")
        super().__init__(text, clause="12.3")


def allowed_flags(rights: str) -> int:
    """The bits that STORE, APPEND, COPY and MOVE may set or clear (RFC 4314 §4)."""
    bits = 0
    for letter, flags in _FLAG_RIGHTS.items():
        if letter in rights:
            bits |= flags
    return bits


def reads_only(rights: str) -> bool:
    """Whether SELECT has to say READ-ONLY."""
    return not _WRITING.intersection(rights)


def may_ask(rights: str) -> bool:
    """Whether MYRIGHTS may be answered."""
    return bool(_ASKING.intersection(rights))


def with_legacy_rights(rights: str) -> bytes:
    """As ACL and MYRIGHTS show them, with the letters that older clients look for."""
    return (rights + "".join(old for old, new in VIRTUAL.items() if set(new) & set(rights))).encode("ascii")
