"""`mic-mail password set|reset`: set a mailbox's password.

The fact and the record of acts say who did it and why.
"""

import sys
from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import ExplainedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.options import Address, JsonOption
from mic_mail.cli.output import Column, say, spoken
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.credentials import set_password
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle

app = typer.Typer(help=say("Mật khẩu.", "Passwords."), no_args_is_help=True)

RESET = (
    Column("address", "Địa chỉ", "Address"),
    Column("password", "Mật khẩu", "Password"),
)
LONGEST_LINE = 4096


@app.command(
    "set",
    help=say(
        "Đặt mật khẩu do người dùng chọn; cần văn bản nếu chưa đến lúc phải đổi (15.2).",
        "Set a password chosen by its owner; needs a document unless a change is due (15.2).",
    ),
)
@requires(Right.ACT, act="password_set", clauses="7.3.c 15.2")
def set_chosen(
    address: Address,
    *,
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help=say("Đọc mật khẩu từ đầu vào chuẩn.", "Read the password from standard input."))
    ] = False,
    act: GroundedAct,
) -> Text:
    here = act.here
    mailbox = here.directory.mailbox(address)
    origin = act.origin
    accounts = MailboxLifecycle(here.directory, here.config, here.clock)
    with act.recorded(mailbox.address):
        known = accounts.may_change_password(mailbox, origin).fact_seq
        password = _typed(from_stdin)
        set_password(
            here.directory, here.config, mailbox, password, at=here.clock.now(), origin=origin, must_change=False, after=known
        )
    return Text(f"Đã đặt mật khẩu của {mailbox.address}.", f"The password of {mailbox.address} is set.")


@app.command(
    help=say(
        "Khởi tạo lại mật khẩu theo văn bản đề nghị; người dùng phải đổi khi đăng nhập (15.2).",
        "Create a new password on a written request; its owner has to change it (15.2).",
    )
)
@requires(Right.ACT, act="password_reset", clauses="15.2")
def reset(
    address: Address,
    *,
    document: Annotated[
        str,
        typer.Option("--document", help=say("Số văn bản hoặc thư đề nghị.", "Number of the letter or mail that requests it.")),
    ],
    act: ExplainedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    if not document.strip():
        # Reg. 15.2: by letter or from the unit's mailbox; never by telephone.
        raise BadInput(Text("Cần số văn bản đề nghị.", "A document number is required."), clause="15.2")
    mailbox = here.directory.mailbox(address)
    password = password_hash.generate()
    origin = act.origin
    accounts = MailboxLifecycle(here.directory, here.config, here.clock)
    with act.recorded(mailbox.address):
        known = accounts.may_change_password(mailbox, origin).fact_seq
        set_password(
            here.directory, here.config, mailbox, password, at=here.clock.now(), origin=origin, must_change=True, after=known
        )
    output.record(RESET, {"address": mailbox.address, "password": password}, as_json=as_json)


def _typed(from_stdin: bool) -> str:
    """Return the new password, typed twice without echo, or one line of standard input."""
    if from_stdin:
        return sys.stdin.readline(LONGEST_LINE).rstrip("\r\n")
    if not sys.stdin.isatty():  # without a terminal the prompt would echo, with a warning
        raise BadInput(
            Text("Không có màn hình để gõ mật khẩu.", "There is no terminal on which to type the password."),
            remedy=Text("Dùng --stdin.", "Use --stdin."),
        )
    return str(
        typer.prompt(
            spoken("Mật khẩu mới", "New password"), hide_input=True, confirmation_prompt=spoken("Nhập lại", "Once more")
        )
    )
