"""Notices about requests to the Centre (Reg. 6.2): the result of a mailed form, overdue requests."""

from datetime import datetime

from mic_mail.errors import Text
from mic_mail.i18n import dates
from mic_mail.i18n.clause_names import clause
from mic_mail.i18n.notices.mailbox import MIDNIGHT
from mic_mail.i18n.notices.notice import NoticeText, Reader, notice
from mic_mail.i18n.plurals import counted

LISTED = "mic-mail request list --overdue"
ANSWER = Text("Kết quả tiếp nhận yêu cầu", "Your requests")


def opened_row(row: int, number: int, about: Text, due: datetime, due_by: str | None) -> Text:
    """Return the line of a row that became a request.

    `due_by`: the clause that sets the deadline, None: the Centre's own target.
    """
    by = clause(due_by) if due_by else Text("mục tiêu của Trung tâm", "our own target")
    when = dates.instant(due)
    return Text(
        f"- Dòng {row}: yêu cầu số {number}, {about.vi}; hạn {when.vi} ({by.vi}).",
        f"- Row {row}: request {number}, {about.en}; due {when.en} ({by.en}).",
    )


def recorded_row(row: int, number: int, incident: str) -> Text:
    """Return the line of a row that became a recorded incident (Reg. 14.4)."""
    cited = clause("14.4")
    return Text(
        f"- Dòng {row}: đã ghi sự cố {incident} (yêu cầu số {number}), chuyển Trung tâm xử lý ({cited.vi}).",
        f"- Row {row}: incident {incident} recorded (request {number}) and passed to the Centre ({cited.en}).",
    )


def refused_row(row: int, why: Text, clause_id: str | None) -> Text:
    """Return the line of a refused row, with the reason."""
    cited = clause(clause_id) if clause_id else None
    return Text(
        f"- Dòng {row}: từ chối{f' theo {cited.vi}' if cited else ''}. {why.vi}",
        f"- Row {row}: refused{f' ({cited.en})' if cited else ''}. {why.en}",
    )


def overdue_row(number: int, about: Text, due: datetime) -> Text:
    """Return the line of a request whose deadline is past."""
    when = dates.instant(due)
    return Text(
        f"- Yêu cầu số {number}, {about.vi}: hạn {when.vi}.",
        f"- Request {number}, {about.en}: was due {when.en}.",
    )


def and_more(count: int) -> Text:
    """Return the line after the last row that is listed."""
    return Text(f"- và {count} yêu cầu khác.", f"- and {count} more.")


def listed(*rows: Text) -> Text:
    return Text("\n".join(row.vi for row in rows), "\n".join(row.en for row in rows))


@notice(
    "6.2",
    Reader.UNIT,
    opened=1,
    refused=1,
    rows=listed(
        opened_row(2, 12, Text("cấp mới: Đỗ Văn Bê", "issue"), MIDNIGHT, None),
        refused_row(3, Text("Thiếu số văn bản.", "The document number is missing."), "6.2"),
    ),
)
def requests_answered(opened: int, refused: int, rows: Text) -> NoticeText:
    """A unit's mailbox sent the request form; each row is listed with its result."""
    cited = clause("6.2")
    head = Text(
        f"Trung tâm Thông tin đã nhận mẫu yêu cầu theo {cited.vi}: {opened} yêu cầu đã ghi sổ, {refused} dòng bị từ chối.",
        f"The Information Centre has received your form ({cited.en}): {counted(opened, 'request', 'requests')} entered, "
        f"{counted(refused, 'row', 'rows')} refused.",
    )
    return NoticeText(ANSWER, Text(f"{head.vi}\n\n{rows.vi}", f"{head.en}\n\n{rows.en}"))


@notice("6.2", Reader.UNIT, why=Text("Không đọc được bảng: tệp hỏng.", "The table cannot be read: the file is damaged."))
def request_form_unreadable(why: Text) -> NoticeText:
    """A unit's mailbox sent an attachment meant as the request form, and it cannot be read."""
    cited = clause("6.2")
    return NoticeText(
        ANSWER,
        Text(
            f"Không tiếp nhận được yêu cầu nào từ tệp gửi kèm. {why.vi} Đề nghị gửi lại theo mẫu ({cited.vi}).",
            f"No request could be read from the attachment. {why.en} Please fill in the form and send it again ({cited.en}).",
        ),
    )


@notice("6.2", Reader.CENTRE, count=1, rows=listed(overdue_row(7, Text("khôi phục dvbe@mic.gov.vn", "restore"), MIDNIGHT)))
def requests_overdue(count: int, rows: Text) -> NoticeText:
    """Requests wait past their deadline; sent each working day."""
    cited, restore = clause("6.2"), clause("7.3.b")
    late = counted(count, "request is overdue", "requests are overdue")
    head = Text(
        f"Có {count} yêu cầu đã quá hạn giải quyết ({cited.vi}; khôi phục: {restore.vi}). Xem: {LISTED}",
        f"{late} ({cited.en}; restores: {restore.en}). See: {LISTED}",
    )
    return NoticeText(
        Text(f"Có {count} yêu cầu quá hạn", late),
        Text(f"{head.vi}\n\n{rows.vi}", f"{head.en}\n\n{rows.en}"),
    )


@notice("6.2", Reader.UNIT, number=12, about=Text("cấp mới: Đỗ Văn Bê", "issue"), done=True, result="dvbe@mic.gov.vn")
def request_decided(number: int, about: Text, done: bool, result: str) -> NoticeText:
    """The Centre has carried out or refused a unit's request; the typed result appears in Vietnamese only."""
    cited = clause("6.2")
    state = Text("đã được giải quyết", "is done") if done else Text("bị từ chối", "was refused")
    named = f"; {'kết quả' if done else 'lý do'}: {result}" if result else ""
    return NoticeText(
        Text(f"Yêu cầu số {number} {state.vi}", f"Request {number} {state.en}"),
        Text(
            f"Yêu cầu số {number} của đơn vị ({about.vi}) {state.vi}{named} ({cited.vi}).",
            f"Your request {number} ({about.en}) {state.en} ({cited.en}).",
        ),
    )


@notice("14.4", Reader.UNIT, number="SC-5", title="máy trạm nhiễm mã độc", result="đã cài lại máy, đổi mật khẩu")
def incident_closed(number: str, title: str, result: str) -> NoticeText:
    """An incident that the unit reported is closed; typed text appears in Vietnamese only."""
    # The unit and the Centre typed `title` and `result`.
    cited = clause("14.4")
    return NoticeText(
        Text(f"Sự cố {number} đã kết thúc", f"Incident {number} is closed"),
        Text(
            f"Sự cố {number} ({title}) do đơn vị báo đã được xử lý xong; kết quả: {result} ({cited.vi}).",
            f"The incident {number} reported by your unit ({cited.en}) is closed.",
        ),
    )
