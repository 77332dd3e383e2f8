"""SEARCH: which messages match, told as SEARCH or ESEARCH and kept for `$`.

`matching` evaluates the tree over whole columns; here the columns are asked from the store, and text is scanned for what the
columns left undecided, in slices, so that a long search tells of its progress (RFC 9585) and can be cut.
Standards: RFC 9051 §6.4.4, RFC 4731 (ESEARCH), RFC 5182 (SEARCHRES), RFC 7162 §3.1.5 (MODSEQ), RFC 5032, RFC 8514, RFC 8474.
"""

import re
from collections.abc import Callable, Sequence
from typing import cast

from mic_mail.clock import HO_CHI_MINH
from mic_mail.imap import matching, responses
from mic_mail.imap.actions import PROGRESS_SECONDS, Steps
from mic_mail.imap.conversation import Conversation, Reply, bad, refuse
from mic_mail.imap.grammar.commands import Search
from mic_mail.imap.grammar.searchkeys import (
    CHARSETS,
    Age,
    BodyKey,
    DateKey,
    DateOf,
    EmailId,
    HeaderKey,
    ModSeq,
    SearchKey,
    TextKey,
    ThreadId,
    leaves,
)
from mic_mail.imap.matching import Answer, Columns, TextScan
from mic_mail.imap.shelf import Arrivals
from mic_mail.imap.view import Enabled, View
from mic_mail.mime.dates import parse_date
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import KEYWORD_SHIFT, Column, TextTest

LOOK_UP_MESSAGES = 20_000
"""Asked of `search.sqlite` in one hop: 10 to 40 ms."""
HEADER_SCAN_MESSAGES = 2000
BODY_SCAN_MESSAGES = 500
BODY_SCAN_OCTETS = 16 << 20
"""What is looked through in one hop: between two the session can be cut and tells how far it is."""
LONG_ANSWER = 2000
"""Numbers; a longer answer is made in a lane."""

_EXTENDED = frozenset({"MIN", "MAX", "ALL", "COUNT"})


def search(talk: Conversation, command: Search) -> Steps[Reply]:
    """SEARCH and UID SEARCH."""
    view = talk.view
    assert view is not None
    if command.foreign_charset and Enabled.UTF8 in talk.enabled:  # RFC 6855 §3; by name UTF-8 says the same and is let through
        return bad("No charset may be given after ENABLE UTF8=ACCEPT.")
    saved, saves = talk.saved, command.returns is not None and "SAVE" in command.returns
    if saves:
        talk.saved = ()  # stays so if this ends in NO (RFC 5182 §2.1)
    if command.key is None:
        return refuse("Unknown charset.", b"BADCHARSET (%b)" % b" ".join(CHARSETS))  # RFC 9051 §6.4.4
    with_modseq = any(isinstance(key, ModSeq) for key in leaves(command.key))
    if with_modseq:
        talk.use_condstore()
    yield from talk.sync(expunge=False)
    hunt = Hunt(view, command.key, saved, now=int(talk.clock.now().timestamp()), arrivals=talk.shelf.arrivals)
    yield from talk.ask(hunt.begin)
    told_at = talk.now()
    while hunt.undecided:
        yield from talk.ask(hunt.scan)
        if hunt.undecided and talk.now() - told_at >= PROGRESS_SECONDS:
            told_at = talk.now()
            talk.say(responses.ok(b"*", "Still looking.", responses.in_progress(command.tag, *hunt.progress)))
        yield from talk.breathe()
    found, rev2 = hunt.found, Enabled.REV2 in talk.enabled
    if saves:
        talk.saved = tuple(view.uids[at] for at in _kept(command, found))

    def make(account: Account | None = None) -> bytes:
        return _answer(view, command, found, rev2=rev2, with_modseq=with_modseq)

    talk.say((yield from talk.ask(make)) if len(found) > LONG_ANSWER else make())
    return Reply("Searched.")


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


# ------------------------------------------------------------------ telling


def _answer(view: View, command: Search, found: list[int], *, rev2: bool, with_modseq: bool) -> bytes:
    """SEARCH or ESEARCH; an empty one is also told, since clients wait for it. Nothing for RETURN (SAVE) alone (RFC 5182)."""
    name: Callable[[int], int] = view.uids.__getitem__ if command.by_uid else (1).__add__
    numbers = [name(at) for at in found]
    returns = command.returns
    if returns is None and not rev2:
        return responses.search(numbers, _highest(view, found) if with_modseq else None)
    asked = frozenset({"ALL"}) if returns is None else returns & _EXTENDED
    if not asked:
        return b""
    counted = _kept(command, found)
    return responses.esearch(
        command.tag,
        by_uid=command.by_uid,
        minimum=numbers[0] if numbers and "MIN" in asked else None,
        maximum=numbers[-1] if numbers and "MAX" in asked else None,
        found=numbers if "ALL" in asked else None,
        count=len(numbers) if "COUNT" in asked else None,
        modseq=_highest(view, counted) if with_modseq and counted else None,
    )


def _kept(command: Search, found: list[int]) -> list[int]:
    """What `$` and MODSEQ are about: the ends alone where only they were asked for (RFC 5182 §2.1, RFC 4731 §3.2), else all."""
    asked = (command.returns or frozenset()) & _EXTENDED
    if not asked or asked & {"ALL", "COUNT"}:
        return found
    return sorted({*(found[:1] if "MIN" in asked else ()), *(found[-1:] if "MAX" in asked else ())})


def _highest(view: View, positions: Sequence[int]) -> int:
    """The MODSEQ of an answer is that of its newest message (RFC 7162 §3.1.5)."""
    return max((view.modseqs[at] for at in positions), default=0)
