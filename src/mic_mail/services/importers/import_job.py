"""One import run by the Centre: check the mailbox, open the ledger, record the run. Blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError, Refused, Text
from mic_mail.policy.labels import state_names
from mic_mail.policy.unit_mail.handover import running
from mic_mail.services.importers.dry_run import dry_run
from mic_mail.services.importers.importer import FolderChoice, Import, Into, Progress
from mic_mail.services.importers.ledger import Ledger, Run, folder_of, path_of
from mic_mail.services.importers.source import FolderCounts, Source
from mic_mail.services.importers.verify import Compared, compare
from mic_mail.services.settings import lifecycle_settings
from mic_mail.services.use_cases import MailUseCases
from mic_mail.storage.mailstore import MailStore

CLAUSE = "10.4"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import."""

    tallies: Sequence[FolderCounts] = field(default=())
    error: MicMailError | None = None
    """The error that ended it early; messages imported until then stay."""

    @property
    def imported(self) -> int:
        return sum(tally.imported for tally in self.tallies)


class ImportJobs(MailUseCases):
    """Imports into the mailboxes of one server; safe from several threads."""

    def __init__(self, directory: Directory, store: MailStore, config: Config, clock: Clock) -> None:
        super().__init__(directory, store, config, clock)
        self._working_days = directory.years.working_days()

    @property
    def work(self) -> Path:
        """The folder in which sources unpack, and hold what is too large for memory."""
        return folder_of(self._config.server.data_dir) / "work"

    def check(self, entry: Entry) -> None:
        """Refuse a mailbox that takes no mail (reclaimed, Reg. 6.4.c), or is being handed over (Reg. 12.3.d)."""
        if running(entry.facts) is not None:
            raise Refused(
                Text(f"Hộp thư {entry.address} đang được bàn giao.", f"{entry.address} is being handed over."),
                clause="12.3.d",
                remedy=Text("Nhập sau khi bàn giao xong.", "Import after the handover."),
            )
        settings = lifecycle_settings(self._config, self._working_days)
        now = self._clock.now()
        decision = entry.decide(now, settings)
        if not decision.receives:
            shown = state_names(decision.states)
            raise Refused(
                Text(f"Hộp thư {entry.address} không nhận thư: {shown.vi}.", f"{entry.address} accepts no mail: {shown.en}."),
                clause=decision.reasons[0].clause if decision.reasons else CLAUSE,
            )

    def run(self, entry: Entry, source: Source, choice: FolderChoice, progress: Progress) -> ImportResult:
        """Import what is not yet imported; end where the mailbox may take no more, as at a full quota."""
        self.check(entry)
        with self._ledger(entry, source) as ledger:
            into = Into(
                self._store, self._store.account_of(entry), ledger, entry.quota_octets, self._clock.now_us(),
                may_go_on=lambda: self.check(self._directory.entry(entry.mailbox_id)),
            )  # fmt: skip
            run, error, complete = Import(into, source, choice, progress), None, False
            try:
                run.run()
                complete = True
            except MicMailError as trouble:
                error = trouble
            finally:  # also of a run that is interrupted
                ledger.ended(_job_fields(run.tallies, self._clock, complete=complete))
            return ImportResult(run.tallies, error)

    def rehearse(self, entry: Entry, source: Source, choice: FolderChoice, progress: Progress) -> ImportResult:
        self.check(entry)
        with self._ledger(entry, source, read_only=True) as ledger:
            return ImportResult(dry_run(self._store.account_of(entry), source, ledger, choice, progress))

    def verify(self, entry: Entry, source: Source, choice: FolderChoice, progress: Progress) -> Sequence[Compared]:
        with self._ledger(entry, source, read_only=True) as ledger:
            return compare(self._store.account_of(entry), source, ledger, choice, progress)

    def _ledger(self, entry: Entry, source: Source, *, read_only: bool = False) -> Ledger:
        path = path_of(self._config.server.data_dir, entry.mailbox_id, source.identity)
        return Ledger(path, entry.mailbox_id, source.identity, read_only=read_only)


def _job_fields(tallies: Sequence[FolderCounts], clock: Clock, *, complete: bool) -> Run:
    return Run(
        at=clock.now().isoformat(),
        found=sum(tally.found for tally in tallies),
        imported=sum(tally.imported for tally in tallies),
        already=sum(tally.already for tally in tallies),
        skipped=sum(sum(tally.skipped.values()) for tally in tallies),
        complete=complete,
    )
