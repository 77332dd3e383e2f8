"""Evidence from mailboxes and their facts: kinds, states, acts, keepers, handovers, quotas, holds."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

from mic_mail.config.limits import QUOTA_FLOOR
from mic_mail.errors import Text
from mic_mail.policy.calendar import local_day
from mic_mail.policy.clauses import CLAUSES
from mic_mail.policy.facts import FactKind, MailboxKind
from mic_mail.policy.legal_holds import holds
from mic_mail.policy.lifecycle import MailboxState
from mic_mail.policy.naming.addresses import is_bound
from mic_mail.policy.unit_mail.delegation import Part, serving
from mic_mail.policy.unit_mail.handover import HandoverStanding, handovers
from mic_mail.services.compliance.finding import Finding, Records, dated, evidence
from mic_mail.services.notifications.notices import warned_levels
from mic_mail.services.notifications.succession import vacancies_of


@evidence("2.3")
def accounts(records: Records) -> Iterator[Finding]:
    yield Finding(Text("tài khoản", "accounts"), len(records.live))


def _of_kind(kind: MailboxKind, records: Records) -> Iterator[Finding]:
    name = kind.label
    count = sum(entry.kind is kind for entry in records.live)
    yield Finding(Text(f"hộp thư {name.vi}", f"{name.en} mailboxes"), count)


for _clause, _kind in {"2.4": MailboxKind.PERSONAL, "2.5": MailboxKind.UNIT, "5.2": MailboxKind.GROUP}.items():
    evidence(_clause)(partial(_of_kind, _kind))


_STATES = {
    MailboxState.SUSPENDED: Text("đang tạm khóa", "suspended now"),
    MailboxState.SEND_LOCKED: Text("đang khóa gửi", "send-locked now"),
    MailboxState.RECLAIMED: Text("đã thu hồi", "reclaimed"),
    MailboxState.PASSWORD_DUE: Text("phải đổi mật khẩu", "have to change the password"),
}


def _by_clause(clause_id: str, records: Records) -> Iterator[Finding]:
    found = Counter(
        state
        for decision in records.decisions.values()
        for state in {reason.state for reason in decision.reasons if reason.clause == clause_id}
    )
    if clause_id == "7.3.c":  # zero is a figure too
        found.setdefault(MailboxState.PASSWORD_DUE, 0)
    for state, what in _STATES.items():
        if state in found:
            yield Finding(what, found[state])


for _clause in CLAUSES:
    evidence(_clause)(partial(_by_clause, _clause))


@evidence("7.1")
def suspended(records: Records) -> Iterator[Finding]:
    count = sum(MailboxState.SUSPENDED in decision.states for decision in records.decisions.values())
    yield Finding(_STATES[MailboxState.SUSPENDED], count)


_ACTS: dict[str, tuple[FactKind, Text]] = {
    "6.4.a": (FactKind.ISSUED, Text("lần cấp", "issues")),
    "5.5": (FactKind.IMPORTED, Text("hộp thư chuyển từ hệ thống khác", "imported mailboxes")),
    "6.4.b": (FactKind.TRANSFERRED, Text("lần thuyên chuyển", "transfers")),
    "6.4.c": (FactKind.LEFT, Text("lần nghỉ, chuyển đi", "leaves")),
    "7.2.a": (FactKind.ABSENCE, Text("lần thông báo vắng mặt", "notified absences")),
    "7.3.b": (FactKind.RESTORED, Text("lần khôi phục", "restores")),
    "8.3.a": (FactKind.QUOTA_SET, Text("lần điều chỉnh dung lượng", "changes of quota")),
    "15.2": (FactKind.PASSWORD_RESET, Text("lần đặt lại mật khẩu", "password resets")),
    "10.2": (FactKind.SENDING_LOCKED, Text("lần khóa gửi bằng tay", "manual send locks")),
}

_CAUSES = {
    "a": Text("lần tạm khóa vì không sử dụng", "suspensions for disuse"),
    "b": Text("lần tạm khóa theo kết luận vi phạm", "suspensions for a breach"),
    "c": Text(
        "lần tạm khóa vì bị chiếm dụng, lộ mật khẩu hoặc phát tán thư rác, mã độc",
        "suspensions for hijacking, a leaked password, or spreading spam or malware",
    ),
}


def _acts(kind: FactKind, what: Text, records: Records) -> Iterator[Finding]:
    yield dated(what, [fact.clocked_at for fact in records.facts(kind)])


def _suspensions(cause: str, what: Text, records: Records) -> Iterator[Finding]:
    yield dated(what, [fact.clocked_at for fact in records.facts(FactKind.SUSPENDED) if fact.data.get("cause") == cause])


for _clause, (_fact_kind, _what) in _ACTS.items():
    evidence(_clause)(partial(_acts, _fact_kind, _what))
for _cause, _what in _CAUSES.items():
    evidence(f"7.2.{_cause}")(partial(_suspensions, _cause, _what))


@evidence("5.5")
def older_addresses(records: Records) -> Iterator[Finding]:
    issued_on = records.config.regulation.issued_on
    older = sum(bool(entry.facts) and not is_bound(entry.facts, issued_on) for entry in records.snapshot)
    yield Finding(Text("địa chỉ có trước Quy chế, giữ nguyên", "addresses older than the rules"), older)


@evidence("5.4.b")
def chosen_addresses(records: Records) -> Iterator[Finding]:
    chosen = [fact for fact in records.facts(FactKind.ISSUED) if fact.data.get("chosen_by")]
    yield Finding(Text("địa chỉ do cá nhân chọn", "addresses that the person chose"), len(chosen))


@evidence("9.2")
def legal_holds(records: Records) -> Iterator[Finding]:
    held = sum(bool(holds(entry.facts)) for entry in records.snapshot)
    last = max((fact.clocked_at for fact in records.facts(FactKind.HELD)), default=None)
    yield Finding(Text("hộp thư đang lưu giữ theo yêu cầu", "mailboxes under a legal hold"), held, last)


@evidence("8.3.b")
def small_quotas(records: Records) -> Iterator[Finding]:
    small = sum(entry.quota_octets < QUOTA_FLOOR for entry in records.live)
    yield Finding(Text("hộp thư được cấp dưới 1 GB", "mailboxes of less than 1 GB"), small, overdue=small > 0)


@evidence("8.3.c")
def fullness(records: Records) -> Iterator[Finding]:
    """Count the mailboxes by their last warned quota level; no mailbox is opened for it."""
    live = {entry.mailbox_id for entry in records.live}
    warned = [
        level for mailbox, level in warned_levels(records.config.server.data_dir).items() if mailbox in live and level.percent
    ]
    levels = sorted(records.config.quota.warn_percent)
    for low, high in zip(levels, [*levels[1:], None], strict=True):
        what = Text(f"hộp thư đã cảnh báo ở mức {low}%", f"mailboxes warned at {low} %")
        yield dated(what, [each.at for each in warned if low <= each.percent and (high is None or each.percent < high)])


@evidence("12.3")
def keepers(records: Records) -> Iterator[Finding]:
    today = local_day(records.now)
    units = [entry for entry, decision in records.decided() if entry.kind is MailboxKind.UNIT and decision.receives]
    kept = sum(
        any(grant.part is Part.KEEPER for grant in serving(entry.kind, entry.facts, records.snapshot.facts_of, records.now))
        for entry in units
    )
    yield Finding(Text("hộp thư đơn vị có người quản lý", "unit mailboxes with a keeper"), kept)
    what = Text(f"không có người quản lý ngày {today:%d/%m/%Y}", f"without a keeper on {today:%d/%m/%Y}")
    yield Finding(what, len(units) - kept)


@evidence("12.3.d")
def handed_over(records: Records) -> Iterator[Finding]:
    """Count handovers finished, running and missing: a keeper's grant ended without one."""
    found = [each for entry in records.snapshot for each in handovers(entry.facts)]
    ended = [each.ended.effective_at for each in found if each.standing is HandoverStanding.FINISHED and each.ended is not None]
    running = [each.since for each in found if each.is_running]
    vacant = sum(any(each.holds(records.now) for each in vacancies_of(entry, records.snapshot)) for entry in records.live)
    yield dated(Text("lần bàn giao hộp thư", "mailboxes handed over"), ended)
    if running:
        yield Finding(Text("đang bàn giao", "handovers in progress"), len(running), min(running))
    if vacant:
        what = Text("hết phân công mà chưa bàn giao", "whose keeper's term ended without a handover")
        yield Finding(what, vacant, overdue=True)
