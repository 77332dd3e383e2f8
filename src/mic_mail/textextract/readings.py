"""Decode a text in all its plausible readings: charsets are often missing or wrong.

In: the octets of a text, and its declared charset ("" where there is none). Out: text, letters and marks as written. `readings`
decodes the whole text, `hinted_readings` only the lines by which the check of markings judges it (`hinted_lines`): in most
texts nothing is hinted, and nothing is decoded. Never raises except through the budget.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from mic_mail.mime.encoded_words import FALLBACK, decode_as_written, is_utf8, single_octets
from mic_mail.policy.secrecy.prefilter import hints, may_mark
from mic_mail.textextract.hinted_lines import hinted_lines, whole_lines
from mic_mail.textextract.limits import Budget

Pieces = Callable[[], Iterable[bytes]]
"""Begins a pass over the octets of a text, in pieces of any size."""

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
WIDE_MARKS = tuple(mark for mark, unicode in _MARKS if unicode != "utf-8")
OLD_CHARSETS = ("viscii", "tcvn")
_WIDE = {
    **dict.fromkeys(("utf-16", "utf16", "iso-10646-ucs-2", "ucs-2", "csunicode", "unicode", "unicode-1-1"), "utf-16"),
    **dict.fromkeys(("utf-32", "utf32", "iso-10646-ucs-4", "ucs-4", "csucs4"), "utf-32"),
}
"""Charsets that do not define the octet order without a BOM (RFC 2781 §3.3); programs assume either."""
_SEVEN = ("utf-7", "utf7", "unicode-1-1-utf-7", "csunicode11utf7", "unicode-2-0-utf-7", "x-unicode-2-0-utf-7")


def readings(raw: bytes, charset: str) -> Iterator[str]:
    """Yield a text decoded by its charset, letters and marks as written, in all plausible readings.

    Undeclared 8-bit text that is not UTF-8 is also read in the old charsets of Vietnam.
    """
    named = _normal(charset)
    for mark, unicode in _MARKS:
        if raw.startswith(mark):
            yield decode_as_written(raw[len(mark) :], unicode)
            if not charset:
                return
            break
    if named in _WIDE:
        for order in ("-le", "-be"):
            yield decode_as_written(raw, _WIDE[named] + order)
        charset = ""
    elif named in _SEVEN:
        yield raw.decode("utf-7", "replace")
        charset = ""
    yield decode_as_written(raw, charset)
    if raw.isascii():
        return
    try:
        as_utf8 = raw.decode("utf-8")
    except UnicodeDecodeError:
        for old in () if charset else OLD_CHARSETS:
            yield decode_as_written(raw, old)
    else:
        if charset.lower() not in ("", "utf-8", "us-ascii"):  # many programs declare one charset and use another
            yield as_utf8


def _normal(charset: str) -> str:
    return charset.strip(" \t\"'").lower().replace("_", "-")


# --- hinted lines -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def can_be_searched(charset: str) -> bool:
    """Return whether a text in this charset can be searched before it is decoded."""
    if _normal(charset) in (*_WIDE, *_SEVEN):
        return False
    return is_utf8(charset) is not False or _octet_search((charset,)) is not None


def hinted_readings(pieces: Pieces, charset: str, budget: Budget, *, is_file: bool = False) -> Iterator[str]:
    """Yield of each of the `readings` the lines by which it is judged.

    `is_file`: also of those without a declared charset, as programs read a file that a message declares as text. A text
    in UTF-8 is searched once for both.
    """
    beginning = b"".join(_until(pieces(), 4))
    if beginning.startswith(WIDE_MARKS) or not can_be_searched(charset):
        whole = b"".join(pieces())
        budget.check_whole(len(whole))
        yield from readings(whole, charset)
        return
    always_utf8, has_mark = is_utf8(charset), beginning.startswith(_MARKS[0][0])
    is_file = is_file and not has_mark  # without a declared charset, the mark says that it is UTF-8
    if has_mark or (always_utf8 and not is_file):
        yield decode_as_written(hinted_lines(whole_lines(pieces(), budget), hints, budget), "utf-8")
        if always_utf8 or not charset:
            return
    check = _Utf8Check(strict=always_utf8 is False and not is_file)
    blocks = whole_lines(pieces(), budget)
    lines = hinted_lines(check.passed(blocks, to_end=bool(always_utf8)), hints, budget)
    if check.is_utf8 or always_utf8:
        yield decode_as_written(lines, "utf-8")
    if always_utf8 is False:
        yield from _in_single_octets(pieces, (charset,), budget)
    if not check.is_whole and (always_utf8 is None or is_file):
        old = () if charset and not is_file else OLD_CHARSETS
        yield from _in_single_octets(pieces, old if check.is_utf8 else (FALLBACK, *old), budget)


def _in_single_octets(pieces: Pieces, charsets: tuple[str, ...], budget: Budget) -> Iterator[str]:
    """Yield the lines to judge in each of these charsets, which are searched together."""
    if not charsets:
        return
    search = _octet_search(charsets)
    assert search is not None
    lines = hinted_lines(whole_lines(pieces(), budget), search, budget)
    for charset in charsets:
        yield decode_as_written(lines, charset)


def _until(pieces: Iterable[bytes], octets: int) -> Iterator[bytes]:
    """Yield pieces until they hold so many octets."""
    for piece in pieces:
        yield piece
        octets -= len(piece)
        if octets <= 0:
            return


class _Utf8Check:
    """Checks whether a text is UTF-8, strictly, or but for characters cut at its ends (`decode_as_written`)."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._is_damaged = False
        self._has_begun = self._has_ended = self._has_letters = False
        self.is_whole = True

    @property
    def is_utf8(self) -> bool:
        """Return whether it is UTF-8 for `decode_as_written`."""
        return self.is_whole or not (self._strict or self._is_damaged or not self._has_letters)

    def passed(self, blocks: Iterable[bytes], *, to_end: bool = False) -> Iterator[bytes]:
        """Yield blocks of whole lines, unless `to_end` only until the text is known not to be UTF-8."""
        for block in blocks:
            self._look_at(block)
            if not to_end and not self.is_whole and (self._strict or self._is_damaged):
                return
            yield block

    def _look_at(self, block: bytes) -> None:
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError:
            self.is_whole = False
            text = block.decode("utf-8", "replace")
        within = text.strip("\ufffd")
        if within:
            begins_again = self._has_ended or (self._has_begun and text.startswith("\ufffd"))
            self._is_damaged = self._is_damaged or begins_again or "\ufffd" in within
            self._has_letters = self._has_letters or not within.isascii()
            self._has_begun = True
        self._has_ended = self._has_begun and text.endswith("\ufffd")


# --- charsets of single octets ----------------------------------------------------------------------------------------

_IN_CLASSES = re.compile(rb"m(?<![xma]m) *+[av][ av]*+t(?![xmati])")
_IN_ODD_CLASSES = re.compile(rb"m *+[av][ av]*+t")
"""As `policy.secrecy.prefilter`, of octets that are replaced by one for their class.

The second one is for charsets in which further octets look like M or T.
"""
_OctetSearch = Callable[[bytes], Iterable[int]]


@lru_cache(maxsize=64)
def _octet_search(charsets: tuple[str, ...]) -> _OctetSearch | None:
    """Return the search for a marking in a text that may be in any of these charsets; None where there is none."""
    tables = [single_octets(charset) for charset in charsets]
    classes = bytearray(256)
    for octet in range(256):
        found = {_class(table[octet]) for table in tables if table is not None} - {"."}
        if found >= {"v", " "}:
            found.discard(" ")  # a vowel may stand wherever a separator may
        if len(found) > 1:
            return None
        classes[octet] = ord(found.pop() if found else ".")
    if None in tables or any("\u0308" in table for table in tables if table is not None):  # makes other vowels of E
        return None
    is_odd = any(classes[octet] in b"mt" for octet in range(0x80, 0x100))
    pattern, table = _IN_ODD_CLASSES if is_odd else _IN_CLASSES, bytes(classes)
    return lambda block: (match.start() for match in pattern.finditer(block.translate(table)))


def _class(letter: str) -> str:
    """Return the part of the word that a character can be: m, a or another vowel, t, a blank, or neither."""
    if may_mark(letter + "ật"):
        return "m"
    if may_mark("mậ" + letter):
        return "t"
    if letter in "aAiI" or (letter.isascii() and letter.isalnum()):
        return letter.lower() if letter in "aAiI" else "x"
    if may_mark(f"m{letter}t"):
        return "v"
    return " " if may_mark(f"m{letter}ật") or may_mark(f"mậ{letter}t") else "."
