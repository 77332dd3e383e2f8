"""The composition root: configuration in, running server out. The only place where the rooms of the house are joined.

    run_child(fd)                    what the supervisor (`process.serve`) executes: a worker or the housekeeper
    start_in_process(config, clock)  the same rooms and doors on the caller's event loop, with the caller's clock

`Rooms` are the stores, lanes and use cases of one process; `Doors` are its protocol servers on listening sockets.
Nothing here decides anything about mail: it builds, starts, reloads, reports and ends.
"""

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import uvloop

from mic_mail.auth.passwords import load_secret
from mic_mail.clock import Clock, ManualClock, SystemClock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import MicMailError
from mic_mail.imap.conversation import SessionSettings as ImapSettings
from mic_mail.imap.server import ImapServer, ImapServices
from mic_mail.log.maillog import MailLog
from mic_mail.log.tee import Tee
from mic_mail.net import listeners as net
from mic_mail.net.admission import Admission, AdmissionLimits, Gate
from mic_mail.net.listeners import Listener
from mic_mail.net.tls import BadCertificate, TlsFront, self_signed, write_pair
from mic_mail.outbound.spool import Spool
from mic_mail.process import privileges
from mic_mail.process.channel import Channel, ChildSpec
from mic_mail.process.feed import Feed
from mic_mail.process.lag import LoopLag, quantile_ms
from mic_mail.process.lanes import AccountLanes, Lanes
from mic_mail.process.startup import SERVED_DOORS, make_folders
from mic_mail.services.access import Access
from mic_mail.services.housekeeping import ChangedAccounts, Duties, Duty, Visits, only_housekeeper
from mic_mail.services.mailflow import FlowSettings, MailFlow
from mic_mail.services.notices import Notices
from mic_mail.smtp.server import SmtpServer, SmtpServices
from mic_mail.smtp.session import Limits as SmtpLimits
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef, StorageSettings

PROTOCOLS = {"smtp": "smtp", "submission": "smtp", "submissions": "smtp", "imap": "imap", "imaps": "imap"}
TOO_MANY = {
    "smtp": b"421 4.7.0 Too many connections; try again later.\r\n",
    "imap": b"* BYE [UNAVAILABLE] Too many connections; try again later.\r\n",
}
HANDSHAKE_SECONDS = 30.0
REPORT_SECONDS = 1.0
SPOOL_SECONDS = 60.0
SWEEP_SECONDS = 3600.0
NAMES_LEFT_SECONDS = 60.0
"""How far back a killed process may have stored flags whose names had not followed: `storage.names_after` and some."""
CERTIFICATE_SECONDS = 86_400.0
SWITCH_INTERVAL = 0.0005
"""Seconds a thread may hold the interpreter while the loop waits: with Python's 5 ms a busy lane costs every reply as much."""


# ---------------------------------------------------------------------------------------------------------------- rooms


@dataclass
class Rooms:
    """Everything behind the doors of one process."""

    config: Config
    clock: Clock
    log: MailLog
    lanes: Lanes
    accounts: AccountLanes
    feed: Feed
    lag: LoopLag
    tls: TlsFront
    directory: Directory
    store: MailStore
    spool: Spool
    access: Access
    mailflow: MailFlow
    usage: ChangedAccounts
    duties: Duties
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def spawn(self, errand: Coroutine[object, object, object]) -> None:
        """Do something in the background; what goes wrong is an event, and comes again with the next poll or duty."""
        task = asyncio.get_running_loop().create_task(self._errand(errand))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _errand(self, errand: Coroutine[object, object, object]) -> None:
        try:
            await errand
        except (MicMailError, OSError) as error:
            self.log.event("errand_failed", error=str(error))

    def configure(self, config: Config) -> None:
        """Take over what a reload may change; a certificate that cannot be used is refused and said so in the log."""
        self.config = config
        self.lanes.patience = config.process.queue_seconds
        self.lag.threshold_seconds = config.process.lag_seconds
        self.access.configure(config)
        self.mailflow.settings = flow_settings(config)
        self.usage.notices = Notices(self.store, config, self.clock)
        try:
            self.tls.reload(config.certificate, config.key)
        except BadCertificate as error:
            self.log.event("certificate_refused", error=str(error))
        else:
            self.log.event("certificate_loaded", ends_at=self.tls.ends_at)

    async def close(self) -> None:
        """End what the rooms have begun, let names follow, close every file."""
        await self.duties.close()
        self.feed.close()
        for task in self._tasks:
            task.cancel()
        self.lag.close()
        for close in (self.store.close, self.spool.close, self.directory.close):
            await self.lanes.io(close)
        self.lanes.close()
        self.log.close()


async def open_rooms(config: Config, clock: Clock, name: str, *, tee: bool = False, housekeeper: bool = False) -> Rooms:
    """Build one process's rooms inside the running loop."""
    log = MailLog(
        config.log_dir, name, clock=clock, segment_octets=config.log.segment, tee=Tee(sys.stderr, name) if tee else None
    )
    process = config.process
    lanes = Lanes(io_threads=process.io_threads, hash_threads=process.hash_threads, patience=process.queue_seconds)
    accounts = AccountLanes(lanes)
    feed = Feed(config.run_dir, name, poll_seconds=process.poll_seconds)
    lag = LoopLag(log, process.lag_seconds)
    tls = TlsFront(config.certificate, config.key, minimum=config.tls.minimum)
    directory = Directory(config.directory_url, clock=clock)
    await lanes.io(prepare_directory, directory, config.domains)
    snapshot = await lanes.io(directory.load_snapshot)
    access = Access(
        config,
        directory=directory,
        snapshot=snapshot,
        lanes=lanes,
        log=log,
        clock=clock,
        decoy_key=await lanes.io(load_secret, config.server.data_dir / "decoy.key"),
    )
    changed: list[Callable[[int], None]] = []

    def on_change(account_id: int, modseq: int) -> None:
        feed.changed(account_id, modseq)
        for listener in changed:
            listener(account_id)

    store = MailStore(
        config.mail_root, clock=clock, host=config.server.hostname, settings=storage_settings(config), on_change=on_change
    )
    spool = await lanes.io(Spool, config.spool_dir)
    usage = ChangedAccounts(store, accounts, Notices(store, config, clock), lambda: access.snapshot)
    changed.append(usage.add)
    duties = [
        Duty("names", config.storage.names_after, lambda: lanes.io(store.flush_names)),
        Duty("usage", config.storage.names_after, usage.look),
    ]
    rooms = Rooms(
        config=config,
        clock=clock,
        log=log,
        lanes=lanes,
        accounts=accounts,
        feed=feed,
        lag=lag,
        tls=tls,
        directory=directory,
        store=store,
        spool=spool,
        access=access,
        mailflow=MailFlow(
            flow_settings(config), store=store, spool=spool, lanes=lanes, accounts=accounts, access=access, log=log, clock=clock
        ),
        usage=usage,
        duties=Duties(duties, log),
    )
    if housekeeper:
        rooms.duties = Duties([*duties, *housekeeping(rooms)], log)
    follow_the_directory(rooms)
    return rooms


def prepare_directory(directory: Directory, domains: Sequence[str]) -> None:
    """The schema of this program and the domains of the configuration; several processes may do it at once."""
    directory.migrate()
    known = set(directory.domains())
    for domain in domains:
        if domain not in known:
            directory.add_domain(domain)


def storage_settings(config: Config) -> StorageSettings:
    """The store's part of the configuration."""
    storage = config.storage
    return StorageSettings(
        synchronous=storage.synchronous,
        expunge_keep_seconds=int(storage.expunge_keep),
        open_accounts=storage.open_indexes,
        view_cache_octets=storage.view_memory,
    )


def follow_the_directory(rooms: Rooms) -> None:
    """Watched accounts and the directory's version are asked for each `poll_seconds`, and at every hint."""

    def modseqs(refs: Sequence[AccountRef]) -> dict[int, int]:
        found = {}
        for ref in refs:
            with contextlib.suppress(Exception):  # what cannot be read now is asked for again in two seconds
                account = rooms.store.account(ref)
                account.look_for_foreign()
                found[ref.account_id] = account.highest_modseq()
        return found

    async def probe(account_ids: Sequence[int]) -> Mapping[int, int]:
        snapshot = rooms.access.snapshot
        entries = filter(None, map(snapshot.entry, account_ids))
        return await rooms.lanes.io(modseqs, [AccountRef(entry.mailbox_id, entry.home) for entry in entries])

    def refresh(version: int) -> None:
        rooms.spawn(rooms.access.refresh())

    async def version() -> int:
        return await rooms.lanes.io(rooms.directory.version)

    rooms.feed.watch_directory(refresh)
    rooms.feed.start(probe, version)
    rooms.lag.start()


def housekeeping(rooms: Rooms) -> list[Duty]:
    """What one process does for the whole server."""
    visits = Visits(rooms.store, rooms.accounts, lambda: rooms.access.snapshot, rooms.log)

    async def certificate() -> None:
        if rooms.tls.ends_within(rooms.clock.now(), rooms.config.tls.warn_days):
            rooms.log.event("certificate_ending", ends_at=rooms.tls.ends_at)

    async def spool() -> None:
        await rooms.mailflow.recover()

    return [
        Duty("spool", SPOOL_SECONDS, spool),
        Duty("sweep", SWEEP_SECONDS, visits.sweep),
        Duty("rescan", rooms.config.storage.rescan, visits.rescan),
        Duty("certificate", CERTIFICATE_SECONDS, certificate),
    ]


# ---------------------------------------------------------------------------------------------------------------- doors


class Doors:
    """The protocol servers of one process, and the gate in front of them."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._listening: list[asyncio.Server] = []
        self._smtp = SmtpServer(smtp_services(rooms))
        self._imap = ImapServer(imap_services(rooms))
        self._servers: Mapping[str, SmtpServer | ImapServer] = {"smtp": self._smtp, "imap": self._imap}
        self._admission = Admission(admission_limits(rooms.config), rooms.clock.monotonic)

    async def open(self, listeners: Sequence[Listener]) -> None:
        """Serve on these sockets."""
        loop = asyncio.get_running_loop()
        backlog = self._rooms.config.listen.backlog
        for listener in listeners:
            tls = self._rooms.tls.context if listener.implicit_tls else None
            patience = HANDSHAKE_SECONDS if tls else None
            self._listening.append(
                await loop.create_server(
                    self._gated(listener), sock=listener.socket, backlog=backlog, ssl=tls, ssl_handshake_timeout=patience
                )
            )

    def _gated(self, listener: Listener) -> Callable[[], asyncio.Protocol]:
        """What makes the first protocol of each connection at a door."""
        protocol = PROTOCOLS[listener.door]
        server = self._servers[protocol]
        factory = server.factory(door=listener.door, implicit_tls=listener.implicit_tls)

        def refused(address: str, why: str) -> bytes:
            self._rooms.log.event("connection_refused", peer=address, door=listener.door, reason=why)
            return TOO_MANY[protocol]

        def total() -> int:
            return self._smtp.connections + self._imap.connections

        is_open: Callable[[object], bool] = server.open.__contains__
        return lambda: Gate(self._admission, factory, total=total, is_open=is_open, refused=refused)

    def configure(self) -> None:
        """New connections follow the new configuration."""
        self._smtp.configure(smtp_services(self._rooms))
        self._imap.configure(imap_services(self._rooms))
        self._admission.configure(admission_limits(self._rooms.config))

    async def drain(self, seconds: float) -> None:
        """No new connections; those that are open get their goodbye and at most so long."""
        for listening in self._listening:
            listening.close()
        await asyncio.gather(*(server.drain(seconds) for server in self._servers.values()))

    @property
    def connections(self) -> dict[str, int]:
        return {protocol: server.connections for protocol, server in self._servers.items()}


def admission_limits(config: Config) -> AdmissionLimits:
    """What the gate is given."""
    limits = config.limits
    return AdmissionLimits(
        limits.connections, limits.connections_per_network, limits.new_per_minute, tuple(limits.exempt_networks)
    )


def smtp_services(rooms: Rooms) -> SmtpServices:
    """What the SMTP door is given."""
    config = rooms.config
    smtp, limits = config.smtp, config.limits
    devices = [ipaddress.ip_network(network, strict=False) for network in smtp.repair_line_ends]
    return SmtpServices(
        mailflow=rooms.mailflow,
        access=rooms.access,
        clock=rooms.clock,
        log=rooms.log,
        tls=rooms.tls,
        hostname=config.server.hostname,
        support=config.support,
        limits=SmtpLimits(
            message_octets=config.message_octets,
            attachment_octets=limits.attachment.maximum,
            recipients=smtp.recipients,
            errors=smtp.errors,
            messages=smtp.messages_per_connection,
            command_seconds=smtp.command_seconds,
            data_seconds=smtp.data_seconds,
            message_seconds=smtp.message_seconds,
            slowest_octets_per_second=smtp.slowest_rate,
        ),
        binarymime=smtp.binarymime,
        quota_is_final=config.quota.over == "permanent",
        repairs_lf=lambda address: any(ipaddress.ip_address(address) in network for network in devices),
        note=rooms.lag.note,
    )


def imap_services(rooms: Rooms) -> ImapServices:
    """What the IMAP door is given."""
    config = rooms.config
    imap = config.imap
    offered = {"COMPRESS=DEFLATE": imap.compress, "IMAP4REV2": imap.rev2}
    return ImapServices(
        access=rooms.access,
        store=rooms.store,
        lanes=rooms.lanes,
        accounts=rooms.accounts,
        feed=rooms.feed,
        clock=rooms.clock,
        log=rooms.log,
        tls=rooms.tls,
        settings=ImapSettings(
            host=config.server.hostname,
            append_limit=config.message_octets,
            attachment_limit=config.limits.attachment.maximum,
            sign_in_seconds=imap.sign_in_seconds,
            idle_seconds=imap.idle_seconds,
            still_here_seconds=imap.still_here_seconds,
            errors=imap.errors,
            hidden=frozenset(name for name, wanted in offered.items() if not wanted),
        ),
        sessions_per_mailbox=imap.sessions_per_mailbox,
        note=rooms.lag.note,
    )


def flow_settings(config: Config) -> FlowSettings:
    """What the mail flow takes from the configuration."""
    return FlowSettings(
        hostname=config.server.hostname,
        domain=config.server.domain,
        message_octets=config.message_octets,
        attachment_octets=config.limits.attachment.maximum,
        support=config.support,
        separator=config.smtp.subaddress,
    )


# ------------------------------------------------------------------------------------------------------------- processes


@dataclass
class Server:
    """Rooms and doors of one process, and how they begin and end together."""

    rooms: Rooms
    doors: Doors

    async def drain(self) -> None:
        """Let running commands end, then everything."""
        seconds = self.rooms.config.process.drain_seconds
        await self.doors.drain(seconds)
        with contextlib.suppress(TimeoutError):  # what is still not done then lies in the spool, for whoever recovers it
            async with asyncio.timeout(seconds):
                await self.rooms.mailflow.settle()
        await self.rooms.close()

    def configure(self, config: Config) -> None:
        self.rooms.configure(config)
        self.doors.configure()

    def recover(self) -> None:
        """Another process has died: take up what it left in the spool, and let names follow the flags that it stored last."""
        rooms = self.rooms
        rooms.spawn(rooms.mailflow.recover())
        refs = [AccountRef(entry.mailbox_id, entry.home) for entry in rooms.access.snapshot]
        since = rooms.clock.now().timestamp() - NAMES_LEFT_SECONDS
        rooms.spawn(rooms.lanes.io(rooms.store.flush_names_left, refs, since))

    def report(self) -> dict[str, object]:
        """Numbers for `mic-mail status`."""
        lag = self.rooms.lag
        return {
            "connections": self.doors.connections,
            "lag_ms": {
                "p50": quantile_ms(lag.counts, 0.5),
                "p99": quantile_ms(lag.counts, 0.99),
                "worst": round(lag.worst_ms, 1),
            },
            "directory_version": self.rooms.access.snapshot.version,
            "certificate_ends_at": self.rooms.tls.ends_at.isoformat(),
        }


async def open_server(
    config: Config, clock: Clock, name: str, listeners: Sequence[Listener], *, tee: bool = False, housekeeper: bool = False
) -> Server:
    """Build rooms, begin their duties, open doors."""
    rooms = await open_rooms(config, clock, name, tee=tee, housekeeper=housekeeper)
    try:
        doors = Doors(rooms)
        await doors.open(listeners)
    except BaseException:
        await rooms.close()
        raise
    rooms.duties.start()
    return Server(rooms, doors)


def run_child(spec_fd: int) -> int:
    """Be what the supervisor's spec says, until it says drain or is gone."""
    spec = ChildSpec.from_fd(spec_fd)
    sys.setswitchinterval(SWITCH_INTERVAL)
    os.umask(privileges.UMASK)
    for number in (signal.SIGINT, signal.SIGHUP):  # the supervisor gets them and tells us
        signal.signal(number, signal.SIG_IGN)
    try:
        uvloop.run(_serve(spec))
    except Exception as error:  # noqa: BLE001 - a process that cannot go on says why, and is started again
        return _failed(spec, error)
    return 0


def _failed(spec: ChildSpec, error: Exception) -> int:
    """One line for who watches, the rest for the log."""
    known = isinstance(error, MicMailError)
    sys.stderr.write(f"mic-mail {spec.name}: {error if known else type(error).__name__}\n")
    with contextlib.suppress(OSError):
        log = MailLog(Config.model_validate_json(spec.config).log_dir, spec.name, clock=SystemClock(), threaded=False)
        where = "" if known else traceback.format_exc(limit=-8)
        log.event("process_failed", error=f"{type(error).__name__}: {error}", where=where)
        log.close()
    return 3


async def _serve(spec: ChildSpec) -> None:
    config = Config.model_validate_json(spec.config)
    orders = Orders(Channel(socket.socket(fileno=spec.channel)))
    if spec.role == "housekeeper":
        async with only_housekeeper(config.run_dir, orders.over) as mine:
            if mine:
                await _live(spec, config, orders)
    else:
        await _live(spec, config, orders)


async def _live(spec: ChildSpec, config: Config, orders: "Orders") -> None:
    """From ready to drained."""
    listeners = [Listener(door, socket.socket(fileno=fd)) for door, fd in spec.listeners]
    housekeeper = spec.role == "housekeeper"
    server = await open_server(config, SystemClock(), spec.name, listeners, tee=spec.tee, housekeeper=housekeeper)
    orders.follow(server)
    await orders.over.wait()
    server.rooms.log.event("process_draining")
    await server.drain()


class Orders:
    """A child's end of the channel: what the supervisor says, and what it is told."""

    def __init__(self, channel: Channel) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._server: Server | None = None
        self.over = asyncio.Event()
        """Set when this process has to end: told to, or alone in the world."""
        self._loop.add_reader(channel.fileno(), self._receive)
        self._loop.add_signal_handler(signal.SIGTERM, self.over.set)

    def follow(self, server: Server) -> None:
        """The server is ready: say so, report on it each second, let it follow reloads."""
        self._server = server
        self._channel.send({"told": "ready"})
        self._report()

    def _report(self) -> None:
        if self._server is not None and not self.over.is_set():
            self._channel.send({"told": "report", **self._server.report()})
            self._loop.call_later(REPORT_SECONDS, self._report)

    def _receive(self) -> None:
        for message in self._channel.receive():
            if message is None:
                self._loop.remove_reader(self._channel.fileno())
                self.over.set()
            elif message.get("do") == "drain":
                self.over.set()
            elif message.get("do") == "recover" and self._server is not None:
                self._server.recover()
            elif message.get("do") == "reload" and self._server is not None:
                self._server.configure(Config.model_validate_json(str(message["config"])))


# ------------------------------------------------------------------------------------------------------------- in process


@dataclass
class RunningServer:
    """A whole server on the caller's loop."""

    config: Config
    clock: Clock
    server: Server
    ports: dict[str, int]

    @property
    def rooms(self) -> Rooms:
        return self.server.rooms

    async def refresh(self) -> None:
        """See what the directory and other processes have changed, now instead of within two seconds."""
        await self.rooms.access.refresh()
        await self.rooms.feed.check_all()

    async def move_clock_to(self, instant: datetime) -> None:
        """Set a `ManualClock`, and let everything notice that waits for an instant."""
        assert isinstance(self.clock, ManualClock), "only a ManualClock can be moved"
        self.clock.move_to(instant)
        self.rooms.access.clock_moved()
        await self.refresh()

    async def housekeep(self) -> None:
        """Do all recurring duties once."""
        await self.rooms.duties.round()

    async def stop(self) -> None:
        await self.server.drain()


async def start_in_process(config: Config, clock: Clock | None = None, *, tee: bool = False) -> RunningServer:
    """Start rooms, doors and housekeeping on the running loop; port 0 means any free one.

    Missing folders, directory and certificate are made (self-signed, for the host name and loopback).
    """
    clock = clock or SystemClock()
    make_folders(config)
    if not config.certificate.exists():
        names = [config.server.hostname, "localhost", "127.0.0.1", "::1"]
        write_pair(config.certificate, config.key, self_signed(names, clock.now()))
    ports: dict[str, int] = {door: config.listen.port(door) for door in config.listen.doors if door in SERVED_DOORS}
    [listeners] = net.open_listeners(config.listen.addresses, ports, 1, config.listen.backlog)
    try:
        server = await open_server(config, clock, "worker0", listeners, tee=tee, housekeeper=True)
    except BaseException:
        net.close(listeners)
        raise
    return RunningServer(config, clock, server, {listener.door: listener.port for listener in listeners})
