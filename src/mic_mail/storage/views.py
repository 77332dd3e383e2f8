"""The flag arrays of folders that sessions of this process look at: shared, never written to, evicted by octets.

A view belongs to one state of one folder. A newer state is made from it and the changes since, as new arrays, so that
thousands of sessions can hold the same object by reference and each keeps a consistent one for as long as it likes.
"""

from __future__ import annotations  # array[int] cannot be evaluated before Python 3.12

import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from dataclasses import replace

from mic_mail.storage.types import FolderInfo, FolderView


class ViewCache:
    """Views by account, folder and reader ("": the common state), least recently used out first; safe from any thread."""

    def __init__(self, max_octets: int) -> None:
        self._max_octets = max_octets
        self._octets = 0
        self._views: OrderedDict[tuple[int, int, str], FolderView] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, account_id: int, folder_id: int, person: str = "") -> FolderView | None:
        with self._lock:
            view = self._views.get((account_id, folder_id, person))
            if view is not None:
                self._views.move_to_end((account_id, folder_id, person))
            return view

    def put(self, account_id: int, folder_id: int, view: FolderView, person: str = "") -> None:
        with self._lock:
            self._drop((account_id, folder_id, person))
            self._views[account_id, folder_id, person] = view
            self._octets += octets_of(view)
            while self._octets > self._max_octets and len(self._views) > 1:
                self._drop(next(iter(self._views)))

    def forget(self, account_id: int) -> None:
        """Drop an account's views: its index was made anew."""
        with self._lock:
            for key in [key for key in self._views if key[0] == account_id]:
                self._drop(key)

    def _drop(self, key: tuple[int, int, str]) -> None:
        if (view := self._views.pop(key, None)) is not None:
            self._octets -= octets_of(view)


def octets_of(view: FolderView) -> int:
    return len(view.uids) * (view.uids.itemsize + view.flags.itemsize + view.modseqs.itemsize + view.sizes.itemsize) + 1024


def with_changes(
    view: FolderView, info: FolderInfo, changed: list[tuple[int, int, int, int]], vanished: list[int]
) -> FolderView:
    """The view after these changes (both lists ascending by UID)."""
    if not changed and not vanished:
        return replace(view, info=info)
    uids, flags, modseqs, sizes = view.uids[:], view.flags[:], view.modseqs[:], view.sizes[:]
    for uid, flag_bits, modseq, size in changed:
        at = bisect_left(uids, uid)
        if at < len(uids) and uids[at] == uid:
            flags[at], modseqs[at] = flag_bits, modseq
        else:
            uids.insert(at, uid)
            flags.insert(at, flag_bits)
            modseqs.insert(at, modseq)
            sizes.insert(at, size)
    if vanished:
        uids, flags, modseqs, sizes = _without(vanished, uids, flags, modseqs, sizes)
    return FolderView(info, uids, flags, modseqs, sizes)


def before_uid(view: FolderView, uid: int) -> FolderView:
    """The part of a view below a UID; the view itself where that is all of it."""
    at = bisect_left(view.uids, uid)
    if at == len(view.uids):
        return view
    return FolderView(view.info, view.uids[:at], view.flags[:at], view.modseqs[:at], view.sizes[:at])


def _without(
    vanished: list[int], uids: array[int], *columns: array[int]
) -> tuple[array[int], array[int], array[int], array[int]]:
    """Copy what stays, run by run between the UIDs that are gone."""
    kept_uids = array(uids.typecode)
    kept = [array(column.typecode) for column in columns]
    start = 0
    for uid in [*vanished, None]:
        at = len(uids) if uid is None else bisect_left(uids, uid, start)
        kept_uids.extend(uids[start:at])
        for target, column in zip(kept, columns, strict=True):
            target.extend(column[start:at])
        start = at + 1 if uid is not None and at < len(uids) and uids[at] == uid else at
    flags, modseqs, sizes = kept
    return kept_uids, flags, modseqs, sizes
