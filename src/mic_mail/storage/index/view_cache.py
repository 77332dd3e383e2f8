"""Views of the folders that sessions of this process have open: shared, immutable, evicted by octets.

A view belongs to one state of one folder. A newer state is made from it and the changes since, as new arrays, so that thousands
of sessions can hold the same object by reference, and each keeps a consistent one for as long as it likes.

Beside the newest view lie the steps that led to it, and the account's change mark from when it was known to be the newest.
While that mark stands, a session that knew the folder at the beginning of one of the steps gets the changes since from memory
(`changes_since`). So only the first session of a process queries the index, and none where this process made the change. A
session that opens the folder by its name gets the view itself (`newest`).
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.types import Changes, FolderDelta, FolderInfo, FolderView, Row
from mic_mail.weighted_cache import WeightedCache

_MOST_STEPS = 64
_MOST_ROWS = 512
"""Limit of the rows of all steps to one view; a step with more is not kept."""
_ROW_OCTETS = 200
_MOST_NAMES = 20_000
_LONG_RUN = 64
"""Changed messages from which on they are compared with the view as a whole."""
_FEW_RUNS = 4
"""Runs of expunged messages up to which each is cut from a copy, which moves the rest of it."""


class _Step(NamedTuple):
    until: int
    """HIGHESTMODSEQ of the next state."""
    changed: Sequence[Row]
    vanished: Sequence[int]

    @property
    def rows(self) -> int:
        return len(self.changed) + len(self.vanished)


@dataclass(slots=True)
class _CachedView:
    view: FolderView
    steps: dict[int, _Step] = field(default_factory=dict)
    """Steps by the HIGHESTMODSEQ at which they begin, oldest first."""
    rows: int = 0
    account_modseq: int = 0
    mark: int = 0
    """The account's change mark while `view` is the newest; 0: not known."""
    directory: str = ""
    new_mtime_ns: int = 0
    """The folder's directory, and the last time of its `new/`, while that mark stands."""

    @property
    def octets(self) -> int:
        return octets_of(self.view) + self.rows * _ROW_OCTETS

    def add(self, since: int, step: _Step) -> None:
        if (before := self.steps.pop(since, None)) is not None:
            self.rows -= before.rows
        self.steps[since] = step
        self.rows += step.rows
        while len(self.steps) > _MOST_STEPS or self.rows > _MOST_ROWS:
            self.rows -= self.steps.pop(next(iter(self.steps))).rows

    def since(self, modseq: int) -> Changes | None:
        info = self.view.info
        changed: dict[int, Row] = {}
        vanished: set[int] = set()
        while modseq != info.highest_modseq:
            step = self.steps.get(modseq)
            if step is None:
                return None
            changed.update((row[0], row) for row in step.changed)
            vanished.update(step.vanished)
            modseq = step.until
        rows = sorted(row for uid, row in changed.items() if uid not in vanished)
        return Changes(info.highest_modseq, info.keywords, rows, sorted(vanished), complete=True)


class NewestView(NamedTuple):
    """A folder's newest view in the common state, with what tells whether another tool has added files to it."""

    account_modseq: int
    view: FolderView
    directory: str
    new_mtime_ns: int
    """As in `rows.FolderRow`."""


class ViewCache:
    """Views by account, folder and reader ("": the common state), evicted by age; safe from any thread."""

    def __init__(self, max_octets: int) -> None:
        self._views: WeightedCache[tuple[int, int, str], _CachedView] = WeightedCache(max_octets)
        self._named: WeightedCache[tuple[int, str], int] = WeightedCache(_MOST_NAMES)
        """The folder that last had a name, by account and name. A hint: the folder's view tells its name."""
        self._lock = threading.Lock()
        """Held while a view and its steps are compared, replaced or dropped together."""

    def get(self, account_id: int, folder_id: int, person: str = "") -> FolderView | None:
        cached = self._views.get((account_id, folder_id, person))
        return cached.view if cached is not None else None

    def put(
        self,
        account_id: int,
        folder_id: int,
        view: FolderView,
        person: str = "",
        *,
        after: FolderView | None = None,
        changed: Sequence[Row] = (),
        vanished: Sequence[int] = (),
    ) -> None:
        """Cache this view, made from `after` by these changes, unless a newer one of the same UIDVALIDITY is cached."""
        key = (account_id, folder_id, person)
        with self._lock:
            before = self._views.get(key)
            if before is not None and before.view.info.uidvalidity != view.info.uidvalidity:
                before = None
            if before is not None and before.view.info.highest_modseq > view.info.highest_modseq:
                return
            cached = _CachedView(view)
            if before is not None and after is not None:
                since, until = after.info.highest_modseq, view.info.highest_modseq
                if since == before.view.info.highest_modseq or since in before.steps:
                    cached.steps, cached.rows = before.steps, before.rows
                    if since != until:
                        cached.add(since, _Step(until, changed, vanished))
            self._views.put(key, cached, cached.octets)

    def confirm_current(self, folder: FolderRow, view: FolderView, account_modseq: int, mark: int) -> None:
        """Record that this view of the common state is the newest while this change mark stands, and `folder` its row."""
        with self._lock:
            cached = self._views.get((folder.account_id, folder.folder_id, ""))
            if mark and cached is not None and cached.view is view:
                cached.account_modseq, cached.mark = account_modseq, mark
                cached.directory, cached.new_mtime_ns = folder.directory, folder.new_mtime_ns
                self._named.put((folder.account_id, folder.name), folder.folder_id, 1)

    def folder_named(self, account_id: int, name: str) -> int:
        """Return the number of the folder that last had this name; 0: not known."""
        return self._named.get((account_id, name)) or 0

    def newest(self, account_id: int, name: str, mark: int) -> NewestView | None:
        """Return the view of the folder that has this name, or None where the index must be queried.

        `mark` is the account's change mark now. The result is of the common state, the same for every session.
        """
        folder_id = self._named.get((account_id, name))
        if folder_id is None or not mark:
            return None
        with self._lock:
            cached = self._views.get((account_id, folder_id, ""))
            if cached is None or cached.mark != mark or cached.view.info.name != name:
                return None
            return NewestView(cached.account_modseq, cached.view, cached.directory, cached.new_mtime_ns)

    def changes_since(self, account_id: int, folder_id: int, since: int, mark: int) -> FolderDelta | None:
        """Return the folder's changes after HIGHESTMODSEQ `since`, or None where the index must be queried.

        `mark` is the account's change mark now. The result is of the common state, the same for every session.
        """
        with self._lock:
            cached = self._views.get((account_id, folder_id, ""))
            if cached is None or not mark or cached.mark != mark:
                return None
            if since == cached.view.info.highest_modseq:
                return FolderDelta(cached.account_modseq, cached.view, None, mark)
            changes = cached.since(since)
            return None if changes is None else FolderDelta(cached.account_modseq, cached.view, changes, mark)

    def changes(self, account_id: int, folder_id: int, since: int, view: FolderView) -> Changes | None:
        """Return the changes from `since` to `view`; None if unknown, or if `view` is not the newest cached."""
        with self._lock:
            cached = self._views.get((account_id, folder_id, ""))
            return cached.since(since) if cached is not None and cached.view is view else None

    def forget(self, account_id: int) -> None:
        """Drop an account's views, because its index was rebuilt."""
        with self._lock:
            self._views.drop_where(lambda key: key[0] == account_id)
            self._named.drop_where(lambda key: key[0] == account_id)


def leads_to(view: FolderView, folder: FolderRow) -> bool:
    """Return whether the folder is what the view holds and the changes since.

    A deleted mailbox that is issued again has lower MODSEQs and other UIDVALIDITYs. A process that remembers the deleted one
    may not notice, since the new index can have the old one's inode number.
    """
    return view.info.uidvalidity == folder.uidvalidity and view.info.highest_modseq >= folder.expunge_floor


def octets_of(view: FolderView) -> int:
    return len(view.uids) * (view.uids.itemsize + view.flags.itemsize + view.modseqs.itemsize + view.sizes.itemsize) + 1024


def with_changes(view: FolderView, info: FolderInfo, changed: Sequence[Row], vanished: Sequence[int]) -> FolderView:
    """Return the view after these changes (both lists ascending by UID)."""
    if not changed and not vanished:
        return replace(view, info=info)
    if not changed:
        return FolderView(info, *_without(vanished, view.uids, view.flags, view.modseqs, view.sizes))
    uids, flags, modseqs, sizes = view.uids, view.flags[:], view.modseqs[:], view.sizes
    run = run_at(uids, [row[0] for row in changed]) if len(changed) >= _LONG_RUN else None
    if run is not None:
        end = run + len(changed)
        flags[run:end] = array(flags.typecode, [row[1] for row in changed])
        modseqs[run:end] = array(modseqs.typecode, [row[2] for row in changed])
    at = 0
    for uid, flag_bits, modseq, size in changed if run is None else ():
        at = position_after(uids, uid, at)
        if at < len(uids) and uids[at] == uid:
            flags[at], modseqs[at] = flag_bits, modseq
            continue
        if uids is view.uids:  # the columns that flags do not change are shared until a message comes
            uids, sizes = uids[:], sizes[:]
        uids.insert(at, uid)
        flags.insert(at, flag_bits)
        modseqs.insert(at, modseq)
        sizes.insert(at, size)
    if vanished:
        uids, flags, modseqs, sizes = _without(vanished, uids, flags, modseqs, sizes)
    return FolderView(info, uids, flags, modseqs, sizes)


def before_uid(view: FolderView, uid: int) -> FolderView:
    """Return the part of a view below a UID; the view itself where that is all of it."""
    at = bisect_left(view.uids, uid)
    if at == len(view.uids):
        return view
    return FolderView(view.info, view.uids[:at], view.flags[:at], view.modseqs[:at], view.sizes[:at])


def position_after(uids: Sequence[int], uid: int, last: int) -> int:
    """Return the first position from `last` on whose UID is not below `uid`: nearly always `last` or the next one."""
    for at in (last, last + 1):
        if at < len(uids) and uids[at] == uid:
            return at
    return bisect_left(uids, uid, min(last, len(uids)))


def run_at(uids: array[int], some: Sequence[int]) -> int | None:
    """Return the position of the first of some UIDs if all of them lie there one after another, else None."""
    at = bisect_left(uids, some[0])
    return at if uids[at : at + len(some)] == array(uids.typecode, some) else None


def runs_of(uids: array[int], some: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of positions of ascending UIDs, neighbours joined; those that do not exist are left out.

    Many in succession, as after an EXPUNGE of old mail, are compared as a whole.
    """
    if not some:
        return
    begin = end = bisect_left(uids, some[0])
    if uids[begin : begin + len(some)] == array(uids.typecode, some):
        yield begin, begin + len(some)
        return
    if begin == len(uids) or uids[begin] > some[-1]:
        return  # none exists, as after their EXPUNGE
    for uid in some:
        at = position_after(uids, uid, end)
        if at == len(uids) or uids[at] != uid:
            continue
        if at > end or begin == end:
            if begin < end:
                yield begin, end
            begin = at
        end = at + 1
    if begin < end:
        yield begin, end


def _without(
    vanished: Sequence[int], uids: array[int], *columns: array[int]
) -> tuple[array[int], array[int], array[int], array[int]]:
    """Copy what stays: whole columns, from which a few runs are cut, or run by run between many."""
    runs = [*runs_of(uids, vanished)]
    if len(runs) <= _FEW_RUNS:
        kept = [column[:] for column in (uids, *columns)]
        for begin, end in reversed(runs):
            for column in kept:
                del column[begin:end]
    else:
        kept = [array(column.typecode) for column in (uids, *columns)]
        start = 0
        for begin, end in [*runs, (len(uids), len(uids))]:
            for target, column in zip(kept, (uids, *columns), strict=True):
                target.extend(column[start:begin])
            start = end
    kept_uids, flags, modseqs, sizes = kept
    return kept_uids, flags, modseqs, sizes
