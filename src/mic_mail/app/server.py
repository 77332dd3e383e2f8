"""Rooms, doors and duties of one process, and how they begin and end together.

In: a configuration, a clock, listening sockets. Out: a `Server` that follows reloads, reports numbers and drains.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mic_mail.app.clock_watcher import ClockWatcher
from mic_mail.app.context import ServerContext, open_context
from mic_mail.app.directory_watcher import follow_the_directory
from mic_mail.app.protocol_servers import TOO_MANY, ProtocolServers
from mic_mail.app.scheduled_jobs import duties_of
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.listeners import WEB_DOORS, Listener
from mic_mail.process.loop_lag import lag_report
from mic_mail.services.operations.certificates import certificate_status
from mic_mail.services.operations.jobs import JobRunner
from mic_mail.storage.types import AccountRef

if TYPE_CHECKING:  # only a server of one process has the pages and the sender beside all else
    from mic_mail.app.queue_runner import SendingMail
    from mic_mail.app.web_process import WebServers
    from mic_mail.web.application import WebServices

NAMES_LEFT_SECONDS = 60.0
"""How far back a killed process may have stored flags whose names had not followed: `storage.names_after` and some."""


@dataclass
class Server:
    """What one process is while it serves."""

    rooms: ServerContext
    doors: ProtocolServers | None
    """None: it serves nobody (the housekeeper, the sender), and reads no key of TLS."""
    duties: JobRunner
    clock_watcher: ClockWatcher
    web: "WebServers | None" = None
    sending: "SendingMail | None" = None
    _secret: bytes = field(default=b"", repr=False)

    async def drain(self) -> None:
        """Let running commands and deliveries end, for `drain_seconds` in all; then everything."""
        loop = asyncio.get_running_loop()
        seconds = self.rooms.config.process.drain_seconds
        deadline = loop.time() + seconds
        if self.sending is not None:  # what is cut off is in the queue still
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self.sending.drain()
        await asyncio.gather(*(open_.drain(seconds) for open_ in (self.doors, self.web) if open_ is not None))
        with contextlib.suppress(TimeoutError):  # what is still not done then lies in the spool, for whoever recovers it
            async with asyncio.timeout_at(deadline):
                await self.rooms.mailflow.settle()
                await self.rooms.learning.settle()
        await self.duties.close()
        await self.rooms.close()

    def configure(self, config: Config) -> None:
        self.rooms.configure(config)
        if self.doors is not None:
            self.doors.configure()
        if self.sending is not None:
            self.sending.configure()
        if self.web is not None:
            self.web.configure(_web_services(self.rooms, self._secret))

    def recover(self) -> None:
        """Another process has died: take up what it left in the spool and in the journal, and let names follow the flags that
        it stored last."""
        rooms = self.rooms
        rooms.spawn(rooms.mailflow.recover())
        refs = [AccountRef(entry.mailbox_id, entry.home) for entry in rooms.access.snapshot]
        since = rooms.clock.now().timestamp() - NAMES_LEFT_SECONDS
        rooms.spawn(rooms.lanes.io(rooms.store.flush_names_left, refs, since))
        rooms.spawn(rooms.lanes.io(rooms.store.settle_left_behind))

    def report(self) -> dict[str, object]:
        """Numbers for `mic-mail status`."""
        return {
            "connections": {} if self.doors is None else self.doors.connections,
            **lag_report(self.rooms.lag),
            "events": self.rooms.log.counted(),
            "limited": dict(self.rooms.mailflow.limited),
            "judged": self.rooms.judging.counted(),
            **self.rooms.secrecy.report(),
            **self.rooms.disk_reserve.report(),
            "directory_version": self.rooms.access.snapshot.version,
            **({} if self.doors is None else certificate_status(self.doors.tls)),
            **(self.sending.report() if self.sending is not None else {}),
        }


async def open_server(
    config: Config,
    clock: Clock,
    name: str,
    listeners: Sequence[Listener],
    *,
    tally: ConnectionCounts,
    secret: bytes,
    tee: bool = False,
    housekeeper: bool = False,
    indexer: bool = False,
    sender: bool = False,
    first: bool = True,
) -> Server:
    """Build rooms, open doors, begin to follow the others and to do the duties. `first`: of several that serve."""
    rooms = await open_context(config, clock, name, secret=secret, tee=tee)
    try:
        doors, web = None, None
        if listeners:
            await rooms.prepare_journal()
            doors = ProtocolServers(rooms, tally)
            doors.open([listener for listener in listeners if listener.door not in WEB_DOORS])
            web = _open_web(rooms, [listener for listener in listeners if listener.door in WEB_DOORS], secret, tally, doors)
    except BaseException:
        await rooms.close()
        raise
    follow_the_directory(rooms)
    rooms.lag.start()
    if housekeeper:
        rooms.spawn(rooms.lanes.io(rooms.store.settle_left_behind))
    duties = duties_of(
        rooms, doors, housekeeper=housekeeper, indexer=indexer and config.search.enabled, sender=sender, first=first
    )
    duties.start()
    sending = _begin_sending(rooms) if sender else None

    def stepped() -> None:
        rooms.access.clock_moved()
        if sending is not None:
            sending.clock_moved()

    watcher = ClockWatcher(rooms.clock, does_mark_agree=rooms.does_mark_agree, stepped=stepped, log=rooms.log)
    rooms.spawn(watcher.run())
    return Server(rooms, doors, duties, watcher, web, sending, secret)


def _begin_sending(rooms: ServerContext) -> "SendingMail":
    from mic_mail.app.queue_runner import SendingMail

    sending = SendingMail(rooms)
    sending.start()
    return sending


def _open_web(
    rooms: ServerContext, listeners: Sequence[Listener], secret: bytes, tally: ConnectionCounts, doors: ProtocolServers
) -> "WebServers | None":
    """The pages in this process, where it has their doors."""
    if not listeners:
        return None
    from mic_mail.app.web_process import WebServers

    services = _web_services(rooms, secret)
    return WebServers(services, doors.tls, listeners, tally, column=len(TOO_MANY), evictor=doors.evictor)


def _web_services(rooms: ServerContext, secret: bytes) -> "WebServices":
    from mic_mail.app.web_process import web_services

    return web_services(
        rooms.config, access=rooms.access, directory=rooms.directory, store=rooms.store, lanes=rooms.lanes, clock=rooms.clock,
        log=rooms.log, key=secret,
    )  # fmt: skip
