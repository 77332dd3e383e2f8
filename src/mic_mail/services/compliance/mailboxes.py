"""Evidence from mailboxes and their facts: Articles 2, 5 to 8, 12.3, 15.2."""

from collections import Counter

from mic_mail.config.limits import QUOTA_FLOOR
from mic_mail.errors import Text
from mic_mail.policy.addresses import is_bound
from mic_mail.policy.calendar import local_day
from mic_mail.policy.delegation import Part, serving
from mic_mail.policy.facts import Fact, FactKind, MailboxKind
from mic_mail.policy.labels import KINDS
from mic_mail.policy.lifecycle import State
from mic_mail.services.compliance.finding import Evidence, Finding, Office

_KIND_CLAUSES = {MailboxKind.PERSONAL: "2.4", MailboxKind.UNIT: "2.5", MailboxKind.GROUP: "5.2"}

_FACT_CLAUSES: dict[FactKind, tuple[str, Text]] = {
    FactKind.ISSUED: ("6.4.a", Text("lần cấp", "issues")),
    FactKind.IMPORTED: ("5.5", Text("hộp thư chuyển từ hệ thống khác", "imported mailboxes")),
    FactKind.TRANSFERRED: ("6.4.b", Text("lần thuyên chuyển", "transfers")),
    FactKind.LEFT: ("6.4.c", Text("lần nghỉ, chuyển đi", "leaves")),
    FactKind.ABSENCE: ("7.2.a", Text("lần thông báo vắng mặt", "notified absences")),
    FactKind.RESTORED: ("7.3.b", Text("lần khôi phục", "restores")),
    FactKind.QUOTA_SET: ("8.3.a", Text("lần điều chỉnh dung lượng", "changes of quota")),
    FactKind.PASSWORD_RESET: ("15.2", Text("lần đặt lại mật khẩu", "password resets")),
    FactKind.SENDING_LOCKED: ("10.2", Text("lần khóa gửi bằng tay", "locks by hand")),
}

_CAUSES = {
    "a": Text("lần tạm khóa vì không sử dụng", "suspensions for disuse"),
    "b": Text("lần tạm khóa theo kết luận vi phạm", "suspensions for a breach"),
    "c": Text(
        "lần tạm khóa vì bị chiếm dụng, lộ mật khẩu hoặc phát tán thư rác, mã độc",
        "suspensions for infection, hijack or a leaked password",
    ),
}


def evidence(office: Office) -> Evidence:
    """Yield today's figures."""
    yield from _kinds(office)
    yield from _states(office)
    yield from _facts(office)
    yield from _keepers(office)


def _kinds(office: Office) -> Evidence:
    live = [entry for entry, decision in office.decided() if not decision.states & {State.RECLAIMED, State.NOT_ISSUED}]
    for kind, clause in _KIND_CLAUSES.items():
        name = KINDS[kind]
        count = sum(entry.kind is kind for entry in live)
        yield clause, Finding(Text(f"hộp thư {name.vi}", f"{name.en} mailboxes"), count)
    yield "2.3", Finding(Text("tài khoản", "accounts"), len(live))
    small = sum(entry.quota_octets < QUOTA_FLOOR for entry in live)
    yield "8.3.b", Finding(Text("hộp thư được cấp dưới 1 GB", "mailboxes of less than 1 GB"), small, overdue=small > 0)
    people = len(office.people)
    yield "2.6", Finding(Text("cá nhân trong danh bạ", "people in the directory"), people)
    yield "5.1", Finding(Text("đơn vị", "units"), len(office.units))


def _states(office: Office) -> Evidence:
    """Yield the mailboxes in each state by each clause."""
    found: Counter[tuple[str, State]] = Counter()
    for _, decision in office.decided():
        found.update({(reason.clause, reason.state) for reason in decision.reasons})
    names = {
        State.SUSPENDED: Text("đang tạm khóa", "suspended now"),
        State.SEND_LOCKED: Text("đang khóa gửi", "send-locked now"),
        State.RECLAIMED: Text("đã thu hồi", "reclaimed"),
        State.PASSWORD_DUE: Text("phải đổi mật khẩu", "have to change the password"),
    }
    for (clause, state), count in sorted(found.items()):
        if state in names:
            yield clause, Finding(names[state], count)
    if not found["7.3.c", State.PASSWORD_DUE]:  # Reg. 7.3.c: zero is a figure too
        yield "7.3.c", Finding(names[State.PASSWORD_DUE], 0)
    suspended = sum(State.SUSPENDED in decision.states for decision in office.decisions.values())
    yield "7.1", Finding(Text("đang tạm khóa", "suspended now"), suspended)


def _facts(office: Office) -> Evidence:
    """Yield the count of each kind of fact, and the last one."""
    by_kind: dict[FactKind, list[Fact]] = {}
    for entry in office.snapshot:
        for fact in entry.facts:
            by_kind.setdefault(fact.kind, []).append(fact)
    for kind, (clause, name) in _FACT_CLAUSES.items():
        facts = by_kind.get(kind, [])
        yield clause, Finding(name, len(facts), max((fact.clocked_at for fact in facts), default=None))
    suspended = by_kind.get(FactKind.SUSPENDED, [])
    for cause, name in _CAUSES.items():
        facts = [fact for fact in suspended if fact.data.get("cause") == cause]
        yield f"7.2.{cause}", Finding(name, len(facts), max((fact.clocked_at for fact in facts), default=None))
    older = sum(
        bool(entry.facts) and not is_bound(entry.facts, office.config.regulation.issued_on) for entry in office.snapshot
    )
    yield "5.5", Finding(Text("địa chỉ có trước Quy chế, giữ nguyên", "addresses older than the rules, kept"), older)
    chosen = [fact for fact in by_kind.get(FactKind.ISSUED, []) if fact.data.get("chosen_by")]
    yield "5.4.b", Finding(Text("địa chỉ do cá nhân chọn", "addresses that the person chose"), len(chosen))


def _keepers(office: Office) -> Evidence:
    """Yield the unit mailboxes with and without a keeper (Reg. 12.3)."""
    today = local_day(office.now)
    units = [entry for entry, decision in office.decided() if entry.kind is MailboxKind.UNIT and decision.receives]
    kept = [
        entry
        for entry in units
        if any(grant.part is Part.KEEPER for grant in serving(entry.kind, entry.facts, office.snapshot.facts_of, office.now))
    ]
    yield "12.3", Finding(Text("hộp thư đơn vị có người quản lý", "unit mailboxes with a keeper"), len(kept))
    yield (
        "12.3",
        Finding(
            Text(f"không có người quản lý ngày {today:%d/%m/%Y}", f"without a keeper on {today:%d/%m/%Y}"),
            len(units) - len(kept),
        ),
    )
