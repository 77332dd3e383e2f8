"""Finding: which messages match the keys of SEARCH, SORT, THREAD and ESEARCH (`find`).

`matching` evaluates the tree over whole columns; here the columns are asked from the store, and text is scanned for what the
columns left undecided, in slices, so that a long search tells of its progress (RFC 9585) and can be cut.
What is answered is decided in `searching`.
Standards: RFC 9051 §6.4.4, RFC 5182 (`$`), RFC 7162 §3.1.5 (MODSEQ), RFC 5032, RFC 8514, RFC 8474, RFC 9585.
"""

import re
from collections.abc import Sequence
from typing import cast

from mic_mail.clock import HO_CHI_MINH
from mic_mail.imap import responses
from mic_mail.imap.actions import PROGRESS_SECONDS, Steps
from mic_mail.imap.conversation import Conversation
from mic_mail.imap.finding import matching
from mic_mail.imap.finding.matching import Answer, Columns, TextScan
from mic_mail.imap.grammar.searchkeys import (
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
from mic_mail.imap.selected.shelf import Arrivals
from mic_mail.imap.selected.view import View
from mic_mail.mime.dates import parse_date
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import KEYWORD_SHIFT, Column, TextTest

LOOK_UP_MESSAGES = 20_000
"""Asked of `search.sqlite` in one hop: 10 to 40 ms."""
HEADER_SCAN_MESSAGES = 2000
BODY_SCAN_MESSAGES = 500
BODY_SCAN_OCTETS = 16 << 20
"""What is looked through in one hop: between two the session can be cut and tells how far it is."""


class Progress:
    """Tells those who wait how far it is (RFC 9585 §3); `before` and `after` are messages of other mailboxes."""

    def __init__(self, talk: Conversation, tag: bytes) -> None:
        self._talk = talk
        self._tag = tag
        self._told_at = talk.now()
        self.before = self.after = 0

    def tell(self, done: int, goal: int) -> None:
        """So many of so many messages have been looked at."""
        talk = self._talk
        if talk.now() - self._told_at >= PROGRESS_SECONDS:
            self._told_at = talk.now()
            reached, all_of_them = self.before + done, self.before + goal + self.after
            talk.say(responses.ok(b"*", "Still looking.", responses.in_progress(self._tag, reached, all_of_them)))


def find(
    talk: Conversation,
    view: View,
    key: SearchKey,
    saved: Sequence[int] = (),
    *,
    progress: Progress | None = None,
    arrivals: Arrivals | None = None,
) -> Steps[list[int]]:
    """The positions of a view that match, ascending; `$` stands for `saved`.

    The view may be of any folder that may be read, or an excerpt, for which `arrivals` are not those that sessions share.
    """
    hunt = Hunt(view, key, saved, now=int(talk.clock.now().timestamp()), arrivals=arrivals or talk.shelf.arrivals)
    yield from talk.ask(hunt.begin, view.place)
    while hunt.undecided:
        yield from talk.ask(hunt.scan, view.place)
        if hunt.undecided and progress is not None:
            progress.tell(*hunt.progress)
        yield from talk.breathe()
    return hunt.found


# ------------------------------------------------------------------ finding


class Hunt:
    """One search over the messages that the client knows. `begin`, then `scan` while `undecided`; both block."""

    def __init__(self, view: View, key: SearchKey, saved: Sequence[int], *, now: int, arrivals: Arrivals) -> None:
        self._view = view
        self._arrivals = arrivals
        self._arrived: Sequence[int] = ()
        self._key = key
        self._saved = saved
        self._now = now
        self._rows: dict[Column, list[object]] = {}
        self._answers: dict[TextScan, Answer] = {}
        self._columns: Columns | None = None
        self._left: list[int] = []  # positions that the text key in hand has yet to be asked of
        self._scan: TextScan | None = None
        self._unread: list[int] = []  # likewise, and only reading the message can tell
        self._asked = self._hits = 0
        self.found: list[int] = []
        """Positions, ascending; complete when nothing is undecided."""
        self.undecided = False

    @property
    def progress(self) -> tuple[int, int]:
        """Messages looked at and to look at, for the text key in hand."""
        done = self._asked.bit_count()
        return done, done + len(self._left) + len(self._unread)

    def begin(self, account: Account) -> None:
        """Ask for the columns that the tree needs and decide what they can."""
        view = self._view
        wanted = {column for key in leaves(self._key) for column in _columns_of(key)}
        if "internaldate_us" in wanted:
            wanted.remove("internaldate_us")
            self._arrived = self._arrivals.of(view, lambda uids: _arrivals_of(account, view.folder_id, uids))
        if wanted:
            self._rows = _complete(view, account, sorted(wanted))
        self._columns = Columns(
            uids=view.uids,
            flags=view.flags,
            modseqs=view.modseqs,
            sizes=view.sizes,
            keywords={name.lower(): 1 << (KEYWORD_SHIFT + place) for place, name in enumerate(view.keywords)},
            recent=matching.mask_of((at for at, uid in enumerate(view.uids) if view.is_recent(uid)), view.messages)
            if view.recent
            else 0,
            saved_uids=self._saved,
            now=self._now,
            zone=HO_CHI_MINH,
            seconds=self._seconds,
            identifiers=self._identifiers,
        )
        self._decide()

    def _decide(self) -> None:
        """Evaluate the tree; if text has the last word, take the cheapest key that was not asked of everything undecided."""
        assert self._columns is not None
        count = self._view.messages
        verdict = matching.match(self._key, self._columns, self._answers)
        self.undecided = bool(verdict.undecided)
        if not self.undecided:
            self.found = matching.positions(verdict.certain, count)
            return
        for scan in matching.text_keys(self._key):
            asked = self._answers.get(scan, Answer(0, 0)).asked
            open_ones = verdict.undecided & ~asked
            if open_ones:
                self._scan, self._asked, self._hits = scan, asked, self._answers.get(scan, Answer(0, 0)).found
                self._left = matching.positions(open_ones, count)
                return
        raise AssertionError("what is undecided has a text key that was not asked")

    def scan(self, account: Account) -> None:
        """Ask the text key in hand of some more messages: first what the store has ready, then by reading the others."""
        assert self._scan is not None
        view, count = self._view, self._view.messages
        if self._left:
            some, self._left = self._left[:LOOK_UP_MESSAGES], self._left[LOOK_UP_MESSAGES:]
            if view.is_excerpt:  # a few that are new, mostly: the search file would have to find out which they are
                self._unread += some
                return
            looked_up = account.look_up_text(view.folder_id, view.uids, some, _test(self._scan))
            known = matching.mask_of(looked_up.known, count)
            self._asked |= known
            self._hits |= matching.mask_of(looked_up.found, count)
            self._unread += matching.positions(matching.mask_of(some, count) & ~known, count)
        else:
            some = self._some()
            uids = [view.uids[at] for at in some]
            passed = {uid for uid, (hit,) in account.find_text(view.folder_id, uids, [_test(self._scan)]) if hit}
            self._asked |= matching.mask_of(some, count)
            self._hits |= matching.mask_of((at for at in some if view.uids[at] in passed), count)
        if not self._left and not self._unread:
            self._answers[self._scan] = Answer(self._asked, self._hits)
            self._decide()

    def _some(self) -> list[int]:
        """The next messages to read; they leave `_unread`."""
        if isinstance(self._scan, HeaderKey):
            stop = HEADER_SCAN_MESSAGES
        else:
            stop = octets = 0
            for at in self._unread[:BODY_SCAN_MESSAGES]:
                octets += self._view.sizes[at]
                stop += 1
                if octets >= BODY_SCAN_OCTETS:
                    break
        some, self._unread = self._unread[:stop], self._unread[stop:]
        return some

    def _seconds(self, of: DateOf) -> Sequence[int | None]:
        if of is DateOf.SENT:
            return [None if found is None else _sent_day(cast("bytes", found)) for found in self._rows["envelope"]]
        if of is DateOf.INTERNAL:
            return self._arrived
        column = cast("list[int | None]", self._rows["savedate_us"])
        return [None if instant is None else instant // 1_000_000 for instant in column]

    def _identifiers(self, kind: type[EmailId] | type[ThreadId]) -> Sequence[str | None]:
        return cast("list[str | None]", self._rows["email_id" if kind is EmailId else "thread_id"])


def _arrivals_of(account: Account, folder_id: int, uids: Sequence[int]) -> dict[int, int]:
    rows = account.rows(folder_id, uids, ("uid", "internaldate_us"))
    return {uid: instant // 1_000_000 for uid, instant in cast("list[tuple[int, int]]", rows)}


_DATE = re.compile(rb'\(("(?:[^"\\]|\\.)*+")')
_ZONE = re.compile(rb"[ \t]*(?:\([^)]*\)[ \t]*)?[+-]\d{2}:?\d{2}[ \t]*(?:\([^)]*\))?[ \t]*$|[ \t]+[A-Za-z]{1,5}[ \t]*$")
"""The zone at the end of a date, which is then read as if it were UTC."""
_VIETNAM_SECONDS = 7 * 3600


def _sent_day(envelope: bytes) -> int | None:
    """The day of the Date field as it is written, whatever its zone (RFC 9051 §6.4.4), as an instant on that day here."""
    found = _DATE.match(envelope)
    local = parse_date(_ZONE.sub(b"", found[1][1:-1])) if found else None
    return None if local is None else local - _VIETNAM_SECONDS


def _columns_of(key: SearchKey) -> tuple[Column, ...]:
    """What the index has to give for a key."""
    match key:
        case DateKey(of=DateOf.SENT):
            return ("envelope", "internaldate_us")
        case DateKey(of=DateOf.SAVED):
            return ("savedate_us",)
        case DateKey():
            return ("internaldate_us",)
        case Age():
            return ("internaldate_us",)
        case EmailId():
            return ("email_id",)
        case ThreadId():
            return ("thread_id",)
        case _:
            return ()


def _complete(view: View, account: Account, columns: Sequence[Column]) -> dict[Column, list[object]]:
    """These columns for every message of the view; None where a message is gone."""
    rows = account.rows(view.folder_id, view.uids, ("uid", *columns))
    if len(rows) < view.messages:
        by_uid = {row[0]: row for row in rows}
        nothing = (None,) * (1 + len(columns))
        rows = [by_uid.get(uid, nothing) for uid in view.uids]
    values = zip(*rows, strict=True) if rows else iter([()] * (1 + len(columns)))
    next(values)
    return {column: list(value) for column, value in zip(columns, values, strict=True)}


def _test(scan: TextScan) -> TextTest:
    match scan:
        case HeaderKey(name, value):
            return TextTest("HEADER", value, name)
        case BodyKey(value):
            return TextTest("BODY", value)
        case TextKey(value):
            return TextTest("TEXT", value)
