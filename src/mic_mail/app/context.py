"""The context of one server process: stores, executors and services, built in the running loop.

In: a configuration, a clock, the process's name. Out: a `ServerContext`, which follows a reload and ends what it has begun.
Nothing here opens a listener or does anything by itself: `app.server` does.
"""

from functools import partial

from mic_mail.app.process_context import ProcessContext
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.duty_lock import DutyLock
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.process.send_counters import SendCounters
from mic_mail.queue.notifications import QueueNotifications
from mic_mail.queue.pending_reports import PendingReports
from mic_mail.queue.queue import Queue
from mic_mail.queue.spool import Spool
from mic_mail.services.abuse.send_limits import SendLimits
from mic_mail.services.abuse.shared_counters import SharedCounters
from mic_mail.services.mail_store import open_held, open_quarantine, open_queue, open_reports, open_sent_amounts, open_spool
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.operations.disk_reserve import DiskReserve
from mic_mail.services.operations.jobs import ChangedAccounts
from mic_mail.services.queue.dsn_writer import DsnWriter
from mic_mail.services.queue.inbound_dsn import InboundReports
from mic_mail.services.transport.acceptance import Acceptance
from mic_mail.services.transport.delivery import LocalDeliverer
from mic_mail.services.transport.header_checks import HeaderChecks
from mic_mail.services.transport.inbound.message_checks import MessageChecks
from mic_mail.services.transport.inbound.origin_check import OriginCheck
from mic_mail.services.transport.inbound.quarantine_put import QuarantineWriter
from mic_mail.services.transport.inbound.rspamd_check import RspamdCheck
from mic_mail.services.transport.inbound.spam_training import TrainingNotes
from mic_mail.services.transport.malware import MalwareCheck
from mic_mail.services.transport.pipeline import Checkers, Pipeline
from mic_mail.services.transport.recipient_lookup import RecipientLookup
from mic_mail.services.transport.secrecy import SecrecyCheck
from mic_mail.services.transport.sender_policy import SenderPolicy
from mic_mail.services.transport.spool_dispatch import SpoolDispatch
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.journal.replay import Replay
from mic_mail.storage.reserve import Reserves


class ServerContext(ProcessContext):
    """Everything that the protocol servers and the jobs of one process use."""

    spool: Spool
    queue: Queue
    mailflow: Pipeline

    def __init__(
        self, config: Config, clock: Clock, name: str, *, secret: bytes, tee: bool = False, has_clients: bool = True
    ) -> None:
        super().__init__(config, clock, name, secret=secret, tee=tee, has_clients=has_clients)
        self.usage = ChangedAccounts(self.runtime, self.store, Notices(self.store, config, clock))
        self.queued = QueueNotifications(self.feed)
        self.learning = TrainingNotes(self.runtime, store=self.store)
        amounts = open_sent_amounts(config, self.store)
        self.counts = SendCounters(config.sent_dir, name) if amounts is None else SharedCounters(amounts)
        self.reserves = Reserves(str(config.mail_root))
        """The space for removals when a disk is full; of this machine, wherever the mailboxes lie."""
        self.disk_reserve = DiskReserve(self.runtime, self.reserves, config.storage.reserve)
        self.duty = DutyLock(config.directory_url)

    def _account_changed(self, account_id: int, modseq: int) -> None:
        super()._account_changed(account_id, modseq)
        self.usage.add(account_id)

    async def open(self) -> None:
        """Read the directory; open mailboxes, after a replay of the journal, the spool and the queue."""
        await super().open()
        config, io = self.config, self.executors.io
        _log_replay(self.log, await io(self.store.recover))
        self.spool = await io(open_spool, config, self.store, self.reserves)
        self.queue = await io(partial(open_queue, config, self.store, comes_again=self.spool.has))
        self.mailflow = self._mail_flow(await io(open_reports, config, self.spool))

    def _prepare_directory(self) -> None:
        """Also add the domains of the configuration."""
        super()._prepare_directory()
        known = set(self.directory.domains())
        for domain in self.config.domains:
            if domain not in known:
                self.directory.add_domain(domain)

    def _mail_flow(self, pending: PendingReports) -> Pipeline:
        """Create the pipeline: from the listeners through the checks into the spool, mailboxes or the queue."""
        runtime, access, store, queued = self.runtime, self.access, self.store, self.queued.notify
        writer = DsnWriter(runtime, access, lambda: self.usage.notices)
        reports = InboundReports(runtime, pending, self.queue, writer, access=access, queued=queued)
        recipients = RecipientLookup(runtime, access, store)
        delivering = LocalDeliverer(runtime, store, arrived=access.arrived, why_not=recipients.refusal_reason, reports=reports)
        spooling = SpoolDispatch(
            runtime, self.spool, self.queue, access=access, delivering=delivering, reports=reports, queued=queued
        )
        clients = MessageChecks(runtime)
        senders = SenderPolicy(runtime, access, SendLimits(self.counts), exceeds_limit=self.auto_suspend.exceeds_limit)
        checkers = Checkers(
            runtime=runtime,
            senders=senders,
            recipients=recipients,
            headings=HeaderChecks(runtime, senders, clients),
            clients=clients,
            origins=OriginCheck(runtime),
            content=RspamdCheck(runtime, spamming=self.auto_suspend.spamming),
            malware=MalwareCheck(runtime, self.auto_suspend.infected),
            secrecy=SecrecyCheck(runtime, open_held(self.config, store)),
            spooling=spooling,
            reserves=self.reserves,
        )
        acceptance = Acceptance(
            runtime,
            store=store,
            spooling=spooling,
            delivering=delivering,
            quarantine=QuarantineWriter(runtime, open_quarantine(self.config, store)),
            recipients=recipients,
            access=access,
        )
        return Pipeline(runtime, checkers, acceptance)

    async def prepare_journal(self) -> None:
        """Prepare the journal before messages arrive.

        Without a journal each message is made durable by itself: slower, and logged once.
        """
        try:
            await self.executors.io(self.store.prepare_journal)
        except Unavailable as error:
            self.log.event("journal_unavailable", error=described(error))

    async def is_clock_trusted(self) -> bool:
        """Return whether the clock can be trusted for what cannot be undone."""
        return await self.executors.io(self.trusts_clock)

    def trusts_clock(self) -> bool:
        """Return whether the clock can be trusted for what cannot be undone. Blocking; for a thread."""
        return ClockMark(self.config.state_dir, self.clock).is_trusted(self.access.snapshot)

    def configure(self, config: Config) -> None:
        """Apply the settings that a reload may change."""
        super().configure(config)
        self.mailflow.checkers.apply_reload()
        self.usage.notices = Notices(self.store, config, self.clock)

    async def close(self) -> None:
        """End the tasks, let file names follow the flags, and close every file.

        Whatever cannot be ended now is safe to leave.
        """
        self._end_tasks()
        await self.mailflow.checkers.close()
        counts = self.counts
        closers = [self.spool.close, self.store.close, self.queue.close, self.duty.close, self.directory.close]
        if isinstance(counts, SharedCounters):
            closers.insert(0, partial(counts.exchange_all, self.clock.steady_us() / 1e6))
        await self._close_files(*closers)
        counts.close()


async def open_context(
    config: Config, clock: Clock, name: str, *, secret: bytes, tee: bool = False, has_clients: bool = True
) -> ServerContext:
    """Build the context of one process inside the running loop."""
    context = ServerContext(config, clock, name, secret=secret, tee=tee, has_clients=has_clients)
    await context.open()
    return context


def _log_replay(log: MailLog, replay: Replay) -> None:
    """Log the messages that the journal restored after a power loss, and those that it could not restore."""
    if replay.restored or replay.without_mailbox:
        log.event("journal_replayed", messages=replay.restored, without_mailbox=replay.without_mailbox)
    for place, error in replay.failed.items():
        log.event("journal_not_replayed", place=place, error=described(error))
