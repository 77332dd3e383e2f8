"""The signatories of conclusions for the ministry's leadership (Reg. 7.2.b).

In: the recorded signatories, a name, the day of the conclusion. Out: the signatory, or a refusal that names who may sign. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from mic_mail.errors import BadInput, Refused, Text, in_ascii
from mic_mail.policy.naming.transliteration import folded
from mic_mail.policy.ranks import title_of

CLAUSE = "7.2.b"
LEADERSHIP = ("bộ trưởng", "thứ trưởng", "quyền bộ trưởng", "phụ trách bộ")
"""The beginnings of the positions of the ministry's leadership (Lãnh đạo Bộ)."""


class NotASignatory(Refused):
    """No signatory of this name could sign for the ministry's leadership on that day."""


@dataclass(frozen=True, slots=True)
class Signatory:
    """The term of one signatory."""

    number: int
    full_name: str
    position: str
    since: date
    document: str
    until: date | None = None
    """The last day."""
    end_document: str | None = None

    def serves(self, day: date) -> bool:
        return self.since <= day and (self.until is None or day <= self.until)


def check(signatory: Signatory) -> None:
    """Refuse a signatory who is not of the ministry's leadership, and an invalid term."""
    if not title_of(signatory.position).startswith(LEADERSHIP):
        raise NotASignatory(
            Text(
                "Người ký kết luận phải là Lãnh đạo Bộ: Bộ trưởng hoặc Thứ trưởng.",
                "A conclusion must be signed by the ministry's leadership: the minister or a deputy minister.",
            ),
            clause=CLAUSE,
        )
    if not signatory.document.strip():
        raise BadInput(Text("Thiếu số quyết định bổ nhiệm.", "The number of the decision is missing."), clause=CLAUSE)
    if signatory.until is not None and signatory.until < signatory.since:
        raise BadInput(Text("Thời hạn kết thúc trước khi bắt đầu.", "The term ends before it begins."), clause=CLAUSE)


def must_sign(signatories: Iterable[Signatory], name: str, day: date) -> Signatory:
    """Return the signatory of that day who bears the name."""
    serving = [each for each in signatories if each.serves(day)]
    found = next((each for each in serving if folded(each.full_name) == folded(name)), None)
    if found is not None:
        return found
    may = ", ".join(f"{each.full_name} ({each.position})" for each in serving)
    raise NotASignatory(
        Text(
            f"“{name}” không có trong danh sách người ký của Lãnh đạo Bộ ngày {day:%d/%m/%Y}; được ký: {may or 'chưa có ai'}.",
            f"'{in_ascii(name)}' is not a signatory of the ministry's leadership on {day:%d/%m/%Y}; who may sign: "
            f"{in_ascii(may) if may else 'nobody is on record'}.",
        ),
        clause=CLAUSE,
        remedy=Text("mic-mail signatory add", "mic-mail signatory add"),
    )
