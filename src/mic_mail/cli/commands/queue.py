"""`mic-mail queue list|show`: queued mail to other domains, and why it waits (Reg. 4.2).

Senders and recipients are others' traffic: each look is on record, and neither content nor subject is shown (Reg. 4.3). An
entry that cannot be read is shown as damaged, whatever the filter.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import Act
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption, argument, option
from mic_mail.cli.output import Column, Part, ResultRecord, Row, row_of
from mic_mail.clock import instant_of
from mic_mail.errors import BadInput, MicMailError, Refused, Text, in_ascii
from mic_mail.policy.authorization.roles import Right
from mic_mail.queue.queue import DamagedEntry, Queue, QueueEntry
from mic_mail.queue.recipient_log import QueueDecision, RecipientState
from mic_mail.services.mail_store import open_queue

app = Commands()

MOST_SHOWN = 500
HELD: Mapping[str, Text] = {
    "person": Text("Trung tâm giữ lại", "held by the Centre"),
    "suspended": Text("hộp thư bị tạm khóa", "mailbox suspended"),
    "send_locked": Text("hộp thư bị khóa gửi", "mailbox send-locked"),
    "reclaimed": Text("hộp thư đã thu hồi", "mailbox reclaimed"),
    "unknown": Text("không rõ tình trạng hộp thư", "mailbox's state unknown"),
    "damaged": Text("HỎNG, KHÔNG ĐỌC ĐƯỢC", "DAMAGED, CANNOT BE READ"),
}
ACTS: Mapping[str, Text] = {
    "hold": Text("giữ lại", "hold"),
    "release": Text("bỏ giữ", "release"),
    "retry": Text("gửi lại ngay", "retry"),
    "drop": Text("dừng gửi", "drop"),
}
COLUMNS = (
    Column("id", "Mã", "Id"),
    Column("sender", "Người gửi", "Sender"),
    Column("recipients", "Còn chờ", "Waiting", right=True),
    Column("domains", "Tên miền", "Domains"),
    Column("accepted_at", "Nhận lúc", "Accepted"),
    Column("age_seconds", "Đã chờ (giây)", "Age (seconds)", json_only=True),
    Column("age", "Đã chờ", "Age"),
    Column("attempts", "Số lần thử", "Tries", right=True),
    Column("next_try", "Thử lại lúc", "Next try"),
    Column("held", "Bị giữ", "Held", names=HELD),
    Column("reason", "Trả lời gần nhất", "Last reason"),
)
ONE = (
    *COLUMNS[:2],
    Column("submitted_by", "Hộp thư gửi", "Submitted by"),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    *COLUMNS[4:7],
    *COLUMNS[8:10],
    Column("warned", "Đã báo người gửi là chậm", "Sender notified of the delay"),
)
RECIPIENTS = (
    Column("address", "Người nhận", "Recipient"),
    Column("standing", "Tình trạng", "Standing"),
    Column("attempts", "Số lần thử", "Tries", right=True),
    Column("reason", "Trả lời gần nhất", "Last reason"),
    Column("server", "Máy chủ", "Server"),
    Column("told", "Đã báo người gửi", "Sender notified"),
)
DECISIONS = (
    Column("at", "Lúc", "At"),
    Column("act", "Việc", "Act", of="did", names=ACTS),
    Column("actor", "Người thực hiện", "By", of="by.actor"),
    Column("reason", "Lý do", "Reason"),
    Column("document", "Văn bản", "Document", of="by.document"),
    Column("clause", "Điều khoản", "Clause", of="by.clause", cites=True),
    Column("recipients", "Người nhận", "Recipients"),
)


@app.command("Liệt kê thư đang chờ, cũ trước.", "List the queue, oldest first.", name="list")
@requires(Right.READ_LOG, whole=True, act="queue_list", clauses="4.2 7.2.c")
def list_queue(
    *,
    sender: Annotated[str | None, option("--sender", "Chỉ của người gửi này.", "Of this sender only.")] = None,
    domain: Annotated[str | None, option("--domain", "Chỉ tới tên miền này.", "To this domain only.")] = None,
    held: Annotated[bool, option("--held", "Chỉ thư bị giữ.", "Only held messages.")] = False,
    limit: Annotated[int, option("--limit", "Bảng có tối đa số dòng này.", "Rows of the table at most.", min=1)] = MOST_SHOWN,
    act: Act,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    looking = act.recorded("*", of_sender=sender, to_domain=domain, only_held=held)
    with looking, opened(here) as queue:
        rows = _rows(here, queue, sender and sender.lower(), domain and in_dns(bare(domain)), held=held)
        if as_json:
            output.stream(COLUMNS, rows)
            return
        shown = list(islice(rows, limit + 1))
        output.listing(COLUMNS, shown[:limit], as_json=False)
        if len(shown) > limit:
            waiting = len(queue.names())
            output.note(
                f"Chỉ {limit} thư cũ nhất; hàng đợi có {waiting} thư. Xem thêm: --limit, --json.",
                f"Only the oldest {limit} are shown; {waiting} messages wait in all. See --limit, --json.",
            )


@app.command("Xem đầy đủ về một thư, trừ tiêu đề và nội dung.", "Show one entry in full, without the content.")
@requires(Right.READ_LOG, whole=True, act="queue_show", clauses="4.2")
def show(
    entry_id: Annotated[str, argument("ID", "Mã thư, hoặc phần đầu của mã.", "The id, or its beginning.")], *, act: Act
) -> ResultRecord:
    here = act.here
    with opened(here) as queue:
        found = named(queue.names(), entry_id)
        with act.recorded(found):
            entry = readable(queue, found)
            row = _one(here, entry)
    recipients = [_recipient(entry, place) for place in range(len(entry.envelope.recipients))]
    decisions = [_decision(entry, decision) for decision in entry.state.decisions]
    parts = Part("recipients", RECIPIENTS, recipients), Part("decisions", DECISIONS, decisions)
    return ResultRecord(ONE, row, *parts)


@contextmanager
def opened(here: CliContext) -> Iterator[Queue]:
    """Open the queue, beside a running server or without one."""
    queue = open_queue(here.config)
    try:
        yield queue
    finally:
        queue.close()


def named(names: Sequence[str], word: str) -> str:
    """Return the one id of the sorted `names` that begins with `word`."""
    beginning = word.strip().upper()
    first, behind = bisect_left(names, beginning), bisect_left(names, f"{beginning}\x7f")
    found = names[first:behind] if beginning else []
    if found and found[0] == beginning:
        return beginning
    if not found:
        raise BadInput(
            Text(f"Hàng đợi không có thư {word}.", f"The queue has no entry {in_ascii(word)}."),
            remedy=Text(
                f"Có thể thư đã gửi xong: mic-mail log trace {word}",
                f"It may have left the queue: mic-mail log trace {in_ascii(word)}",
            ),
        )
    if len(found) > 1:
        raise BadInput(
            Text(f"{len(found)} thư có mã bắt đầu bằng {word}.", f"{len(found)} ids begin with {in_ascii(word)}."),
            remedy=Text("Ghi mã dài hơn.", "Give more of the id."),
        )
    return found[0]


def readable(queue: Queue, entry_id: str) -> QueueEntry:
    """Return the entry; raise `Refused` where it has ended meanwhile or is damaged."""
    found = queue.look_at(entry_id)
    if isinstance(found, DamagedEntry):
        raise Refused(
            Text(f"Không đọc được thư {entry_id}: {found.why.vi}", f"{entry_id} cannot be read: {found.why.en}"),
            remedy=Text(
                "Máy chủ không gửi thư này; xem các tệp của nó, lấy lại từ bản sao lưu.",
                "The server does not send it; check its files, or restore them from a backup.",
            ),
        )
    if found is None:
        raise Refused(
            Text(f"Thư {entry_id} vừa kết thúc.", f"{entry_id} has just left the queue."),
            remedy=Text(f"Xem: mic-mail log trace {entry_id}", f"See: mic-mail log trace {entry_id}"),
        )
    return found


def bare(domain: str) -> str:
    """Return a domain as people write it."""
    return domain.strip().lower().removeprefix("@")


@cache
def in_dns(domain: str) -> str:
    """Return the domain in its DNS form, if it has one (RFC 5890 §2.3.2.1)."""
    if domain.isascii():
        return domain.lower()
    from mic_mail.domain_name import NotAName, to_ascii

    try:
        return to_ascii(domain)
    except NotAName:
        return domain.lower()


HeldBecause = Callable[[QueueEntry], str | None]


def held_because(here: CliContext) -> HeldBecause:
    """Return a function that says why an entry is held (a key of HELD); None: it is not held."""
    from mic_mail.services.authentication.decision_cache import KEPT_BACK
    from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle

    directory = here.whole_directory
    accounts = MailboxLifecycle(directory, here.config, here.clock)

    @cache
    def of_mailbox(mailbox_id: int) -> str | None:
        try:
            states = accounts.decide(directory.entry(mailbox_id)).states & KEPT_BACK
        except MicMailError:  # an unknown state may be a suspension: the sender process holds it, too
            return "unknown"
        wanted = (
            state.value for state in sorted(states, key=lambda state: list(HELD).index(state.value)) if state.value in HELD
        )
        return next(wanted, "unknown" if states else None)

    def because(entry: QueueEntry) -> str | None:
        if entry.state.is_held:
            return "person"
        return of_mailbox(entry.envelope.submitted_by) if entry.envelope.submitted_by else None

    return because


def _rows(here: CliContext, queue: Queue, sender: str | None, domain: str | None, *, held: bool) -> Iterator[Row]:
    """Yield the rows one at a time: a hundred thousand entries may wait."""
    because, now_us = held_because(here), here.clock.now_us()
    for found in queue.look_at_each(queue.names()):
        if isinstance(found, DamagedEntry):
            yield {"id": found.entry_id, "held": "damaged", "reason": output.localized(found.why)}
        elif sender is None or str(found.envelope.sender).lower() == sender:
            domains = Counter(found.envelope.recipients[place].domain for place in found.state.open)
            why = because(found)
            if (domain is None or domain in map(in_dns, domains)) and (why is not None or not held):
                yield {**_common(found, now_us), "domains": dict(domains), "held": why}


def _common(entry: QueueEntry, now_us: int) -> dict[str, output.Cell]:
    envelope, state = entry.envelope, entry.state
    pending = [state.recipients[place] for place in state.open]
    age = max(0, (now_us - envelope.accepted_at_us) // 1_000_000)
    return {
        "id": entry.entry_id,
        "sender": str(envelope.sender) or "<>",
        "recipients": len(pending),
        "accepted_at": instant_of(envelope.accepted_at_us),
        "age_seconds": age,
        "age": _span(age),
        "attempts": max((each.attempts for each in pending), default=0),
        "next_try": instant_of(state.next_try_us) if state.next_try_us > now_us else None,
        "reason": next((_reason(each) for each in pending if each.reason), None),
    }


def _reason(recipient: RecipientState) -> str:
    text = recipient.text
    return output.localized(text) if isinstance(text, Text) else text


def _span(seconds: int) -> Text:
    for length, vi, en in ((86_400, "ngày", "d"), (3_600, "giờ", "h"), (60, "phút", "min")):
        if seconds >= 2 * length or (length == 60 and seconds >= length):
            return Text(f"{seconds // length} {vi}", f"{seconds // length} {en}")
    return Text(f"{seconds} giây", f"{seconds} s")


def _one(here: CliContext, entry: QueueEntry) -> Row:
    submitted_by: str | None = None
    if entry.envelope.submitted_by:
        try:
            submitted_by = here.whole_directory.entry(entry.envelope.submitted_by).address
        except MicMailError:
            submitted_by = f"#{entry.envelope.submitted_by}"
    return {
        **_common(entry, here.clock.now_us()),
        "submitted_by": submitted_by,
        "octets": entry.octets,
        "held": held_because(here)(entry),
        "warned": entry.state.warned,
    }


def _recipient(entry: QueueEntry, place: int) -> Row:
    recipient = entry.state.recipients[place]
    return {
        "address": str(entry.envelope.recipients[place].address),
        "standing": recipient.standing,
        "attempts": recipient.attempts,
        "reason": _reason(recipient) or None,
        "server": recipient.server,
        "told": place in entry.state.reported,
    }


def _decision(entry: QueueEntry, decision: QueueDecision) -> Row:
    word, recipients = decision.by, entry.envelope.recipients
    return row_of(
        DECISIONS,
        decision,
        at=instant_of(word.at_us) if word.at_us else None,
        reason=word.reason or None,
        recipients=[str(recipients[place].address) for place in decision.places if place < len(recipients)] or None,
    )
