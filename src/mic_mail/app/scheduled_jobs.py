"""Recurring jobs: of each process for its own changes, and of one housekeeper for the whole server.

Those of `for_all_nodes` are done by one of the nodes that share a directory, while it has the duty lock.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from mic_mail.app.context import ServerContext
from mic_mail.app.demands import SENDER_IDLE_SECONDS, sender_has_work
from mic_mail.app.idleness import Idleness
from mic_mail.app.protocol_servers import ProtocolServers
from mic_mail.config.units import DAY, HOUR, MINUTE
from mic_mail.file_trace import trace_of
from mic_mail.filters.training_queue import TrainingQueue
from mic_mail.net.dns import Resolver
from mic_mail.policy.calendar import local_day
from mic_mail.queue.local_queue import folders_of
from mic_mail.services.abuse.shared_counters import EXCHANGE_SECONDS, SharedCounters
from mic_mail.services.abuse.sign_in_anomalies import SignInWatch
from mic_mail.services.authentication import known_networks
from mic_mail.services.exports.content_export import ContentExport
from mic_mail.services.handover.marks_job import HandoverMarks
from mic_mail.services.handover.transfer import Handovers
from mic_mail.services.mail_store import open_held, open_quarantine
from mic_mail.services.mailboxes.clock_trust import RENEWED_SECONDS
from mic_mail.services.mailboxes.due_changes import carry_out_due
from mic_mail.services.mailboxes.reclamation_job import ReclaimRounds
from mic_mail.services.notifications.lifecycle_notices import LifeNotices
from mic_mail.services.operations.certificates import RENEWED_SECONDS as RENEWED_SECONDS_OF_TLS
from mic_mail.services.operations.certificates import CertificateWatch
from mic_mail.services.operations.dkim import SWITCH_SECONDS, DkimKeys
from mic_mail.services.operations.downtimes import DowntimeNotices
from mic_mail.services.operations.false_instants import FalseInstants
from mic_mail.services.operations.indexing import ROUND_SECONDS, Indexing
from mic_mail.services.operations.jobs import Job, JobRunner, LogRetention, Visits, WhenChanged, rest_job
from mic_mail.services.operations.log_maintenance import LogKeeping
from mic_mail.services.operations.syslog import Syslog
from mic_mail.services.operations.working_calendar import prefill
from mic_mail.services.requests.intake import Intake
from mic_mail.services.requests.outcome_notices import Outcomes
from mic_mail.services.requests.overdue import remind
from mic_mail.services.transport.delivery import settle_journal
from mic_mail.services.transport.inbound.quarantine_jobs import QuarantineJob
from mic_mail.services.transport.inbound.spam_training import SpamTrainer
from mic_mail.services.transport.secrecy_release import HeldMailServices, SecrecyReleases
from mic_mail.services.unit_mail.document_handoff import DUTY as PASSED_ON
from mic_mail.services.unit_mail.document_handoff import passed_on_reminders
from mic_mail.services.unit_mail.openings import DUTY as OPENINGS
from mic_mail.services.unit_mail.openings import opening_reminders
from mic_mail.services.unit_mail.unanswered import DUTY as REPLIES
from mic_mail.services.unit_mail.unanswered import reply_reminders
from mic_mail.services.unit_mail.weekly_reminders import Prepare, WeeklyReminders
from mic_mail.smtpclient.dkim_keys import KeyFolder
from mic_mail.storage.journal.journal import SETTLE_SECONDS

IDLE_SECONDS = 10.0
"""An account that was not used for so long releases its handles: about 0.4 MB in each process."""
NOTICES_SECONDS = 10.0
INTAKE_SECONDS = 5.0
IDLE_LOOK_SECONDS = 60.0
"""The time between two looks of a process that runs on demand for work."""


def jobs_of(
    context: ServerContext,
    servers: ProtocolServers | None,
    *,
    housekeeper: bool,
    indexer: bool,
    sender: bool,
    first: bool,
    idleness: Idleness | None = None,
) -> JobRunner:
    """Return the jobs of one process, not started yet.

    `first` is set in the first of the processes that serve; `idleness` is that of a sender that runs on demand.
    """
    jobs = [*for_itself(context), *(for_the_server(context) if housekeeper else ())]
    if servers is not None:
        renew_tickets = partial(context.executors.io, servers.renew_tls, silent=True)
        jobs.append(Job("tickets", RENEWED_SECONDS_OF_TLS, renew_tickets))
        if first:
            jobs += [_certificate_watch(context, servers), _unread_documents(context)]
    if sender:
        jobs.append(_dkim(context))
    if idleness is not None:
        jobs.append(_idle_end(context, idleness))
    if indexer:  # in a server of one process; others have a process for it (`app.indexer`)
        indexing = Indexing(context.store, context.runtime.snapshot, context.executors.io, context.log, context.clock)
        index = WhenChanged(indexing.run_once, context.store.change_marks, context.clock)
        jobs.append(index.job("index", ROUND_SECONDS))

    async def is_on_duty() -> bool:
        return context.duty.is_alone or await context.executors.io(context.duty.take)

    return JobRunner(jobs, context.log, context.clock, is_on_duty=is_on_duty)


def for_itself(context: ServerContext) -> list[Job]:
    """Return the jobs that follow from this process's own changes."""
    often, io, store = context.config.storage.names_after, context.executors.io, context.store
    journal = store.journal
    jobs = [
        Job("names", often, lambda: io(store.flush_names, gives_way=True), is_idle=lambda: not store.has_names_due),
        Job("journal", SETTLE_SECONDS / 2, lambda: settle_journal(context.runtime, store), is_idle=lambda: journal.is_settled),
        Job("usage", often, context.usage.run_once, is_idle=context.usage.is_empty),
        rest_job(context.runtime, store, 2.0, IDLE_SECONDS),
    ]
    if context.spool.hold_seconds is not None:
        jobs.append(Job("spool_holds", context.spool.hold_seconds / 4, lambda: io(context.spool.extend_holds)))
    counts = context.counts
    if isinstance(counts, SharedCounters):
        exchange = partial(io, lambda: counts.exchange_all(context.clock.steady_us() / 1e6))
        jobs.append(Job("sent_amounts", EXCHANGE_SECONDS, exchange, is_idle=lambda: not counts.has_counted()))
    return jobs


def _certificate_watch(context: ServerContext, servers: ProtocolServers) -> Job:
    """Return the certificate job; for a process that has the certificates and their keys."""
    watch = CertificateWatch(context.runtime, servers.tls, _life_notices(context))
    return Job("certificate", DAY, watch.run_once, by_clock=True)


def _unread_documents(context: ServerContext) -> Job:
    """Return the job that reads what a killed process has left unread.

    Only a process that may start document readers can do it.
    """
    folder = context.config.unread_dir
    return WhenChanged(context.mailflow.checkers.secrecy.unread.resume, lambda: trace_of(folder), context.clock).job(
        "unread", 20.0
    )


def _dkim(context: ServerContext) -> Job:
    """Return the DKIM job; for the sender, which alone signs and has the keys."""

    async def dkim() -> None:
        names = context.config.dns
        keys = DkimKeys(KeyFolder(context.config.server.data_dir), context.clock)
        await keys.switch(lambda: Resolver(names.nameservers, seconds=names.seconds), context.executors, context.log)

    return Job("dkim", SWITCH_SECONDS, dkim, by_clock=True)


def _idle_end(context: ServerContext, idleness: Idleness) -> Job:
    """Return the job that ends a sender which has had nothing to do for long enough."""

    folders = folders_of(context.config.queue_dir)

    async def look() -> None:
        is_busy, seen = await context.executors.io(
            lambda: (sender_has_work(context.config), [trace_of(folder) for folder in folders])
        )
        if idleness.has_lasted(SENDER_IDLE_SECONDS, is_busy=is_busy, seen=seen):
            idleness.over.set()

    return Job("idle_end", IDLE_LOOK_SECONDS, look)


def for_the_server(context: ServerContext) -> list[Job]:
    """Return the jobs that one process does for the whole server."""
    notices = _life_notices(context)
    return [
        *_about_requests(context),
        *_about_mail(context),
        *_about_the_log(context),
        *_weekly_reminders(context),
        *_about_mailboxes(context, notices),
        *_about_sign_ins(context, notices),
    ]


def _about_requests(context: ServerContext) -> list[Job]:
    io = context.executors.io

    async def working_calendar() -> None:
        if put := await io(prefill, context.directory, local_day(context.clock.now())):
            context.log.event("calendar_prefilled", years=put)
            await context.access.refresh()

    intake = Intake(context.runtime, context.directory, context.store)

    async def requests() -> bool:
        read, has_deferred = await io(lambda: (intake.run_once(context.access.snapshot), intake.has_deferred()))
        if read:
            await context.access.refresh()  # so that the answer follows immediately
        return has_deferred

    def trace() -> object:
        snapshot = context.access.snapshot
        support = snapshot.resolve(context.config.support)
        mark = 0 if support is None else context.store.change_mark(support.mailbox_id) or object()
        return snapshot.version, context.config.support, mark

    async def overdue_requests() -> None:
        await io(remind, context.directory, context.store, context.config, context.clock, context.access.snapshot)

    return [
        Job("working_calendar", DAY, working_calendar, by_clock=True, for_all_nodes=True),
        # The change counter of the mailbox tells all that matters, and a look opens its index.
        WhenChanged(requests, trace, context.clock, longest_seconds=10 * MINUTE).job(
            "requests", INTAKE_SECONDS, by_clock=True, for_all_nodes=True
        ),
        Job("overdue_requests", 10 * MINUTE, overdue_requests, by_clock=True, for_all_nodes=True),
    ]


def _about_mail(context: ServerContext) -> list[Job]:
    visits = Visits(context.runtime, context.store)
    services = HeldMailServices(
        spool=context.spool,
        notices=lambda: context.usage.notices,
        takes_mail=context.access.decisions.takes_mail,
        trusts_clock=context.trusts_clock,
        recover=context.mailflow.recover,
    )
    training = TrainingQueue(context.config.training_dir)
    held, quarantined = open_held(context.config, context.store), open_quarantine(context.config, context.store)
    secrecy = SecrecyReleases(context.runtime, held, services)
    quarantine = QuarantineJob(context.runtime, quarantined, training, services)

    async def sweep() -> None:
        await visits.sweep(trusted=await context.is_clock_trusted())
        await visits.forget_readers(context.access.sharing.readers)
        homes = {entry.home for entry in context.access.snapshot}
        await context.executors.io(context.store.drop_unfinished_restores, homes)

    exports = ContentExport(context.directory, context.clock)
    reserve, trainer = context.disk_reserve, SpamTrainer(context.runtime, training)

    def when_changed(run: Callable[[], Awaitable[object]], folder: Path) -> WhenChanged:
        return WhenChanged(run, lambda: (context.config, trace_of(folder)), context.clock)

    def held_job(name: str, run: Callable[[], Awaitable[object]], folder: Path) -> Job:
        """Return a job that carries decisions out soon; those in a database any node may make."""
        in_files = context.config.storage.database is None
        return when_changed(run, folder).job(name, 5.0) if in_files else Job(name, 5.0, run)

    return [
        # New mail waits up to that long once there is space again.
        WhenChanged(reserve.run_once, reserve.trace, context.clock).job("reserve", 5.0),
        Job("spool", context.spool.poll_seconds, context.mailflow.recover),
        # A released message leaves this soon.
        held_job("secrecy", secrecy.run_once, context.config.held_dir),
        held_job("quarantine", quarantine.run_once, context.config.quarantine_dir),
        when_changed(trainer.run_once, context.config.training_dir).job("teaching", 5.0, by_clock=True),
        Job("sweep", HOUR, sweep, for_all_nodes=True),
        Job("exports", HOUR, lambda: context.executors.io(exports.settle), by_clock=True),
        Job("rescan", context.config.storage.rescan, visits.rescan),
    ]


def _about_the_log(context: ServerContext) -> list[Job]:
    retention = LogRetention(context.runtime)
    keeping = LogKeeping(context.runtime)
    syslog = Syslog(context.runtime)

    async def retain() -> None:
        if await context.is_clock_trusted():
            await retention.remove()

    return [
        # A segment whose end is cut off within this time is detected only by the index.
        Job("log_anchor", HOUR, keeping.anchor, by_clock=True),
        # Entries not loaded yet are searched in the segments: 1 GB/s.
        Job("log_index", 5 * MINUTE, keeping.load),
        Job("syslog", 1.0, syslog.run_once, is_idle=syslog.is_idle),
        Job("retention", DAY, retain),
    ]


def _weekly_reminders(context: ServerContext) -> list[Job]:
    """Return the reminders of Article 12, each on the first working day of a week."""
    weekly = (
        ("replies", REPLIES, reply_reminders(context.store, context.directory)),
        ("openings", OPENINGS, opening_reminders(context.directory.downtimes.all, context.clock)),
        ("passed_on", PASSED_ON, passed_on_reminders(context.store)),
    )
    return [
        Job(name, 10 * MINUTE, _weekly(context, duty, prepare).run_once, by_clock=True, for_all_nodes=True)
        for name, duty, prepare in weekly
    ]


def _weekly(context: ServerContext, duty: str, prepare: Prepare) -> WeeklyReminders:
    return WeeklyReminders(
        context.runtime,
        duty,
        prepare,
        notices=lambda: context.usage.notices,
        directory=context.directory,
        access=context.access,
    )


def _about_mailboxes(context: ServerContext, notices: LifeNotices) -> list[Job]:
    runtime, directory, store, refresh = context.runtime, context.directory, context.store, context.access.refresh
    downtimes = DowntimeNotices(runtime, lambda: context.usage.notices, directory=directory, access=context.access)
    marks = HandoverMarks(runtime, lambda: Handovers(directory, store, context.config, context.clock), store)

    async def directory_changes() -> None:
        def carry_out() -> bool:
            return context.trusts_clock() and carry_out_due(directory, context.clock, context.log)

        if await context.executors.io(carry_out):
            await refresh()

    false_instants = FalseInstants(runtime, directory, context.is_clock_trusted, refresh, notices.correct)
    reclaim = ReclaimRounds(runtime, directory, store, notices, refresh=refresh)
    return [
        Job("downtimes", 30.0, downtimes.run_once, by_clock=True, for_all_nodes=True),
        Job("notices", NOTICES_SECONDS, notices.run_once, by_clock=True, is_idle=notices.is_idle, for_all_nodes=True),
        Job("outcomes", NOTICES_SECONDS, Outcomes(runtime, directory, notices).run_once, by_clock=True, for_all_nodes=True),
        Job("handovers", MINUTE, marks.run_once, for_all_nodes=True),
        Job("directory_changes", 30.0, directory_changes, for_all_nodes=True),
        Job("false_instants", 1.0, false_instants.run_once, is_idle=false_instants.is_idle, for_all_nodes=True),
        Job("reclaim", RENEWED_SECONDS, reclaim.run_once, for_all_nodes=True),
    ]


def _about_sign_ins(context: ServerContext, notices: LifeNotices) -> list[Job]:
    saved: list[tuple[str, str]] = []

    async def save_known_networks() -> None:
        known = context.access.known_networks()
        names = [(mailbox, network) for mailbox, network, _ in known]
        if names != saved:  # their order counts, too: it changes with each sign-in
            now = context.clock.steady_now().timestamp()
            await context.executors.io(known_networks.save, context.config.state_dir, known, now)
            saved[:] = names

    watch = SignInWatch(context.runtime, context.directory, notices, context.auto_suspend)
    return [
        WhenChanged(watch.run_once, watch.trace, context.clock).job("sign_ins", 5.0, by_clock=True),
        Job("known_networks", known_networks.SAVED_SECONDS, save_known_networks),
    ]


def _life_notices(context: ServerContext) -> LifeNotices:
    return LifeNotices(context.runtime, context.directory, lambda: context.usage.notices)
