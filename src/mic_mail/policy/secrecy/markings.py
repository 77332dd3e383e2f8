"""Detection of secrecy markings in text (Reg. 4.1), apart from ordinary words. Pure.

In: text in NFC and as it looks (`confusables`), line by line as a reader sees it (cells of a row separated by tabs); a title; a
file name. Out: a `Marking` (the degree, and the kind of place it stood in) or None. Never here: the text itself, formats,
files.

A marking is put on a document; it is not what a document talks about:

    stamp       a line, or a cell of a table, that is nothing but the degree: MẬT, TỐI MẬT, TUYỆT MẬT, with frames, the number
                of the copy, an urgency, `CẤM SAO CHỤP` beside it; after a document's number also in brackets: `Số: 5/BC (Mật)`
    field       `Độ mật: Tối mật` and variants, a box that is ticked (`☒ Mật`)
    title       of subjects and titles: a tag (`[MẬT]`, `(Tối mật)`), or the degree at either end, set off
    file name   the same as in a title

Words in running text are not markings: `bảo mật`, `bí mật`, `mật khẩu`, `mật ong`, `tuyệt mật` in a novel, rules about `tài
liệu mật`. Nor are several degrees side by side, which form a list; nor `CONFIDENTIAL` and `SECRET`, which Vietnamese law does
not know. A stamp not in capitals counts only in the head of an official letter or in a margin. Without diacritics only
unambiguous spellings count: `TOI MAT`, `[MAT]`, `Do mat: Mat`, but neither `mat` (mất, mặt, mắt, mát) nor `toi mat dien thoai`.
Text that was typed for TCVN3 and VNI fonts is read as it looks.

The text comes from unauthenticated senders, and the event loop waits for the result: no rule may have many ways to read the
same line (`_tail_ends`), so runs that need no backtracking are possessive.
See docs/decisions/0053-secrecy-marking-recognition.md.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import islice, pairwise


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

MAX_LINE = 400
"""In characters; a longer line is a paragraph, of which only the beginning is checked."""
MAX_TITLE = 1000
_HEAD_LINES, _HEAD_SEEN = 15, 25
_LIST_REACH, _BODY_REACH = 3, 4
_REGISTER_CELLS = 4
"""A row of this many cells is an entry of a register, which describes other documents."""

# --- words ------------------------------------------------------------------------------------------------------------

_S = r"[ \u00a0\u00ad\u200b.]{0,3}"
"""Gaps between letters spaced out for looks, or torn apart by a PDF."""
_MAT = rf"m{_S}(?:ậ|ë|aä){_S}t"
_TOI = rf"t{_S}(?:ố|è|oá){_S}i"
_TUYET = rf"t{_S}u{_S}y{_S}(?:ệ|ö|eä){_S}t"
_G = r"[\s_.\-]{0,4}"
_DEGREE = rf"(?<![^\W_])(?:{_TUYET}{_G}|{_TOI}{_G})?{_MAT}(?![^\W_])"
"""In Unicode letters, in TCVN3 (`mËt`) and in VNI (`maät`) read as Latin-1."""
_BARE = r"(?<![^\W_])(?:tuyet[\s_\-]{0,3}|toi[\s_\-]{0,3})?mat(?![^\W_])"
"""The degrees without diacritics."""
_PAPER = r"(?:tài liệu|văn bản|công văn|báo cáo|tờ trình|công điện|biên bản|phụ lục|kế hoạch|quyết định|bản đồ)"
_BARE_PAPER = r"(?:tai lieu|van ban|cong van|bao cao|to trinh|cong dien)"
_URGENT = r"(?:hỏa tốc(?: hẹn giờ)?|hoả tốc|thượng khẩn|khẩn|hoa toc|thuong khan|khan)"
_LABEL = (
    r"(?:(?:dấu\s+)?(?:chỉ\s+)?(?:(?:mức|cấp|phân loại)\s+)?độ\s+(?:bảo\s+)?mật|mức\s+mật|dấu\s+mật|(?:muc\s+|cap\s+)?do\s+mat"
    r"|(?:møc\s+)?®é\s+mët|(?:möùc\s+)?ñoä\s+maät)"
)
_CAPITAL_LABEL = r"(?:phân loại(?: tài liệu)?|tài liệu|văn bản|tính chất|chế độ|dấu|mức|loại|classification|security level)"
_FRAME = re.compile(r"^[\W_]++|(?<![\W_])[\W_]++$")

_HINT = re.compile(
    rf"m(?<![^\W_it]m)(?<!bảo m)(?<!bí m){_S}(?:ậ|ë|aä|[aâạ][\u0302\u0323]{{0,2}}){_S}t(?![^\W_])(?! (?:khẩu|ong)(?!\w))"
)
"""A prefilter for text in lower case, which excludes the commonest ordinary words.

The pattern begins with a literal letter, not with a lookbehind, so that the search skips from m to m: 10 us for 4,000
characters, and 430 us otherwise.
"""

_ORDINARY_BEFORE = re.compile(
    r"(?:bảo|bí|cơ|cẩn|thân|điện|kín|dịch|túi|ống|đường|gan|trữ|giải|hội|nội|mía|dấu|không|phi|trăng)\W{0,3}\Z", re.IGNORECASE
)
_ORDINARY_REACH = 8
"""The characters that it can match, at most."""
_ORDINARY_AFTER = re.compile(
    r"\A(?:\s{0,2}|[_-])(?:khẩu|ong|độ|mã|thư|vụ|thiết|danh|báo(?! cáo)|lệnh|đàm|nghị|ước|thám|gấu|mía|hoa|ngữ|tín|thất|chỉ|"
    r"điện|hiệu|tông|giáo|phục|tấu|truyền|rắn|lợn|bò|heo|cá|trăn|ngọt|khu|chiếu|sắc|đạo|khai|cáo|ứng|hội|phái|nhân|hoá|hóa|pháp)"
    r"(?!\w)",
    re.IGNORECASE,
)
"""Words of two syllables that contain `mật`."""
_TORN_BEFORE = re.compile(r"(?<!\w)(?:bảo|bí)\W{0,3}\Z", re.IGNORECASE)
"""The end of a line or cell whose word continues in the next.

`XÃ HỘI`, `HÀ NỘI` above a stamp are no such case.
"""
_TORN_AFTER = re.compile(r"\s*(?:khẩu|ong|độ|mã|thư)(?!\w)(?!\s+(?:khẩn|mật))", re.IGNORECASE)
_ABOUT_RULES = re.compile(
    r"hướng dẫn|tập huấn|quy định|quy chế|quy trình|nội quy|quản lý|bảo vệ|bảo quản|đào tạo|tuyên truyền|phổ biến|góp ý|mẫu|"
    r"dấu|phân loại|soạn thảo|danh mục|giải mật|mức độ|sổ tay|tìm hiểu|hỏi đáp|thế nào|nghị định|thông tư|luật|"
    r"tiểu thuyết|truyện|phim|huong dan|tap huan|quy dinh|quy che|quan ly|bao ve|so tay|danh muc",
    re.IGNORECASE,
)
"""Words of a title that is about markings, or is a story's."""
_OF_BODIES = re.compile(
    r"(?<!\w)(?:túi mật|ống mật|đường mật|dịch mật|sỏi|siêu âm|gan(?! dạ| góc| lì)|(?<!tận )tụy|"
    r"mật ong|ong mật|nuôi ong|sáp ong|phấn hoa|mật hoa|mật mía)(?!\w)",
    re.IGNORECASE,
)
"""Bile and honey: a line MẬT among such words is no marking."""
_OFFICIAL = re.compile(
    r"cộng hòa xã hội chủ nghĩa|cộng hoà xã hội chủ nghĩa|độc lập\s*[-–]\s*tự do|đảng cộng sản việt nam|^\s*số\s*[:.]|kính gửi|"
    r"^\s*(?:bộ|ủy ban|cục|vụ|viện|văn phòng|thanh tra|ban|sở|tổng cục|trung tâm)\s+\w",
    re.IGNORECASE | re.MULTILINE,
)

_NUMBER_LINE = re.compile(r"\s*số\b", re.IGNORECASE)

_STAMP = re.compile(rf"(?:{_URGENT}[\s,;/|\-–—]++)?(?P<paper>{_PAPER}\s++)?{_DEGREE}", re.IGNORECASE)
"""A tail may follow."""
_BARE_STAMP = re.compile(rf"(?:{_BARE_PAPER}\s+mat|(?:tuyet|toi)[\s_\-]{{0,3}}mat)", re.IGNORECASE)
_NUMBERED = re.compile(
    rf"số\s*+[:.]?+\s*+[\d….]*+\s*+[/\-–]\s*+[\w&Đđ/\-–.]{{1,40}}[\s,;]*+(?P<open>[(\[]?+)\s*+{_DEGREE}\s*+[)\]]?",
    re.IGNORECASE,
)
_SEPARATED = r"(?:\s*+(?:[:：=–\-]|là\s*+:|\.{2,})|[^\S\t]*+\t)\s*+"
"""A tab separates; beside another separator it counts as a blank, so that a run is read in one way."""
_FIELD = re.compile(
    rf"(?:^\s*(?:\(?\w{{1,3}}[.)]\s*)?|[,;(\[|–\-]\s*){_LABEL}(?:\s*\([^()]{{0,60}}\))?{_SEPARATED}[\[(“\"']*(?P<value>{_DEGREE}|{_BARE})",
    re.IGNORECASE,
)
_CAPITAL_FIELD = re.compile(rf"^{_CAPITAL_LABEL}(?:\s*+[:：=]|[^\S\t]*+\t)\s*+[\[(“\"']*{_DEGREE}[\s\])”\"'.]*$", re.IGNORECASE)
_LABEL_ALONE = re.compile(rf"{_LABEL}\s*[:：]?", re.IGNORECASE)
_VALUE_ALONE = re.compile(rf"[\[(“\"]*(?:{_DEGREE}|{_BARE})[\])”\"]*", re.IGNORECASE)
_AFTER_VALUE = re.compile(r"[^\S\t]*+\t|[\])”\"']*+\.\s|[\s\])”\"'.]*+(?:$|[,;|(/–\-])")
_CLOSING = re.compile(r"[\s\])”\"'.]*+")
_TICKED = re.compile(rf"(?:[☒☑✓✔🗹]|\[\s?[xX]\s?\]|\(\s?[xX]\s?\))\s*{_DEGREE}", re.IGNORECASE)
_ANY_DEGREE = re.compile(_DEGREE, re.IGNORECASE)
_IS_TOP = re.compile(_TUYET, re.IGNORECASE)
_ANY_BARE = re.compile(_BARE, re.IGNORECASE)
_COUNT = re.compile(r"[^\t]*+\t\s*+\d{1,7}+\s*+")
_COUNT_OF_OPEN = re.compile(r"\s*+(?:văn bản\s++)?(?:thường|không mật)[^\S\t]*+\t\s*+\d{1,7}+\s*+", re.IGNORECASE)
_NUMBERED_ROW = re.compile(r"\s*+(?P<number>\d{1,5}+)\.?+(?:[^\S\t]*+\t)+[^\t]++\t[^\t]++\s*+")
_CELLS = re.compile(r"\t|\||\u00a6| {3,}|;")
_LETTERS = re.compile(r"[a-zđ]", re.IGNORECASE)


def highest(markings: Iterator[Marking | None]) -> Marking | None:
    return max(filter(None, markings), key=lambda marking: RANK[marking.degree], default=None)


# --- text -------------------------------------------------------------------------------------------------------------


def in_text(text: str, *, margin: bool = False) -> Marking | None:
    """Return the highest marking in a text.

    `margin`: the text is the header, footer or a text box of a document, which hold little else.
    """
    if not _is_hinted(text):
        return None
    lines = [head for line in text.splitlines() if (head := line[:MAX_LINE]) and not head.isspace()]
    fields: set[Degree] = set()
    stamps: list[tuple[int, Degree, bool]] = []
    # A text of nothing but markings has few different lines, so each is judged once. The caches end with the text.
    is_hinted, field_in, stamps_in = cache(_is_hinted), cache(_field_in), cache(_stamps_in)
    hinted = [number for number, line in enumerate(lines) if is_hinted(line)]
    official = bool(hinted) and hinted[0] < _HEAD_LINES and _OFFICIAL.search("\n".join(lines[:_HEAD_SEEN])) is not None
    for number in hinted:
        line = lines[number]
        field = field_in(line) or _field_over_lines(lines, number)
        if field is not None:
            fields.add(field)
            continue
        apart = margin or (official and _is_apart(lines, number))
        stamps += [(number, degree, alone) for degree, alone in stamps_in(line, apart)]
    found = [Marking(degree, MarkingPlace.FIELD) for degree in fields]  # preferred among markings of the same degree
    found += [Marking(degree, MarkingPlace.STAMP) for degree in _not_listed(lines, stamps)]
    return highest(iter(found))


def hints_in(text: str, most: int) -> int:
    """Return the number of places at which a degree may stand, up to `most`.

    `in_text` judges the line of each.
    """
    return sum(1 for _ in islice(_HINT.finditer(text.lower()), most))


def _is_hinted(text: str) -> bool:
    return _HINT.search(text.lower()) is not None


def _stamps_in(line: str, apart: bool) -> tuple[tuple[Degree, bool], ...]:
    """Return the stamps of a line, and whether each is the word MẬT with nothing beside it."""
    return tuple(_stamps(line, apart))


def _stamps(line: str, apart: bool) -> Iterator[tuple[Degree, bool]]:
    numbered = _NUMBERED.search(line)
    if numbered is not None and (numbered["open"] or _is_capital(numbered)):
        yield _degree(numbered), False
        return
    cells = [cell for cell in _CELLS.split(line) if _FRAME.sub("", cell)]
    if len(cells) >= _REGISTER_CELLS:
        return
    for before, cell in pairwise(["", *cells]):
        core = _FRAME.sub("", cell)
        stamp = _before_tail(_STAMP, core)
        if stamp is not None and not _TORN_BEFORE.search(before):
            framed = cell.strip()[:1] in "[(<{【«" and cell.strip()[-1:] in "])>}】»"
            if _is_capital(stamp) or ((apart or framed) and core[:1].isupper()):
                degree = _degree(stamp)
                yield degree, degree is Degree.CONFIDENTIAL and stamp["paper"] is None and not framed
        elif _BARE_STAMP.fullmatch(core) and core.isupper():
            yield _degree_bare(core), False


def _is_apart(lines: list[str], number: int) -> bool:
    """Return whether a degree in lower case counts as a stamp here: in the head of an official letter."""
    if number >= _HEAD_LINES:
        return False
    beside = lines[max(0, number - 1) : number] + lines[number + 1 : number + 2]
    return any(line.isupper() or _NUMBER_LINE.match(line) for line in beside)  # otherwise it may be a person's name in a list


def _not_listed(lines: list[str], stamps: list[tuple[int, Degree, bool]]) -> Iterator[Degree]:
    """Yield the degrees of stamps that are no list of degrees and no bile or honey, each once."""
    listed: set[int] = set()
    found: set[Degree] = set()
    is_of_bodies = cache(_OF_BODIES.search)
    for (one, before), (other, after) in pairwise(((number, degree) for number, degree, _ in stamps)):
        if before is not after and other - one <= _LIST_REACH:
            listed |= {one, other}
    for number, degree, alone in stamps:
        if number in listed or degree in found:
            continue
        around = lines[max(0, number - _BODY_REACH) : number] + lines[number : number + _BODY_REACH + 1]
        if alone and (any(is_of_bodies(line) for line in around) or _is_torn(lines, number)):
            continue
        if _is_counted(lines[number], around) or _is_in_roll(lines, number):
            continue
        found.add(degree)
        yield degree


def _is_counted(line: str, around: list[str]) -> bool:
    """Return whether a row counts documents by degree: `THƯỜNG 100`, `MẬT 3`."""
    return bool(_COUNT.fullmatch(line)) and any(_COUNT_OF_OPEN.fullmatch(other) for other in around)


def _is_in_roll(lines: list[str], number: int) -> bool:
    """Return whether it is a name in a numbered list of people.

    The row before or after it bears the adjacent number.
    """
    row = _NUMBERED_ROW.fullmatch(lines[number])
    if row is None:
        return False
    beside = (_NUMBERED_ROW.fullmatch(line) for line in lines[max(0, number - 1) : number] + lines[number + 1 : number + 2])
    return any(other is not None and abs(int(other["number"]) - int(row["number"])) == 1 for other in beside)


def _is_torn(lines: list[str], number: int) -> bool:
    """Return whether a word of two syllables continues over a line end: `BẢO` / `MẬT`, `MẬT` / `KHẨU`."""
    before, after = lines[max(0, number - 1) : number], lines[number + 1 : number + 2]
    goes_on = [match[0].strip() for line in after if (match := _TORN_AFTER.match(line))]
    return any(_TORN_BEFORE.search(line) for line in before) or any(word.isupper() or word.islower() for word in goes_on)


def _field_in(line: str) -> Degree | None:
    ticked = {_degree(match) for match in _TICKED.finditer(line)}
    if len(ticked) == 1:
        return ticked.pop()
    field = _FIELD.search(line)
    if field is not None:
        rest = line[field.end() :]
        several = _ANY_DEGREE.search(rest) and not re.match(rf"[\s\])”\"'.]*[,;|(]\s*(?!{_DEGREE})", rest, re.IGNORECASE)
        if several or not _is_value_over(rest) or _ORDINARY_AFTER.match(rest) or _is_template(rest):
            return None
        return _degree_of(field["value"])
    capital = _CAPITAL_FIELD.match(line.strip())
    return _degree(capital) if capital is not None and _is_capital(capital) else None


_TEMPLATE = re.compile(rf"[\s\])”\"'.]*[/,|(–\-]\s*(?:hoặc\s*)?(?:{_DEGREE}|thường|không)", re.IGNORECASE)


def _is_template(rest: str) -> bool:
    """Return whether it is an empty form's `Độ mật: Mật/Tối mật/Tuyệt mật`."""
    return _TEMPLATE.match(rest) is not None


def _field_over_lines(lines: list[str], number: int) -> Degree | None:
    """Return the degree of a label in one cell or line with the degree alone in the next.

    None if another degree follows, which makes a list.
    """
    cells = [cell.strip() for cell in _CELLS.split(lines[number]) if cell.strip()]
    for label, value in pairwise(cells):
        if _LABEL_ALONE.fullmatch(label) and _VALUE_ALONE.fullmatch(value):
            others = [cell for cell in cells if _VALUE_ALONE.fullmatch(cell)]
            return _degree_of(value) if len(others) == 1 else None
    if number + 1 < len(lines) and len(cells) == 1 and _LABEL_ALONE.fullmatch(cells[0]):
        value = lines[number + 1].strip()
        after = lines[number + 2].strip() if number + 2 < len(lines) else ""
        if _VALUE_ALONE.fullmatch(value) and not _VALUE_ALONE.fullmatch(after):
            return _degree_of(value)
    return None


# --- tails ------------------------------------------------------------------------------------------------------------

_AMONG = frozenset(",;:/|-–—()[]*.=#~")
"""Characters that may stand before a piece of a tail, besides blanks."""
_FIGURES = r"[\s:.…\d/]*+"
_PIECES = re.compile(
    rf"(?=[bchklstđ])(?:bản(){_FIGURES}|tờ số(){_FIGURES}|trang[\s:]*+\d()\d*+|{_URGENT}()|số()\s*+:?+[\s\w./\-…]{{0,40}}+"
    r"|(?:cấm|không(?: được)?) (?:sao chụp|sao chép|sao lục|phổ biến|photocopy|chuyển tiếp|in sao|mang ra)()[\w\s,]{0,60}+"
    r"|(?:độc lập\s*+[-–]\s*+tự do\s*+[-–]\s*+hạnh phúc|lưu hành nội bộ|(?:tài liệu )?(?:thu hồi|hoàn trả)"
    r"|chỉ người có tên mới được bóc bì)())",
    re.IGNORECASE,
)
"""Each piece may end at its empty group, at its end, or anywhere between."""
_LONGER_PIECES = (
    re.compile(rf"bản (?:thứ|số)(){_FIGURES}|trang[\s:]*+\d++\s?/\s?\d()\d*+|hỏa tốc()", re.IGNORECASE),
    re.compile(rf"bản thứ số(){_FIGURES}", re.IGNORECASE),
)
"""The same words with more after them, or with less."""
_PLACE = re.compile(r"(?P<word>[\w.\-]++)(?:(?:\s[\w.\-]++){1,5}+,\s*+ngày()[\w\s./…]{0,40}+)?", re.IGNORECASE)
"""A word, or a place and date (second group), which ends as a piece does: `Hà Nội, ngày 3 tháng 5`."""


def _before_tail(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Match `pattern` at the beginning, if nothing but a tail follows."""
    match = pattern.match(text)
    if match is None or match.end() == len(text):
        return match
    return match if _tail_ends(text, match.end(), match.end())[-1] else None


def _is_value_over(rest: str) -> bool:
    """Return whether a field's value ends before `rest`."""
    if _AFTER_VALUE.match(rest):
        return True
    closing = _CLOSING.match(rest)
    ends = _tail_ends(rest, 0, closing.end() if closing else 0)
    end = len(rest)
    while end and (rest[end - 1] == "." or rest[end - 1].isspace()):
        end -= 1
    return 1 in ends[end:]


def _tail_ends(text: str, first: int, last: int) -> bytearray:
    """Return a flag for each position at which a tail that begins between `first` and `last` may end.

    A text can be split into pieces in more ways than can be tried one by one, so this passes once over the positions that any
    split reaches.
    """
    ends = bytearray(len(text) + 1)
    ends[first : last + 1] = b"\1" * (last + 1 - first)
    at, word_end = first, first
    while 0 <= at < len(text):
        if (piece := _PIECES.match(text, at)) is not None:
            _flag(ends, piece)
            for longer in _LONGER_PIECES:
                if (piece := longer.match(text, at)) is not None:
                    _flag(ends, piece)
        if at >= word_end and (place := _PLACE.match(text, at)) is not None:
            word_end = place.end("word")  # from any letter of a word it ends at the same places
            if place.lastindex == 2:
                _flag(ends, place)
        at = at + 1 if text[at] in _AMONG or text[at].isspace() else ends.find(1, at + 1)
    return ends


def _flag(ends: bytearray, piece: re.Match[str]) -> None:
    first, last = piece.end(piece.lastindex or 0), piece.end()
    ends[first : last + 1] = b"\1" * (last + 1 - first)


# --- titles and names -------------------------------------------------------------------------------------------------

_ANSWER = re.compile(r"\s*(?:(?:re|fw|fwd|tr|trả lời|chuyển tiếp|chuyển|vv|v/v)\s*:\s*)+", re.IGNORECASE)
_TAG = re.compile(r"[\[(【{<«]\s*([^\[\](){}<>【】«»]{2,80}?)\s*[\])】}>»]")
_TAG_WORDS = re.compile(rf"(?:{_LABEL}\s*+[:\-–]?+\s*+|{_PAPER}\s++|{_URGENT}[\s,;/|\-–]++)?{_DEGREE}", re.IGNORECASE)
"""A tail may follow."""
_BARE_TAG = re.compile(rf"(?:{_LABEL}\s*[:\-–]?\s*)?{_BARE}", re.IGNORECASE)
_LEAD = re.compile(rf"{_DEGREE}\s*(?:[:|/–—]|-(?!\w)|\s-|\.\s|$)", re.IGNORECASE)
_PAPER_LEAD = re.compile(
    rf"{_PAPER}\s+{_DEGREE}(?:\s*$|\s*[:|/–—\-.,]|\s+(?:về|v/v|gửi|số|ngày|tháng|quý|năm|của|\d))", re.IGNORECASE
)
_TRAIL = re.compile(rf"(?:\s[-–—|:]\s*|[:|–—]\s*)(?:{_LABEL}\s*:?\s*)?{_DEGREE}[\s.)]*$", re.IGNORECASE)
_BARE_EDGE = re.compile(
    r"^(?:tuyet|toi)[\s_\-]{0,3}mat\s*(?:[:|–—]|\s-|-\s|$)|(?:\s[-–—|:]\s*|[:|–—]\s*)(?:tuyet|toi)[\s_\-]?mat\s*$",
    re.IGNORECASE,
)


def in_title(text: str, place: MarkingPlace = MarkingPlace.TITLE) -> Marking | None:
    """Return the marking of a subject or a title: as a tag, or set off at either end."""
    text = " ".join(text[:MAX_TITLE].split())
    if not _ANY_DEGREE.search(text) and not _ANY_BARE.search(text):
        return None
    degree = _tagged(text) or _set_off(text) or _field_in(text) or _in_capitals(text)
    return Marking(degree, place) if degree is not None else None


def _tagged(text: str) -> Degree | None:
    tags = [tag[1] for tag in _TAG.finditer(text)]
    degrees = {_degree(match) for tag in tags if (match := _before_tail(_TAG_WORDS, tag))}
    bare = {_degree_bare(tag) for tag in tags if _BARE_TAG.fullmatch(tag) and (tag.isupper() or len(tag) > len("mat"))}
    if len(degrees | bare) != 1 or _OF_BODIES.search(text):
        return None
    return (degrees | bare).pop()


def _set_off(text: str) -> Degree | None:
    answer = _ANSWER.match(text)
    text = text[answer.end() :] if answer else text
    text = re.sub(r"^(?:\[[^\]]{1,40}\]\s*)+", "", text)  # tags of lists and departments
    if _OF_BODIES.search(text) and _LETTERS.sub("", text):
        return None
    if (lead := _LEAD.match(text)) is not None and lead.end() == len(text) and not _is_capital(lead):
        lead = lead if _degree(lead) is not Degree.CONFIDENTIAL else None  # `Mật` alone may be honey
    match = lead or (None if _ABOUT_RULES.search(text) else _PAPER_LEAD.match(text)) or _TRAIL.search(text)
    if match is not None:
        if len({_degree(one) for one in _ANY_DEGREE.finditer(text) if not _is_ordinary(text, one)}) > 1:
            return None
        return _degree(match)
    bare = _BARE_EDGE.search(text)
    return _degree_bare(bare[0]) if bare is not None else None


def _in_capitals(text: str) -> Degree | None:
    """Return the degree of MẬT among words not in capitals, unless the title is about rules."""
    found = {_degree(match) for match in _ANY_DEGREE.finditer(text) if _is_capital(match) and not _is_ordinary(text, match)}
    if len(found) != 1 or text.isupper() or _ABOUT_RULES.search(text) or _OF_BODIES.search(text):
        return None
    return found.pop()


def _is_ordinary(text: str, match: re.Match[str]) -> bool:
    before, after = text[max(0, match.start() - _ORDINARY_REACH) : match.start()], text[match.end() :]
    quoted = before[-1:] in "“\"'‘" and after[:1] in "”\"'’" and before[-1:] != ""
    return quoted or _ORDINARY_BEFORE.search(before) is not None or _ORDINARY_AFTER.match(after) is not None


_EXTENSION = re.compile(r"(?:\.[A-Za-z0-9]{1,5}){1,2}\Z")
_SLUG = re.compile(r"[_+]|%20|(?<=\w)[-.](?=\w)")
_NAME_LEAD = re.compile(rf"(?P<degree>{_DEGREE})\s*(?P<next>.*)", re.IGNORECASE)
_NAME_TRAIL = re.compile(rf"(?<=\w) {_DEGREE}(?:\s*(?:\(\d+\)|v?\d+|final|bản cuối))?$", re.IGNORECASE)
_BARE_NAME_LEAD = re.compile(r"(?:tuyet|toi)[\s_\-]?mat(?![^\W_])", re.IGNORECASE)
_BARE_NAME_TRAIL = re.compile(r"(?<=\w)[ _\-](?:tuyet|toi)[\s_\-]?mat(?:\s*(?:\(\d+\)|v?\d+|final))?$", re.IGNORECASE)


def in_file_name(name: str) -> Marking | None:
    """Return the marking of a file name, in which hyphens and underscores may stand for spaces."""
    stem = _EXTENSION.sub("", name[:MAX_TITLE].rpartition("/")[2].rpartition("\\")[2])
    tagged = in_title(stem)
    if tagged is not None:
        return Marking(tagged.degree, MarkingPlace.FILE_NAME)
    words = " ".join(_SLUG.sub(" ", stem).split())
    degree = _tagged(words) or _edge_of_name(words) or _bare_edge_of_name(stem, words)
    return Marking(degree, MarkingPlace.FILE_NAME) if degree is not None else None


def _edge_of_name(words: str) -> Degree | None:
    if _ABOUT_RULES.search(words) or _OF_BODIES.search(words):
        return None
    lead = _NAME_LEAD.match(words)
    if lead is not None and not _ORDINARY_AFTER.match(words[lead.end("degree") :]):
        degree, rest = _degree(lead), lead["next"]
        is_set_off = _is_capital_word(lead["degree"]) and (not rest.isupper() or not _LETTERS.search(rest))
        if degree is not Degree.CONFIDENTIAL or not rest or is_set_off or re.match(rf"{_PAPER}|\d", rest, re.IGNORECASE):
            return degree
    trail = _NAME_TRAIL.search(words)
    if trail is None or _ORDINARY_BEFORE.search(words[: trail.start() + 1]):
        return None
    before = words[: trail.start() + 1].rsplit(maxsplit=1)[-1]
    is_name = before[:1].isupper() and trail[0].strip()[:1].isupper() and not _is_capital(trail)
    return None if is_name and _degree(trail) is Degree.CONFIDENTIAL else _degree(trail)  # Nguyễn Văn Mật


def _bare_edge_of_name(stem: str, words: str) -> Degree | None:
    if _ABOUT_RULES.search(words):
        return None
    lead = _BARE_NAME_LEAD.match(stem)
    if lead is not None and (lead[0].isupper() or lead[0][:2].lower() == "tu" or lead.end() == len(stem)):
        is_sentence = stem.isupper() and " " in stem[lead.end() :].strip(" -_") and "-" not in stem
        if not is_sentence:
            return _degree_bare(lead[0])
    trail = _BARE_NAME_TRAIL.search(stem)
    if trail is not None:
        return _degree_bare(trail[0])
    return Degree.CONFIDENTIAL if re.fullmatch(rf"{_BARE_PAPER}\s+mat", words, re.IGNORECASE) and words.isupper() else None


# --- degrees ----------------------------------------------------------------------------------------------------------


def _degree(match: re.Match[str]) -> Degree:
    return _degree_of(match[0])


def _degree_of(words: str) -> Degree:
    """Return the degree named in words, whatever surrounds it."""
    match = _ANY_DEGREE.search(words)
    if match is None:
        return _degree_bare(words)
    first = match[0][:1].lower()
    return Degree.CONFIDENTIAL if first == "m" else Degree.TOP_SECRET if _IS_TOP.match(match[0]) else Degree.SECRET


def _degree_bare(words: str) -> Degree:
    words = words.lower()
    return Degree.TOP_SECRET if "tuyet" in words else Degree.SECRET if "toi" in words else Degree.CONFIDENTIAL


def _is_capital(match: re.Match[str]) -> bool:
    """Return whether the degree itself is in capitals; vowels of old encodings show no case."""
    found = _ANY_DEGREE.search(match[0])
    return found is not None and _is_capital_word(found[0])


def _is_capital_word(word: str) -> bool:
    return all(letter.isupper() for letter in word if letter.isascii() and letter.isalpha()) and "ậ" not in word
