"""`mic-mail app-password list|add|revoke`: a separate password for each device (docs/decisions/0082).

A person creates and revokes them on the password page. The Centre does it, on a document, for a person unable to do so. The
owner is notified of one that others have added, since it is a way into the mailbox (Reg. 4.3).
"""

from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.options import Address, JsonOption
from mic_mail.cli.output import Cell, Column, Row, say
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.grounds import must_have_document
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.credentials.app_passwords import CLAUSE, AppPasswordScope
from mic_mail.policy.labels import scopes_named
from mic_mail.services.authentication.app_passwords import AppPasswords, Listed

app = typer.Typer(help=say("Mật khẩu ứng dụng (15.2).", "App passwords (15.2)."), no_args_is_help=True)

COLUMNS = (
    Column("number", "Số", "Number", right=True),
    Column("name", "Tên", "Name"),
    Column("doors_named", "Dùng cho", "Opens"),
    Column("doors", "Dùng cho", "Opens", json_only=True),
    Column("added_at", "Tạo lúc", "Added"),
    Column("added_by", "Người tạo", "By"),
    Column("used_at", "Lần sử dụng gần nhất", "Last used"),
    Column("used_door", "Dịch vụ", "Service"),
    Column("used_network", "Mạng", "Network"),
    Column("ended_at", "Hết hiệu lực", "Ended"),
    Column("ended_because", "Do", "Because"),
    Column("ended_by", "Người ghi", "By whom"),
)
ADDED = (
    Column("address", "Địa chỉ", "Address"),
    Column("number", "Số", "Number"),
    Column("name", "Tên", "Name"),
    Column("password", "Mật khẩu ứng dụng", "App password"),
)


@app.command(
    "list",
    help=say("Liệt kê mật khẩu ứng dụng của hộp thư.", "List a mailbox's app passwords, also revoked ones."),
)
@requires(Right.READ)
def list_them(ctx: typer.Context, address: Address, as_json: JsonOption = False) -> None:
    here = frame(ctx)
    mailbox = here.directory.mailbox(address)
    found = _app_passwords(here).listed(mailbox.mailbox_id)
    output.listing(COLUMNS, map(_row, found), as_json=as_json)


@app.command(
    help=say(
        "Tạo mật khẩu ứng dụng theo văn bản đề nghị; chủ hộp thư được báo.",
        "Create one on a written request; the mailbox's owner is notified.",
    )
)
@requires(Right.ACT, act="app_password_add")
def add(
    address: Address,
    name: Annotated[str, typer.Argument(metavar="NAME", help=say("Tên thiết bị hoặc phần mềm.", "The device or program."))],
    *,
    document: Annotated[
        str,
        typer.Option("--document", help=say("Số văn bản hoặc thư đề nghị.", "Number of the letter or mail that requests it.")),
    ],
    doors: Annotated[
        list[AppPasswordScope] | None,
        typer.Option("--door", help=say("Chỉ dùng cho; có thể lặp lại.", "Valid only for this service; repeatable.")),
    ] = None,
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    must_have_document(document, CLAUSE, Text("Cần số văn bản đề nghị.", "A document number is required."))
    mailbox = here.directory.mailbox(address)
    with act.recorded(mailbox.address, name=name, doors=sorted(doors or ()) or None):
        added = _app_passwords(here).add(mailbox.mailbox_id, name, doors or (), act.origin)
    row: dict[str, Cell] = {
        "address": mailbox.address, "number": added.fact.seq, "name": added.name, "password": added.password,
    }  # fmt: skip
    output.record(ADDED, row, as_json=as_json)


@app.command(
    help=say("Thu hồi một hoặc tất cả mật khẩu ứng dụng; phiên đang mở kết thúc.", "Revoke one or all; their sessions end.")
)
@requires(Right.ACT, act="app_password_revoke")
def revoke(
    address: Address,
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", min=1, help=say("Số, xem list.", "Its number, see list."))
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help=say("Tất cả.", "All of them."))] = False,
    act: ExplainedAct,
) -> None:
    if everything == (number is not None):
        raise BadInput(Text("Nêu số, hoặc --all.", "Give its number, or --all."))
    here = act.here
    mailbox = here.directory.mailbox(address)
    with act.recorded(mailbox.address, number=number):
        ended = _app_passwords(here).revoke(mailbox.mailbox_id, None if number is None else [number], act.origin)
    if not ended:
        output.note(Text("Không có mật khẩu ứng dụng nào còn hiệu lực.", "None of them was still valid."))
    for each in ended:
        output.note(Text(f"Đã thu hồi số {each.number}: {each.name}.", f"Revoked: number {each.number}."))


def _app_passwords(here: CliContext) -> AppPasswords:
    return AppPasswords(here.directory, here.config, here.clock)


def _row(listed: Listed) -> Row:
    one, use, ended = listed.app, listed.use, listed.app.ended_by
    return {
        "number": one.number,
        "name": one.name,
        "doors_named": scopes_named(one.doors),
        "doors": sorted(one.doors),
        "added_at": one.added_at,
        "added_by": one.added_by,
        "used_at": use.at if use else None,
        "used_door": use.door if use else None,
        "used_network": use.network if use else None,
        "ended_at": one.ended_at,
        "ended_because": ended.kind.label if ended else None,
        "ended_by": ended.actor if ended else None,
    }
