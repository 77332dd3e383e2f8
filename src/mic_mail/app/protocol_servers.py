"""The protocol servers of one process, with the connection limiter in front of them.

In: a context and listening sockets. Out: connections that speak SMTP, IMAP, POP3 or LDAP, each admitted by
`net.connection_limits`.
"""

import asyncio
from collections.abc import Mapping, Sequence

from mic_mail.app.context import ServerContext
from mic_mail.app.gate import Gate, open_evictor
from mic_mail.app.settings import (
    imap_settings,
    ldap_settings,
    open_networks,
    pop3_settings,
    repairs_lf,
    smtp_limits,
)
from mic_mail.i18n.spoken import spoken_on_one_line
from mic_mail.imap.server import ImapServer, ImapServices
from mic_mail.ldap.dit import Tree
from mic_mail.ldap.responses import Code, farewell
from mic_mail.ldap.server import LdapServer, LdapServices
from mic_mail.net.acceptor import Acceptor
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.listeners import Listener
from mic_mail.net.tls import TlsFront
from mic_mail.pop3.server import Pop3Server, Pop3Services
from mic_mail.services.mailboxes.address_book import AddressBookCache
from mic_mail.services.operations.certificates import open_front, renewed
from mic_mail.smtp.replies import Voice, reply
from mic_mail.smtp.server import SmtpServer, SmtpServices

PROTOCOLS = {
    "smtp": "smtp",
    "submission": "smtp",
    "submissions": "smtp",
    "imap": "imap",
    "imaps": "imap",
    "pop3": "pop3",
    "pop3s": "pop3",
    "ldap": "ldap",
    "ldaps": "ldap",
}
_BUSY = reply("busy")
_BUSY_ON_ONE_LINE = spoken_on_one_line(_BUSY.text, utf8=False)
TOO_MANY = {
    "smtp": _BUSY.encode(Voice("")),
    "imap": b"* BYE [UNAVAILABLE] %b\r\n" % _BUSY_ON_ONE_LINE,
    "pop3": b"-ERR [SYS/TEMP] %b\r\n" % _BUSY_ON_ONE_LINE,
    "ldap": farewell(Code.UNAVAILABLE, _BUSY.text.vi),
}
HANDSHAKE_SECONDS = 30.0
_MAKE_ROOM = b'["room"]'
"""The broadcast of a worker that has admitted a connection and has none of its own to drop for it."""


class ProtocolServers:
    """The protocol servers of one process with their TLS, and the connection limiter in front of them."""

    def __init__(self, context: ServerContext, tally: ConnectionCounts) -> None:
        """Read certificates and keys; raise `BadCertificate`. Blocking for a moment."""
        self._context = context
        self.tls, self.tls_for_servers = open_front(context.config), open_front(context.config, for_servers=True)
        self._tally = tally
        self._shares = {protocol: tally.share(column) for column, protocol in enumerate(TOO_MANY)}
        self._accepting: list[Acceptor] = []
        self._smtp = SmtpServer(smtp_services(context, self.tls, self.tls_for_servers), self._shares["smtp"].change)
        self._imap = ImapServer(imap_services(context, self.tls), self._shares["imap"].change)
        self._pop3 = Pop3Server(pop3_services(context, self.tls), self._shares["pop3"].change)
        self._book = AddressBookCache(context.runtime, Tree, directory=context.directory)
        self._ldap = LdapServer(ldap_services(context, self.tls, self._book), self._shares["ldap"].change)
        self._servers: Mapping[str, SmtpServer | ImapServer | Pop3Server | LdapServer] = {
            "smtp": self._smtp,
            "imap": self._imap,
            "pop3": self._pop3,
            "ldap": self._ldap,
        }
        self.evictor = open_evictor(context.access, context.log, tally, ask=lambda: context.feed.send(_MAKE_ROOM))
        self._gate = Gate(
            context.config, context.clock, context.log, self.evictor, self._is_open, measure_lag=context.lag.measure_client
        )
        for server in self._servers.values():
            self.evictor.watch(server.open)
        context.feed.listen(self._on_message)

    def _on_message(self, word: bytes) -> None:
        if word == _MAKE_ROOM:
            self._gate.evict_for_another()

    def open(self, listeners: Sequence[Listener]) -> None:
        """Serve on these sockets; belongs to the running loop."""
        if any(PROTOCOLS[listener.door] == "ldap" for listener in listeners):
            self._context.spawn(self._book.current())  # built before a client waits for it
        for listener in listeners:
            protocol = PROTOCOLS[listener.door]
            factory = self._servers[protocol].factory(door=listener.door, implicit_tls=listener.implicit_tls)
            self._accepting.append(
                self._gate.accept(
                    listener,
                    self._shares[protocol],
                    factory,
                    tls=self.tls,
                    handshake_seconds=HANDSHAKE_SECONDS,
                    busy=TOO_MANY[protocol],
                    reader=self.tls.reader if listener.implicit_tls else None,
                )
            )

    def _is_open(self, connection: object) -> bool:
        """Return whether the connection is open at any listener: a network's connections count together."""
        for server in self._servers.values():  # noqa: SIM110 - called for thousands in a row, and `any` is slower
            if connection in server.open:
                return True
        return False

    def configure(self) -> None:
        """Apply the new configuration to new connections.

        A certificate that cannot be used is refused and logged.
        """
        self.renew_tls()
        self._smtp.configure(smtp_services(self._context, self.tls, self.tls_for_servers))
        self._imap.configure(imap_services(self._context, self.tls))
        self._pop3.configure(pop3_services(self._context, self.tls))
        self._book.apply_reload()
        self._ldap.configure(ldap_services(self._context, self.tls, self._book))
        self._gate.configure(self._context.config)

    def renew_tls(self, *, silent: bool = False) -> None:
        """Read certificates and keys again, and drop the resumable TLS sessions. Blocking."""
        renewed({False: self.tls, True: self.tls_for_servers}, self._context.config, self._context.log, silent=silent)

    async def renew(self) -> None:
        """Rebuild the address book from the directory's changes."""
        await self._book.renew()

    async def drain(self, seconds: float) -> None:
        """Accept no new connections; say goodbye to the open ones and give them at most `seconds`."""
        for acceptor in self._accepting:
            acceptor.close()
        await asyncio.gather(*(server.drain(seconds) for server in self._servers.values()))

    @property
    def connections(self) -> dict[str, int]:
        return {protocol: len(server.open) for protocol, server in self._servers.items()}


def smtp_services(context: ServerContext, tls: TlsFront, tls_for_servers: TlsFront) -> SmtpServices:
    config = context.config
    return SmtpServices(
        mailflow=context.mailflow,
        access=context.access,
        clock=context.clock,
        log=context.log,
        tls=tls,
        tls_for_servers=tls_for_servers,
        hostname=config.server.hostname,
        support=config.support,
        limits=smtp_limits(config),
        binarymime=config.smtp.binarymime,
        confirms=config.smtp.confirms,
        quota_is_final=config.quota.over == "permanent",
        repairs_lf=repairs_lf(config),
        note=context.lag.note,
        measure_lag=context.lag.measure_client,
    )


def imap_services(context: ServerContext, tls: TlsFront) -> ImapServices:
    return ImapServices(
        runtime=context.runtime,
        access=context.access,
        store=context.store,
        feed=context.feed,
        secrecy=context.mailflow.checkers.secrecy,
        malware=context.mailflow.checkers.malware,
        learning=context.learning,
        tls=tls,
        settings=imap_settings(context.config),
        stored=context.mailflow.look_at_journal,
        sessions_per_mailbox=context.config.imap.sessions_per_mailbox,
        note=context.lag.note,
        measure_lag=context.lag.measure_client,
    )


def pop3_services(context: ServerContext, tls: TlsFront) -> Pop3Services:
    return Pop3Services(
        runtime=context.runtime,
        access=context.access,
        store=context.store,
        tls=tls,
        settings=pop3_settings(context.config),
        sessions_per_mailbox=context.config.pop3.sessions_per_mailbox,
        note=context.lag.note,
        measure_lag=context.lag.measure_client,
    )


def ldap_services(context: ServerContext, tls: TlsFront, book: AddressBookCache[Tree]) -> LdapServices:
    return LdapServices(
        runtime=context.runtime,
        access=context.access,
        store=context.store,
        tls=tls,
        settings=ldap_settings(context.config),
        book=book,
        open_networks=open_networks(context.config),
        sessions_per_mailbox=context.config.ldap.sessions_per_mailbox,
        note=context.lag.note,
        measure_lag=context.lag.measure_client,
    )
