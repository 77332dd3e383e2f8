"""Requests for another person's content (Reg. 4.3): a basis, a second person's approval, an export.

The one lawful way. In: officers on record, a mailbox, the register. Out: a request and its result, or a refusal with
its clause. `content_export` writes the export. Never here: content.
"""

from datetime import timedelta

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.content_access import (
    CLAUSE,
    Access,
    ContentDecision,
    DecisionOutcome,
    Scope,
    must_be_open,
    must_be_refusable,
    must_be_undecided,
)
from mic_mail.policy.authorization.grounds import ADD_REASON, ActContext
from mic_mail.policy.authorization.roles import Officer
from mic_mail.policy.authorization.two_persons import Hand, must_be_two
from mic_mail.services.authentication.delegation import Delegations
from mic_mail.services.use_cases import UseCases


class ContentRequests(UseCases):
    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        super().__init__(directory, config, clock)
        self._delegations = Delegations(directory, config, clock)
        self._valid = timedelta(seconds=config.content.expires_after)

    def ask(self, mailbox: MailboxRecord, scope: Scope, hand: Hand, origin: ActContext) -> Access:
        """Record a request, with reason and document; another person decides."""
        if scope.since is not None and scope.until is not None and scope.until < scope.since:
            raise BadInput(Text("Ngày kết thúc trước ngày bắt đầu.", "The last day is before the first."))
        _must_have_basis(origin)
        access = Access(
            access_id=0,
            mailbox_id=mailbox.mailbox_id,
            address=mailbox.address,
            scope=scope,
            officer=hand.officer,
            login=hand.login,
            asked_at=self._clock.now(),
            reason=origin.reason,
            document=origin.document or "",
        )
        return self._directory.content.ask(access)

    def approve(self, access_id: int, hand: Hand, origin: ActContext) -> Access:
        """Record the second person's approval, with its document; it holds for `content.expires_after`."""
        origin.must_have_document(CLAUSE)
        now = self._clock.now()
        access = self._directory.content.get(access_id)
        readers = self._readers(access)
        asker = Hand.of(self._as_on_record(access), access.officer, access.login)

        def check(known: Access) -> None:
            must_be_undecided(known, now)
            must_be_two(asker, hand, others=readers, clause=CLAUSE)

        decision = ContentDecision(DecisionOutcome.APPROVED, hand.officer, hand.login, now, origin.reason, origin.document)
        return self._directory.content.decide(access_id, decision, check, now + self._valid)

    def refuse(self, access_id: int, hand: Hand, origin: ActContext) -> Access:
        """Refuse a request; also by its asker, and after an approval that still holds."""
        now = self._clock.now()
        decision = ContentDecision(DecisionOutcome.REFUSED, hand.officer, hand.login, now, origin.reason, origin.document)
        return self._directory.content.decide(access_id, decision, lambda known: must_be_refusable(known, now))

    def opened(self, access_id: int, hand: Hand) -> Access:
        """Return the request under which this officer may export now, or raise a refusal."""
        access = self._directory.content.get(access_id)
        must_be_open(access, hand.officer, self._clock.now())
        return access

    def _readers(self, access: Access) -> list[Hand]:
        """Return the readers of the mailbox: its person, or everybody who has a grant in it now."""
        entry = self._directory.entry(access.mailbox_id)
        if entry.owner.person_id is not None:
            return [Hand(full_name=entry.owner.name, person_id=entry.owner.person_id)]
        holders = self._delegations.holders(entry, self._clock.now())
        return [
            Hand(full_name=holder.person.owner.name, person_id=holder.grant.person_id)
            for holder in holders
            if holder.holding and holder.person is not None
        ]

    def _as_on_record(self, access: Access) -> Officer:
        terms = [each for each in self._directory.officers.all() if each.login == access.officer]
        then = [each for each in terms if each.holds(access.asked_at)]
        return (then or terms)[-1]


def _must_have_basis(origin: ActContext) -> None:
    if not origin.reason:
        raise BadInput(Text("Phải nêu lý do.", "A reason is needed."), clause=CLAUSE, remedy=ADD_REASON)
    origin.must_have_document(CLAUSE)
