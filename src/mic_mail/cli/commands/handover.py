"""`mic-mail handover list|show|minutes|verify`: handovers of unit mailboxes on record (Reg. 12.3.d).

To read, to sign and to compare. What was handed over is counted with digests, and `verify` compares the mailbox with that at
any later time. The commands that begin and end a handover are in `handover_transfer`.
"""

from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.audited import audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.options import ActorOption, Address, JsonOption, WhyOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.cli.output_files import check_kind, write_paper
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Refused, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.unit_mail.handover import CLAUSE, STANDINGS, Handover, handovers
from mic_mail.services.handover.inventory import Folder, Inventory
from mic_mail.services.handover.minutes import Minutes
from mic_mail.services.handover.transfer import Handovers
from mic_mail.services.handover.verify import FATES, FolderCheck, Found, MessageFinding, Verification
from mic_mail.services.mailboxes.credentials import ActContext

app = typer.Typer(
    help=say("Bàn giao hộp thư đơn vị (12.3.d).", "Handing over a unit's mailbox (12.3.d)."), no_args_is_help=True
)

LIST = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("number", "Số", "Number", right=True),
    Column("standing", "Tình trạng", "Standing", json_only=True),
    Column("standing_name", "Tình trạng", "Standing"),
    Column("from", "Người giao", "From"),
    Column("to", "Người nhận", "To"),
    Column("since", "Từ", "Since"),
    Column("ended", "Kết thúc", "Ended"),
    Column("document", "Văn bản", "Document"),
    Column("named_by", "Người phân công", "Named by"),
)
ONE = (
    *LIST,
    Column("named_on", "Văn bản ngày", "Document of"),
    Column("until", "Nhiệm kỳ đến hết", "Term until"),
    Column("folders", "Số thư mục", "Folders"),
    Column("messages", "Số thư", "Messages"),
    Column("octets", "Kích cỡ", "Size", size=True),
    Column("digest", "Mã băm kiểm kê", "Inventory's digest"),
)
FOLDERS = (
    Column("folder", "Thư mục", "Folder"),
    Column("messages", "Số thư", "Messages", right=True),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("marked", "Đánh dấu xóa", "Marked deleted", right=True),
    Column("oldest", "Cũ nhất", "Oldest"),
    Column("newest", "Mới nhất", "Newest"),
    Column("digest", "SHA-256", "SHA-256"),
)
CHECKED = (
    Column("folder", "Thư mục", "Folder"),
    Column("messages", "Bàn giao", "Handed over", right=True),
    *(Column(fate.value, FATES[fate].vi, FATES[fate].en, right=True) for fate in MessageFinding),
    Column("added", "Thêm sau đó", "Added since", right=True),
)
FOUND = (
    Column("folder", "Thư mục", "Folder"),
    Column("uid", "UID", "UID", right=True),
    Column("fate", "Kết quả", "MessageFinding", json_only=True),
    Column("fate_name", "Kết quả", "MessageFinding"),
    Column("received_at", "Nhận lúc", "Received"),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("message_id", "Message-ID", "Message-ID"),
    Column("note", "Ghi chú", "Note"),
    Column("digest", "SHA-256", "SHA-256", json_only=True),
)
NumberOption = Annotated[
    int | None,
    typer.Option("--handover", metavar="NUMBER", help=say("Lần bàn giao; mặc định: mới nhất.", "Default: the newest.")),
]


@app.command("list", help=say("Các lần bàn giao; đang bàn giao ở trên.", "All handovers, those that run first."))
@requires(Right.READ, clauses="12.3.d")
def list_all(
    ctx: typer.Context,
    *,
    running: Annotated[bool, typer.Option("--running", help=say("Chỉ lần đang bàn giao.", "Only those that run."))] = False,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    units = sorted(
        (entry for entry in here.directory.load_snapshot() if entry.kind is MailboxKind.UNIT), key=lambda entry: entry.address
    )
    found = [(entry, each) for entry in units for each in reversed(handovers(entry.facts))]
    found.sort(key=lambda pair: not pair[1].is_running)
    output.listing(LIST, (_row(entry, each) for entry, each in found if each.is_running or not running), as_json=as_json)


@app.command(help=say("Xem một lần bàn giao và bảng kiểm kê.", "Show a handover and its inventory."))
@requires(Right.READ, clauses="12.3.d")
def show(ctx: typer.Context, address: Address, *, number: NumberOption = None, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    mailbox = here.directory.mailbox(address)
    handover = use_cases(here).of(mailbox, number)
    print_handover(mailbox, handover, use_cases(here).inventory(mailbox, handover), as_json=as_json)


@app.command(help=say("Biên bản bàn giao để ký.", "The minutes, to be signed."))
@requires(Right.READ, whole=True, clauses="12.3.d")
def minutes(
    ctx: typer.Context,
    address: Address,
    *,
    out: Annotated[
        Path, typer.Option("--out", help=say("Tệp .pdf, .html, .xlsx hoặc .csv.", "A file .pdf, .html, .xlsx or .csv."))
    ],
    number: NumberOption = None,
    registered: Annotated[
        str,
        typer.Option("--number", help=say("Số của biên bản; để trống thì ghi tay.", "The minutes' own number; else a blank.")),
    ] = "",
    reason: WhyOption = "",
    actor: ActorOption = None,
) -> None:
    here = frame(ctx)
    check_kind(out)
    mailbox, handed = here.directory.mailbox(address), use_cases(here)
    handover = handed.of(mailbox, number)
    with audited(here, "handover_minutes", mailbox.address, ActContext(here.actor(actor), reason), right=Right.READ):
        inventory = handed.inventory(mailbox, handover)
        if inventory is None:
            raise Refused(Text("Chưa kiểm kê xong.", "The inventory is not complete."), clause=CLAUSE)
        written = write_paper(here, out, Minutes(here.directory, here.config).paper(mailbox, handover, inventory, registered))
    names = ", ".join(map(str, written))
    output.note(Text(f"Đã ghi {names}.", "The minutes are written."))


@app.command(
    help=say(
        "Đối chiếu kho thư hiện nay với bảng kiểm kê: từng thư mục, từng thư.",
        "Compare the mailbox as it is now with the inventory: each folder, each message.",
    )
)
@requires(Right.READ, whole=True, clauses="12.3.d")
def verify(
    ctx: typer.Context,
    address: Address,
    *,
    number: NumberOption = None,
    every: Annotated[
        bool, typer.Option("--all", help=say("Cả thư đã chuyển hoặc đã xóa.", "Name moved and expunged messages too."))
    ] = False,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    mailbox, handed = here.directory.mailbox(address), use_cases(here)
    handover = handed.of(mailbox, number)
    with (
        audited(here, "handover_verify", mailbox.address, ActContext(here.actor(actor), reason), right=Right.READ),
        output.progress() as bar,
    ):
        task = bar.add_task(mailbox.address, total=None)
        result = handed.verify(mailbox, handover, lambda done, of: bar.update(task, completed=done, total=of))
    _print_result(mailbox, handover, result, every=every, as_json=as_json)
    if not result.is_whole:
        raise Refused(
            Text("Có thư bị thay đổi hoặc bị mất so với khi bàn giao.", "Messages are changed or missing since the handover."),
            clause=CLAUSE,
        )


# ------------------------------------------------------------ rows


def _print_result(mailbox: MailboxRecord, handover: Handover, result: Verification, *, every: bool, as_json: bool) -> None:
    named = [each for each in result.found if every or as_json or each.fate in {MessageFinding.CHANGED, MessageFinding.MISSING}]
    if as_json:
        output.print_json(
            {
                "mailbox": mailbox.address,
                "handover": handover.seq,
                "whole": result.is_whole,
                "folders": [_checked(check) for check in result.folders],
                "new_folders": dict(result.new_folders),
                "messages": [_found(each) for each in named],
            }
        )
        return
    output.listing(CHECKED, map(_checked, result.folders), as_json=False)
    if named:
        output.listing(FOUND, map(_found, named), as_json=False)
    for name, messages in result.new_folders:
        output.note(Text(f"Thư mục có thêm sau đó: {name} ({messages} thư).", f"A folder made since: {name} ({messages})."))
    if result.is_whole:
        output.note(
            Text("Toàn bộ nội dung đã bàn giao còn nguyên vẹn.", "Everything that was handed over is there, or expunged since.")
        )


def _checked(check: FolderCheck) -> Row:
    fates = {fate.value: count for fate, count in check.fates.items()}
    return {"folder": check.folder.name, "messages": check.folder.messages, **fates, "added": check.added}


def _found(found: Found) -> Row:
    message = found.message
    return {
        "folder": found.folder,
        "uid": message.uid,
        "fate": found.fate.value,
        "fate_name": FATES[found.fate],
        "received_at": message.received_at,
        "octets": message.octets,
        "message_id": message.message_id or None,
        "note": found.note,
        "digest": message.digest,
    }


def print_handover(mailbox: MailboxRecord, handover: Handover, inventory: Inventory | None, *, as_json: bool) -> None:
    row: Row = {
        **_row(mailbox, handover),
        "named_on": handover.named_on,
        "until": handover.until,
        "folders": len(inventory.folders) if inventory else None,
        "messages": inventory.messages if inventory else None,
        "octets": inventory.octets if inventory else None,
        "digest": handover.counted.text("digest") if handover.counted else None,
    }
    rows = [_folder(folder) for folder in inventory.folders] if inventory else []
    if as_json:
        output.print_json({**{column.key: row.get(column.key) for column in ONE}, "inventory": rows})
        return
    output.record(ONE, row, as_json=False)
    output.listing(FOLDERS, rows, as_json=False, title=Text("Bảng kiểm kê", "Inventory"))


def _folder(folder: Folder) -> Row:
    return {
        "folder": folder.name,
        "messages": folder.messages,
        "octets": folder.octets,
        "marked": folder.marked,
        "oldest": folder.oldest,
        "newest": folder.newest,
        "digest": folder.digest,
    }


def _row(mailbox: MailboxRecord | Entry, handover: Handover) -> Row:
    return {
        "mailbox": mailbox.address,
        "number": handover.seq,
        "standing": handover.standing.value,
        "standing_name": STANDINGS[handover.standing],
        "from": handover.predecessor,
        "to": handover.successor,
        "since": handover.since,
        "ended": handover.ended.effective_at if handover.ended else None,
        "document": handover.begun.document,
        "named_by": handover.begun.text("named_by"),
    }


def use_cases(here: CliContext) -> Handovers:
    return Handovers(here.directory, here.store, here.config, here.clock)
