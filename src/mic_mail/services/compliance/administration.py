"""Evidence from the officers, the requests to open content, and holds: 4.3, 6.1, 9.2, 14.3, 16.5."""

from mic_mail.errors import Text
from mic_mail.policy.content_access import Stage
from mic_mail.policy.facts import FactKind
from mic_mail.policy.labels import ROLES
from mic_mail.policy.legal_holds import holds
from mic_mail.policy.roles import Role
from mic_mail.services.compliance.finding import Evidence, Finding, Office


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    yield from _officers(office)
    yield from _content(office)
    yield from _holds(office)


def _officers(office: Office) -> Evidence:
    """Yield the officers; while none is on record, everybody at the machine is the Centre."""
    officers = office.directory.officers.all()
    serving = [officer for officer in officers if officer.serves(office.now)]
    for role, name in ROLES.items():
        count = sum(officer.role is role for officer in serving)
        missing = role is Role.CENTRE and count == 0
        owed = Text(f"chưa ghi nhận cán bộ {name.vi}", f"no officer of the {name.en} is on record") if missing else None
        yield "6.1", Finding(Text(f"cán bộ: {name.vi}", f"officers: {name.en}"), count, overdue=missing, owed=owed)
    units = {officer.unit_id for officer in serving if officer.role is Role.UNIT}
    yield "14.3", Finding(Text("đơn vị có quản trị viên", "units with an administrator"), len(units))


def _content(office: Office) -> Evidence:
    """Yield the openings of content, and requests that wait for a second person."""
    requests = office.directory.content.all()
    done = [export for export in office.directory.content.exports() if export.finished_at is not None]
    stages = [request.stage(office.now) for request in requests]
    yield "4.3", Finding(Text("đề nghị mở nội dung", "requests to open content"), len(requests))
    yield "4.3", Finding(Text("chờ phê duyệt", "wait for approval"), stages.count(Stage.ASKED))
    last = max((export.begun_at for export in done), default=None)
    yield "4.3", Finding(Text("lần xuất nội dung", "exports of content"), len(done), last)
    yield "16.5", Finding(Text("lần xuất làm chứng cứ", "exports as evidence"), len(done), last)


def _holds(office: Office) -> Evidence:
    """Yield what is retained on an authority's demand."""
    held = sum(bool(holds(entry.facts)) for entry in office.snapshot)
    asked = [fact.clocked_at for entry in office.snapshot for fact in entry.facts if fact.kind is FactKind.HELD]
    last = max(asked, default=None)
    yield "9.2", Finding(Text("hộp thư đang lưu giữ theo yêu cầu", "mailboxes under a legal hold"), held, last)
