"""A child of the supervisor: a worker, the housekeeper, the sender, the indexer or the web process.

In: a `ChildSpec` of `process.serve`. Out: an exit code, after the supervisor ordered the child to drain or has ended.
"""

import asyncio
import contextlib
import gc
import hmac
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol

import uvloop

from mic_mail.app.confinement import confine, confinement_of, prepare
from mic_mail.app.idleness import Idleness
from mic_mail.clock import SystemClock
from mic_mail.config.model import Config, is_postgresql
from mic_mail.errors import MicMailError
from mic_mail.heap import settle
from mic_mail.log.error_fields import failure
from mic_mail.log.maillog import MailLog
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.listeners import Listener
from mic_mail.process import privileges
from mic_mail.process.control_channel import LIFE_SIGN_SECONDS, Channel, ChildSpec
from mic_mail.process.cpu_affinity import share_core
from mic_mail.process.protection import Protection
from mic_mail.process.timer_grid import next_tick

SWITCH_INTERVAL = 0.0005
"""Seconds a thread may hold the interpreter lock while the loop waits.

With Python's default of 5 ms, a busy executor delays every reply by as much.
"""
GARBAGE_THRESHOLD = 20_000
"""The number of surviving objects at which the garbage collector looks for cycles.

A message creates some hundreds of objects without cycles: with Python's default of 700 the collector took 5 % of a busy
worker's time.
"""


def make_ready(config: Config) -> None:
    """Create the paths that the children's rules name, and load the code that the children share."""
    prepare(config)
    preload()
    if config.storage.database is not None:
        import mic_mail.quarantine.record_rows
        import mic_mail.queue.database_queue
        import mic_mail.queue.database_spool
        import mic_mail.queue.sent_amounts
        import mic_mail.storage.database_ground.mailstore
        import mic_mail.storage.index.postgresql.creation
    if is_postgresql(config.directory_url):
        import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401 - for the children to share

        import mic_mail.directory.postgresql  # noqa: F401 - for the children to share


def preload() -> None:
    """Load, in the supervisor, all code that a worker, the sender or the indexer needs.

    The web code is left out: one process needs it, and it shall be in no other (docs/decisions/0056).
    """
    gc.disable()  # code is never garbage
    import mic_mail.app.indexer
    import mic_mail.app.queue_runner
    import mic_mail.app.server
    import mic_mail.directory.changes
    import mic_mail.directory.migration_plans
    import mic_mail.directory.signatories
    import mic_mail.directory.writes  # noqa: F401 - all for the children; a `Directory` imports its registers late

    _prepare_libraries()
    gc.enable()


def _prepare_libraries() -> None:
    """Let libraries prepare now what each child would otherwise prepare in a copy of its own at the first use.

    Nothing of it is secret, and none is kept open.
    """
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # OpenSSL reads its settings and finds the algorithms
    hmac.digest(b"", b"", "sha256")


def run_child(spec: ChildSpec) -> int:
    """Run the child of this specification until the supervisor orders it to drain or has ended."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(GARBAGE_THRESHOLD)
    os.umask(privileges.UMASK)
    try:
        protection = confine(spec.role, spec.config)
    except OSError as error:
        return _failed(spec, error)
    for number in (signal.SIGINT, signal.SIGHUP):  # the supervisor gets them and passes them on as orders
        signal.signal(number, signal.SIG_IGN)
    try:
        uvloop.run(_serve(spec, protection))
    except Exception as error:  # noqa: BLE001 - a process that cannot go on logs why, and is restarted
        return _failed(spec, error)
    return 0


def _failed(spec: ChildSpec, error: Exception) -> int:
    """Write one line to standard error, and the details to the log."""
    known = isinstance(error, MicMailError)
    sys.stderr.write(f"mic-mail {spec.name}: {error if known else type(error).__name__}\n")
    with contextlib.suppress(OSError):
        log = MailLog(spec.config.log_dir, spec.name, clock=SystemClock(), threaded=False)
        log.event("process_failed", **failure(error))
        log.close()
    return 3


async def _serve(spec: ChildSpec, protection: Protection) -> None:
    config = spec.config
    has_landlock, confinement = protection.landlock > 0, confinement_of(spec.role, config)
    orders = Orders(
        Channel(socket.socket(fileno=spec.channel)),
        protection,
        is_outgrown=lambda fresh: has_landlock and confinement_of(spec.role, fresh) != confinement,
    )
    gc.collect()  # garbage of the start; collected later, it would delay the loop
    server = await _open(spec)
    settle()
    gc.freeze()
    orders.follow(server)
    broken = await _over(orders, server)
    if broken is None and not orders.over.is_set():
        orders.end_for_lack_of_work()
    else:
        server.log.event("process_draining")
    await server.drain()
    if broken is not None:
        raise broken


async def _open(spec: ChildSpec) -> "ChildServer":
    """Open the server of this role.

    Each role imports its code here, so that a caller that only imports `run_child` has loaded none of it.
    """
    config, clock, secret = spec.config, SystemClock(), bytes.fromhex(spec.secret)
    listeners = [Listener(door, socket.socket(fileno=fd)) for door, fd in spec.listeners]
    if spec.role == "indexer":
        from mic_mail.app.indexer import Indexer

        indexer = Indexer(config, clock, spec.name)
        await indexer.start()
        return indexer
    if spec.role == "web":
        from mic_mail.app.web_process import WebProcess

        web = WebProcess(config, clock, spec.name, secret=secret, tee=spec.tee)
        await web.serve(listeners)
        return web
    from mic_mail.app.server import open_server

    server = await open_server(
        config,
        clock,
        spec.name,
        listeners,
        tally=ConnectionCounts.alone() if spec.tally is None else ConnectionCounts(spec.tally, spec.row),
        secret=secret,
        tee=spec.tee,
        housekeeper=spec.role == "housekeeper",
        sender=spec.role == "sender",
        on_demand=spec.role == "sender" and config.storage.database is None,
        first=spec.row == 0,
    )
    if spec.role == "worker" and config.process.pin_workers:
        share_core(server.context.executors, spec.row)
    return server


async def _over(orders: "Orders", server: "ChildServer") -> BaseException | None:
    """Wait until this process has to end, or has had nothing to do for long enough.

    Return the error where one of the server's tasks has ended: only a defect ends them before a drain.
    """
    ends = {asyncio.create_task(orders.over.wait())}
    if server.idleness is not None:
        ends.add(asyncio.create_task(server.idleness.over.wait()))
    ended, _ = await asyncio.wait({*ends, *server.tasks}, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    return next((task.exception() or RuntimeError("ended by itself") for task in ended if task not in ends), None)


class ChildServer(Protocol):
    """A server that follows the supervisor's orders: a `Server`, the indexer, the web process."""

    @property
    def log(self) -> MailLog: ...
    @property
    def tasks(self) -> Collection[asyncio.Task[None]]:
        """Tasks that do not end before `drain`: where one ends, the process must be replaced."""

    @property
    def idleness(self) -> Idleness | None:
        """The end of a process that runs on demand; None for the others."""

    def report(self) -> dict[str, object]: ...
    def configure(self, config: Config) -> None: ...
    def recover(self) -> None: ...
    async def drain(self) -> None: ...


class Orders:
    """A child's end of the control channel: it receives orders and sends reports."""

    def __init__(self, channel: Channel, protection: Protection, *, is_outgrown: Callable[[Config], bool]) -> None:
        """Read orders from the channel.

        `protection` is the confinement of this process, for `status`. `is_outgrown` returns whether the confinement is too
        narrow for a new configuration.
        """
        self._is_outgrown = is_outgrown
        self._outgrown: dict[str, bool] = {}
        self._protection = {"protection": protection.log_fields()}
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._server: ChildServer | None = None
        self.over = asyncio.Event()
        """Set when this process has to end: by order, or because the supervisor has ended."""
        self._loop.add_reader(channel.fileno(), self._receive)
        self._loop.add_signal_handler(signal.SIGTERM, self.over.set)

    def follow(self, server: ChildServer) -> None:
        """Report that the server is ready, report on it from now on, and pass it reloads."""
        self._server = server
        self._channel.send({"kind": "ready", **self._protection})
        self._give_life_sign()

    def end_for_lack_of_work(self) -> None:
        """Tell the supervisor that this process ends because it has nothing to do, and which work it has seen done.

        Its numbers, as they are now, are shown until it is started again.
        """
        self._report()
        assert self._server is not None
        assert self._server.idleness is not None
        self._channel.send({"kind": "idle", **self._server.idleness.last_word})
        self.over.set()

    def _give_life_sign(self) -> None:
        self._loop.call_at(next_tick(self._loop.time(), LIFE_SIGN_SECONDS), self._give_life_sign)
        self._report()

    def _report(self, **answer: object) -> None:
        if self._server is not None and not self.over.is_set():
            self._channel.send({"kind": "report", **answer, **self._protection, **self._outgrown, **self._server.report()})

    def _compare(self, config: Config) -> None:
        """Report whether this process has to be replaced, if that has changed."""
        outgrown = {"outgrown": True} if self._is_outgrown(config) else {}
        if outgrown != self._outgrown:
            self._outgrown = outgrown
            self._report()

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
                config = Config.model_validate_json(str(message["config"]))
                # Scheduled separately: where it fails, the next order is read all the same.
                self._loop.call_soon(self._server.configure, config)
                self._loop.call_soon(self._compare, config)
            elif message.get("do") == "report":
                self._loop.call_soon(partial(self._report, question=message.get("question")))
