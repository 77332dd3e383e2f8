"""Facts appended to the mailboxes' records, each chained to the one before it; never altered."""

import json
from collections.abc import Sequence

from mic_mail.directory import snapshot_loader
from mic_mail.directory.connection import PlainChange
from mic_mail.directory.instants import to_microseconds
from mic_mail.directory.records import IDS_END, RECORD_CHANGED, DoneBefore, Superseded, not_found
from mic_mail.policy.facts import REQUEST, Draft, Fact, record

_CHANGED = "UPDATE mailbox SET changed_version = :version WHERE mailbox_id = :mailbox_id RETURNING mailbox_id"
_APPEND = """
    INSERT INTO fact (mailbox_id, seq, kind, effective_at, recorded_at, actor, reason, document, data, digest)
    VALUES (:mailbox_id, :seq, :kind, :effective_at, :recorded_at, :actor, :reason, :document, :data, :digest)
"""
_SAME_KIND = "SELECT data FROM fact WHERE mailbox_id = :mailbox_id AND kind = :kind"


def concern(change: PlainChange, mailbox_id: int) -> None:
    """Let this change concern a mailbox, which snapshots then load anew; raise `NotFound`."""
    is_there = 0 < mailbox_id < IDS_END and any(change.run(_CHANGED, version=change.version, mailbox_id=mailbox_id))
    if not is_there:
        raise not_found("hộp thư mã", "mailbox", mailbox_id)


def append(change: PlainChange, mailbox_id: int, drafts: Sequence[Draft], after: int | None = None) -> list[Fact]:
    """Append facts in order; with `after`, only if that is still the number of the newest fact (else `Superseded`)."""
    concern(change, mailbox_id)
    previous = snapshot_loader.newest_fact(change.run, mailbox_id)
    if after is not None and after != (previous.seq if previous else 0):
        raise Superseded(RECORD_CHANGED)
    recorded: list[Fact] = []
    _must_be_first(change, mailbox_id, drafts)
    for draft in drafts:
        previous = record(draft, mailbox_id=mailbox_id, previous=previous, recorded_at=change.clock.steady_now())
        recorded.append(previous)
        change.run(
            _APPEND,
            mailbox_id=mailbox_id,
            seq=previous.seq,
            kind=previous.kind.value,
            effective_at=to_microseconds(previous.effective_at),
            recorded_at=to_microseconds(previous.recorded_at),
            actor=previous.actor,
            reason=previous.reason,
            document=previous.document,
            data=json.dumps(dict(previous.data), ensure_ascii=False, sort_keys=True, separators=(",", ":")),
            digest=previous.digest,
        )
    return recorded


def _must_be_first(change: PlainChange, mailbox_id: int, drafts: Sequence[Draft]) -> None:
    """Refuse a fact of a request (Reg. 6.2) that was already recorded: a request is carried out once."""
    for draft in drafts:
        number = draft.data.get(REQUEST)
        if number is None:
            continue
        same = change.run(_SAME_KIND, mailbox_id=mailbox_id, kind=draft.kind.value)
        if any(json.loads(data).get(REQUEST) == number for (data,) in same):
            raise DoneBefore(number)
