"""Delegated access to the mailboxes of units and groups: named and recorded (Reg. 12.3, 5.2, 6.1).

In: the person named by the head of the unit (for a group: admitted by the Centre), the term, the document. Out: a fact
in the mailbox's chain, or a refusal with its clause; rights follow from the facts (`policy.unit_mail.delegation`). Blocking. A
second keeper follows the first by a handover alone (`services.handover`, 12.3.d).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord, NotFound, PersonRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import BadInput, Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import units_above
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind, MailboxKind
from mic_mail.policy.leavers import leaves
from mic_mail.policy.states import FINAL
from mic_mail.policy.unit_mail.delegation import (
    CLAUSE,
    PARTS,
    PERSONAL_CLAUSE,
    RIGHTS,
    Grant,
    Holding,
    Part,
    after_day,
    grants,
    in_service,
    judge,
    named_person_ids,
)
from mic_mail.policy.unit_mail.handover import CLAUSE as HANDOVER_CLAUSE
from mic_mail.policy.unit_mail.handover import BeingHandedOver, running, withheld
from mic_mail.policy.unit_mail.keeper_succession import owing
from mic_mail.services.authentication.shared_mailboxes import shared_folder, shared_name
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle, NotAllowed, must_be_issued
from mic_mail.services.use_cases import UseCases
from mic_mail.storage.errors import TooMany
from mic_mail.storage.mailstore import MailStore

_GROUP_CLAUSE = "5.2"


@dataclass(frozen=True, slots=True)
class Term:
    """A term from the first to the last day, both included; None: from now on, without an end."""

    begins: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """One grant and the rights that it gives at an instant."""

    mailbox: Entry
    person: Entry | None
    """The person's own mailbox; None where it no longer exists."""
    grant: Grant
    holding: Holding
    document: str | None


class Delegations(UseCases):
    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._accounts = MailboxLifecycle(directory, config, clock)
        self._domain = config.server.domain

    def person(self, named: str) -> tuple[PersonRecord, MailboxRecord]:
        """Return a person, by id or by the address of the personal mailbox, and that mailbox; or NotFound."""
        if named.isdecimal():
            person = self._directory.person(int(named))
            own = next((m for m in self._directory.mailboxes() if m.person_id == person.person_id), None)
        else:
            own = self._directory.mailbox(named if "@" in named else f"{named}@{self._domain}")
            if own.person_id is None:
                raise BadInput(Text(f"{own.address} không phải hộp thư cá nhân.", f"{own.address} is not a personal mailbox."))
            person = self._directory.person(own.person_id)
        if own is None:
            raise NotFound(Text("Cá nhân chưa có hộp thư.", "The person has no mailbox."))
        return person, own

    def grant(
        self, mailbox: MailboxRecord, named: str, part: Part, term: Term, origin: ActContext, *, rights: str | None = None
    ) -> Fact:
        """Name a keeper or a substitute of a unit's mailbox, or a member of a group's."""
        entry = self._directory.entry(mailbox.mailbox_id)
        if part is Part.KEEPER and running(entry.facts) is not None:
            raise BeingHandedOver(entry.address)
        draft = self.naming(mailbox, named, part, term, origin, rights=rights)
        if part is Part.KEEPER:
            self._must_be_handed_over(entry, self.person(named)[0])
        return self._directory.append_to(entry, draft)

    def naming(
        self, mailbox: MailboxRecord, named: str, part: Part, term: Term, origin: ActContext, *, rights: str | None = None
    ) -> Draft:
        """Return the fact that names a person, if the rules allow it; it is not recorded yet."""
        self._must_fit(mailbox, part)
        _must_have_document(origin)
        person, own = self.person(named)
        entry = self._directory.entry(mailbox.mailbox_id)
        since, until = self._term(part, term)
        must_be_issued(self._accounts.decide(entry))
        self._must_serve(self._directory.entry(own.mailbox_id), since)
        if mailbox.kind is MailboxKind.UNIT:
            self._must_work_there(person, mailbox)
        if part is Part.SUBSTITUTE:
            self._must_be_the_one_substitute(entry, person, since, until)
        data: dict[str, Detail] = {"person": person.person_id, "holder": own.address, "part": part.value}
        if term.until is not None:
            data["until"] = term.until.isoformat()
        if rights is not None:
            data["rights"] = _checked(rights)
        return origin.draft(FactKind.AUTHORISED, since, **data)

    def revoke(
        self, mailbox: MailboxRecord, named: str, origin: ActContext, *, begins: date | None = None, part: Part | None = None
    ) -> Fact:
        """End a person's present or future grant, immediately or from a given day."""
        if mailbox.kind is MailboxKind.PERSONAL:
            raise _personal()
        _must_have_document(origin)
        person, own = self.person(named)
        entry = self._directory.entry(mailbox.mailbox_id)
        at = self._clock.now() if begins is None else start_of(begins)
        open_ones = [
            grant
            for grant in grants(entry.kind, entry.facts)
            if grant.person_id == person.person_id and part in {None, grant.part} and (grant.until is None or grant.until > at)
        ]
        if not open_ones:
            raise NotAllowed(
                Text(f"{own.address} không được ủy quyền.", f"{own.address} has no rights at that time."), clause=CLAUSE
            )
        data: dict[str, Detail] = {"person": person.person_id, "holder": own.address}
        if part is not None:
            data["part"] = part.value
        return self._directory.append_to(entry, origin.draft(FactKind.AUTHORITY_REVOKED, at, **data))

    def holders(self, entry: Entry, at: datetime) -> list[Holder]:
        """Return all grants in this mailbox, past, present and future, with the rights of each at `at`."""
        return list(self._holders(self._directory.load_snapshot(), entry, at))

    def held_by(self, own: Entry, at: datetime) -> list[Holder]:
        """Return one person's grants in all mailboxes, with the rights of each at `at`."""
        snapshot = self._directory.load_snapshot()
        named_in = snapshot.named_in.get(own.owner.person_id or 0, frozenset())
        entries = sorted((snapshot.entries[mailbox_id] for mailbox_id in named_in), key=lambda entry: entry.address)
        found = (holder for entry in entries for holder in self._holders(snapshot, entry, at))
        return [holder for holder in found if holder.grant.person_id == own.owner.person_id]

    def owing(self, entry: Entry, successor_id: int = 0) -> Grant | None:
        """Return the grant of a keeper who has not handed the mailbox over (`keeper_succession.owing`)."""
        snapshot = self._directory.load_snapshot()
        facts_of = {person: snapshot.facts_of(person) for person in named_person_ids(entry.facts)}
        return owing(entry.kind, entry.facts, facts_of, successor_id)

    def _holders(self, snapshot: Snapshot, entry: Entry, at: datetime) -> Iterator[Holder]:
        documents = {fact.seq: fact.document for fact in entry.facts}
        decision = self._accounts.decide(entry, at)
        for grant in grants(entry.kind, entry.facts):
            person = snapshot.entry(snapshot.own.get(grant.person_id, 0))
            if person is None:
                holding = Holding("", (), None)
            else:
                theirs = self._accounts.decide(person, at)
                holding = judge(
                    [grant], grant.person_id, person.facts, at,
                    mailbox=decision, person=theirs, withheld=withheld(entry.facts),
                )  # fmt: skip
            yield Holder(entry, person, grant, holding, documents.get(grant.fact_seqs[0]))

    def _must_fit(self, mailbox: MailboxRecord, part: Part) -> None:
        if mailbox.kind is MailboxKind.PERSONAL:
            raise _personal()
        if part in PARTS[mailbox.kind]:
            return
        if mailbox.kind is MailboxKind.UNIT:
            raise NotAllowed(
                Text(
                    "Hộp thư đơn vị do một người quản lý; chỉ có người quản lý và người thay thế.",
                    "A unit's mailbox has one keeper, and a substitute for some days; it has no members.",
                ),
                clause=CLAUSE,
            )
        raise NotAllowed(
            Text("Hộp thư nhóm dùng chung giữa các thành viên.", "A group's mailbox has members; it has no keeper."),
            clause=_GROUP_CLAUSE,
            remedy=Text("--as member", "--as member"),
        )

    def _term(self, part: Part, term: Term) -> tuple[datetime, datetime | None]:
        now = self._clock.now()
        since = now if term.begins is None else start_of(term.begins)
        if part is Part.SUBSTITUTE and term.until is None:
            raise NotAllowed(
                Text("Người thay thế phải có thời hạn.", "A substitute needs a last day: there are no permanent substitutes."),
                clause=CLAUSE,
                remedy=Text("Thêm --until NGÀY.", "Add --until DAY."),
            )
        if term.until is None:
            return since, None
        if term.until < (term.begins or local_day(now)):
            raise BadInput(Text("Ngày kết thúc trước ngày bắt đầu.", "The term ends before it begins."), clause=CLAUSE)
        if term.until < local_day(now):
            raise BadInput(Text("Thời hạn đã qua.", "The term is already over."), clause=CLAUSE)
        return since, after_day(term.until)

    def _must_serve(self, own: Entry, since: datetime) -> None:
        """Refuse a person who has left, or will have left by `since`."""
        gone = any(
            leave.fact.effective_at <= since and (leave.returned is None or leave.returned.effective_at > since)
            for leave in leaves(own.facts)
        )
        if gone or self._accounts.decide(own).states & set(FINAL):
            raise NotAllowed(
                Text(
                    f"{own.address}: cá nhân đã nghỉ hoặc chưa có hộp thư.",
                    f"{own.address}: the person has left, or the mailbox is not issued yet.",
                ),
                clause=CLAUSE,
            )

    def _must_work_there(self, person: PersonRecord, mailbox: MailboxRecord) -> None:
        """Require that the person works in the mailbox's unit or in a unit below it (Reg. 12.3)."""
        parents = {unit.unit_id: unit.parent_id for unit in self._directory.units()}
        if mailbox.unit_id not in units_above(parents, person.unit_id):
            raise NotAllowed(
                Text(
                    "Người được phân công phải thuộc đơn vị của hộp thư.",
                    "The named person must work for the mailbox's own unit.",
                ),
                clause=CLAUSE,
            )

    def _must_be_the_one_substitute(self, entry: Entry, person: PersonRecord, since: datetime, until: datetime | None) -> None:
        """Require another keeper who serves then, and no other substitute on these days."""
        snapshot = self._directory.load_snapshot()
        holders = self._holders(snapshot, entry, since)
        keepers = {each.grant.person_id for each in holders if each.grant.part is Part.KEEPER and each.holding.grants}
        if not keepers - {person.person_id}:
            raise NotAllowed(
                Text("Khi đó không có người quản lý nào khác để thay.", "There is no keeper to substitute for at that time."),
                clause=CLAUSE,
            )
        wanted = Grant(person.person_id, "", Part.SUBSTITUTE, RIGHTS, since, until, since, ())
        named = (in_service(grant, snapshot.facts_of(grant.person_id)) for grant in grants(entry.kind, entry.facts))
        other = _overlapping([grant for grant in named if grant is not None], wanted)
        if other is not None:
            day = dates.last_day_before(other.until) if other.until else dates.day(other.since)
            raise NotAllowed(
                Text(
                    f"{other.holder} thay thế đến hết {day.vi}.",
                    f"{other.holder} is the substitute until the end of {day.en}.",
                ),
                clause=CLAUSE,
                remedy=Text("Trước hết: mic-mail mailbox revoke.", "Run mailbox revoke first."),
            )

    def _must_be_handed_over(self, entry: Entry, successor: PersonRecord) -> None:
        """Require a handover from one keeper to the next, which sets a new password (Reg. 12.3.d)."""
        before = self.owing(entry, successor.person_id)
        if before is None:
            return
        is_over = before.until is not None and before.until <= self._clock.now()
        raise NotAllowed(
            Text(f"{before.holder} chưa bàn giao {entry.address}.", f"{before.holder} has not handed over {entry.address}."),
            clause=HANDOVER_CLAUSE,
            remedy=Text(
                "Bàn giao: handover begin" + (", hoặc đặt lại mật khẩu trước: password reset." if is_over else "."),
                "Hand over: handover begin" + ("; or set a new password first: password reset." if is_over else "."),
            ),
        )


def show_in(store: MailStore, own: MailboxRecord, mailbox: MailboxRecord, domain: str) -> None:
    """Subscribe a person to the mailbox's folders: most mail programs show subscribed folders only.

    A subscription gives no right, and is hidden while the right is missing. A person who has too many subscriptions gets no
    more.
    """
    theirs = store.account_of(own)
    folders = store.account_of(mailbox).folders()
    known = set(theirs.subscriptions())
    for folder in folders:
        name = shared_folder(shared_name(mailbox.address, domain), folder.name)
        if folder.selectable and name not in known:
            try:
                theirs.subscribe(name, True)
            except TooMany:
                return


def _personal() -> NotAllowed:
    return NotAllowed(
        Text("Hộp thư cá nhân không được cho người khác sử dụng.", "A personal mailbox cannot be used by anybody else."),
        clause=PERSONAL_CLAUSE,
    )


def _must_have_document(origin: ActContext) -> None:
    by_the_head = Text("Phải có văn bản phân công của thủ trưởng.", "The document of the unit's head is required.")
    origin.must_have_document(CLAUSE, by_the_head)


def _overlapping(known: Sequence[Grant], wanted: Grant) -> Grant | None:
    others = (grant for grant in known if grant.part is wanted.part and grant.person_id != wanted.person_id)
    return next((grant for grant in others if grant.overlaps(wanted.since, wanted.until)), None)


def _checked(rights: str) -> str:
    unknown = sorted(set(rights) - set(RIGHTS))
    if unknown or not rights:
        raise BadInput(
            Text(f"Quyền gồm các chữ {RIGHTS} (RFC 4314).", f"Give rights as letters of {RIGHTS} (RFC 4314)."),
            clause=CLAUSE,
        )
    return "".join(letter for letter in RIGHTS if letter in rights)
