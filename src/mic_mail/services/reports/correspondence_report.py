"""The report of a unit mailbox's correspondence, from the keeper to the head (Reg. 12.3.b)."""

from collections.abc import Mapping
from datetime import datetime

from mic_mail.config.model import Config
from mic_mail.documents.document import Column, Columns, DescriptionList, Document, SignatureBlock, Table
from mic_mail.errors import Text
from mic_mail.policy.date_ranges import DateRange
from mic_mail.policy.unit_mail.correspondence import CLAUSE, CorrespondenceLine, DeliveryStatus
from mic_mail.services.reports.document_header import days_of, paper
from mic_mail.services.unit_mail.correspondence import Arrival, Correspondence

FATES: Mapping[DeliveryStatus, Text] = {
    DeliveryStatus.ACCEPTED: Text("đã nhận chuyển", "accepted"),
    DeliveryStatus.DEFERRED: Text("đang chờ chuyển", "deferred"),
    DeliveryStatus.DELIVERED: Text("đã vào hộp thư", "delivered"),
    DeliveryStatus.REPORTED_FAILED: Text("báo không chuyển được", "reported as failed"),
    DeliveryStatus.REPORTED_DELAYED: Text("báo chậm", "reported as delayed"),
    DeliveryStatus.REPORTED_DELIVERED: Text("báo đã nhận", "reported as delivered"),
    DeliveryStatus.REPORTED_RELAYED: Text("báo đã chuyển tiếp", "reported as relayed"),
}


def correspondence_paper(
    config: Config, mailbox: str, found: Correspondence, span: DateRange, now: datetime, *, subjects: bool
) -> Document:
    """Return the document; with `subjects`, the subject of each message."""
    return paper(
        config,
        "Báo cáo tình hình gửi, nhận thư điện tử",
        f"{mailbox}, {days_of(span)}",
        now,
        [_figures(found), _sent(found, subjects=subjects), _received(found, subjects=subjects), NOTE],
        clause_id=CLAUSE,
        signatures=[SignatureBlock("Người quản lý hộp thư"), SignatureBlock("Thủ trưởng đơn vị")],
    )


NOTE = (
    "“Báo” là theo thông báo của máy chủ hoặc chương trình thư của người nhận, máy chủ này không tự kiểm chứng được; "
    "người nhận có thể đã đọc mà không gửi xác nhận."
)


def figures(found: Correspondence) -> dict[str, int]:
    sent = {line.submission.trace for line in found.sent}
    return {
        "sent": len(sent),
        "recipients": len(found.sent),
        "delivered": sum(line.fate in {DeliveryStatus.DELIVERED, DeliveryStatus.REPORTED_DELIVERED} for line in found.sent),
        "failed": sum(line.fate is DeliveryStatus.REPORTED_FAILED for line in found.sent),
        "read": sum(line.read_at is not None for line in found.sent),
        "answered": sum(line.answered_at is not None for line in found.sent),
        "received": found.delivered,
        "received_answered": sum(each.answered_at is not None or each.is_marked for each in found.received),
    }


def _figures(found: Correspondence) -> DescriptionList:
    count = figures(found)
    return DescriptionList(
        [
            ("Số thư đã gửi", count["sent"]),
            ("Số lượt người nhận", count["recipients"]),
            ("Lượt đã đến (vào hộp thư hoặc được báo)", count["delivered"]),
            ("Lượt được báo không chuyển được", count["failed"]),
            ("Lượt có xác nhận đã đọc", count["read"]),
            ("Lượt có trả lời", count["answered"]),
            ("Số thư đã nhận (theo nhật ký)", count["received"]),
            ("Số thư nhận còn trong hộp thư đã được trả lời", count["received_answered"]),
        ]
    )


_SUBJECT = Column("Chủ đề", wide=3)


def _sent(found: Correspondence, *, subjects: bool) -> Table:
    subject: Columns[CorrespondenceLine] = ((_SUBJECT, lambda line: found.subjects.get(line.submission.message_id, "")),)
    columns: Columns[CorrespondenceLine] = (
        (Column("Gửi lúc", wide=2), lambda line: line.submission.at),
        *(subject if subjects else ()),
        (Column("Người nhận", wide=3), lambda line: line.recipient),
        (Column("Tình trạng", wide=2), delivery_status_text),
        (Column("Lúc", wide=2), lambda line: line.fate_at),
        (Column("Xác nhận đọc", wide=2), lambda line: line.read_at),
        (Column("Trả lời", wide=2), lambda line: line.answered_at),
    )
    return Table.of("I. Thư đã gửi", found.sent, columns)


def delivery_status_text(line: CorrespondenceLine) -> str:
    """Return the status in words: "báo không chuyển được (5.1.1)"."""
    return f"{FATES[line.fate].vi} ({line.status})" if line.status else FATES[line.fate].vi


def _received(found: Correspondence, *, subjects: bool) -> Table:
    subject: Columns[Arrival] = ((_SUBJECT, lambda each: each.subject),)
    columns: Columns[Arrival] = (
        (Column("Nhận lúc", wide=2), lambda each: each.at),
        (Column("Người gửi", wide=3), lambda each: each.sender),
        *(subject if subjects else ()),
        (Column("Trả lời lúc", wide=2), lambda each: each.answered_at),
        (Column("Người trả lời", wide=3), _answered_by),
    )
    return Table.of("II. Thư đã nhận", found.received, columns)


def _answered_by(each: Arrival) -> str:
    return each.answered_by or ("đánh dấu đã trả lời" if each.is_marked else "thư tự động" if each.automatic else "")
