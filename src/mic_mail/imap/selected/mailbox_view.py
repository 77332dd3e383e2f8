"""The selected mailbox as last reported to one client, apart from what the store holds.

A client numbers messages by what it was told (`sequence_numbers`). So a session keeps the UIDs (and flags, MODSEQs, sizes) as
of its last poll, and reads the rest by `poll`, in an executor. `View.catch_up` turns the difference into untagged lines and
adopts the new state.

In: a `FolderChange`. Out: lines, ready to send. Pure except for `poll`, which reads the store. Both run in an executor, where
a mailbox of 100,000 messages delays nobody: no other code touches a view while its command is in progress.
Standards: RFC 9051 §7.4-7.5, RFC 7162 §3.2.10 (VANISHED), RFC 3501 §2.3.2 (\\Recent).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from mic_mail.errors import MicMailError
from mic_mail.imap.connection_state import Enabled, unsolicited
from mic_mail.imap.mailbox_names.acl_rights import allowed_flags
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.number_set import Ranges, format_set, merged
from mic_mail.imap.selected.flag_names import flag_names
from mic_mail.imap.selected.followed_searches import Contexts
from mic_mail.imap.selected.sequence_numbers import LONG_RUN, NumberedMessages
from mic_mail.storage.index.answer_rows import FolderKey
from mic_mail.storage.index.open_folders import OpenFolder
from mic_mail.storage.index.view_cache import position_after, runs_of
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import KEYWORD_FLAGS, MAX_KEYWORDS, ChangeResult, Changes, FolderDelta, FolderView

_AT_ONCE, _MOVED_AT_ONCE = 50, 20_000
"""Limits of polls in the loop: changes, and messages of a mailbox whose arrays have to be copied."""


@dataclass(frozen=True, slots=True)
class FolderChange:
    """The result of polling a folder.

    The account's MODSEQ then; the folder, if the account had changed; and the changes of messages, if there were any.
    `recent` are the UIDs that became \\Recent for this session alone; `mark` is the account's change mark from before the
    poll.
    """

    account_modseq: int
    fresh: FolderView | None = None
    changes: Changes | None = None
    recent: Ranges = ()
    mark: int = 0


def claim_recent(account: Account, fresh: FolderView) -> Ranges:
    """Claim messages reported to nobody yet: they are \\Recent for the first session (RFC 3501 §2.3.2)."""
    info = fresh.info
    if info.recent_from >= info.uidnext:
        return ()
    first = account.take_recent(info.folder_id, info.uidnext)
    return ((first, info.uidnext - 1),) if first < info.uidnext else ()


class View(NumberedMessages):
    """The selected mailbox as its client knows it."""

    __slots__ = (
        "_claims", "_hold_is_known", "_presence", "_reported_rights", "account_id", "contexts", "is_excerpt", "mark",
        "on_record", "place", "polled_modseq", "quiet", "read_only", "recent", "rights",
    )  # fmt: skip

    def __init__(
        self,
        fresh: FolderView,
        *,
        polled_modseq: int,
        mark: int = 0,
        account_id: int,
        place: Place | None = None,
        read_only: bool = False,
        recent: Ranges | None = None,
        presence: OpenFolder | None = None,
        on_record: bool = False,
    ) -> None:
        super().__init__(fresh)
        self.account_id = account_id
        self.place = place or Place(fresh.info.name)
        self.rights = self._reported_rights = self.place.rights
        """The client's rights here now; `_reported_rights` are the ones last reported to it."""
        self.on_record = on_record
        """True if reading in this mailbox has to be recorded (Reg. 12.3.a)."""
        self.read_only = read_only
        self.recent = recent or ()
        """UIDs that are \\Recent here (RFC 3501); the parameter is None in IMAP4rev2, which has no such flag."""
        self._claims = recent is not None and not read_only
        self._presence = presence
        self.polled_modseq = polled_modseq
        """The account's MODSEQ at the last poll."""
        self.mark = mark
        """The account's change mark from before the last poll: while it is unchanged, so is the mailbox."""
        self.quiet = False
        """True if flags changed by others are not reported (NOTIFY without FlagChange); they are known here."""
        self._hold_is_known = False  # the client was told of held-back expunges, and is told when there are none
        self.is_excerpt = False
        """True if it holds only some messages of its folder, so no other session has the same ones."""
        self.contexts = Contexts()
        """The followed searches (RFC 5267)."""

    @property
    def key(self) -> FolderKey:
        """The key of what sessions share about this folder."""
        return self.account_id, self.folder_id, self.uidvalidity

    @property
    def rights_moved(self) -> bool:
        """True if the client may do less or more than was reported to it."""
        return self.rights != self._reported_rights

    @property
    def allowed(self) -> int:
        """The flags that the client may set or clear."""
        return allowed_flags(self.rights)

    @property
    def marks_seen(self) -> bool:
        """True if reading a message sets \\Seen (RFC 4314 §4: not without `s`)."""
        return not self.read_only and "s" in self.rights

    @property
    def recent_places(self) -> list[range]:
        """The positions of the \\Recent messages, as ranges."""
        return [range(bisect_left(self.uids, low), bisect_right(self.uids, high)) for low, high in self.recent]

    @property
    def recent_count(self) -> int:
        return sum(map(len, self.recent_places))

    @property
    def claims(self) -> bool:
        """True if new messages are \\Recent here, unless another session has claimed them."""
        return self._claims and self._withheld is None

    def poll(self, account: Account, claimed: Ranges = (), *, own_change: ChangeResult | None = None) -> FolderChange:
        """Read the changes since the last poll. Blocks.

        `claimed`: new messages that this session has claimed already. `own_change`: its own change; nothing else has to be read
        if the folder was known here as it was before that change.
        """
        if own_change is not None and own_change.since_modseq == self.modseq:
            delta = FolderDelta(own_change.account_modseq, own_change.fresh, own_change.changes, own_change.mark)
        else:
            delta = account.folder_delta(self.folder_id, self.modseq, self.polled_modseq)
        recent = (*self._taken(), *claimed)
        if self.claims and delta.fresh is not None:
            recent += claim_recent(account, delta.fresh)
        return FolderChange(delta.account_modseq, delta.fresh, delta.changes, merged(recent) if recent else (), delta.mark)

    def cached_change(self, delta: FolderDelta) -> FolderChange | None:
        """Return the poll's result from memory, if that is little enough work for the event loop.

        None: the store has to be asked.
        """
        fresh, changes = delta.fresh, delta.changes
        if fresh is not None and changes is not None:
            if self.claims and fresh.info.recent_from < fresh.info.uidnext:
                return None
            moves = self.has_pending_expunges or changes.vanished or self._withheld is not None
            if len(changes.changed) + len(changes.vanished) > _AT_ONCE or (moves and len(fresh.uids) > _MOVED_AT_ONCE):
                return None
        return FolderChange(delta.account_modseq, fresh, changes, self._taken(), delta.mark)

    def let_go(self) -> None:
        """Claim no more new messages: the client has left the mailbox or is not notified of new ones.

        That holds whatever else keeps the view alive (a connection is a reference cycle, freed when the collector runs).
        """
        self._presence = None

    def _taken(self) -> Ranges:
        """Return new messages that were claimed for the first session that has the folder open here."""
        return self._presence.take() if self._presence is not None and self.claims else ()

    def poll_after_change(
        self,
        account: Account,
        enabled: Enabled,
        *,
        claimed: Ranges = (),
        own: Collection[int] = (),
        own_change: ChangeResult | None = None,
    ) -> list[bytes]:
        """Poll and catch up after a change that cannot be repeated. Blocks.

        An error is left for the next poll: raising it would replace the reply to a completed change.
        """
        with suppress(MicMailError):
            return self.catch_up(self.poll(account, claimed, own_change=own_change), enabled, expunge=True, own=own)
        return []

    def has_updates(self, *, expunge: bool) -> bool:
        """Return whether `catch_up` would report something even if nothing has changed."""
        if self.rights_moved or (expunge and (self._pending_expunges or self._hold_is_known)):
            return True
        return self._withheld is None and len(self._fresh.uids) + len(self._pending_expunges) != len(self.uids)

    def withhold(self) -> None:
        """Freeze the client's list of messages against changes by others (RFC 5465 §3.1)."""
        if self._withheld is None:
            self.let_go()  # new messages are \Recent for sessions that report them; `poll` claims the rest once released
            self._withheld = max(self.uidnext, self.uids[-1] + 1 if self.uids else 1)

    def release(self) -> None:
        """Undo `withhold`: the next `catch_up` reports what was held back."""
        self._withheld = None

    def hold_line(self) -> bytes:
        """Return a line with the HIGHESTMODSEQ from which to resynchronise after a disconnect.

        MODSEQs were reported, but older expunges were not (RFC 7162 §3.2, §6).
        """
        self._hold_is_known = True
        return b"* OK [HIGHESTMODSEQ %d] Expunges are held back.\r\n" % max(self.reported_modseq, 1)

    def excerpt(self, positions: Sequence[int]) -> "View":
        """Return a view of these messages only, to search among them; it does not catch up."""
        columns = [
            array(column.typecode, [column[at] for at in positions])
            for column in (self.uids, self.flags, self.modseqs, self.sizes)
        ]
        fresh = FolderView(self._fresh.info, *columns)
        some = View(fresh, polled_modseq=self.polled_modseq, account_id=self.account_id, place=self.place, read_only=True)
        some.recent = self.recent
        some.is_excerpt = True
        return some

    def flag_texts(self, places: Iterable[range]) -> Iterator[bytes]:
        """Return the flags of messages, \\Recent among them, without parentheses.

        No statement is run for a message: a first session lists a mailbox in which all are \\Recent.
        """
        names = self.names, flag_names(self.keywords, recent=True)
        return chain.from_iterable(
            map(names[is_recent].__getitem__, self.flags[stretch.start : stretch.stop])
            for stretch, is_recent in self._stretches(places)
        )

    def _stretches(self, places: Iterable[range]) -> Iterator[tuple[range, bool]]:
        """Cut `places` where messages begin and cease to be \\Recent."""
        recent = self.recent_places
        stops = [each.stop for each in recent]
        for place in places:
            start = place.start
            for at in range(bisect_right(stops, start), len(recent)):
                each = recent[at]
                if each.start >= place.stop:
                    break
                if start < each.start:
                    yield range(start, each.start), False
                    start = each.start
                yield range(start, min(each.stop, place.stop)), True
                start = min(each.stop, place.stop)
            if start < place.stop:
                yield range(start, place.stop), False

    def fetch_line(self, position: int, enabled: Enabled, *, with_uid: bool = False, with_flags: bool = True) -> bytes:
        """Return an unsolicited FETCH with the flags of one message.

        In the response to a UID command it has the UID too (RFC 9051 §6.4.9).
        """
        return self._fetch_writer(enabled, with_uid=with_uid)(position, with_flags)

    def _fetch_writer(self, enabled: Enabled, *, with_uid: bool) -> Callable[[int, bool], bytes]:
        """Return what writes a `fetch_line`: what is the same for all messages is looked up once."""
        has_uid, has_modseq, uid_only = unsolicited(enabled)
        has_uid = has_uid or (with_uid and not uid_only)
        uids, flags, modseqs, names, recent = self.uids, self.flags, self.modseqs, self.names, self.recent

        def write(position: int, with_flags: bool) -> bytes:
            uid = uids[position]
            data: list[bytes] = []
            if has_uid:
                data.append(b"UID %d" % uid)
            if has_modseq:
                data.append(b"MODSEQ (%d)" % modseqs[position])
            if with_flags:
                text = names[flags[position]]
                for low, high in recent:
                    if low <= uid <= high:
                        text = b"\\Recent " + text if text else b"\\Recent"
                        break
                data.append(b"FLAGS (%b)" % text)
            if uid_only:
                return b"* %d UIDFETCH (%b)\r\n" % (uid, b" ".join(data))
            return b"* %d FETCH (%b)\r\n" % (position + 1, b" ".join(data))

        return write

    def catch_up(
        self,
        change: FolderChange,
        enabled: Enabled,
        *,
        expunge: bool,
        expected: Mapping[int, int] | None = None,
        asked: Collection[int] = (),
        own: Collection[int] = (),
        with_uid: bool = False,
    ) -> list[bytes]:
        """Adopt what `poll` read, and return the lines that report it.

        expunge    EXPUNGE or VANISHED may be sent now
        expected   UID -> flags that the client assumes after its own STORE with .SILENT
        asked      UIDs whose flags are reported even if they did not change: its own STORE
        own        UIDs that the client itself has expunged: reported also where others' are withheld
        with_uid   the lines answer a UID command
        """
        last = self.uids[-1] if self.uids else 0
        keywords = self.keywords
        before: dict[int, int] = {}
        if change.fresh is not None and change.changes is not None:
            before = self._take(change.fresh, change.changes)
        elif self._withheld is None and len(self._fresh.uids) + len(self._pending_expunges) != len(self.uids):
            self._adopt(self._fresh)  # messages that were withheld
        if change.fresh is not None and change.fresh.info.name != self.name:  # a RENAME changes no message
            self.name = change.fresh.info.name
            self._fresh = replace(self._fresh, info=self._fresh.info._replace(name=self.name))
        self.polled_modseq = max(self.polled_modseq, change.account_modseq)
        self.mark = change.mark
        self.contexts.note(before, self.uids[bisect_right(self.uids, last) :])
        lines = self.contexts.expunged(self._pending_expunges, self.position) if self._pending_expunges else []
        recent = self.recent_count if self.recent else 0
        lines += self._expunge_responses(enabled, own) if expunge and self._pending_expunges else []
        rights_moved, self._reported_rights = self.rights_moved, self.rights
        self.recent = merged([*self.recent, *change.recent]) if change.recent else self.recent
        if self.uids and self.uids[-1] > last:
            lines += self._exists_responses(enabled)
        elif recent and self.recent_count != recent and Enabled.REV2 not in enabled:  # RFC 3501 §7.3.2
            lines.append(b"* %d RECENT\r\n" % self.recent_count)
        if self.keywords != keywords or rights_moved:  # RFC 4314 §5.1.1
            lines += self.keyword_lines()
        lines += self._fetch_responses(before, enabled, expected or {}, asked, with_uid=with_uid)
        if expunge and self._hold_is_known and not self._pending_expunges:
            self._hold_is_known = False
            lines.append(b"* OK [HIGHESTMODSEQ %d] No expunges are held back.\r\n" % self.modseq)
        return lines

    def keyword_lines(self) -> list[bytes]:
        """Return FLAGS and PERMANENTFLAGS (RFC 9051 §7.3.5, §7.1), the latter as the client's rights allow."""
        names = self.names.all_names
        allowed = 0 if self.read_only else self.allowed
        mine = [name for bit, name in enumerate(names) if allowed >> bit & 1]
        new_ones = [b"\\*"] if allowed & KEYWORD_FLAGS and len(self.keywords) < MAX_KEYWORDS else []
        permanent = b" ".join([*mine, *new_ones])
        return [b"* FLAGS (%b)\r\n" % b" ".join(names), b"* OK [PERMANENTFLAGS (%b)] Permanent flags.\r\n" % permanent]

    def _expunge_responses(self, enabled: Enabled, own: Collection[int]) -> list[bytes]:
        """Report pending expunges and drop their numbers: VANISHED (RFC 7162 §3.2.10), or EXPUNGE, last first."""
        expunged, self._pending_expunges = self._pending_expunges, []
        if self._withheld is not None:
            mine = set(own)
            self._pending_expunges = [uid for uid in expunged if uid not in mine]
            expunged = [uid for uid in expunged if uid in mine]
            if not expunged:
                return []
        lines = (
            [b"* VANISHED %b\r\n" % format_set(expunged)]
            if enabled & (Enabled.QRESYNC | Enabled.UIDONLY)
            else [
                b"* %d EXPUNGE\r\n" % (at + 1)
                for begin, end in reversed([*runs_of(self.uids, expunged)])
                for at in reversed(range(begin, end))
            ]
        )
        self._adopt(self._fresh)
        return lines

    def _exists_responses(self, enabled: Enabled) -> list[bytes]:
        lines = [b"* %d EXISTS\r\n" % len(self.uids)]
        if Enabled.REV2 not in enabled:
            lines.append(b"* %d RECENT\r\n" % self.recent_count)
        return lines

    def _fetch_responses(
        self,
        before: Mapping[int, int],
        enabled: Enabled,
        expected: Mapping[int, int],
        asked: Collection[int],
        *,
        with_uid: bool,
    ) -> list[bytes]:
        """Return FETCH lines for changed messages and for `asked`; `before`: flags that the client knows."""
        lines: list[bytes] = []
        uids, flags, at = self.uids, self.flags, 0
        has_modseq, write = Enabled.CONDSTORE in enabled, self._fetch_writer(enabled, with_uid=with_uid)
        asked_for = asked if isinstance(asked, set) else set(asked)
        if not asked_for and not has_modseq and self._are_known(before, expected):
            return lines
        for uid in sorted(before.keys() | asked_for):
            at = position_after(uids, uid, at)
            if at == len(uids) or uids[at] != uid:
                continue
            is_asked = uid in asked_for
            if not is_asked:
                if self.quiet and uid not in expected:
                    continue
                if expected.get(uid, before.get(uid)) == flags[at]:
                    if has_modseq:  # also after .SILENT: the new MODSEQ must be reported (RFC 7162 §3.1.3)
                        lines.append(write(at, False))
                    continue
            lines.append(write(at, True))
        return lines

    def _are_known(self, before: Mapping[int, int], expected: Mapping[int, int]) -> bool:
        """Return whether the client knows the flags of many changed messages, which is seen only of a run."""
        some = list(before)
        run = self.run_at(some) if len(some) >= LONG_RUN else None
        if run is None:
            return False
        known = [expected.get(uid, flags) for uid, flags in before.items()]
        return array(self.flags.typecode, known) == self.flags[run : run + len(some)]
