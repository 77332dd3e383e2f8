"""`mic-mail second-factor`: second factors of mailboxes and officers (docs/decisions/0083).

A person sets the mailbox's factor on the password page. The Centre removes it on a document (Reg. 15.2), with it the app
passwords, which are on the lost device. An officer sets the own factor here, at the terminal.
"""

import sys
from typing import Annotated

from mic_mail.auth import totp
from mic_mail.auth.password_hash import load_secret
from mic_mail.cli import officer_totp, output
from mic_mail.cli.acts import Act, ExplainedAct, audited
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Address, Commands, RequestOption, WhyOption, argument
from mic_mail.cli.output import Column, ResultTable, Row, row_of
from mic_mail.directory.second_factors import Factor, officer_holder
from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.credentials.second_factor import CLAUSE, second_factor
from mic_mail.services.authentication.second_factors import SecondFactors, key_path, must_fit

app = Commands()

COLUMNS = (
    Column("holder", "Hộp thư, cán bộ", "Mailbox or officer"),
    Column("set_at", "Bật từ", "Set"),
    Column("recovery_left", "Mã khôi phục còn", "Recovery codes left", right=True),
    Column("wrong", "Mã sai gần đây", "Recent wrong codes", right=True),
)


@app.command(
    "Liệt kê hộp thư và cán bộ đã bật xác thực hai bước.", "List mailboxes and officers with a second factor.", name="list"
)
@requires(Right.READ)
def list_them(here: CliContext) -> ResultTable:
    return ResultTable(COLUMNS, _rows(here))


@app.command(
    "Tắt xác thực hai bước của hộp thư theo văn bản, cùng mọi mật khẩu ứng dụng (mất điện thoại).",
    "Remove a mailbox's second factor and app passwords on a written request (a lost telephone).",
)
@requires(Right.ACT, act="second_factor_remove")
def remove(address: Address, *, document: RequestOption, act: ExplainedAct) -> Text:
    here = act.here
    mailbox = here.directory.mailbox(address)
    _must_name_document(act)
    with act.recorded(mailbox.address):
        here.use_cases(SecondFactors).remove(mailbox.mailbox_id, act.origin, ends_apps=True)
    return Text(
        f"Đã tắt xác thực hai bước và mật khẩu ứng dụng của {mailbox.address}.",
        f"The second factor and the app passwords of {mailbox.address} are removed.",
    )


@app.command(
    "Bật xác thực hai bước của chính mình, là cán bộ; từ đó lệnh thay đổi sẽ hỏi mã.",
    "Set up your own second factor as an officer; commands that change something then ask for a code.",
)
@requires(Right.READ)
def enrol(here: CliContext, *, reason: WhyOption = "") -> None:
    officer, factors = here.officer, here.whole_directory.second_factors
    if officer is None or officer.login != here.login:
        raise Refused(
            Text("Chỉ cán bộ, bằng tài khoản của chính mình.", "Only officers, each with the own login."), clause="6.1"
        )
    origin = ActContext(officer.login, reason)
    with audited(here, "second_factor_enrol", officer.login, origin, right=Right.READ):
        known = factors.of(officer_holder(officer.login))
        if known is not None:
            officer_totp.show_code(here, known)
        secret = totp.make_secret()
        output.line(Text("Nhập khóa vào ứng dụng xác thực:", "Enter this key in the authenticator:"))
        output.line(f"  {totp.typed(secret)}")
        output.line(f"  {totp.uri(secret, officer.login, here.config.server.hostname)}")
        step = must_fit(secret, _entered_code(), here.clock.now().timestamp())
        sealed = totp.seal(load_secret(key_path(here.config)), secret, officer_holder(officer.login))
        factors.set_of_officer(officer.login, sealed, step, here.clock.now())
    output.note("Đã bật xác thực hai bước.", "The second factor is set.")


@app.command(
    "Tắt xác thực hai bước của cán bộ khác, theo văn bản (mất điện thoại).",
    "Remove another officer's second factor (a lost telephone).",
)
@requires(Right.ACT, act="second_factor_withdraw")
def withdraw(
    login: Annotated[str, argument("LOGIN", "Tên đăng nhập của cán bộ.", "The officer's login.")],
    *,
    document: RequestOption,
    act: ExplainedAct,
) -> Text:
    here = act.here
    _must_name_document(act)
    with act.recorded(login):
        if not here.directory.second_factors.remove_of_officer(login):
            raise BadInput(
                Text(f"{login} chưa bật xác thực hai bước.", f"{in_ascii(login)} has no second factor."), clause=CLAUSE
            )
    return Text(f"Đã tắt xác thực hai bước của {login}.", f"The second factor of {in_ascii(login)} is removed.")


def _must_name_document(act: Act) -> None:
    act.origin.must_have_document(CLAUSE, Text("Cần số văn bản đề nghị.", "A document number is required."))


def _entered_code() -> str:
    """Return the code of the new device, typed at the terminal or read from standard input."""
    return officer_totp.typed() if sys.stdin.isatty() else sys.stdin.readline(100)


def _rows(here: CliContext) -> list[Row]:
    factors = here.use_cases(SecondFactors)
    found: list[Row] = []
    for entry in sorted(here.directory.load_snapshot(), key=lambda entry: entry.address):
        factor = factors.of(entry.mailbox_id) if second_factor(entry.facts) is not None else None
        if factor is not None:
            found.append(_row(entry.address, factor, factor.recovery_left))
    if here.is_centre:
        found += [_row(each.holder.partition("/")[2], each, None) for each in here.directory.second_factors.officers()]
    return found


def _row(holder: str, factor: Factor, recovery_left: int | None) -> Row:
    return row_of(COLUMNS, factor, holder=holder, recovery_left=recovery_left)
