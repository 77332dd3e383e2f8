"""The context of one process: its stores, executors and services, built inside the running loop.

In: a configuration, a clock, the process's name. Out: a `ServerContext`, which follows a reload and ends what it has begun.
Nothing here opens a listener or does anything by itself: `app.server` does.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial

from mic_mail.app.clock_watcher import begin_by_the_mark
from mic_mail.app.runtime import Current, make_runtime, open_sign_in, watch_misuse
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import MailLog
from mic_mail.process.change_feed import Feed
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.process.loop_lag import LoopLag
from mic_mail.process.runtime import Runtime
from mic_mail.process.send_counters import SendCounters
from mic_mail.queue.notifications import QueueNotifications
from mic_mail.queue.pending_reports import PendingReports
from mic_mail.queue.queue import Queue
from mic_mail.queue.spool import Spool
from mic_mail.services.abuse.auto_suspend import AutoSuspend
from mic_mail.services.abuse.send_limits import Rates
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.mail_store import open_mail_store
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
from mic_mail.storage.mailstore import MailStore

CLOSE_SECONDS = 1.0
"""Seconds for each store to close.

Only waiting for a lock of another process takes so long; the supervisor waits 3 s.
"""


@dataclass
class ServerContext:
    """Everything that the protocol servers of one process use."""

    current: Current
    runtime: Runtime
    feed: Feed
    lag: LoopLag
    directory: Directory
    store: MailStore
    spool: Spool
    queue: Queue
    queued: QueueNotifications
    access: SignInService
    learning: TrainingNotes
    holding: QuarantineWriter
    mailflow: Pipeline
    auto_suspend: AutoSuspend
    counts: SendCounters
    usage: ChangedAccounts
    disk_reserve: DiskReserve
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def config(self) -> Config:
        return self.current.config

    @property
    def clock(self) -> Clock:
        return self.runtime.clock

    @property
    def log(self) -> MailLog:
        return self.runtime.log

    @property
    def executors(self) -> Executors:
        return self.runtime.executors

    @property
    def account_executors(self) -> AccountExecutors:
        return self.runtime.account_executors

    def spawn(self, errand: Coroutine[object, object, object]) -> None:
        """Start a background task; a failure is logged, and the work is repeated by the next poll or job."""
        task = asyncio.get_running_loop().create_task(self._run_background(errand))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_background(self, errand: Coroutine[object, object, object]) -> None:
        try:
            await errand
        except (MicMailError, OSError) as error:
            self.log.event("errand_failed", error=described(error))

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

    async def does_mark_agree(self) -> bool:
        """Return whether the clock mark confirms the present time."""
        return await self.executors.io(ClockMark(self.config.state_dir, self.clock).agrees, self.access.snapshot)

    def configure(self, config: Config) -> None:
        """Apply the settings that a reload may change."""
        self.current.config = config
        self.executors.patience = config.process.queue_seconds
        self.lag.threshold_seconds = config.process.lag_seconds
        self.access.apply_reload()
        self.mailflow.checkers.apply_reload()
        self.usage.notices = Notices(self.store, config, self.clock)

    async def close(self) -> None:
        """End the tasks, let file names follow the flags, and close every file.

        Whatever cannot be ended now is safe to leave.
        """
        self.feed.close()
        for task in self._tasks:
            task.cancel()
        self.lag.close()
        await self.mailflow.checkers.close()
        for close in (self.store.close, self.spool.close, self.queue.close, self.directory.close):
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.executors.io(close)
            except (MicMailError, OSError) as error:  # a mailbox locked by another process: recovery handles it
                self.log.event("close_failed", **failure(error))
        self.counts.close()
        self.executors.close()
        self.log.close()


@dataclass(frozen=True, slots=True)
class _Stores:
    """The stores of messages, and the services that are notified of their changes."""

    store: MailStore
    usage: ChangedAccounts
    spool: Spool
    queue: Queue
    queued: QueueNotifications


async def open_context(config: Config, clock: Clock, name: str, *, secret: bytes, tee: bool = False) -> ServerContext:
    """Build the context of one process inside the running loop.

    `secret` is the same for all processes of a server.
    """
    current = Current(config)
    runtime = make_runtime(current, clock, name, tee=tee)
    feed = Feed(config.run_dir, name, poll_seconds=config.process.poll_seconds)
    await runtime.executors.io(begin_by_the_mark, config.state_dir, clock)
    directory = Directory(config.directory_url, clock=clock)
    await runtime.executors.io(prepare_directory, directory, config.domains)
    await open_sign_in(current, runtime, directory, feed, secret)
    access = current.access
    stores = await _open_stores(runtime, feed)
    auto_suspend = watch_misuse(access, runtime, directory, feed, secret)
    holding = QuarantineWriter(runtime)
    counts = SendCounters(config.sent_dir, name)
    return ServerContext(
        current=current,
        runtime=runtime,
        feed=feed,
        lag=LoopLag(runtime.log, config.process.lag_seconds),
        directory=directory,
        store=stores.store,
        spool=stores.spool,
        queue=stores.queue,
        queued=stores.queued,
        access=access,
        learning=TrainingNotes(runtime, store=stores.store),
        holding=holding,
        mailflow=await _mail_flow(runtime, access, stores, holding, auto_suspend=auto_suspend, rates=Rates(counts)),
        auto_suspend=auto_suspend,
        counts=counts,
        usage=stores.usage,
        disk_reserve=DiskReserve(runtime, stores.store.reserves, config.storage.reserve),
    )


async def _open_stores(runtime: Runtime, feed: Feed) -> _Stores:
    """Open the mailboxes, with the messages that the journal restores, the spool and the queue."""
    config, clock, executors = runtime.config(), runtime.clock, runtime.executors
    changed: list[Callable[[int], None]] = []
    store = _store(config, clock, feed, changed)
    _log_replay(runtime.log, await executors.io(store.recover))
    usage = ChangedAccounts(runtime, store, Notices(store, config, clock))
    changed.append(usage.add)
    spool = await executors.io(Spool, config.spool_dir, store.reserves)
    queue = await executors.io(partial(Queue, config.queue_dir, comes_again=spool.has))
    return _Stores(store, usage, spool, queue, QueueNotifications(feed))


async def _mail_flow(
    runtime: Runtime,
    access: SignInService,
    stores: _Stores,
    holding: QuarantineWriter,
    *,
    auto_suspend: AutoSuspend,
    rates: Rates,
) -> Pipeline:
    """Create the pipeline: from the listeners through the checks into the spool, mailboxes or the queue."""
    config, store = runtime.config(), stores.store
    reports = InboundReports(
        runtime,
        await runtime.executors.io(PendingReports, config.spool_dir / "owed"),
        stores.spool,
        stores.queue,
        DsnWriter(runtime, access, lambda: stores.usage.notices),
        access=access,
        queued=stores.queued.notify,
    )
    recipients = RecipientLookup(runtime, access, store)
    delivering = LocalDeliverer(runtime, store, arrived=access.arrived, why_not=recipients.refusal_reason, reports=reports)
    spooling = SpoolDispatch(
        runtime, stores.spool, stores.queue, access=access, delivering=delivering, reports=reports, queued=stores.queued.notify
    )
    clients = MessageChecks(runtime)
    senders = SenderPolicy(runtime, access, rates, exceeds_limit=auto_suspend.exceeds_limit)
    checkers = Checkers(
        runtime=runtime,
        senders=senders,
        recipients=recipients,
        headings=HeaderChecks(runtime, senders, clients),
        clients=clients,
        origins=OriginCheck(runtime),
        content=RspamdCheck(runtime, spamming=auto_suspend.spamming),
        malware=MalwareCheck(runtime, auto_suspend.infected),
        secrecy=SecrecyCheck(runtime),
        spooling=spooling,
        reserves=store.reserves,
    )
    acceptance = Acceptance(
        runtime,
        store=store,
        spooling=spooling,
        delivering=delivering,
        quarantine=holding,
        recipients=recipients,
        access=access,
    )
    return Pipeline(runtime, checkers, acceptance)


def _store(config: Config, clock: Clock, feed: Feed, changed: Sequence[Callable[[int], None]]) -> MailStore:
    """Open the mailboxes.

    Each change goes to the other processes and to the listeners `changed` of this one.
    """

    def on_change(account_id: int, modseq: int) -> None:
        feed.changed(account_id, modseq)
        for listener in changed:
            listener(account_id)

    return open_mail_store(config, clock, on_change=on_change)


def _log_replay(log: MailLog, replay: Replay) -> None:
    """Log the messages that the journal restored after a power loss, and those that it could not restore."""
    if replay.mended or replay.homeless:
        log.event("journal_replayed", messages=replay.mended, without_mailbox=replay.homeless)
    for place, error in replay.failed.items():
        log.event("journal_not_replayed", place=place, error=described(error))


def prepare_directory(directory: Directory, domains: Sequence[str]) -> None:
    """Migrate the directory's schema and add the domains of the configuration.

    Several processes may do it at the same time.
    """
    directory.migrate(must_exist=True)
    known = set(directory.domains())
    for domain in domains:
        if domain not in known:
            directory.add_domain(domain)
