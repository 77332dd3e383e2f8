"""The rooms of one process: its stores, lanes and use cases, built and joined inside the running loop.

In: a configuration, a clock, the process's name. Out: `ServerContext`, which follow a reload and end what they have begun.
Nothing here opens a door or does anything by itself: `app.server` does.
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
"""For each store. Only who waits for a lock of another process takes so long; the supervisor's patience is 3 s."""


@dataclass
class ServerContext:
    """Everything behind the doors of one process."""

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
        """Do something in the background; what goes wrong is an event, and comes again with the next poll or duty."""
        task = asyncio.get_running_loop().create_task(self._run_background(errand))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_background(self, errand: Coroutine[object, object, object]) -> None:
        try:
            await errand
        except (MicMailError, OSError) as error:
            self.log.event("errand_failed", error=described(error))

    async def prepare_journal(self) -> None:
        """Before messages arrive. Where there can be none each is durable by itself: slower, which is said once."""
        try:
            await self.lanes.io(self.store.prepare_journal)
        except Unavailable as error:
            self.log.event("journal_unavailable", error=described(error))

    async def is_clock_trusted(self) -> bool:
        """Whether the clock can be believed with what cannot be undone."""
        return await self.lanes.io(self.trusts_clock)

    def trusts_clock(self) -> bool:
        """Likewise, for a thread. Blocking."""
        return ClockMark(self.config.state_dir, self.clock).is_trusted(self.access.snapshot)

    async def does_mark_agree(self) -> bool:
        """Whether the mark says that the present time is right."""
        return await self.lanes.io(ClockMark(self.config.state_dir, self.clock).agrees, self.access.snapshot)

    def configure(self, config: Config) -> None:
        """Take over what a reload may change."""
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
        """End what the rooms have begun, let names follow, close every file; what cannot be ended now is safe to leave."""
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
            except (MicMailError, OSError) as error:  # a mailbox that others hold: recovery and the next process see to it
                self.log.event("close_failed", **failure(error))
        self.counts.close()
        self.lanes.close()
        self.log.close()


@dataclass(frozen=True, slots=True)
class Runtime:
    """What all rooms stand on."""

    config: Config
    clock: Clock
    log: MailLog
    lanes: Executors
    accounts: AccountExecutors
    feed: Feed


@dataclass(frozen=True, slots=True)
class _Stores:
    """Where messages lie, and who hears of changes."""

    store: MailStore
    usage: ChangedAccounts
    spool: Spool
    queue: Queue
    queued: QueueNotifications


@dataclass(frozen=True, slots=True)
class _Checks:
    """What looks into messages."""

    malware: Malware
    secrecy: Secrecy
    learning: Learning
    content: Content
    judging: MessageChecks
    holding: QuarantineWriter


async def open_context(config: Config, clock: Clock, name: str, *, secret: bytes, tee: bool = False) -> ServerContext:
    """Build one process's rooms inside the running loop; `secret` is the same for all processes of a server."""
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
    """Sign-in, from the directory as it is now; hears what other processes say of wrong passwords."""
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
    """The mailboxes, with what the journal gives back; the spool and the queue."""
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
    """Who suspends a mailbox that does harm; that somebody else has a mailbox's password, sign-in finds out."""
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
    """What they find of a mailbox of ours, `runaways` hears."""
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
    """From the doors through the checks into the spool, and from there into mailboxes or the queue."""
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
    """The mailboxes; each change goes to the other processes and to the listeners `changed` of this one."""

    def on_change(account_id: int, modseq: int) -> None:
        feed.changed(account_id, modseq)
        for listener in changed:
            listener(account_id)

    return open_mail_store(config, clock, on_change=on_change)


def _log_replay(log: MailLog, replay: Replay) -> None:
    """What the journal gave back after a power loss, and to whom it could not."""
    if replay.mended or replay.homeless:
        log.event("journal_replayed", messages=replay.mended, without_mailbox=replay.homeless)
    for place, error in replay.failed.items():
        log.event("journal_not_replayed", place=place, error=described(error))


def prepare_directory(directory: Directory, domains: Sequence[str]) -> None:
    """The schema of this program and the domains of the configuration; several processes may do it at once."""
    directory.migrate(must_exist=True)
    known = set(directory.domains())
    for domain in domains:
        if domain not in known:
            directory.add_domain(domain)
