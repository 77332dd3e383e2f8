"""`mic-mail mailbox suspend|restore|leave|...`: the acts from which a mailbox's state follows.

Each act is a fact with its reason and document.
"""

from collections.abc import Sequence
from typing import Annotated

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import DocumentedAct, GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_reclaimed import brought_back
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import optional_day, read_day
from mic_mail.cli.options import Address, Commands, ReasonOption, argument, option
from mic_mail.cli.output import Cell, Column, ResultRecord, Row
from mic_mail.errors import BadInput, Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.due_items import follows_leaving
from mic_mail.policy.facts import Departure, Fact, Level, SuspensionCause
from mic_mail.policy.labels import state_names
from mic_mail.policy.requests import RequestChannel
from mic_mail.policy.states import Span
from mic_mail.policy.suspension import QueuedMail
from mic_mail.services.mailboxes.issue import make_verifiers
from mic_mail.services.mailboxes.lifecycle_actions import Conclusion, MailboxLifecycle, RestoreRequest
from mic_mail.services.mailboxes.restore import Restoring

app = Commands()

RESTORED = (
    Column("address", "Địa chỉ", "Address"),
    Column("password", "Mật khẩu mới", "New password"),
    Column("state_names", "Trạng thái", "State"),
    Column("states", "Trạng thái", "State", json_only=True),
)

DATES = (
    Column("day", "Ngày", "Day"),
    Column("deed", "Việc", "What happens"),
    Column("clauses", "Điều khoản", "Clause", cites=True),
)
QueuedOption = Annotated[
    QueuedMail | None, option("--queued", "Thư đang chờ gửi: gửi hay hủy.", "Messages that wait to be sent: send or drop.")
]
Official = Annotated[str, argument("DAY", "Ngày chính thức, 31/08/2026.", "Official day, 31/08/2026.")]


@app.command("Tạm khóa (7.2): nguyên nhân a, b hoặc c.", "Suspend (7.2): cause a, b or c.")
@requires(Right.ACT, act="mailbox_suspend", clauses="7.2.b 7.2.c")
def suspend(
    address: Address,
    *,
    cause: Annotated[
        SuspensionCause,
        option(
            "--cause", "a: không sử dụng; b: vi phạm Điều 4; c: mất an toàn.", "a: disuse; b: breach of Article 4; c: security."
        ),
    ],
    reason: ReasonOption,
    conclusion: Annotated[str, option("--conclusion", "b: số kết luận.", "b: the conclusion's number.")] = "",
    concluded_on: Annotated[str | None, option("--concluded-on", "b: ngày kết luận.", "b: its date.")] = None,
    signatory: Annotated[str, option("--signatory", "b: người ký.", "b: a signatory.")] = "",
    act: DocumentedAct,
) -> Text:
    here = act.here
    mailbox = here.directory.mailbox(address)
    resting_on = Conclusion(conclusion, read_day(concluded_on), signatory) if concluded_on is not None else None
    with act.recorded(mailbox.address, cause=cause.value):
        here.use_cases(MailboxLifecycle).suspend(mailbox, cause, act.origin, resting_on)
    return Text(f"Đã tạm khóa {mailbox.address}.", f"{mailbox.address} is suspended.")


@app.command("Khôi phục và đặt lại mật khẩu (7.3).", "Restore, with a new password (7.3).")
@requires(Right.ACT, act="mailbox_restore", clauses="7.2.c 7.3.a 7.3.b")
def restore(
    address: Address,
    *,
    asked_by: Annotated[str, option("--asked-by", "Người hoặc đơn vị yêu cầu.", "The person or unit that asked for it.")],
    channel: Annotated[
        RequestChannel, option("--channel", "Văn bản, fax, điện thoại, thư.", "Letter, fax, telephone, mail.")
    ] = RequestChannel.LETTER,
    received: Annotated[str | None, option("--received", "Ngày nhận yêu cầu.", "The day it was received.")] = None,
    queued: QueuedOption = None,
    act: GroundedAct,
) -> ResultRecord:
    here = act.here
    mailbox = here.directory.mailbox(address)
    password = password_hash.generate()
    asked = RestoreRequest(asked_by, channel.value, optional_day(received))
    with act.recorded(mailbox.address, asked_by=asked_by, channel=channel.value, queued=queued):
        verifiers = make_verifiers(here.config)(password)
        restoring = here.use_cases(Restoring)
        decision = restoring.restore(mailbox, asked, verifiers, act.origin, queued)
    row: dict[str, Cell] = {
        "address": mailbox.address,
        "password": password,
        "state_names": state_names(decision.states),
        "states": sorted(decision.states),
    }
    return ResultRecord(RESTORED, row)


@app.command("Ghi ngày chính thức nghỉ, chuyển công tác (6.4.c).", "Record the official day of leaving (6.4.c).")
@requires(Right.ACT, act="mailbox_leave", clauses="6.4.c")
def leave(
    address: Address,
    day: Annotated[str | None, argument("[DAY]", "Ngày chính thức, 31/08/2026.", "Official day, 31/08/2026.")] = None,
    *,
    level: Annotated[
        Level | None, option("--level", "Phòng, ban trở xuống; Vụ trở lên.", "Rank of 6.4.c: division or department.")
    ] = None,
    cause: Annotated[
        Departure | None, option("--cause", "Nguyên nhân: nghỉ hưu, nghỉ việc, chuyển đi.", "Why the person leaves.")
    ] = None,
    correct: Annotated[bool, option("--correct", "Đính chính lần ghi trước.", "Correct the last one.")] = False,
    withdraw: Annotated[bool, option("--withdraw", "Hủy lần ghi nhầm.", "The leave never applied.")] = False,
    act: GroundedAct,
) -> None:
    here, origin = act.here, act.origin
    mailbox = here.directory.mailbox(address)
    if withdraw == (day is not None) or (withdraw and (correct or level or cause)):
        raise BadInput(Text("Nêu ngày, hoặc chỉ --withdraw.", "Give the day, or only --withdraw."))
    accounts = here.use_cases(MailboxLifecycle)
    before = accounts.state_of(mailbox)

    def bring_back() -> Fact | None:
        return brought_back(here, mailbox, origin)

    with act.recorded(mailbox.address, day=day, withdraw=withdraw):
        if day is None:
            accounts.withdraw_leave(mailbox, origin, bring_back=bring_back)
        elif correct:
            accounts.correct_leave(mailbox, read_day(day), level, cause, origin, bring_back=bring_back)
        else:
            accounts.leave(mailbox, read_day(day), level, cause, origin)
    output.note(f"Đã ghi nhận cho {mailbox.address}.", f"Recorded for {mailbox.address}.")
    _show_dates(here, accounts.timeline_of(mailbox))
    after = accounts.state_of(mailbox)
    if after.receives and not before.receives:
        # A longer term gives back what the shorter one took (Reg. 6.4.c); this must not go unnoticed.
        shown = state_names(after.states)
        output.note(
            f"Lưu ý: hộp thư {mailbox.address} đã bị thu hồi nay được mở lại: {shown.vi}.",
            f"Note: {mailbox.address} was reclaimed and is open again: {shown.en}.",
        )


def _show_dates(here: CliContext, spans: Sequence[Span]) -> None:
    found = follows_leaving(spans, here.config.reclaim.warn_days, here.config.reclaim.keep_days)
    rows: list[Row] = [
        {"day": output.localized(dates.day(item.at)), "deed": output.localized(item.deed.label), "clauses": [item.clause]}
        for item in sorted(found, key=lambda item: item.at)
    ]
    if rows:
        output.listing(DATES, rows, as_json=False)


@app.command("Người đã nghỉ trở lại công tác.", "Record the return of a person who left.", name="return")
@requires(Right.ACT, act="mailbox_return", clauses="6.4.c")
def return_from_leave(address: Address, day: Official, *, act: GroundedAct) -> Text:
    here = act.here
    with act.on_mailbox(address, day=day) as mailbox:
        here.use_cases(MailboxLifecycle).return_from_leave(mailbox, read_day(day), act.origin)
    return Text(f"Đã ghi nhận cho {mailbox.address}.", f"Recorded for {mailbox.address}.")


@app.command("Khóa chức năng gửi bằng tay (10.2).", "Lock sending by hand (10.2).", name="lock-sending")
@requires(Right.ACT, act="mailbox_lock_sending", clauses="10.2")
def lock_sending(address: Address, *, reason: ReasonOption, act: DocumentedAct) -> Text:
    here = act.here
    with act.on_mailbox(address) as mailbox:
        here.use_cases(MailboxLifecycle).lock_sending(mailbox, act.origin)
    return Text(f"Đã khóa gửi của {mailbox.address}.", f"Sending from {mailbox.address} is locked.")


@app.command("Mở khóa gửi đã khóa bằng tay.", "Lift a lock by hand.", name="unlock-sending")
@requires(Right.ACT, act="mailbox_unlock_sending", clauses="10.2")
def unlock_sending(address: Address, *, act: GroundedAct) -> Text:
    here = act.here
    with act.on_mailbox(address) as mailbox:
        here.use_cases(MailboxLifecycle).unlock_sending(mailbox, act.origin)
    return Text(f"Đã mở khóa gửi của {mailbox.address}.", f"Sending from {mailbox.address} is unlocked.")


@app.command("Ghi vắng mặt đã thông báo lý do (7.2.a).", "Record a notified absence (7.2.a).")
@requires(Right.ACT, act="mailbox_absence", clauses="7.2.a")
def absence(
    address: Address,
    *,
    begins: Annotated[str | None, option("--from", "Ngày đầu.", "First day.")] = None,
    until: Annotated[str | None, option("--until", "Ngày cuối.", "Last day.")] = None,
    ended: Annotated[bool, option("--ended", "Đã trở lại sớm.", "The person is back early.")] = False,
    act: GroundedAct,
) -> Text:
    here, origin = act.here, act.origin
    mailbox = here.directory.mailbox(address)
    if (begins is None) != (until is None) or ended == (begins is not None):
        raise BadInput(Text("Nêu --from và --until, hoặc chỉ --ended.", "Give --from and --until, or only --ended."))
    with act.recorded(mailbox.address, begins=begins, until=until):
        if begins is not None and until is not None:
            here.use_cases(MailboxLifecycle).note_absence(mailbox, read_day(begins), read_day(until), origin)
        else:
            here.use_cases(MailboxLifecycle).end_absence(mailbox, origin)
    return Text(f"Đã ghi nhận cho {mailbox.address}.", f"Recorded for {mailbox.address}.")


@app.command(
    "Thu hồi theo yêu cầu của đơn vị (6.2); thư được lưu trữ.", "Reclaim on the unit's request (6.2); mail is archived."
)
@requires(Right.ACT, act="mailbox_reclaim", clauses="6.1 6.2")
def reclaim(
    address: Address,
    *,
    withdraw: Annotated[
        bool,
        option(
            "--withdraw",
            "Hủy việc thu hồi chưa đến giờ, do đồng hồ chạy trước khi ghi.",
            "Withdraw a reclaim that is not due yet, recorded while the clock was ahead.",
        ),
    ] = False,
    reason: ReasonOption,
    act: DocumentedAct,
) -> None:
    here, origin = act.here, act.origin
    with act.on_mailbox(address, withdraw=withdraw) as mailbox:
        if withdraw:
            here.use_cases(MailboxLifecycle).withdraw_reclaim(mailbox, origin)
        else:
            here.use_cases(MailboxLifecycle).reclaim(mailbox, origin)
    output.note(
        Text(f"Đã hủy việc thu hồi {mailbox.address}.", f"The reclaim of {mailbox.address} is withdrawn.")
        if withdraw
        else Text(f"Đã thu hồi {mailbox.address}.", f"{mailbox.address} is reclaimed.")
    )
