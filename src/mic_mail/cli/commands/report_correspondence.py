"""`mic-mail report correspondence`: mail sent and received by a unit's mailbox (Reg. 12.3.b).

The unit's own administrator, the Centre and auditors see who wrote to whom and when. The subjects belong to the unit: its
administrator asks for `--subjects`, the Centre needs the unit's document, an auditor never sees them (Reg. 4.3).
"""

from typing import Annotated

from mic_mail.cli import output
from mic_mail.cli.acts import GroundedAct
from mic_mail.cli.authorization import requires
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, JsonOption, option
from mic_mail.cli.output import Column, row_of
from mic_mail.cli.output_files import OptionalDocumentFile, print_written, write_paper
from mic_mail.cli.unit_options import SinceOption, UntilOption, chosen, span_of
from mic_mail.errors import Refused, Text
from mic_mail.policy.authorization.roles import OfficerRole, Right
from mic_mail.policy.unit_mail.correspondence import CLAUSE
from mic_mail.services.reports.correspondence_report import FATES, correspondence_paper, figures
from mic_mail.services.unit_mail.correspondence import Correspondence, Correspondences

app = Commands()

DAYS = 30
CONTENT_CLAUSE = "4.3"
SENT = (
    Column("at", "Gửi lúc", "Sent", of="submission.at"),
    Column("actor", "Người gửi", "Sent by", json_only=True, of="submission.actor"),
    Column("message_id", "Message-ID", "Message-ID", json_only=True, of="submission.message_id"),
    Column("recipient", "Người nhận", "Recipient"),
    Column("fate", "Tình trạng", "State", names=FATES),
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
    Column("marked", "Đánh dấu đã trả lời", "Marked as answered", json_only=True, of="is_marked"),
)
SUBJECT = Column("subject", "Chủ đề", "Subject")


@app.command("Thư gửi, nhận, xác nhận và trả lời của một hộp thư đơn vị.", "Report a unit mailbox's mail and answers.")
@requires(Right.READ, act="report_correspondence", clauses="11.1 11.2 11.3 12.3.b")
def correspondence(
    *,
    mailbox: Annotated[str, option("--mailbox", "Hộp thư đơn vị.", "The unit mailbox.")],
    first: SinceOption = None,
    last: UntilOption = None,
    out: OptionalDocumentFile = None,
    subjects: Annotated[
        bool, option("--subjects", "Kèm chủ đề; theo văn bản của đơn vị.", "With subjects, on the unit's document.")
    ] = False,
    act: GroundedAct,
    as_json: JsonOption = False,
) -> None:
    here = act.here
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
    role = here.officer.role if here.officer is not None else OfficerRole.CENTRE
    if role is OfficerRole.UNIT or (role is OfficerRole.CENTRE and (document or "").strip()):
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
    sent = [
        row_of(
            sent_columns,
            line,
            status=line.status or None,
            answered_by=line.answered_by or None,
            subject=found.subjects.get(line.submission.message_id),
        )
        for line in found.sent
    ]
    received = [row_of(received_columns, each, answered_by=each.answered_by or None) for each in found.received]
    if as_json:
        output.print_json({**figures(found), "sent_to": sent, "received_from": received})
        return
    output.listing(sent_columns, sent, as_json=False, title=Text("Thư đã gửi", "Sent"))
    output.listing(received_columns, received, as_json=False, title=Text("Thư đã nhận", "Received"))
