"""What the client of a connection has said that it understands, and which shape that gives to what it is told unasked. Pure."""

from enum import Flag, auto
from functools import lru_cache


class Enabled(Flag):
    """What the client has said that it understands (ENABLE, or by using it)."""

    NOTHING = 0
    CONDSTORE = auto()
    QRESYNC = auto()
    UTF8 = auto()
    REV2 = auto()
    NOTIFY = auto()
    UIDONLY = auto()


_WITH_UID = Enabled.CONDSTORE | Enabled.REV2 | Enabled.NOTIFY


@lru_cache
def unsolicited(enabled: Enabled) -> tuple[bool, bool, bool]:
    """Whether a FETCH that nobody asked for has UID, has MODSEQ, and is a UIDFETCH; looked up, since flags are slow to compare.

    UID and MODSEQ once CONDSTORE is in use, since QRESYNC is offered (RFC 7162 §3.2.4); UID in IMAP4rev2, with NOTIFY
    (RFC 5465 §5.1). With UIDONLY it is what the line begins with.
    """
    uid_only = Enabled.UIDONLY in enabled
    return bool(enabled & _WITH_UID) and not uid_only, Enabled.CONDSTORE in enabled, uid_only
