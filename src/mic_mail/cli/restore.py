"""`mic-mail restore`: put a backup of one mailbox back, into the mailbox that it came from or into another one."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.frame import frame
from mic_mail.cli.options import ActorOption, JsonOption, WhyOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.cli.store import account_of
from mic_mail.errors import BadInput, Text

COLUMNS = (
    Column("address", "Hộp thư", "Mailbox"),
    Column("folders", "Thư mục", "Folders", right=True),
    Column("messages", "Số thư", "Messages", right=True),
    Column("octets", "Byte", "Octets", right=True),
    Column("findings", "Phát hiện", "Findings", right=True),
)

app = typer.Typer()


@app.command(
    help=say(
        "Khôi phục một hộp thư từ bản sao lưu; thư hiện có được giữ riêng nếu dùng --replace.",
        "Put one mailbox back from a backup; with --replace what is there now is kept aside.",
    )
)
def restore(
    ctx: typer.Context,
    address: Annotated[str, typer.Argument(help=say("Hộp thư nhận lại thư.", "The mailbox to fill."), metavar="ADDRESS")],
    source: Annotated[
        Path,
        typer.Argument(
            help=say(
                "Thư mục của lệnh backup, hoặc của một hộp thư trong đó.", "The folder of `backup`, or one mailbox's in it."
            )
        ),
    ],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help=say("Thay thư hiện có.", "Take the place of the mail that is there."))
    ] = False,
    reason: WhyOption = "",
    actor: ActorOption = None,
    as_json: JsonOption = False,
) -> None:
    here = frame(ctx)
    mailbox = here.directory.mailbox(address)
    place = next((folder for folder in (source / mailbox.home, source) if os.path.exists(folder / "manifest.json")), None)
    if place is None:
        raise BadInput(
            Text(f"Không có bản sao lưu của {mailbox.address} trong “{source}”.", "There is no backup of this mailbox there.")
        )
    here.audit.record(
        actor=here.actor(actor),
        act="restore",
        subject=mailbox.address,
        reason=reason,
        source=str(place.absolute()),
        replace=replace,
    )
    with output.progress() as bar:
        task = bar.add_task(mailbox.address, total=None)
        report = account_of(here, mailbox).restore(
            place, replace=replace, progress=lambda done, of: bar.update(task, completed=done, total=of)
        )
    row: Row = {
        "address": mailbox.address, "folders": report.folders, "messages": report.messages, "octets": report.octets,
        "findings": len(report.findings),
    }  # fmt: skip
    output.record(COLUMNS, row, as_json=as_json)
