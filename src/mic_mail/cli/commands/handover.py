"""`mic-mail handover`: a unit's mailbox goes to another keeper, with minutes to sign (Reg. 12.3.d).

From `begin` until `finish` or `cancel` nothing in the mailbox can be expunged. The inventory has a digest of each message, and
`verify` compares the mailbox with it later.
"""

from typing import Annotated

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_delegation import begin_anew, subscribe
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import Address, Commands, JsonOption, option
from mic_mail.cli.output import Column, Part, ResultRecord, ResultTable, Row, coded, row_of
from mic_mail.cli.output_files import DocumentFile, print_written, write_paper
from mic_mail.cli.progress import progress_of
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Refused, Text
from mic_mail.i18n.plurals import counted
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.unit_mail.handover import CLAUSE, Handover, handovers
from mic_mail.services.authentication.delegation import Delegations
from mic_mail.services.handover.inventory import Inventory
from mic_mail.services.handover.minutes import Minutes
from mic_mail.services.handover.transfer import Handovers, Nomination
from mic_mail.services.handover.verify import Deviation, FolderCheck, MessageFinding, Verification

app = Commands()

LIST = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("number", "Số", "Number", right=True, of="seq"),
    *coded("standing", "Tình trạng", "Standing"),
    Column("from", "Người giao", "From", of="predecessor"),
    Column("to", "Người nhận", "To", of="successor"),
    Column("since", "Từ", "Since"),
    Column("ended", "Kết thúc", "Ended", of="ended.effective_at"),
    Column("document", "Văn bản", "Document", of="begun.document"),
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
    Column("folder", "Thư mục", "Folder", of="name"),
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
    *(Column(fate.value, fate.label.vi, fate.label.en, right=True) for fate in MessageFinding),
    Column("added", "Thêm sau đó", "Added since", right=True),
)
FOUND = (
    Column("folder", "Thư mục", "Folder"),
    Column("uid", "UID", "UID", right=True, of="message.uid"),
    *coded("fate", "Kết quả", "Result"),
    Column("received_at", "Nhận lúc", "Received", of="message.received_at"),
    Column("octets", "Kích cỡ", "Size", right=True, size=True, of="message.octets"),
    Column("message_id", "Message-ID", "Message-ID"),
    Column("note", "Ghi chú", "Note"),
    Column("digest", "SHA-256", "SHA-256", json_only=True, of="message.digest"),
)
DONE = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("keeper", "Người quản lý", "Keeper"),
    Column("until", "Đến hết", "Until"),
    Column("password", "Mật khẩu lần đầu", "First password"),
)
NumberOption = Annotated[
    int | None,
    option("--handover", "Lần bàn giao; mặc định: mới nhất.", "The handover; default: the newest.", metavar="NUMBER"),
]


@app.command("Các lần bàn giao; đang bàn giao ở trên.", "List handovers, running ones first.", name="list")
@requires(Right.READ, clauses="12.3.d")
def list_all(
    here: CliContext, *, running: Annotated[bool, option("--running", "Chỉ lần đang bàn giao.", "Only running ones.")] = False
) -> ResultTable:
    units = sorted(
        (entry for entry in here.directory.load_snapshot() if entry.kind is MailboxKind.UNIT), key=lambda entry: entry.address
    )
    found = [(entry, each) for entry in units for each in reversed(handovers(entry.facts))]
    found.sort(key=lambda pair: not pair[1].is_running)
    return ResultTable(LIST, (_row(entry, each) for entry, each in found if each.is_running or not running))


@app.command("Xem một lần bàn giao và bảng kiểm kê.", "Show a handover and its inventory.")
@requires(Right.READ, clauses="12.3.d")
def show(here: CliContext, address: Address, *, number: NumberOption = None, as_json: JsonOption = False) -> None:
    mailbox = here.directory.mailbox(address)
    handover = here.use_cases(Handovers).of(mailbox, number)
    _print_handover(mailbox, handover, here.use_cases(Handovers).inventory(mailbox, handover), as_json=as_json)


@app.command("Biên bản bàn giao để ký.", "Write the minutes for signature.")
@requires(Right.READ, whole=True, act="handover_minutes", clauses="12.3.d")
def minutes(
    address: Address,
    *,
    out: DocumentFile,
    number: NumberOption = None,
    registered: Annotated[
        str, option("--number", "Số của biên bản; để trống thì ghi tay.", "The number of the minutes; default: blank.")
    ] = "",
    act: ExplainedAct,
) -> None:
    here = act.here
    mailbox, handed = here.directory.mailbox(address), here.use_cases(Handovers)
    handover = handed.of(mailbox, number)
    with act.recorded(mailbox.address):
        inventory = handed.inventory(mailbox, handover)
        if inventory is None:
            raise Refused(Text("Chưa kiểm kê xong.", "The inventory is not complete."), clause=CLAUSE)
        print_written(
            write_paper(here, out, Minutes(here.directory, here.config).paper(mailbox, handover, inventory, registered))
        )


@app.command(
    "Đối chiếu kho thư hiện nay với bảng kiểm kê: từng thư mục, từng thư.",
    "Compare the mailbox as it is now with the inventory: each folder, each message.",
)
@requires(Right.READ, whole=True, act="handover_verify", clauses="12.3.d")
def verify(
    address: Address,
    *,
    number: NumberOption = None,
    every: Annotated[bool, option("--all", "Cả thư đã chuyển hoặc đã xóa.", "List moved and expunged messages too.")] = False,
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    mailbox, handed = here.directory.mailbox(address), here.use_cases(Handovers)
    handover = handed.of(mailbox, number)
    with act.recorded(mailbox.address), progress_of(mailbox.address) as progress:
        result = handed.verify(mailbox, handover, progress)
    _print_result(mailbox, handover, result, every=every, as_json=as_json)
    if not result.is_whole:
        raise Refused(
            Text("Có thư bị thay đổi hoặc bị mất so với khi bàn giao.", "Messages are changed or missing since the handover."),
            clause=CLAUSE,
        )


@app.command(
    "Bắt đầu: ngừng mọi việc xóa, kiểm kê; chạy lại thì kiểm kê lại.",
    "Begin: freeze the mailbox and take the inventory; run again to retake it.",
)
@requires(Right.ACT, act="handover_begin", clauses="12.3.d")
def begin(
    address: Address,
    successor: Annotated[
        str, option("--to", "Người nhận: mã hoặc địa chỉ cá nhân.", "The successor: id or address.", metavar="PERSON")
    ],
    *,
    named_by: Annotated[
        str,
        option(
            "--named-by",
            "Thủ trưởng đã phân công: mã, địa chỉ, hoặc họ tên và chức vụ.",
            "The head who named the successor: id, address, or name and position.",
        ),
    ],
    named_on: Annotated[str | None, option("--dated", "Ngày của văn bản.", "The day of the document.", metavar="DAY")] = None,
    until: Annotated[
        str | None, option("--until", "Nhiệm kỳ của người nhận đến hết ngày.", "Last day of the successor's term.")
    ] = None,
    witness: Annotated[str, option("--witness", "Người chứng kiến.", "The witness.")] = "",
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    mailbox, origin = here.directory.mailbox(address), act.origin
    naming = Nomination(
        successor, named_by, read_day(named_on) if named_on else None, read_day(until) if until else None, witness
    )
    with act.recorded(mailbox.address, to=successor, named_by=named_by, until=until):
        handover = here.use_cases(Handovers).begin(mailbox, naming, origin)
        here.notify_server()  # before the count, which may take minutes
        inventory = _count(here, mailbox, origin)
    _print_handover(mailbox, here.use_cases(Handovers).of(mailbox, handover.seq), inventory, as_json=as_json)
    output.note(
        f"Không thư nào của {mailbox.address} bị xóa cho đến khi hoàn thành hoặc hủy bàn giao.",
        f"Mail of {mailbox.address} cannot be expunged until the handover is finished or cancelled.",
    )
    if inventory.unreadable:
        output.note(
            f"{inventory.unreadable} thư không đọc được: xem mic-mail mailbox repair --check {mailbox.address}.",
            f"{counted(inventory.unreadable, 'message', 'messages')} cannot be read: "
            f"see mic-mail mailbox repair --check {mailbox.address}.",
        )


@app.command(
    "Hoàn thành: chuyển quyền cho người nhận, khởi tạo lại mật khẩu, kết thúc các phiên cũ.",
    "Finish: transfer the rights, reset the password, end old sessions.",
)
@requires(Right.ACT, act="handover_finish", clauses="12.3.d")
def finish(address: Address, *, act: GroundedAct) -> ResultRecord:
    here = act.here
    password = password_hash.generate()
    with act.on_mailbox(address) as mailbox:
        is_new = here.use_cases(Handovers).finish(mailbox, password, act.origin)
    handover = here.use_cases(Handovers).of(mailbox)
    own = here.use_cases(Delegations).person(str(handover.successor_id))[1]
    subscribe(here, own, mailbox)
    if not is_new:
        output.note(
            f"{mailbox.address} đã được bàn giao từ trước; mật khẩu khi đó không xem lại được (mic-mail password reset).",
            f"{mailbox.address} was already handed over; its password cannot be shown again (use mic-mail password reset).",
        )
    else:
        begin_anew(here, own, mailbox)
    row: Row = {
        "mailbox": mailbox.address,
        "keeper": own.address,
        "until": handover.until,
        "password": password if is_new else None,
    }
    return ResultRecord(DONE, row)


@app.command("Hủy bàn giao: mọi quyền giữ như cũ.", "Cancel a handover; nothing changes.")
@requires(Right.ACT, act="handover_cancel", clauses="12.3.d")
def cancel(address: Address, *, act: GroundedAct) -> Text:
    with act.on_mailbox(address) as mailbox:
        ended = act.here.use_cases(Handovers).cancel(mailbox, act.origin)
    return Text(
        f"Đã hủy lần bàn giao {ended.seq} của {mailbox.address}; việc xóa thư trở lại bình thường.",
        f"Handover {ended.seq} of {mailbox.address} is cancelled; mail can be expunged again.",
    )


def _count(here: CliContext, mailbox: MailboxRecord, origin: ActContext) -> Inventory:
    """Count the inventory, with a progress bar, and put its digest in the record of acts (Reg. 8.2)."""
    with progress_of(mailbox.address) as progress:
        inventory, fact = here.use_cases(Handovers).count(mailbox, origin, progress)
    digest = fact.text("digest") or ""
    here.audit.record(
        actor=origin.actor, act="handover_counted", subject=mailbox.address, reason=origin.reason, document=origin.document,
        handover=fact.data["handover"], messages=inventory.messages, octets=inventory.octets, digest=digest,
    )  # fmt: skip
    return inventory


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
        output.note(f"Thư mục có thêm sau đó: {name} ({messages} thư).", f"Folder created since: {name} ({messages}).")
    if result.is_whole:
        output.note(
            "Toàn bộ nội dung đã bàn giao còn nguyên vẹn.", "Everything that was handed over is present or was expunged since."
        )


def _checked(check: FolderCheck) -> Row:
    fates = {fate.value: count for fate, count in check.fates.items()}
    return {"folder": check.folder.name, "messages": check.folder.messages, **fates, "added": check.added}


def _found(found: Deviation) -> Row:
    return row_of(FOUND, found, message_id=found.message.message_id or None)


def _print_handover(mailbox: MailboxRecord, handover: Handover, inventory: Inventory | None, *, as_json: bool) -> None:
    row: Row = {
        **_row(mailbox, handover),
        "named_on": handover.named_on,
        "until": handover.until,
        "folders": len(inventory.folders) if inventory else None,
        "messages": inventory.messages if inventory else None,
        "octets": inventory.octets if inventory else None,
        "digest": handover.counted.text("digest") if handover.counted else None,
    }
    rows = [row_of(FOLDERS, folder) for folder in inventory.folders] if inventory else []
    output.record(ONE, row, Part("inventory", FOLDERS, rows, Text("Bảng kiểm kê", "Inventory")), as_json=as_json)


def _row(mailbox: MailboxRecord | Entry, handover: Handover) -> Row:
    return row_of(LIST, handover, mailbox=mailbox.address, named_by=handover.begun.text("named_by"))
