"""The states of a connection, and the extensions that its client has enabled. Pure."""

from enum import Flag, auto
from functools import lru_cache


class ConnectionState(Flag):
    """The connection states of RFC 9051 §3, without the logout state, in which no command is accepted."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


SIGNED_IN = ConnectionState.AUTHENTICATED | ConnectionState.SELECTED
ANY_STATE = ConnectionState.NOT_AUTHENTICATED | SIGNED_IN


class Enabled(Flag):
    """Extensions that the client has shown it supports, by ENABLE or by use."""

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
    """Return three flags for an unsolicited FETCH: it has UID, it has MODSEQ, it is a UIDFETCH.

    UID and MODSEQ once CONDSTORE is in use, since QRESYNC is offered (RFC 7162 §3.2.4); UID in IMAP4rev2 and with NOTIFY
    (RFC 5465 §5.1). With UIDONLY the line begins with the UID. Cached, since flags are slow to compare.
    """
    uid_only = Enabled.UIDONLY in enabled
    return bool(enabled & _WITH_UID) and not uid_only, Enabled.CONDSTORE in enabled, uid_only
