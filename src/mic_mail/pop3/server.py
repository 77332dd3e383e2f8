"""The POP3 server: its parts that `connection.connection` does not share with other protocols."""

from dataclasses import dataclass

from mic_mail.connection import connection
from mic_mail.connection.server import Server
from mic_mail.connection.services import Services
from mic_mail.pop3.auth import SIGN_IN_CODES
from mic_mail.pop3.context import SessionSettings
from mic_mail.pop3.session import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Pop3Services(Services):
    """The services that the composition root gives to POP3."""

    settings: SessionSettings


class Pop3Connection(connection.Connection):
    """One connection."""

    __slots__ = ()

    UNREAD_SECONDS = 600.0
    """Seconds in which a client has to take something (RFC 1939 §3: 10 minutes at least)."""
    ENDING_CODES = SIGN_IN_CODES

    _services: Pop3Services

    def _new_session(self) -> Session:
        return Session(
            self._services.settings,
            clock=self._services.runtime.clock,
            host=self._session_host(),
            tls=self._peer.tls is not None,
        )


class Pop3Server(Server):
    """The POP3 server of one process."""

    connection = Pop3Connection
