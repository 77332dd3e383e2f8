"""The web pages of a server: in a child of the supervisor, or in a server of one process (tests).

In: a configuration, listening sockets of https and http. Out: `WebServers`; for the child a `WebProcess`, which follows the
supervisor's orders like a `Server`. The child has a directory, a log, a feed and the mailboxes to read; it takes no mail, holds
no spool and no journal, and loads none of the workers' code for that. Its own code is loaded nowhere else: Starlette, uvicorn
and the templates cost 40 MB and a quarter of a second.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from mic_mail.app.clock_watcher import ClockWatcher, begin_by_the_mark
from mic_mail.app.directory_watcher import DirectoryFollower
from mic_mail.app.gate import Gate, open_evictor
from mic_mail.app.runtime import Current, make_runtime, open_sign_in, watch_misuse
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described, failure
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.eviction import Evictor
from mic_mail.net.listeners import Listener
from mic_mail.net.tls import TlsFront
from mic_mail.process.change_feed import Feed, notify_directory_changed
from mic_mail.process.loop_lag import LoopLag, lag_report
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.app_passwords import AppPasswords
from mic_mail.services.authentication.own_password import OwnPassword
from mic_mail.services.authentication.second_factors import SecondFactors
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.authentication.web_sign_in import PageAccess
from mic_mail.services.mail_store import open_mail_store
from mic_mail.services.mailboxes.address_book import AddressBookCache
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.operations.certificates import RENEWED_SECONDS, certificate_status, open_front, renewed
from mic_mail.storage.mailstore import MailStore
from mic_mail.web.carddav.collection import AddressBookCollection
from mic_mail.web.http import NO_ROOM
from mic_mail.web.page_context import WebServices
from mic_mail.web.server import WebServer

HANDSHAKE_SECONDS = 10.0
REST_SECONDS = 10.0
"""A mailbox that was read releases its handles after so many seconds."""
CLOSE_SECONDS = 1.0


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
            services.runtime.config(), services.runtime.clock, services.runtime.log, evictor, self._server.open.__contains__
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
        return self._server.connections

    @property
    def sessions(self) -> int:
        return self._server.sessions


def web_services(runtime: Runtime, *, access: SignInService, directory: Directory, store: MailStore, key: bytes) -> WebServices:
    config, clock = runtime.config(), runtime.clock

    async def directory_changed() -> None:
        await runtime.executors.io(notify_directory_changed, config.run_dir)

    factors = SecondFactors(directory, config, clock)
    return WebServices(
        runtime=runtime,
        access=access,
        page_access=PageAccess(runtime, access, factors),
        book=AddressBookCache(runtime, AddressBookCollection.of, directory=directory),
        own_password=OwnPassword(directory, config, clock),
        app_passwords=AppPasswords(directory, config, clock),
        second_factors=factors,
        store=store,
        key=key,
        directory_changed=directory_changed,
    )


class WebProcess:
    """The child `web` while it serves."""

    def __init__(self, config: Config, clock: Clock, name: str, *, key: bytes, tee: bool = False) -> None:
        self._current = Current(config)
        self._runtime = make_runtime(self._current, clock, name, tee=tee)
        self.log = self._runtime.log
        self._key = key
        self._feed = Feed(config.run_dir, name, poll_seconds=config.process.poll_seconds)
        self._lag = LoopLag(self.log, config.process.lag_seconds)
        self._tls = open_front(config)
        self._directory = Directory(config.directory_url, clock=clock)
        self._store = open_mail_store(config, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._doors: WebServers

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Read the directory, follow it, open the listeners."""
        await self._runtime.executors.io(begin_by_the_mark, self._runtime.config().state_dir, self._runtime.clock)
        await self._runtime.executors.io(self._directory.migrate, must_exist=True)
        await open_sign_in(self._current, self._runtime, self._directory, self._feed, self._key)
        watch_misuse(self._access, self._runtime, self._directory, self._feed, self._key)
        self._follow()
        self._watch_the_clock()
        self._lag.start()
        self._doors = WebServers(self._services(), self._tls, listeners, ConnectionCounts.alone())
        self._spawn(self._rest())
        self._spawn(self._renew_tls())

    @property
    def _access(self) -> SignInService:
        return self._current.access

    def _follow(self) -> None:
        follower = DirectoryFollower(self._access.refresh, self._spawn, self.log)

        async def version() -> int:
            try:
                return await self._runtime.executors.io(self._directory.version)
            except MicMailError:
                follower.begin()
                raise

        self._feed.watch_directory(lambda _version: follower.changed())
        self._feed.start(version=version)

    def _watch_the_clock(self) -> None:
        async def does_mark_agree() -> bool:
            mark = ClockMark(self._runtime.config().state_dir, self._runtime.clock)
            return await self._runtime.executors.io(mark.agrees, self._access.snapshot)

        watcher = ClockWatcher(
            self._runtime.clock, does_mark_agree=does_mark_agree, stepped=self._access.clock_moved, log=self.log
        )
        self._spawn(watcher.run())

    def _services(self) -> WebServices:
        return web_services(self._runtime, access=self._access, directory=self._directory, store=self._store, key=self._key)

    def _spawn(self, errand: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(errand)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _rest(self) -> None:
        while True:
            await asyncio.sleep(REST_SECONDS)
            try:
                await self._runtime.executors.io(self._store.rest, REST_SECONDS)
            except (MicMailError, OSError) as error:
                self.log.event("duty_failed", duty="rest", error=described(error))

    async def _renew_tls(self) -> None:
        while True:
            await asyncio.sleep(RENEWED_SECONDS)
            with contextlib.suppress(MicMailError, OSError):
                await self._runtime.executors.io(
                    partial(renewed, {False: self._tls}, self._runtime.config(), self.log, silent=True)
                )

    def configure(self, config: Config) -> None:
        """Apply the settings that a reload may change.

        A certificate that cannot be used is refused and logged.
        """
        self._current.config = config
        self._runtime.executors.patience = config.process.queue_seconds
        self._lag.threshold_seconds = config.process.lag_seconds
        self._access.apply_reload()
        self._doors.configure(self._services())
        renewed({False: self._tls}, config, self.log)

    def recover(self) -> None:
        """Do nothing: other processes recover what a dead one has left."""

    def report(self) -> dict[str, object]:
        """Return the numbers for `mic-mail status`."""
        return {
            "connections": {"web": self._doors.connections},
            "sessions": self._doors.sessions,
            **lag_report(self._lag),
            "events": self.log.counted(),
            "directory_version": self._access.snapshot.version,
            **certificate_status(self._tls),
        }

    async def drain(self) -> None:
        """Answer the requests that run, then close everything."""
        await self._doors.drain(self._runtime.config().process.drain_seconds)
        self._feed.close()
        for task in tuple(self._tasks):
            task.cancel()
        self._lag.close()
        for close in (self._store.close, self._directory.close):
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._runtime.executors.io(close)
            except (MicMailError, OSError) as error:
                self.log.event("close_failed", **failure(error))
        self._runtime.executors.close()
        self.log.close()
