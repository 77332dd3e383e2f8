"""`mic-mail mailbox due|restore-reclaimed|free`: due changes and reclaimed mailboxes (Reg.

6.4.c, 6.2).

Joined into the group `mailbox` by main.NOUNS.
"""

from datetime import timedelta
from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.options import Address, JsonOption, ReasonOption, YesOption
from mic_mail.cli.output import Cell, Column, say, spoken
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import Fact
from mic_mail.services.mailboxes.credentials import ActContext
from mic_mail.services.mailboxes.issue import Issuing, Request, make_verifiers
from mic_mail.services.mailboxes.reclamation import ASIDE, Finished, Reclaiming
from mic_mail.services.reports.due_items import Due, due

app = typer.Typer()

AGENDA = (
    Column("at", "Thời điểm", "At"),
    Column("overdue", "Quá hạn", "Overdue"),
    Column("deed", "Việc", "What", json_only=True),
    Column("deed_name", "Việc", "What"),
    Column("address", "Hộp thư", "Mailbox"),
    Column("owner", "Chủ", "Owner"),
    Column("clause", "Theo", "By", cites=True),
    Column("why", "Ghi chú", "Note"),
)
_STAYS = {
    Finished.NOT_IN_ARCHIVE: Text("có thư không nằm trong bản lưu trữ", "it contains messages that are not in its archive"),
    Finished.HELD: Text(
        "vừa được giữ hoặc bàn giao, xong mới xóa",
        "it has just been placed under a hold or a handover, and will be deleted after that",
    ),
    Finished.OPENED: Text("vừa được cấp lại hoặc lấy lại thư", "it has just been issued again or restored"),
}
AGAIN = (
    Column("address", "Địa chỉ", "Address"),
    Column("password", "Mật khẩu lần đầu", "First password"),
    Column("from_archive", "Lấy lại từ bản lưu trữ", "Brought back from the archive"),
)


@app.command(
    "due",
    help=say(
        "Những việc sắp tự động xảy ra; quá hạn ở trên.", "List what the server will do by the clock; overdue items first."
    ),
)
@requires(Right.READ, whole=True, clauses="6.4.c 7.2.a 12.3.d")
def list_due(
    ctx: typer.Context,
    within: Annotated[
        int, typer.Option("--within", min=0, max=3660, help=say("Trong số ngày này.", "Within so many days."))
    ] = 30,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    found = due(here.directory, here.config, here.clock, _reclaiming(here), timedelta(days=within))
    output.listing(AGENDA, map(_row, found), as_json=as_json)


def _row(found: Due) -> dict[str, Cell]:
    item = found.item
    return {
        "at": item.at,
        "overdue": item.overdue,
        "deed": item.deed.value,
        "deed_name": item.deed.label,
        "address": found.entry.address,
        "owner": found.entry.owner.name,
        "clause": item.clause or None,
        "why": item.why,
    }


@app.command(
    "restore-reclaimed",
    help=say(
        "Cấp lại hộp thư đã thu hồi cho chủ cũ, cùng thư trong đó.",
        "Restore a reclaimed mailbox to its owner, with its mail.",
    ),
)
@requires(Right.ACT, act="mailbox_restore_reclaimed", clauses="6.4.c")
def restore_reclaimed(address: Address, *, reason: ReasonOption, act: DocumentedAct, as_json: JsonOption = False) -> None:
    here = act.here
    mailbox = here.directory.mailbox(address)
    origin = act.origin
    password = password_hash.generate()
    with act.recorded(mailbox.address):
        brought = brought_back(here, mailbox, origin)
        issuing = Issuing(here.directory, here.config, here.clock, make_verifiers(here.config))

        def bring_back(freed_meanwhile: MailboxRecord) -> Fact | None:
            nonlocal brought
            brought = brought or brought_back(here, freed_meanwhile, origin)
            return brought

        issuing.issue_again(mailbox, password, Request(origin), bring_back=bring_back)
    row: dict[str, Cell] = {"address": mailbox.address, "password": password, "from_archive": brought is not None}
    output.record(AGAIN, row, as_json=as_json)


@app.command(
    help=say(
        "Xóa khỏi máy chủ hộp thư đã thu hồi và lưu trữ, khi đã hết thời gian giữ nhưng máy chủ không tự xóa.",
        "Delete a reclaimed, archived mailbox that is due but not deleted automatically.",
    )
)
@requires(Right.ACT, act="mailbox_free", clauses="6.4.c")
def free(
    address: Address,
    *,
    document: Annotated[str, typer.Option("--document", help=say("Văn bản cho phép.", "The document that allows it."))],
    reason: ReasonOption,
    act: Act,
    yes: YesOption = False,
) -> Text:
    here = act.here
    mailbox = here.directory.mailbox(address)
    if not yes:
        typer.confirm(spoken(f"Xóa {mailbox.address} khỏi máy chủ?", f"Delete {mailbox.address} from the server?"), abort=True)
    with act.recorded(mailbox.address):
        reclaiming = _reclaiming(here)
        found = reclaiming.of(mailbox)
        reclaiming.free(found, act.origin, clock_trusted=False)
        ended = reclaiming.finish(found.entry)
    if ended is not Finished.GONE:
        why = _STAYS[ended]
        output.note(
            Text(
                f"{mailbox.address} đã ghi là xóa khỏi máy chủ, nhưng {why.vi}: hộp thư còn nguyên.",
                f"{mailbox.address} is recorded as deleted, but {why.en}: it stays as it is.",
            )
        )
        raise typer.Exit(1)
    shown = dates.instant(here.clock.now())
    return Text(
        f"Đã xóa {mailbox.address} khỏi máy chủ lúc {shown.vi}; bản lưu trữ vẫn còn.",
        f"{mailbox.address} was deleted from the server on {shown.en}; its archive remains.",
    )


def brought_back(here: CliContext, mailbox: MailboxRecord, origin: ActContext) -> Fact | None:
    """Restore a reclaimed mailbox, and print the path of data that was set aside instead of deleted.

    See `bring_back` of the reclamation service.
    """
    fact = _reclaiming(here).bring_back(mailbox, origin)
    aside = None if fact is None else fact.text(ASIDE)
    if aside is not None:
        path = here.config.mail_root / aside
        output.note(
            Text(
                f"Những gì còn trong {mailbox.address} trước đó được để riêng tại {path}.",
                f"The remaining content of {mailbox.address} was moved to {in_ascii(path)}.",
            )
        )
    return fact


def _reclaiming(here: CliContext) -> Reclaiming:
    return Reclaiming(here.directory, here.store, here.config, here.clock)
