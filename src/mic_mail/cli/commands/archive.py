"""`mic-mail archive`: archives of reclaimed mailboxes, removed only on a document (Reg. 6.4.c)."""

from collections.abc import Iterator
from typing import Annotated

import typer

from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Address, Commands, YesOption, argument
from mic_mail.cli.output import Cell, Column, ResultTable, spoken
from mic_mail.errors import BadInput, Text
from mic_mail.i18n import dates
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.reclamation import archives
from mic_mail.services.mailboxes.reclamation import Reclaiming

app = Commands()

COLUMNS = (
    Column("archive", "Bản lưu trữ", "Archive"),
    Column("address", "Hộp thư", "Mailbox"),
    Column("archived_at", "Lưu trữ lúc", "Archived at"),
    Column("messages", "Số thư", "Messages", right=True),
    Column("size", "Kích cỡ", "Size", right=True),
    Column("octets", "Kích cỡ", "Size", json_only=True),
    Column("stage", "Hộp thư ở bước", "Mailbox is at", json_only=True),
    Column("keep_until", "Giữ trên máy chủ đến hết", "On the server until"),
    Column("path", "Thư mục", "Folder", json_only=True),
)


@app.command("Liệt kê các bản lưu trữ.", "List the archives.", name="list")
@requires(Right.READ, whole=True, clauses="6.4.c")
def list_archives(here: CliContext) -> ResultTable:
    return ResultTable(COLUMNS, _rows(here))


@app.command("Xóa một bản lưu trữ theo văn bản.", "Delete an archive, by a document.")
@requires(Right.ACT, act="archive_drop", clauses="6.4.c")
def drop(
    address: Address,
    archive: Annotated[
        str | None, argument("[ARCHIVE]", "Bản lưu trữ, nếu có nhiều.", "The archive, if there are several.")
    ] = None,
    *,
    act: GroundedAct,
    yes: YesOption = False,
) -> Text:
    here = act.here
    mailbox = here.directory.mailbox(address)
    name = archive or _only(here, mailbox.mailbox_id)
    if not yes:
        typer.confirm(spoken(f"Xóa hẳn bản lưu trữ {name}?", f"Delete the archive {name} for good?"), abort=True)
    with act.recorded(mailbox.address, archive=name):
        here.use_cases(Reclaiming).drop(mailbox, name, act.origin)
    return Text(f"Đã xóa bản lưu trữ {name}.", "The archive is deleted.")


def _only(here: CliContext, mailbox_id: int) -> str:
    found = [fact.text("archive") or "" for fact in archives(here.directory.facts(mailbox_id))]
    if len(found) != 1:
        raise BadInput(
            Text(f"Hộp thư có {len(found)} bản lưu trữ.", f"The mailbox has {len(found)} archives."),
            remedy=Text("Xem: mic-mail archive list", "See: mic-mail archive list"),
        )
    return found[0]


def _rows(here: CliContext) -> Iterator[dict[str, Cell]]:
    reclaiming = here.use_cases(Reclaiming)
    settings = reclaiming.settings()
    for entry in sorted(here.directory.load_snapshot(), key=lambda entry: entry.address):
        found = reclaiming.progress_of(entry, settings)
        for fact in archives(entry.facts):
            octets = fact.data.get("octets")
            current = found is not None and found.way.archived is fact
            yield {
                "archive": fact.text("archive"),
                "address": entry.address,
                "archived_at": fact.effective_at,
                "messages": fact.data.get("messages"),
                "octets": octets,
                "size": dates.size(octets) if isinstance(octets, int) else None,
                "stage": found.way.stage.value if found is not None and current else "issued-again",
                "keep_until": found.way.keep_until if found is not None and current else None,
                "path": str(reclaiming.path_of(fact)),
            }
