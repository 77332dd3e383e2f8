"""The supervisor: the parent of all processes of one server, which serves nobody itself.

    start    lock the data -> bind the ports -> give up root -> load what workers need -> fork N workers, a housekeeper,
             a sender, an indexer, a process for the pages, sockets and all
    a death  the child is started again with the same sockets, at once the first time, then with growing pauses; one that dies
             again and again before it is ready raises an alarm, and the others serve without it
    SIGHUP   the file is read again; what can be taken over goes to the children, what cannot is named in the log; a child that
             is confined too closely for it drains and is started again, one after the other
    SIGTERM  the sockets close, the children drain, who is not done in time is killed; a second signal does not wait
    the end of the supervisor, however it comes, is the end of the channel on which each child listens

One thread, one selector, no event loop: no SQLite, no TLS and no thread exists in this process, so forking a child at any time
is safe (`process.forking`). Whoever connects to `<run_dir>/status` gets the state of everything as one JSON object.
"""

import contextlib
import json
import os
import secrets
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.diff import changes
from mic_mail.config.load import ConfigErrors
from mic_mail.config.model import Config
from mic_mail.errors import MicMailError, Text
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.net import listeners as net
from mic_mail.net.connection_balancer import new_page
from mic_mail.net.listeners import WEB_DOORS, Listener
from mic_mail.process.change_feed import PREFIX
from mic_mail.process.control_channel import Channel, ChildSpec, Message
from mic_mail.process.fork import Forked, fork
from mic_mail.process.startup import certificate_problems
from mic_mail.process.systemd import Notifier

STATUS_SOCKET = "status"
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LONGEST_PAUSE_FAILING = 60.0
"""For a child that does not come to be ready: each attempt costs the others a second of a core."""
FIRST_ATTEMPTS = 3
"""A child that died so often in a row without having been ready is failing; the server does not wait for it any more."""
LONG_LIFE = 10.0
"""A child that lived so long is started again without a pause."""
HUNG_SECONDS = 60.0
"""A child that was ready and has not reported for so long is killed."""
STARTING_SECONDS = 600.0
"""And one that is not ready by then: what a start may have to bring up to date or wait for takes far less."""
STOOD_STILL_SECONDS = 5.0
"""Where the clock is looked at each second. So much later this process stood still (a container that was paused, SIGSTOP), its
children with it: they have their time to report from now on."""
DRAIN_MARGIN = 3.0
LONGEST_ANSWER = 1.0
"""Whoever asks for the state of everything has to read it in so many seconds; only the server's account can ask."""


@dataclass(slots=True)
class Child:
    """A process that should be there."""

    role: str
    name: str
    row: int = 0
    process: Forked | None = None
    channel: Channel | None = None
    ready: bool = False
    started_at: float = 0.0
    heard_at: float = 0.0
    restart_at: float | None = None
    pause: float = 0.0
    restarts: int = 0
    failures: int = 0
    """So often in a row it has died before it was ready."""
    report: Message = field(default_factory=dict)
    is_leaving: bool = False
    """It needs what it may not reach, and drains so that another takes its place."""
    owed: dict[str, Message] = field(default_factory=dict)
    """What it has to be told once it reads: the newest order of each kind."""

    @property
    def is_needed(self) -> bool:
        """Whether there is no server without it: without an indexer a search finds the same, without pages mail goes on, and
        without a sender it waits."""
        return self.role not in ("indexer", "web", "sender")

    @property
    def is_failing(self) -> bool:
        """Whether it does not come to be ready."""
        return self.failures >= FIRST_ATTEMPTS


class Supervisor:
    """One running server, seen from above. Make it, `start`, `run`."""

    def __init__(
        self,
        config: Config,
        *,
        reread: Callable[[], Config],
        be: Callable[[ChildSpec], int],
        log: MailLog,
        clock: Clock,
        tee: bool = False,
        locks: Sequence[int] = (),
        notifier: Notifier | None = None,
    ) -> None:
        """`be` is what a child does, and its exit code; everything that it needs is loaded by now. `locks`: descriptors of
        the data's locks, which every child holds too."""
        self.config = config
        self._reread = reread
        self._log = log
        self._clock = clock
        self._tee = tee
        self._locks = tuple(locks)
        self._notifier = notifier or Notifier()
        self._be = be
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []
        self._listeners: tuple[Listener, ...] = ()
        self._tally = -1
        self._secret = secrets.token_hex(32)
        self._draining_until: float | None = None
        self._announced = False
        """Whether the server has ever been ready: systemd has been told, and nobody gives up any more."""
        self._given_up = False
        self._started_at = clock.now()
        self._alive_at = 0.0
        self._looked_at = clock.monotonic()

    # Beginning
    def start(self, listeners: Sequence[Listener], workers: int) -> None:
        """Start so many workers on these sockets, the housekeeper, the sender, the indexer and pages if there shall be any."""
        run_dir = self.config.run_dir
        for stale in run_dir.glob(PREFIX + "*"):
            stale.unlink(missing_ok=True)
        self._catch_signals()
        self._open_status(run_dir)
        self._listeners = tuple(listeners)
        self._tally = new_page(workers)
        self._children = [Child("worker", f"worker{row}", row) for row in range(workers)]
        self._children.append(Child("housekeeper", "house"))
        self._children.append(Child("sender", "sender"))
        if self.config.search.enabled:
            self._children.append(Child("indexer", "index"))
        if any(listener.door in WEB_DOORS for listener in listeners):
            self._children.append(Child("web", "web"))
        self._log.event("server_started", pid=os.getpid(), workers=workers, doors=self.ports)
        for child in self._children:
            if child.is_needed:
                self._spawn(child)

    @property
    def _workers(self) -> str:
        """For systemd."""
        failing = [child.name for child in self._children if child.is_failing]
        workers = f"{sum(child.role == 'worker' for child in self._children)} workers"
        return f"{workers}; failing: {', '.join(failing)}" if failing else workers

    @property
    def ports(self) -> dict[str, int]:
        """The port of each open door."""
        return {listener.door: listener.port for listener in self._listeners}

    def _catch_signals(self) -> None:
        reading, writing = socket.socketpair()
        for end in (reading, writing):
            end.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        self._signal_ends = (reading, writing)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._selector.register(reading, selectors.EVENT_READ, self._on_signals)

    def _open_status(self, run_dir: Path) -> None:
        folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(STATUS_SOCKET, dir_fd=folder)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.setblocking(False)
        listening.bind(f"/proc/self/fd/{folder}/{STATUS_SOCKET}")  # a socket path is at most 107 octets long
        os.chmod(run_dir / STATUS_SOCKET, 0o600)
        os.close(folder)
        listening.listen(16)
        self._selector.register(listening, selectors.EVENT_READ, lambda: self._write_status(listening))

    def _spawn(self, child: Child) -> None:
        """Start a child; where the machine has no room for one now, it is tried again as after a death."""
        child.restart_at = None
        child.started_at = self._clock.monotonic()
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._put_off(child, error)
            return
        try:
            child.process = self._fork(child, theirs)
        except OSError as error:
            ours.close()
            self._put_off(child, error)
            return
        finally:
            theirs.close()
        child.channel = Channel(ours)
        child.ready, child.report = False, {}
        child.owed.pop("reload", None)  # it is started with the newest configuration
        child.heard_at = child.started_at
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_message(child))

    def _fork(self, child: Child, theirs: socket.socket) -> Forked:
        config = self.config.model_dump_json()
        spec = ChildSpec(child.role, child.name, config, theirs.fileno(), secret=self._secret, tee=self._tee, locks=self._locks)
        if child.role in ("worker", "web"):
            mine = [one for one in self._listeners if (one.door in WEB_DOORS) is (child.role == "web")]
            spec = replace(spec, listeners=tuple((one.door, one.socket.fileno()) for one in mine))
        if child.role == "worker":
            spec = replace(spec, tally=self._tally, row=child.row)
        return fork(lambda: self._be(spec), spec.descriptors(), f"mic-{child.name}")

    def _put_off(self, child: Child, error: OSError) -> None:
        """No descriptor, no memory, no process: the others go on serving, and so must who would start the missing one."""
        self._wait_before_restart(child)
        self._log.event("process_not_started", process=child.name, error=described(error), restart_in=child.pause)
        self._go_on_without(child)

    # Running
    def run(self) -> bool:
        """Until everything has ended; False if the server never became ready and gave up."""
        while any(child.process is not None or child.restart_at is not None for child in self._children):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._look_at_the_clock()
        self._close()
        return self._announced or not self._given_up

    def _patience(self) -> float:
        """Seconds until something is due; at least each second a look."""
        now = self._clock.monotonic()
        due = [child.restart_at for child in self._children if child.restart_at is not None]
        if self._draining_until is not None:
            due.append(self._draining_until)
        if self._watchdog_interval is not None:
            due.append(self._alive_at + self._watchdog_interval)
        return max(0.0, min([1.0, *(instant - now for instant in due)]))

    @property
    def _watchdog_interval(self) -> float | None:
        """Seconds between two signs of life; None until the server is ready: systemd counts from there, and signs of life
        before it could fill its queue (10 datagrams), so that READY=1 would be lost."""
        seconds = self._notifier.watchdog_seconds
        return seconds / 3 if seconds is not None and self._announced else None

    def _look_at_the_clock(self) -> None:
        now = self._clock.monotonic()
        if self._draining_until is not None and now >= self._draining_until:
            self._kill_all("drain_overdue")
        has_stood_still = now > self._looked_at + STOOD_STILL_SECONDS
        self._looked_at = now
        for child in self._children:
            if has_stood_still:
                child.heard_at = now
            if child.restart_at is not None and now >= child.restart_at:
                self._spawn(child)
            patience = self._patience_with(child)
            is_hung = self._draining_until is None and now > child.heard_at + patience  # who drains says nothing any more
            if child.process is not None and is_hung:
                self._log.event("process_hung", process=child.name, pid=child.process.pid)
                child.process.kill()
                child.heard_at = now
        if self._watchdog_interval is not None and now >= self._alive_at + self._watchdog_interval:
            self._alive_at = now
            self._notifier.alive()

    def _patience_with(self, child: Child) -> float:
        """Seconds for which nothing may be heard of it."""
        if child.is_leaving:
            return max(HUNG_SECONDS, self.config.process.drain_seconds + DRAIN_MARGIN)
        return HUNG_SECONDS if child.ready else STARTING_SECONDS

    def _on_signals(self) -> None:
        for number in set(self._signal_ends[0].recv(4096)):
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self.reload()
            else:
                self.drain()

    def _on_message(self, child: Child) -> None:
        if child.channel is None:  # it has been reaped since it was heard of, in the same look at the selector
            return
        for message in child.channel.receive():
            if message is None:  # the child is ending; SIGCHLD tells how
                self._selector.unregister(child.channel.socket)
                return
            child.heard_at = self._clock.monotonic()
            if message.get("told") == "ready":
                if isinstance(protection := message.get("protection"), dict):
                    event = "process_unconfined" if protection.get("missing") else "process_confined"
                    self._log.event(event, of=child.name, **protection)
                self._has_come_up(child)
            elif message.get("told") == "report":
                child.report = message
                self._replace_next()
            self._pay(child)

    def _has_come_up(self, child: Child) -> None:
        was_failing = child.is_failing
        child.ready, child.failures = True, 0
        if was_failing:
            self._log.event("process_recovered", process=child.name, restarts=child.restarts)
            self._notify_systemd()
        self._announce_ready()
        self._replace_next()

    def _replace_next(self) -> None:
        """Let one that is outgrown drain, if nobody else does or is missing: so somebody goes on serving."""
        outgrown = [child for child in self._children if child.report.get("outgrown") is True and child.ready]
        are_there = not any(child.is_leaving or (child.is_needed and not child.ready) for child in self._children)
        if outgrown and are_there and self._draining_until is None:
            outgrown[0].is_leaving = True
            self._log.event("process_replaced", process=outgrown[0].name)
            self._send_order(outgrown[0], {"do": "drain"})

    def _announce_ready(self) -> None:
        """Let those who wait know, once."""
        if self._announced or not self._is_ready:
            return
        self._announced = True
        self._log.event("server_ready", seconds=round((self._clock.now() - self._started_at).total_seconds(), 2))
        self._notify_systemd()
        self._spawn_the_others()

    @property
    def _is_ready(self) -> bool:
        """Whether everybody who is needed is ready or failing, and some worker serves."""
        needed = [child for child in self._children if child.is_needed]
        serves = any(child.ready for child in needed if child.role == "worker")
        return serves and all(child.ready or child.is_failing for child in needed)

    def _notify_systemd(self) -> None:
        """That the server is ready, and with whom; once it is."""
        if self._announced and self._draining_until is None:
            self._notifier.ready(self._workers)

    def _spawn_the_others(self) -> None:
        """Who has mail waits for nobody who is not needed for it; who comes to the pages meanwhile waits in the backlog."""
        for child in self._children:
            if not child.is_needed and self._draining_until is None:
                self._spawn(child)

    def _reap(self) -> None:
        for child in self._children:
            process = child.process
            if process is None or process.poll() is None:
                continue
            child.process = None
            self._hang_up(child)
            if self._draining_until is None:
                if child.is_leaving and process.returncode == 0:
                    child.ready, child.restart_at = False, self._clock.monotonic()
                else:
                    self._plan_restart(child, process)
                child.is_leaving = False
                self._have_recovered()
                self._go_on_without(child)
        self._reap_orphans()

    def _reap_orphans(self) -> None:
        """The first process of a container inherits what its dead children had started."""
        ours = {child.process.pid for child in self._children if child.process is not None}
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid not in ours:
                os.waitpid(dead.si_pid, 0)

    def _hang_up(self, child: Child) -> None:
        if child.channel is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.channel.socket)
            child.channel.close()
            child.channel = None

    def _plan_restart(self, child: Child, process: Forked) -> None:
        lived = self._wait_before_restart(child)
        self._log.event(
            "process_died",
            process=child.name,
            pid=process.pid,
            exit_code=process.returncode,
            lived_seconds=round(lived, 1),
            restart_in=child.pause,
        )

    def _wait_before_restart(self, child: Child) -> float:
        """Say when the child shall be started; how many seconds it has lived."""
        now = self._clock.monotonic()
        lived = now - child.started_at
        child.failures = 0 if child.ready else child.failures + 1
        longest = LONGEST_PAUSE_FAILING if child.is_failing else LONGEST_PAUSE
        has_served = child.ready and lived >= LONG_LIFE
        child.pause = 0.0 if has_served else min(longest, max(FIRST_PAUSE, 2 * child.pause))
        child.restart_at = now + child.pause
        child.restarts += 1
        child.ready = False
        return lived

    def _have_recovered(self) -> None:
        """What the dead had acknowledged and not yet delivered lies in the spool: the housekeeper takes it up now."""
        for child in self._children:
            if child.role == "housekeeper":
                self._order(child, {"do": "recover"})

    def _go_on_without(self, child: Child) -> None:
        """A child that does not come to be ready is an alarm, and no reason to end those who serve. Where nobody serves at the
        start, what cannot start the first time will not start the tenth time: systemd or a person has to know."""
        if child.failures == FIRST_ATTEMPTS:
            self._log.event("process_failing", process=child.name, failures=child.failures)
            self._notify_systemd()
        if self._announced or self._draining_until is not None:
            return
        if all(worker.is_failing for worker in self._children if worker.role == "worker"):
            self._given_up = True
            self._log.event("start_failed", process=child.name)
            self.drain()
        else:
            self._announce_ready()

    # Changing
    def reload(self) -> None:
        """Read the configuration again and hand it on; a file with mistakes changes nothing."""
        if self._draining_until is not None:
            return
        if self._announced:  # whoever is told of a reload takes the server for ready
            self._notifier.reloading()
        fresh, mistakes = self._read_again()
        if fresh is None:
            self._log.event("reload_refused", mistakes=mistakes)
        else:
            found = changes(self.config, fresh)
            self.config = found.applied
            self._log.event(
                "configuration_reloaded", taken_over=list(found.taken_over), needs_restart=list(found.needs_restart)
            )
            order: Message = {"do": "reload", "config": self.config.model_dump_json()}
            for child in self._children:
                self._order(child, order)
        self._notify_systemd()

    def _read_again(self) -> tuple[Config | None, Sequence[Text | str]]:
        """A configuration by which a child could be started, or what is wrong with it."""
        try:
            fresh = self._reread()
            mistakes = [
                Text(f"{each.key}: {each.reason.vi}", f"{each.key}: {each.reason.en}") for each in certificate_problems(fresh)
            ]
        except ConfigErrors as errors:
            return None, [each.text for each in errors.mistakes]
        except MicMailError as error:
            return None, [error.text]
        except Exception as error:  # noqa: BLE001 - whatever stands in the file, the server goes on
            return None, [repr(error)]
        return (None if mistakes else fresh), mistakes

    def _order(self, child: Child, order: Message) -> None:
        """Tell a child, now or when it is ready."""
        if child.ready:
            self._send_order(child, order)
        else:
            child.owed[str(order["do"])] = order

    def _send_order(self, child: Child, order: Message) -> None:
        """One that does not read now is owed the newest order of each kind, until it is heard of again."""
        if child.channel is None or not child.channel.send(order):
            child.owed[str(order["do"])] = order

    def _pay(self, child: Child) -> None:
        """It was heard of: what it has not been told, or not whole."""
        if child.channel is not None and child.channel.flush() and child.ready:
            owed, child.owed = child.owed, {}
            for order in owed.values():
                self._send_order(child, order)

    def drain(self) -> None:
        """Let no new connection in and everything that runs come to its end; the second time: at once."""
        if self._draining_until is not None:
            self._kill_all("drain_cut_short")
            return
        self._notifier.stopping()
        self._log.event("server_stopping", seconds=self.config.process.drain_seconds)
        self._draining_until = self._clock.monotonic() + self.config.process.drain_seconds + DRAIN_MARGIN
        net.close(self._listeners)
        for child in self._children:
            child.restart_at = None
            self._send_order(child, {"do": "drain"})  # at once: one that is not ready may be waiting for another's end

    def _kill_all(self, why: str) -> None:
        for child in self._children:
            if child.process is not None:
                self._log.event(why, process=child.name, pid=child.process.pid)
                child.process.kill()
        self._draining_until = self._clock.monotonic() + LONGEST_PAUSE

    def _close(self) -> None:
        self._log.event("server_stopped")
        signal.set_wakeup_fd(-1)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._signal_ends[1].close()

    # Telling
    def _write_status(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            asking, _ = listening.accept()
            with asking:
                asking.settimeout(LONGEST_ANSWER)
                asking.sendall(json.dumps(self.status()).encode())

    def status(self) -> Message:
        """The state of everything, for `mic-mail status`."""
        now = self._clock.monotonic()
        return {
            "pid": os.getpid(),
            "started_at": self._started_at.isoformat(),
            "domain": self.config.server.domain,
            "hostname": self.config.server.hostname,
            "ready": self._is_ready,
            "draining": self._draining_until is not None,
            "ports": self.ports if self._draining_until is None else {},
            "processes": [
                {
                    "name": child.name,
                    "pid": child.process.pid if child.process is not None else None,
                    "ready": child.ready,
                    "restarts": child.restarts,
                    "failures": child.failures,
                    "failing": child.is_failing,
                    "up_seconds": round(now - child.started_at, 1) if child.process is not None else 0.0,
                    **{key: value for key, value in child.report.items() if key != "told"},
                }
                for child in self._children
            ],
        }
