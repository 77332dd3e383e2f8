"""The export of log lines into a ZIP file, for `log` and `incident export` (Reg. 14.4, 16.3)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mic_mail.cli import output
from mic_mail.cli.acts import Act
from mic_mail.cli.output import Column, row_of
from mic_mail.cli.output_files import must_be_a_place_for_files
from mic_mail.log.export import export
from mic_mail.log.search import FoundLine, LogSearch
from mic_mail.services.operations.log_maintenance import anchor_now

EXPORTED = (
    Column("file", "Tệp", "File"),
    Column("sha256", "SHA-256", "SHA-256"),
    Column("octets", "Kích cỡ", "Size", size=True),
    Column("events", "Sự kiện", "Events"),
    Column("acts", "Việc quản trị", "Acts"),
)
Papers = Mapping[str, bytes]


def export_log(
    act: Act,
    subject: str,
    file: Path,
    find: Callable[[LogSearch], Sequence[FoundLine]],
    *,
    scope: Mapping[str, object],
    details: Mapping[str, Any],
    papers: Callable[[], Papers] = dict,
    as_json: bool,
) -> None:
    """Write the lines that `find` returns, with `papers`; print and record the digest of the file.

    `scope` is what was asked for, for the file's manifest; `details` is the same for the record of the act.
    """
    here, folder = act.here, act.here.config.log_dir
    must_be_a_place_for_files(here, file)
    origin = act.origin
    who = {"actor": origin.actor, "reason": act.reason, "document": act.document}
    asked = {**who, **scope, "server": here.config.server.hostname}
    with act.recorded(subject, file=str(file), **details):
        found = find(LogSearch(folder))
        anchor_now(folder, here.directory.load_snapshot(), here.clock.now())  # so that it holds each exported line
        done = export(folder, file, found, asked, here.clock.now(), papers=papers())
    with act.recorded(subject, act="log_exported", file=str(file), sha256=done.sha256):
        pass
    output.record(EXPORTED, row_of(EXPORTED, done, file=str(file)), as_json=as_json)
