"""The common header of documents: the ministry, the operator and the decision, from the configuration."""

from collections.abc import Sequence
from datetime import datetime

from mic_mail.config.model import Config
from mic_mail.directory.records import UnitRecord
from mic_mail.documents.document import Block, Document, SignatureBlock
from mic_mail.i18n.clause_names import clause
from mic_mail.policy.date_ranges import DateRange

BY_THE_CENTRE = (SignatureBlock("Người lập"), SignatureBlock("Giám đốc Trung tâm"))
BY_A_UNIT = (SignatureBlock("Người lập"), SignatureBlock("Thủ trưởng đơn vị"))


def days_of(span: DateRange) -> str:
    """Return the days of a report for its subtitle."""
    return f"từ ngày {span.first:%d/%m/%Y} đến ngày {span.last:%d/%m/%Y}"


def paper(
    config: Config,
    title: str,
    subtitle: str,
    made_at: datetime,
    blocks: Sequence[Block],
    *,
    clause_id: str,
    signatures: Sequence[SignatureBlock] = (),
    number: str = "",
    check: str = "",
    issued_by: UnitRecord | None = None,
) -> Document:
    """Return a document by a clause, of a unit or the Centre; `check`: a digest for the footer."""
    regulation = config.regulation
    decision = f" ban hành kèm theo Quyết định số {regulation.decision_no}" if regulation.decision_no else ""
    foot = f"Lập theo {clause(clause_id).vi}{decision}."
    return Document(
        title,
        subtitle,
        made_at,
        blocks,
        issuer=(regulation.ministry, regulation.centre if issued_by is None else issued_by.name),
        place=regulation.place,
        number=number,
        signatures=signatures,
        foot=f"{foot} Mã kiểm tra: {check}" if check else foot,
    )
