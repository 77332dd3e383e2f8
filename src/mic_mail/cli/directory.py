"""`mic-mail directory check`: where the directory and the mailboxes in operation disagree (Reg. 6.5)."""

from collections.abc import Mapping

import typer

from mic_mail.cli import output
from mic_mail.cli.frame import frame
from mic_mail.cli.gate import asks
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, say
from mic_mail.errors import Text
from mic_mail.policy.roles import Right
from mic_mail.services.inspection import Severity, inspect
from mic_mail.services.readings import lifecycle_settings

app = typer.Typer(help=say("Danh bạ điện tử.", "The directory."), no_args_is_help=True)

SEVERITIES: Mapping[str, Text] = {
    Severity.ERROR: Text("lỗi", "error"),
    Severity.WARNING: Text("cảnh báo", "warning"),
    Severity.NOTE: Text("lưu ý", "note"),
}
COLUMNS = (
    Column("severity", "Mức", "Severity", names=SEVERITIES),
    Column("kind", "Loại", "Kind", json_only=True),
    Column("subject", "Đối tượng", "Subject"),
    Column("text", "Không khớp", "Disagreement"),
)


@app.callback()
def directory() -> None:
    """Keeps `check` a command of its own."""


@app.command(
    help=say("Đối chiếu danh bạ với hộp thư; mã thoát 1 nếu có lỗi.", "Compare with the mailboxes; exit code 1 on errors.")
)
@asks(Right.READ, whole=True)
def check(ctx: typer.Context, as_json: JsonOption = False) -> int:
    here = frame(ctx)
    config = here.config
    snapshot = here.directory.load_snapshot()
    settings = lifecycle_settings(config, snapshot.working_days)
    found = inspect(
        snapshot,
        config.mail_root,
        here.clock.now(),
        settings,
        config.support,
        officers=here.directory.officers.all(),
        issued_on=config.regulation.issued_on,
    )
    rows = ({"severity": d.severity.value, "kind": d.kind, "subject": d.subject, "text": d.text} for d in found)
    output.listing(COLUMNS, rows, as_json=as_json)
    if not found:
        output.note(Text("Danh bạ khớp với hộp thư.", "The directory and the mailboxes agree."))
    return int(any(d.severity is Severity.ERROR for d in found))
