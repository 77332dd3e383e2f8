"""Runs the search of SEARCH, SORT, THREAD and ESEARCH: which messages match the keys (`find`).

`search_match` evaluates the tree over whole columns. This module reads the columns from the store, and scans text for the
messages that the columns left undecided, in slices, so that a long search reports progress (RFC 9585) and can be ended.
`search` decides what is answered.
Standards: RFC 9051 §6.4.4, RFC 5182 (`$`), RFC 7162 §3.1.5 (MODSEQ), RFC 5032, RFC 8514, RFC 8474, RFC 9585.
"""

import re
from collections.abc import Generator, Iterator, Sequence
from datetime import date, datetime
from functools import reduce
from itertools import chain, islice, takewhile
from time import monotonic
from typing import TypeVar, cast

from mic_mail.clock import HO_CHI_MINH
from mic_mail.connection.actions import Steps
from mic_mail.imap import responses
from mic_mail.imap.actions import PROGRESS_SECONDS
from mic_mail.imap.commands import search_match
from mic_mail.imap.commands.search_match import Columns, Mask, MatchMasks, TextScanResult
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.search_keys import Age, DateKey, DateOf, ObjectId, SearchKey, nodes
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.imap.selected.shared_cache import Dates
from mic_mail.mime.dates import written_day
from mic_mail.mime.structure import MAX_HEADER
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import KEYWORD_SHIFT, Column, TextTest

COLUMN_MESSAGES = 10_000
EVALUATED_MESSAGES = 500_000
"""Messages compared to the keys of a tree in one call, counted once per key: some 20 ms."""
LOOK_UP_MESSAGES = 100_000
"""Messages looked up in `search.sqlite` in one call: 5 to 20 ms for a word, 40 for a phrase."""
HEADER_SCAN_MESSAGES = 2000
BODY_SCAN_MESSAGES = 500
SCAN_OCTETS = 16 << 20
"""Octets read and searched in one piece: half a second."""
KEYS_A_READING = 16
"""Keys whose search of a text costs as much as reading it."""
LARGE_OCTETS = 4 << 20
"""Size of a message from which no more than KEYS_A_READING keys are searched together.

One of 20 MB takes two seconds for that many.
"""
READING_SECONDS = 0.1
"""Reading time of one call.

Between two calls the session can end, others get a turn, and progress is reported.
"""
KEYS_ONE_BY_ONE = 8
KEYS_AT_ONCE = 64
"""Text keys that are scanned together after the first KEYS_ONE_BY_ONE.

The first are scanned one by one, each only on messages that the others left undecided, since programs use few. Otherwise each
of the thousands that fit into a command would cost an evaluation of the whole tree (3,400 HEADER keys and 4 messages: 113 s;
together 0.6 s).
"""

SequenceT = TypeVar("SequenceT", bound=Sequence[int])

Hops = Generator[None, None, None]
"""Pauses between executor calls."""


class Progress:
    """Reports the progress of a search to a waiting client (RFC 9585 §3).

    `before` and `after` count messages of other mailboxes.
    """

    def __init__(self, ctx: ImapContext, tag: bytes) -> None:
        self._context = ctx
        self._tag = tag
        self._told_at = ctx.now()
        self.before = self.after = 0

    def report(self, done: int, goal: int) -> None:
        """Report that `done` of `goal` messages have been searched, at most every PROGRESS_SECONDS."""
        ctx = self._context
        if ctx.now() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = ctx.now()
            reached, all_of_them = self.before + done, self.before + goal + self.after
            ctx.write(responses.ok(b"*", "Search in progress.", responses.in_progress(self._tag, reached, all_of_them)))


def find(
    ctx: ImapContext, view: View, key: SearchKey, saved: Sequence[int] = (), *, progress: Progress | None = None
) -> Steps[list[int]]:
    """Return the matching positions of a view, ascending; `$` stands for `saved`.

    The view may be of any folder that may be read, or an excerpt.
    """
    dates = Dates() if view.is_excerpt else ctx.cache.dates  # no other session has the same messages
    run = SearchRun(view, key, saved, now=int(ctx.clock.now().timestamp()), dates=dates)
    yield from ctx.ask(run.go_on, view.place)
    while not run.is_over:
        if progress is not None and run.done < run.goal:
            progress.report(run.done, run.goal)
        yield from ctx.yield_output()
        yield from ctx.ask(run.go_on, view.place)
    return run.found


# ------------------------------------------------------------------ search run


class SearchRun:
    """One search over the messages that the client knows: `go_on` until it `is_over`."""

    def __init__(self, view: View, key: SearchKey, saved: Sequence[int], *, now: int, dates: Dates) -> None:
        self._view = view
        self._key = key
        self._saved = saved
        self._now = now
        self._dates = dates
        self._answers: dict[TextTest, TextScanResult] = {}
        self._account: Account
        self._hops = self._search()
        self.done = self.goal = 0
        """Messages searched and to search for the current text key; 0 while there is none."""
        self.found: list[int] = []
        """Positions, ascending; complete when it is over."""
        self.is_over = False

    def go_on(self, account: Account) -> None:
        """Do the work of one executor call. Blocks."""
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

    def _evaluate(self, columns: Columns) -> Generator[None, None, MatchMasks]:
        evaluation, looked_at = search_match.match(self._key, columns, self._answers), 0
        while True:
            try:
                next(evaluation)
            except StopIteration as end:
                return cast("MatchMasks", end.value)
            looked_at += self._view.messages
            if looked_at >= EVALUATED_MESSAGES:
                looked_at = 0
                yield

    def _next_scans(self, text_keys: Sequence[TextTest], undecided: Mask, at_once: int) -> list[TextTest]:
        """Return the cheapest text keys, of one kind, not yet scanned on all undecided messages."""
        left = (scan for scan in text_keys if undecided & ~self._answer(scan).asked)
        first = next(left)  # an undecided message always has an unscanned text key
        return [first, *islice(takewhile(lambda scan: scan.kind == first.kind, left), at_once - 1)]

    def _answer(self, scan: TextTest) -> TextScanResult:
        return self._answers.get(scan, _NOTHING_ASKED)

    # Columns

    def _columns(self) -> Generator[None, None, Columns]:
        view, wanted = self._view, {column for key in nodes(self._key) if (column := _column_of(key)) is not None}
        instants: dict[DateOf, Sequence[int | None]] = {}
        if DateOf.INTERNAL in wanted:
            instants[DateOf.INTERNAL] = yield from self._dates.received.of(view, self._received)
        if DateOf.SENT in wanted:
            instants[DateOf.SENT] = yield from self._dates.sent.of(view, self._sent)
        if DateOf.SAVED in wanted:
            saved = cast("list[int | None]", (yield from self._stored("savedate_us")))
            instants[DateOf.SAVED] = [None if instant is None else instant // 1_000_000 for instant in saved]
        identifiers: dict[str, Sequence[str | None]] = {}
        for column in ("email_id", "thread_id"):
            if column in wanted:
                identifiers[column] = cast("list[str | None]", (yield from self._stored(cast("Column", column))))
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
        """Return an index column for every message of the view; None where a message is gone."""
        values: list[object] = []
        for uids in _slices(self._view.uids, COLUMN_MESSAGES):
            if values:
                yield
            by_uid = dict(self._account.rows(self._view.folder_id, uids, ("uid", column)))
            values += [by_uid.get(uid) for uid in uids]
        return values

    # Text

    def _ask(self, scans: Sequence[TextTest], undecided: Mask) -> Hops:
        """Scan messages for text keys: first in the search index, then by reading the rest."""
        count, asked_before = self._view.messages, self._answer(scans[0]).asked
        self.done, self.goal = asked_before.bit_count(), asked_before.bit_count() + (undecided & ~asked_before).bit_count()
        asking = [_PendingKey(scan, self._answer(scan)) for scan in scans]
        looked_at = 0
        for one in asking:
            wanted = (undecided & ~self._answer(one.scan).asked).to_bytes(count, "little")
            for start in range(0, count, LOOK_UP_MESSAGES):
                of_these = wanted[start : start + LOOK_UP_MESSAGES]
                if not (asked := of_these.count(1)):
                    continue
                looked_at += asked
                if looked_at > LOOK_UP_MESSAGES:
                    looked_at = asked
                    yield
                self._look_up(one, of_these.rjust(start + len(of_these), b"\0").ljust(count, b"\0"))
        yield
        reading = [one for one in asking if one.unread]
        until = monotonic() + READING_SECONDS
        for some in self._readable(reading):
            self._read(reading, some)
            if monotonic() >= until:
                yield
                until = monotonic() + READING_SECONDS
        for one in asking:
            self._answers[one.scan] = TextScanResult(one.asked, one.hits)

    def _look_up(self, one: "_PendingKey", wanted: bytes) -> None:
        """Look messages up in the search index; leave the others to be read."""
        view, unread = self._view, int.from_bytes(wanted, "little")
        if not view.is_excerpt:  # else mostly a few new ones, which the index would first have to tell from others
            looked_up = self._account.look_up_text(view.folder_id, view.uids, wanted, one.scan)
            known = int.from_bytes(looked_up.known, "little")
            one.asked |= known
            one.hits |= int.from_bytes(looked_up.found, "little")
            unread &= ~known
            self.done += looked_up.known.count(1)
        one.unread |= unread

    def _read(self, reading: Sequence["_PendingKey"], some: list[int]) -> None:
        """Read the messages at these positions for all keys that are not answered yet."""
        uids = [self._view.uids[at] for at in some]
        passed = dict(self._account.find_text(self._view.folder_id, uids, [one.scan for one in reading]))
        count = self._view.messages
        for place, one in enumerate(reading):
            hits = [at for at in some if (passes := passed.get(self._view.uids[at])) is not None and passes[place]]
            one.asked |= search_match.mask_of(some, count)
            one.hits |= search_match.mask_of(hits, count)
        self.done += len(some)

    def _readable(self, reading: Sequence["_PendingKey"]) -> Iterator[list[int]]:
        """Yield groups of messages that are read together."""
        of_headers = all(one.scan.kind == "HEADER" for one in reading)
        most = HEADER_SCAN_MESSAGES if of_headers else BODY_SCAN_MESSAGES
        some: list[int] = []
        octets = 0
        for at in search_match.positions(reduce(int.__or__, (one.unread for one in reading), 0), self._view.messages):
            some.append(at)
            size = self._view.sizes[at]
            octets += (min(size, MAX_HEADER) if of_headers else size) * (1 + len(reading) // KEYS_A_READING)
            if len(some) == most or octets >= SCAN_OCTETS:
                yield some
                some, octets = [], 0
        if some:
            yield some


_NOTHING_ASKED = TextScanResult(0, 0)


class _PendingKey:
    """A text key that is being scanned; `unread` are the messages to read for it."""

    __slots__ = ("asked", "hits", "scan", "unread")

    def __init__(self, scan: TextTest, before: TextScanResult) -> None:
        self.scan = scan
        self.asked: Mask = before.asked
        self.hits: Mask = before.found
        self.unread: Mask = 0


def _slices(numbers: SequenceT, size: int) -> Iterator[SequenceT]:
    for start in range(0, len(numbers), size):
        yield cast("SequenceT", numbers[start : start + size])


def _column_of(key: SearchKey) -> DateOf | str | None:
    """Return the column that a key needs, beside those of every view."""
    match key:
        case DateKey(of=of):
            return of
        case Age():
            return DateOf.INTERNAL
        case ObjectId(column):
            return column
        case _:
            return None


_DATE = re.compile(rb'\((?:"((?:[^"\\]|\\.)*+)"|\{([0-9]+)\}\r\n)')


def _sent_day(envelope: bytes, received_us: int) -> int:
    """Return midnight (UTC) of the day in the Date field, ignoring its time and zone (RFC 9051 §6.4.4).

    Without one, the day on which the message was received (as RFC 5256 §2.2 defines for SORT).
    """
    found = _DATE.match(envelope)
    day = None
    if found is not None:
        end = found.end()
        day = written_day(found[1] if found[2] is None else envelope[end : end + int(found[2])])
    if day is None:
        day = (datetime.fromtimestamp(received_us // 1_000_000, HO_CHI_MINH).date() - date(1970, 1, 1)).days
    return day * 86_400
