"""`mic-mail mailbox list|show|explain`: show mailboxes, and explain their states."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.date_args import read_instant
from mic_mail.cli.labels import FACT_DATA
from mic_mail.cli.options import Address, Commands, JsonOption, option
from mic_mail.cli.output import Cell, Column, Part, ResultRecord, ResultTable, Row, coded, row_of
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause as cite
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.facts import Fact, MailboxKind
from mic_mail.policy.labels import state_names
from mic_mail.policy.legal_holds import holds
from mic_mail.policy.lifecycle import Decision, LifecycleSettings, MailboxState, NextChange, Reason
from mic_mail.policy.states import BEGINNING
from mic_mail.policy.unit_mail.handover import running
from mic_mail.process.send_counters import SendCounters, Sums
from mic_mail.services.abuse.send_limits import DAY, HOUR, LimitUse, ceilings_of, uses
from mic_mail.services.mailboxes.explanation import Explanation, Side, explain
from mic_mail.services.settings import lifecycle_settings
from mic_mail.storage.errors import Unavailable

app = Commands()

COLUMNS = (
    Column("mailbox_id", "Mã", "Id", right=True),
    Column("address", "Địa chỉ", "Address"),
    *coded("kind", "Loại", "Kind"),
    Column("owner", "Chủ", "Owner", of="owner.name"),
    Column("state_names", "Trạng thái", "State"),
    Column("states", "Trạng thái", "State", json_only=True),
    Column("clauses", "Theo", "By"),
    Column("next_change_at", "Thay đổi tới", "Next change"),
    Column("last_used_at", "Lần sử dụng gần nhất", "Last used", of="last_activity"),
    Column("quota_octets", "Dung lượng", "Quota", json_only=True),
)
ONE = (
    *COLUMNS,
    Column("display_name", "Tên hiển thị", "Display name"),
    Column("aliases", "Bí danh", "Aliases"),
    Column("older_address", "Địa chỉ có trước Quy chế (5.5)", "Older than the rules (5.5)"),
    Column("home", "Thư mục", "Folder"),
    Column("quota", "Dung lượng", "Quota"),
    Column("receives", "Nhận thư", "Receives"),
    Column("signs_in", "Đăng nhập", "Signs in"),
    Column("sends", "Gửi thư", "Sends"),
    Column("held_by", "Lưu giữ (9.2)", "Held (9.2)"),
    Column("handed_over_to", "Đang bàn giao cho (12.3.d)", "Being handed over to (12.3.d)"),
    Column("sent_in_hour", "Đã gửi trong một giờ", "Sent within an hour"),
    Column("sent_in_day", "Đã gửi trong 24 giờ", "Sent within 24 hours"),
    Column("sent", "Đã gửi", "Sent", json_only=True),
)
FACT_COLUMNS = (
    Column("seq", "Mục", "Fact", right=True),
    Column("what", "Sự kiện", "What", of="kind.label"),
    Column("kind", "Loại", "Kind", json_only=True),
    Column("effective_at", "Hiệu lực", "In force"),
    Column("recorded_at", "Ghi nhận", "Recorded", of="clocked_at"),
    Column("document", "Văn bản", "Document"),
    Column("reason", "Lý do", "Reason"),
    Column("actor", "Người ghi", "By"),
    Column("data", "Chi tiết", "Details", names=FACT_DATA),
)
UNREADABLE = Text("hồ sơ không đọc được", "facts cannot be read")


@app.command("Liệt kê hộp thư và trạng thái.", "List mailboxes and their states.", name="list")
@requires(Right.READ, clauses="14.3")
def list_mailboxes(
    here: CliContext,
    *,
    state: Annotated[MailboxState | None, option("--state", "Chỉ trạng thái này.", "Only this state.")] = None,
    kind: Annotated[MailboxKind | None, option("--kind", "Chỉ loại này.", "Only this kind.")] = None,
) -> ResultTable:
    entries = sorted(here.directory.load_snapshot(), key=lambda entry: entry.address)
    wanted = (entry for entry in entries if kind is None or entry.kind is kind)
    return ResultTable(COLUMNS, _rows(here, wanted, state))


@app.command("Xem một hộp thư và hồ sơ của nó.", "Show a mailbox and its facts.")
@requires(Right.READ, clauses="5.5 8.3.c 9.2")
def show(here: CliContext, address: Address) -> ResultRecord:
    from mic_mail.policy.naming.addresses import is_bound  # its grammar of addresses is large

    entry = here.entry(address)
    decision = entry.decide(here.clock.now(), _settings(here))
    more: dict[str, Cell] = {
        "display_name": entry.display_name,
        "aliases": entry.aliases,
        "older_address": bool(entry.facts) and not is_bound(entry.facts, here.config.regulation.issued_on),
        "home": entry.home,
        "quota": dates.size(entry.quota_octets),
        **{name: getattr(decision, name) for name in ("receives", "signs_in", "sends")},
        "held_by": [hold.document for hold in holds(entry.facts)] or None,
        "handed_over_to": handover.successor if (handover := running(entry.facts)) is not None else None,
        **_sent(here, entry),
    }
    facts = Part("facts", FACT_COLUMNS, _fact_rows(entry.facts), Text("Hồ sơ", "Facts"))
    return ResultRecord(ONE, {**_row(entry, decision), **more}, facts)


@app.command("Giải thích trạng thái: điều khoản, sự kiện, thay đổi tới.", "Explain the state.", name="explain")
@requires(Right.READ, clauses="6.4.c 7.1 7.2.a")
def explain_state(
    here: CliContext,
    address: Address,
    at: Annotated[
        str | None, option("--at", "Thời điểm, ví dụ “31/08/2026 10:00”.", "Instant, e.g. '31/08/2026 10:00'.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    from mic_mail.cli.commands import mailbox_delegation as delegation  # beside commands that open the store

    entry = here.entry(address)
    instant = read_instant(at) if at is not None else here.clock.now()
    explanation = explain(entry, instant, _settings(here))
    grants = delegation.grant_rows(here, entry, instant)
    if as_json:
        output.print_json({**_explanation(explanation), "authority": grants})
        return
    _print_explanation(explanation)
    if grants:
        output.listing(delegation.COLUMNS, grants, as_json=False, title=Text("Ủy quyền (12.3, 5.2)", "Authority (12.3, 5.2)"))


def _sent(here: CliContext, entry: Entry) -> dict[str, Cell]:
    """Return what was sent lately, with the limits (Reg. 7.2.c); empty if the counters cannot be read."""
    ceilings = ceilings_of(here.config, entry.address)
    try:
        found = list(uses(_sums(here, entry), ceilings))
    except (OSError, Unavailable):
        return {}
    return {
        "sent_in_hour": _used([use for use in found if use.span == HOUR]),
        "sent_in_day": _used([use for use in found if use.span == DAY]),
        "sent": {f"{use.what}_{use.span}": {"taken": use.taken, "limit": use.limit} for use in found},
    }


def _sums(here: CliContext, entry: Entry) -> Sums:
    now = here.clock.now().timestamp()
    if here.config.storage.database is not None:
        from mic_mail.services.abuse.shared_counters import SharedCounters
        from mic_mail.services.mail_store import open_sent_amounts

        amounts = open_sent_amounts(here.config)
        assert amounts is not None
        with closing(SharedCounters(amounts)) as shared:
            return shared.read(entry.mailbox_id, now)
    with closing(SendCounters(here.config.sent_dir, None)) as counts:
        return counts.sums(entry.mailbox_id, now)


def _used(found: list[LimitUse]) -> Text:
    """Return `3/1000 messages, 5/2000 recipients, 1.2 MB/2 GB`."""
    messages, recipients, octets = found
    taken, limit = dates.size(octets.taken), dates.size(octets.limit)
    return Text(
        f"{messages.taken}/{messages.limit} thư, {recipients.taken}/{recipients.limit} người nhận, {taken.vi}/{limit.vi}",
        f"{messages.taken}/{messages.limit} messages, {recipients.taken}/{recipients.limit} recipients, {taken.en}/{limit.en}",
    )


def _settings(here: CliContext) -> LifecycleSettings:
    return lifecycle_settings(here.config, here.directory.years.working_days())


def _rows(here: CliContext, entries: Iterator[Entry], state: MailboxState | None) -> Iterator[dict[str, Cell]]:
    settings = _settings(here)
    for entry in entries:
        decision = entry.decide_if_readable(here.clock.now(), settings)
        if decision is None:  # one unreadable record is one line, not the end of the list
            if state is None:
                yield row_of(COLUMNS, entry, state_names=UNREADABLE, states=[], clauses=[], next_change_at=None)
            continue
        if state is None or state in decision.states:
            yield _row(entry, decision)


def _row(entry: Entry, decision: Decision) -> dict[str, Cell]:
    return row_of(
        COLUMNS,
        entry,
        state_names=state_names(decision.states),
        states=sorted(decision.states),
        clauses=sorted({reason.clause for reason in decision.reasons}),
        next_change_at=decision.valid_until,
    )


def _fact_rows(facts: Sequence[Fact]) -> list[Row]:
    return [row_of(FACT_COLUMNS, fact) for fact in facts]


def _print_explanation(explanation: Explanation) -> None:
    entry, when = explanation.entry, dates.instant(explanation.at)
    output.line(f"{entry.address} ({entry.owner.name}), {output.localized(when)}")  # a name has its letters in either language
    _print_access(explanation.known_now, entry)
    if explanation.hindsight:
        output.line(
            Text("Theo hồ sơ đã có tại thời điểm đó thì khác:", "By the facts recorded at that time, the result was different:")
        )
        _print_access(explanation.known_then, entry)
    if explanation.chain_broken_at is not None:
        output.note(
            f"Cảnh báo: hồ sơ bị sửa từ mục {explanation.chain_broken_at}.",
            f"Warning: the record was altered from fact {explanation.chain_broken_at} on.",
        )


def _print_access(side: Side, entry: Entry) -> None:
    decision = side.decision
    states = state_names(decision.states)
    output.line(Text(f"Trạng thái: {states.vi}", f"State: {states.en}"))
    doors = [
        (decision.receives, Text("nhận thư", "receives")),
        (decision.signs_in, Text("đăng nhập", "signs in")),
        (decision.sends, Text("gửi thư", "sends")),
    ]
    yes, no = Text("có", "yes"), Text("không", "no")
    access = [
        Text(f"{name.vi}: {(yes if opens else no).vi}", f"{name.en}: {(yes if opens else no).en}") for opens, name in doors
    ]
    output.line(Text("  " + "; ".join(each.vi for each in access), "  " + "; ".join(each.en for each in access)))
    for reason in decision.reasons:
        output.line(_because(reason))
        _print_last_use(reason, entry)
    output.line(_next(decision.next_change))
    for reason in decision.next_change.begins if decision.next_change else ():
        _print_last_use(reason, entry)
    if side.cited:
        output.listing(FACT_COLUMNS, _fact_rows(side.cited), as_json=False, title=Text("Căn cứ vào", "It follows from"))


def _because(reason: Reason) -> Text:
    name, cited = reason.state.label, cite(reason.clause)
    since = dates.short(reason.since) if reason.since != BEGINNING else ""
    facts = ", ".join(map(str, reason.fact_seqs))
    return Text(
        f"  {name.vi}{since and f' từ {since}'} theo {cited.vi}{facts and f' (mục {facts})'}",
        f"  {name.en}{since and f' since {since}'} by {cited.en}{facts and f' (fact {facts})'}",
    )


def _print_last_use(reason: Reason, entry: Entry) -> None:
    """Print the last use and the day of counting for Reg. 7.2.a, which no fact says."""
    counted_from = reason.params.get("counted_from")
    if not isinstance(counted_from, str):
        return
    start, used = dates.day(date.fromisoformat(counted_from)), entry.last_activity
    sentence = Text(f"tính từ ngày {start.vi}", f"counted from {start.en}")
    if used is None:
        sentence = Text(f"chưa sử dụng lần nào; {sentence.vi}", f"never used; {sentence.en}")
    elif used < reason.since:  # a later use is irrelevant for a suspension before it
        sentence = Text(
            f"lần sử dụng gần nhất {dates.short(used)}; {sentence.vi}", f"last used {dates.short(used)}; {sentence.en}"
        )
    output.line(Text(f"    {sentence.vi}", f"    {sentence.en}"))


def _next(change: NextChange | None) -> Text:
    if change is None:
        return Text("Không có thay đổi nào theo thời gian.", "Nothing changes by the clock alone.")
    states, cited, at = state_names(change.states), cite(change.clause), dates.short(change.at)
    return Text(f"Thay đổi tới: {at}, {states.vi}, theo {cited.vi}", f"Next change: {at}, {states.en}, by {cited.en}")


def _explanation(explanation: Explanation) -> dict[str, object]:
    return {
        "address": explanation.entry.address,
        "owner": explanation.entry.owner.name,
        "last_used_at": explanation.entry.last_activity,
        "at": explanation.at,
        "as_known_now": _side(explanation.known_now),
        "as_known_then": _side(explanation.known_then),
        "course": [_reason(span) for span in explanation.course],
        "chain_broken_at": explanation.chain_broken_at,
    }


def _side(side: Side) -> dict[str, object]:
    decision, change = side.decision, side.decision.next_change
    return {
        "states": sorted(decision.states),
        "receives": decision.receives,
        "signs_in": decision.signs_in,
        "sends": decision.sends,
        "reasons": [_reason(reason) for reason in decision.reasons],
        "next_change": None
        if change is None
        else {
            "at": change.at,
            "states": sorted(change.states),
            "clause": change.clause,
            "begins": [_reason(reason) for reason in change.begins],
        },
        "facts": _fact_rows(side.cited),
    }


def _reason(reason: Reason) -> dict[str, object]:
    return {
        "state": reason.state.value,
        "clause": reason.clause,
        "since": None if reason.since == BEGINNING else reason.since,
        "until": reason.until,
        "facts": reason.fact_seqs,
        "details": dict(reason.params),
    }
