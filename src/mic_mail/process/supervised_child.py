"""A child as the supervisor sees it: its process, its channel, and when it is started again.

In: what happens to the child, and the time. Out: when it is due to start, whether it is failing, when it counts as hung; its
orders, kept while it does not read; its last report. Nothing is forked, killed or logged here (`process.supervisor`).
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from mic_mail.process.control_channel import Channel, Message
from mic_mail.process.demand import Demand
from mic_mail.process.fork import Forked

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LONGEST_PAUSE_FAILING = 60.0
"""The longest pause for a failing child: each attempt costs the others a second of a core."""
FIRST_ATTEMPTS = 3
"""Deaths in a row, without having been ready, that make a child failing.

The server no longer waits for a failing child.
"""
LONG_LIFE = 10.0
"""A child that has served for so long is restarted without a pause."""
HUNG_SECONDS = 60.0
"""A child that was ready and has not reported for so long is killed."""
STARTING_SECONDS = 600.0
"""The same limit for a child that is not ready yet.

The updates and waits that a start may need take far less.
"""
ANSWER_SECONDS = 1.0
"""A child that is asked for a report has so long to send it."""


@dataclass(slots=True)
class SupervisedChild:
    """A process that should be running, or on demand."""

    role: str
    name: str
    row: int = 0
    demand: Demand | None = None
    """The start of a child that runs on demand; None: it always runs."""
    is_resting: bool = False
    """The child has no process, and is started when there is work for it."""
    signals: Sequence[socket.socket] = ()
    """The sockets that signal work to a resting child."""
    look_at: float = 0.0
    """When to look for work for a resting child."""
    last_word: Message = field(default_factory=dict)
    """The message by which the child last ended for lack of work."""
    process: Forked | None = None
    channel: Channel | None = None
    ready: bool = False
    started_at: float = 0.0
    heard_at: float = 0.0
    restart_at: float | None = None
    pause: float = 0.0
    restarts: int = 0
    failures: int = 0
    """Deaths in a row before the child was ready."""
    report: Message = field(default_factory=dict)
    reported_at: float = 0.0
    unanswered_since: float | None = None
    """When the first question was asked since the last report."""
    is_leaving: bool = False
    """The child drains: it is idle, or needs what its confinement forbids, so that another takes its place."""
    pending: dict[str, Message] = field(default_factory=dict)
    """Orders to send once the child reads again: the newest of each kind."""

    @property
    def is_needed(self) -> bool:
        """Return whether the server cannot run without this child: mail goes on without the others, or waits."""
        return self.role not in ("indexer", "web", "sender")

    @property
    def is_failing(self) -> bool:
        """Return whether the child has repeatedly died before it was ready."""
        return self.failures >= FIRST_ATTEMPTS

    def hung_at(self, drain_seconds: float) -> float:
        """Return when the child will have been silent for too long; a leaving one may take `drain_seconds`."""
        patience = HUNG_SECONDS if self.ready else STARTING_SECONDS
        if self.is_leaving:
            patience = max(HUNG_SECONDS, drain_seconds)
        return self.heard_at + patience

    # Starting
    def has_started(self, process: Forked, channel: Channel) -> None:
        """Note that the child runs; its process was forked at `started_at`."""
        self.process, self.channel = process, channel
        self.ready, self.report, self.unanswered_since, self.last_word = False, {}, None, {}
        for order in (
            "reload",
            "drain",
            "report",
        ):  # the configuration is the newest, the others were its predecessor's
            self.pending.pop(order, None)
        self.heard_at = self.reported_at = self.started_at

    def put_off(self, now: float) -> float:
        """Set the time of the next start, and return how many seconds the child has lived."""
        lived = now - self.started_at
        self.failures = 0 if self.ready else self.failures + 1
        longest = LONGEST_PAUSE_FAILING if self.is_failing else LONGEST_PAUSE
        has_served = self.ready and lived >= LONG_LIFE
        self.pause = 0.0 if has_served else min(longest, max(FIRST_PAUSE, 2 * self.pause))
        self.restart_at = now + self.pause
        self.restarts += 1
        self.ready = False
        return lived

    # Demand
    @property
    def is_idle(self) -> bool:
        """Return whether the process that ran last has said that it ends for lack of work."""
        return self.demand is not None and bool(self.last_word)

    def rest(self, now: float) -> None:
        """Begin to wait for work without a process."""
        assert self.demand is not None
        self.is_resting, self.ready, self.unanswered_since = True, False, None
        self.signals, self.look_at = self.demand.open(), now + self.demand.look_seconds

    def is_needed_now(self, now: float) -> bool:
        """Look for work for a resting child, and set the time of the next look."""
        if not self.is_resting or self.demand is None:
            return False
        self.look_at = now + self.demand.look_seconds
        try:
            return self.demand.has_work(self.last_word)
        except Exception:  # noqa: BLE001 - the child meets it, too, and logs it; the server goes on
            return True

    def end_rest(self) -> None:
        """Stop waiting for work: the child is started, or the server ends."""
        assert self.demand is not None
        self.demand.close()
        self.is_resting, self.signals = False, ()

    # Reports
    def is_silent(self, now: float) -> bool:
        """Return whether the child owes a report for ANSWER_SECONDS."""
        return self.unanswered_since is not None and now >= self.unanswered_since + ANSWER_SECONDS

    def ask(self, question: int, now: float) -> bool:
        """Ask for a report, and return whether to wait for it.

        A child that is silent is not asked again before it has reported: it would have to answer each question later.
        """
        if not self.ready or self.is_leaving or self.is_silent(now):
            return False
        if self.unanswered_since is None:
            self.unanswered_since = now
        self.send({"do": "report", "question": question})
        return True

    def has_reported(self, report: Message, now: float) -> None:
        self.report, self.reported_at, self.unanswered_since = report, now, None

    # Orders
    def order(self, order: Message) -> None:
        """Send an order, or keep it until the child is ready."""
        if self.ready:
            self.send(order)
        else:
            self._keep(order)

    def send(self, order: Message) -> None:
        """Send an order; if the child does not read now, keep the newest of each kind until its next message."""
        if self.channel is None or not self.channel.send(order):
            self._keep(order)

    def _keep(self, order: Message) -> None:
        self.pending[str(order["do"])] = order

    @property
    def has_pending_orders(self) -> bool:
        """Return whether a child that can take orders has not accepted all of them."""
        return self.channel is not None and (self.channel.has_unsent or (self.ready and bool(self.pending)))

    def send_pending(self) -> None:
        """Send what was kept, as far as the child accepts it now."""
        if self.channel is not None and self.channel.flush() and self.ready:
            pending, self.pending = self.pending, {}
            for order in pending.values():
                self.send(order)

    def status(self, now: float) -> Message:
        """Return the state of the child, for `mic-mail status`.

        A resting child is ready: it starts when it is needed. Its numbers are those of its last process.
        """
        resting: Message = {"resting": True, **self.demand.report} if self.is_resting and self.demand is not None else {}
        return {
            "name": self.name,
            "pid": self.process.pid if self.process is not None else None,
            "ready": self.ready or self.is_resting,
            "restarts": self.restarts,
            "failures": self.failures,
            "failing": self.is_failing,
            "up_seconds": round(now - self.started_at, 1) if self.process is not None else 0.0,
            **({"silent_seconds": round(now - self.reported_at, 1)} if self.is_silent(now) else {}),
            **{key: value for key, value in self.report.items() if key not in ("kind", "question")},
            **resting,
        }
