"""The rules of each command: one row per name on the wire (`UID FETCH` has its own).

In which states it is legal, whether it uses sequence numbers, whether EXPUNGE may be sent while it is answered, and whether
it changes mailboxes. Standards: RFC 9051 §3, §5.5, §7.5.1.
"""

from dataclasses import dataclass
from enum import Flag, auto


class ConnectionState(Flag):
    """The connection states of RFC 9051 §3, without the logout state, in which no command is accepted."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


_ANY = ConnectionState.NOT_AUTHENTICATED | ConnectionState.AUTHENTICATED | ConnectionState.SELECTED
_BEFORE = ConnectionState.NOT_AUTHENTICATED
_SIGNED_IN = ConnectionState.AUTHENTICATED | ConnectionState.SELECTED
_SELECTED = ConnectionState.SELECTED


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of one command.

    by_number       arguments or responses hold sequence numbers: these must not change until the command is done
    may_expunge     EXPUNGE/VANISHED may be sent before the tagged OK (RFC 9051 §7.5.1: not for FETCH, STORE, SEARCH)
    changes         mailboxes or messages change: refused when the mailbox is read-only or the account may only read
    alone           nothing may be sent or read behind it until it is done (TLS, compression, sign-in change what octets mean)
    """

    states: ConnectionState
    by_number: bool = False
    may_expunge: bool = True
    changes: bool = False
    alone: bool = False


_NUMBERED = Rule(_SELECTED, by_number=True, may_expunge=False)

RULES: dict[str, Rule] = {
    "CAPABILITY": Rule(_ANY),
    "NOOP": Rule(_ANY),
    "LOGOUT": Rule(_ANY),
    "ID": Rule(_ANY),
    "STARTTLS": Rule(_BEFORE, alone=True),
    "AUTHENTICATE": Rule(_BEFORE, alone=True),
    "LOGIN": Rule(_BEFORE, alone=True),
    "COMPRESS": Rule(_SIGNED_IN, alone=True),
    "ENABLE": Rule(_SIGNED_IN, alone=True),
    "SELECT": Rule(_SIGNED_IN, alone=True),
    "EXAMINE": Rule(_SIGNED_IN, alone=True),
    "CREATE": Rule(_SIGNED_IN, changes=True),
    "DELETE": Rule(_SIGNED_IN, changes=True),
    "RENAME": Rule(_SIGNED_IN, changes=True),
    "SUBSCRIBE": Rule(_SIGNED_IN, changes=True),
    "UNSUBSCRIBE": Rule(_SIGNED_IN, changes=True),
    "LIST": Rule(_SIGNED_IN),
    "LSUB": Rule(_SIGNED_IN),
    "XLIST": Rule(_SIGNED_IN),
    "NAMESPACE": Rule(_SIGNED_IN),
    "STATUS": Rule(_SIGNED_IN),
    "APPEND": Rule(_SIGNED_IN, changes=True),
    "GETMETADATA": Rule(_SIGNED_IN),
    "SETMETADATA": Rule(_SIGNED_IN, changes=True),
    "REPLACE": Rule(_SELECTED, by_number=True, changes=True),
    "UID REPLACE": Rule(_SELECTED, changes=True),
    "IDLE": Rule(_SIGNED_IN, alone=True),
    "GETQUOTA": Rule(_SIGNED_IN),
    "GETQUOTAROOT": Rule(_SIGNED_IN),
    "SETQUOTA": Rule(_SIGNED_IN, changes=True),
    "SETACL": Rule(_SIGNED_IN, changes=True),
    "DELETEACL": Rule(_SIGNED_IN, changes=True),
    "GETACL": Rule(_SIGNED_IN),
    "LISTRIGHTS": Rule(_SIGNED_IN),
    "MYRIGHTS": Rule(_SIGNED_IN),
    "CHECK": Rule(_SELECTED),
    "CLOSE": Rule(_SELECTED, changes=True, may_expunge=False, alone=True),  # RFC 9051 §6.4.1: no EXPUNGE is sent
    "UNSELECT": Rule(_SELECTED, may_expunge=False, alone=True),
    "EXPUNGE": Rule(_SELECTED, changes=True),
    "UID EXPUNGE": Rule(_SELECTED, changes=True),
    "FETCH": _NUMBERED,
    "UID FETCH": Rule(_SELECTED),
    "STORE": Rule(_SELECTED, by_number=True, may_expunge=False, changes=True),
    "UID STORE": Rule(_SELECTED, changes=True),
    "SEARCH": _NUMBERED,
    "UID SEARCH": Rule(_SELECTED),
    "SORT": _NUMBERED,
    "UID SORT": Rule(_SELECTED),
    "THREAD": _NUMBERED,
    "UID THREAD": Rule(_SELECTED),
    "ESEARCH": Rule(_SIGNED_IN),  # RFC 7377 §2.2
    "CANCELUPDATE": Rule(_SELECTED),
    "COPY": Rule(_SELECTED, by_number=True, changes=True),
    "UID COPY": Rule(_SELECTED, changes=True),
    "MOVE": Rule(_SELECTED, by_number=True, changes=True),
    "UID MOVE": Rule(_SELECTED, changes=True),
    "NOTIFY": Rule(_SIGNED_IN),
    "UNAUTHENTICATE": Rule(_SIGNED_IN, may_expunge=False, alone=True),  # RFC 8437 §3: no expunge event
    "UIDBATCHES": Rule(_SELECTED),
}
