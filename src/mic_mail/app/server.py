"""The server of one process: starts and ends its context, protocol servers and jobs together.

In: a configuration, a clock, listening sockets. Out: a `Server` that follows reloads, reports numbers and drains.
"""

import asyncio
import contextlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mic_mail.app.context import ServerContext, open_context
from mic_mail.app.idleness import Idleness
from mic_mail.app.protocol_servers import TOO_MANY, ProtocolServers
from mic_mail.app.scheduled_jobs import jobs_of
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.log.maillog import MailLog
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.listeners import WEB_DOORS, Listener
from mic_mail.services.operations.certificates import certificate_status
from mic_mail.services.operations.jobs import JobRunner
from mic_mail.storage.types import AccountRef

if TYPE_CHECKING:  # loaded by those processes that need them
    from mic_mail.app.queue_runner import SendingMail
    from mic_mail.app.web_process import WebServers
    from mic_mail.process.hint_bridge import HintBridge
    from mic_mail.web.page_context import WebServices

NAMES_LEFT_SECONDS = 60.0
"""The period before its death whose flags a killed process may not have put in file names.

A little more than `storage.names_after`.
"""


@dataclass
class Server:
    """One process while it serves."""

    context: ServerContext
    servers: ProtocolServers | None
    """None: the process serves no clients (the housekeeper, the sender), and reads no TLS key."""
    jobs: JobRunner
    web: "WebServers | None" = None
    sending: "SendingMail | None" = None
    idleness: Idleness | None = None
    """The end of a sender that runs on demand."""
    bridge: "HintBridge | None" = None
    """The bridge to other servers, in the first process of each."""

    @property
    def log(self) -> MailLog:
        return self.context.log

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """Tasks that do not end before `drain`: where one ends, the process must be replaced."""
        return () if self.sending is None else self.sending.tasks

    async def drain(self) -> None:
        """Let running commands and deliveries end, for `drain_seconds` in all; then close everything."""
        loop = asyncio.get_running_loop()
        seconds = self.context.config.process.drain_seconds
        deadline = loop.time() + seconds
        if self.sending is not None:  # an attempt that is cut off is still in the queue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self.sending.drain()
        await asyncio.gather(*(open_.drain(seconds) for open_ in (self.servers, self.web) if open_ is not None))
        with contextlib.suppress(TimeoutError):  # what is not done by then is in the spool, for recovery
            async with asyncio.timeout_at(deadline):
                await self.context.mailflow.drain()
                await self.context.learning.settle()
        await self.jobs.close()
        if self.bridge is not None:
            self.bridge.close()
        await self.context.close()

    def configure(self, config: Config) -> None:
        self.context.configure(config)
        if self.servers is not None:
            self.servers.configure()
        if self.sending is not None:
            self.sending.configure()
        if self.web is not None:
            self.web.configure(_web_services(self.context))

    def recover(self) -> None:
        """Recover after the death of another process.

        Take up what it left in the spool and in the journal, and let file names follow the flags that it stored last.
        """
        context = self.context
        context.spawn(context.mailflow.recover())
        refs = [AccountRef.of(entry) for entry in context.access.snapshot]
        since = context.clock.now().timestamp() - NAMES_LEFT_SECONDS
        context.spawn(context.executors.io(context.store.flush_names_left, refs, since))
        context.spawn(context.executors.io(context.store.settle_left_behind))

    def report(self) -> dict[str, object]:
        """Return the numbers for `mic-mail status`."""
        return {
            "connections": {} if self.servers is None else self.servers.connections,
            **self.context.lag.report(),
            "events": self.context.log.counted(),
            "limited": dict(self.context.mailflow.limited),
            "judged": self.context.mailflow.checkers.clients.counted(),
            **self.context.mailflow.checkers.secrecy.report(),
            **self.context.disk_reserve.report(),
            "directory_version": self.context.access.snapshot.version,
            **({} if self.servers is None else certificate_status(self.servers.tls)),
            **(self.sending.report() if self.sending is not None else {}),
            **(self.bridge.report() if self.bridge is not None else {}),
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
    on_demand: bool = False,
    first: bool = True,
) -> Server:
    """Build the context, open the listeners, follow the other processes and start the jobs.

    `first` is set in the first of several processes that serve, `on_demand` in a sender that ends when nothing is queued.
    """
    context = await open_context(config, clock, name, secret=secret, tee=tee, has_clients=bool(listeners))
    try:
        servers, web = None, None
        if listeners:
            await context.prepare_journal()
            servers = ProtocolServers(context, tally)
            servers.open([listener for listener in listeners if listener.door not in WEB_DOORS])
            web = _open_web(context, [listener for listener in listeners if listener.door in WEB_DOORS], tally, servers)
    except BaseException:
        await context.close()
        raise
    if housekeeper:
        context.spawn(context.executors.io(context.store.settle_left_behind))
    idleness = Idleness(clock) if on_demand else None
    jobs = jobs_of(
        context,
        servers,
        housekeeper=housekeeper,
        indexer=indexer and config.search.enabled,
        sender=sender,
        first=first,
        idleness=idleness,
    )
    jobs.start()
    sending = _begin_sending(context) if sender else None
    context.follow(sending.clock_moved if sending is not None else lambda: None)
    bridge = _open_bridge(context) if first and servers is not None else None
    return Server(context, servers, jobs, web, sending, idleness, bridge)


def _open_bridge(context: ServerContext) -> "HintBridge | None":
    """Tell other servers of changes, and hear of theirs, where there may be others."""
    if context.store.hints is None:
        return None
    from mic_mail.process.hint_bridge import HintBridge

    key = hmac.digest(context.common_secret, b"hints", "sha256")
    return HintBridge(context.config.run_dir, context.store.hints, context.executors, key=key)


def _begin_sending(context: ServerContext) -> "SendingMail":
    from mic_mail.app.queue_runner import SendingMail

    return SendingMail(context)


def _open_web(
    context: ServerContext, listeners: Sequence[Listener], tally: ConnectionCounts, servers: ProtocolServers
) -> "WebServers | None":
    """Serve the web pages in this process, where it has their listeners."""
    if not listeners:
        return None
    from mic_mail.app.web_process import WebServers

    return WebServers(_web_services(context), servers.tls, listeners, tally, column=len(TOO_MANY), evictor=servers.evictor)


def _web_services(context: ServerContext) -> "WebServices":
    from mic_mail.app.web_process import web_services

    return web_services(context)
