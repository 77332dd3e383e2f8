"""The web pages of a server: in a child of the supervisor, or in a server of one process (tests).

In: a configuration, listening sockets of https and http. Out: `WebServers`; for the child a `WebProcess`, which follows the
supervisor's orders like a `Server`. The child has a directory, a log, a feed and the mailboxes to read; it takes no mail, holds
no spool and no journal, and loads none of the workers' code for that. Its own code is loaded nowhere else: Starlette, uvicorn
and the templates cost 40 MB and a quarter of a second.
"""

import asyncio
from collections.abc import Sequence

from mic_mail.app.gate import Gate, open_evictor
from mic_mail.app.idleness import Idleness
from mic_mail.app.process_context import ProcessContext
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.eviction import Evictor
from mic_mail.net.listeners import Listener
from mic_mail.net.tls import TlsFront
from mic_mail.process.change_feed import notify_directory_changed
from mic_mail.services.authentication.app_passwords import AppPasswords
from mic_mail.services.authentication.own_password import OwnPassword
from mic_mail.services.authentication.second_factors import SecondFactors
from mic_mail.services.authentication.web_sign_in import PageAccess
from mic_mail.services.mailboxes.address_book import AddressBookCache
from mic_mail.services.operations.certificates import RENEWED_SECONDS, certificate_status, open_front, renewed
from mic_mail.services.operations.jobs import Job, JobRunner, rest_job
from mic_mail.web.carddav.collection import AddressBookCollection
from mic_mail.web.http import NO_ROOM
from mic_mail.web.page_context import WebServices
from mic_mail.web.server import WebServer

HANDSHAKE_SECONDS = 10.0
REST_SECONDS = 10.0
"""A mailbox that was read releases its handles after so many seconds."""


class WebServers:
    """The https and http servers of one process, and the connection limiter in front of them."""

    def __init__(
        self,
        services: WebServices,
        tls: TlsFront,
        listeners: Sequence[Listener],
        tally: ConnectionCounts,
        *,
        column: int = 0,
        evictor: Evictor | None = None,
    ) -> None:
        """`evictor` is that of the process, where it has other listeners, too."""
        share = tally.share(column)
        self._server = WebServer(services, share.change)
        evictor = evictor or open_evictor(services.access, services.runtime.log, tally)
        evictor.watch(self._server.open)
        self._gate = Gate(
            services.runtime.config(),
            services.runtime.clock,
            services.runtime.log,
            evictor,
            self._server.open.__contains__,
            measure_lag=services.measure_lag,
        )
        self._accepting = [
            self._gate.accept(
                listener, share, self._server.connection, tls=tls, handshake_seconds=HANDSHAKE_SECONDS, busy=NO_ROOM
            )
            for listener in listeners
        ]

    def configure(self, services: WebServices) -> None:
        self._server.configure(services)
        self._gate.configure(services.runtime.config())

    async def drain(self, seconds: float) -> None:
        """Accept no new connections; requests that run are answered within `seconds`."""
        for acceptor in self._accepting:
            acceptor.close()
        await self._server.drain(seconds)

    @property
    def connections(self) -> int:
        return len(self._server.open)

    @property
    def sessions(self) -> int:
        return self._server.sessions


def web_services(context: ProcessContext) -> WebServices:
    runtime, config, clock, directory = context.runtime, context.config, context.clock, context.directory

    async def directory_changed() -> None:
        await runtime.executors.io(notify_directory_changed, config.run_dir)

    factors = SecondFactors(directory, config, clock)
    return WebServices(
        runtime=runtime,
        access=context.access,
        page_access=PageAccess(runtime, context.access, factors),
        book=AddressBookCache(runtime, AddressBookCollection.of, directory=directory),
        own_password=OwnPassword(directory, config, clock),
        app_passwords=AppPasswords(directory, config, clock),
        second_factors=factors,
        store=context.store,
        key=context.secret,
        directory_changed=directory_changed,
        measure_lag=context.lag.measure_client,
    )


class WebProcess(ProcessContext):
    """The child `web` while it serves."""

    tasks: Sequence[asyncio.Task[None]] = ()
    idleness: Idleness | None = None
    _doors: WebServers

    def __init__(self, config: Config, clock: Clock, name: str, *, secret: bytes, tee: bool = False) -> None:
        super().__init__(config, clock, name, secret=secret, tee=tee)
        self._tls = open_front(config)
        io = self.executors.io
        jobs = [
            rest_job(self.runtime, self.store, REST_SECONDS, REST_SECONDS),
            Job("tickets", RENEWED_SECONDS, lambda: io(self._renew_tickets)),
        ]
        self._jobs = JobRunner(jobs, self.log, clock)

    async def serve(self, listeners: Sequence[Listener]) -> None:
        """Read the directory, follow it, open the listeners."""
        await self.open()
        self.follow()
        self._doors = WebServers(web_services(self), self._tls, listeners, ConnectionCounts.alone())
        self._jobs.start()

    def _renew_tickets(self) -> None:
        renewed({False: self._tls}, self.config, self.log, silent=True)

    def configure(self, config: Config) -> None:
        """Apply the settings that a reload may change.

        A certificate that cannot be used is refused and logged.
        """
        super().configure(config)
        self._doors.configure(web_services(self))
        renewed({False: self._tls}, config, self.log)

    def recover(self) -> None:
        """Do nothing: other processes recover what a dead one has left."""

    def report(self) -> dict[str, object]:
        """Return the numbers for `mic-mail status`."""
        return {
            "connections": {"web": self._doors.connections},
            "sessions": self._doors.sessions,
            **self.lag.report(),
            "events": self.log.counted(),
            "directory_version": self.access.snapshot.version,
            **certificate_status(self._tls),
        }

    async def drain(self) -> None:
        """Answer the requests that run, then close everything."""
        await self._doors.drain(self.config.process.drain_seconds)
        await self._jobs.close()
        await self.close()
