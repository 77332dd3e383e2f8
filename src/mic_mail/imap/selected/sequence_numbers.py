"""The message sequence numbers of the selected mailbox, as its client knows them (RFC 9051 §2.3.1.2).

A number is a position in arrays ordered by UID, plus one. Where EXPUNGE is not allowed (RFC 9051 §7.5.1), an expunged message
keeps its number: it is a *pending expunge*.

The arrays are the store's own `FolderView`, shared by every session at the same MODSEQ; a session has arrays of its own
only while it has pending expunges. So an idle session costs a few hundred octets here, whatever the size of its mailbox.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import chain

from mic_mail.errors import Trouble
from mic_mail.imap.selected.flag_names import flag_names
from mic_mail.storage.index.view_cache import before_uid, position_after, run_at, runs_of
from mic_mail.storage.types import Changes, FolderInfo, FolderView

LONG_RUN = 64
"""Changed messages from which on they are compared with the view as a whole."""


class OutOfStep(Trouble):
    """The client's numbering cannot follow the mailbox: another UIDVALIDITY, or an older UID came back."""

    def __init__(self) -> None:
        super().__init__("The mailbox was rebuilt; please connect again.")


class NumberedMessages:
    """The messages that have a number, with their flags, MODSEQs and sizes as of the last poll."""

    __slots__ = (
        "_fresh", "_pending_expunges", "_reported_before_expunges", "_withheld", "flags", "folder_id", "keywords", "modseq",
        "modseqs", "name", "names", "sizes", "uids", "uidvalidity",
    )  # fmt: skip

    def __init__(self, fresh: FolderView) -> None:
        self.folder_id = fresh.info.folder_id
        self.uidvalidity = fresh.info.uidvalidity
        self._pending_expunges: list[int] = []
        self._withheld: int | None = None  # messages from this UID on do not exist for the client
        self._reported_before_expunges = 0
        self.uids: array[int]
        self.flags: array[int]
        self.modseqs: array[int]
        self.sizes: array[int]
        self.modseq: int
        self.keywords: tuple[str, ...]
        self.name: str
        self._fresh: FolderView
        self._adopt(fresh)

    @property
    def messages(self) -> int:
        return len(self.uids)

    @property
    def uidnext(self) -> int:
        return self._fresh.info.uidnext

    @property
    def has_pending_expunges(self) -> bool:
        return bool(self._pending_expunges)

    @property
    def expunges_are_due(self) -> bool:
        """True if there are expunges to be reported as soon as EXPUNGE is allowed."""
        return bool(self._pending_expunges) and self._withheld is None

    @property
    def is_whole(self) -> bool:
        """True if the client knows exactly the messages that exist, as of `info`."""
        return self._withheld is None and not self._pending_expunges

    @property
    def info(self) -> FolderInfo:
        """The folder at the last poll."""
        return self._fresh.info

    @property
    def reported_modseq(self) -> int:
        """The MODSEQ up to which everything was reported to the client, expunges included."""
        return self._reported_before_expunges if self._pending_expunges else self.modseq

    def is_expunged(self, uid: int) -> bool:
        """Return whether the message is gone, which was not reported to the client."""
        return _has(self._pending_expunges, uid)

    def position(self, uid: int) -> int | None:
        """Return the position of a UID (sequence number less one); None if the client does not know it."""
        at = bisect_left(self.uids, uid)
        return at if at < len(self.uids) and self.uids[at] == uid else None

    def run_at(self, uids: Sequence[int]) -> int | None:
        """Return the position of the first of these UIDs if they are in the view one after another, else None."""
        return run_at(self.uids, uids)

    def _take(self, fresh: FolderView, changes: Changes) -> dict[int, int]:
        """Move to `fresh`; return the previous flags of known messages that changed.

        After `OutOfStep` everything is unchanged, so that the next poll raises it again.
        """
        if fresh.info.uidvalidity != self.uidvalidity:
            raise OutOfStep
        known, last = len(self.uids), self.uids[-1] if self.uids else 0
        if changes.complete:
            known_ones = chain.from_iterable(self.uids[begin:end] for begin, end in runs_of(self.uids, changes.vanished))
            back = {uid for begin, end in runs_of(fresh.uids, changes.vanished) for uid in fresh.uids[begin:end]}
            gone = [uid for uid in known_ones if uid not in back]
        else:
            gone = sorted(set(self.uids).difference(fresh.uids))
        expunged = sorted({*self._pending_expunges, *gone}) if gone else self._pending_expunges
        if bisect_right(fresh.uids, last) + len(expunged) != known:
            raise OutOfStep
        if gone:
            self._reported_before_expunges = self.reported_modseq
            self._pending_expunges = expunged
        before = self._flags_before(changes, fresh.info.highest_modseq)
        is_same = not changes.changed and changes.complete and bisect_right(fresh.uids, last) == len(fresh.uids)
        self._adopt(fresh, is_same=is_same)
        return before

    def _flags_before(self, changes: Changes, highest_modseq: int) -> dict[int, int]:
        """Return the present flags of known messages among the changed ones, up to a MODSEQ."""
        uids, flags, changed = self.uids, self.flags, changes.changed
        if len(changed) >= LONG_RUN:
            some = [row[0] for row in changed]
            run = run_at(uids, some)
            if run is not None and max(row[2] for row in changed) <= highest_modseq:
                return dict(zip(some, flags[run : run + len(some)], strict=True))
        before: dict[int, int] = {}
        last, at = uids[-1] if uids else 0, 0
        for uid, _, modseq, _ in changed:
            if uid > last:
                break
            at = position_after(uids, uid, at)
            if modseq <= highest_modseq and uids[at] == uid:
                before[uid] = flags[at]
        return before

    def _adopt(self, fresh: FolderView, *, is_same: bool = False) -> None:
        """Share the arrays of `fresh`, or copy them with the unreported expunges at their places.

        `is_same`: of the messages that the client knows, nothing but expunges has changed, and there are no new ones. While
        expunges are unreported, the arrays then stay as they are: an EXPUNGE in slices would copy a large mailbox for each.
        """
        self._fresh = fresh
        if self._withheld is not None:
            fresh = before_uid(fresh, self._withheld)
        self.modseq = fresh.info.highest_modseq
        self.keywords = fresh.info.keywords
        self.names = flag_names(self.keywords)
        self.name = fresh.info.name
        if not self._pending_expunges:
            self.uids, self.flags, self.modseqs, self.sizes = fresh.uids, fresh.flags, fresh.modseqs, fresh.sizes
            return
        if is_same:
            return
        before = (self.uids, self.flags, self.modseqs, self.sizes)
        after = (fresh.uids, fresh.flags, fresh.modseqs, fresh.sizes)
        kept = tuple(array(column.typecode) for column in after)
        start = 0
        for begin, end in runs_of(self.uids, self._pending_expunges):  # run by run: unchanged stretches are copied whole
            at = bisect_left(fresh.uids, self.uids[begin], start)
            for target, new, old in zip(kept, after, before, strict=True):
                target.extend(new[start:at])
                target.extend(old[begin:end])
            start = at
        for target, new in zip(kept, after, strict=True):
            target.extend(new[start:])
        self.uids, self.flags, self.modseqs, self.sizes = kept


def _has(uids: Sequence[int], uid: int) -> bool:
    at = bisect_left(uids, uid)
    return at < len(uids) and uids[at] == uid
