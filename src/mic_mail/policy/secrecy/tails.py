"""Parse the text after a degree in its line: copy number, urgency, place and date, prohibitions."""

import re

from mic_mail.policy.secrecy.degrees import URGENT

_AFTER_VALUE = re.compile(r"[^\S\t]*+\t|[\])”\"']*+\.\s|[\s\])”\"'.]*+(?:$|[,;|(/–\-])")
_CLOSING = re.compile(r"[\s\])”\"'.]*+")

_AMONG = frozenset(",;:/|-–—()[]*.=#~")
"""Characters that may stand before a piece of a tail, besides blanks."""
_FIGURES = r"[\s:.…\d/]*+"
_PIECES = re.compile(
    rf"(?=[bchklstđ])(?:bản(){_FIGURES}|tờ số(){_FIGURES}|trang[\s:]*+\d()\d*+|{URGENT}()|số()\s*+:?+[\s\w./\-…]{{0,40}}+"
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


def before_tail(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """Match `pattern` at the beginning, if nothing but a tail follows."""
    match = pattern.match(text)
    if match is None or match.end() == len(text):
        return match
    return match if _tail_ends(text, match.end(), match.end())[-1] else None


def is_value_over(rest: str) -> bool:
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
