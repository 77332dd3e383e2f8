"""The log as a whole: loaded into its index, anchored, verified, read by administrators (Reg. 8.2, 14.4, 16.3, 17).

In: the log's folder, the directory's snapshot (for the heads of the chains of facts), the clock. Out: the housekeeper's duties,
the lives of messages, a verdict over log and facts. The duties are safe to be killed anywhere and to be done twice; they run in
the io lane. The rest blocks and belongs to commands.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Snapshot
from mic_mail.errors import BadInput, Text
from mic_mail.log.anchor_chain import Anchor, AnchorFile, Head
from mic_mail.log.anchor_writer import Anchoring
from mic_mail.log.files import digest, oldest_line
from mic_mail.log.index_loader import load_some
from mic_mail.log.maillog import MailLog
from mic_mail.log.query import Query
from mic_mail.log.search import Found, Search
from mic_mail.log.verify import Finding, Verdict, Wrong, verify
from mic_mail.policy.facts import first_broken
from mic_mail.process.executors import Executors

MOST_TRACES = 20
"""Messages that one Message-ID may name: a mail program that sends a message again uses it again."""
MOST_OF_ONE = 5_000
MOST_EXPORTED = 500_000
"""Lines of one excerpt: some hundred megabytes while it is made."""
BEGINS_BY = timedelta(days=1)
"""The log has a line at most so long after the first fact of a mailbox."""
FIRST_STEPS = ("signed_in", "message_accepted")


class LogKeeping:
    """The housekeeper's duties about the log."""

    def __init__(self, folder: Path, snapshot: Callable[[], Snapshot], *, clock: Clock, lanes: Executors, log: MailLog) -> None:
        self._folder = folder
        self._snapshot = snapshot
        self._clock = clock
        self._lanes = lanes
        self._log = log
        self._anchoring = Anchoring(folder)

    async def load(self) -> None:
        """What has been written since the last round goes into the index, in small steps."""
        more = True
        while more:
            step = await self._lanes.io(load_some, self._folder)
            more = step.more
            if step.damaged is not None:
                self._log.event("log_index_remade", reason=step.damaged)

    async def anchor(self) -> None:
        """The state of the log, and days that are over, go into the chain."""
        made: list[Anchor] = []
        more = True
        while more:
            heads = heads_of(self._snapshot())
            anchor, more = await self._lanes.io(self._anchoring.anchor, self._clock.now(), heads)
            made.extend([anchor] if anchor is not None else ())
        for anchor in made:  # not before: each event is something new to be anchored
            self._log_anchor(anchor, digest(anchor.encode()))

    def _log_anchor(self, anchor: Anchor, head: str) -> None:
        """The mail log tells of each record: who takes one away would have to alter what the next one holds."""
        closes = [day.isoformat() for day in anchor.closes] if anchor.closes else None
        self._log.event("log_anchored", number=anchor.number, head=head, kind=anchor.kind, closes=closes)


def heads_of(snapshot: Snapshot) -> list[Head]:
    """Where the chain of facts of each mailbox ends now."""
    ends = ((entry.mailbox_id, entry.facts[-1]) for entry in snapshot if entry.facts)
    return [Head(mailbox_id, fact.seq, fact.digest.hex()) for mailbox_id, fact in ends]


def anchor_now(folder: Path, snapshot: Snapshot, now: datetime) -> int:
    """For a command: put what is new into the chain; how many records that took."""
    anchoring, count, more = Anchoring(folder), 0, True
    while more:
        anchor, more = anchoring.anchor(now, heads_of(snapshot))
        count += anchor is not None
    return count


def verify_all(folder: Path, snapshot: Snapshot, *, months: int, now: datetime, noted_head: str | None = None) -> Verdict:
    """The log, and the chains of facts against what the anchors hold of them."""
    verdict = verify(folder, months=months, now=now, noted_head=noted_head)
    verdict.findings.extend(_begun_late(folder, snapshot, verdict))
    verdict.findings.extend(_broken_facts(folder, snapshot))
    return verdict


def _begun_late(folder: Path, snapshot: Snapshot, verdict: Verdict) -> Iterable[Finding]:
    """Acts are kept for ever, and what mailboxes have on record was an act: a log that is younger is not the first one.

    A fault where no anchor is left either: all of it was deleted. Else a remark: a server that was brought back from a backup
    has a log of its own from that day on.
    """
    first = min((fact.recorded_at for entry in snapshot for fact in entry.facts), default=None)
    begins = oldest_line(folder)
    if first is not None and (begins is None or begins - first > BEGINS_BY):
        told = begins.date().isoformat() if begins is not None else ""
        kind = Wrong.BEGINS_LATE if verdict.anchors else Wrong.GONE
        yield Finding(kind, "", first.astimezone(UTC).date().isoformat(), told)


def _broken_facts(folder: Path, snapshot: Snapshot) -> Iterable[Finding]:
    digests: dict[tuple[int, int], str] = {}
    for entry in snapshot:
        digests.update({(entry.mailbox_id, fact.seq): fact.digest.hex() for fact in entry.facts})
        broken = first_broken(entry.facts)
        if broken is not None:
            yield Finding(Wrong.FACT_BROKEN, entry.address, f"{broken}")
    for line in AnchorFile(folder).lines():
        try:
            anchor = Anchor.decode(line)
        except ValueError:  # named by `verify`
            continue
        for head in anchor.heads:
            if digests.get((head.mailbox_id, head.seq)) != head.digest:
                named = snapshot.entry(head.mailbox_id)
                address = named.address if named is not None else f"mailbox {head.mailbox_id}"
                yield Finding(Wrong.FACT_OTHER, address, f"{head.seq}", f"anchor {anchor.number}")


@dataclass(frozen=True, slots=True)
class Life:
    """Everything that the log knows of one message."""

    trace: str
    lines: tuple[Found, ...]


def lives(search: Search, asked: str) -> list[Life]:
    """The messages that a trace id or a Message-ID names, each from the sign-in of its sender to the last delivery."""
    name = asked.strip()
    if "@" in name or name.startswith("<"):
        found = search.newest(Query(message_id=name), MOST_OF_ONE)
        traces = list(dict.fromkeys(str(one.fields["trace"]) for one in found if "trace" in one.fields))[-MOST_TRACES:]
    else:
        traces = [name.upper()]
    return [life for trace in traces if (life := _life(search, trace)).lines]


def _life(search: Search, trace: str) -> Life:
    lines = search.newest(Query(trace=trace), MOST_OF_ONE)
    sessions = {str(one.fields["session"]) for one in lines if one.fields.get("session") and one.fields.get("login")}
    before = [one for session in sessions for one in search.newest(Query(session=session, event="signed_in"), 1)]
    return Life(trace, tuple(sorted([*before, *lines], key=_step)))


def _step(one: Found) -> tuple[int, int, str, int]:
    """A sole recipient has the message before `250` is said and told: as it is read, acceptance comes first."""
    return FIRST_STEPS.index(one.what) if one.what in FIRST_STEPS else len(FIRST_STEPS), one.at_us, one.name, one.start


def excerpt(search: Search, *queries: Query) -> list[Found]:
    """What was asked for, and where a mailbox is named also the rest of the lives of its messages (Reg. 14.4)."""
    found: dict[tuple[str, int], Found] = {}
    for query in queries:
        latest = search.newest(query, MOST_EXPORTED + 1 - len(found))
        found.update({(one.name, one.start): one for one in latest})
        if len(found) > MOST_EXPORTED:
            raise BadInput(
                Text(f"Quá {MOST_EXPORTED} dòng nhật ký.", f"More than {MOST_EXPORTED} lines."),
                remedy=Text("Chọn khoảng ngắn hơn, hoặc một hộp thư.", "Name a shorter span, or a mailbox."),
            )
        if query.mailbox is not None:
            for trace in {str(trace) for one in latest if (trace := one.fields.get("trace"))}:
                found.update({(one.name, one.start): one for one in search.newest(Query(trace=trace), MOST_OF_ONE)})
    return sorted(found.values(), key=lambda one: (one.at_us, one.name, one.start))
