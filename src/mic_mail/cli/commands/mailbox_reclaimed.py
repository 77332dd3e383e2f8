"""`mic-mail mailbox due|restore-reclaimed|free`: due changes, reclaimed mailboxes (Reg. 6.4.c, 6.2)."""

from datetime import timedelta
from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Address, Commands, ReasonOption, YesOption, option
from mic_mail.cli.output import Cell, Column, ResultRecord, ResultTable, coded, row_of, spoken
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import Fact
from mic_mail.services.mailboxes.issue import Ground, Issuing
from mic_mail.services.mailboxes.reclamation import ASIDE, Finished, Reclaiming
from mic_mail.services.reports.due_items import due

app = Commands()

AGENDA = (
    Column("at", "Thời điểm", "At", of="item.at"),
    Column("overdue", "Quá hạn", "Overdue", of="item.overdue"),
    *coded("deed", "Việc", "What", of="item.deed"),
    Column("address", "Hộp thư", "Mailbox", of="entry.address"),
    Column("owner", "Chủ", "Owner", of="entry.owner.name"),
    Column("clause", "Theo", "By", cites=True),
    Column("why", "Ghi chú", "Note", of="item.why"),
)
_STAYS = {
    Finished.NOT_IN_ARCHIVE: Text("có thư không nằm trong bản lưu trữ", "it contains messages that are not in its archive"),
    Finished.HELD: Text(
        "vừa được lưu giữ theo yêu cầu hoặc bàn giao, xong mới xóa",
        "it has just been placed under a hold or a handover, and will be deleted after that",
    ),
    Finished.OPENED: Text("vừa được cấp lại hoặc lấy lại thư", "it has just been issued again or restored"),
}
AGAIN = (
    Column("address", "Địa chỉ", "Address"),
    Column("password", "Mật khẩu lần đầu", "First password"),
    Column("from_archive", "Lấy lại từ bản lưu trữ", "Restored from the archive"),
)


@app.command(
    "Liệt kê việc máy chủ sẽ tự động thực hiện; việc quá hạn ở trên.",
    "List what the server will do by the clock; overdue items first.",
    name="due",
)
@requires(Right.READ, whole=True, clauses="6.4.c 7.2.a 12.3.d")
def list_due(
    here: CliContext,
    within: Annotated[int, option("--within", "Trong số ngày này.", "Within so many days.", min=0, max=3660)] = 30,
) -> ResultTable:
    found = due(here.directory, here.config, here.clock, here.use_cases(Reclaiming), timedelta(days=within))
    return ResultTable(AGENDA, (row_of(AGENDA, each, clause=each.item.clause or None) for each in found))


@app.command(
    "Cấp lại hộp thư đã thu hồi cho chủ cũ, cùng thư trong đó.",
    "Restore a reclaimed mailbox to its owner, with its mail.",
    name="restore-reclaimed",
)
@requires(Right.ACT, act="mailbox_restore_reclaimed", clauses="6.4.c")
def restore_reclaimed(address: Address, *, reason: ReasonOption, act: DocumentedAct) -> ResultRecord:
    here = act.here
    origin = act.origin
    password = password_hash.generate()
    with act.on_mailbox(address) as mailbox:
        brought = brought_back(here, mailbox, origin)
        issuing = here.use_cases(Issuing)

        def bring_back(freed_meanwhile: MailboxRecord) -> Fact | None:
            nonlocal brought
            brought = brought or brought_back(here, freed_meanwhile, origin)
            return brought

        issuing.issue_again(mailbox, password, Ground(origin), bring_back=bring_back)
    row: dict[str, Cell] = {"address": mailbox.address, "password": password, "from_archive": brought is not None}
    return ResultRecord(AGAIN, row)


@app.command(
    "Xóa khỏi máy chủ hộp thư đã thu hồi và lưu trữ, khi đã hết thời gian giữ nhưng máy chủ không tự xóa.",
    "Delete a reclaimed, archived mailbox that is due but not deleted automatically.",
)
@requires(Right.ACT, act="mailbox_free", clauses="6.4.c")
def free(
    address: Address,
    *,
    document: Annotated[str, option("--document", "Văn bản cho phép.", "The document that allows it.")],
    reason: ReasonOption,
    act: Act,
    yes: YesOption = False,
) -> Text:
    here = act.here
    mailbox = here.directory.mailbox(address)
    if not yes:
        typer.confirm(spoken(f"Xóa {mailbox.address} khỏi máy chủ?", f"Delete {mailbox.address} from the server?"), abort=True)
    with act.recorded(mailbox.address):
        reclaiming = here.use_cases(Reclaiming)
        found = reclaiming.of(mailbox)
        reclaiming.free(found, act.origin, clock_trusted=False)
        ended = reclaiming.finish(found.entry)
    if ended is not Finished.GONE:
        why = _STAYS[ended]
        output.note(
            f"{mailbox.address} đã ghi là xóa khỏi máy chủ, nhưng {why.vi}: hộp thư còn nguyên.",
            f"{mailbox.address} is recorded as deleted, but {why.en}: it stays as it is.",
        )
        raise typer.Exit(1)
    shown = dates.instant(here.clock.now())
    return Text(
        f"Đã xóa {mailbox.address} khỏi máy chủ lúc {shown.vi}; bản lưu trữ vẫn còn.",
        f"{mailbox.address} was deleted from the server on {shown.en}; its archive remains.",
    )


def brought_back(here: CliContext, mailbox: MailboxRecord, origin: ActContext) -> Fact | None:
    """Restore a reclaimed mailbox, and print the name of what was set aside instead of deleted."""
    fact = here.use_cases(Reclaiming).bring_back(mailbox, origin)
    aside = None if fact is None else fact.text(ASIDE)
    if aside is not None:
        output.note(
            f"Những gì còn trong {mailbox.address} trước đó được để riêng: {aside} (mic-mail mailbox set-aside).",
            f"The remaining content of {mailbox.address} was set aside: {in_ascii(aside)} (mic-mail mailbox set-aside).",
        )
    return fact
