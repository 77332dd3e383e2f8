"""Facts and acts recorded by a clock that was ahead of the true time, as far as later entries show it.

In: the chains of facts, the log of acts, the present instant. Out: entries that lie ahead of it, or ahead of a later
entry of the same chain. Nothing is changed here: people judge the acts of that time, and correct them by another act
(`docs/decisions/0094`). Blocking.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mic_mail.clock import STEP_SECONDS
from mic_mail.directory.snapshot import Snapshot
from mic_mail.log.audit import Audit
from mic_mail.policy.facts import recorded_ahead

TOLERANCE = timedelta(seconds=STEP_SECONDS)


@dataclass(frozen=True, slots=True)
class FalseRecord:
    """One entry of a chain whose recorded time is impossible."""

    recorded_at: datetime
    subject: str
    what: str
    """The kind of a fact, or the name of an act."""
    actor: str
    seq: int | None
    """The number of a fact in its mailbox's chain; None: an act."""
    effective_at: datetime | None = None


def false_records(snapshot: Snapshot, audit: Audit, now: datetime) -> list[FalseRecord]:
    """Return all such entries, by their times."""
    found = [*_facts(snapshot, now), *_acts(list(audit.acts()), now)]
    return sorted(found, key=lambda record: (record.recorded_at, record.subject))


def _facts(snapshot: Snapshot, now: datetime) -> Iterator[FalseRecord]:
    for entry in snapshot:
        for fact in recorded_ahead(entry.facts, now, TOLERANCE):
            yield FalseRecord(fact.clocked_at, entry.address, fact.kind, fact.actor, fact.seq, fact.effective_at)


def _acts(acts: Sequence[Mapping[str, object]], now: datetime) -> Iterator[FalseRecord]:
    earliest = now
    for act in reversed(acts):
        at = _instant(act.get("at"))
        if at is None:
            continue
        if at > earliest + TOLERANCE:
            yield FalseRecord(at, str(act.get("subject")), str(act.get("act")), str(act.get("actor")), None)
        earliest = min(earliest, at)


def _instant(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except ValueError:
        return None
