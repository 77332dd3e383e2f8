"""A compiled FETCH: the source of each value (memory, index, message file) and the format of a line.

A `Plan` depends on the items alone and is cached, since mail programs ask for the same ones again and again. `Plan.lines`
formats a batch of messages; `fetch_reader.Reading` reads many, with their files. See `fetch` for the whole.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, cast

from mic_mail.imap import responses
from mic_mail.imap.commands.body_sections import binary_size, long_header
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.parser.fetch_items import Binary, BinarySize, Datum, FetchItem, Preview, Section, SectionText
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.imap.selected.shared_cache import AnswerCache
from mic_mail.mime.headers import cut
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import AnswerRow, Column

Values = Iterable[object]

KEPT_HEADERS = 8
"""Most header field items that are made for all messages of a batch and cached; more are streamed."""
CACHED_MESSAGES = 256
"""Most messages answered from memory without an executor call.

That is 0.1 ms of the loop's time, about what a call costs.
"""


class Batch:
    """Some messages, by their positions; `rows` holds the index columns."""

    __slots__ = ("kept", "known", "places", "rows")

    def __init__(self, places: list[range]) -> None:
        self.places = places
        self.rows: dict[str, Sequence[object]] = {}
        self.kept: dict[bytes, Sequence[bytes]] = {}
        """Cached answers, by `CachedItem.key`."""
        self.known: Sequence[AnswerRow] = ()
        """The rows of the messages, where all of them were read."""

    @classmethod
    def cut(cls, places: Iterable[range], size: int) -> Iterator["Batch"]:
        """Split messages into batches of at most `size`."""
        held: list[range] = []
        count = 0
        for place in places:
            start = place.start
            while start < place.stop:
                stop = min(place.stop, start + size - count)
                held.append(range(start, stop))
                count += stop - start
                start = stop
                if count == size:
                    yield cls(held)
                    held, count = [], 0
        if held:
            yield cls(held)

    def pick(self, column: Sequence[int]) -> Sequence[int]:
        if len(self.places) == 1:
            place = self.places[0]
            return column[place.start : place.stop]
        return list(chain.from_iterable([column[place.start : place.stop] for place in self.places]))

    def __len__(self) -> int:
        return sum(map(len, self.places))

    def numbers(self) -> Iterable[int]:
        return chain.from_iterable([range(place.start + 1, place.stop + 1) for place in self.places])


@dataclass(frozen=True, slots=True)
class Field:
    """One item that is not streamed: its name, the format of its value, and the values of a batch."""

    label: bytes
    form: bytes
    values: Callable[[View, Batch], Values]
    columns: tuple[Column, ...] = ()


# ------------------------------------------------------------------ items from the index


@dataclass(frozen=True, slots=True)
class CachedItem:
    """An answer that never changes and is requested often: made once, then taken from the cache."""

    key: bytes
    """The cache key."""
    columns: tuple[Column, ...]
    """Index columns from which it is made."""
    make: Callable[..., bytes | None] | None = None
    """A function of a `MessageSource` and those columns; None if the message is gone.

    The source is None where a row holds all that is needed. Without a function the column is the answer.
    """

    def field(self, label: bytes) -> Field:
        return Field(label, b"%b", lambda view, batch: batch.kept[self.key])

    def of_rows(self, rows: Sequence[AnswerRow]) -> list[bytes]:
        """Make the answers from rows that hold all that is needed."""
        columns: list[Iterator[Any]] = [map(attrgetter(name), rows) for name in self.columns]
        made: Iterable[Any] = columns[0] if self.make is None else map(self.make, repeat(None), *columns)
        return [*made]


@dataclass(frozen=True, slots=True)
class MessageSource:
    """The location of a message whose answer is made."""

    account: Account
    folder_id: int
    uid: int


def _header_fields(item: Section) -> CachedItem:
    others = item.text is SectionText.HEADER_FIELDS_NOT
    names = frozenset(item.fields)  # once: a client may name 20,000

    def make(source: MessageSource, kept: bytes | None, parts: bytes) -> bytes | None:
        header = kept or long_header(source.account, source.folder_id, source.uid, parts)
        return None if header is None else responses.literal(cut(header, names, others=others))

    return CachedItem(item.label, ("header", "parts"), make)


def _derived(make: Callable[..., bytes | int], *columns: Column) -> Callable[[View, Batch], Values]:
    return lambda view, batch: map(make, *[batch.rows[column] for column in columns])


_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=8192)
def _day(days: int) -> bytes:
    """Return `17-Jul-1996` for any number of days since the epoch; dates beyond the calendar are clamped."""
    ordinal = min(max(days + _EPOCH, date.min.toordinal()), date.max.toordinal())
    return responses.date_time((ordinal - _EPOCH) * 86_400_000_000, 0)[1:12]


_ZONE_SECONDS = 7 * 3600  # Vietnam's time, in which SEARCH counts days


def _date_time(instant_us: int) -> bytes:
    """Return `responses.date_time`, three times as fast: an initial sync needs ten thousand."""
    days, second = divmod(instant_us // 1_000_000 + _ZONE_SECONDS, 86_400)
    return b'"%b %02d:%02d:%02d +0700"' % (_day(days), second // 3600, second // 60 % 60, second % 60)


def _nil_or(make: Callable[[object], bytes]) -> Callable[[object], bytes]:
    return lambda value: b"NIL" if value is None else make(value)


_KEPT: dict[Datum, CachedItem] = {
    Datum.INTERNALDATE: CachedItem(b"INTERNALDATE", ("internaldate_us",), lambda _, instant_us: _date_time(instant_us)),
    Datum.ENVELOPE: CachedItem(b"ENVELOPE", ("envelope",)),
    Datum.BODY: CachedItem(b"BODY", ("body",)),
    Datum.BODYSTRUCTURE: CachedItem(b"BODYSTRUCTURE", ("bodystructure",)),
}
"""Items of message lists. From the index they cost 3 us a message, from memory a tenth."""

_UTF8_ENVELOPE = CachedItem(
    b"ENVELOPE UTF8", ("envelope", "envelope_utf8"), lambda _, plain, utf8: plain if utf8 is None else utf8
)
"""For sessions that read UTF-8 (RFC 6855 §3); the index holds it only where it differs."""

_STORED: dict[Datum, Field] = {
    Datum.EMAILID: Field(b"EMAILID", b"(%b)", _derived(lambda value: str(value).encode(), "email_id"), ("email_id",)),
    Datum.THREADID: Field(
        b"THREADID", b"%b", _derived(_nil_or(lambda value: b"(%b)" % str(value).encode()), "thread_id"), ("thread_id",)
    ),
    Datum.SAVEDATE: Field(
        b"SAVEDATE", b"%b", _derived(_nil_or(lambda value: _date_time(cast("int", value))), "savedate_us"), ("savedate_us",)
    ),
}


def _preview(*, utf8: bool) -> Field:
    """Return PREVIEW (RFC 8970). It is stored with the message, so LAZY is no slower."""
    text = _nil_or(lambda value: responses.string(str(value).encode(), utf8=utf8))
    return Field(b"PREVIEW", b"%b", _derived(text, "preview"), ("preview",))


def _binary_size(item: BinarySize) -> Field:
    return Field(
        item.label, b"%d", _derived(lambda parts, size: binary_size(item, parts, size), "parts", "size"), ("parts", "size")
    )


_IN_VIEW: dict[Datum, Field] = {
    Datum.UID: Field(b"UID", b"%d", lambda view, batch: batch.pick(view.uids)),
    Datum.FLAGS: Field(b"FLAGS", b"(%b)", lambda view, batch: map(view.names.__getitem__, batch.pick(view.flags))),
    Datum.SIZE: Field(b"RFC822.SIZE", b"%d", lambda view, batch: batch.pick(view.sizes)),
    Datum.MODSEQ: Field(b"MODSEQ", b"(%d)", lambda view, batch: batch.pick(view.modseqs)),
}
"""Items that the view holds in memory."""

_FLAGS_WITH_RECENT = Field(b"FLAGS", b"(%b)", lambda view, batch: view.flag_texts(batch.places))


def _is_whole_message(item: Section | Binary) -> bool:
    """Return whether only the file answers it."""
    return isinstance(item, Section) and item.text is SectionText.ALL and not item.part


def _is_all_of_it(item: Section | Binary) -> bool:
    """Return whether it is the whole file, neither decoded nor partial."""
    return _is_whole_message(item) and item.partial is None


def _is_header(item: Section | Binary) -> bool:
    """Return whether the index answers it, except for a header longer than it stores."""
    return isinstance(item, Section) and item.text in _HEADERS and not item.part


_HEADERS = frozenset({SectionText.HEADER, SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT})


# ------------------------------------------------------------------ the plan


class Plan:
    """A compiled list of FETCH items."""

    def __init__(self, items: Iterable[FetchItem], *, utf8: bool, by_uid: bool, with_recent: bool) -> None:
        """`by_uid`: lines name messages by UID (RFC 9586 §3.3); `with_recent`: some may be \\Recent."""
        self._utf8 = utf8
        self._by_uid = by_uid
        self._with_recent = with_recent
        self.fields: list[Field] = []
        self.streams: list[Section | Binary] = []
        self.kept: list[CachedItem] = []
        self.marks_seen = False
        self.headers_at_once = 0
        """Copies of header data per message that a batch holds in memory."""
        for item in items:
            self._add(item)
        self.columns: tuple[Column, ...] = tuple(dict.fromkeys(chain.from_iterable(field.columns for field in self.fields)))
        if not all(_is_whole_message(item) for item in self.streams):
            self.columns = tuple(dict.fromkeys((*self.columns, "parts", "header")))
            self.headers_at_once += 1
        self.reads_files = not all(_is_header(item) for item in self.streams)
        self.whole = self.streams[0] if len(self.streams) == 1 and _is_all_of_it(self.streams[0]) else None
        """The only stream, if that is the whole file."""
        self.takes_rows = (
            len(self.streams) <= KEPT_HEADERS
            and all(isinstance(item, Section) and not item.fields for item in self.streams)
            and all(name in AnswerRow._fields for name in self.columns)
        )
        """True if all that the view lacks is in an `AnswerRow` or in the file."""
        self.from_memory = not (self.columns or self.kept or self.streams)
        """True if the view holds all items."""
        self._form = self._form_of_line()

    def _add(self, item: FetchItem) -> None:
        match item:
            case Datum() if item in _KEPT:
                self._keep(item.value, _UTF8_ENVELOPE if self._utf8 and item is Datum.ENVELOPE else _KEPT[item])
            case Datum.FLAGS if self._with_recent:
                self.fields.append(_FLAGS_WITH_RECENT)
            case Datum():
                self.fields.append(_STORED.get(item) or _IN_VIEW[item])
            case Preview():
                self.fields.append(_preview(utf8=self._utf8))
            case BinarySize():
                self.fields.append(_binary_size(item))
            case Section(part=(), text=SectionText.HEADER_FIELDS | SectionText.HEADER_FIELDS_NOT, partial=None) if (
                self.headers_at_once < KEPT_HEADERS
            ):
                self.marks_seen |= not item.peek
                self.headers_at_once += 1
                self._keep(item.label, _header_fields(item))
            case Section() | Binary():
                self.marks_seen |= not item.peek
                self.streams.append(item)

    def _keep(self, label: bytes, kept: CachedItem) -> None:
        self.kept.append(kept)
        self.fields.append(kept.field(label))

    def _form_of_line(self) -> bytes:
        """Return the format of a line, with a place for each value.

        A label may hold a percent sign: a client names header fields as it likes.
        """
        values = [field.label.replace(b"%", b"%%") + b" " + field.form for field in self.fields]
        name = b"* %d UIDFETCH (" if self._by_uid else b"* %d FETCH ("
        return name + b" ".join(values) + (b"" if self.streams else b")\r\n")

    def take(self, batch: Batch, rows: Sequence[AnswerRow]) -> bool:
        """Give a batch the answers of its messages; return False where a header is longer than the index holds."""
        if self.headers_at_once and not all(row.header for row in rows):
            return False
        batch.known = rows
        for name in self.columns:
            batch.rows[name] = [*map(attrgetter(name), rows)]
        for kept in self.kept:
            batch.kept[kept.key] = kept.of_rows(rows)
        return True

    def _values(self, view: View, batch: Batch) -> Iterator[Values]:
        """Yield the values of a line, each for all messages."""
        yield batch.pick(view.uids) if self._by_uid else batch.numbers()
        for field in self.fields:
            yield field.values(view, batch)

    def announcement(self, size: int) -> bytes:
        """Return what stands between a head and the octets of the only stream, the whole file of `size` octets."""
        assert self.whole is not None
        return b"%b%b {%d}\r\n" % (b" " if self.fields else b"", self.whole.label, size)

    def heads(self, view: View, batch: Batch) -> Iterator[bytes]:
        """Yield one line for each message, without its end where streams follow."""
        return map(self._form.__mod__, zip(*self._values(view, batch), strict=True))

    def lines(self, view: View, batch: Batch) -> bytes:
        """Return all lines of a batch that needs no file.

        They are formatted in one piece, at half the cost of joining their texts and values, and a quarter of that of formatting
        each line.
        """
        count, step = len(batch), 1 + len(self.fields)
        row: list[object] = [b""] * (step * count)
        for at, values in enumerate(self._values(view, batch)):
            row[at::step] = values
        return self._form * count % tuple(row)


_CACHED_ITEMS = 16
_CACHED_FIELDS = 64
"""Larger requests are not cached: a client may name 20,000 fields."""


def plan(items: tuple[FetchItem, ...], view: View, enabled: Enabled) -> Plan:
    """Return the plan for these items of this view's messages, for a client with these extensions."""
    is_usual = len(items) <= _CACHED_ITEMS and all(
        len(item.fields) <= _CACHED_FIELDS for item in items if isinstance(item, Section)
    )
    return (_plan if is_usual else Plan)(
        items,
        utf8=Enabled.UTF8 in enabled or Enabled.REV2 in enabled,
        by_uid=Enabled.UIDONLY in enabled,
        with_recent=view.recent_count > 0,
    )


_plan = lru_cache(maxsize=512)(Plan)


def from_cache(plan: Plan, view: View, cache: AnswerCache, places: list[range]) -> bytes | None:
    """Return the lines if the cache has all that the view lacks, else None; for few messages only."""
    if plan.streams or plan.columns or sum(map(len, places)) > CACHED_MESSAGES:
        return None
    batch = Batch(places)
    uids = batch.pick(view.uids)
    for kept in plan.kept:
        known = cache.answers(view.key, kept.key)
        answers = [answer for uid in uids if (answer := known.get(uid)) is not None]
        if len(answers) < len(uids):
            return None
        batch.kept[kept.key] = answers
    return plan.lines(view, batch)
