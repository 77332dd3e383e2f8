"""`mic-mail report correspondence`: mail sent and received by a unit's mailbox (Reg. 12.3.b).

The unit's own administrator, the Centre and auditors see who wrote to whom and when. The subjects belong to the unit: its
administrator asks for `--subjects`, the Centre needs the unit's document, an auditor never sees them (Reg. 4.3).
"""

from typing import Annotated

import typer

from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import JsonOption
from mic_mail.cli.output import Column, Row, say
from mic_mail.cli.output_files import check_kind, print_written, write_paper
from mic_mail.cli.unit_options import PaperOption, SinceOption, UntilOption, chosen, span_of
from mic_mail.errors import Refused, Text
from mic_mail.policy.authorization.roles import Right, Role
from mic_mail.policy.unit_mail.correspondence import CLAUSE
from mic_mail.services.reports.correspondence_report import FATES, correspondence_paper, figures
from mic_mail.services.unit_mail.correspondence import Correspondence, Correspondences

app = typer.Typer(no_args_is_help=True)

DAYS = 30
CONTENT_CLAUSE = "4.3"
SENT = (
    Column("at", "Gửi lúc", "Sent"),
    Column("actor", "Người gửi", "Sent by", json_only=True),
    Column("message_id", "Message-ID", "Message-ID", json_only=True),
    Column("recipient", "Người nhận", "Recipient"),
    Column("fate", "Tình trạng", "State", names={fate.value: name for fate, name in FATES.items()}),
    Column("fate_at", "Lúc", "At"),
    Column("status", "Mã", "Status"),
    Column("read_at", "Xác nhận đọc", "Reported read"),
    Column("answered_at", "Trả lời", "Answered"),
    Column("answered_by", "Người trả lời", "By"),
)
RECEIVED = (
    Column("at", "Nhận lúc", "Received"),
    Column("sender", "Người gửi", "Sender"),
    Column("automatic", "Tự động", "Automatic"),
    Column("answered_at", "Trả lời lúc", "Answered"),
    Column("answered_by", "Người trả lời", "By"),
    Column("marked", "Đánh dấu đã trả lời", "Marked as answered", json_only=True),
)
SUBJECT = Column("subject", "Chủ đề", "Subject")


@app.command(
    help=say("Thư gửi, nhận, xác nhận và trả lời của một hộp thư đơn vị.", "Report a unit mailbox's mail and answers.")
)
@requires(Right.READ, act="report_correspondence", clauses="11.1 11.2 11.3 12.3.b")
def correspondence(
    *,
    mailbox: Annotated[str, typer.Option("--mailbox", help=say("Hộp thư đơn vị.", "The unit mailbox."))],
    first: SinceOption = None,
    last: UntilOption = None,
    out: PaperOption = None,
    subjects: Annotated[
        bool,
        typer.Option("--subjects", help=say("Kèm chủ đề; theo văn bản của đơn vị.", "With subjects, on the unit's document.")),
    ] = False,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
    if out is not None:
        check_kind(out)
    span = span_of(here.clock.now(), first, last, days=DAYS)
    choice = chosen(here, mailbox, None, clause=CLAUSE)
    with act.recorded(choice.subject, concerns=choice.unit, first=span.first, last=span.last, subjects=subjects):
        if subjects:
            _must_have_basis(here, act.document)
        (entry,) = choice.mailboxes(here.directory.load_snapshot())
        people = here.whole_directory.load_snapshot()  # the person answering for the unit may belong to another by now
        found = Correspondences(here.store, people, here.config).of(entry, span)
        if out is not None:
            made = correspondence_paper(here.config, entry.address, found, span, here.clock.now(), subjects=subjects)
            print_written(write_paper(here, out, made))
            return
    _show(found, subjects=subjects, as_json=as_json)


def _must_have_basis(here: CliContext, document: str | None) -> None:
    """Require the unit's document: only the unit itself reads its subjects without one (Reg. 4.3)."""
    role = here.officer.role if here.officer is not None else Role.CENTRE
    if role is Role.UNIT or (role is Role.CENTRE and (document or "").strip()):
        return
    raise Refused(
        Text("Chủ đề thư là của đơn vị.", "Subjects may be shown only to the unit's administrator."),
        clause=CONTENT_CLAUSE,
        remedy=Text(
            "Thêm --document SỐ văn bản đề nghị của đơn vị; cán bộ kiểm tra không xem chủ đề.",
            "Add --document NUMBER of the unit's request; auditors do not see subjects.",
        ),
    )


def _show(found: Correspondence, *, subjects: bool, as_json: bool) -> None:
    sent_columns = (*SENT, SUBJECT) if subjects else SENT
    received_columns = (*RECEIVED, SUBJECT) if subjects else RECEIVED
    sent, received = _sent(found), _received(found)
    if as_json:
        output.print_json(
            {
                **figures(found),
                "sent_to": [{column.key: row[column.key] for column in sent_columns} for row in sent],
                "received_from": [{column.key: row[column.key] for column in received_columns} for row in received],
            }
        )
        return
    output.listing(sent_columns, sent, as_json=False, title=Text("Thư đã gửi", "Sent"))
    output.listing(received_columns, received, as_json=False, title=Text("Thư đã nhận", "Received"))


def _sent(found: Correspondence) -> list[Row]:
    return [
        {
            "at": line.submission.at,
            "actor": line.submission.actor,
            "message_id": line.submission.message_id,
            "recipient": line.recipient,
            "fate": line.fate.value,
            "fate_at": line.fate_at,
            "status": line.status or None,
            "read_at": line.read_at,
            "answered_at": line.answered_at,
            "answered_by": line.answered_by or None,
            "subject": found.subjects.get(line.submission.message_id),
        }
        for line in found.sent
    ]


def _received(found: Correspondence) -> list[Row]:
    return [
        {
            "at": each.at,
            "sender": each.sender,
            "automatic": each.automatic,
            "answered_at": each.answered_at,
            "answered_by": each.answered_by or None,
            "marked": each.is_marked,
            "subject": each.subject,
        }
        for each in found.received
    ]
