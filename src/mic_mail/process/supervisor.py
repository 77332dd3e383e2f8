"""The supervisor: the parent of all processes of one server. It serves no connection itself.

    start    lock the data -> bind the ports -> give up root -> load what workers need -> fork N workers and a housekeeper with
             their sockets; when these are ready, a sender, an indexer and a process for the web pages, each once it is needed
    a death  the child is restarted with the same sockets, immediately the first time, then after growing pauses; one that dies
             repeatedly before it is ready raises an alarm, and the others serve without it
    rest     a child that runs on demand says that it has nothing to do, and ends; it is started again when there is work for it
             (`process.demand`)
    SIGHUP   the configuration is read again; what can change is sent to the children, the rest is named in the log; a child
             whose confinement is too narrow for the new configuration drains and is restarted, one after the other
    SIGTERM  the sockets close and the children drain; one that is not done in time is killed; a second signal kills immediately
    the end of the supervisor, however it comes, closes the channel that each child reads

One thread, one selector, no event loop: no SQLite, no TLS connection or key, and no thread exists in this process, so forking a
child at any time is safe (`process.fork`). It sleeps until something arrives or is due. A client that connects to
`<run_dir>/status` gets the whole state as one JSON object, once the children have reported (`process.status_questions`).
"""

import contextlib
import os
import secrets
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.diff import changes
from mic_mail.config.model import Config
from mic_mail.heap import fill_gaps, settle
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.net import listeners as net
from mic_mail.net.connection_balancer import new_page
from mic_mail.net.listeners import WEB_DOORS, Listener
from mic_mail.process.control_channel import Channel, ChildSpec, Message
from mic_mail.process.demand import ConnectionDemand, Demand
from mic_mail.process.feed_sockets import PREFIX
from mic_mail.process.fork import Forked, fork, reap_orphans
from mic_mail.process.startup import read_again
from mic_mail.process.status_questions import StatusQuestions
from mic_mail.process.supervised_child import FIRST_ATTEMPTS, SupervisedChild
from mic_mail.process.systemd import Notifier

MEANINGLESS_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""Signals that other servers take as orders and that would end this one; children inherit that they are ignored."""
LOOK_SECONDS = 10.0
"""The longest time between two looks at the clock."""
STOOD_STILL_SECONDS = LOOK_SECONDS + 5.0
"""A gap between two looks at the clock that means this process was suspended.

A paused container or SIGSTOP suspends the children, too: their time to report starts anew. A shorter pause leaves them enough
of HUNG_SECONDS.
"""
ORDER_SECONDS = 1.0
"""An order that a child could not take, because its channel was full, is offered again after so many seconds."""
DRAIN_MARGIN = 3.0
KILLED_SECONDS = 5.0
"""Seconds from one SIGKILL for all children to the next."""


class Supervisor:
    """A running server as its parent process sees it. Create it, `start` it, `run` it."""

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
        demands: Mapping[str, Demand] | None = None,
    ) -> None:
        """Prepare to supervise a server of this configuration.

        `be` runs as the child and returns its exit code; everything that it needs is loaded by now. `locks` are the descriptors
        of the data locks, which every child holds, too. A child whose role is in `demands` runs only while it is needed; the
        web process starts with its first connection.
        """
        self.config = config
        self._reread = reread
        self._log = log
        self._clock = clock
        self._tee = tee
        self._locks = tuple(locks)
        self._notifier = notifier or Notifier()
        self._demands = dict(demands or {})
        self._be = be
        self._selector = selectors.DefaultSelector()
        self._children: list[SupervisedChild] = []
        self._listeners: tuple[Listener, ...] = ()
        self._tally = -1
        self._secret = secrets.token_hex(32)
        self._draining_until: float | None = None
        self._announced = False
        """The server was ready once: systemd has been notified, and the supervisor no longer gives up."""
        self._given_up = False
        self._started_at = clock.now()
        self._alive_at = 0.0
        self._looked_at = clock.monotonic()
        self._questions = StatusQuestions(self.status)

    # Beginning
    def start(self, listeners: Sequence[Listener], workers: int) -> None:
        """Start workers on these sockets and the housekeeper.

        Other children start when the server is ready, those on demand once there is work for them.
        """
        run_dir = self.config.run_dir
        for stale in run_dir.glob(PREFIX + "*"):
            stale.unlink(missing_ok=True)
        self._catch_signals()
        self._open_status(run_dir)
        self._listeners = tuple(listeners)
        self._tally = new_page(workers)
        self._children = [SupervisedChild("worker", f"worker{row}", row) for row in range(workers)]
        self._children.append(SupervisedChild("housekeeper", "house"))
        self._children.append(SupervisedChild("sender", "sender", demand=self._demands.get("sender")))
        if self.config.search.enabled:
            self._children.append(SupervisedChild("indexer", "index", demand=self._demands.get("indexer")))
        if pages := [listener.socket for listener in listeners if listener.door in WEB_DOORS]:
            self._children.append(SupervisedChild("web", "web", demand=ConnectionDemand(pages)))
        self._log.event("server_started", pid=os.getpid(), workers=workers, doors=self.ports)
        settle()
        fill_gaps()
        for child in self._children:
            if child.demand is not None:  # before the workers start, which shall find its socket
                child.rest(self._clock.monotonic())
        for child in self._children:
            if child.is_needed:
                self._spawn(child)

    @property
    def _workers(self) -> str:
        failing = [child.name for child in self._children if child.is_failing]
        workers = f"{sum(child.role == 'worker' for child in self._children)} workers"
        return f"{workers}; failing: {', '.join(failing)}" if failing else workers

    @property
    def ports(self) -> dict[str, int]:
        """The port of each open listener."""
        return {listener.door: listener.port for listener in self._listeners}

    def _catch_signals(self) -> None:
        reading, writing = socket.socketpair()
        for end in (reading, writing):
            end.setblocking(False)
        signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        self._signal_ends = (reading, writing)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        for number in MEANINGLESS_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._selector.register(reading, selectors.EVENT_READ, self._on_signals)

    def _open_status(self, run_dir: Path) -> None:
        listening = self._questions.listen(run_dir)
        self._selector.register(listening, selectors.EVENT_READ, lambda: self._on_question(listening))

    def _spawn(self, child: SupervisedChild) -> None:
        child.restart_at = None
        child.started_at = self._clock.monotonic()
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    process = self._fork(child, theirs)
                except OSError:
                    ours.close()
                    raise
        except OSError as error:
            self._put_off(child, error)
            return
        child.has_started(process, Channel(ours))
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_message(child))

    def _fork(self, child: SupervisedChild, theirs: socket.socket) -> Forked:
        spec = ChildSpec(
            child.role, child.name, self.config, theirs.fileno(), secret=self._secret, tee=self._tee, locks=self._locks
        )
        if child.role in ("worker", "web"):
            mine = [one for one in self._listeners if (one.door in WEB_DOORS) is (child.role == "web")]
            spec = replace(spec, listeners=tuple((one.door, one.socket.fileno()) for one in mine))
        if child.role == "worker":
            spec = replace(spec, tally=self._tally, row=child.row)
        return fork(lambda: self._be(spec), spec.descriptors(), f"mic-{child.name}")

    def _put_off(self, child: SupervisedChild, error: OSError) -> None:
        """Postpone the start of a child for lack of a descriptor, memory or a process; the others go on serving."""
        child.put_off(self._clock.monotonic())
        self._log.event("process_not_started", process=child.name, error=described(error), restart_in=child.pause)
        self._go_on_without(child)

    # Running
    def run(self) -> bool:
        """Run until all processes have ended; return False if the server never became ready and gave up."""
        while any(child.process is not None or child.restart_at is not None for child in self._children):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._look_at_the_clock()
        self._close()
        return self._announced or not self._given_up

    def _patience(self) -> float:
        """Return the seconds until something is due."""
        now = self._clock.monotonic()
        due = [now + LOOK_SECONDS, *(child.restart_at for child in self._children if child.restart_at is not None)]
        if self._announced:
            due += [child.look_at for child in self._children if child.is_resting]
        if self._draining_until is not None:
            due.append(self._draining_until)
        else:
            due += [child.hung_at(self._drain_seconds) for child in self._children if child.process is not None]
        if any(child.has_pending_orders for child in self._children):
            due.append(now + ORDER_SECONDS)
        if self._watchdog_interval is not None:
            due.append(self._alive_at + self._watchdog_interval)
        if (question := self._questions.due()) is not None:
            due.append(question)
        return max(0.0, min(due) - now)

    @property
    def _drain_seconds(self) -> float:
        return self.config.process.drain_seconds + DRAIN_MARGIN

    @property
    def _watchdog_interval(self) -> float | None:
        """Seconds between two watchdog notifications; None until the server is ready.

        systemd counts from READY=1. Notifications before it could fill systemd's queue (10 datagrams), and READY=1 would be
        lost.
        """
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
            if child.is_resting and now >= child.look_at:
                self._start_if_needed(child)
            # a draining child sends no reports
            if self._draining_until is None and child.process is not None and now >= child.hung_at(self._drain_seconds):
                self._log.event("process_hung", process=child.name, pid=child.process.pid)
                child.process.kill()
                child.heard_at = now
            if child.has_pending_orders:
                child.send_pending()
        self._questions.end_overdue(now)
        if self._watchdog_interval is not None and now >= self._alive_at + self._watchdog_interval:
            self._alive_at = now
            self._notifier.alive()

    def _on_signals(self) -> None:
        for number in set(self._signal_ends[0].recv(4096)):
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self.reload()
            else:
                self.drain()

    def _on_message(self, child: SupervisedChild) -> None:
        if child.channel is None:  # it was reaped in the same run of the selector
            return
        for message in child.channel.receive():
            if message is None:  # the child is ending; SIGCHLD tells how
                self._selector.unregister(child.channel.socket)
                return
            child.heard_at = self._clock.monotonic()
            if message.get("kind") == "ready":
                if isinstance(protection := message.get("protection"), dict):
                    event = "process_unconfined" if protection.get("missing") else "process_confined"
                    self._log.event(event, of=child.name, **protection)
                self._has_come_up(child)
            elif message.get("kind") == "report":
                child.has_reported(message, child.heard_at)
                self._questions.has_reported(child, message.get("question"))
                self._replace_next()
            elif message.get("kind") == "idle":
                child.is_leaving, child.last_word = True, message
            child.send_pending()

    def _has_come_up(self, child: SupervisedChild) -> None:
        was_failing = child.is_failing
        child.ready, child.failures = True, 0
        if was_failing:
            self._log.event("process_recovered", process=child.name, restarts=child.restarts)
            self._notify_systemd()
        self._announce_ready()
        self._replace_next()

    def _replace_next(self) -> None:
        """Let one outgrown child drain, if no other drains or is missing, so that the others go on serving."""
        outgrown = [child for child in self._children if child.report.get("outgrown") is True and child.ready]
        are_there = not any(child.is_leaving or (child.is_needed and not child.ready) for child in self._children)
        if outgrown and are_there and self._draining_until is None:
            outgrown[0].is_leaving = True
            outgrown[0].heard_at = self._clock.monotonic()  # all the time that it may take to drain begins now
            self._log.event("process_replaced", process=outgrown[0].name)
            outgrown[0].send({"do": "drain"})

    def _announce_ready(self) -> None:
        if self._announced or not self._is_ready:
            return
        self._announced = True
        self._log.event("server_ready", seconds=round((self._clock.now() - self._started_at).total_seconds(), 2))
        self._notify_systemd()
        self._spawn_the_others()

    @property
    def _is_ready(self) -> bool:
        needed = [child for child in self._children if child.is_needed]
        serves = any(child.ready for child in needed if child.role == "worker")
        return serves and all(child.ready or child.is_failing for child in needed)

    def _notify_systemd(self) -> None:
        if self._announced and self._draining_until is None:
            self._notifier.ready(self._workers)

    def _spawn_the_others(self) -> None:
        """Start the children that mail clients do not wait for; browsers wait in the backlog."""
        for child in self._children:
            if not child.is_needed and self._draining_until is None:
                if child.is_resting:
                    self._wait_for_work(child)
                else:
                    self._spawn(child)

    # Resting
    def _wait_for_work(self, child: SupervisedChild) -> None:
        """Start a resting child when there is work for it: now, at a signal, or at a later look."""
        for each in child.signals:
            self._selector.register(each, selectors.EVENT_READ, partial(self._on_signal_of_work, child, each))
        self._start_if_needed(child)

    def _on_signal_of_work(self, child: SupervisedChild, readable: socket.socket) -> None:
        if child.is_resting and child.demand is not None and child.demand.is_signalled(readable):
            self._start_if_needed(child)

    def _start_if_needed(self, child: SupervisedChild) -> None:
        if self._announced and self._draining_until is None and child.is_needed_now(self._clock.monotonic()):
            self._end_rest(child)
            self._spawn(child)

    def _end_rest(self, child: SupervisedChild) -> None:
        for each in child.signals:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
        child.end_rest()

    def _reap(self) -> None:
        for child in self._children:
            process = child.process
            if process is None or process.poll() is None:
                continue
            child.process = None
            self._read_last_messages(child)
            self._hang_up(child)
            if self._draining_until is None:
                self._follow_its_end(child, process)
                self._replace_next()
            self._questions.has_ended(child)
        reap_orphans({child.process.pid for child in self._children if child.process is not None})

    def _follow_its_end(self, child: SupervisedChild, process: Forked) -> None:
        """Let a child rest that had nothing to do; start any other again."""
        has_drained = child.is_leaving and process.returncode == 0
        child.is_leaving = False
        if has_drained and child.is_idle:
            self._log.event("process_idle", process=child.name, pid=process.pid)
            child.rest(self._clock.monotonic())
            self._wait_for_work(child)
            return
        if has_drained:
            child.ready, child.restart_at = False, self._clock.monotonic()
        else:
            self._plan_restart(child, process)
        self._have_recovered()
        self._go_on_without(child)

    def _read_last_messages(self, child: SupervisedChild) -> None:
        """Read what a child that has ended said last: SIGCHLD may be handled before it."""
        for message in child.channel.receive() if child.channel is not None else ():
            if message is not None and message.get("kind") == "idle":
                child.is_leaving, child.last_word = True, message
            elif message is not None and message.get("kind") == "report":
                child.has_reported(message, self._clock.monotonic())

    def _hang_up(self, child: SupervisedChild) -> None:
        if child.channel is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(child.channel.socket)
            child.channel.close()
            child.channel = None

    def _plan_restart(self, child: SupervisedChild, process: Forked) -> None:
        lived = child.put_off(self._clock.monotonic())
        self._log.event(
            "process_died",
            process=child.name,
            pid=process.pid,
            exit_code=process.returncode,
            lived_seconds=round(lived, 1),
            restart_in=child.pause,
        )

    def _have_recovered(self) -> None:
        """Have the housekeeper deliver what the dead child had acknowledged and left in the spool."""
        for child in self._children:
            if child.role == "housekeeper":
                child.order({"do": "recover"})

    def _go_on_without(self, child: SupervisedChild) -> None:
        """Raise an alarm for a child that does not become ready; the others go on serving.

        Where no worker serves at the start, the server gives up: what cannot start the first times will not start the tenth
        time, and systemd or an administrator has to know.
        """
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
        """Read the configuration again and pass it on; a file with mistakes changes nothing."""
        if self._draining_until is not None:
            return
        if self._announced:  # systemd takes a server that announces a reload for ready
            self._notifier.reloading()
        fresh, mistakes = read_again(self._reread)
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
                child.order(order)
        self._notify_systemd()

    def drain(self) -> None:
        """Close the listening sockets and let all children finish; called again, kill them."""
        if self._draining_until is not None:
            self._kill_all("drain_cut_short")
            return
        self._notifier.stopping()
        self._log.event("server_stopping", seconds=self.config.process.drain_seconds)
        self._draining_until = self._clock.monotonic() + self.config.process.drain_seconds + DRAIN_MARGIN
        for child in self._children:
            if child.is_resting:
                self._end_rest(child)
        net.close(self._listeners)
        for child in self._children:
            child.restart_at = None
            child.send({"do": "drain"})  # even to one that is not ready: it may be waiting for another's end

    def _kill_all(self, why: str) -> None:
        for child in self._children:
            if child.process is not None:
                self._log.event(why, process=child.name, pid=child.process.pid)
                child.process.kill()
        self._draining_until = self._clock.monotonic() + KILLED_SECONDS

    def _close(self) -> None:
        self._log.event("server_stopped")
        signal.set_wakeup_fd(-1)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._signal_ends[1].close()

    # Telling
    def _on_question(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            asking, _ = listening.accept()
            # a draining child sends no reports
            asked = self._children if self._draining_until is None else []
            self._questions.ask(asking, asked, self._clock.monotonic())

    def status(self) -> Message:
        """Return the whole state, for `mic-mail status`."""
        now = self._clock.monotonic()
        return {
            "pid": os.getpid(),
            "started_at": self._started_at.isoformat(),
            "domain": self.config.server.domain,
            "hostname": self.config.server.hostname,
            "ready": self._is_ready,
            "draining": self._draining_until is not None,
            "sending_paused": self.config.sending.paused,
            "ports": self.ports if self._draining_until is None else {},
            "processes": [child.status(now) for child in self._children],
        }
