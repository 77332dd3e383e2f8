"""The states of a connection, on which it depends which commands and capabilities there are."""

from enum import Flag, auto


class ConnectionState(Flag):
    """The connection states of RFC 9051 §3, without the logout state, in which no command is accepted."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


SIGNED_IN = ConnectionState.AUTHENTICATED | ConnectionState.SELECTED
ANY_STATE = ConnectionState.NOT_AUTHENTICATED | SIGNED_IN
