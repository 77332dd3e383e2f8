"""Legal holds (Reg. 9.2): keep a mailbox whole on an authority's demand, and release it.

Both need a document. In: a mailbox, the actor, the document. Out: a fact in its chain, and the mark that stops the
store from destroying anything from then on (storage.changes.legal_hold), both under the account's lock.
`services.mailboxes.reclamation` asks for both before it frees a mailbox.
"""

from mic_mail.clock import Clock
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Text
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.legal_holds import CLAUSE, Hold, UnderLegalHold, holds, must_keep, the_hold
from mic_mail.policy.unit_mail.handover import BeingHandedOver, running
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from mic_mail.storage.mailstore import MailStore


class Holds:
    def __init__(self, directory: Directory, store: MailStore, clock: Clock) -> None:
        self._directory = directory
        self._store = store
        self._clock = clock

    def on(self, mailbox: MailboxRecord) -> tuple[Hold, ...]:
        return holds(self._directory.facts(mailbox.mailbox_id))

    def hold(self, mailbox: MailboxRecord, origin: ActContext) -> Fact:
        """Keep everything from now on, in any state of the mailbox; several holds may be in force together."""
        _must_have_basis(origin)
        draft = origin.draft(FactKind.HELD, self._clock.now())
        return self._store.account_of(mailbox).keep_everything(lambda: self._directory.append_fact(mailbox.mailbox_id, draft))

    def release(self, mailbox: MailboxRecord, origin: ActContext, seq: int | None = None) -> Hold:
        """Release one hold; if it was the last, the next sweep deletes what is past its retention."""
        _must_have_basis(origin)

        def record() -> tuple[Hold, bool]:
            facts = self._directory.facts(mailbox.mailbox_id)
            ended = the_hold(holds(facts), seq)
            draft = origin.draft(FactKind.HOLD_RELEASED, self._clock.now(), hold=ended.seq)
            self._directory.append_fact(mailbox.mailbox_id, draft, after=facts[-1].seq)
            return ended, must_keep(self._directory.facts(mailbox.mailbox_id))

        return self._store.account_of(mailbox).let_go(record)

    def drop_stray_mark(self, mailbox: MailboxRecord) -> bool:
        """Remove the mark of a hold that is not on record; return whether there was one."""

        def record() -> tuple[bool, bool]:
            return account.has_hold_mark(), must_keep(self._directory.facts(mailbox.mailbox_id))

        account = self._store.account_of(mailbox)
        return account.let_go(record)

    def must_not_be_held(self, entry: Entry) -> None:
        """Refuse to destroy a mailbox that must be retained, by the record or by the store's own mark."""
        if running(entry.facts) is not None:
            raise BeingHandedOver(entry.address)
        if must_keep(entry.facts) or self._store.account_of(entry).is_held():
            raise UnderLegalHold(entry.address)


def _must_have_basis(origin: ActContext) -> None:
    if not origin.document or not origin.reason:
        raise NotAllowed(
            Text(
                "Lưu giữ theo yêu cầu phải có văn bản của cơ quan có thẩm quyền và lý do.",
                "A hold needs the authority's document and a reason.",
            ),
            clause=CLAUSE,
            remedy=Text('Thêm --document SỐ --reason "…".', 'Add --document NUMBER --reason "...".'),
        )
