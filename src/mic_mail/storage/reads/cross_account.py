"""Staging messages of one account in another: hard links to their files, with the index's answers.

In: two stores, a folder of the first, UIDs. Out: `StagedCopy` messages, durable and invisible until the other account publishes
them (publish.py). The first account is only read; whatever happens in between, its messages stay where they are. A copy in
another account is a message of its own: another base name, hence another EMAILID (RFC 8474 §5.1 asks for the same one within an
account only).

Two accounts are never locked at the same time. So a move between accounts is a publication there and then an expunge here: a
kill in between leaves the message in both, never in neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from mic_mail.mime.imap_structure import Answers
from mic_mail.storage.changes import seen
from mic_mail.storage.changes.copy_move import keywords_of, present_rows
from mic_mail.storage.delivery import Delivery, StagedContent
from mic_mail.storage.index import reader_seen_rows
from mic_mail.storage.message_names import beginning_of
from mic_mail.storage.reads.message_rows import rows_within
from mic_mail.storage.store import Store
from mic_mail.storage.types import KEYWORD_FLAGS, SEEN, SYSTEM_FLAGS, Column

_ANSWERS: tuple[Column, ...] = (
    "size", "header", "envelope", "envelope_utf8", "bodystructure", "body", "parts", "sent_at", "attachment_octets",
    "message_id", "preview", "thread_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StagedCopy:
    """A message and the delivery that publishes it elsewhere; `discard` its staged file if it is not done."""

    uid: int
    delivery: Delivery


def stage_copies(
    store: Store, person: str | None, target: Store, folder_id: int, uids: Sequence[int], *, every: bool, allowed: int
) -> list[StagedCopy]:
    """Stage these messages in `target`, with `allowed` flags as `person` sees them.

    With `every`, either all are staged or `NoSuchMessage` is raised.
    """
    target.ensure_open()  # before the lock: opening a store takes the store's own lock
    linked: list[tuple[int, StagedContent, int, tuple[str, ...]]] = []
    try:
        with store.writing() as write:
            folder = write.folder(folder_id)
            rows = present_rows(write, folder, uids, every=every)
            own = seen.within(write, person)
            known = {} if own is None else reader_seen_rows.states(write.connection, own, folder_id, uids)
            for row in rows:
                flags = row.flags if own is None else (row.flags & ~SEEN) | SEEN * known.get(row.uid, reader_seen_rows.NEVER)[0]
                staged = write.names.stage_copy(folder, row, target)
                keywords = tuple(keywords_of(folder, row.flags)) if allowed & KEYWORD_FLAGS else ()
                linked.append((row.uid, staged, flags & SYSTEM_FLAGS & allowed, keywords))
            # Under the lock: retention of expunged messages may be zero (`storage.expunge_keep`).
            wanted = [uid for uid, *_ in linked]
            kept = {row[0]: row[1:] for row in rows_within(write, folder_id, wanted, ("uid", "internaldate_us", *_ANSWERS))}
        for _, staged, _, _ in linked:
            staged.finish()  # outside the lock; until here the content may be durable by the journal alone (journal.py)
        return [
            StagedCopy(uid, Delivery(staged, _answers(kept[uid][1:]), flags, keywords, kept[uid][0]))
            for uid, staged, flags, keywords in linked
        ]
    except BaseException:
        for _, staged, _, _ in linked:
            staged.discard()
        raise


def _answers(values: tuple[object, ...]) -> Answers:
    found = dict(zip(_ANSWERS, values, strict=True))
    found["preview"] = found["preview"] or ""
    thread = cast("str | None", found.pop("thread_id"))
    beginning = beginning_of(thread) if thread else b""
    return Answers(**cast("dict[str, object]", found), thread=beginning)  # type: ignore[arg-type]
