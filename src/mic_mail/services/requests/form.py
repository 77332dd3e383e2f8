"""The request form: its columns become a request, or a refusal with its clause (Reg. 6.2).

In: the rows of a table that a unit filled in (XLSX, CSV), or the same items as options of a command. Out: a `Filing` or
an error for each row. Headings and codes are understood in Vietnamese (with or without diacritics) and English. Nothing
is stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import TypeVar

from mic_mail.clock import HO_CHI_MINH, Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, PersonRecord, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.documents import csv_writer, xlsx
from mic_mail.documents.document import Column, Sheet, Table, UnreadableSheet
from mic_mail.errors import BadInput, MicMailError, Refused, Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.i18n.keywords import normalized
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy import incidents
from mic_mail.policy.authorization.roles import units_above
from mic_mail.policy.calendar import local_day
from mic_mail.policy.calendar_file import FIRST_YEAR, LAST_YEAR
from mic_mail.policy.eligibility import CLAUSE as ELIGIBLE
from mic_mail.policy.eligibility import Employment, refusal_reason
from mic_mail.policy.facts import Departure, Level
from mic_mail.policy.keywords import code_of
from mic_mail.policy.naming.transliteration import one_line, tidy, words
from mic_mail.policy.requests import (
    CLAUSE,
    RULES,
    Filing,
    Incomplete,
    Item,
    RequestChannel,
    RequestKind,
    RequestRefused,
    changes_of,
    check,
)
from mic_mail.services.mailboxes.directory_changes import Move
from mic_mail.services.use_cases import UseCases

MOST_ROWS = 1_000
"""Rows of one form: the people of the largest unit."""
LONGEST = 1_000

E = TypeVar("E", bound=LabelledEnum)

KIND, UNIT, ASKER, CHANNEL = "kind", "unit", "asker", "channel"
DOCUMENT, DOCUMENT_DATE, RECEIVED = "document", "document_date", "received"

HEADINGS: Mapping[str, Text] = {
    KIND: Text("Loại yêu cầu", "Request"),
    **{item: Text(f"{item.label.vi[0].upper()}{item.label.vi[1:]}", item.label.en.capitalize()) for item in Item},
    DOCUMENT: Text("Số văn bản", "Document"),
    DOCUMENT_DATE: Text("Ngày văn bản", "Document date"),
    ASKER: Text("Người đề nghị", "Asked by"),
    UNIT: Text("Đơn vị", "Unit"),
    CHANNEL: Text("Kênh", "Channel"),
    RECEIVED: Text("Ngày nhận", "Received"),
}
"""Headings by column. The last three apply to `request import` only: for a mail they are known."""
IN_THE_FORM = tuple(key for key in HEADINGS if key not in {UNIT, CHANNEL, RECEIVED})
_CHOICES: Mapping[str, tuple[str, ...]] = {
    KIND: tuple(kind.label.vi for kind in RequestKind),
    Item.LEVEL: ("phòng", "vụ"),
    Item.EMPLOYMENT: tuple(employment.label.vi for employment in Employment),
    Item.CAUSE: tuple(departure.label.vi for departure in Departure),
}
_HINTS: Mapping[str, str] = {
    Item.NAME: "của cá nhân hoặc nhóm",
    Item.DAY: "ngày nghỉ, ngày có hiệu lực, ngày xảy ra sự cố, 31/08/2026",
    Item.NEW_NAME: "của cá nhân; của đơn vị nếu không nêu cá nhân, hộp thư",
    Item.INTO: "ký hiệu đơn vị kế thừa",
    Item.GIVES: "địa chỉ, họ tên hoặc ký hiệu đơn vị trực thuộc=ký hiệu đơn vị nhận; ...",
    Item.REST: "ký hiệu đơn vị nhận; đơn vị đề nghị kết thúc",
    Item.CLOSES: "ký hiệu đơn vị, hoặc đơn vị trực thuộc, không còn người và hộp thư",
}


@dataclass(frozen=True, slots=True)
class FormContext:
    """Properties of all rows of one form; `fixed`: the form cannot override them (mail from that unit)."""

    unit: UnitRecord | None
    channel: RequestChannel | None
    received_at: datetime
    asker: str = ""
    document: str | None = None
    fixed: bool = False
    by_centre: bool = True
    """The Centre enters the form; only the Centre may set the day of receipt (Reg. 5.4.a, 7.3.b)."""


@dataclass(frozen=True, slots=True)
class FormRow:
    """One row of a form: its number in the file, and its filing or refusal."""

    number: int
    filing: Filing | None = None
    refusal: MicMailError | None = None


def empty_form(made_at: datetime, *, as_csv: bool) -> bytes:
    """Return the empty form: headings, with the allowed values in brackets."""
    columns = []
    for key in IN_THE_FORM:
        choices = _CHOICES.get(key, ())
        hint = ", ".join(choices) or _HINTS.get(key, "")
        columns.append(Column(f"{HEADINGS[key].vi} ({hint})" if hint else HEADINGS[key].vi, choices=choices))
    table = Table("Yêu cầu", columns, [])
    return csv_writer.write(table) if as_csv else xlsx.form(table, made_at)


def read_table(octets: bytes) -> Sheet:
    """Read XLSX, or else CSV, by the first octets, not the name. Raises `UnreadableSheet`."""
    return xlsx.read(octets) if octets.startswith(b"PK") else csv_writer.read(octets)


def is_form(sheet: Sheet) -> bool:
    """Return whether a table has the column of the request's kind."""
    return KIND in _columns(sheet.heading).values()


def is_meant(octets: bytes) -> bool:
    """Return whether an unreadable file is a workbook, or begins with the heading of the form."""
    if octets.startswith(b"PK"):
        return b"xl/workbook.xml" in octets
    heading = octets[:LONGEST].decode("utf-8-sig", "ignore").partition("\n")[0]
    return normalized(HEADINGS[KIND].vi) in normalized(heading)


class FormReader(UseCases):
    """Reads forms against the directory as it is now."""

    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._domain = config.server.domain
        self._parents = {unit.unit_id: unit.parent_id for unit in directory.units()}

    def rows(self, sheet: Sheet, known: FormContext) -> Iterator[FormRow]:
        columns = _columns(sheet.heading)
        if KIND not in columns.values():
            title = HEADINGS[KIND]
            raise UnreadableSheet(Text(f"không có cột “{title.vi}”", f"the column '{title.en}' is missing"))
        if len(sheet.rows) > MOST_ROWS:
            raise UnreadableSheet(Text(f"quá {MOST_ROWS} dòng", f"more than {MOST_ROWS} rows"))
        for number, cells in sheet.rows:
            values = {columns[at]: cell for at, cell in enumerate(cells) if cell and at in columns}
            try:
                yield FormRow(number, self.filing(values, known))
            except (Refused, BadInput) as refusal:
                yield FormRow(number, refusal=refusal)

    def filing(self, values: Mapping[str, str], known: FormContext) -> Filing:
        """Return the filing in `values`, by column; refused where policy or directory do not allow it."""
        values = {key: one_line(text) for key, text in values.items()}
        if any(len(text) > LONGEST for text in values.values()):
            raise BadInput(Text(f"Một ô dài quá {LONGEST} ký tự.", f"A cell has more than {LONGEST} characters."))
        if not values.get(KIND):
            raise Incomplete(Text("Thiếu loại yêu cầu.", "The kind of request is missing."), clause=CLAUSE)
        kind = _code(RequestKind, values[KIND], HEADINGS[KIND])
        document = values.get(DOCUMENT) or known.document
        filing = Filing(
            kind=kind,
            channel=self._channel(values, known),
            asker=(values.get(ASKER) or known.asker).strip()[:255],
            unit_id=self._unit(values, known).unit_id,
            received_at=self._received(values, known),
            document=document.strip()[:255] if document else None,
            document_date=_day(values[DOCUMENT_DATE]) if values.get(DOCUMENT_DATE) else None,
            items={item: self._item(item, values[item]) for item in Item if values.get(item, "").strip()},
        )
        check(filing)
        if kind is RequestKind.ISSUE:
            _must_be_eligible(filing, local_day(self._clock.now()))
        self.must_fit(filing)
        if kind is RequestKind.INCIDENT and Item.ADDRESS in filing.items:  # the log names mailboxes by their own address only
            own = self._directory.mailbox(filing.items[Item.ADDRESS]).address
            filing = replace(filing, items={**filing.items, Item.ADDRESS: own})
        return filing

    def _unit(self, values: Mapping[str, str], known: FormContext) -> UnitRecord:
        if known.unit is not None and (known.fixed or not values.get(UNIT)):
            if values.get(UNIT) and values[UNIT].casefold() != known.unit.symbol.casefold():
                raise RequestRefused(Text("Đơn vị chỉ gửi yêu cầu của mình.", "A unit may ask only for itself."), clause=CLAUSE)
            return known.unit
        if not values.get(UNIT):
            raise Incomplete(Text("Thiếu đơn vị.", "The unit is missing."), clause=CLAUSE)
        return self._directory.living_unit(values[UNIT])

    def _channel(self, values: Mapping[str, str], known: FormContext) -> RequestChannel:
        if known.channel is not None and (known.fixed or not values.get(CHANNEL)):
            return known.channel
        if not values.get(CHANNEL):
            raise Incomplete(
                Text(
                    "Thiếu kênh: thêm --channel hoặc cột “Kênh”.", "The channel is missing: --channel, or a column 'Channel'."
                ),
                clause=CLAUSE,
            )
        return _code(RequestChannel, values[CHANNEL], HEADINGS[CHANNEL])

    def _received(self, values: Mapping[str, str], known: FormContext) -> datetime:
        at = known.received_at
        if values.get(RECEIVED) and not known.fixed:
            if not known.by_centre:
                raise RequestRefused(
                    Text("Ngày nhận do Trung tâm ghi.", "Only the Centre states the time of receipt."), clause=CLAUSE
                )
            at = self._moment(values[RECEIVED])
        if at > self._clock.now():
            shown = dates.day(at)
            raise BadInput(Text(f"Ngày nhận {shown.vi} chưa đến.", f"The day of receipt {shown.en} is in the future."))
        return at

    def _moment(self, text: str) -> datetime:
        """Parse a day, or a day and a time; a day alone means its morning."""
        try:
            at = datetime.strptime(text.strip(), "%d/%m/%Y %H:%M").replace(tzinfo=HO_CHI_MINH)
        except ValueError:
            day, now = _day(text), self._clock.now()
            morning = datetime.combine(day, time(8), HO_CHI_MINH)
            return min(morning, now) if day == local_day(now) else morning
        _day(f"{at:%Y-%m-%d}")
        return at

    def _item(self, item: Item, text: str) -> str:
        match item:
            case Item.DAY | Item.CONTRACT_FROM | Item.CONTRACT_UNTIL:
                return _day(text).isoformat()
            case Item.EMPLOYMENT:
                return _code(Employment, text, HEADINGS[item])
            case Item.LEVEL:
                return _code(Level, text, HEADINGS[item])
            case Item.CAUSE:
                return _code(Departure, text, HEADINGS[item])
            case Item.ADDRESS | Item.CHOSEN:
                return text.strip().lower() if "@" in text else f"{text.strip().lower()}@{self._domain}"
            case Item.NAME | Item.NEW_NAME:
                return tidy(text)
            case Item.PARENT | Item.INTO | Item.REST | Item.CLOSES:
                return self._directory.living_unit(text.strip()).symbol
            case Item.DOMAIN:
                return text.strip().lower()
            case _:
                return text.strip()

    def must_fit(self, filing: Filing) -> None:
        """Refuse what the directory does not allow now; checked again at the approval, since people move on."""
        changes, items = changes_of(filing), filing.items
        if filing.kind is RequestKind.INCIDENT:
            incidents.check(incidents.of_request(filing), filing.received_at)
        names_mailbox = filing.kind is RequestKind.INCIDENT or Item.ADDRESS in RULES[filing.kind].needs or changes
        if names_mailbox and Item.ADDRESS in items:
            self._must_concern(filing, self._directory.mailbox(items[Item.ADDRESS]))
        elif changes and Item.NAME in items:
            self.person_named(filing)
        if Item.GIVES in changes:
            self.moves(filing)
        if Item.CLOSES in changes:
            self._must_be_of(filing, self._directory.living_unit(items[Item.CLOSES]).unit_id, items[Item.CLOSES])
        if Item.DOMAIN in changes and items[Item.DOMAIN] not in self._directory.domains():
            name = items[Item.DOMAIN]
            raise RequestRefused(
                Text(f"Tên miền {name} không thuộc hệ thống.", f"The domain {in_ascii(name)} is not local."),
                clause="3.2",
                remedy=Text(f"mic-mail domain add {name}", f"mic-mail domain add {in_ascii(name)}"),
            )

    def moves(self, filing: Filing) -> list[Move]:
        """Return the moves of a split: `an@mic.gov.vn=KTS; Đỗ An=KTS; PTTH-1=KTS`."""
        found = []
        for text in filter(None, map(str.strip, filing.items.get(Item.GIVES, "").split(";"))):
            what, sign, to = map(str.strip, text.rpartition("="))
            if not sign or not what:
                raise BadInput(
                    Text(f"Không hiểu “{text}”.", f"'{in_ascii(text)}' is not WHAT=SYMBOL."),
                    clause=CLAUSE,
                    remedy=Text("Viết như an=KTS; Đỗ An=KTS; PTTH-1=KTS.", "Write as in an=KTS; PTTH-1=KTS."),
                )
            found.append(Move(self._moved(filing, what), self._directory.living_unit(to)))
        return found

    def _moved(self, filing: Filing, what: str) -> PersonRecord | MailboxRecord | UnitRecord:
        """Resolve the symbol of a part, an address or local part, or the name of a person, in this order."""
        part = next((unit for unit in self._directory.units() if unit.symbol.casefold() == what.casefold()), None)
        if part is not None:
            self._must_be_of(filing, part.unit_id, part.symbol)
            return part
        address = what.lower() if "@" in what else f"{what.lower()}@{self._domain}"
        if "@" not in what and not self._directory.is_taken(address):
            return self._named(filing, tidy(what))
        mailbox = self._directory.mailbox(address)
        self._must_concern(filing, mailbox)
        return mailbox

    def _must_be_of(self, filing: Filing, unit_id: int, symbol: str) -> None:
        if not self.is_within(unit_id, filing.unit_id):
            raise RequestRefused(
                Text(f"{symbol} không thuộc đơn vị đề nghị.", f"{in_ascii(symbol)} does not belong to the asking unit."),
                clause=CLAUSE,
            )

    def person_named(self, filing: Filing) -> PersonRecord:
        """Return the person of the asking unit by the name in a change that names no mailbox."""
        return self._named(filing, filing.items[Item.NAME])

    def _named(self, filing: Filing, named: str) -> PersonRecord:
        found = [one for one in self._directory.people(filing.unit_id) if tidy(one.full_name).casefold() == named.casefold()]
        if len(found) != 1:
            raise RequestRefused(
                Text(
                    f"Đơn vị có {len(found)} cá nhân tên “{named}”; đề nghị nêu địa chỉ hộp thư.",
                    f"The unit has {len(found)} people of this name; name the mailbox.",
                ),
                clause=CLAUSE,
            )
        return found[0]

    def _must_concern(self, filing: Filing, mailbox: MailboxRecord) -> None:
        """Require a mailbox of the asking unit; the receiving unit asks for a transfer (Reg. 6.4.b)."""
        person = self._directory.person(mailbox.person_id) if mailbox.person_id is not None else None
        if filing.kind in {RequestKind.TRANSFER, RequestKind.LEAVE} and person is None:
            raise RequestRefused(
                Text("Chỉ áp dụng cho hộp thư cá nhân.", "For personal mailboxes only."), clause=RULES[filing.kind].clause
            )
        unit_id = person.unit_id if person is not None else mailbox.unit_id
        if filing.kind is RequestKind.TRANSFER:
            if unit_id == filing.unit_id:
                raise RequestRefused(
                    Text("Cá nhân đã thuộc đơn vị này.", "The person already works for this unit."), clause="6.4.b"
                )
        elif not self.is_within(unit_id, filing.unit_id):
            raise RequestRefused(
                Text(
                    f"Hộp thư {mailbox.address} không thuộc đơn vị đề nghị.",
                    f"The mailbox {mailbox.address} does not belong to the asking unit.",
                ),
                clause=RULES[filing.kind].clause,
            )

    def is_within(self, unit_id: int | None, whole: int) -> bool:
        """Return whether a unit is `whole` or a part of it."""
        return unit_id is not None and whole in units_above(self._parents, unit_id)


def contract_of(filing: Filing) -> tuple[Employment, date | None, date | None]:
    """Return the employment of the person of an issue."""
    begins, ends = (filing.items.get(item) for item in (Item.CONTRACT_FROM, Item.CONTRACT_UNTIL))
    return (
        Employment(filing.items[Item.EMPLOYMENT]),
        date.fromisoformat(begins) if begins else None,
        date.fromisoformat(ends) if ends else None,
    )


def _must_be_eligible(filing: Filing, today: date) -> None:
    """Check eligibility when filing (Reg. 6.3); the approval checks the contract valid by then."""
    words(filing.items[Item.NAME])
    if (why := refusal_reason(*contract_of(filing), today)) is not None:
        raise RequestRefused(why, clause=ELIGIBLE)


def _columns(heading: Sequence[str]) -> dict[int, str]:
    """Return the columns by position; brackets in a heading are a hint, unknown columns are ignored."""
    known = {normalized(name): key for key, title in HEADINGS.items() for name in (title.vi, title.en, key)}
    found: dict[int, str] = {}
    for at, title in enumerate(heading):
        key = known.get(normalized(title.partition("(")[0]))
        if key is None:
            continue
        if key in found.values():
            raise UnreadableSheet(Text(f"hai cột “{HEADINGS[key].vi}”", f"two columns '{HEADINGS[key].en}'"))
        found[at] = key
    return found


def _code(codes: type[E], text: str, what: Text) -> E:
    if (code := code_of(codes, text)) is not None:
        return code
    offered = [code.label.vi for code in codes]
    raise BadInput(
        Text(f"{what.vi} “{text}” không hợp lệ.", f"Unknown {what.en} '{in_ascii(text)}'."),
        remedy=Text(f"Một trong: {', '.join(offered)}.", f"One of: {', '.join(codes)}."),
    )


def _day(text: str) -> date:
    for form in ("%d/%m/%Y", "%Y-%m-%d"):
        try:
            day = datetime.strptime(text.strip(), form).date()  # noqa: DTZ007 - only its day is kept
        except ValueError:
            continue
        if FIRST_YEAR <= day.year <= LAST_YEAR:
            return day
    raise BadInput(
        Text(f"Không hiểu ngày “{text}”.", f"'{in_ascii(text)}' is not a date."),
        remedy=Text("Viết 31/08/2026.", "Write 31/08/2026."),
    )
