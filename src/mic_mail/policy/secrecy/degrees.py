"""The degrees of state secrets, the words by which text names them, and the markings that bear them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Degree(StrEnum):
    """Degrees of state secrets, the lowest first (Law on the protection of state secrets 2018, Article 8)."""

    CONFIDENTIAL = "confidential"
    SECRET = "secret"  # noqa: S105 - a degree, not a password
    TOP_SECRET = "top-secret"  # noqa: S105 - a degree, not a password


class MarkingPlace(StrEnum):
    """The places of markings."""

    SUBJECT = "subject"
    TITLE = "title"
    FILE_NAME = "file-name"
    STAMP = "stamp"
    FIELD = "field"


@dataclass(frozen=True, slots=True)
class Marking:
    """A marking that was found; never its words."""

    degree: Degree
    place: MarkingPlace


RANK = {degree: rank for rank, degree in enumerate(Degree)}

GAP = r"[ \u00a0\u00ad\u200b.]{0,3}"
"""Gaps between letters spaced out for looks, or torn apart by a PDF."""
_MAT = rf"m{GAP}(?:ậ|ë|aä){GAP}t"
_TOI = rf"t{GAP}(?:ố|è|oá){GAP}i"
_TUYET = rf"t{GAP}u{GAP}y{GAP}(?:ệ|ö|eä){GAP}t"
_G = r"[\s_.\-]{0,4}"
DEGREE = rf"(?<![^\W_])(?:{_TUYET}{_G}|{_TOI}{_G})?{_MAT}(?![^\W_])"
"""In Unicode letters, in TCVN3 (`mËt`) and in VNI (`maät`) read as Latin-1."""
BARE = r"(?<![^\W_])(?:tuyet[\s_\-]{0,3}|toi[\s_\-]{0,3})?mat(?![^\W_])"
"""The degrees without diacritics."""
PAPER = r"(?:tài liệu|văn bản|công văn|báo cáo|tờ trình|công điện|biên bản|phụ lục|kế hoạch|quyết định|bản đồ)"
BARE_PAPER = r"(?:tai lieu|van ban|cong van|bao cao|to trinh|cong dien)"
URGENT = r"(?:hỏa tốc(?: hẹn giờ)?|hoả tốc|thượng khẩn|khẩn|hoa toc|thuong khan|khan)"
LABEL = (
    r"(?:(?:dấu\s+)?(?:chỉ\s+)?(?:(?:mức|cấp|phân loại)\s+)?độ\s+(?:bảo\s+)?mật|mức\s+mật|dấu\s+mật|(?:muc\s+|cap\s+)?do\s+mat"
    r"|(?:møc\s+)?®é\s+mët|(?:möùc\s+)?ñoä\s+maät)"
)

ORDINARY_AFTER = re.compile(
    r"\A(?:\s{0,2}|[_-])(?:khẩu|ong|độ|mã|thư|vụ|thiết|danh|báo(?! cáo)|lệnh|đàm|nghị|ước|thám|gấu|mía|hoa|ngữ|tín|thất|chỉ|"
    r"điện|hiệu|tông|giáo|phục|tấu|truyền|rắn|lợn|bò|heo|cá|trăn|ngọt|khu|chiếu|sắc|đạo|khai|cáo|ứng|hội|phái|nhân|hoá|hóa|pháp)"
    r"(?!\w)",
    re.IGNORECASE,
)
"""Words of two syllables that contain `mật`."""

OF_BODIES = re.compile(
    r"(?<!\w)(?:túi mật|ống mật|đường mật|dịch mật|sỏi|siêu âm|gan(?! dạ| góc| lì)|(?<!tận )tụy|"
    r"mật ong|ong mật|nuôi ong|sáp ong|phấn hoa|mật hoa|mật mía)(?!\w)",
    re.IGNORECASE,
)
"""Bile and honey: a line MẬT among such words is no marking."""

ANY_DEGREE = re.compile(DEGREE, re.IGNORECASE)
_IS_TOP = re.compile(_TUYET, re.IGNORECASE)
CELLS = re.compile(r"\t|\||\u00a6| {3,}|;")


def highest(markings: Iterator[Marking | None]) -> Marking | None:
    return max(filter(None, markings), key=lambda marking: RANK[marking.degree], default=None)


def degree_in(match: re.Match[str]) -> Degree:
    return degree_of(match[0])


def degree_of(words: str) -> Degree:
    """Return the degree named in words, whatever surrounds it."""
    match = ANY_DEGREE.search(words)
    if match is None:
        return degree_of_bare(words)
    first = match[0][:1].lower()
    return Degree.CONFIDENTIAL if first == "m" else Degree.TOP_SECRET if _IS_TOP.match(match[0]) else Degree.SECRET


def degree_of_bare(words: str) -> Degree:
    words = words.lower()
    return Degree.TOP_SECRET if "tuyet" in words else Degree.SECRET if "toi" in words else Degree.CONFIDENTIAL


def is_capital(match: re.Match[str]) -> bool:
    """Return whether the degree itself is in capitals; vowels of old encodings show no case."""
    found = ANY_DEGREE.search(match[0])
    return found is not None and is_capital_word(found[0])


def is_capital_word(word: str) -> bool:
    return all(letter.isupper() for letter in word if letter.isascii() and letter.isalpha()) and "ậ" not in word
