"""Detection of secrecy markings in text (Reg. 4.1), apart from ordinary words. Pure.

In: text in NFC and as it looks (`confusables`), line by line as a reader sees it (cells of a row separated by tabs); a title; a
file name. Out: a `Marking` (the degree, and the kind of place it stood in) or None. Never here: the text itself, formats,
files.

A marking is put on a document; it is not what a document talks about:

    stamp       a line, or a cell of a table, that is nothing but the degree: MẬT, TỐI MẬT, TUYỆT MẬT, with frames, the number
                of the copy, an urgency, `CẤM SAO CHỤP` beside it; after a document's number also in brackets: `Số: 5/BC (Mật)`
    field       `Độ mật: Tối mật` and variants, a box that is ticked (`☒ Mật`): fields.py
    title       of subjects and titles: a tag (`[MẬT]`, `(Tối mật)`), or the degree at either end, set off: titles.py
    file name   the same as in a title

Words in running text are not markings: `bảo mật`, `bí mật`, `mật khẩu`, `mật ong`, `tuyệt mật` in a novel, rules about `tài
liệu mật`. Nor are several degrees side by side, which form a list; nor `CONFIDENTIAL` and `SECRET`, which Vietnamese law does
not know. A stamp not in capitals counts only in the head of an official letter or in a margin. Without diacritics only
unambiguous spellings count: `TOI MAT`, `[MAT]`, `Do mat: Mat`, but neither `mat` (mất, mặt, mắt, mát) nor `toi mat dien thoai`.
Text that was typed for TCVN3 and VNI fonts is read as it looks.

The text comes from unauthenticated senders, and the event loop waits for the result: no rule may have many ways to read the
same line (tails.py), so runs that need no backtracking are possessive.
See docs/decisions/0053-secrecy-marking-recognition.md.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice, pairwise

from mic_mail.policy.secrecy.degrees import (
    BARE_PAPER,
    CELLS,
    DEGREE,
    GAP,
    OF_BODIES,
    PAPER,
    URGENT,
    Degree,
    Marking,
    MarkingPlace,
    degree_in,
    degree_of_bare,
    highest,
    is_capital,
)
from mic_mail.policy.secrecy.fields import field_in, field_over_lines
from mic_mail.policy.secrecy.tails import before_tail

MAX_LINE = 400
"""In characters; a longer line is a paragraph, of which only the beginning is checked."""
_HEAD_LINES, HEAD_SEEN = 15, 25
_LIST_REACH, _BODY_REACH = 3, 4
LINES_AROUND = 5
"""Lines before and after a degree, blank ones not counted, that contain all that `in_text` reads to judge it.

`HEAD_SEEN` lines of the head apart.
"""
_REGISTER_CELLS = 4
"""A row of this many cells is an entry of a register, which describes other documents."""

_FRAME = re.compile(r"^[\W_]++|(?<![\W_])[\W_]++$")

_HINT = re.compile(
    rf"m(?<![^\W_it]m)(?<!bảo m)(?<!bí m){GAP}(?:ậ|ë|aä|[aâạ][\u0302\u0323]{{0,2}}){GAP}t(?![^\W_])(?! (?:khẩu|ong)(?!\w))"
)
"""A prefilter for text in lower case, which excludes the commonest ordinary words.

The pattern begins with a literal letter, not with a lookbehind, so that the search skips from m to m: 10 us for 4,000
characters, and 430 us otherwise.
"""

_TORN_BEFORE = re.compile(r"(?<!\w)(?:bảo|bí)\W{0,3}\Z", re.IGNORECASE)
"""The end of a line or cell whose word continues in the next.

`XÃ HỘI`, `HÀ NỘI` above a stamp are no such case.
"""
_TORN_AFTER = re.compile(r"\s*(?:khẩu|ong|độ|mã|thư)(?!\w)(?!\s+(?:khẩn|mật))", re.IGNORECASE)
_OFFICIAL = re.compile(
    r"cộng hòa xã hội chủ nghĩa|cộng hoà xã hội chủ nghĩa|độc lập\s*[-–]\s*tự do|đảng cộng sản việt nam|^\s*số\s*[:.]|kính gửi|"
    r"^\s*(?:bộ|ủy ban|cục|vụ|viện|văn phòng|thanh tra|ban|sở|tổng cục|trung tâm)\s+\w",
    re.IGNORECASE | re.MULTILINE,
)

_NUMBER_LINE = re.compile(r"\s*số\b", re.IGNORECASE)

_STAMP = re.compile(rf"(?:{URGENT}[\s,;/|\-–—]++)?(?P<paper>{PAPER}\s++)?{DEGREE}", re.IGNORECASE)
"""A tail may follow."""
_BARE_STAMP = re.compile(rf"(?:{BARE_PAPER}\s+mat|(?:tuyet|toi)[\s_\-]{{0,3}}mat)", re.IGNORECASE)
_NUMBERED = re.compile(
    rf"số\s*+[:.]?+\s*+[\d….]*+\s*+[/\-–]\s*+[\w&Đđ/\-–.]{{1,40}}[\s,;]*+(?P<open>[(\[]?+)\s*+{DEGREE}\s*+[)\]]?",
    re.IGNORECASE,
)
_COUNT = re.compile(r"[^\t]*+\t\s*+\d{1,7}+\s*+")
_COUNT_OF_OPEN = re.compile(r"\s*+(?:văn bản\s++)?(?:thường|không mật)[^\S\t]*+\t\s*+\d{1,7}+\s*+", re.IGNORECASE)
_NUMBERED_ROW = re.compile(r"\s*+(?P<number>\d{1,5}+)\.?+(?:[^\S\t]*+\t)+[^\t]++\t[^\t]++\s*+")


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
    is_hinted, field_of, stamps_in = cache(_is_hinted), cache(field_in), cache(_stamps_in)
    hinted = [number for number, line in enumerate(lines) if is_hinted(line)]
    official = bool(hinted) and hinted[0] < _HEAD_LINES and _OFFICIAL.search("\n".join(lines[:HEAD_SEEN])) is not None
    for number in hinted:
        line = lines[number]
        field = field_of(line) or field_over_lines(lines, number)
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
    if numbered is not None and (numbered["open"] or is_capital(numbered)):
        yield degree_in(numbered), False
        return
    cells = [cell for cell in CELLS.split(line) if _FRAME.sub("", cell)]
    if len(cells) >= _REGISTER_CELLS:
        return
    for before, cell in pairwise(["", *cells]):
        core = _FRAME.sub("", cell)
        stamp = before_tail(_STAMP, core)
        if stamp is not None and not _TORN_BEFORE.search(before):
            framed = cell.strip()[:1] in "[(<{【«" and cell.strip()[-1:] in "])>}】»"
            if is_capital(stamp) or ((apart or framed) and core[:1].isupper()):
                degree = degree_in(stamp)
                yield degree, degree is Degree.CONFIDENTIAL and stamp["paper"] is None and not framed
        elif _BARE_STAMP.fullmatch(core) and core.isupper():
            yield degree_of_bare(core), False


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
    is_of_bodies = cache(OF_BODIES.search)
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
