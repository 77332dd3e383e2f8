"""`mic-mail mailbox grant|revoke|rights`: delegation of unit and group mailboxes (Reg. 12.3, 5.2).

The head of the unit names the delegates, who sign in with their own password; the Centre records it with the document.
"""

from datetime import datetime
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_store import account_of
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import optional_day, read_instant
from mic_mail.cli.options import Address, Commands, argument, option
from mic_mail.cli.output import Cell, Column, ResultTable, coded, row_of
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.services.authentication.delegation import Delegations, Holder, Term, show_in
from mic_mail.services.authentication.shared_mailboxes import shared_folder, shared_name
from mic_mail.storage.types import INBOX

app = Commands()

COLUMNS = (
    Column("mailbox", "Hộp thư", "Mailbox", of="mailbox.address"),
    Column("holder", "Người được ủy quyền", "Who"),
    Column("name", "Họ tên", "Name", of="person.owner.name"),
    *coded("part", "Vai trò", "Part", of="grant.part"),
    Column("rights", "Quyền", "Rights"),
    Column("holds", "Có hiệu lực", "In force"),
    Column("since", "Từ", "From", of="grant.since"),
    Column("until", "Đến", "Until", of="grant.until"),
    Column("document", "Văn bản", "Document"),
    Column("facts", "Mục", "Fact"),
)

Person = Annotated[str, argument("PERSON", "Mã cá nhân hoặc địa chỉ hộp thư cá nhân.", "Id or own address of the person.")]
FromOption = Annotated[str | None, option("--from", "Từ ngày; mặc định: ngay.", "First day; default: now.")]


@app.command("Phân công sử dụng hộp thư đơn vị, nhóm (12.3).", "Grant a person rights in a unit's or group's mailbox (12.3).")
@requires(Right.ACT, act="mailbox_grant", clauses="12.3")
def grant(
    address: Address,
    person: Person,
    *,
    part: Annotated[
        Part, option("--as", "Đơn vị: quản lý, thay thế; nhóm: thành viên.", "Unit: keeper, substitute; group: member.")
    ],
    begins: FromOption = None,
    until: Annotated[
        str | None, option("--until", "Đến hết ngày; bắt buộc với người thay thế.", "Last day; a substitute needs one.")
    ] = None,
    rights: Annotated[
        str | None, option("--rights", "Chỉ các quyền này (RFC 4314), ví dụ lrs.", "These rights only (RFC 4314), e.g. lrs.")
    ] = None,
    act: GroundedAct,
) -> None:
    here = act.here
    mailbox = here.directory.mailbox(address)
    term = Term(optional_day(begins), optional_day(until))
    delegations = here.use_cases(Delegations)
    before = delegations.holders(here.directory.entry(mailbox.mailbox_id), here.clock.now())
    with act.recorded(mailbox.address, person=person, part=part.value, until=until, rights=rights):
        delegations.grant(mailbox, person, part, term, act.origin, rights=rights)
    own = delegations.person(person)[1]
    shown = shared_folder(shared_name(mailbox.address, here.config.server.domain), INBOX)
    name = part.label
    output.note(
        f"{own.address} là {name.vi} của {mailbox.address}; thấy ở {shown} trong phần mềm thư.",
        f"{own.address} is {name.en} of {mailbox.address}; mail programs show it as {shown}.",
    )
    subscribe(here, own, mailbox)
    if not any(holder.holding for holder in before if holder.person is not None and holder.person.address == own.address):
        begin_anew(here, own, mailbox)


def begin_anew(here: CliContext, own: MailboxRecord, mailbox: MailboxRecord) -> None:
    """Forget the old read marks of a person who returns, where each reader has their own (decision 0035)."""
    try:
        account_of(here, mailbox).forget_reader(own.address)
    except MicMailError as error:
        output.note(
            f"{own.address} vẫn giữ đánh dấu đã đọc của lần trước: {error.text.vi}",
            f"{own.address} still has its earlier read marks: {error.text.en}",
        )


def subscribe(here: CliContext, own: MailboxRecord, mailbox: MailboxRecord) -> None:
    """Subscribe the delegate to the mailbox's folders; the delegation stands even if this fails."""
    try:
        show_in(here.store, own, mailbox, here.config.server.domain)
    except MicMailError as error:
        output.note(
            f"Chưa đăng ký được thư mục cho {own.address}; người dùng tự đăng ký trong phần mềm thư: {error.text.vi}",
            f"The folders could not be subscribed for {own.address}; subscribe them in the mail program: {error.text.en}",
        )


@app.command("Chấm dứt ủy quyền trước hạn (12.3).", "Revoke rights before their term (12.3).")
@requires(Right.ACT, act="mailbox_revoke", clauses="12.3")
def revoke(
    address: Address,
    person: Person,
    *,
    part: Annotated[Part | None, option("--as", "Chỉ vai trò này.", "Only in this role.")] = None,
    begins: FromOption = None,
    act: GroundedAct,
) -> None:
    here = act.here
    mailbox = here.directory.mailbox(address)
    day = optional_day(begins)
    delegations = here.use_cases(Delegations)
    with act.recorded(mailbox.address, person=person, part=part and part.value):
        fact = delegations.revoke(mailbox, person, act.origin, begins=day, part=part)
    own, when = delegations.person(person)[1], dates.short(fact.effective_at)
    output.note(
        f"{own.address} không còn sử dụng {mailbox.address} từ {when}.",
        f"{own.address} has no rights in {mailbox.address} from {when} on.",
    )
    owing = delegations.owing(here.directory.entry(mailbox.mailbox_id))
    if owing is not None and owing.holder == own.address:
        warn_of_password(mailbox)


def warn_of_password(mailbox: MailboxRecord) -> None:
    """Warn that a former keeper may know the password, which outlives the delegation (Reg. 12.3.d)."""
    output.note(
        f"Mật khẩu của {mailbox.address} chưa đổi, người quản lý có thể còn biết: bàn giao bằng “mic-mail handover begin”, "
        "hoặc đặt lại bằng “mic-mail password reset” (12.3.d).",
        f"The password of {mailbox.address} is unchanged, and its keeper may know it: hand over with 'handover begin', "
        "or reset it with 'password reset' (12.3.d).",
    )


@app.command(
    "Liệt kê người được sử dụng hộp thư, quyền và thời hạn.",
    "List the people with rights in a mailbox, their rights and terms.",
)
@requires(Right.READ, clauses="4.3 12.3")
def rights(
    here: CliContext,
    address: Address,
    at: Annotated[str | None, option("--at", "Thời điểm; mặc định: bây giờ.", "Instant; default: now.")] = None,
) -> ResultTable:
    """List the delegates of a mailbox; for a personal mailbox, what its person may use elsewhere."""
    entry = here.entry(address)
    instant = read_instant(at) if at is not None else here.clock.now()
    return ResultTable(COLUMNS, grant_rows(here, entry, instant))


def grant_rows(here: CliContext, entry: Entry, at: datetime) -> list[dict[str, Cell]]:
    """Return all past, present and future delegates; for a person, all delegations to that person.

    In a unit's own mailbox its administrator sees delegates of other units, too; of a person only the mailboxes of the own
    unit.
    """
    if entry.kind is MailboxKind.PERSONAL:
        return [_row(holder) for holder in here.use_cases(Delegations).held_by(entry, at)]
    return [_row(holder) for holder in Delegations(here.whole_directory, here.config, here.clock).holders(entry, at)]


def _row(holder: Holder) -> dict[str, Cell]:
    return row_of(
        COLUMNS,
        holder,
        holder=holder.person.address if holder.person else holder.grant.holder,
        rights=holder.holding.rights or None,
        holds=bool(holder.holding),
        facts=", ".join(map(str, holder.grant.fact_seqs)),
    )
