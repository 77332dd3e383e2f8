"""The LDAP server: its parts that `connection.connection` does not share with other protocols."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mic_mail.connection import connection
from mic_mail.connection.actions import Action, BindAccount
from mic_mail.connection.server import Server
from mic_mail.connection.services import Services
from mic_mail.ldap.actions import Consult, Leave, Turn
from mic_mail.ldap.context import SessionSettings
from mic_mail.ldap.dit import Tree
from mic_mail.ldap.responses import Code
from mic_mail.ldap.search_scheduler import Turns
from mic_mail.ldap.session import Session
from mic_mail.net.cidr import Networks
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.services.mailboxes.address_book import AddressBookCache

TOLD_SECONDS = 300.0
"""Seconds after which a searching connection is logged again.

Some connections last for days, and a process may be killed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapServices(Services):
    """The services that the composition root gives to LDAP."""

    settings: SessionSettings
    book: AddressBookCache[Tree]
    open_networks: Networks = field(default_factory=lambda: Networks(()))
    """Networks from which unauthenticated clients may search."""
    turns: Turns = field(default_factory=Turns)


class LdapConnection(connection.Connection):
    """One connection."""

    __slots__ = ("_told_at",)

    UNREAD_SECONDS = 60.0
    ENDING_CODES: ClassVar[Mapping[RefusalKind, bytes]] = {
        RefusalKind.UNAVAILABLE: b"%d" % Code.UNAVAILABLE,
        RefusalKind.SUSPENDED: b"%d" % Code.STRONGER_AUTH_REQUIRED,
        RefusalKind.PASSWORD_DUE: b"%d" % Code.STRONGER_AUTH_REQUIRED,
        RefusalKind.WRONG_CREDENTIALS: b"%d" % Code.STRONGER_AUTH_REQUIRED,
        RefusalKind.RECLAIMED: b"%d" % Code.STRONGER_AUTH_REQUIRED,
        RefusalKind.NOT_HERE: b"%d" % Code.STRONGER_AUTH_REQUIRED,
    }

    _services: LdapServices
    _session: Session

    def _new_session(self) -> Session:
        self._told_at = self._services.runtime.clock.monotonic()
        return Session(
            self._services.settings,
            clock=self._services.runtime.clock,
            host=self._session_host(),
            tls=self._peer.tls is not None,
        )

    def allows_anonymous(self) -> bool:
        return self._peer.address in self._services.open_networks

    def _do_now(self, step: Action) -> bool:
        if isinstance(step, Leave):
            self._log_work()
            self._give_back()
            self._signed_in = self._account = None
            return True
        return super()._do_now(step)

    async def _perform(self, action: Action) -> object:
        if isinstance(action, Consult):
            if self._services.runtime.clock.monotonic() - self._told_at >= TOLD_SECONDS:
                self._log_work()
            return await self._services.book.current()
        if isinstance(action, Turn):
            who = self._signed_in.mailbox_id if self._signed_in is not None else self._peer.address
            turns, now = self._services.turns, self._services.runtime.clock.monotonic()
            turns.charge(who, action.worked, now)
            await turns.take(who, now)
            return None
        return await super()._perform(action)

    def _bind(self, action: BindAccount) -> None:
        self._log_work()  # searches before the sign-in are not logged under its name
        super()._bind(action)

    def _closed(self) -> None:
        self._log_work()

    def _log_work(self) -> None:
        """Log how many searches were made, and by whom; never their content (Reg. 8.2)."""
        self._told_at = self._services.runtime.clock.monotonic()
        searches, entries = self._session.take_work()
        if searches:
            self._services.runtime.log.event(
                "directory_searched", mailbox=self._signed_in.address if self._signed_in else None, searches=searches,
                entries=entries, door=self._door, peer=self._peer.address, session=self._session_id,
            )  # fmt: skip


class LdapServer(Server):
    """The LDAP server of one process."""

    connection = LdapConnection
