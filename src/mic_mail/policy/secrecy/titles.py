"""Markings in subjects, titles and file names: as a tag, or set off at either end."""

import re

from mic_mail.policy.secrecy.degrees import (
    ANY_DEGREE,
    BARE,
    BARE_PAPER,
    DEGREE,
    LABEL,
    OF_BODIES,
    ORDINARY_AFTER,
    PAPER,
    URGENT,
    Degree,
    Marking,
    MarkingPlace,
    degree_in,
    degree_of_bare,
    is_capital,
    is_capital_word,
)
from mic_mail.policy.secrecy.fields import field_in
from mic_mail.policy.secrecy.tails import before_tail

MAX_TITLE = 1000
"""In characters."""

_ORDINARY_BEFORE = re.compile(
    r"(?:bảo|bí|cơ|cẩn|thân|điện|kín|dịch|túi|ống|đường|gan|trữ|giải|hội|nội|mía|dấu|không|phi|trăng)\W{0,3}\Z", re.IGNORECASE
)
_ORDINARY_REACH = 8
"""The characters that it can match, at most."""

_ABOUT_RULES = re.compile(
    r"hướng dẫn|tập huấn|quy định|quy chế|quy trình|nội quy|quản lý|bảo vệ|bảo quản|đào tạo|tuyên truyền|phổ biến|góp ý|mẫu|"
    r"dấu|phân loại|soạn thảo|danh mục|giải mật|mức độ|sổ tay|tìm hiểu|hỏi đáp|thế nào|nghị định|thông tư|luật|"
    r"tiểu thuyết|truyện|phim|huong dan|tap huan|quy dinh|quy che|quan ly|bao ve|so tay|danh muc",
    re.IGNORECASE,
)
"""Words of a title that is about markings, or is a story's."""

_ANY_BARE = re.compile(BARE, re.IGNORECASE)
_LETTERS = re.compile(r"[a-zđ]", re.IGNORECASE)

_ANSWER = re.compile(r"\s*(?:(?:re|fw|fwd|tr|trả lời|chuyển tiếp|chuyển|vv|v/v)\s*:\s*)+", re.IGNORECASE)
_TAG = re.compile(r"[\[(【{<«]\s*([^\[\](){}<>【】«»]{2,80}?)\s*[\])】}>»]")
_TAG_WORDS = re.compile(rf"(?:{LABEL}\s*+[:\-–]?+\s*+|{PAPER}\s++|{URGENT}[\s,;/|\-–]++)?{DEGREE}", re.IGNORECASE)
"""A tail may follow."""
_BARE_TAG = re.compile(rf"(?:{LABEL}\s*[:\-–]?\s*)?{BARE}", re.IGNORECASE)
_LEAD = re.compile(rf"{DEGREE}\s*(?:[:|/–—]|-(?!\w)|\s-|\.\s|$)", re.IGNORECASE)
_PAPER_LEAD = re.compile(
    rf"{PAPER}\s+{DEGREE}(?:\s*$|\s*[:|/–—\-.,]|\s+(?:về|v/v|gửi|số|ngày|tháng|quý|năm|của|\d))", re.IGNORECASE
)
_TRAIL = re.compile(rf"(?:\s[-–—|:]\s*|[:|–—]\s*)(?:{LABEL}\s*:?\s*)?{DEGREE}[\s.)]*$", re.IGNORECASE)
_BARE_EDGE = re.compile(
    r"^(?:tuyet|toi)[\s_\-]{0,3}mat\s*(?:[:|–—]|\s-|-\s|$)|(?:\s[-–—|:]\s*|[:|–—]\s*)(?:tuyet|toi)[\s_\-]?mat\s*$",
    re.IGNORECASE,
)


def in_title(text: str, place: MarkingPlace = MarkingPlace.TITLE) -> Marking | None:
    """Return the marking of a subject or a title: as a tag, or set off at either end."""
    text = " ".join(text[:MAX_TITLE].split())
    if not ANY_DEGREE.search(text) and not _ANY_BARE.search(text):
        return None
    degree = _tagged(text) or _set_off(text) or field_in(text) or _in_capitals(text)
    return Marking(degree, place) if degree is not None else None


def _tagged(text: str) -> Degree | None:
    tags = [tag[1] for tag in _TAG.finditer(text)]
    degrees = {degree_in(match) for tag in tags if (match := before_tail(_TAG_WORDS, tag))}
    bare = {degree_of_bare(tag) for tag in tags if _BARE_TAG.fullmatch(tag) and (tag.isupper() or len(tag) > len("mat"))}
    if len(degrees | bare) != 1 or OF_BODIES.search(text):
        return None
    return (degrees | bare).pop()


def _set_off(text: str) -> Degree | None:
    answer = _ANSWER.match(text)
    text = text[answer.end() :] if answer else text
    text = re.sub(r"^(?:\[[^\]]{1,40}\]\s*)+", "", text)  # tags of lists and departments
    if OF_BODIES.search(text) and _LETTERS.sub("", text):
        return None
    if (lead := _LEAD.match(text)) is not None and lead.end() == len(text) and not is_capital(lead):
        lead = lead if degree_in(lead) is not Degree.CONFIDENTIAL else None  # `Mật` alone may be honey
    match = lead or (None if _ABOUT_RULES.search(text) else _PAPER_LEAD.match(text)) or _TRAIL.search(text)
    if match is not None:
        if len({degree_in(one) for one in ANY_DEGREE.finditer(text) if not _is_ordinary(text, one)}) > 1:
            return None
        return degree_in(match)
    bare = _BARE_EDGE.search(text)
    return degree_of_bare(bare[0]) if bare is not None else None


def _in_capitals(text: str) -> Degree | None:
    """Return the degree of MẬT among words not in capitals, unless the title is about rules."""
    found = {degree_in(match) for match in ANY_DEGREE.finditer(text) if is_capital(match) and not _is_ordinary(text, match)}
    if len(found) != 1 or text.isupper() or _ABOUT_RULES.search(text) or OF_BODIES.search(text):
        return None
    return found.pop()


def _is_ordinary(text: str, match: re.Match[str]) -> bool:
    before, after = text[max(0, match.start() - _ORDINARY_REACH) : match.start()], text[match.end() :]
    quoted = before[-1:] in "“\"'‘" and after[:1] in "”\"'’" and before[-1:] != ""
    return quoted or _ORDINARY_BEFORE.search(before) is not None or ORDINARY_AFTER.match(after) is not None


_EXTENSION = re.compile(r"(?:\.[A-Za-z0-9]{1,5}){1,2}\Z")
_SLUG = re.compile(r"[_+]|%20|(?<=\w)[-.](?=\w)")
_NAME_LEAD = re.compile(rf"(?P<degree>{DEGREE})\s*(?P<next>.*)", re.IGNORECASE)
_NAME_TRAIL = re.compile(rf"(?<=\w) {DEGREE}(?:\s*(?:\(\d+\)|v?\d+|final|bản cuối))?$", re.IGNORECASE)
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
    if _ABOUT_RULES.search(words) or OF_BODIES.search(words):
        return None
    lead = _NAME_LEAD.match(words)
    if lead is not None and not ORDINARY_AFTER.match(words[lead.end("degree") :]):
        degree, rest = degree_in(lead), lead["next"]
        is_set_off = is_capital_word(lead["degree"]) and (not rest.isupper() or not _LETTERS.search(rest))
        if degree is not Degree.CONFIDENTIAL or not rest or is_set_off or re.match(rf"{PAPER}|\d", rest, re.IGNORECASE):
            return degree
    trail = _NAME_TRAIL.search(words)
    if trail is None or _ORDINARY_BEFORE.search(words[: trail.start() + 1]):
        return None
    before = words[: trail.start() + 1].rsplit(maxsplit=1)[-1]
    is_name = before[:1].isupper() and trail[0].strip()[:1].isupper() and not is_capital(trail)
    return None if is_name and degree_in(trail) is Degree.CONFIDENTIAL else degree_in(trail)  # Nguyễn Văn Mật


def _bare_edge_of_name(stem: str, words: str) -> Degree | None:
    if _ABOUT_RULES.search(words):
        return None
    lead = _BARE_NAME_LEAD.match(stem)
    if lead is not None and (lead[0].isupper() or lead[0][:2].lower() == "tu" or lead.end() == len(stem)):
        is_sentence = stem.isupper() and " " in stem[lead.end() :].strip(" -_") and "-" not in stem
        if not is_sentence:
            return degree_of_bare(lead[0])
    trail = _BARE_NAME_TRAIL.search(stem)
    if trail is not None:
        return degree_of_bare(trail[0])
    return Degree.CONFIDENTIAL if re.fullmatch(rf"{BARE_PAPER}\s+mat", words, re.IGNORECASE) and words.isupper() else None
