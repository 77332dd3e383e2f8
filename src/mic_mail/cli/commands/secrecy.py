"""`mic-mail secrecy`: messages with a secrecy marking, refused or come in (Reg. 4.1).

Two people correct a mistaken refusal, each with a reason: one asks, another releases. Every step is on record first; the
running server carries the decision out within seconds. Nobody is shown the content.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.labels import PLACES
from mic_mail.cli.options import Commands, ReasonOption, argument, option
from mic_mail.cli.output import Column, ResultRecord, ResultTable, Row, row_of
from mic_mail.clock import instant_of
from mic_mail.errors import Refused, Text
from mic_mail.i18n.messages import DEGREES
from mic_mail.policy.authorization.roles import Right
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.quarantine.held_messages import NOBODY, HeldMessages, HeldRecord, HeldState
from mic_mail.quarantine.message_store import OfficerDecision
from mic_mail.services.mail_store import open_held

app = Commands()

COLUMNS = (
    Column("id", "Mã", "Reference", of="held_id"),
    Column("at", "Lúc", "At"),
    Column("sender", "Người gửi", "Sender"),
    Column("recipients", "Số người nhận", "Recipients", right=True),
    Column("degree", "Độ mật", "Degree", names=DEGREES),
    Column("where", "Tìm thấy ở", "Found in"),
    Column("state", "Trạng thái", "State"),
    Column("expires_at", "Giữ đến", "Kept until"),
)
ONE = (
    *COLUMNS[:3],
    Column("login", "Người đăng nhập", "Signed in as"),
    Column("to", "Người nhận", "Recipients", of="recipients"),
    *COLUMNS[4:7],
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("digest", "SHA-256", "SHA-256"),
    Column("asked_by", "Người đề nghị", "Asked by", of="asked.actor"),
    Column("asked_because", "Lý do đề nghị", "Reason of the request", of="asked.reason"),
    Column("decided_by", "Người quyết định", "Decided by", of="decided.actor"),
    Column("decided_because", "Lý do quyết định", "Reason of the decision", of="decided.reason"),
    COLUMNS[7],
)
Reference = Annotated[str, argument("ID", "Mã trong thông báo từ chối.", "The reference of the refusal.")]


@app.command(
    "Liệt kê thư bị từ chối, hoặc thư đến có dấu (--inbound).", "List refused messages, or incoming ones.", name="list"
)
@requires(Right.READ_LOG, whole=True, clauses="4.1")
def list_held(
    here: CliContext,
    *,
    inbound: Annotated[bool, option("--inbound", "Thư từ bên ngoài.", "Messages from outside.")] = False,
    state: Annotated[HeldState | None, option("--state", "Chỉ trạng thái này.", "Only those in this state.")] = None,
) -> ResultTable:
    records = [
        record
        for record in _held(here).records()
        if (record.state is HeldState.FLAGGED) is inbound and state in (None, record.state)
    ]
    return ResultTable(COLUMNS, map(_row, records))


@app.command(
    "Xem một thư: ai, gửi ai, độ mật, ở đâu; không có nội dung.",
    "Show a message's sender, recipients and marking, without content.",
)
@requires(Right.READ_LOG, whole=True)
def show(here: CliContext, reference: Reference) -> ResultRecord:
    return ResultRecord(ONE, _row(_held(here).record(reference)))


@app.command("Đề nghị cho chuyển một thư bị từ chối nhầm.", "Ask for the release of a mistaken refusal.")
@requires(Right.ACT, act="secrecy_ask", clauses="4.1")
def ask(reference: Reference, *, reason: ReasonOption, act: DocumentedAct) -> Text:
    with _deciding(act, reference) as (held, _, word):
        held.ask(reference, word)
    return Text(
        f"Đã ghi đề nghị; người khác chạy: mic-mail secrecy release {reference} --reason ...",
        f"Recorded; another person runs: mic-mail secrecy release {reference} --reason ...",
    )


@app.command("Cho chuyển theo đề nghị của người khác; thư được chuyển đi.", "Approve the release; the message is sent.")
@requires(Right.ACT, act="secrecy_release", clauses="4.1")
def release(reference: Reference, *, reason: ReasonOption, act: DocumentedAct) -> Text:
    with _deciding(act, reference) as (held, record, word):
        held.release(reference, word, _may_still_send(act.here, record))
    return Text(f"Thư {reference} được chuyển đi trong ít giây.", f"{reference} will be sent within seconds.")


@app.command("Giữ nguyên việc từ chối và xóa thư đang giữ.", "Uphold the refusal; the message is removed.")
@requires(Right.ACT, act="secrecy_discard")
def discard(reference: Reference, *, reason: ReasonOption, act: DocumentedAct) -> Text:
    with _deciding(act, reference) as (held, _, word):
        held.discard(reference, word)
    return Text(f"Thư {reference} không được chuyển đi.", f"{reference} will not be sent.")


def _held(here: CliContext) -> HeldMessages:
    return here.closed_at_end(open_held(here.config))


@contextmanager
def _deciding(act: Act, reference: str) -> Iterator[tuple[HeldMessages, HeldRecord, OfficerDecision]]:
    """Yield what one decision about a refused message needs, on record first."""
    here, who = act.here, act.origin.actor
    act.must_have_reason("4.1")
    held = _held(here)
    record = _outgoing(held, reference)
    with act.recorded(reference, digest=record.digest):
        hand = Hand.of(here.officer, who, here.login)
        word = OfficerDecision(who, act.reason, here.clock.now_us(), act.document, hand.login, hand.full_name, hand.person_id)
        yield held, record, word


def _outgoing(held: HeldMessages, reference: str) -> HeldRecord:
    record = held.record(reference)
    if record.state is HeldState.FLAGGED:
        raise Refused(
            Text("Thư này từ bên ngoài và đã được chuyển đến người nhận.", "This message came from outside and was delivered."),
            clause="4.1",
        )
    return record


def _may_still_send(here: CliContext, record: HeldRecord) -> Hand:
    """Return the sender; a mailbox that is suspended or send-locked by now is refused (Reg. 6.4.c, 7.1)."""
    from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle

    mailbox = here.directory.mailbox(record.login or record.sender)
    decision = here.use_cases(MailboxLifecycle).state_of(mailbox)
    if not decision.sends:
        raise Refused(
            Text(f"Hộp thư {mailbox.address} hiện không được gửi thư.", f"{mailbox.address} may not send now."),
            clause=decision.reasons[0].clause if decision.reasons else "7.1",
        )
    if mailbox.person_id is None:
        return NOBODY
    return Hand(full_name=here.directory.person(mailbox.person_id).full_name, person_id=mailbox.person_id)


def _row(record: HeldRecord) -> Row:
    return row_of(
        (*COLUMNS, *ONE),
        record,
        at=instant_of(record.at_us),
        recipients=len(record.recipients),
        where=[_place(where) for where in record.where],
        expires_at=instant_of(record.expires_at_us),
    )


def _place(where: str) -> str:
    place, _, form = where.partition("/")
    return f"{output.localized(PLACES[place])} ({form})" if place in PLACES else where
