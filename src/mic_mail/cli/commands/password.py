"""`mic-mail password set|reset`: set a mailbox's password; the fact says who did it and why."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli.acts import Act, ExplainedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.options import Address, Commands, RequestOption, option
from mic_mail.cli.output import Column, ResultRecord, spoken
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.credentials import set_password
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle

app = Commands()

RESET = (Column("address", "Địa chỉ", "Address"), Column("password", "Mật khẩu", "Password"))
LONGEST_LINE = 4096


@app.command(
    "Đặt mật khẩu do người dùng chọn; cần văn bản nếu chưa đến lúc phải đổi (15.2).",
    "Set a password chosen by its owner; needs a document unless a change is due (15.2).",
    name="set",
)
@requires(Right.ACT, act="password_set", clauses="7.3.c 15.2")
def set_chosen(
    address: Address,
    *,
    from_stdin: Annotated[
        bool, option("--stdin", "Đọc mật khẩu từ đầu vào chuẩn.", "Read the password from standard input.")
    ] = False,
    act: GroundedAct,
) -> Text:
    mailbox, _ = _set(act, address, lambda: _typed(from_stdin), must_change=False)
    return Text(f"Đã đặt mật khẩu của {mailbox.address}.", f"The password of {mailbox.address} is set.")


@app.command(
    "Khởi tạo lại mật khẩu theo văn bản đề nghị; người dùng phải đổi khi đăng nhập (15.2).",
    "Create a new password on a written request; its owner has to change it (15.2).",
)
@requires(Right.ACT, act="password_reset", clauses="15.2")
def reset(address: Address, *, document: RequestOption, act: ExplainedAct) -> ResultRecord:
    if not document.strip():
        # Reg. 15.2: by letter or from the unit's mailbox; never by telephone.
        raise BadInput(Text("Cần số văn bản đề nghị.", "A document number is required."), clause="15.2")
    mailbox, password = _set(act, address, password_hash.generate, must_change=True)
    return ResultRecord(RESET, {"address": mailbox.address, "password": password})


def _set(act: Act, address: str, choose: Callable[[], str], *, must_change: bool) -> tuple[MailboxRecord, str]:
    """Set the password that `choose` returns once the act is on record and allowed."""
    here, now = act.here, act.here.clock.now
    with act.on_mailbox(address) as mailbox:
        accounts = here.use_cases(MailboxLifecycle)
        known, password = accounts.may_change_password(mailbox, act.origin).fact_seq, choose()
        set_password(
            here.directory, here.config, mailbox, password, at=now(), origin=act.origin, must_change=must_change, after=known
        )
    return mailbox, password


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
