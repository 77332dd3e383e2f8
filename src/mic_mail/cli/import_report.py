"""The progress of an import on standard error, and its report, folder by folder, on standard output."""

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mic_mail.cli import output
from mic_mail.cli.context import CliContext
from mic_mail.cli.output import Column, Row, row_of
from mic_mail.errors import Text, in_ascii
from mic_mail.i18n import dates
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.services.importers.import_job import ImportResult
from mic_mail.services.importers.ledger import Taken
from mic_mail.services.importers.source import FolderCounts, Skip, SourceFolder
from mic_mail.services.importers.verify import Compared

EVERY_SECONDS = 10.0
"""Seconds between two lines where no bar is shown."""

SKIPS: Mapping[str, Text] = {
    Skip.EMPTY: Text("rỗng", "empty"),
    Skip.UNREADABLE: Text("không đọc được", "unreadable"),
    Skip.NOT_A_FILE: Text("không phải tệp", "not a file"),
    Skip.DELETED: Text("đã xóa ở nguồn", "deleted at the source"),
    Skip.GONE: Text("vừa mất ở nguồn", "gone from the source meanwhile"),
    Skip.ALTERED: Text("khác bản kê", "differs from its manifest"),
    Skip.VIRTUAL: Text("thư mục ảo", "virtual folder"),
    Skip.SHARED: Text("của người khác", "shared folder"),
    Skip.NOT_CHOSEN: Text("không chọn", "not chosen"),
}
REPORT = (
    Column("source", "Thư mục nguồn", "Source folder"),
    Column("target", "Thư mục đích", "Folder here"),
    Column("found", "Ở nguồn", "At source", right=True),
    Column("imported", "Đã nhập", "Imported", right=True),
    Column("already", "Đã có", "Already", right=True),
    Column("reflagged", "Đổi cờ", "Reflagged", right=True),
    Column("skipped", "Bỏ qua", "Skipped", names=SKIPS),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("digest", "Mã kiểm tra", "Digest", json_only=True),
    Column("sum", "Mã kiểm tra", "Digest"),
)
REHEARSED = (*REPORT[:3], Column("imported", "Sẽ nhập", "To import", right=True), REPORT[4], REPORT[6])
COMPARED = (
    Column("source", "Thư mục nguồn", "Source folder", of="tally.source"),
    Column("target", "Thư mục đích", "Folder here"),
    Column("found", "Ở nguồn", "At source", right=True, of="tally.found"),
    Column("there", "Đúng chỗ", "There", right=True),
    Column("elsewhere", "Ở thư mục khác", "Elsewhere", right=True),
    Column("removed", "Đã xóa ở đây", "Deleted here", right=True),
    Column("missing", "Thiếu", "Missing", right=True),
    Column("skipped", "Bỏ qua", "Skipped", names=SKIPS),
    Column("digest", "Mã kiểm tra", "Digest", json_only=True, of="tally.digest"),
    Column("named", "Mã của thư thiếu", "Digests of those", json_only=True),
)
SOURCES = (
    Column("address", "Hộp thư", "Mailbox"),
    Column("source", "Nguồn", "Source"),
    Column("messages", "Số thư", "Messages", right=True),
    Column("last_at", "Lần cuối", "Last run"),
    Column("complete", "Đã hết", "Complete"),
    Column("skipped", "Bỏ qua", "Skipped", right=True),
)


class ImportProgress:
    """The progress of one import; a context manager."""

    def __init__(self, folders: Sequence[SourceFolder], name: str = "", *, shows: bool = True) -> None:
        counts = [folder.count for folder in folders if folder.skip is None]
        known = bool(counts) and all(count is not None for count in counts)
        self._total = sum(count or 0 for count in counts) if known else None
        self._name = name
        self._tallies: dict[int, FolderCounts] = {}
        self._shows = shows and sys.stderr.isatty()
        self._said_at = self._began_at = time.monotonic()  # for the person who watches, not for the mailboxes
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=output.console_of(stderr=True),
            transient=True,
            disable=not self._shows,
        )
        self._task = self._bar.add_task(name, total=self._total, rate="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def folder_progress(self, tally: FolderCounts) -> None:
        self._tallies[id(tally)] = tally
        done = sum(each.found for each in self._tallies.values())
        now = time.monotonic()
        if self._shows:
            rate = dates.size(int(self._octets / max(now - self._began_at, 0.1)))
            self._bar.update(
                self._task, description=output.visible(tally.source), completed=done, rate=f"{output.localized(rate)}/s"
            )
        elif now - self._said_at >= EVERY_SECONDS:
            self._said_at = now
            output.note(self._line(tally, done, now - self._began_at))

    @property
    def _octets(self) -> int:
        return sum(each.octets for each in self._tallies.values())

    def _line(self, tally: FolderCounts, done: int, seconds: float) -> Text:
        per_second, size = done / seconds, dates.size(self._octets)
        of = f"/{self._total}" if self._total is not None else ""
        left = int((self._total - done) / per_second) if self._total and per_second else None
        vi_left, en_left = ("", "") if left is None else (f", còn {left} giây", f", {left} s left")
        head = f"{self._name}: {tally.source}" if self._name else tally.source
        return Text(
            f"{head}: {done}{of} thư, {size.vi}, {per_second:.0f} thư/giây{vi_left}",
            f"{in_ascii(head)}: {done}{of} messages, {size.en}, {per_second:.0f}/s{en_left}",
        )


def rows_of(outcome: ImportResult, **more: str) -> list[Row]:
    return [
        {**more, **row_of(REPORT, tally, target=tally.target or None, skipped=tally.skipped or None, sum=tally.digest[:16])}
        for tally in outcome.tallies
    ]


def report_of(done: ImportResult, *, rehearsed: bool, as_json: bool) -> None:
    """Print what was imported, or would be."""
    output.listing(REHEARSED if rehearsed else REPORT, rows_of(done), as_json=as_json)
    output.note(summary(done, rehearsed=rehearsed))


def report_of_comparison(done: Sequence[Compared], *, as_json: bool) -> int:
    """Print the comparison; return how many messages are missing, or could not be compared."""
    rows = (row_of(COMPARED, each, target=each.tally.target or None, skipped=each.tally.skipped or None) for each in done)
    output.listing(COMPARED, rows, as_json=as_json)
    missing = sum(each.missing for each in done)
    found = sum(each.tally.found for each in done)
    output.note(f"{found} thư ở nguồn, thiếu {missing}.", f"{found} messages at the source, {missing} missing.")
    unread = sum(each.tally.skipped.get(Skip.UNREADABLE, 0) for each in done)
    if unread:
        output.note(f"Không đọc được ở nguồn: {unread} mục.", f"Unreadable at the source: {unread} messages or folders.")
    return missing + unread


def summary(outcome: ImportResult, *, rehearsed: bool = False) -> Text:
    found = sum(tally.found for tally in outcome.tallies)
    already = sum(tally.already for tally in outcome.tallies)
    skipped = sum(sum(tally.skipped.values()) for tally in outcome.tallies)
    size = dates.size(sum(tally.octets for tally in outcome.tallies))
    if rehearsed:
        return Text(
            f"{found} thư ở nguồn: sẽ nhập {outcome.imported}, đã có {already}, bỏ qua {skipped}. Chưa nhập gì.",
            f"{found} messages at the source: {outcome.imported} to import, {already} already there, {skipped} skipped.",
        )
    return Text(
        f"{found} thư ở nguồn: nhập {outcome.imported} ({size.vi}), đã có {already}, bỏ qua {skipped}.",
        f"{found} messages at the source: {outcome.imported} imported ({size.en}), {already} already there, {skipped} skipped.",
    )


def record_end(here: CliContext, address: str, origin: ActContext, outcome: ImportResult) -> None:
    here.audit.record(
        actor=origin.actor,
        act="mailbox_import_ended",
        subject=address,
        document=origin.document,
        found=sum(tally.found for tally in outcome.tallies),
        imported=outcome.imported,
        already=sum(tally.already for tally in outcome.tallies),
        skipped=sum(sum(tally.skipped.values()) for tally in outcome.tallies),
        octets=sum(tally.octets for tally in outcome.tallies),
        trouble=None if outcome.error is None else outcome.error.text.en,
    )


def source_row(each: Taken, address: str) -> Row:
    last = each.last
    return {
        "address": address,
        "source": each.source,
        "messages": each.messages,
        "last_at": datetime.fromisoformat(last.at) if last else None,
        "complete": bool(last and last.complete),
        "skipped": last.skipped if last else None,
    }
