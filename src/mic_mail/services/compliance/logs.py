"""Evidence from the log and its chain: retained, closed, verified, exported."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mic_mail.errors import Text
from mic_mail.i18n.dates import day
from mic_mail.log import tail
from mic_mail.log.anchor_chain import AnchorFile
from mic_mail.log.files import log_files
from mic_mail.services.compliance.finding import Finding, Records, dated_acts, evidence
from mic_mail.services.operations.syslog import cursor_file

ANCHORS_LATE = timedelta(hours=3)
"""The housekeeper makes one an hour."""
VERIFY_LATE = timedelta(days=31)
BEHIND_LATE = timedelta(minutes=15)
"""The housekeeper runs every second."""


@evidence("8.2")
def kept(records: Records) -> Iterator[Finding]:
    folder = records.config.log_dir
    days = {file.day for file in log_files(folder) if file.day is not None}
    yield Finding(Text("ngày có nhật ký thư (UTC)", "days of mail log (UTC)"), len(days))
    known = AnchorFile(folder).known()
    at = datetime.fromisoformat(known.at) if known.at else None
    late = at is None or records.now - at > ANCHORS_LATE
    overdue_item = _late(Text("nhật ký chưa được niêm phong", "the log is not anchored"), at) if late else None
    yield Finding(
        Text("lần niêm phong nhật ký", "anchors of the log"), known.count, at, overdue=late, overdue_item=overdue_item
    )
    verified = dated_acts(Text("lần kiểm tra nhật ký", "checks of the log"), records.acts("log_verify"))
    if verified.at is None or records.now - verified.at > VERIFY_LATE:
        overdue_item = _late(Text("nhật ký chưa được kiểm tra", "the log is not verified"), verified.at)
        verified = replace(verified, overdue=True, overdue_item=overdue_item)
    yield verified


@evidence("16.3")
def collectors(records: Records) -> Iterator[Finding]:
    names = records.config.log.syslog.collectors
    yield Finding(Text("máy chủ thu nhật ký (syslog)", "syslog collectors"), len(names))
    behind = sum(_is_behind(records, name) for name in names)
    if behind:
        what = Text("máy chủ thu nhật ký (syslog) chưa nhận đủ", "syslog collectors that are behind")
        yield Finding(what, behind, overdue=True)


@evidence("14.4", "16.3", "17")
def excerpts(records: Records) -> Iterator[Finding]:
    yield dated_acts(Text("lần trích xuất nhật ký", "excerpts of the log"), records.acts("log_exported"))


def _is_behind(records: Records, collector: str) -> bool:
    path = cursor_file(records.config, collector)
    cursor = tail.load(path)
    if cursor is None:
        return True
    moved = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return records.now - moved > BEHIND_LATE and tail.unread_octets(records.config.log_dir, cursor) > 0


def _late(what: Text, last: datetime | None) -> Text:
    if last is None:
        return what
    when = day(last)
    return Text(f"{what.vi} từ ngày {when.vi}", f"{what.en} since {when.en}")
