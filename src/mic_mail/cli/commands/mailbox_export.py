"""`mic-mail mailbox export|mark-passed-on`: a unit's mail for the records system (Reg. 11.4, 12.3.c).

An interrupted export continues when the same command is run again.
"""

from pathlib import Path
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.officer import officer_now
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import Address, Commands, JsonOption, argument, option
from mic_mail.cli.output import Column, row_of
from mic_mail.cli.output_files import must_be_a_place_for_files, print_how_to_verify
from mic_mail.cli.progress import progress_of
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.i18n.notices import unit_mail
from mic_mail.i18n.plurals import counted
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.reclamation import must_be_there
from mic_mail.policy.unit_mail import document_handoff
from mic_mail.policy.unit_mail.records_export import Selection, must_be_asked_for, must_be_exportable
from mic_mail.services.authentication.delegation import Delegations
from mic_mail.services.exports.records_export import RecordsExport, RecordsExportResult
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.unit_mail.document_handoff import PassedOn

app = Commands()

DONE = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("target", "Nơi lưu", "Target"),
    Column("messages", "Số thư", "Messages"),
    Column("octets", "Kích cỡ", "Size", size=True),
    Column("resumed", "Đã có từ lần trước", "Written before"),
    Column("digest", "SHA-256 của SHA256SUMS", "SHA-256 of SHA256SUMS"),
)
DocumentOption = Annotated[str, option("--document", "Văn bản đề nghị của đơn vị.", "The unit's request.")]


@app.command("Xuất thư đơn vị thành tệp EML kèm mã băm (11.4).", "Export a unit's mail as EML files with digests (11.4).")
@requires(Right.ACT, act="mailbox_export", clauses="11.4")
def export(
    address: Address,
    target: Annotated[Path, argument("FOLDER", "Thư mục mới, chưa có.", "A new folder.")],
    *,
    document: DocumentOption,
    asked_by: Annotated[str, option("--asked-by", "Người quản lý hộp thư đề nghị.", "The keeper who asks for it.")],
    folder: Annotated[str | None, option("--folder", "Chỉ thư mục này.", "Only this folder.")] = None,
    since: Annotated[str | None, option("--since", "Thư đến từ ngày.", "Mail from this day on.")] = None,
    until: Annotated[str | None, option("--until", "Đến hết ngày.", "Until the end of this day.")] = None,
    passed: Annotated[
        bool | None,
        option(
            "--only-passed-on/--only-not-passed-on",
            "Chỉ thư đã chuyển, hoặc chưa chuyển.",
            "Only what was passed on, or was not.",
        ),
    ] = None,
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    entry, target, origin = here.entry(address), target.absolute(), act.origin
    selection = _selection(folder, since, until, passed)
    with act.recorded(
        entry.address, target=str(target), asked_by=asked_by, folder=folder, since=since, until=until, passed_on=passed
    ):
        must_be_there(entry.address, entry.facts)
        must_be_a_place_for_files(here, target)
        keeper = _must_be_asked_for(here, entry, origin, asked_by)
        done = _write(here, entry, selection, target, origin, keeper=keeper)
    output.record(DONE, row_of(DONE, done, mailbox=entry.address, target=str(target)), as_json=as_json)
    if not as_json:
        print_how_to_verify(target)


def _selection(folder: str | None, since: str | None, until: str | None, passed_on: bool | None) -> Selection:
    """Return the selection of folder, days and marks; `BadInput` for days in reverse order."""
    selection = Selection(folder, read_day(since) if since else None, read_day(until) if until else None, passed_on)
    if selection.since is not None and selection.until is not None and selection.until < selection.since:
        raise BadInput(Text("Ngày kết thúc trước ngày bắt đầu.", "The last day is before the first."))
    return selection


def _write(
    here: CliContext, entry: Entry, selection: Selection, target: Path, origin: ActContext, *, keeper: str
) -> RecordsExportResult:
    """Write the files, or continue; a complete export is recorded and the keeper notified."""
    document = origin.document or ""
    basis = {"mailbox": entry.address, "asked_by": keeper, "document": document, "exported_by": origin.actor}
    account = here.store.account_of(entry)

    def whole(done: RecordsExportResult) -> None:
        here.audit.record(
            actor=origin.actor, act="mailbox_exported", subject=entry.address, target=str(target), document=document,
            asked_by=keeper, messages=done.messages, octets=done.octets, sums=done.digest,
        )  # fmt: skip
        _notify_keeper(here, entry, origin, keeper, done)

    with progress_of(entry.address) as progress:
        return RecordsExport(here.store, here.config, here.clock).run(
            account, selection, target, basis, progress=progress, whole=whole
        )


def _must_be_asked_for(here: CliContext, entry: Entry, origin: ActContext, asked_by: str) -> str:
    """Return the address of the keeper who requested the export; refuse others (Reg. 4.3, 11.4)."""
    must_be_exportable(entry.kind, origin.document or "")
    officer = officer_now(here, origin.actor)
    delegations = here.use_cases(Delegations)
    person, own = delegations.person(asked_by)
    holders = [
        Hand(full_name=holder.person.owner.name, person_id=holder.grant.person_id)
        for holder in delegations.holders(entry, here.clock.now())
        if holder.holding and holder.person is not None
    ]
    must_be_asked_for(person.person_id, holders, Hand.of(officer, origin.actor, here.login))
    return own.address


def _notify_keeper(here: CliContext, entry: Entry, origin: ActContext, keeper: str, done: RecordsExportResult) -> None:
    """Notify the keeper in whose name the export was requested, so that no name is used without notice."""
    officer = officer_now(here, origin.actor)
    letter = unit_mail.exported(entry.address, origin.document or "", officer.full_name, done.messages, done.digest)
    own = here.directory.mailbox(keeper)
    Notices(here.store, here.config, here.clock).deliver(own, letter, origin=f"records:{entry.mailbox_id}:{done.digest}")


@app.command(
    "Đánh dấu thư đã chuyển vào hệ thống văn bản (12.3.c).",
    "Mark mail as passed on to the records (12.3.c).",
    name="mark-passed-on",
)
@requires(Right.ACT, act="mailbox_mark_passed_on", clauses="12.3.c")
def mark_passed_on(
    address: Address,
    message_ids: Annotated[list[str], argument("MESSAGE-ID...", "Message-ID của các thư.", "Their Message-IDs.")],
    *,
    document: DocumentOption,
    act: ExplainedAct,
) -> Text:
    here = act.here
    entry = here.entry(address)
    if entry.kind is not MailboxKind.UNIT:
        raise BadInput(
            Text(f"{entry.address} không phải hộp thư đơn vị.", f"{entry.address} is not a unit's mailbox."),
            clause=document_handoff.CLAUSE,
        )
    must_be_there(entry.address, entry.facts)
    if not here.config.unit.passed_on.keywords:
        raise BadInput(
            Text("Cấu hình không có từ khóa nào để đánh dấu.", "The configuration has no keyword for marking."),
            clause=document_handoff.CLAUSE,
            remedy=Text("Xem unit.passed_on.keywords.", "See unit.passed_on.keywords."),
        )
    with act.recorded(entry.address, message_ids=message_ids):
        missing = PassedOn(here.store, here.config).mark(entry, message_ids)
    if missing:
        raise BadInput(
            Text(f"Không thấy trong hộp thư: {', '.join(missing)}.", f"Not in the mailbox: {in_ascii(', '.join(missing))}."),
            remedy=Text("Các thư khác đã được đánh dấu.", "The others are marked."),
        )
    return Text(f"Đã đánh dấu {len(message_ids)} thư.", f"{counted(len(message_ids), 'message is', 'messages are')} marked.")
