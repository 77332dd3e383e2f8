"""`mic-mail quarantine list|show|release|drop`: mail that was accepted and not delivered (Reg. 4.2).

Officers of the Centre decide, on record before it happens; the running server does it within seconds. Shown are the envelope, a
few header fields and the results of the filters, never the content of a message (Reg. 4.3). An officer who has to see more
releases the message and uses `content`, with a second person.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import Act, DocumentedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext, frame
from mic_mail.cli.options import JsonOption, ReasonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.clock import instant_of
from mic_mail.errors import BadInput, MicMailError, Refused, Text
from mic_mail.i18n.labels import labels
from mic_mail.policy.authorization.roles import Right
from mic_mail.quarantine.message_store import Word
from mic_mail.quarantine.quarantine import Quarantine, Reason, Record, State

app = typer.Typer(
    help=say("Khu cách ly (4.2): danh sách, cho chuyển, hủy thư.", "Quarantine (4.2): list, release, drop."),
    no_args_is_help=True,
)

COLUMNS = (
    Column("id", "Mã", "Reference"),
    Column("at", "Lúc đến", "Came at"),
    Column("sender", "Người gửi", "Sender"),
    Column("to", "Người nhận", "Recipients"),
    Column("subject", "Tiêu đề", "Subject"),
    Column("reason", "Lý do giữ", "Because", names=labels(Reason)),
    Column("what", "Bộ lọc nói", "The filter said"),
    Column("state", "Trạng thái", "State", names=labels(State)),
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
    Column("told", "Đã báo người nhận", "Recipients told"),
    COLUMNS[7],
    Column("decided_by", "Người quyết định", "Decided by"),
    Column("decided_because", "Lý do quyết định", "Because"),
    Column("document", "Văn bản", "Document"),
    COLUMNS[8],
)
References = Annotated[list[str], typer.Argument(metavar="ID...", help=say("Mã thư.", "References."))]
DryOption = Annotated[bool, typer.Option("--dry-run", help=say("Chỉ xem sẽ làm gì.", "Only show what would be done."))]


@app.command("list", help=say("Liệt kê thư đang giữ, hoặc mọi thư (--all).", "List held messages, or all (--all)."))
@requires(Right.READ_LOG, whole=True, clauses="4.2 15.5")
def list_kept(
    ctx: typer.Context,
    *,
    recipient: Annotated[
        str | None, typer.Option("--recipient", help=say("Chỉ thư gửi tới địa chỉ này.", "Only those for this address."))
    ] = None,
    sender: Annotated[
        str | None, typer.Option("--sender", help=say("Chỉ thư của địa chỉ này.", "Only those of this address."))
    ] = None,
    because: Annotated[
        Reason | None, typer.Option("--because", help=say("Chỉ thư giữ vì lý do này.", "Only those with this reason."))
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help=say("Cả thư đã quyết định hoặc hết hạn.", "Also decided and expired ones."))
    ] = False,
    as_json: JsonOption = False,
) -> None:
    records = [
        record
        for record in _quarantine(frame(ctx)).records()
        if (everything or record.state in {State.HELD, State.RELEASED})
        and (recipient is None or recipient.lower() in {address.lower() for address in record.recipients})
        and (sender is None or sender.lower() == record.sender.lower())
        and because in (None, record.reason)
    ]
    output.listing(COLUMNS, map(_row, records), as_json=as_json)


@app.command(
    help=say(
        "Xem một thư: phong bì, tiêu đề, dấu hiệu; không có nội dung.", "Show a message's envelope and rules, without content."
    )
)
@requires(Right.READ_LOG, whole=True, clauses="4.2")
def show(
    ctx: typer.Context,
    reference: Annotated[str, typer.Argument(metavar="ID", help=say("Mã thư.", "The reference."))],
    as_json: JsonOption = False,
) -> None:
    output.record(ONE, _row(_quarantine(frame(ctx)).record(reference)), as_json=as_json)


@app.command(help=say("Cho chuyển, bỏ cách ly: thư vào hộp thư đến của người nhận.", "Deliver to the recipients' INBOX."))
@requires(Right.ACT, act="quarantine_release", clauses="4.2 15.5")
def release(
    references: References,
    *,
    learn: Annotated[
        bool,
        typer.Option("--learn", help=say("Dạy bộ lọc: không phải thư rác.", "Train the spam filter with it as ham.")),
    ] = False,
    dry_run: DryOption = False,
    reason: ReasonOption,
    act: DocumentedAct,
) -> Text:
    def check(record: Record) -> None:
        if record.reason is Reason.MALWARE and act.origin.document is None:
            raise Refused(
                Text(
                    f"Thư {record.held_id} có mã độc ({record.what}); cần văn bản cho phép chuyển vào hộp thư.",
                    f"{record.held_id} contains malware ({record.what}); its delivery needs a document.",
                ),
                clause="10.2",
                remedy=Text("Nêu --document.", "Give --document."),
            )

    def let_go(quarantine: Quarantine, held_id: str, word: Word) -> None:
        quarantine.release(held_id, word, teach=learn)

    done = _each(act, references, check, None if dry_run else let_go)
    if dry_run:
        return Text(f"Sẽ chuyển {done} thư.", f"{done} would be delivered.")
    return Text(f"{done} thư được chuyển vào hộp thư trong ít giây.", f"{done} will be delivered within seconds.")


@app.command(
    help=say("Hủy thư: không ai nhận được; không báo người gửi.", "Drop it without delivery; the sender is not notified.")
)
@requires(Right.ACT, act="quarantine_drop", clauses="4.2 15.5")
def drop(references: References, *, dry_run: DryOption = False, reason: ReasonOption, act: DocumentedAct) -> Text:
    done = _each(act, references, lambda record: None, None if dry_run else Quarantine.drop)
    return (
        Text(f"Sẽ hủy {done} thư.", f"{done} would be dropped.") if dry_run else Text(f"Đã hủy {done} thư.", f"{done} dropped.")
    )


def _quarantine(here: CliContext) -> Quarantine:
    return Quarantine(here.config.quarantine_dir)


def _each(
    act: Act,
    references: Sequence[str],
    check: Callable[[Record], None],
    do: Callable[[Quarantine, str, Word], object] | None,
) -> int:
    """Run the action for each message, each on record before it happens; without `do` only check it.

    A failure is reported, and the others are done all the same.
    """
    if not act.origin.reason:
        raise BadInput(Text("Thiếu lý do.", "The reason is empty."), clause="4.2")
    quarantine, origin, done = _quarantine(act.here), act.origin, 0
    failed: list[MicMailError] = []
    for reference in dict.fromkeys(references):
        try:
            record = quarantine.record(reference)
            quarantine.must_be_open(record)
            check(record)
            if do is not None:
                with act.recorded(reference, digest=record.digest, trace=reference):
                    do(quarantine, reference, Word(origin.actor, origin.reason, act.here.clock.now_us(), origin.document))
            done += 1
        except MicMailError as error:
            failed.append(error)
    for refusal in failed[:-1]:
        output.failure(refusal)
    if failed:
        raise failed[-1]
    return done


def _row(record: Record) -> Row:
    return {
        "id": record.held_id,
        "at": instant_of(record.at_us),
        "sender": record.sender,
        "to": record.recipients,
        "author": record.author,
        "subject": record.subject,
        "message_id": record.message_id,
        "peer": record.peer,
        "reason": record.reason.value,
        "what": record.what,
        "symbols": record.symbols,
        "octets": record.octets,
        "digest": record.digest,
        "told": len(record.told),
        "state": record.state.value,
        "decided_by": record.decided.actor if record.decided else None,
        "decided_because": record.decided.reason if record.decided else None,
        "document": record.decided.document if record.decided else None,
        "expires_at": instant_of(record.expires_at_us),
    }
