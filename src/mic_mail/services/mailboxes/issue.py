"""The issue of mailboxes and aliases, by the Centre only and by the rules of Reg. 5 and 6. Blocking.

In: the request, the actor and the document. Out: a mailbox in the directory with its first facts and verifiers, or a
refusal with its clause. A personal address follows from the name (5.3); where it is taken, the person chooses among
suggestions (5.4.b). An address that anybody has or had is never given to another (5.4.a). A mailbox that was reclaimed
goes back to its own person, unit or group, under its old address.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import AlreadyThere, MailboxRecord, PersonRecord
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.policy import eligibility
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind, MailboxKind
from mic_mail.policy.lifecycle import Decision, MailboxState
from mic_mail.policy.naming import addresses
from mic_mail.policy.naming.transliteration import tidy
from mic_mail.policy.reclamation import lies_in_archive
from mic_mail.policy.requests import Item, earlier
from mic_mail.services.mailboxes.address_settings import address_settings
from mic_mail.services.mailboxes.credentials import hashing, verifiers
from mic_mail.services.mailboxes.lifecycle_actions import RECEIVED, InArchive, NotAllowed, must_be_past
from mic_mail.services.mailboxes.quota import check_quota
from mic_mail.services.use_cases import UseCases

HashPassword = Callable[[str], Credential]
BringBack = Callable[[MailboxRecord], Fact | None]
"""Restore the mail of a mailbox that was deleted from the server (`services.mailboxes.reclamation`)."""


class NotEligible(Refused):
    """The person may not be given a new personal mailbox (Reg. 6.3)."""


TAKEN = Text("đã có người dùng", "is taken")
RESERVED = Text("dành cho chức năng hệ thống", "is reserved for a function")
TOO_SHORT = Text("quá ngắn", "is too short")
TOO_LONG = Text("quá dài", "is too long")


class ChoiceNeeded(Refused):
    """The plain form of the name is not available: the person chooses one of `suggestions` (Reg. 5.4.b)."""

    def __init__(self, plain: str, suggestions: Sequence[str], why: Text = TAKEN) -> None:
        self.suggestions = tuple(suggestions)
        offered = ", ".join(suggestions)
        some = Text(f"; cá nhân chọn một trong: {offered}.", f"; free forms: {offered}.")
        none = Text(". Không có gợi ý nào từ họ tên này.", ". No other form of the name is free.")
        end = some if suggestions else none
        super().__init__(
            Text(f"Địa chỉ {plain} {why.vi}{end.vi}", f"{plain} {why.en}{end.en}"),
            clause="5.4.b",
            remedy=Text("Hỏi cá nhân rồi cấp lại với --address.", "Ask the person, then issue again with --address."),
        )


@dataclass(frozen=True, slots=True)
class Ground:
    """The ground of an issue, and the day its request was received (Reg. 5.4.a, 6.2)."""

    origin: ActContext
    received_on: date | None = None


def make_verifiers(config: Config) -> HashPassword:
    costs = hashing(config)
    return lambda password: verifiers(password, costs)


def must_be_local(domain: str, config: Config, directory: Directory, clause: str = "3.2") -> None:
    """Refuse an address under a domain that is not local."""
    if domain not in {*config.domains, *directory.domains()}:
        raise BadInput(
            Text(f"Tên miền {domain} không thuộc hệ thống.", f"The domain {in_ascii(domain)} is not local."),
            clause=clause,
            remedy=Text(f"mic-mail domain add {domain}", f"mic-mail domain add {in_ascii(domain)}"),
        )


class Issuing(UseCases):
    """The use cases that assign addresses."""

    def __init__(self, directory: Directory, config: Config, clock: Clock, hash_password: HashPassword | None = None) -> None:
        super().__init__(directory, config, clock)
        self._hash = hash_password or make_verifiers(config)
        self._rules = address_settings(config)
        self._domain = config.server.domain

    def suggest(self, person: PersonRecord, *, given_words: int = 1) -> list[str]:
        """Return the local parts that this person can have now, best first (Reg. 5.3, 5.4)."""
        return addresses.suggestions(
            person.full_name, self._unit_local(person), self._taken(), settings=self._rules, given_words=given_words
        )

    def issue_personal(
        self,
        person: PersonRecord,
        password: str,
        ground: Ground,
        *,
        chosen: str | None = None,
        given_words: int | None = None,
        quota_octets: int | None = None,
        bring_back: BringBack | None = None,
    ) -> MailboxRecord:
        """Issue a personal mailbox (Reg. 6.4.a); `chosen` is the address or local part that the person picked."""
        today = local_day(self._clock.now())
        why_not = eligibility.refusal_reason(person.employment, person.contract_from, person.contract_until, today)
        if why_not is not None:
            raise NotEligible(
                why_not,
                clause=eligibility.CLAUSE,
                remedy=Text(
                    "Có hợp đồng mới: mic-mail person employment.", "Record a new contract: mic-mail person employment."
                ),
            )
        chosen, domain = self._split(chosen)
        before = self._mailbox_of(person)
        if before is not None:
            wanted = chosen
            if wanted is None and given_words is not None:
                wanted = addresses.personal_local_part(person.full_name, given_words=given_words)
            return self.issue_again(before, password, ground, wanted=wanted, quota_octets=quota_octets, bring_back=bring_back)
        if chosen is not None:
            addresses.check_choice(chosen, person.full_name, self._unit_local(person), settings=self._rules)
            local = chosen
        else:
            local = self._plain_form(person, given_words or 1)
        self._must_be_first(local, person, ground)
        address = f"{local}@{domain}"
        record = self._record(MailboxKind.PERSONAL, address, person.full_name, quota_octets, person_id=person.person_id)
        return self._issue(record, password, ground, **({"chosen_by": "person"} if chosen is not None else {}))

    def issue_unit(self, symbol: str, password: str, ground: Ground, *, quota_octets: int | None = None) -> MailboxRecord:
        """Issue the mailbox of a unit, its address made from the registered symbol (Reg. 5.1)."""
        unit = self._directory.living_unit(symbol)
        before = next(iter(self._of_unit(MailboxKind.UNIT, unit.unit_id)), None)
        if before is not None:
            return self.issue_again(before, password, ground, quota_octets=quota_octets)
        local = addresses.unit_local_part(unit.symbol, self._rules)
        address = f"{local}@{self._domain}"
        record = self._record(MailboxKind.UNIT, address, unit.name, quota_octets, unit_id=unit.unit_id)
        return self._issue(record, password, ground, symbol=unit.symbol)

    def issue_group(
        self,
        name: str,
        sponsor: str,
        password: str,
        ground: Ground,
        *,
        chosen: str | None = None,
        quota_octets: int | None = None,
        bring_back: BringBack | None = None,
    ) -> MailboxRecord:
        """Issue a group's mailbox at the address that the Centre chose, sponsored by a unit (Reg. 5.2)."""
        name = tidy(name)
        unit = self._directory.living_unit(sponsor)
        chosen, domain = self._split(chosen)
        before = self._reclaimed_group(name, unit.unit_id, chosen)
        if before is not None:
            return self.issue_again(before, password, ground, quota_octets=quota_octets, bring_back=bring_back)
        if chosen is None:
            offered = [local for local in addresses.group_suggestions(name, self._rules) if not self._taken()(local)]
            if not offered:
                raise AlreadyThere(
                    Text("Không có địa chỉ gợi ý nào dùng được.", "No form of the name is free as an address."),
                    clause="5.2",
                    remedy=Text("Chọn địa chỉ với --address.", "Choose one with --address."),
                )
            chosen = offered[0]
        addresses.check_form(chosen)
        record = self._record(MailboxKind.GROUP, f"{chosen}@{domain}", name, quota_octets, unit_id=unit.unit_id)
        return self._issue(record, password, ground)

    def add_alias(self, mailbox: MailboxRecord, address: str, origin: ActContext) -> None:
        """Add an alias to a mailbox; the Centre decides (Reg. 6.1)."""
        address = address.lower()
        local, _, domain = address.rpartition("@")
        addresses.check_form(local)
        must_be_local(domain, self._config, self._directory)
        reclaimed = self._state_of(mailbox).reason(MailboxState.RECLAIMED)
        if reclaimed is not None:
            raise NotAllowed(
                Text(
                    "Hộp thư đã thu hồi; bí danh không nhận được thư.",
                    "The mailbox is reclaimed; an alias would not work.",
                ),
                clause=reclaimed.clause,
            )
        if mailbox.kind is MailboxKind.PERSONAL:
            addresses.must_be_a_persons(local, self._rules.reserved)
        draft = origin.draft(FactKind.ALIAS_ADDED, self._clock.now(), address=address)
        self._directory.add_alias(mailbox.mailbox_id, address, draft)

    def remove_alias(self, mailbox: MailboxRecord, address: str, origin: ActContext) -> None:
        """Remove an alias; the address stays taken."""
        draft = origin.draft(FactKind.ALIAS_REMOVED, self._clock.now(), address=address.lower())
        self._directory.remove_alias(mailbox.mailbox_id, address, draft)

    def _must_be_first(self, local: str, person: PersonRecord, ground: Ground) -> None:
        """Reserve an address for the request received first (Reg. 5.4.a, `address.namesake.first_by`)."""
        if self._config.address.namesake.first_by != "received":
            return
        number, register = ground.origin.request, self._directory.requests
        received = self._clock.now()
        if number is not None:
            received = register.get(number).filing.received_at
        elif ground.received_on is not None:
            received = start_of(ground.received_on)
        for other in earlier(register.pending(), received, number):
            name, chosen = other.item(Item.NAME) or "", other.item(Item.CHOSEN)
            wanted = chosen.partition("@")[0] if chosen else addresses.personal_local_part(name)
            same = (name, other.filing.unit_id) == (person.full_name, person.unit_id)
            his = other.person_id == person.person_id or (number is None and same)
            if not his and wanted == local:
                raise NotAllowed(
                    Text(
                        f"Yêu cầu số {other.request_id} về địa chỉ {local} được nhận trước.",
                        f"Request {other.request_id}, for the address {local} too, was received before.",
                    ),
                    clause="5.4.a",
                    remedy=Text(
                        f"Giải quyết yêu cầu số {other.request_id} trước.", f"Settle request {other.request_id} first."
                    ),
                )

    def _plain_form(self, person: PersonRecord, given_words: int) -> str:
        plain = addresses.personal_local_part(person.full_name, given_words=given_words)
        offered = self.suggest(person, given_words=given_words)
        if offered[:1] != [plain]:
            raise ChoiceNeeded(plain, offered, self._why_not(plain))
        return plain

    def _why_not(self, plain: str) -> Text:
        if plain in self._rules.reserved:
            return RESERVED
        if len(plain) < self._rules.shortest:
            return TOO_SHORT
        return TOO_LONG if len(plain) > addresses.MAX_LOCAL_PART else TAKEN

    def _mailbox_of(self, person: PersonRecord) -> MailboxRecord | None:
        personal = self._directory.mailboxes_of(person_id=person.person_id)
        return next((m for m in personal if m.kind is MailboxKind.PERSONAL), None)

    def _of_unit(self, kind: MailboxKind, unit_id: int) -> list[MailboxRecord]:
        return [m for m in self._directory.mailboxes_of(unit_id=unit_id) if m.kind is kind]

    def _reclaimed_group(self, name: str, unit_id: int, chosen: str | None) -> MailboxRecord | None:
        """Return the reclaimed mailbox of this group: same name and sponsor, and the chosen address if any."""
        for mailbox in self._of_unit(MailboxKind.GROUP, unit_id):
            local = mailbox.address.partition("@")[0]
            same = mailbox.display_name.casefold() == name.casefold() and chosen in {None, local}
            if same and MailboxState.RECLAIMED in self._state_of(mailbox).states:
                return mailbox
        return None

    def _state_of(self, mailbox: MailboxRecord) -> Decision:
        return self._directory.entry(mailbox.mailbox_id).decide(self._clock.now(), self.settings())

    def issue_again(
        self,
        mailbox: MailboxRecord,
        password: str,
        ground: Ground,
        *,
        wanted: str | None = None,
        quota_octets: int | None = None,
        bring_back: BringBack | None = None,
    ) -> MailboxRecord:
        """Return a reclaimed mailbox to its owner under its old address, with its old quota or another.

        Mail in the archive is brought back first; where that is not possible, the issue is refused: the mailbox would begin
        empty, its mail out of reach.
        """
        decision = self._state_of(mailbox)
        if MailboxState.RECLAIMED not in decision.states:
            raise AlreadyThere(
                Text(f"Đã có hộp thư {mailbox.address}.", f"Mailbox {mailbox.address} already exists."),
                clause="5.1" if mailbox.kind is MailboxKind.UNIT else "5.3",
            )
        local = mailbox.address.partition("@")[0]
        if wanted is not None and wanted != local:
            raise addresses.AddressRefused(
                Text(
                    f"Hộp thư đã thu hồi được cấp lại với địa chỉ cũ {mailbox.address}.",
                    f"A reclaimed mailbox must be issued again under its old address {mailbox.address}.",
                ),
                clause="5.4.a",
                remedy=Text("Bỏ --address; thêm bí danh nếu cần.", "Omit the address; add an alias if needed."),
            )
        seq = decision.fact_seq
        if lies_in_archive(self._directory.facts(mailbox.mailbox_id)):
            if bring_back is None:
                raise InArchive(mailbox.address)
            brought = bring_back(mailbox)
            seq = max(seq, brought.seq if brought is not None else 0)
        if quota_octets is not None and quota_octets != mailbox.quota_octets:
            check_quota(quota_octets, mailbox.quota_octets, ground.origin)
            changed = ground.origin.draft(
                FactKind.QUOTA_SET, self._clock.now(), octets=quota_octets, previous=mailbox.quota_octets
            )
            self._directory.set_quota(mailbox.mailbox_id, quota_octets, changed, after=seq)
            mailbox, seq = replace(mailbox, quota_octets=quota_octets), seq + 1
        issued = self._issued(ground, address=mailbox.address)
        self._directory.set_credential(mailbox.mailbox_id, self._hash(password), issued, after=seq)
        return mailbox

    def _record(
        self,
        kind: MailboxKind,
        address: str,
        display_name: str,
        quota_octets: int | None,
        *,
        person_id: int | None = None,
        unit_id: int | None = None,
    ) -> MailboxRecord:
        local, _, domain = address.rpartition("@")
        octets = self._config.quota.default if quota_octets is None else quota_octets
        return MailboxRecord(0, kind, address, f"{domain}/{local}", display_name, octets, person_id, unit_id)

    def _issue(self, record: MailboxRecord, password: str, ground: Ground, **details: Detail) -> MailboxRecord:
        check_quota(record.quota_octets, None, ground.origin)
        credential = self._hash(password)
        self._directory.add_domain(record.address.rpartition("@")[2])
        issued = self._issued(ground, address=record.address, **details)
        return self._directory.issue_mailbox(record, issued, credential=credential)

    def _issued(self, ground: Ground, **details: Detail) -> Draft:
        if ground.received_on is not None:
            must_be_past(ground.received_on, self._clock, RECEIVED, clause="5.4.a")
            details["received_on"] = ground.received_on.isoformat()  # Reg. 5.4.a: first received, first served
        return ground.origin.draft(FactKind.ISSUED, self._clock.now(), **details)

    def _unit_local(self, person: PersonRecord) -> str:
        return addresses.unit_local_part(self._directory.units_by_id()[person.unit_id].symbol, self._rules)

    def _taken(self) -> Callable[[str], bool]:
        """Return a test whether a local part is or was in use under any local domain."""
        domains = {self._domain, *self._directory.domains()}
        return lambda local: any(self._directory.is_taken(f"{local}@{domain}") for domain in domains)

    def _split(self, chosen: str | None) -> tuple[str | None, str]:
        local, _, domain = (chosen or "").lower().partition("@")
        if domain:
            must_be_local(domain, self._config, self._directory)
        return local or None, domain or self._domain
