"""`mic-mail import maildir|mbox|eml|pst|list|address`: import from files of other systems (Reg. 10.4).

An interrupted import is run again: it continues, and no message is imported twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_change import octets_of
from mic_mail.cli.commands.mailbox_issue import show_issued, welcome
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import optional_day
from mic_mail.cli.import_report import SOURCES, ImportProgress, record_end, report_of, report_of_comparison, source_row
from mic_mail.cli.options import Address, Commands, JsonOption, argument, option
from mic_mail.cli.output import ResultTable
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.importers.addresses import Old, OldAddresses
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.import_job import CLAUSE, ImportJobs
from mic_mail.services.importers.importer import FolderChoice
from mic_mail.services.importers.ledger import taken
from mic_mail.services.importers.maildir import MaildirSource
from mic_mail.services.importers.mbox import MboxSource
from mic_mail.services.importers.pst import PstSource
from mic_mail.services.importers.source import Source
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle

app = Commands()

PathArgument = Annotated[str, argument("PATH", "Tệp hoặc thư mục nguồn.", "The source's file or folder.")]
WithoutOption = Annotated[
    list[str] | None, option("--without", "Bỏ thư mục này của nguồn; có thể lặp lại.", "Leave out this folder; repeatable.")
]
DryOption = Annotated[bool, option("--dry-run", "Chỉ đếm, không nhập.", "Count only, import nothing.")]
SeenOption = Annotated[
    bool, option("--seen/--unseen", "Thư không ghi đã đọc hay chưa.", "Messages that do not say whether they are read.")
]


@dataclass(kw_only=True)
class ImportAct(GroundedAct):
    """The act of an import into one mailbox, with the options that all sources share."""

    folder: Annotated[
        list[str] | None, option("--folder", "Chỉ thư mục này của nguồn; có thể lặp lại.", "Only this folder; repeatable.")
    ] = None
    without: WithoutOption = None
    mapped: Annotated[
        list[str] | None,
        option("--map", "“thư mục nguồn=thư mục đích”; có thể lặp lại.", "'source folder=folder here'; repeatable."),
    ] = None
    below: Annotated[str | None, option("--below", "Đặt tất cả dưới thư mục này.", "Put everything below this folder.")] = None
    dry_run: DryOption = False
    verify: Annotated[
        bool, option("--verify", "So từng thư của nguồn với hộp thư, không nhập.", "Compare each message, import nothing.")
    ] = False
    quota: Annotated[
        str | None, option("--quota", "Nâng dung lượng trước, cần --reason.", "Raise the quota first; needs --reason.")
    ] = None
    as_json: JsonOption = False

    def carry_out(self, address: str, make: Callable[[Path], Source], *, virtual: bool = False) -> None:
        """Import, count or compare, and print the result; `make` opens the source, with a scratch folder."""
        if self.dry_run and self.verify:
            raise BadInput(Text("Chọn --dry-run hoặc --verify.", "Choose --dry-run or --verify."))
        entry, choice = self.here.entry(address), choice_of(self.folder, self.without, self.mapped, self.below, virtual=virtual)
        if not (self.dry_run or self.verify):
            must_have_document(self.origin)
        name = "mailbox_import_verify" if self.verify else "mailbox_import_rehearse" if self.dry_run else "mailbox_import"
        moving = self.here.use_cases(ImportJobs)
        moving.check(entry)
        source = make(moving.work)
        try:
            _must_know(source, choice)
            with self.recorded(entry.address, act=name, source=source.identity):
                if self.quota is not None and not (self.dry_run or self.verify):
                    entry = self._raise_quota(entry, self.quota)
                self._import(moving, entry, source, choice)
        finally:
            source.close()
            self.here.store.close()

    def _import(self, moving: ImportJobs, entry: Entry, source: Source, choice: FolderChoice) -> None:
        with ImportProgress(source.folders()) as watch:
            if self.verify:
                found = moving.verify(entry, source, choice, watch.folder_progress)
            elif self.dry_run:
                outcome = moving.rehearse(entry, source, choice, watch.folder_progress)
            else:
                outcome = moving.run(entry, source, choice, watch.folder_progress)
        if self.verify:
            if report_of_comparison(found, as_json=self.as_json):
                raise typer.Exit(1)
            return
        if not self.dry_run:
            record_end(self.here, entry.address, self.origin, outcome)
        report_of(outcome, rehearsed=self.dry_run, as_json=self.as_json)
        if outcome.error is not None:
            raise outcome.error

    def _raise_quota(self, entry: Entry, size: str) -> Entry:
        """Raise the quota; return the mailbox as it is then."""
        mailbox, octets = self.here.directory.mailbox(entry.address), octets_of(size)
        if not self.origin.reason:
            raise BadInput(Text("Nâng dung lượng phải nêu --reason.", "Changing the quota needs --reason."), clause="8.3.a")
        self.here.use_cases(MailboxLifecycle).set_quota(mailbox, octets, self.origin)
        return self.here.entry(entry.address)


@app.command("Nhập một Maildir (Dovecot, Courier, Postfix).", "Import a Maildir (Dovecot, Courier, Postfix).")
@requires(Right.ACT, act="mailbox_import", clauses="10.4")
def maildir(address: Address, path: PathArgument, *, act: ImportAct) -> None:
    act.carry_out(address, lambda _: MaildirSource(path))


@app.command("Nhập tệp mbox, thư mục mbox hoặc hồ sơ Thunderbird.", "Import mbox files or a Thunderbird profile.")
@requires(Right.ACT, act="mailbox_import", clauses="10.4")
def mbox(address: Address, path: PathArgument, *, act: ImportAct) -> None:
    act.carry_out(address, lambda _: MboxSource(path))


@app.command("Nhập thư mục tệp .eml, cả bản của content export.", "Import .eml files, also those of content export.")
@requires(Right.ACT, act="mailbox_import", clauses="10.4")
def eml(address: Address, path: PathArgument, *, seen: SeenOption = True, act: ImportAct) -> None:
    act.carry_out(address, lambda _: EmlSource(path, seen=seen))


@app.command("Nhập tệp PST hoặc OST của Outlook (cần pst-utils).", "Import Outlook's PST or OST (needs pst-utils).")
@requires(Right.ACT, act="mailbox_import", clauses="10.4")
def pst(address: Address, path: PathArgument, *, seen: SeenOption = True, act: ImportAct) -> None:
    act.carry_out(address, lambda work: PstSource(path, work, seen=seen))


@app.command("Liệt kê các lần nhập: nguồn, hộp thư, kết quả.", "List imports: source, mailbox and result.", name="list")
@requires(Right.READ, clauses="10.4")
def list_imports(here: CliContext) -> ResultTable:
    addresses = here.addresses()
    rows = [
        source_row(each, addresses[each.mailbox_id])
        for each in taken(here.config.server.data_dir)
        if each.mailbox_id in addresses
    ]
    return ResultTable(SOURCES, rows)


def _must_know(source: Source, choice: FolderChoice) -> None:
    """Refuse a folder that the source does not have: a mistyped one would be left out without notice."""
    named = {*choice.folders, *choice.without, *(name for name, _ in choice.renamed)}
    unknown = sorted(named - {folder.name for folder in source.folders()})
    if unknown:
        raise BadInput(
            Text(f"Nguồn không có thư mục: {', '.join(unknown)}.", f"The source has no folder {in_ascii(', '.join(unknown))}."),
            remedy=Text("Xem tên thư mục bằng --dry-run.", "List the folders with --dry-run."),
        )


def choice_of(
    folders: list[str] | None, without: list[str] | None, mapped: list[str] | None, below: str | None, *, virtual: bool = False
) -> FolderChoice:
    pairs: list[tuple[str, str]] = []
    for pair in mapped or ():
        source, equals, target = pair.rpartition("=")
        if not (equals and source and target):
            raise BadInput(Text(f"--map “{pair}” không có dấu =.", "Write --map as 'source folder=folder here'."))
        pairs.append((source, target))
    return FolderChoice(tuple(folders or ()), tuple(without or ()), virtual, below, tuple(pairs))


def must_have_document(origin: ActContext) -> None:
    """Require a document: the Centre moves a person's mail only on request (Reg. 4.3)."""
    missing = Text("Nhập thư vào hộp thư của người khác phải có căn cứ.", "Importing mail needs a document number.")
    origin.must_have_document(CLAUSE, missing)


@app.command("Cấp hộp thư với địa chỉ cũ giữ nguyên (5.5).", "Issue a mailbox with its owner's old address (5.5).")
@requires(Right.ACT, act="mailbox_import_address", clauses="5.5")
def address(
    old: Annotated[str, argument("ADDRESS", "Địa chỉ cũ.", "The old address.")],
    *,
    person: Annotated[int | None, option("--person", "Mã cá nhân.", "Id of the person.")] = None,
    unit: Annotated[str | None, option("--unit", "Ký hiệu đơn vị.", "Symbol of the unit.")] = None,
    created: Annotated[
        str | None,
        option("--created-on", "Ngày lập ở hệ thống cũ, nếu biết.", "The day of its creation in the old system, if known."),
    ] = None,
    quota: Annotated[str | None, option("--quota", "Dung lượng, ví dụ “2 GB”.", "The quota, e.g. '2 GB'.")] = None,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    origin = act.origin
    must_have_document(origin)
    kept = Old(old, optional_day(created), octets_of(quota) if quota is not None else None)
    password = password_hash.generate()
    addresses = here.use_cases(OldAddresses)
    with act.recorded(old, person=person, unit=unit):
        if person is not None and unit is None:
            mailbox = addresses.of_person(here.directory.person(person), kept, password, origin)
        elif unit is not None and person is None:
            mailbox = addresses.of_unit(here.directory.living_unit(unit), kept, password, origin)
        else:
            raise BadInput(Text("Chọn đúng một: --person hoặc --unit.", "Name exactly one of --person, --unit."))
    show_issued(mailbox, password, as_json=as_json)
    welcome(here, mailbox)
