"""`mic-mail quarantine`: mail that was accepted and not delivered (Reg. 4.2).

Officers of the Centre decide, on record first; the running server carries it out within seconds. Shown are the envelope, a few
header fields and the results of the filters, never the content (Reg. 4.3): that takes a release and `content`.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, ReasonOption, argument, option
from mic_mail.cli.output import Column, ResultRecord, ResultTable, Row, row_of
from mic_mail.clock import instant_of
from mic_mail.errors import MicMailError, Refused, Text
from mic_mail.policy.authorization.roles import Right
from mic_mail.quarantine.message_store import OfficerDecision
from mic_mail.quarantine.quarantine import Quarantine, QuarantineRecord, QuarantineState, Reason
from mic_mail.services.mail_store import open_quarantine

app = Commands()

COLUMNS = (
    Column("id", "Mã", "Reference", of="held_id"),
    Column("at", "Lúc đến", "Came at"),
    Column("sender", "Người gửi", "Sender"),
    Column("to", "Người nhận", "Recipients", of="recipients"),
    Column("subject", "Tiêu đề", "Subject"),
    Column("reason", "Lý do giữ", "Reason"),
    Column("what", "Kết quả lọc", "Filter's result"),
    Column("state", "Trạng thái", "State"),
    Column("expires_at", "Giữ đến", "Kept until"),
)
ONE = (
    *COLUMNS[:4],
    Column("author", "Trường From", "From"),
    COLUMNS[4],
    Column("message_id", "Message-ID", "Message-ID"),
    Column("peer", "Máy gửi", "Peer"),
    *COLUMNS[5:7],
    Column("symbols", "Dấu hiệu", "Symbols"),
    Column("octets", "Kích cỡ", "Size", right=True, size=True),
    Column("digest", "SHA-256", "SHA-256"),
    Column("told", "Đã báo người nhận", "Recipients notified"),
    COLUMNS[7],
    Column("decided_by", "Người quyết định", "Decided by", of="decided.actor"),
    Column("decided_because", "Lý do quyết định", "Reason of the decision", of="decided.reason"),
    Column("document", "Văn bản", "Document", of="decided.document"),
    COLUMNS[8],
)
References = Annotated[list[str], argument("ID...", "Mã thư.", "References.")]
DryOption = Annotated[bool, option("--dry-run", "Chỉ xem sẽ làm gì.", "Only show what would be done.")]


@app.command("Liệt kê thư đang giữ, hoặc mọi thư (--all).", "List held messages, or all (--all).", name="list")
@requires(Right.READ_LOG, whole=True, clauses="4.2 15.5")
def list_kept(
    here: CliContext,
    *,
    recipient: Annotated[
        str | None, option("--recipient", "Chỉ thư gửi tới địa chỉ này.", "Only those for this address.")
    ] = None,
    sender: Annotated[str | None, option("--sender", "Chỉ thư của địa chỉ này.", "Only those of this address.")] = None,
    because: Annotated[Reason | None, option("--because", "Chỉ thư giữ vì lý do này.", "Only those with this reason.")] = None,
    everything: Annotated[
        bool, option("--all", "Cả thư đã quyết định hoặc hết hạn.", "Also decided and expired ones.")
    ] = False,
) -> ResultTable:
    records = [
        record
        for record in _quarantine(here).records()
        if (everything or record.state in {QuarantineState.HELD, QuarantineState.RELEASED})
        and (recipient is None or recipient.lower() in {address.lower() for address in record.recipients})
        and (sender is None or sender.lower() == record.sender.lower())
        and because in (None, record.reason)
    ]
    return ResultTable(COLUMNS, map(_row, records))


@app.command(
    "Xem một thư: phong bì, tiêu đề, dấu hiệu; không có nội dung.", "Show a message's envelope and rules, without content."
)
@requires(Right.READ_LOG, whole=True, clauses="4.2")
def show(here: CliContext, reference: Annotated[str, argument("ID", "Mã thư.", "The reference.")]) -> ResultRecord:
    return ResultRecord(ONE, _row(_quarantine(here).record(reference)))


@app.command("Cho chuyển, bỏ cách ly: thư vào hộp thư đến của người nhận.", "Deliver to the recipients' INBOX.")
@requires(Right.ACT, act="quarantine_release", clauses="4.2 15.5")
def release(
    references: References,
    *,
    learn: Annotated[
        bool, option("--learn", "Huấn luyện bộ lọc: không phải thư rác.", "Train the spam filter with it as ham.")
    ] = False,
    dry_run: DryOption = False,
    reason: ReasonOption,
    act: DocumentedAct,
) -> Text:
    def check(record: QuarantineRecord) -> None:
        if record.reason is Reason.MALWARE and act.origin.document is None:
            raise Refused(
                Text(
                    f"Thư {record.held_id} có mã độc ({record.what}); cần văn bản cho phép chuyển vào hộp thư.",
                    f"{record.held_id} contains malware ({record.what}); its delivery needs a document.",
                ),
                clause="10.2",
                remedy=Text("Nêu --document.", "Give --document."),
            )

    def let_go(quarantine: Quarantine, held_id: str, word: OfficerDecision) -> None:
        quarantine.release(held_id, word, teach=learn)

    done = _each(act, references, check, None if dry_run else let_go)
    if dry_run:
        return Text(f"Sẽ chuyển {done} thư.", f"{done} would be delivered.")
    return Text(f"{done} thư được chuyển vào hộp thư trong ít giây.", f"{done} will be delivered within seconds.")


@app.command("Hủy thư: không ai nhận được; không báo người gửi.", "Drop it without delivery; the sender is not notified.")
@requires(Right.ACT, act="quarantine_drop", clauses="4.2 15.5")
def drop(references: References, *, dry_run: DryOption = False, reason: ReasonOption, act: DocumentedAct) -> Text:
    done = _each(act, references, lambda record: None, None if dry_run else Quarantine.drop)
    return (
        Text(f"Sẽ hủy {done} thư.", f"{done} would be dropped.") if dry_run else Text(f"Đã hủy {done} thư.", f"{done} dropped.")
    )


def _quarantine(here: CliContext) -> Quarantine:
    return here.closed_at_end(open_quarantine(here.config))


def _each(
    act: Act,
    references: Sequence[str],
    check: Callable[[QuarantineRecord], None],
    do: Callable[[Quarantine, str, OfficerDecision], object] | None,
) -> int:
    """Run the action for each message, each on record before it happens; without `do` only check it.

    A failure is reported, and the others are done all the same.
    """
    act.must_have_reason("4.2")
    quarantine, origin, done = _quarantine(act.here), act.origin, 0
    failed: list[MicMailError] = []
    for reference in dict.fromkeys(references):
        try:
            record = quarantine.record(reference)
            quarantine.must_be_open(record)
            check(record)
            if do is not None:
                with act.recorded(reference, digest=record.digest, trace=reference):
                    do(
                        quarantine,
                        reference,
                        OfficerDecision(origin.actor, origin.reason, act.here.clock.now_us(), origin.document),
                    )
            done += 1
        except MicMailError as error:
            failed.append(error)
    for refusal in failed[:-1]:
        output.failure(refusal)
    if failed:
        raise failed[-1]
    return done


def _row(record: QuarantineRecord) -> Row:
    expires_at = instant_of(record.expires_at_us)
    return row_of(ONE, record, at=instant_of(record.at_us), told=len(record.told), expires_at=expires_at)
