"""The context of one process: its stores, executors and services, built inside the running loop.

In: a configuration, a clock, the process's name. Out: a `ServerContext`, which follows a reload and ends what it has begun.
Nothing here opens a listener or does anything by itself: `app.server` does.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from mic_mail.app.clock_watcher import begin_by_the_mark
from mic_mail.app.settings import flow_settings
from mic_mail.auth.password_hash import DECOY_KEY, load_secret
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described, failure
from mic_mail.log.maillog import MailLog
from mic_mail.log.tee import Tee
from mic_mail.process.change_feed import Feed, notify_directory_changed
from mic_mail.process.executors import AccountExecutors, Executors
from mic_mail.process.loop_lag import LoopLag
from mic_mail.process.send_counters import SentCounts
from mic_mail.queue.notifications import QueueNotifications
from mic_mail.queue.pending_reports import PendingReports
from mic_mail.queue.queue import Queue
from mic_mail.queue.spool import Spool
from mic_mail.services.abuse.auto_suspend import AutoSuspend
from mic_mail.services.abuse.breached_password_check import BreachedPasswordCheck
from mic_mail.services.abuse.send_limits import Rates
from mic_mail.services.authentication import known_networks
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.mailboxes.clock_trust import ClockMark
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.operations.disk_reserve import DiskReserve
from mic_mail.services.operations.jobs import ChangedAccounts
from mic_mail.services.queue.local_dsn import ReportSettings, SpoolReports
from mic_mail.services.settings.stores import open_mail_store
from mic_mail.services.transport.inbound.dnsbl_check import Listed
from mic_mail.services.transport.inbound.message_checks import MessageChecks
from mic_mail.services.transport.inbound.origin_check import Origins
from mic_mail.services.transport.inbound.quarantine_put import QuarantineWriter
from mic_mail.services.transport.inbound.rspamd_check import Content
from mic_mail.services.transport.inbound.spam_training import Learning
from mic_mail.services.transport.malware import Malware
from mic_mail.services.transport.pipeline import Pipeline
from mic_mail.services.transport.secrecy import Secrecy
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

    config: Config
    clock: Clock
    log: MailLog
    lanes: Executors
    accounts: AccountExecutors
    feed: Feed
    lag: LoopLag
    directory: Directory
    store: MailStore
    spool: Spool
    queue: Queue
    queued: QueueNotifications
    access: SignInService
    malware: Malware
    secrecy: Secrecy
    learning: Learning
    judging: MessageChecks
    holding: QuarantineWriter
    mailflow: Pipeline
    runaways: AutoSuspend
    counts: SentCounts
    usage: ChangedAccounts
    disk_reserve: DiskReserve
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

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
            await self.lanes.io(self.store.prepare_journal)
        except Unavailable as error:
            self.log.event("journal_unavailable", error=described(error))

    async def is_clock_trusted(self) -> bool:
        """Return whether the clock can be trusted for what cannot be undone."""
        return await self.lanes.io(self.trusts_clock)

    def trusts_clock(self) -> bool:
        """Return whether the clock can be trusted for what cannot be undone. Blocking; for a thread."""
        return ClockMark(self.config.state_dir, self.clock).is_trusted(self.access.snapshot)

    async def does_mark_agree(self) -> bool:
        """Return whether the clock mark confirms the present time."""
        return await self.lanes.io(ClockMark(self.config.state_dir, self.clock).agrees, self.access.snapshot)

    def configure(self, config: Config) -> None:
        """Apply the settings that a reload may change."""
        self.config = config
        self.lanes.patience = config.process.queue_seconds
        self.lag.threshold_seconds = config.process.lag_seconds
        self.access.configure(config)
        self.mailflow.settings = flow_settings(config)
        self.malware.configure(config)
        self.secrecy.configure(config)
        self.learning.configure(config)
        self.judging.configure(config)
        self.holding.configure(config)
        self.usage.notices = Notices(self.store, config, self.clock)

    async def close(self) -> None:
        """End the tasks, let file names follow the flags, and close every file.

        Whatever cannot be ended now is safe to leave.
        """
        self.feed.close()
        for task in self._tasks:
            task.cancel()
        self.lag.close()
        await self.secrecy.close()
        self.judging.close()
        for close in (self.store.close, self.spool.close, self.queue.close, self.directory.close):
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self.lanes.io(close)
            except (MicMailError, OSError) as error:  # a mailbox locked by another process: recovery handles it
                self.log.event("close_failed", **failure(error))
        self.counts.close()
        self.lanes.close()
        self.log.close()


@dataclass(frozen=True, slots=True)
class Runtime:
    """The runtime that all services of a process share."""

    config: Config
    clock: Clock
    log: MailLog
    lanes: Executors
    accounts: AccountExecutors
    feed: Feed


@dataclass(frozen=True, slots=True)
class _Stores:
    """The stores of messages, and the services that are notified of their changes."""

    store: MailStore
    usage: ChangedAccounts
    spool: Spool
    queue: Queue
    queued: QueueNotifications


@dataclass(frozen=True, slots=True)
class _Checks:
    """The services that check messages."""

    malware: Malware
    secrecy: Secrecy
    learning: Learning
    content: Content
    judging: MessageChecks
    holding: QuarantineWriter


async def open_context(config: Config, clock: Clock, name: str, *, secret: bytes, tee: bool = False) -> ServerContext:
    """Build the context of one process inside the running loop.

    `secret` is the same for all processes of a server.
    """
    ground = _ground(config, clock, name, tee=tee)
    await ground.lanes.io(begin_by_the_mark, config.state_dir, clock)
    lag = LoopLag(ground.log, config.process.lag_seconds)
    directory = Directory(config.directory_url, clock=clock)
    access = await _open_access(ground, directory, secret)
    stores = await _open_stores(ground, access)
    runaways = _watch_misuse(ground, directory, access, secret)
    checks = _checks(ground, access, stores.store, runaways)
    counts = SentCounts(config.sent_dir, name)
    mailflow = await _mail_flow(ground, access, stores, checks, runaways=runaways, rates=Rates(counts))
    return ServerContext(
        config=config,
        clock=clock,
        log=ground.log,
        lanes=ground.lanes,
        accounts=ground.accounts,
        feed=ground.feed,
        lag=lag,
        directory=directory,
        store=stores.store,
        spool=stores.spool,
        queue=stores.queue,
        queued=stores.queued,
        access=access,
        malware=checks.malware,
        secrecy=checks.secrecy,
        learning=checks.learning,
        judging=checks.judging,
        holding=checks.holding,
        mailflow=mailflow,
        runaways=runaways,
        counts=counts,
        usage=stores.usage,
        disk_reserve=DiskReserve(stores.store.reserves, config.storage.reserve, ground.lanes, ground.log),
    )


def _ground(config: Config, clock: Clock, name: str, *, tee: bool) -> Runtime:
    process = config.process
    log = MailLog(
        config.log_dir, name, clock=clock, segment_octets=config.log.segment, tee=Tee(sys.stderr, name) if tee else None
    )
    lanes = Executors(io_threads=process.io_threads, hash_threads=process.hash_threads, patience=process.queue_seconds)
    feed = Feed(config.run_dir, name, poll_seconds=process.poll_seconds)
    return Runtime(config, clock, log, lanes, AccountExecutors(lanes), feed)


async def _open_access(ground: Runtime, directory: Directory, secret: bytes) -> SignInService:
    """Open the sign-in service, from the present directory.

    It receives the failed sign-ins that other processes broadcast.
    """
    config, lanes = ground.config, ground.lanes
    await lanes.io(prepare_directory, directory, config.domains)
    access = SignInService(
        config,
        directory=directory,
        snapshot=await lanes.io(directory.load_snapshot),
        lanes=lanes,
        log=ground.log,
        clock=ground.clock,
        decoy_key=await lanes.io(load_secret, config.server.data_dir / DECOY_KEY),
        digest_key=secret,
        tell=ground.feed.send,
    )
    now = ground.clock.steady_now().timestamp()
    access.remember(await lanes.io(lambda: list(known_networks.load(config.state_dir, now))))
    ground.feed.listen(access.on_message)
    return access


async def _open_stores(ground: Runtime, access: SignInService) -> _Stores:
    """Open the mailboxes, with the messages that the journal restores, the spool and the queue."""
    config, clock, lanes = ground.config, ground.clock, ground.lanes
    changed: list[Callable[[int], None]] = []
    store = _store(config, clock, ground.feed, changed)
    _log_replay(ground.log, await lanes.io(store.recover))
    usage = ChangedAccounts(store, ground.accounts, Notices(store, config, clock), lambda: access.snapshot, ground.log)
    changed.append(usage.add)
    spool = await lanes.io(Spool, config.spool_dir, store.reserves)
    queue = await lanes.io(partial(Queue, config.queue_dir, comes_again=spool.has))
    return _Stores(store, usage, spool, queue, QueueNotifications(ground.feed))


def _watch_misuse(ground: Runtime, directory: Directory, access: SignInService, secret: bytes) -> AutoSuspend:
    """Create the service that suspends misused mailboxes, and the check for breached passwords at sign-in."""
    config, clock, lanes, log = ground.config, ground.clock, ground.lanes, ground.log

    def changed() -> None:
        notify_directory_changed(config.run_dir)

    runaways = AutoSuspend(access, directory, tell=changed, lanes=lanes, clock=clock, log=log)
    access.exposure = BreachedPasswordCheck(
        config,
        key=secret,
        directory=directory,
        suspending=runaways,
        changed=changed,
        tell=ground.feed.send,
        lanes=lanes,
        clock=clock,
        log=log,
    )
    return runaways


def _checks(ground: Runtime, access: SignInService, store: MailStore, runaways: AutoSuspend) -> _Checks:
    """Create the checks of messages; they report findings in local mailboxes to `runaways`."""
    config, clock, lanes, log = ground.config, ground.clock, ground.lanes, ground.log
    content = Content(config, lanes=lanes, log=log, clock=clock, spamming=runaways.spamming)
    return _Checks(
        Malware(config, lanes, log, runaways.infected),
        Secrecy(config, lanes=lanes, log=log, clock=clock),
        Learning(config, store=store, lanes=lanes, accounts=ground.accounts, log=log, clock=clock),
        content,
        MessageChecks(config, (Origins(config, lambda: access.snapshot.domains), Listed(), content), log, clock),
        QuarantineWriter(config, log, clock),
    )


async def _mail_flow(
    ground: Runtime, access: SignInService, stores: _Stores, checks: _Checks, *, runaways: AutoSuspend, rates: Rates
) -> Pipeline:
    """Create the pipeline: from the listeners through the checks into the spool, mailboxes or the queue."""
    config, sending = ground.config, ground.config.sending
    reports = SpoolReports(
        ReportSettings(config.server.hostname, timedelta(seconds=sending.warn_after), timedelta(seconds=sending.give_up)),
        await ground.lanes.io(PendingReports, config.spool_dir / "owed"),
        stores.spool,
        stores.queue,
        notices=lambda: stores.usage.notices,
        separator=lambda: mailflow.settings.separator,
        access=access,
        lanes=ground.lanes,
        accounts=ground.accounts,
        queued=stores.queued.notify,
        clock=ground.clock,
        log=ground.log,
    )
    mailflow = Pipeline(
        flow_settings(config),
        store=stores.store,
        spool=stores.spool,
        queue=stores.queue,
        lanes=ground.lanes,
        accounts=ground.accounts,
        access=access,
        malware=checks.malware,
        secrecy=checks.secrecy,
        judging=checks.judging,
        content=checks.content,
        holding=checks.holding,
        log=ground.log,
        clock=ground.clock,
        reports=reports,
        rates=rates,
        runaway=runaways.noticed,
        queued=stores.queued.notify,
    )
    return mailflow


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
