"""`mic-mail import maildir|mbox|eml|pst|list`: import mail of other systems from files (Reg. 10.4).

From IMAP: `import_imap`. A run that was cut off is run again: it continues, and no message is imported twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.audited import audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox import octets_of
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.import_report import SOURCES, Watch, record_end, report_of, report_of_comparison, source_row
from mic_mail.cli.options import ActorOption, Address, DocumentOption, JsonOption, WhyOption
from mic_mail.cli.output import say
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.policy.authorization import grounds
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.import_job import CLAUSE, Moving
from mic_mail.services.importers.importer import Choice
from mic_mail.services.importers.ledger import taken
from mic_mail.services.importers.maildir import MaildirSource
from mic_mail.services.importers.mbox import MboxSource
from mic_mail.services.importers.pst import PstSource
from mic_mail.services.importers.source import Source
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle

app = typer.Typer(help=say("Nhập thư từ hệ thống khác (10.4).", "Import mail from other systems (10.4)."), no_args_is_help=True)

PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help=say("Tệp hoặc thư mục nguồn.", "The source's file or folder."))
]
FolderOption = Annotated[
    list[str] | None,
    typer.Option("--folder", help=say("Chỉ thư mục này của nguồn; nhiều lần được.", "Only this folder; repeatable.")),
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option("--without", help=say("Bỏ thư mục này của nguồn; nhiều lần được.", "Leave out this folder; repeatable.")),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map", help=say("“thư mục nguồn=thư mục đích”; nhiều lần được.", "'source folder=folder here'; repeatable.")
    ),
]
BelowOption = Annotated[
    str | None, typer.Option("--below", help=say("Đặt tất cả dưới thư mục này.", "Put everything below this folder."))
]
DryOption = Annotated[bool, typer.Option("--dry-run", help=say("Chỉ đếm, không nhập.", "Count only, import nothing."))]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify", help=say("So từng thư của nguồn với hộp thư, không nhập.", "Compare each message, import nothing.")
    ),
]
QuotaOption = Annotated[
    str | None,
    typer.Option("--quota", help=say("Nâng dung lượng trước, cần --reason.", "Raise the quota first; needs --reason.")),
]
SeenOption = Annotated[
    bool,
    typer.Option(
        "--seen/--unseen", help=say("Thư không ghi đã đọc hay chưa.", "The charset of messages that do not declare one.")
    ),
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of every import into one mailbox."""

    folder: FolderOption = None
    without: WithoutOption = None
    mapped: MapOption = None
    below: BelowOption = None
    dry_run: DryOption = False
    verify: VerifyOption = False
    quota: QuotaOption = None
    document: DocumentOption = None
    reason: WhyOption = ""
    actor: ActorOption = None
    as_json: JsonOption = False

    def choice(self, *, virtual: bool = False) -> Choice:
        """Return the choice of folders, as typed."""
        return choice_of(self.folder, self.without, self.mapped, self.below, virtual=virtual)


@app.command(help=say("Nhập một Maildir (Dovecot, Courier, Postfix).", "Import a Maildir (Dovecot, Courier, Postfix)."))
@requires(Right.ACT, clauses="10.4")
def maildir(
    ctx: typer.Context,
    address: Address,
    path: PathArgument,
    *,
    wanted: Wanted,
) -> None:
    Task(frame(ctx), address, wanted).carry_out(lambda _: MaildirSource(path))


@app.command(help=say("Nhập tệp mbox, thư mục mbox hoặc hồ sơ Thunderbird.", "Import mbox files or a Thunderbird profile."))
@requires(Right.ACT, clauses="10.4")
def mbox(
    ctx: typer.Context,
    address: Address,
    path: PathArgument,
    *,
    wanted: Wanted,
) -> None:
    Task(frame(ctx), address, wanted).carry_out(lambda _: MboxSource(path))


@app.command(help=say("Nhập thư mục tệp .eml, cả bản của content export.", "Import .eml files, also those of content export."))
@requires(Right.ACT, clauses="10.4")
def eml(
    ctx: typer.Context,
    address: Address,
    path: PathArgument,
    *,
    seen: SeenOption = True,
    wanted: Wanted,
) -> None:
    Task(frame(ctx), address, wanted).carry_out(lambda _: EmlSource(path, seen=seen))


@app.command(help=say("Nhập tệp PST hoặc OST của Outlook (cần pst-utils).", "Import Outlook's PST or OST (needs pst-utils)."))
@requires(Right.ACT, clauses="10.4")
def pst(
    ctx: typer.Context,
    address: Address,
    path: PathArgument,
    *,
    seen: SeenOption = True,
    wanted: Wanted,
) -> None:
    Task(frame(ctx), address, wanted).carry_out(lambda work: PstSource(path, work, seen=seen))


@app.command("list", help=say("Đã nhập từ đâu vào hộp thư nào.", "List imports: source, mailbox and result."))
@requires(Right.READ, clauses="10.4")
def list_imports(ctx: typer.Context, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    addresses = {mailbox.mailbox_id: mailbox.address for mailbox in here.directory.mailboxes()}
    rows = [
        source_row(each, addresses[each.mailbox_id])
        for each in taken(here.config.server.data_dir)
        if each.mailbox_id in addresses
    ]
    output.listing(SOURCES, rows, as_json=as_json)


# ------------------------------------------------------------ one import


class Task:
    """One import as it was requested."""

    def __init__(self, here: CliContext, address: str, wanted: Wanted, *, virtual: bool = False) -> None:
        self.here = here
        self.entry: Entry = here.entry(address)
        self.origin = ActContext(here.actor(wanted.actor), wanted.reason, wanted.document)
        self._wanted = wanted
        self._choice = wanted.choice(virtual=virtual)

    def carry_out(self, make: Callable[[Path], Source]) -> None:
        """Import, count or compare, and print the result."""
        dry_run, verify = self._wanted.dry_run, self._wanted.verify
        if dry_run and verify:
            raise BadInput(Text("Chọn --dry-run hoặc --verify.", "Choose --dry-run or --verify."))
        if not (dry_run or verify):
            must_have_document(self.origin)
        act = "mailbox_import_verify" if verify else "mailbox_import_rehearse" if dry_run else "mailbox_import"
        moving = moving_of(self.here)
        moving.check(self.entry)
        source = make(moving.work)
        try:
            _must_know(source, self._choice)
            with audited(self.here, act, self.entry.address, self.origin, source=source.identity):
                if self._wanted.quota is not None and not (dry_run or verify):
                    self._raise_quota(self._wanted.quota)
                self._work(moving, source)
        finally:
            source.close()
            self.here.store.close()

    def _work(self, moving: Moving, source: Source) -> None:
        wanted, choice = self._wanted, self._choice
        with Watch(source.folders()) as watch:
            if wanted.verify:
                found = moving.verify(self.entry, source, choice, watch.folder_progress)
            elif wanted.dry_run:
                outcome = moving.rehearse(self.entry, source, choice, watch.folder_progress)
            else:
                outcome = moving.run(self.entry, source, choice, watch.folder_progress)
        if wanted.verify:
            if report_of_comparison(found, as_json=wanted.as_json):
                raise typer.Exit(1)
            return
        if not wanted.dry_run:
            record_end(self.here, self.entry.address, self.origin, outcome)
        report_of(outcome, rehearsed=wanted.dry_run, as_json=wanted.as_json)
        if outcome.error is not None:
            raise outcome.error

    def _raise_quota(self, size: str) -> None:
        mailbox, octets = self.here.directory.mailbox(self.entry.address), octets_of(size)
        if not self.origin.reason:
            raise BadInput(Text("Nâng dung lượng phải nêu --reason.", "Changing the quota needs --reason."), clause="8.3.a")
        MailboxLifecycle(self.here.directory, self.here.config, self.here.clock).set_quota(mailbox, octets, self.origin)
        self.entry = self.here.entry(self.entry.address)


def _must_know(source: Source, choice: Choice) -> None:
    """Refuse a folder that the source does not have: a mistyped one would be left out without notice."""
    named = {*choice.folders, *choice.without, *(name for name, _ in choice.renamed)}
    unknown = sorted(named - {folder.name for folder in source.folders()})
    if unknown:
        raise BadInput(
            Text(
                f"Nguồn không có thư mục: {', '.join(unknown)}.",
                f"The source has no folder {in_ascii(', '.join(unknown))}.",
            ),
            remedy=Text("Xem tên thư mục bằng --dry-run.", "List the folders with --dry-run."),
        )


def moving_of(here: CliContext) -> Moving:
    """Return the import service of this server."""
    return Moving(here.directory, here.store, here.config, here.clock, here.directory.years.working_days())


def choice_of(
    folders: list[str] | None,
    without: list[str] | None,
    mapped: list[str] | None,
    below: str | None,
    *,
    virtual: bool = False,
) -> Choice:
    """Return the choice of folders, as typed."""
    pairs: list[tuple[str, str]] = []
    for pair in mapped or ():
        source, equals, target = pair.rpartition("=")
        if not (equals and source and target):
            raise BadInput(Text(f"--map “{pair}” không có dấu =.", "Write --map as 'source folder=folder here'."))
        pairs.append((source, target))
    return Choice(tuple(folders or ()), tuple(without or ()), virtual, below, tuple(pairs))


def must_have_document(origin: ActContext) -> None:
    """Require a document: the Centre moves a person's mail only on request (Reg. 4.3)."""
    missing = Text("Nhập thư vào hộp thư của người khác phải có căn cứ.", "Importing mail needs a document number.")
    grounds.must_have_document(origin.document, CLAUSE, missing)
