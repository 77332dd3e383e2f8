"""`mic-mail restore`: restore a backup of one mailbox, into the same mailbox or into another one."""

import os
from pathlib import Path
from typing import Annotated

from mic_mail.cli.acts import ExplainedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.commands.mailbox_store import account_of
from mic_mail.cli.commands.officer import officer_now
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, argument, option
from mic_mail.cli.output import Column, ResultRecord, row_of
from mic_mail.cli.progress import progress_of
from mic_mail.directory.records import MailboxRecord
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.content_access import CLAUSE, ContentRefused, Scope
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.services.exports.content_requests import ContentRequests
from mic_mail.services.importers.ledger import put_back
from mic_mail.services.mailboxes.legal_holds import Holds
from mic_mail.storage.backup.format import numbers_of, owner_of

COLUMNS = (
    Column("address", "Hộp thư", "Mailbox"),
    Column("folders", "Thư mục", "Folders", right=True),
    Column("messages", "Số thư", "Messages", right=True),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("findings", "Phát hiện", "Findings", right=True),
)

app = Commands()


@app.command(
    "Khôi phục một hộp thư từ bản sao lưu; thư hiện có được giữ riêng nếu dùng --replace.",
    "Restore one mailbox from a backup; with --replace its present content is set aside.",
)
@requires(Right.ACT, act="restore", clauses="10.1")
def restore(
    address: Annotated[str, argument("ADDRESS", "Hộp thư nhận lại thư.", "The mailbox to fill.")],
    source: Annotated[
        Path,
        argument(
            "SOURCE",
            "Thư mục của lệnh backup, hoặc của một hộp thư trong đó.",
            "The folder of `backup`, or one mailbox's in it.",
        ),
    ],
    *,
    replace: Annotated[bool, option("--replace", "Thay thư hiện có.", "Replace the mail that is there.")] = False,
    moved: Annotated[
        bool,
        option(
            "--moved",
            "Hộp thư chuyển chỗ, từ lúc sao lưu không ai dùng: giữ nguyên mọi số của thư.",
            "The mailbox moves, nobody has used it since the backup: keep all numbers of its mail.",
        ),
    ] = False,
    failover: Annotated[
        bool,
        option(
            "--failover",
            "Máy có hộp thư này đã hỏng sau khi sao lưu: giữ UIDVALIDITY, đánh số thư mới cao hơn hẳn.",
            "The machine that had the mailbox has failed since the backup: keep UIDVALIDITYs, number far above.",
        ),
    ] = False,
    request: Annotated[
        int | None,
        option(
            "--content",
            "Bản sao của hộp thư khác: số đề nghị đã phê duyệt.",
            "For another mailbox's backup: the approved request.",
            metavar="ID",
        ),
    ] = None,
    act: ExplainedAct,
) -> ResultRecord:
    here = act.here
    if moved and failover:
        raise BadInput(Text("Chỉ dùng một trong --moved và --failover.", "Use one of --moved and --failover."))
    mailbox = here.directory.mailbox(address)
    place = next((folder for folder in (source / mailbox.home, source) if os.path.exists(folder / "manifest.json")), None)
    if place is None:
        raise BadInput(
            Text(f"Không có bản sao lưu của {mailbox.address} trong “{source}”.", "The backup does not contain this mailbox.")
        )
    origin, source = act.origin, place.absolute()
    with act.recorded(mailbox.address, source=str(source), replace=replace, moved=moved, failover=failover, request=request):
        _must_be_its_own(here, origin, mailbox, place, request)
        if replace:  # what is set aside is easily deleted
            Holds(here.directory, here.store, here.clock).must_not_be_held(here.directory.entry(mailbox.mailbox_id))
        with (
            put_back(here.config.server.data_dir, mailbox.mailbox_id, numbers_of(place)),
            progress_of(mailbox.address) as progress,
        ):
            report = account_of(here, mailbox).restore(
                place, replace=replace, moved=moved, failover=failover, progress=progress
            )
    row = row_of(COLUMNS, report, address=mailbox.address, findings=len(report.findings))
    return ResultRecord(COLUMNS, row)


def _must_be_its_own(here: CliContext, origin: ActContext, mailbox: MailboxRecord, place: Path, request: int | None) -> None:
    """Require an approved request for the backup of another mailbox (Reg. 4.3).

    It would show its mail to the readers of this one. While no officer is on record the server is being set up, and mailboxes
    may have other numbers than in the backup.
    """
    number = owner_of(place)
    if number == mailbox.mailbox_id or not here.directory.officers.all():
        return
    if request is None:
        raise ContentRefused(
            Text("Đây là bản sao lưu của hộp thư khác.", "This is the backup of another mailbox."),
            clause=CLAUSE,
            remedy=Text("mic-mail content ask, rồi --content SỐ.", "mic-mail content ask, then --content ID."),
        )
    hand = Hand.of(officer_now(here, origin.actor), origin.actor, here.login)
    access = here.use_cases(ContentRequests).opened(request, hand)
    if access.mailbox_id != number or access.scope != Scope(expunged=access.scope.expunged):
        raise ContentRefused(
            Text("Đề nghị không cho mở toàn bộ hộp thư này.", "The request does not cover the whole mailbox."), clause=CLAUSE
        )
