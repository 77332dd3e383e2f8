"""The restore of a suspended mailbox (Reg. 7.3), with its mail in spool and queue (7.2.c).

In: the request, the new verifiers, the choice for pending messages. Out: the decision after it, or a refusal that has
changed nothing. The mail of a hijacked mailbox may be spam: whether to send it is asked, never guessed, on every way of
restoring. Blocking; commands only.
"""

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.errors import Text
from mic_mail.i18n.plurals import counted
from mic_mail.log.maillog import MailLog
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.lifecycle import Decision
from mic_mail.policy.suspension import QueuedMail
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle, NotAllowed, RestoreRequest
from mic_mail.services.mailboxes.pending_mail import Queued
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.use_cases import MailUseCases
from mic_mail.storage.mailstore import MailStore


class Restoring(MailUseCases):
    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock) -> None:
        super().__init__(directory, store, config, clock)
        self._accounts = MailboxLifecycle(directory, config, clock)
        self._notices = Notices(store, config, clock)

    def restore(
        self,
        mailbox: MailboxRecord,
        asked: RestoreRequest,
        verifiers: Credential,
        origin: ActContext,
        queued: QueuedMail | None,
    ) -> Decision:
        """Settle the pending messages, then restore; a refused restore drops nothing."""
        before = self._accounts.may_restore(mailbox, asked, origin)
        if any(reason.clause == "7.2.c" for reason in before.reasons):
            self._settle(mailbox, queued, origin)
        return self._accounts.restore(mailbox, asked, verifiers, origin)

    def _settle(self, mailbox: MailboxRecord, queued: QueuedMail | None, origin: ActContext) -> None:
        waiting = Queued(self._config, self._clock, mailbox)
        count = waiting.count()
        if count and queued is None:
            raise NotAllowed(
                Text(
                    f"Còn {count} thư chờ gửi từ khi bị tạm khóa.",
                    f"{counted(count, 'message waits', 'messages wait')} since it was suspended.",
                ),
                clause="7.2.c",
                remedy=Text("Thêm --queued gửi hoặc --queued hủy.", "Add --queued send or --queued drop."),
            )
        if count and queued is QueuedMail.DROP:
            log = MailLog(self._config.log_dir, "cli", clock=self._clock, threaded=False)
            try:
                waiting.drop(self._notices, origin, log)
            finally:
                log.close()
