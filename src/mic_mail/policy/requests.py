"""Requests to the Centre: their kinds, required items, deadlines and states.

Reg. 6.2, 7.3, 14.4, 15.2, 18. In: the request, who made it, how and when it was received, the working calendar. Out: a refusal
with its clause, a deadline, or the states that may follow. Pure.

The regulation has one deadline: a suspended mailbox is restored one working day after receipt (7.3.b). For all other requests
the Centre has a target of its own (`request.target_days`), which is labelled as such wherever it is shown. Neither is stored:
both follow from the day of receipt and the recorded calendar, so a changed calendar moves every open deadline.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.policy.calendar import WorkingDays

CLAUSE = "6.2"
RESTORE_DAYS = 1
"""In working days, Reg. 7.3.b."""
LONGEST_PAUSE = timedelta(hours=1)
"""The most time between two attempts to read a unit's mail, or to answer it."""


class RequestChannel(LabelledEnum):
    """The channels by which a request arrives (Reg. 6.2, 7.3.a)."""

    LETTER = "letter", "văn bản", "letter"
    MAIL = "mail", "thư điện tử của đơn vị", "mail of the unit"
    """From the unit's mailbox, within the system."""
    FAX = "fax", "fax", "fax"
    TELEPHONE = "telephone", "điện thoại", "telephone"
    MEETING = "meeting", "trực tiếp", "in person"


class RequestKind(LabelledEnum):
    """The kinds of requests."""

    ISSUE = "issue", "cấp mới", "issue"
    TRANSFER = "transfer", "thuyên chuyển", "transfer"
    LEAVE = "leave", "nghỉ, chuyển đi", "leave"
    RESTORE = "restore", "khôi phục", "restore"
    RESET = "reset", "đặt lại mật khẩu", "password reset"
    GROUP = "group", "hộp thư nhóm", "group mailbox"
    ALIAS = "alias", "bí danh", "alias"
    CHANGE = "change", "thay đổi", "change"
    """A change of a person, of a mailbox's address or of the unit itself (Reg. 6.2)."""
    CORRECTION = "correction", "đính chính", "correction"
    """A correction of the directory, or of the unit's list (Reg. 6.5, 14.3).

    If it names the right value, it is carried out as a change.
    """
    PROBLEM = "problem", "vướng mắc", "problem"
    """A problem reported to the Centre, which collects them (Reg. 18)."""
    INCIDENT = "incident", "sự cố", "incident"
    """An incident, recorded immediately in the register of incidents (Reg. 14.4)."""
    OTHER = "other", "khác", "other"


class RequestState(LabelledEnum):
    """The state of a request."""

    OPEN = "open", "đang chờ", "open"
    APPROVED = "approved", "đã chấp thuận", "approved"
    """Agreed to, and to be done by hand; only for kinds that this server does not carry out itself."""
    REFUSED = "refused", "từ chối", "refused"
    DONE = "done", "đã giải quyết", "done"
    WITHDRAWN = "withdrawn", "đã rút", "withdrawn"


class Item(LabelledEnum):
    """The items that a request can name, beside its asker and channel."""

    NAME = "name", "họ và tên", "name"
    """The name of the person, or of the group."""
    ADDRESS = "address", "địa chỉ hộp thư", "address"
    """The mailbox that the request is about."""
    POSITION = "position", "chức danh", "position"
    LEVEL = "level", "cấp", "rank"
    EMPLOYMENT = "employment", "diện", "employment"
    CONTRACT_FROM = "contract_from", "hợp đồng từ", "contract from"
    CONTRACT_UNTIL = "contract_until", "hợp đồng đến", "contract until"
    DAY = "day", "ngày chính thức", "official day"
    """The official day of a leave, or the day from which a change holds."""
    CAUSE = "cause", "nguyên nhân", "cause"
    CHOSEN = "chosen", "địa chỉ đã chọn", "chosen address"
    """The requested address."""
    NEW_NAME = "new_name", "tên mới", "new name"
    """The new name of the person, or of the unit if neither a person nor a mailbox is named."""
    NEW_SYMBOL = "new_symbol", "ký hiệu mới", "new symbol"
    PARENT = "parent", "đơn vị cấp trên", "unit above"
    """The symbol of the unit above."""
    INTO = "into", "sáp nhập vào", "merged into"
    """The symbol of the unit that the asking unit is merged into."""
    GIVES = "gives", "chia, tách", "goes to other units"
    """The parts that go from the asking unit to others, `WHAT=SYMBOL` each.

    WHAT is an address, a person's name, or the symbol of a part.
    """
    REST = "rest", "phần còn lại về", "rest goes to"
    """The symbol of the unit to which all else goes; the asking unit ends."""
    CLOSES = "closes", "kết thúc đơn vị", "unit that ends"
    """The symbol of the unit that ends: the asking unit, or a part of it that has nothing left."""
    DOMAIN = "domain", "tên miền mới", "new domain"
    """The domain under which the unit's mailboxes get their addresses."""
    NOTE = "note", "nội dung", "note"


@dataclass(frozen=True, slots=True)
class RequestRule:
    """The required items of one kind of request, and its clause."""

    clause: str
    needs: tuple[Item, ...] = ()
    acts: bool = False
    """Set if its approval is the act: this server carries it out."""
    channels: frozenset[RequestChannel] = frozenset(RequestChannel)


WRITTEN = frozenset({RequestChannel.LETTER, RequestChannel.MAIL})
"""The channels in writing: by letter or from the unit's mailbox (Reg. 15.2, 6.2).

7.3.a also allows telephone and fax, for a restore.
"""

RULES: Mapping[RequestKind, RequestRule] = {
    RequestKind.ISSUE: RequestRule("6.4.a", (Item.NAME, Item.POSITION, Item.EMPLOYMENT), acts=True, channels=WRITTEN),
    RequestKind.TRANSFER: RequestRule("6.4.b", (Item.ADDRESS,), acts=True, channels=WRITTEN),
    RequestKind.LEAVE: RequestRule("6.4.c", (Item.ADDRESS, Item.DAY, Item.CAUSE), acts=True, channels=WRITTEN),
    RequestKind.RESTORE: RequestRule("7.3.a", (Item.ADDRESS,), acts=True),
    RequestKind.RESET: RequestRule("15.2", (Item.ADDRESS,), acts=True, channels=WRITTEN),
    RequestKind.GROUP: RequestRule("5.2", (Item.NAME,), acts=True, channels=WRITTEN),
    RequestKind.ALIAS: RequestRule("6.1", (Item.ADDRESS, Item.CHOSEN), acts=True, channels=WRITTEN),
    RequestKind.CHANGE: RequestRule("6.2", acts=True, channels=WRITTEN),
    RequestKind.CORRECTION: RequestRule("14.3", (Item.NOTE,)),
    RequestKind.PROBLEM: RequestRule("18", (Item.NOTE,)),
    RequestKind.INCIDENT: RequestRule("14.4", (Item.NOTE,)),
    RequestKind.OTHER: RequestRule("6.2", (Item.NOTE,)),
}

OF_PEOPLE = frozenset(
    {
        Item.NEW_NAME, Item.POSITION, Item.LEVEL, Item.EMPLOYMENT, Item.CONTRACT_FROM, Item.CONTRACT_UNTIL, Item.CHOSEN,
    }
)  # fmt: skip
"""The items by which a person or mailbox can be changed."""
REORGANISED = {
    frozenset({Item.INTO}): Text("sáp nhập", "a merger"),
    frozenset({Item.GIVES, Item.REST}): Text("chia, tách", "a split"),
    frozenset({Item.CLOSES}): Text("kết thúc đơn vị", "the end of a unit"),
}
"""The changes that are requests of their own, by their items."""
OF_UNITS = frozenset({Item.NEW_NAME, Item.NEW_SYMBOL, Item.PARENT, Item.DOMAIN}.union(*REORGANISED))
"""The items by which the asking unit can be changed."""

NEXT: Mapping[RequestState, frozenset[RequestState]] = {
    RequestState.OPEN: frozenset({RequestState.APPROVED, RequestState.REFUSED, RequestState.DONE, RequestState.WITHDRAWN}),
    RequestState.APPROVED: frozenset({RequestState.DONE, RequestState.REFUSED, RequestState.WITHDRAWN}),
    RequestState.REFUSED: frozenset(),
    RequestState.DONE: frozenset(),
    RequestState.WITHDRAWN: frozenset(),
}
PENDING = frozenset(state for state, following in NEXT.items() if following)
"""The states in which a request still waits for somebody."""


class RequestRefused(Refused):
    """The request may not be filed, or the step is not allowed."""


class Incomplete(BadInput):
    """The request lacks an item that its kind requires."""


@dataclass(frozen=True, slots=True)
class Filing:
    """A request as received, before it is recorded."""

    kind: RequestKind
    channel: RequestChannel
    asker: str
    """The name of the person who asks, for a person or for the unit."""
    unit_id: int
    received_at: datetime
    document: str | None = None
    document_date: date | None = None
    items: Mapping[Item, str] = field(default_factory=dict)
    """Days in ISO 8601, codes as codes."""

    @property
    def subject(self) -> Text:
        """The subject of the request, abbreviated; of a change that names nobody, the change itself."""
        for item in (Item.ADDRESS, Item.NAME, Item.NEW_NAME, Item.NOTE):
            if value := _abbreviated(self.items.get(item, "")):
                return Text(value, in_ascii(value))
        for item in Item:
            if item in OF_UNITS and (value := _abbreviated(self.items.get(item, ""))):
                return Text(f"{item.label.vi} {value}", f"{item.label.en} {in_ascii(value)}")
        return Text("", "")


_SUBJECT_LENGTH = 80


def _abbreviated(text: str) -> str:
    """Return at most the beginning of `text`, which then ends with dots and, if it has spaces, with a whole word."""
    if len(text) <= _SUBJECT_LENGTH:
        return text
    beginning = text[: _SUBJECT_LENGTH - 3]
    return (beginning.rpartition(" ")[0] or beginning) + "..."


@dataclass(frozen=True, slots=True)
class Request:
    """A recorded request."""

    request_id: int
    filing: Filing
    state: RequestState
    opened_by: str
    opened_at: datetime
    batch: str | None = None
    """The batch: the same for all rows of one message or file."""
    row: int | None = None
    handler: str | None = None
    handled_at: datetime | None = None
    result: str | None = None
    hindrance: Text | None = None
    """The reason why its act failed when it was last approved."""
    person_id: int | None = None
    mailbox_id: int | None = None
    """The mailbox that resulted from it."""

    @property
    def kind(self) -> RequestKind:
        return self.filing.kind

    def item(self, name: Item) -> str | None:
        return self.filing.items.get(name)

    @property
    def basis(self) -> str:
        """The basis of an act on the request: its document, or its number in this register."""
        return self.filing.document or f"YC-{self.request_id}"


def changes_of(filing: Filing) -> frozenset[Item]:
    """Return the items that a change, or a correction with the right value, alters."""
    if filing.kind not in {RequestKind.CHANGE, RequestKind.CORRECTION}:
        return frozenset()
    allowed = OF_PEOPLE if is_of_a_person(filing) else OF_UNITS
    return frozenset(item for item in allowed if filing.items.get(item, "").strip())


def is_of_a_person(filing: Filing) -> bool:
    """Return whether a change is about a person or a mailbox, and not about the asking unit itself."""
    return bool(filing.items.get(Item.ADDRESS) or filing.items.get(Item.NAME))


def acts(filing: Filing) -> bool:
    """Return whether the approval is the act; otherwise somebody does it by hand."""
    return RULES[filing.kind].acts or bool(changes_of(filing))


def check(filing: Filing) -> None:
    """Refuse a request that lacks a required item, or came by a channel that its clause does not allow."""
    rule = RULES[filing.kind]
    if not filing.asker.strip():
        raise Incomplete(Text("Thiếu người đề nghị.", "The name of the person who asks is missing."), clause="7.3.a")
    if filing.channel not in rule.channels:
        name, way = filing.kind.label, filing.channel.label
        raise RequestRefused(
            Text(
                f"Yêu cầu {name.vi} phải bằng văn bản hoặc từ hộp thư đơn vị, không qua kênh “{way.vi}”.",
                f"A request ({name.en}) must come by letter or from the unit's mailbox, not by {way.en}.",
            ),
            clause="15.2" if filing.kind is RequestKind.RESET else CLAUSE,
        )
    if filing.channel is RequestChannel.LETTER and not (filing.document or "").strip():
        raise Incomplete(Text("Thiếu số văn bản.", "The document number is missing."), clause=CLAUSE)
    needs = () if changes_of(filing) else rule.needs  # a correction that names the right value needs no other items
    missing = [item.label for item in needs if not filing.items.get(item, "").strip()]
    if missing:
        raise Incomplete(
            Text(f"Thiếu {', '.join(m.vi for m in missing)}.", f"Missing: {', '.join(m.en for m in missing)}."),
            clause=rule.clause,
        )
    if filing.kind is RequestKind.CHANGE:
        _check_change(filing)
    if filing.kind is RequestKind.ISSUE and not (filing.document or "").strip():
        raise Incomplete(
            Text("Thiếu số quyết định tuyển dụng, tiếp nhận.", "The number of the decision is missing."), clause=rule.clause
        )


def _check_change(filing: Filing) -> None:
    """Refuse a change that alters nothing, or has items that do not belong to its subject."""
    wanted, meant = changes_of(filing), OF_PEOPLE | OF_UNITS
    stray = [item.label for item in Item if item in meant - wanted and filing.items.get(item, "").strip()]
    if stray:
        raise BadInput(
            Text(
                f"{', '.join(item.vi for item in stray)}: không thuộc đối tượng được nêu (cá nhân, hộp thư hay đơn vị).",
                f"These items do not fit the named person, mailbox or unit: {', '.join(item.en for item in stray)}.",
            ),
            clause=CLAUSE,
        )
    if not wanted:
        raise Incomplete(Text("Thiếu nội dung thay đổi.", "The request does not say what to change."), clause=CLAUSE)
    for items, name in REORGANISED.items():
        if wanted & items and wanted - items:
            raise BadInput(
                Text(
                    f"{name.vi[0].upper()}{name.vi[1:]} là một yêu cầu riêng.",
                    f"{name.en[0].upper()}{name.en[1:]} must be a separate request.",
                ),
                clause=CLAUSE,
            )


def check_step(request: Request, to: RequestState) -> None:
    if to not in NEXT[request.state]:
        name = request.state.label
        raise RequestRefused(
            Text(
                f"Yêu cầu số {request.request_id} {name.vi}, không thay đổi được nữa.",
                f"Request {request.request_id} is already {name.en}.",
            ),
            clause=CLAUSE,
        )
    if to is RequestState.DONE and acts(request.filing):
        raise RequestRefused(
            Text("Yêu cầu này được giải quyết bằng cách chấp thuận.", "This kind of request is carried out by its approval."),
            clause=RULES[request.kind].clause,
            remedy=Text(f"mic-mail request approve {request.request_id}", f"mic-mail request approve {request.request_id}"),
        )


def deadline(filing: Filing, calendar: WorkingDays, closes: time, target_days: int) -> datetime:
    """Return the deadline for the answer: Reg. 7.3.b for a restore, otherwise the Centre's own target."""
    days = RESTORE_DAYS if filing.kind is RequestKind.RESTORE else target_days
    return calendar.deadline(filing.received_at, days, closes)


def deadline_clause(kind: RequestKind) -> str | None:
    """Return the clause that sets the deadline; None: it is the Centre's own target."""
    return "7.3.b" if kind is RequestKind.RESTORE else None


def overdue(request: Request, due: datetime, now: datetime) -> bool:
    return request.state in PENDING and now > due


def earlier(requests: Iterable[Request], before: datetime, number: int | None) -> Iterable[Request]:
    """Yield the open requests for an issue that were received before this one (Reg. 5.4.a).

    Of those received at the same instant, the ones with smaller numbers.
    """
    for request in requests:
        if request.kind is RequestKind.ISSUE and request.state in PENDING and request.request_id != number:
            at = request.filing.received_at
            if at < before or (at == before and (number is None or request.request_id < number)):
                yield request


def is_due(since: datetime, tried_at: datetime, now: datetime) -> bool:
    """Return whether to try again what has been pending since `since`.

    The pause after an attempt is as long as the matter had been pending at that attempt, an hour at most. A short
    obstacle is passed within seconds; one that lasts days costs an attempt an hour. A clock that was set back delays
    nothing.
    """
    return not timedelta(0) <= now - tried_at < min(tried_at - since, LONGEST_PAUSE)
