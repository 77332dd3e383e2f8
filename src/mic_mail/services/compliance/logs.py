"""Evidence from the log and its chain: retained, closed, verified, exported.

Reg. 8.2, 14.4, 16.3, 17.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mic_mail.clock import SystemClock
from mic_mail.errors import Text
from mic_mail.i18n.dates import day
from mic_mail.log import tail
from mic_mail.log.anchor_chain import AnchorFile
from mic_mail.log.audit import Audit
from mic_mail.log.files import log_files
from mic_mail.services.compliance.finding import Evidence, Finding, Office
from mic_mail.services.operations.syslog import cursor_file

ANCHORS_LATE = timedelta(hours=3)
"""The housekeeper makes one an hour."""
VERIFY_LATE = timedelta(days=31)
BEHIND_LATE = timedelta(minutes=15)
"""The housekeeper runs every second."""


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    folder = office.config.log_dir
    days = {file.day for file in log_files(folder) if file.day is not None}
    yield "8.2", Finding(Text("ngày có nhật ký thư (UTC)", "days of mail log (UTC)"), len(days))
    known = AnchorFile(folder).known()
    at = datetime.fromisoformat(known.at) if known.at else None
    late = at is None or office.now - at > ANCHORS_LATE
    owed = _late(Text("nhật ký chưa được niêm phong", "the log is not anchored"), at) if late else None
    yield "8.2", Finding(Text("lần niêm phong nhật ký", "anchors of the log"), known.count, at, overdue=late, owed=owed)
    done = _last_acts(office)
    verified = _act(done, "log_verify", Text("lần kiểm tra nhật ký", "checks of the log"))
    if verified.at is None or office.now - verified.at > VERIFY_LATE:
        owed = _late(Text("nhật ký chưa được kiểm tra", "the log is not verified"), verified.at)
        verified = replace(verified, overdue=True, owed=owed)
    yield "8.2", verified
    yield from _collectors(office)
    for clause in ("14.4", "16.3", "17"):
        yield clause, _act(done, "log_exported", Text("lần trích xuất nhật ký", "excerpts of the log"))


def _collectors(office: Office) -> Evidence:
    """Yield the collectors of security events, and those that are behind (Reg. 16.3)."""
    names = office.config.log.syslog.collectors
    yield "16.3", Finding(Text("máy chủ thu nhật ký (syslog)", "syslog collectors"), len(names))
    behind = sum(_is_behind(office, name) for name in names)
    if behind:
        what = Text("máy chủ thu nhật ký (syslog) chưa nhận đủ", "syslog collectors that are behind")
        yield "16.3", Finding(what, behind, overdue=True)


def _is_behind(office: Office, collector: str) -> bool:
    path = cursor_file(office.config, collector)
    cursor = tail.load(path)
    if cursor is None:
        return True
    moved = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return office.now - moved > BEHIND_LATE and tail.unread_octets(office.config.log_dir, cursor) > 0


def _last_acts(office: Office) -> dict[str, tuple[int, datetime]]:
    """Return the count and the last instant of each of these acts."""
    found: dict[str, tuple[int, datetime]] = {}
    for act in Audit(office.config.log_dir, clock=SystemClock()).acts():
        name = act.get("act")
        if name in ("log_verify", "log_exported"):
            found[str(name)] = found.get(str(name), (0, office.now))[0] + 1, datetime.fromisoformat(str(act["at"]))
    return found


def _act(done: dict[str, tuple[int, datetime]], name: str, what: Text) -> Finding:
    count, at = done.get(name, (0, None))
    return Finding(what, count, at)


def _late(what: Text, last: datetime | None) -> Text:
    if last is None:
        return what
    when = day(last)
    return Text(f"{what.vi} từ ngày {when.vi}", f"{what.en} since {when.en}")
