"""Finding: which messages match the keys of SEARCH, SORT, THREAD and ESEARCH (`find`).

`matching` evaluates the tree over whole columns; here the columns are asked from the store, and text is scanned for what the
columns left undecided, in slices, so that a long search tells of its progress (RFC 9585) and can be cut.
What is answered is decided in `searching`.
Standards: RFC 9051 §6.4.4, RFC 5182 (`$`), RFC 7162 §3.1.5 (MODSEQ), RFC 5032, RFC 8514, RFC 8474, RFC 9585.
"""

import re
from collections.abc import Generator, Iterator, Sequence
from datetime import date, datetime
from itertools import chain, islice, takewhile
from time import monotonic
from typing import TypeVar, cast

from mic_mail.clock import HO_CHI_MINH
from mic_mail.imap import responses
from mic_mail.imap.actions import PROGRESS_SECONDS, Steps
from mic_mail.imap.commands import search_match
from mic_mail.imap.commands.search_match import Answer, Columns, Mask, TextScan, Verdict
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.search_keys import (
    Age,
    BodyKey,
    DateKey,
    DateOf,
    EmailId,
    HeaderKey,
    SearchKey,
    TextKey,
    ThreadId,
    leaves,
)
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.imap.selected.shared_cache import Dates
from mic_mail.mime.dates import written_day
from mic_mail.mime.scanner import MAX_HEADER
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import KEYWORD_SHIFT, Column, TextTest

COLUMN_MESSAGES = 10_000
EVALUATED_MESSAGES = 500_000
"""Looked at for the keys of a tree in one hop, each time counted: some 20 ms."""
LOOK_UP_MESSAGES = 20_000
"""Asked of `search.sqlite` in one hop: 10 to 40 ms."""
HEADER_SCAN_MESSAGES = 2000
BODY_SCAN_MESSAGES = 500
SCAN_OCTETS = 16 << 20
"""What is read at once of some messages, and looked through: half a second."""
KEYS_A_READING = 16
"""As many look through a text as cost what reading it costs."""
LARGE_OCTETS = 4 << 20
"""A message of so many is looked through for no more keys at once: one of 20 MB takes two seconds for as many as these."""
READING_SECONDS = 0.1
"""Of one hop: between two the session can be cut, others have their turn, and it tells how far it is."""
KEYS_ONE_BY_ONE = 8
KEYS_AT_ONCE = 64
"""The first text keys of a search are asked one by one, each only of what the others left undecided, as programs ask for a few;
the others together. Else each of thousands, as fit into one command, would cost a look at the whole tree (3,400 HEADER keys
and 4 messages: 113 s; together 0.6 s)."""

SequenceT = TypeVar("SequenceT", bound=Sequence[int])

Hops = Generator[None, None, None]
"""Stops between two hops."""


class Progress:
    """Tells those who wait how far it is (RFC 9585 §3); `before` and `after` are messages of other mailboxes."""

    def __init__(self, ctx: ImapContext, tag: bytes) -> None:
        self._talk = ctx
        self._tag = tag
        self._told_at = ctx.now()
        self.before = self.after = 0

    def report(self, done: int, goal: int) -> None:
        """So many of so many messages have been looked at."""
        ctx = self._talk
        if ctx.now() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = ctx.now()
            reached, all_of_them = self.before + done, self.before + goal + self.after
            ctx.write(responses.ok(b"*", "Still looking.", responses.in_progress(self._tag, reached, all_of_them)))


def find(
    ctx: ImapContext, view: View, key: SearchKey, saved: Sequence[int] = (), *, progress: Progress | None = None
) -> Steps[list[int]]:
    """The positions of a view that match, ascending; `$` stands for `saved`.

    The view may be of any folder that may be read, or an excerpt.
    """
    dates = Dates() if view.is_excerpt else ctx.shelf.dates  # nobody else has the same messages in hand
    hunt = SearchRun(view, key, saved, now=int(ctx.clock.now().timestamp()), dates=dates)
    yield from ctx.ask(hunt.go_on, view.place)
    while not hunt.is_over:
        if progress is not None and hunt.done < hunt.goal:
            progress.report(hunt.done, hunt.goal)
        yield from ctx.yield_output()
        yield from ctx.ask(hunt.go_on, view.place)
    return hunt.found


# ------------------------------------------------------------------ finding


class SearchRun:
    """One search over the messages that the client knows: `go_on` until it `is_over`."""

    def __init__(self, view: View, key: SearchKey, saved: Sequence[int], *, now: int, dates: Dates) -> None:
        self._view = view
        self._key = key
        self._saved = saved
        self._now = now
        self._dates = dates
        self._answers: dict[TextScan, Answer] = {}
        self._account: Account
        self._hops = self._search()
        self.done = self.goal = 0
        """Messages looked at and to look at, for the text key in hand; none while there is none."""
        self.found: list[int] = []
        """Positions, ascending; complete when it is over."""
        self.is_over = False

    def go_on(self, account: Account) -> None:
        """One hop. Blocks."""
        self._account = account
        try:
            next(self._hops)
        except StopIteration:
            self.is_over = True

    def _search(self) -> Hops:
        columns = yield from self._columns()
        text_keys = search_match.text_keys(self._key)
        many = KEYS_AT_ONCE if max(self._view.sizes, default=0) < LARGE_OCTETS else KEYS_A_READING
        while True:
            verdict = yield from self._evaluate(columns)
            if not verdict.undecided:
                self.found = search_match.positions(verdict.certain, self._view.messages)
                return
            at_once = 1 if len(self._answers) < KEYS_ONE_BY_ONE else many
            yield from self._ask(self._next_scans(text_keys, verdict.undecided, at_once), verdict.undecided)

    def _evaluate(self, columns: Columns) -> Generator[None, None, Verdict]:
        evaluation, looked_at = search_match.match(self._key, columns, self._answers), 0
        while True:
            try:
                next(evaluation)
            except StopIteration as end:
                return cast("Verdict", end.value)
            looked_at += self._view.messages
            if looked_at >= EVALUATED_MESSAGES:
                looked_at = 0
                yield

    def _next_scans(self, text_keys: Sequence[TextScan], undecided: Mask, at_once: int) -> list[TextScan]:
        """The cheapest text keys, of one kind, that were not asked of everything undecided."""
        left = (scan for scan in text_keys if undecided & ~self._answer(scan).asked)
        first = next(left)  # what is undecided has a text key that was not asked
        return [first, *islice(takewhile(lambda scan: type(scan) is type(first), left), at_once - 1)]

    def _answer(self, scan: TextScan) -> Answer:
        """What it has answered so far."""
        return self._answers.get(scan, _NOTHING_ASKED)

    # Columns

    def _columns(self) -> Generator[None, None, Columns]:
        view, wanted = self._view, {kind for key in leaves(self._key) if (kind := _column_of(key)) is not None}
        instants: dict[DateOf, Sequence[int | None]] = {}
        if DateOf.INTERNAL in wanted:
            instants[DateOf.INTERNAL] = yield from self._dates.received.of(view, self._received)
        if DateOf.SENT in wanted:
            instants[DateOf.SENT] = yield from self._dates.sent.of(view, self._sent)
        if DateOf.SAVED in wanted:
            saved = cast("list[int | None]", (yield from self._stored("savedate_us")))
            instants[DateOf.SAVED] = [None if instant is None else instant // 1_000_000 for instant in saved]
        identifiers: dict[type[EmailId] | type[ThreadId], Sequence[str | None]] = {}
        if EmailId in wanted:
            identifiers[EmailId] = cast("list[str | None]", (yield from self._stored("email_id")))
        if ThreadId in wanted:
            identifiers[ThreadId] = cast("list[str | None]", (yield from self._stored("thread_id")))
        return Columns(
            uids=view.uids,
            flags=view.flags,
            modseqs=view.modseqs,
            sizes=view.sizes,
            keywords={name.lower(): 1 << (KEYWORD_SHIFT + place) for place, name in enumerate(view.keywords)},
            recent=search_match.mask_of(chain.from_iterable(view.recent_places), view.messages),
            saved_uids=self._saved,
            now=self._now,
            zone=HO_CHI_MINH,
            instants=instants,
            identifiers=identifiers,
        )

    def _received(self, uids: Sequence[int]) -> dict[int, int]:
        rows = self._account.rows(self._view.folder_id, uids, ("uid", "internaldate_us"))
        return {uid: instant // 1_000_000 for uid, instant in cast("list[tuple[int, int]]", rows)}

    def _sent(self, uids: Sequence[int]) -> dict[int, int]:
        rows = self._account.rows(self._view.folder_id, uids, ("uid", "envelope", "internaldate_us"))
        return {uid: _sent_day(envelope, received) for uid, envelope, received in cast("list[tuple[int, bytes, int]]", rows)}

    def _stored(self, column: Column) -> Generator[None, None, list[object]]:
        """A column of the index for every message of the view; None where a message is gone."""
        values: list[object] = []
        for uids in _slices(self._view.uids, COLUMN_MESSAGES):
            if values:
                yield
            told = dict(self._account.rows(self._view.folder_id, uids, ("uid", column)))
            values += [told.get(uid) for uid in uids]
        return values

    # Text

    def _ask(self, scans: Sequence[TextScan], undecided: Mask) -> Hops:
        """Ask text keys of messages: first what the store has ready, then by reading the others."""
        count, asked_before = self._view.messages, self._answer(scans[0]).asked
        self.done, self.goal = asked_before.bit_count(), asked_before.bit_count() + (undecided & ~asked_before).bit_count()
        asking = [_PendingKey(scan, self._answer(scan), count) for scan in scans]
        looked_at = 0
        for one in asking:
            for some in _slices(search_match.positions(undecided & ~self._answer(one.scan).asked, count), LOOK_UP_MESSAGES):
                looked_at += len(some)
                if looked_at > LOOK_UP_MESSAGES:
                    looked_at = len(some)
                    yield
                self._look_up(one, some)
        yield
        reading = [one for one in asking if one.unread]
        until = monotonic() + READING_SECONDS
        for some in self._readable(reading):
            self._read(reading, some)
            if monotonic() >= until:
                yield
                until = monotonic() + READING_SECONDS
        for one in asking:
            self._answers[one.scan] = Answer(one.asked.mask, one.hits.mask)

    def _look_up(self, one: "_PendingKey", some: list[int]) -> None:
        """What the store has ready; the rest is left to be read."""
        view = self._view
        if view.is_excerpt:  # a few that are new, mostly: the search file would have to find out which they are
            one.unread += some
            return
        looked_up = self._account.look_up_text(view.folder_id, view.uids, some, one.test)
        one.asked.add(looked_up.known)
        one.hits.add(looked_up.found)
        known = set(looked_up.known)
        one.unread += [at for at in some if at not in known]
        self.done += len(looked_up.known)

    def _read(self, reading: Sequence["_PendingKey"], some: list[int]) -> None:
        """The messages at these positions, for all keys that have yet to be read for."""
        uids = [self._view.uids[at] for at in some]
        passed = dict(self._account.find_text(self._view.folder_id, uids, [one.test for one in reading]))
        for place, one in enumerate(reading):
            one.asked.add(some)
            one.hits.add([at for at in some if (passes := passed.get(self._view.uids[at])) is not None and passes[place]])
        self.done += len(some)

    def _readable(self, reading: Sequence["_PendingKey"]) -> Iterator[list[int]]:
        """As many messages as are read together."""
        of_headers = all(isinstance(one.scan, HeaderKey) for one in reading)
        most = HEADER_SCAN_MESSAGES if of_headers else BODY_SCAN_MESSAGES
        some: list[int] = []
        octets = 0
        for at in sorted({at for one in reading for at in one.unread}):
            some.append(at)
            size = self._view.sizes[at]
            octets += (min(size, MAX_HEADER) if of_headers else size) * (1 + len(reading) // KEYS_A_READING)
            if len(some) == most or octets >= SCAN_OCTETS:
                yield some
                some, octets = [], 0
        if some:
            yield some


_NOTHING_ASKED = Answer(0, 0)


class _PendingKey:
    """A text key that is being asked; `unread` are the positions of messages that have to be read for it."""

    __slots__ = ("asked", "hits", "scan", "test", "unread")

    def __init__(self, scan: TextScan, before: Answer, count: int) -> None:
        self.scan = scan
        self.test = _test(scan)
        self.asked, self.hits = _BitMask(before.asked, count), _BitMask(before.found, count)
        self.unread: list[int] = []


class _BitMask:
    """A mask that grows."""

    __slots__ = ("_octets",)

    def __init__(self, mask: Mask, count: int) -> None:
        self._octets = bytearray(mask.to_bytes(count, "little"))

    def add(self, positions: Sequence[int]) -> None:
        for position in positions:
            self._octets[position] = 1

    @property
    def mask(self) -> Mask:
        return int.from_bytes(self._octets, "little")


def _slices(numbers: SequenceT, size: int) -> Iterator[SequenceT]:
    for start in range(0, len(numbers), size):
        yield cast("SequenceT", numbers[start : start + size])


def _column_of(key: SearchKey) -> DateOf | type[EmailId] | type[ThreadId] | None:
    """What has to be asked for a key, beside what every view has."""
    match key:
        case DateKey(of=of):
            return of
        case Age():
            return DateOf.INTERNAL
        case EmailId() | ThreadId():
            return type(key)
        case _:
            return None


_DATE = re.compile(rb'\((?:"((?:[^"\\]|\\.)*+)"|\{([0-9]+)\}\r\n)')


def _sent_day(envelope: bytes, received_us: int) -> int:
    """The midnight (UTC) of the day that the Date field names, whatever its time and zone (RFC 9051 §6.4.4); where it names
    none, of the day on which the message was received (as RFC 5256 §2.2 has it for SORT)."""
    found = _DATE.match(envelope)
    day = None
    if found is not None:
        end = found.end()
        day = written_day(found[1] if found[2] is None else envelope[end : end + int(found[2])])
    if day is None:
        day = (datetime.fromtimestamp(received_us // 1_000_000, HO_CHI_MINH).date() - date(1970, 1, 1)).days
    return day * 86_400


def _test(scan: TextScan) -> TextTest:
    match scan:
        case HeaderKey(name, value):
            return TextTest("HEADER", value, name)
        case BodyKey(value):
            return TextTest("BODY", value)
        case TextKey(value):
            return TextTest("TEXT", value)
