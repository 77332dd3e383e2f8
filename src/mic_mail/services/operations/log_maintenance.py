"""The log as a whole: indexed, anchored, verified, read by administrators (Reg. 8.2, 14.4, 16.3, 17).

In: the log's folder, the directory's snapshot (for the heads of the chains of facts), the clock. Out: the housekeeper's
jobs, the lives of messages, a verdict on log and facts. The jobs are safe to be killed anywhere and to be repeated;
they run in the io executor. The rest blocks and belongs to commands.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mic_mail.directory.snapshot import Snapshot
from mic_mail.errors import BadInput, Text
from mic_mail.log.anchor_chain import Anchor, AnchorFile, Head
from mic_mail.log.anchor_writer import AnchorWriter
from mic_mail.log.files import digest, oldest_line
from mic_mail.log.index_loader import load_some
from mic_mail.log.query import Query
from mic_mail.log.search import FoundLine, LogSearch
from mic_mail.log.verify import LogFault, LogFinding, LogVerification, verify
from mic_mail.policy.facts import first_broken
from mic_mail.process.runtime import Runtime

MOST_TRACES = 20
"""The messages that one Message-ID may name: a mail program that resends a message reuses it."""
MOST_OF_ONE = 5_000
MOST_EXPORTED = 500_000
"""Lines of one excerpt: some hundred megabytes while it is made."""
BEGINS_BY = timedelta(days=1)
"""The maximum time from the first fact of a mailbox to the first line of the log."""
FIRST_STEPS = ("signed_in", "message_accepted")


class LogKeeping:
    """The housekeeper's jobs on the log."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._folder = runtime.config().log_dir
        self._anchoring = AnchorWriter(self._folder)

    async def load(self) -> None:
        """Load lines written since the last run into the index, in small steps."""
        more = True
        while more:
            step = await self._runtime.executors.io(load_some, self._folder)
            more = step.more
            if step.damaged is not None:
                self._runtime.log.event("log_index_remade", reason=step.damaged)

    async def anchor(self) -> None:
        """Add the state of the log, and days that are over, to the anchor chain."""
        made: list[Anchor] = []
        more = True
        while more:
            heads = heads_of(self._runtime.snapshot())
            anchor, more = await self._runtime.executors.io(self._anchoring.anchor, self._runtime.clock.now(), heads)
            made.extend([anchor] if anchor is not None else ())
        for anchor in made:  # only now: each event is new and has to be anchored
            self._log_anchor(anchor, digest(anchor.encode()))

    def _log_anchor(self, anchor: Anchor, head: str) -> None:
        """Log each anchor: to remove one, a forger would have to alter what the next one holds."""
        closes = [day.isoformat() for day in anchor.closes] if anchor.closes else None
        self._runtime.log.event("log_anchored", number=anchor.number, head=head, kind=anchor.kind, closes=closes)


def heads_of(snapshot: Snapshot) -> list[Head]:
    """Return the present head of each mailbox's chain of facts."""
    ends = ((entry.mailbox_id, entry.facts[-1]) for entry in snapshot if entry.facts)
    return [Head(mailbox_id, fact.seq, fact.digest.hex()) for mailbox_id, fact in ends]


def anchor_now(folder: Path, snapshot: Snapshot, now: datetime) -> int:
    """Anchor everything new, for a command; return how many records that took."""
    anchoring, count, more = AnchorWriter(folder), 0, True
    while more:
        anchor, more = anchoring.anchor(now, heads_of(snapshot))
        count += anchor is not None
    return count


def verify_all(
    folder: Path, snapshot: Snapshot, *, months: int, now: datetime, noted_head: str | None = None
) -> LogVerification:
    """Verify the log, and the chains of facts against the anchors."""
    verdict = verify(folder, months=months, now=now, noted_head=noted_head)
    verdict.findings.extend(_begun_late(folder, snapshot, verdict))
    verdict.findings.extend(_broken_facts(folder, snapshot))
    return verdict


def _begun_late(folder: Path, snapshot: Snapshot, verdict: LogVerification) -> Iterable[LogFinding]:
    """Report a log younger than the oldest fact: acts are retained for ever, and every fact was an act.

    A fault where no anchor is left either: the whole log was deleted. Else a remark: a server restored from a backup has
    its own log from that day on.
    """
    first = min((fact.recorded_at for entry in snapshot for fact in entry.facts), default=None)
    begins = oldest_line(folder)
    if first is not None and (begins is None or begins - first > BEGINS_BY):
        begins_on = begins.date().isoformat() if begins is not None else ""
        kind = LogFault.BEGINS_LATE if verdict.anchors else LogFault.GONE
        yield LogFinding(kind, "", first.astimezone(UTC).date().isoformat(), begins_on)


def _broken_facts(folder: Path, snapshot: Snapshot) -> Iterable[LogFinding]:
    digests: dict[tuple[int, int], str] = {}
    for entry in snapshot:
        digests.update({(entry.mailbox_id, fact.seq): fact.digest.hex() for fact in entry.facts})
        broken = first_broken(entry.facts)
        if broken is not None:
            yield LogFinding(LogFault.FACT_BROKEN, entry.address, f"{broken}")
    for line in AnchorFile(folder).lines():
        try:
            anchor = Anchor.decode(line)
        except ValueError:  # reported by `verify`
            continue
        for head in anchor.heads:
            if digests.get((head.mailbox_id, head.seq)) != head.digest:
                named = snapshot.entry(head.mailbox_id)
                address = named.address if named is not None else f"mailbox {head.mailbox_id}"
                yield LogFinding(LogFault.FACT_OTHER, address, f"{head.seq}", f"anchor {anchor.number}")


@dataclass(frozen=True, slots=True)
class MessageTrace:
    """All lines of the log about one message."""

    trace: str
    lines: tuple[FoundLine, ...]


def message_traces(search: LogSearch, asked: str) -> list[MessageTrace]:
    """Return the messages of a trace id or Message-ID, from the sign-in to the last delivery."""
    name = asked.strip()
    if "@" in name or name.startswith("<"):
        found = search.newest(Query(message_id=name), MOST_OF_ONE)
        traces = list(dict.fromkeys(str(one.fields["trace"]) for one in found if "trace" in one.fields))[-MOST_TRACES:]
    else:
        traces = [name.upper()]
    return [found_trace for trace in traces if (found_trace := _trace_of(search, trace)).lines]


def _trace_of(search: LogSearch, trace: str) -> MessageTrace:
    lines = search.newest(Query(trace=trace), MOST_OF_ONE)
    sessions = {str(one.fields["session"]) for one in lines if one.fields.get("session") and one.fields.get("login")}
    before = [one for session in sessions for one in search.newest(Query(session=session, event="signed_in"), 1)]
    return MessageTrace(trace, tuple(sorted([*before, *lines], key=_step)))


def _step(one: FoundLine) -> tuple[int, int, str, int]:
    """Sort acceptance first: a sole recipient has the message before `250` is sent and logged."""
    return FIRST_STEPS.index(one.event) if one.event in FIRST_STEPS else len(FIRST_STEPS), one.at_us, one.name, one.start


def excerpt(search: LogSearch, *queries: Query) -> list[FoundLine]:
    """Return the lines asked for; for a mailbox also the rest of the lives of its messages (Reg. 14.4)."""
    found: dict[tuple[str, int], FoundLine] = {}
    for query in queries:
        latest = search.newest(query, MOST_EXPORTED + 1 - len(found))
        found.update({(one.name, one.start): one for one in latest})
        if len(found) > MOST_EXPORTED:
            raise BadInput(
                Text(f"Quá {MOST_EXPORTED} dòng nhật ký.", f"More than {MOST_EXPORTED} lines."),
                remedy=Text("Chọn khoảng ngắn hơn, hoặc một hộp thư.", "Give a shorter period, or a mailbox."),
            )
        if query.mailbox is not None:
            for trace in {str(trace) for one in latest if (trace := one.fields.get("trace"))}:
                found.update({(one.name, one.start): one for one in search.newest(Query(trace=trace), MOST_OF_ONE)})
    return sorted(found.values(), key=lambda one: (one.at_us, one.name, one.start))
