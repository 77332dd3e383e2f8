"""A whole server on the caller's event loop, with the caller's clock: for tests and measurements.

It has the same context, protocol servers and jobs as the processes of a server; no supervisor and no other process.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from mic_mail.app.context import ServerContext
from mic_mail.app.server import Server, open_server
from mic_mail.clock import Clock, ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.net import listeners as net
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process.startup import make_folders


@dataclass
class RunningServer:
    """A whole server on the caller's loop."""

    config: Config
    clock: Clock
    server: Server
    ports: dict[str, int]

    @property
    def context(self) -> ServerContext:
        return self.server.context

    async def refresh(self) -> None:
        """Notice changes of the directory and of other processes now instead of within two seconds."""
        await self.context.access.refresh()
        await self.context.feed.check_all()
        if self.server.servers is not None:
            await self.server.servers.renew()

    async def move_clock_to(self, instant: datetime) -> None:
        """Let time pass on a `ManualClock`, and run everything that waits for an instant."""
        assert isinstance(self.clock, ManualClock), "only a ManualClock can be moved"
        self.clock.move_to(instant)
        await self._notice()

    async def set_clock_to(self, instant: datetime) -> None:
        """Set a `ManualClock` while no time passes, and notice it now instead of within a second."""
        assert isinstance(self.clock, ManualClock), "only a ManualClock can be set"
        self.clock.set_to(instant)
        await self._notice()

    async def _notice(self) -> None:
        await self.context.clock_watcher.check()
        self.context.access.clock_moved()
        await self.refresh()

    async def housekeep(self) -> None:
        """Run all recurring jobs once; those that read the log find what has happened so far."""
        self.context.log.flush()
        await self.server.jobs.run_once()

    async def stop(self) -> None:
        await self.server.drain()


async def start_in_process(
    config: Config, clock: Clock | None = None, *, tee: bool = False, housekeeper: bool = True
) -> RunningServer:
    """Start context, protocol servers and jobs on the running loop; port 0 means any free one.

    Without `housekeeper`, another process does the housekeeping, indexes and sends. Missing folders, directory and certificate
    are created (self-signed, for the host name and loopback).
    """
    clock = clock or SystemClock()
    make_folders(config)
    if not config.certificate.exists():
        names = [config.server.hostname, "localhost", "127.0.0.1", "::1"]
        now = SystemClock().now()  # not the given clock: clients verify by the machine's
        write_pair(config.certificate, config.key, self_signed(names, now))
    ports: dict[str, int] = {door: config.listen.port(door) for door in config.listen.doors}
    listeners = net.open_listeners(config.listen.addresses, ports, config.listen.backlog)
    try:
        server = await open_server(
            config,
            clock,
            "worker0",
            listeners,
            tally=ConnectionCounts.alone(),
            secret=secrets.token_bytes(32),
            tee=tee,
            housekeeper=housekeeper,
            indexer=housekeeper,
            sender=housekeeper,
        )
    except BaseException:
        net.close(listeners)
        raise
    return RunningServer(config, clock, server, {listener.door: listener.port for listener in listeners})
