"""`mic-mail app-password`: a separate password for each device (docs/decisions/0082).

A person creates and revokes them on the password page; the Centre does it on a document. The owner is notified of one that
others have added, since it is a way into the mailbox (Reg. 4.3).
"""

from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Address, Commands, RequestOption, argument, option
from mic_mail.cli.output import Cell, Column, ResultRecord, ResultTable, Row, row_of
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.credentials.app_passwords import CLAUSE, AppPasswordScope
from mic_mail.policy.labels import scopes_named
from mic_mail.services.authentication.app_passwords import AppPasswords, Listed

app = Commands()

COLUMNS = (
    Column("number", "Số", "Number", right=True, of="app.number"),
    Column("name", "Tên", "Name", of="app.name"),
    Column("doors_named", "Dùng cho", "Opens"),
    Column("doors", "Dùng cho", "Opens", json_only=True),
    Column("added_at", "Tạo lúc", "Added", of="app.added_at"),
    Column("added_by", "Người tạo", "By", of="app.added_by"),
    Column("used_at", "Lần sử dụng gần nhất", "Last used", of="use.at"),
    Column("used_door", "Dịch vụ", "Service", of="use.door"),
    Column("used_network", "Mạng", "Network", of="use.network"),
    Column("ended_at", "Hết hiệu lực", "Ended", of="app.ended_at"),
    Column("ended_because", "Do", "Because", of="app.ended_by.kind.label"),
    Column("ended_by", "Người ghi", "By whom", of="app.ended_by.actor"),
)
ADDED = (
    Column("address", "Địa chỉ", "Address"),
    Column("number", "Số", "Number"),
    Column("name", "Tên", "Name"),
    Column("password", "Mật khẩu ứng dụng", "App password"),
)


@app.command("Liệt kê mật khẩu ứng dụng của hộp thư.", "List a mailbox's app passwords, also revoked ones.", name="list")
@requires(Right.READ)
def list_them(here: CliContext, address: Address) -> ResultTable:
    mailbox = here.directory.mailbox(address)
    found = here.use_cases(AppPasswords).listed(mailbox.mailbox_id)
    return ResultTable(COLUMNS, map(_row, found))


@app.command(
    "Tạo mật khẩu ứng dụng theo văn bản đề nghị; chủ hộp thư được báo.",
    "Create one on a written request; the mailbox's owner is notified.",
)
@requires(Right.ACT, act="app_password_add")
def add(
    address: Address,
    name: Annotated[str, argument("NAME", "Tên thiết bị hoặc phần mềm.", "The device or program.")],
    *,
    document: RequestOption,
    doors: Annotated[
        list[AppPasswordScope] | None,
        option("--door", "Chỉ dùng cho; có thể lặp lại.", "Valid only for this service; repeatable."),
    ] = None,
    act: ExplainedAct,
) -> ResultRecord:
    here = act.here
    act.origin.must_have_document(CLAUSE, Text("Cần số văn bản đề nghị.", "A document number is required."))
    with act.on_mailbox(address, name=name, doors=sorted(doors or ()) or None) as mailbox:
        added = here.use_cases(AppPasswords).add(mailbox.mailbox_id, name, doors or (), act.origin)
    row: dict[str, Cell] = {
        "address": mailbox.address, "number": added.fact.seq, "name": added.name, "password": added.password,
    }  # fmt: skip
    return ResultRecord(ADDED, row)


@app.command("Thu hồi một hoặc tất cả mật khẩu ứng dụng; phiên đang mở kết thúc.", "Revoke one or all; their sessions end.")
@requires(Right.ACT, act="app_password_revoke")
def revoke(
    address: Address,
    number: Annotated[int | None, argument("[NUMBER]", "Số, xem list.", "Its number, see list.", min=1)] = None,
    *,
    everything: Annotated[bool, option("--all", "Tất cả.", "All of them.")] = False,
    act: ExplainedAct,
) -> None:
    if everything == (number is not None):
        raise BadInput(Text("Nêu số, hoặc --all.", "Give its number, or --all."))
    here = act.here
    with act.on_mailbox(address, number=number) as mailbox:
        ended = here.use_cases(AppPasswords).revoke(mailbox.mailbox_id, None if number is None else [number], act.origin)
    if not ended:
        output.note("Không có mật khẩu ứng dụng nào còn hiệu lực.", "None of them was still valid.")
    for each in ended:
        output.note(f"Đã thu hồi số {each.number}: {each.name}.", f"Revoked: number {each.number}.")


def _row(listed: Listed) -> Row:
    return row_of(COLUMNS, listed, doors_named=scopes_named(listed.app.doors), doors=sorted(listed.app.doors))
