"""Reads messages for FETCH from the store: batches that fit into memory, index columns, file contents.

In: a `Plan`, the messages. Out: pieces of the response, each made when it is pulled; `b""` where the puller may pause.
Blocks: runs in an executor.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, filterfalse
from typing import Any, cast

from mic_mail.imap import responses
from mic_mail.imap.actions import SLICE_OCTETS
from mic_mail.imap.commands.body_sections import MOST_HEADER_OCTETS, Message, piece_of
from mic_mail.imap.commands.fetch_plan import Batch, CachedItem, MessageSource, Plan
from mic_mail.imap.commands.message_set import ranges
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.imap.selected.shared_cache import SharedCache
from mic_mail.mime.imap_structure import most_octets
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.index.answer_rows import FEW_MESSAGES
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import Column

WHOLE_OCTETS = 128 << 10
"""Messages up to this size are read in one piece, and their file is closed before anything is sent."""
NEIGHBOURS = 16
"""Messages before and after one requested whole whose paths are read with its own."""
BATCH_OCTETS = 32 << 20
"""Upper bound of the index answers of one batch, and of what is made of its headers.

They stay in memory for a slow client. Ordinary mail takes a hundredth of it.
"""
_LIGHT_OCTETS = BATCH_OCTETS // 8
"""Total size of messages up to which a batch is not split."""


class FetchReader:
    """A pass over messages of one FETCH; `mid_line`: octets of an unfinished line have been sent."""

    def __init__(self, plan: Plan, view: View, cache: SharedCache, places: list[range], batch_messages: int) -> None:
        self._plan = plan
        self._view = view
        self._cache = cache.answers
        self._paths = cache.paths
        self._places = places
        self._batch_messages = batch_messages
        self.gone = 0
        self.mid_line = False

    def chunks(self, account: Account) -> Iterator[bytes]:
        """Yield the response in pieces of at most a slice. Blocks: runs in an executor."""
        for whole in chain.from_iterable(map(self._light, Batch.cut(self._places, self._batch_messages))):
            yield b""
            batch = self._with_rows(account, whole)
            if not batch.places:
                continue
            if not self._plan.streams:
                yield self._plan.lines(self._view, batch)
                continue
            folder_id, uids = self._view.folder_id, batch.pick(self._view.uids)
            if self._plan.whole is not None:
                yield from self._whole(account, batch, self._paths_around(account, batch))
                continue
            if batch.known:
                paths: Mapping[int, str] = dict(zip(uids, [row.path for row in batch.known], strict=True))
            else:
                paths = account.paths(folder_id, uids) if self._plan.reads_files else {}
            nothing = (b"",) * len(uids)
            parts = cast("Sequence[bytes]", batch.rows.get("parts", nothing))
            headers = cast("Sequence[bytes]", batch.rows.get("header", nothing))
            for uid, head, table, header in zip(uids, self._plan.heads(self._view, batch), parts, headers, strict=True):
                opening = partial(account.open_message, folder_id, uid, paths.get(uid))
                yield from self.streams_of(Message(table, header, opening), head)

    def _light(self, batch: Batch) -> Iterator[Batch]:
        """Yield the batch, split where by the messages' sizes it could exceed BATCH_OCTETS."""
        plan, sizes = self._plan, self._view.sizes
        headers = plan.headers_at_once
        if not (plan.columns or plan.kept) or sum(batch.pick(sizes)) * max(1, headers) <= _LIGHT_OCTETS:
            yield batch
            return
        held: list[int] = []
        octets = 0
        for at in chain.from_iterable(batch.places):
            more = most_octets(sizes[at]) + headers * min(sizes[at], MOST_HEADER_OCTETS)
            if held and octets + more > BATCH_OCTETS:
                yield Batch(ranges(held))
                held, octets = [], 0
            held.append(at)
            octets += more
        yield Batch(ranges(held))

    def _paths_around(self, account: Account, batch: Batch) -> Mapping[int, str]:
        """Return the paths of messages requested whole.

        Where that is one message, the same query finds its neighbours: mail programs read one message after another, and one
        whose path is known needs no executor (`fetch.send`).
        """
        view = self._view
        if len(batch) > 1:
            return account.paths(view.folder_id, batch.pick(view.uids))
        at = batch.places[0].start
        paths = account.paths(view.folder_id, view.uids[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1])
        for uid, path in paths.items():
            self._paths.put((view.key, uid), path, 1)
        return paths

    def _whole(self, account: Account, batch: Batch, paths: Mapping[int, str]) -> Iterator[bytes]:
        """Yield messages requested as whole files: 21 us each, three quarters of it system time."""
        plan, view = self._plan, self._view
        for uid, size, head in zip(batch.pick(view.uids), batch.pick(view.sizes), plan.heads(view, batch), strict=True):
            path = paths.get(uid)
            octets = account.read_message(path, size) if path is not None and size <= WHOLE_OCTETS else None
            if octets is None:  # large, or no longer there
                opening = partial(account.open_message, view.folder_id, uid, path)
                yield from self.streams_of(Message(b"", b"", opening), head)
                continue
            self.mid_line = True
            yield head + plan.announcement(size)
            yield responses.without_nul(octets)
            self.mid_line = False
            yield b")\r\n"

    def streams_of(self, message: Message, head: bytes) -> Iterator[bytes]:
        """Yield the response for one message.

        Everything is located before the first octet is sent, so errors occur between lines. `b""` where the puller may pause.
        """
        with closing(message):
            try:
                pieces = [piece_of(item, message) for item in self._plan.streams]
            except NoSuchMessage:
                self.gone += 1
                return
            space = b" " if self._plan.fields else b""
            for piece in pieces:
                head += space + piece.head
                space = b" "
                for octets in piece.octets:
                    if not octets:
                        yield b""
                    elif len(octets) + len(head) <= SLICE_OCTETS // 4:
                        head += octets
                    else:
                        self.mid_line = True
                        yield head
                        yield octets
                        head = b""
            self.mid_line = False
            yield head + b")\r\n"

    def _with_rows(self, account: Account, batch: Batch) -> Batch:
        """Return the batch with its index columns and cached answers, without messages that are gone."""
        plan, view = self._plan, self._view
        uids = batch.pick(view.uids)
        is_little = len(uids) <= FEW_MESSAGES and sum(batch.pick(view.sizes)) <= _LIGHT_OCTETS
        if is_little and plan.takes_rows and (plan.columns or plan.kept):
            known = account.answer_rows(view.folder_id, uids)
            if len(known) == len(uids) and plan.take(batch, [known[uid] for uid in uids]):
                return batch
        answers, gone = self._kept_answers(account, uids)
        rows = account.rows(view.folder_id, uids, ("uid", *plan.columns)) if plan.columns else []
        if plan.columns and len(rows) < len(uids):
            gone.update(set(uids).difference([row[0] for row in rows]))
        if gone:
            self.gone += len(gone)
            batch = Batch(ranges(at for place in batch.places for at in place if view.uids[at] not in gone))
            uids = batch.pick(view.uids)
            rows = [row for row in rows if row[0] not in gone]
        if rows:
            batch.rows.update(zip(("uid", *plan.columns), zip(*rows, strict=True), strict=True))
        for key, found in answers.items():
            batch.kept[key] = [*map(found.__getitem__, uids)]
        return batch

    def _kept_answers(self, account: Account, uids: Sequence[int]) -> tuple[dict[bytes, Mapping[int, bytes]], set[int]]:
        """Return the answers for these messages, and the UIDs that are gone.

        Answers come from the cache; the missing ones are read by one index query. The cache covers the whole folder, so it is
        searched by UID and never iterated over.
        """
        plan, view = self._plan, self._view
        cached = {kept.key: self._cache.answers(view.key, kept.key) for kept in plan.kept}
        answers: dict[bytes, Mapping[int, bytes]] = {**cached}
        lacking = [(kept, [*filterfalse(cached[kept.key].__contains__, uids)]) for kept in plan.kept]
        lacking = [(kept, missing) for kept, missing in lacking if missing]
        gone: set[int] = set()
        if lacking:
            names = tuple(dict.fromkeys(chain.from_iterable(kept.columns for kept, _ in lacking)))
            wanted = set(chain.from_iterable(missing for _, missing in lacking))
            rows = account.rows(view.folder_id, wanted, ("uid", *names))
            for kept, missing in lacking:
                if len(missing) < len(wanted):
                    lacked = set(missing)
                    mine = [row for row in rows if row[0] in lacked]
                else:
                    mine = rows
                made = _load_answers(kept, account, view.folder_id, names, mine)
                self._cache.filled(cached[kept.key], made)
                if len(made) < len(missing):
                    gone.update(filterfalse(made.__contains__, missing))
                if len(missing) == len(uids):
                    answers[kept.key] = made  # no need to search the whole folder's answers
        return answers, gone


def _load_answers(
    kept: CachedItem, account: Account, folder_id: int, names: tuple[Column, ...], rows: Sequence[tuple[Any, ...]]
) -> dict[int, bytes]:
    """Return the answers of messages that still exist, from rows of the UID and these columns."""
    if not rows:
        return {}
    uids, *columns = zip(*rows, strict=True)
    values = [columns[names.index(name)] for name in kept.columns]
    if kept.make is None:
        return dict(zip(uids, *values, strict=True))
    sources = [MessageSource(account, folder_id, uid) for uid in uids]
    made = zip(uids, map(kept.make, sources, *values), strict=True)
    return {uid: answer for uid, answer in made if answer is not None}
