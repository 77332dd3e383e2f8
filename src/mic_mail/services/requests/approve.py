"""The approval of a request: its act, by the use cases of the commands, and its result. Blocking.

Reg. 6.2. In: a request on record, the approver, the person's choices. Out: the resulting request, the mailbox, a new
password where there is one; or the refusal of a rule, and then the request stays open and records why. An act is done
once: its fact carries the request's number, which the directory accepts once in a mailbox's record. After a kill, or in
a concurrent approval, the fact is found and the entry in the register written; the password is lost then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

from mic_mail.auth import password_hash
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, PersonRecord, Superseded
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import local_day
from mic_mail.policy.directory_changes import OrderEntry
from mic_mail.policy.eligibility import CLAUSE as ELIGIBLE
from mic_mail.policy.eligibility import refusal_reason
from mic_mail.policy.facts import REQUEST, Departure, Fact, Level, MailboxKind
from mic_mail.policy.naming.addresses import personal_local_part
from mic_mail.policy.naming.transliteration import tidy
from mic_mail.policy.ranks import level_of
from mic_mail.policy.requests import (
    RULES,
    Item,
    Request,
    RequestKind,
    RequestRefused,
    RequestState,
    acts,
    is_of_a_person,
)
from mic_mail.policy.suspension import QueuedMail
from mic_mail.services.mailboxes.credentials import set_password
from mic_mail.services.mailboxes.directory_changes import Contract, DirectoryChanges, PersonChange, UnitChange
from mic_mail.services.mailboxes.issue import Ground, HashPassword, Issuing
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle, RestoreRequest
from mic_mail.services.mailboxes.restore import Restoring
from mic_mail.services.requests.form import FormReader, contract_of
from mic_mail.services.requests.register import Register, still_pending
from mic_mail.storage.mailstore import MailStore


@dataclass(frozen=True, slots=True)
class Choices:
    """The approver's additions to the request."""

    address: str | None = None
    """The local part that the person chose (Reg. 5.4.b)."""
    level: Level | None = None
    person_id: int | None = None
    """For an issue: the person who is already in the directory."""
    same_person: bool = False
    """For `person_id`: it is the person named in the request, although under another name."""
    queued: QueuedMail | None = None
    """For a restore: the choice for pending messages (Reg. 7.2.c)."""
    document: str | None = None
    """For a restore after a breach: the document that lifts it (Reg. 7.2.b), not the asking letter."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Approved:
    """The result of an approval: a mailbox and its new password, or another change of the directory."""

    request: Request
    mailbox: MailboxRecord | None = None
    password: str | None = field(default=None, repr=False)
    """Shown once."""
    before: bool = False
    """The act had been done already."""
    result: str = ""
    """The register's result text; empty: the mailbox's address."""


BringBack = Callable[[MailboxRecord, ActContext], Fact | None]
"""Restores the mail of a deleted mailbox before its issue; None: nothing had to be restored."""


class Approving:
    def __init__(
        self,
        directory: Directory,
        store: MailStore,
        config: Config,
        clock: Clock,
        hash_password: HashPassword,
        *,
        bring_back: BringBack,
    ) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock
        self._hash = hash_password
        self._bring_back = bring_back
        self._register = Register(directory, config, clock)
        self._accounts = MailboxLifecycle(directory, config, clock)
        self._changes = DirectoryChanges(directory, config, clock)
        self._restoring = Restoring(directory, store, config, clock)
        self._issuing = Issuing(directory, config, clock, hash_password)
        self._acts: Mapping[RequestKind, Callable[[Request, ActContext, Choices], Approved]] = {
            RequestKind.ISSUE: self._issue,
            RequestKind.GROUP: self._group,
            RequestKind.TRANSFER: self._transfer,
            RequestKind.LEAVE: self._leave,
            RequestKind.RESTORE: self._restore,
            RequestKind.RESET: self._reset,
            RequestKind.ALIAS: self._alias,
            RequestKind.CHANGE: self._change,
            RequestKind.CORRECTION: self._change,
        }

    def approve(self, request: Request, actor: str, choices: Choices) -> Approved:
        """Approve and do the request's act; approved twice, it is done once."""
        still_pending(request)
        act = self._acts.get(request.kind) if acts(request.filing) else None
        if act is None:
            before = request.state is not RequestState.OPEN
            return Approved(self._register.agree(request, actor, choices.note), before=before)
        if request.state is RequestState.DONE:
            return self._acted_on(request) or Approved(request, before=True)
        done = self._once(request, partial(act, request, _origin(request, actor, choices), choices))
        return replace(done, request=self._close(request, actor, done))

    def _once(self, request: Request, act: Callable[[], Approved]) -> Approved:
        found = self._acted_on(request)
        if found is not None:
            return found
        try:
            self._reader().must_fit(request.filing)
            return act()
        except (Refused, BadInput) as refusal:
            found = self._acted_on(self._directory.requests.get(request.request_id))
            if found is not None:  # it was approved concurrently
                return found
            self._directory.requests.hinder(request, refusal.text)
            raise

    def _close(self, request: Request, actor: str, done: Approved) -> Request:
        number, address = (done.mailbox.mailbox_id, done.mailbox.address) if done.mailbox is not None else (None, "")
        try:
            return self._directory.requests.step(
                request, RequestState.DONE, actor, self._clock.now(), result=done.result or address, mailbox_id=number
            )
        except Superseded:
            return self._directory.requests.get(request.request_id)

    def _acted_on(self, request: Request) -> Approved | None:
        """Return the result of an act already done, by an order of the register of changes or a fact."""
        if request.kind in BY_ORDER:
            entry = self._directory.changes.of_request(request.request_id)
            return None if entry is None else self._ordered(request, entry, before=True)
        for mailbox in self._candidates(request):
            if any(fact.data.get(REQUEST) == request.request_id for fact in self._directory.facts(mailbox.mailbox_id)):
                return Approved(request, mailbox, before=True)
        return None

    def _candidates(self, request: Request) -> list[MailboxRecord]:
        if request.kind is RequestKind.ISSUE:
            return [] if request.person_id is None else self._directory.mailboxes_of(person_id=request.person_id)
        if request.kind is RequestKind.GROUP:
            sponsored = self._directory.mailboxes_of(unit_id=request.filing.unit_id)
            return [mailbox for mailbox in sponsored if mailbox.kind is MailboxKind.GROUP]
        return [self._mailbox(request)]

    def _issue(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        wanted = self._person(request, choices)
        self._must_be_employed(request, wanted)
        person = self._directory.person(self._directory.requests.person(request, wanted))
        if wanted.person_id not in {0, person.person_id} and choices.person_id is not None:
            raise _for_another(request, person)
        employed = self._employed(person, request)
        chosen = _chosen(request, choices)
        plain = f"{personal_local_part(person.full_name)}@{self._config.server.domain}"
        if chosen in {plain, plain.partition("@")[0]}:
            chosen = None  # the plain form of the name (Reg. 5.3) is no choice
        password = password_hash.generate()
        ground = _ground(request, origin)
        mailbox = self._issuing.issue_personal(
            employed, password, ground, chosen=chosen, bring_back=lambda mailbox: self._bring_back(mailbox, origin)
        )
        if employed != person:
            contract = Contract(employed.employment, employed.contract_from, employed.contract_until)
            self._changes.person(person, PersonChange(contract=contract), replace(origin, request=None))
        return Approved(request, mailbox, password)

    def _employed(self, person: PersonRecord, request: Request) -> PersonRecord:
        """Return the person with the request's employment, where the directory's is not eligible (Reg. 6.3).

        The directory's contract is then an older one; else it may be newer than the request's.
        """
        if self._why_not(person) is None:
            return person
        employment, begins, ends = contract_of(request.filing)
        return replace(person, employment=employment, contract_from=begins, contract_until=ends)

    def _must_be_employed(self, request: Request, wanted: PersonRecord) -> None:
        """Check eligibility before a person is entered (Reg. 6.3): contracts end while requests are pending."""
        person = wanted if request.person_id is None else self._directory.person(request.person_id)
        why = self._why_not(self._employed(person, request))
        if why is not None:
            raise RequestRefused(why, clause=ELIGIBLE, remedy=_for_a_new_contract(request, person))

    def _why_not(self, person: PersonRecord) -> Text | None:
        return refusal_reason(person.employment, person.contract_from, person.contract_until, local_day(self._clock.now()))

    def _person(self, request: Request, choices: Choices) -> PersonRecord:
        """Return the person: as given, or of this name in the unit and without a mailbox, or a new one.

        Of two requests for people of one name each has its own: a person of another request is not taken (Reg. 5.4.a).
        """
        if choices.person_id is not None:
            return self._known_person(request, choices.person_id, same=choices.same_person)
        filing, name = request.filing, request.item(Item.NAME) or ""
        others = {one.person_id for one in self._directory.requests.pending() if one.request_id != request.request_id}
        for person in self._directory.people(filing.unit_id):
            is_free = person.full_name == name and person.person_id not in others
            if is_free and not self._directory.mailboxes_of(person_id=person.person_id):
                return person
        position = request.item(Item.POSITION) or ""
        level = _level(request, choices) or level_of(position, self._directory.changes.levels())
        employment, begins, ends = contract_of(filing)
        return PersonRecord(
            person_id=0, full_name=name, unit_id=filing.unit_id, position=position, level=level,
            employment=employment, contract_from=begins, contract_until=ends,
        )  # fmt: skip

    def _known_person(self, request: Request, person_id: int, *, same: bool) -> PersonRecord:
        """Return a known person, if the request names that person and its unit asks (Reg. 6.4.a, 6.4.b)."""
        person, named = self._directory.person(person_id), request.item(Item.NAME) or ""
        if not same and tidy(person.full_name).casefold() != tidy(named).casefold():
            raise RequestRefused(
                Text(
                    f"Yêu cầu ghi “{named}”, cá nhân mã {person_id} là “{person.full_name}”.",
                    f"The request's name differs from that of person {person_id} in the directory.",
                ),
                clause=RULES[request.kind].clause,
                remedy=Text(
                    "Kiểm tra mã; đúng là một người thì thêm --same-person.",
                    "Check the id; if they are the same person, add --same-person.",
                ),
            )
        if not self._reader().is_within(person.unit_id, request.filing.unit_id):
            raise RequestRefused(
                Text(
                    f"Cá nhân mã {person_id} thuộc đơn vị khác, không thuộc đơn vị đề nghị.",
                    f"Person {person_id} does not belong to the asking unit.",
                ),
                clause="6.4.b",
                remedy=Text("Cập nhật đơn vị: mic-mail person move.", "Update the person's unit: mic-mail person move."),
            )
        return person

    def _reader(self) -> FormReader:
        return FormReader(self._directory, self._config, self._clock)

    def _group(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        sponsor = self._directory.units_by_id()[request.filing.unit_id].symbol
        password, chosen = password_hash.generate(), _chosen(request, choices)
        name, ground = request.item(Item.NAME) or "", _ground(request, origin)
        mailbox = self._issuing.issue_group(
            name, sponsor, password, ground, chosen=chosen, bring_back=lambda mailbox: self._bring_back(mailbox, origin)
        )
        return Approved(request, mailbox, password)

    def _transfer(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        person = self._directory.person(self._mailbox(request).person_id or 0)
        to = self._directory.units_by_id()[request.filing.unit_id]
        entry = self._changes.person(person, replace(_of_person(request, choices), unit=to), origin, _day(request))
        return self._ordered(request, entry)

    def _change(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        filing, on = request.filing, _day(request)
        if is_of_a_person(filing):
            return self._ordered(request, self._change_person(request, origin, choices, on))
        unit = self._directory.units_by_id()[filing.unit_id]
        if (into := request.item(Item.INTO)) is not None:
            return self._ordered(request, self._changes.merge([unit], self._directory.living_unit(into), origin, on))
        rest, closes = request.item(Item.REST), request.item(Item.CLOSES)
        if rest is not None or request.item(Item.GIVES) is not None:
            moves = self._reader().moves(filing)
            left = self._directory.living_unit(rest) if rest is not None else None
            return self._ordered(request, self._changes.split(unit, moves, left, origin, on))
        if closes is not None:
            return self._ordered(request, self._changes.close(self._directory.living_unit(closes), origin, on))
        parent = request.item(Item.PARENT)
        wanted = UnitChange(
            request.item(Item.NEW_NAME),
            request.item(Item.NEW_SYMBOL),
            self._directory.living_unit(parent) if parent else None,
        )
        return self._ordered(request, self._changes.unit(unit, wanted, origin, on, domain=request.item(Item.DOMAIN)))

    def _change_person(self, request: Request, origin: ActContext, choices: Choices, on: date | None) -> OrderEntry:
        address, wanted = request.item(Item.CHOSEN), _of_person(request, choices)
        if request.item(Item.ADDRESS) is None:
            return self._changes.person(self._reader().person_named(request.filing), wanted, origin, on, address=address)
        mailbox = self._mailbox(request)
        if mailbox.person_id is not None:
            person = self._directory.person(mailbox.person_id)
            return self._changes.person(person, wanted, origin, on, address=address)
        if address is None or wanted != PersonChange():
            raise RequestRefused(
                Text(
                    "Hộp thư đơn vị, nhóm chỉ đổi được địa chỉ.",
                    "For a unit's or group's mailbox only the address can be changed.",
                ),
                clause="6.2",
            )
        return self._changes.address(mailbox, address, origin, on)

    def _ordered(self, request: Request, entry: OrderEntry, *, before: bool = False) -> Approved:
        mailbox = self._mailbox(request) if request.item(Item.ADDRESS) is not None else None
        result = f"thay đổi số {entry.number}"
        if entry.is_pending:
            result = f"{result}, có hiệu lực từ {local_day(entry.order.effective_at):%d/%m/%Y}"
        elif mailbox is not None:
            result = mailbox.address
        return Approved(request, mailbox, before=before, result=result)

    def _leave(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        mailbox, day, cause = (
            self._mailbox(request),
            date.fromisoformat(request.item(Item.DAY) or ""),
            request.item(Item.CAUSE),
        )
        self._accounts.leave(mailbox, day, _level(request, choices), Departure(cause) if cause else None, origin)
        return Approved(request, mailbox)

    def _restore(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        filing, mailbox, password = request.filing, self._mailbox(request), password_hash.generate()
        asked = RestoreRequest(filing.asker, filing.channel, local_day(filing.received_at))
        breach = any(reason.clause == "7.2.b" for reason in self._accounts.state_of(mailbox).reasons)
        document = choices.document or (None if breach else filing.document)
        origin = ActContext(origin.actor, origin.reason, document, origin.request)
        self._restoring.restore(mailbox, asked, self._hash(password), origin, choices.queued)
        return Approved(request, mailbox, password)

    def _reset(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        mailbox, password = self._mailbox(request), password_hash.generate()
        known = self._accounts.may_change_password(mailbox, origin).fact_seq
        set_password(
            self._directory, self._config, mailbox, password,
            at=self._clock.now(), origin=origin, must_change=True, after=known,
        )  # fmt: skip
        return Approved(request, mailbox, password)

    def _alias(self, request: Request, origin: ActContext, choices: Choices) -> Approved:
        mailbox = self._mailbox(request)
        self._issuing.add_alias(mailbox, request.item(Item.CHOSEN) or "", origin)
        return Approved(request, mailbox)

    def _mailbox(self, request: Request) -> MailboxRecord:
        return self._directory.mailbox(request.item(Item.ADDRESS) or "")


def officer_note(approved: Approved) -> Text:
    """Return the message for the officer beside the result."""
    number, mailbox = approved.request.request_id, approved.mailbox
    if not approved.before:
        return Text(f"Đã chấp thuận yêu cầu số {number}.", f"Request {number} is approved.")
    if mailbox is None or approved.request.kind not in WITH_PASSWORD:
        return Text(f"Yêu cầu số {number} đã được chấp thuận từ trước.", f"Request {number} was already approved.")
    again = f"mic-mail password reset {mailbox.address} --document YC-{number}"
    return Text(
        f"Yêu cầu số {number} đã được thực hiện từ trước; mật khẩu khi đó không hiện lại. Nếu chưa giao được: {again}",
        f"Request {number} was already carried out; its password is not shown again. If it never arrived: {again}",
    )


BY_ORDER = frozenset({RequestKind.TRANSFER, RequestKind.CHANGE, RequestKind.CORRECTION})
"""Kinds whose act is an order that changes the directory."""
WITH_PASSWORD = frozenset({RequestKind.ISSUE, RequestKind.GROUP, RequestKind.RESTORE, RequestKind.RESET})
"""Kinds whose act makes a password."""


def _for_another(request: Request, person: PersonRecord) -> RequestRefused:
    """Return the refusal of another person than is recorded: one request, one mailbox."""
    number = request.request_id
    return RequestRefused(
        Text(
            f"Yêu cầu số {number} đã được ghi cho cá nhân mã {person.person_id} (“{person.full_name}”).",
            f"Request {number} is recorded for person {person.person_id}.",
        ),
        clause=RULES[request.kind].clause,
        remedy=Text(
            f"Nếu không phải người này: mic-mail request refuse {number}, rồi ghi yêu cầu mới.",
            f"If it is for somebody else: mic-mail request refuse {number}, and enter a new one.",
        ),
    )


def _for_a_new_contract(request: Request, person: PersonRecord) -> Text:
    """Return the remedy for a request whose contract is over."""
    number, known, refuse = request.request_id, person.person_id, f"mic-mail request refuse {request.request_id}"
    if not known:
        return Text(
            f"{refuse}; có hợp đồng mới thì ghi yêu cầu mới.", f"{refuse}; once there is a new contract, enter a new request."
        )
    steps = f"mic-mail person employment {known}, mic-mail request approve {number} --person {known}"
    return Text(f"Có hợp đồng mới: {steps}; không có: {refuse}.", f"With a new contract: {steps}; without one: {refuse}.")


def _of_person(request: Request, choices: Choices) -> PersonChange:
    has_contract = request.item(Item.EMPLOYMENT) is not None
    return PersonChange(
        full_name=request.item(Item.NEW_NAME),
        position=request.item(Item.POSITION),
        level=_level(request, choices),
        contract=Contract(*contract_of(request.filing)) if has_contract else None,
    )


def _level(request: Request, choices: Choices) -> Level | None:
    level = request.item(Item.LEVEL)
    return choices.level or (Level(level) if level else None)


def _day(request: Request) -> date | None:
    day = request.item(Item.DAY)
    return None if day is None else date.fromisoformat(day)


def _origin(request: Request, actor: str, choices: Choices) -> ActContext:
    reason = choices.note or f"Yêu cầu số {request.request_id} của {request.filing.asker}"
    return ActContext(actor, reason, request.basis, request.request_id)


def _ground(request: Request, origin: ActContext) -> Ground:
    return Ground(origin, local_day(request.filing.received_at))


def _chosen(request: Request, choices: Choices) -> str | None:
    wanted = choices.address or request.item(Item.CHOSEN)
    return None if wanted is None else wanted.lower()
