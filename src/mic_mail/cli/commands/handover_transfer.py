"""`mic-mail handover begin|finish|cancel`: a unit's mailbox goes to another keeper (Reg. 12.3.d).

Joined into the group `handover` by main.NOUNS. From `begin` until `finish` or `cancel` nothing in the mailbox can be expunged.
"""

from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.audited import audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.handover import print_handover, use_cases
from mic_mail.cli.commands.mailbox_delegation import begin_anew, subscribe
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.date_args import read_day
from mic_mail.cli.options import ActorOption, Address, DocumentOption, JsonOption, WhyOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import Text
from mic_mail.i18n.plurals import counted
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.authentication.delegation import Authorising
from mic_mail.services.handover.inventory import Inventory
from mic_mail.services.handover.transfer import Naming
from mic_mail.services.mailboxes.credentials import ActContext

app = typer.Typer()

DONE = (
    Column("mailbox", "Hộp thư", "Mailbox"),
    Column("keeper", "Người quản lý", "Keeper"),
    Column("until", "Đến hết", "Until"),
    Column("password", "Mật khẩu lần đầu", "First password"),
)


@app.command(
    help=say(
        "Bắt đầu: ngừng mọi việc xóa, kiểm kê; chạy lại thì kiểm kê lại.",
        "Begin: freeze the mailbox and take the inventory; run again to retake it.",
    )
)
@requires(Right.ACT, clauses="12.3.d")
def begin(
    ctx: typer.Context,
    address: Address,
    successor: Annotated[
        str,
        typer.Option(
            "--to", metavar="PERSON", help=say("Người nhận: mã hoặc địa chỉ cá nhân.", "The successor: id or address.")
        ),
    ],
    *,
    named_by: Annotated[
        str,
        typer.Option(
            "--named-by",
            help=say(
                "Thủ trưởng đã phân công: mã, địa chỉ, hoặc họ tên và chức vụ.",
                "The head who named the successor: id, address, or name and position.",
            ),
        ),
    ],
    named_on: Annotated[
        str | None, typer.Option("--dated", metavar="DAY", help=say("Ngày của văn bản.", "The day of the document."))
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", help=say("Nhiệm kỳ của người nhận đến hết ngày.", "Last day of the successor's term.")),
    ] = None,
    witness: Annotated[str, typer.Option("--witness", help=say("Người chứng kiến.", "The witness."))] = "",
    document: DocumentOption = None,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    mailbox, origin = here.directory.mailbox(address), ActContext(here.actor(actor), reason, document)
    naming = Naming(successor, named_by, read_day(named_on) if named_on else None, read_day(until) if until else None, witness)
    with audited(here, "handover_begin", mailbox.address, origin, to=successor, named_by=named_by, until=until):
        handover = use_cases(here).begin(mailbox, naming, origin)
        here.notify_server()  # before the count, which may take minutes
        inventory = _count(here, mailbox, origin)
    print_handover(mailbox, use_cases(here).of(mailbox, handover.seq), inventory, as_json=as_json)
    output.note(
        Text(
            f"Không thư nào của {mailbox.address} bị xóa cho đến khi hoàn thành hoặc hủy bàn giao.",
            f"Mail of {mailbox.address} cannot be expunged until the handover is finished or cancelled.",
        )
    )
    if inventory.unreadable:
        output.note(
            Text(
                f"{inventory.unreadable} thư không đọc được: xem mic-mail mailbox repair --check {mailbox.address}.",
                f"{counted(inventory.unreadable, 'message', 'messages')} cannot be read: "
                f"see mic-mail mailbox repair --check {mailbox.address}.",
            )
        )


def _count(here: CliContext, mailbox: MailboxRecord, origin: ActContext) -> Inventory:
    """Count the inventory, with a progress bar, and put its digest in the record of acts (Reg. 8.2)."""
    with output.progress() as bar:
        task = bar.add_task(mailbox.address, total=None)
        inventory, fact = use_cases(here).count(mailbox, origin, lambda done, of: bar.update(task, completed=done, total=of))
    digest = fact.text("digest") or ""
    here.audit.record(
        actor=origin.actor, act="handover_counted", subject=mailbox.address, reason=origin.reason, document=origin.document,
        handover=fact.data["handover"], messages=inventory.messages, octets=inventory.octets, digest=digest,
    )  # fmt: skip
    return inventory


@app.command(
    help=say(
        "Hoàn thành: chuyển quyền cho người nhận, khởi tạo lại mật khẩu, kết thúc các phiên cũ.",
        "Finish: transfer the rights, reset the password, end old sessions.",
    )
)
@requires(Right.ACT, clauses="12.3.d")
def finish(
    ctx: typer.Context, address: Address, *, reason: WhyOption = "", document: DocumentOption = None, actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    here = frame(ctx)
    mailbox, origin = here.directory.mailbox(address), ActContext(here.actor(actor), reason, document)
    password = password_hash.generate()
    with audited(here, "handover_finish", mailbox.address, origin):
        is_new = use_cases(here).finish(mailbox, password, origin)
    handover = use_cases(here).of(mailbox)
    own = Authorising(here.directory, here.config, here.clock).person(str(handover.successor_id))[1]
    subscribe(here, own, mailbox)
    if not is_new:
        output.note(
            Text(
                f"{mailbox.address} đã được bàn giao từ trước; mật khẩu khi đó không xem lại được (mic-mail password reset).",
                f"{mailbox.address} was already handed over; its password cannot be shown again (use mic-mail password reset).",
            )
        )
    else:
        begin_anew(here, own, mailbox)
    row: Row = {
        "mailbox": mailbox.address,
        "keeper": own.address,
        "until": handover.until,
        "password": password if is_new else None,
    }
    output.record(DONE, row, as_json=as_json)


@app.command(help=say("Hủy bàn giao: mọi quyền giữ như cũ.", "Cancel a handover; nothing changes."))
@requires(Right.ACT, clauses="12.3.d")
def cancel(
    ctx: typer.Context, address: Address, *, reason: WhyOption = "", document: DocumentOption = None, actor: ActorOption = None
) -> None:
    here = frame(ctx)
    mailbox, origin = here.directory.mailbox(address), ActContext(here.actor(actor), reason, document)
    with audited(here, "handover_cancel", mailbox.address, origin):
        ended = use_cases(here).cancel(mailbox, origin)
    output.note(
        Text(
            f"Đã hủy lần bàn giao {ended.seq} của {mailbox.address}; việc xóa thư trở lại bình thường.",
            f"Handover {ended.seq} of {mailbox.address} is cancelled; mail can be expunged again.",
        )
    )
