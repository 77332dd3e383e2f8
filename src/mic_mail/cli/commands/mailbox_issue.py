"""`mic-mail mailbox issue`: issue a mailbox, and deliver the welcome notice (Reg. 5, 6)."""

from typing import Annotated

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_change import octets_of
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import optional_day
from mic_mail.cli.options import Commands, JsonOption, option
from mic_mail.cli.output import Column, row_of
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.log.error_fields import failure
from mic_mail.policy.authorization.roles import Right
from mic_mail.services.mailboxes.issue import Ground, Issuing
from mic_mail.services.notifications.notices import Notices

app = Commands()

ISSUED = (
    Column("address", "Địa chỉ", "Address"),
    Column("password", "Mật khẩu lần đầu", "First password"),
    Column("mailbox_id", "Mã", "Id"),
    Column("quota", "Dung lượng", "Quota"),
    Column("quota_octets", "Dung lượng", "Quota", json_only=True),
)


@app.command("Cấp hộp thư cho cá nhân, đơn vị hoặc nhóm (Điều 5, 6).", "Issue a mailbox (Reg. 5, 6).")
@requires(Right.ACT, act="mailbox_issue", clauses="2.3 2.4 2.5 5.2 5.3 5.4.a 5.4.b 6.1 6.3 6.4.a")
def issue(
    *,
    person: Annotated[int | None, option("--person", "Mã cá nhân.", "Id of the person.")] = None,
    unit: Annotated[str | None, option("--unit", "Ký hiệu đơn vị.", "Symbol of the unit.")] = None,
    group: Annotated[str | None, option("--group", "Tên nhóm.", "Name of the group.")] = None,
    sponsor: Annotated[str | None, option("--sponsor", "Đơn vị bảo trợ nhóm.", "The unit that sponsors the group.")] = None,
    address: Annotated[
        str | None, option("--address", "Phần tên được chọn, trước @.", "The chosen local part, before the @.")
    ] = None,
    given_words: Annotated[
        int | None, option("--given-words", "Số chữ của tên gọi.", "Words that form the given name.", min=1, max=4)
    ] = None,
    quota: Annotated[str | None, option("--quota", "Dung lượng, ví dụ “2 GB”.", "The quota, e.g. '2 GB'.")] = None,
    received: Annotated[str | None, option("--received", "Ngày nhận yêu cầu.", "The day the request was received.")] = None,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    if sum(choice is not None for choice in (person, unit, group)) != 1:
        raise BadInput(Text("Chọn đúng một: --person, --unit hoặc --group.", "Name exactly one of --person, --unit, --group."))
    _must_fit("--address", given=address is not None, fits=unit is None)  # Reg. 5.1: a unit's address follows from its symbol
    _must_fit("--given-words", given=given_words is not None, fits=person is not None and address is None)
    _must_fit("--sponsor", given=sponsor is not None, fits=group is not None)
    here = act.here
    octets = octets_of(quota) if quota is not None else None
    request = Ground(act.origin, optional_day(received))
    request.origin.must_have_document("6.2")
    issuing = here.use_cases(Issuing)
    password = password_hash.generate()
    with act.recorded(str(person or unit or group), chosen=address):
        if person is not None:
            owner = here.directory.person(person)
            mailbox = issuing.issue_personal(
                owner, password, request, chosen=address, given_words=given_words, quota_octets=octets
            )
        elif unit is not None:
            mailbox = issuing.issue_unit(unit, password, request, quota_octets=octets)
        else:
            mailbox = issuing.issue_group(group or "", _needed(sponsor), password, request, chosen=address, quota_octets=octets)
    show_issued(mailbox, password, as_json=as_json)
    welcome(here, mailbox)


def show_issued(mailbox: MailboxRecord, password: str, *, as_json: bool) -> None:
    """Print the new mailbox with its password, which is never shown again."""
    row = row_of(ISSUED, mailbox, password=password, quota=dates.size(mailbox.quota_octets))
    output.record(ISSUED, row, as_json=as_json)


def welcome(here: CliContext, mailbox: MailboxRecord) -> None:
    """Deliver the welcome notice; the mailbox is issued and its password shown even if this fails."""
    try:
        Notices(here.store, here.config, here.clock).welcome(mailbox)
    except Exception as error:  # noqa: BLE001 - whatever fails in the store, the issue stands
        output.note(
            f"Đã cấp hộp thư, nhưng chưa ghi được thư chào mừng: {error}",
            f"The mailbox is issued, but the welcome could not be delivered: {in_ascii(error)}",
        )
        here.log_event("notice_failed", notice="welcome", mailbox=mailbox.address, **failure(error))


def _must_fit(option: str, *, given: bool, fits: bool) -> None:
    """Refuse an option that would be ignored: its author expects something of it."""
    if given and not fits:
        raise BadInput(Text(f"{option} không dùng được ở đây.", f"{option} does not apply here."))


def _needed(sponsor: str | None) -> str:
    if sponsor is None:
        raise BadInput(Text("Thiếu --sponsor: đơn vị bảo trợ nhóm.", "--sponsor is missing: the unit that sponsors the group."))
    return sponsor
