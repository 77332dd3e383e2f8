"""What is done again and again: by each process for what it changed, and by one housekeeper for the whole server."""

from functools import partial

from mic_mail.app.context import ServerContext
from mic_mail.app.protocol_servers import ProtocolServers
from mic_mail.filters.training_queue import Lessons
from mic_mail.net.dns import Resolver
from mic_mail.policy.calendar import local_day
from mic_mail.quarantine.held_messages import Held
from mic_mail.quarantine.quarantine import Quarantine
from mic_mail.services.abuse.sign_in_anomalies import SignInWatch
from mic_mail.services.authentication import known_networks
from mic_mail.services.exports.content_export import ContentExport
from mic_mail.services.handover.marks_job import HandoverMarks
from mic_mail.services.handover.transfer import Handovers
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
from mic_mail.services.operations.jobs import Job, JobRunner, LogRetention, Visits
from mic_mail.services.operations.log_maintenance import LogKeeping
from mic_mail.services.operations.syslog import Syslog
from mic_mail.services.operations.working_calendar import prefill
from mic_mail.services.requests.intake import Intake
from mic_mail.services.requests.outcome_notices import Outcomes
from mic_mail.services.requests.overdue import remind
from mic_mail.services.transport.delivery import settle_journal
from mic_mail.services.transport.inbound.quarantine_jobs import QuarantineCases
from mic_mail.services.transport.inbound.spam_training import Teaching
from mic_mail.services.transport.secrecy_release import SecrecyCases
from mic_mail.services.unit_mail.document_handoff import DUTY as PASSED_ON
from mic_mail.services.unit_mail.document_handoff import passed_on_reminders
from mic_mail.services.unit_mail.openings import DUTY as OPENINGS
from mic_mail.services.unit_mail.openings import opening_reminders
from mic_mail.services.unit_mail.unanswered import DUTY as REPLIES
from mic_mail.services.unit_mail.unanswered import reply_reminders
from mic_mail.services.unit_mail.weekly_reminders import Prepare, WeeklyReminders
from mic_mail.smtpclient.dkim_keys import KeyFolder
from mic_mail.storage.journal.journal import SETTLE_SECONDS

REST_SECONDS = 2.0
IDLE_SECONDS = 10.0
"""An account that nobody has used for so long gives back its handles: about 0.4 MB in each process."""
SPOOL_SECONDS = 20.0
SECRECY_SECONDS = 5.0
"""A listing of a folder that is empty on most days; whoever releases a message sees it go."""
TEACHING_SECONDS = 5.0
SWEEP_SECONDS = 3600.0
CERTIFICATE_SECONDS = 86_400.0
RETENTION_SECONDS = 86_400.0
DOWNTIME_SECONDS = 30.0
WEEKLY_SECONDS = 600.0
LOG_INDEX_SECONDS = 300.0
"""What has not been loaded yet a search reads in the segments: 1 GB/s."""
LOG_ANCHOR_SECONDS = 3600.0
"""Who cuts off the end of a segment within this time is found out by the index alone."""
SYSLOG_SECONDS = 1.0
SIGN_INS_SECONDS = 5.0
NOTICES_SECONDS = 10.0
INTAKE_SECONDS = 5.0
REMINDER_SECONDS = 600.0
HANDOVER_SECONDS = 60.0
CALENDAR_SECONDS = 86_400.0
CHANGES_SECONDS = 30.0
RESERVE_SECONDS = 5.0
"""A stat of each domain's folder; so long new mail waits once there is room again."""
FALSE_INSTANTS_SECONDS = 1.0
"""Nothing is read unless the clock was set."""


def duties_of(
    rooms: ServerContext, doors: ProtocolServers | None, *, housekeeper: bool, indexer: bool, sender: bool, first: bool
) -> JobRunner:
    """The duties of one process, not begun yet; `first`: of those that serve."""
    duties = [*for_itself(rooms), *(for_the_server(rooms) if housekeeper else ())]
    if doors is not None:
        duties.append(_tickets(rooms, doors))
        if first:
            duties.append(_certificate_watch(rooms, doors))
    if sender:
        duties.append(_dkim(rooms))
    if indexer:
        duties.append(Job("index", ROUND_SECONDS, _indexing(rooms).round))
    return JobRunner(duties, rooms.log, rooms.clock)


def _indexing(rooms: ServerContext) -> Indexing:
    """For a server of one process; others have a process for it (app.indexer)."""
    return Indexing(rooms.store, lambda: rooms.access.snapshot, rooms.lanes.io, rooms.log, rooms.clock)


def for_itself(rooms: ServerContext) -> list[Job]:
    """What follows from what this process changed."""
    often = rooms.config.storage.names_after

    async def rest() -> None:
        await rooms.lanes.io(rooms.store.rest, IDLE_SECONDS)

    return [
        Job("names", often, lambda: rooms.lanes.io(rooms.store.flush_names)),
        Job("journal", SETTLE_SECONDS / 2, lambda: settle_journal(rooms.store, rooms.lanes, rooms.log)),
        Job("usage", often, rooms.usage.look),
        Job("rest", REST_SECONDS, rest),
    ]


def _tickets(rooms: ServerContext, doors: ProtocolServers) -> Job:
    async def tickets() -> None:
        await rooms.lanes.io(partial(doors.renew_tls, silent=True))

    return Job("tickets", RENEWED_SECONDS_OF_TLS, tickets)


def _certificate_watch(rooms: ServerContext, doors: ProtocolServers) -> Job:
    """Of a process that has the certificates and their keys."""
    watch = CertificateWatch(
        doors.tls, lambda: rooms.config, _life_notices(rooms), lanes=rooms.lanes, clock=rooms.clock, log=rooms.log
    )
    return Job("certificate", CERTIFICATE_SECONDS, watch.round, by_clock=True)


def _dkim(rooms: ServerContext) -> Job:
    """Of the sender, which alone signs and has the keys."""

    async def dkim() -> None:
        names = rooms.config.dns
        keys = DkimKeys(KeyFolder(rooms.config.server.data_dir), rooms.clock)
        await keys.switch(lambda: Resolver(names.nameservers, seconds=names.seconds), rooms.lanes, rooms.log)

    return Job("dkim", SWITCH_SECONDS, dkim, by_clock=True)


def for_the_server(rooms: ServerContext) -> list[Job]:
    """What one process does for the whole server."""
    visits = Visits(rooms.store, rooms.accounts, lambda: rooms.access.snapshot, rooms.log)
    life = _life_notices(rooms)

    async def sweep() -> None:
        await visits.sweep(trusted=await rooms.is_clock_trusted())
        await visits.forget_readers(rooms.access.sharing.readers)
        homes = {entry.home for entry in rooms.access.snapshot}
        await rooms.lanes.io(rooms.store.drop_unfinished_restores, homes)

    async def exports() -> None:
        await rooms.lanes.io(ContentExport(rooms.directory, rooms.clock).settle)

    saved: list[tuple[str, str]] = []

    async def save_known_networks() -> None:
        known = rooms.access.known_networks()
        names = [(mailbox, network) for mailbox, network, _ in known]
        if names != saved:  # also their order, which moves with each that is heard of
            now = rooms.clock.steady_now().timestamp()
            await rooms.lanes.io(known_networks.save, rooms.config.state_dir, known, now)
            saved[:] = names

    async def working_calendar() -> None:
        if put := await rooms.lanes.io(prefill, rooms.directory, local_day(rooms.clock.now())):
            rooms.log.event("calendar_prefilled", years=put)
            await rooms.access.refresh()

    async def spool() -> None:
        await rooms.mailflow.recover()

    async def directory_changes() -> None:
        if not await rooms.is_clock_trusted():
            return
        if await rooms.lanes.io(carry_out_due, rooms.directory, rooms.clock, rooms.log):
            await rooms.access.refresh()

    return [
        Job("reserve", RESERVE_SECONDS, rooms.disk_reserve.round),
        Job("working_calendar", CALENDAR_SECONDS, working_calendar, by_clock=True),
        *_about_requests(rooms),
        Job("spool", SPOOL_SECONDS, spool),
        Job("secrecy", SECRECY_SECONDS, _secrecy_cases(rooms).look),
        Job("quarantine", SECRECY_SECONDS, _quarantine_cases(rooms).look),
        Job("teaching", TEACHING_SECONDS, _teaching(rooms).round, by_clock=True),
        Job("sweep", SWEEP_SECONDS, sweep),
        Job("exports", SWEEP_SECONDS, exports, by_clock=True),
        Job("rescan", rooms.config.storage.rescan, visits.rescan),
        *_about_the_log(rooms),
        Job("downtimes", DOWNTIME_SECONDS, _downtime_notices(rooms).round, by_clock=True),
        *_weekly_duties(rooms),
        Job("notices", NOTICES_SECONDS, life.look, by_clock=True),
        Job("sign_ins", SIGN_INS_SECONDS, _sign_in_watch(rooms, life).round, by_clock=True),
        Job("known_networks", known_networks.SAVED_SECONDS, save_known_networks),
        Job("outcomes", NOTICES_SECONDS, _outcomes(rooms, life).round, by_clock=True),
        Job("handovers", HANDOVER_SECONDS, _handover_marks(rooms).round),
        Job("directory_changes", CHANGES_SECONDS, directory_changes),
        Job("false_instants", FALSE_INSTANTS_SECONDS, _false_instants(rooms, life).round),
        Job("reclaim", RENEWED_SECONDS, _reclaim_rounds(rooms, life).round),
    ]


def _false_instants(rooms: ServerContext, life: LifeNotices) -> FalseInstants:
    return FalseInstants(
        rooms.directory,
        rooms.is_clock_trusted,
        rooms.access.refresh,
        life.correct,
        lanes=rooms.lanes,
        clock=rooms.clock,
        log=rooms.log,
    )


def _about_requests(rooms: ServerContext) -> list[Job]:
    async def requests() -> None:
        intake = Intake(rooms.directory, rooms.store, rooms.config, rooms.clock, rooms.log)
        if await rooms.lanes.io(intake.look, rooms.access.snapshot):
            await rooms.access.refresh()  # so that the answer follows at once

    async def overdue_requests() -> None:
        await rooms.lanes.io(remind, rooms.directory, rooms.store, rooms.config, rooms.clock, rooms.access.snapshot)

    return [
        Job("requests", INTAKE_SECONDS, requests, by_clock=True),
        Job("overdue_requests", REMINDER_SECONDS, overdue_requests, by_clock=True),
    ]


def _about_the_log(rooms: ServerContext) -> list[Job]:
    retention = LogRetention(
        rooms.config.log_dir,
        lambda: rooms.config.log.retain_months,  # a reload may change it
        clock=rooms.clock,
        lanes=rooms.lanes,
        log=rooms.log,
    )
    keeping = LogKeeping(
        rooms.config.log_dir, lambda: rooms.access.snapshot, clock=rooms.clock, lanes=rooms.lanes, log=rooms.log
    )

    async def retain() -> None:
        if await rooms.is_clock_trusted():
            await retention.remove()

    return [
        Job("log_anchor", LOG_ANCHOR_SECONDS, keeping.anchor, by_clock=True),
        Job("log_index", LOG_INDEX_SECONDS, keeping.load),
        Job("syslog", SYSLOG_SECONDS, Syslog(lambda: rooms.config, rooms.clock, rooms.log).round),
        Job("retention", RETENTION_SECONDS, retain),
    ]


def _secrecy_cases(rooms: ServerContext) -> SecrecyCases:
    return SecrecyCases(
        Held(rooms.config.held_dir),
        rooms.spool,
        rooms.lanes,
        rooms.log,
        rooms.clock,
        notices=lambda: rooms.usage.notices,
        snapshot=lambda: rooms.access.snapshot,
        support=lambda: rooms.config.support,
        takes_mail=rooms.access.decisions.takes_mail,
        trusts_clock=rooms.trusts_clock,
        recover=rooms.mailflow.recover,
    )


def _quarantine_cases(rooms: ServerContext) -> QuarantineCases:
    return QuarantineCases(
        Quarantine(rooms.config.quarantine_dir),
        Lessons(rooms.config.lessons_dir),
        rooms.spool,
        lanes=rooms.lanes,
        log=rooms.log,
        clock=rooms.clock,
        config=lambda: rooms.config,
        notices=lambda: rooms.usage.notices,
        snapshot=lambda: rooms.access.snapshot,
        takes_mail=rooms.access.decisions.takes_mail,
        trusts_clock=rooms.trusts_clock,
        recover=rooms.mailflow.recover,
    )


def _teaching(rooms: ServerContext) -> Teaching:
    return Teaching(
        Lessons(rooms.config.lessons_dir),
        lambda: rooms.config,
        lambda: rooms.access.snapshot,
        lanes=rooms.lanes,
        log=rooms.log,
        clock=rooms.clock,
    )


def _life_notices(rooms: ServerContext) -> LifeNotices:
    return LifeNotices(
        rooms.directory,
        lambda: rooms.usage.notices,
        lambda: rooms.config,
        lambda: rooms.access.snapshot,
        lanes=rooms.lanes,
        accounts=rooms.accounts,
        clock=rooms.clock,
        log=rooms.log,
    )


def _reclaim_rounds(rooms: ServerContext, notices: LifeNotices) -> ReclaimRounds:
    return ReclaimRounds(
        rooms.directory,
        rooms.store,
        lambda: rooms.config,
        lambda: rooms.access.snapshot,
        notices,
        refresh=rooms.access.refresh,
        lanes=rooms.lanes,
        accounts=rooms.accounts,
        clock=rooms.clock,
        log=rooms.log,
    )


def _sign_in_watch(rooms: ServerContext, notices: LifeNotices) -> SignInWatch:
    return SignInWatch(
        lambda: rooms.config,
        lambda: rooms.access.snapshot,
        rooms.directory,
        notices,
        rooms.runaways,
        lanes=rooms.lanes,
        clock=rooms.clock,
        log=rooms.log,
    )


def _handover_marks(rooms: ServerContext) -> HandoverMarks:
    return HandoverMarks(
        lambda: Handovers(rooms.directory, rooms.store, rooms.config, rooms.clock),
        rooms.store,
        lambda: rooms.access.snapshot,
        lanes=rooms.lanes,
        accounts=rooms.accounts,
        log=rooms.log,
    )


def _outcomes(rooms: ServerContext, notices: LifeNotices) -> Outcomes:
    return Outcomes(
        rooms.directory,
        notices,
        lambda: rooms.config,
        lambda: rooms.access.snapshot,
        lanes=rooms.lanes,
        clock=rooms.clock,
        log=rooms.log,
    )


def _downtime_notices(rooms: ServerContext) -> DowntimeNotices:
    return DowntimeNotices(
        lambda: rooms.usage.notices,
        directory=rooms.directory,
        access=rooms.access,
        accounts=rooms.accounts,
        lanes=rooms.lanes,
        log=rooms.log,
        clock=rooms.clock,
    )


def _weekly_duties(rooms: ServerContext) -> list[Job]:
    """Reminders of Article 12, each on the first working day of a week."""
    weekly = (
        ("replies", REPLIES, reply_reminders(rooms.store, rooms.directory)),
        ("openings", OPENINGS, opening_reminders(rooms.directory.downtimes.all, rooms.clock)),
        ("passed_on", PASSED_ON, passed_on_reminders(rooms.store)),
    )
    return [Job(name, WEEKLY_SECONDS, _weekly(rooms, duty, prepare).round, by_clock=True) for name, duty, prepare in weekly]


def _weekly(rooms: ServerContext, duty: str, prepare: Prepare) -> WeeklyReminders:
    return WeeklyReminders(
        duty,
        prepare,
        notices=lambda: rooms.usage.notices,
        config=lambda: rooms.config,
        directory=rooms.directory,
        access=rooms.access,
        accounts=rooms.accounts,
        lanes=rooms.lanes,
        log=rooms.log,
        clock=rooms.clock,
    )
