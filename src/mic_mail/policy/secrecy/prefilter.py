"""A prefilter for secrecy markings (Reg. 4.1): one search over a text's octets before any other check.

In: a text, or its UTF-8 octets. Out: False only if no reader sees the word MẬT in any of its spellings, in any Unicode form and
with any look-alikes (`policy.naming.confusables`). True proves little: `markings` decides. Pure.
"""

import re
from collections.abc import Iterator
from heapq import merge

_BETWEEN = (
    rb"[ .]|\xc2[\xa0\xad]|\xcc[\x82\xa3]|\xcd\x8f|\xd8\x9c|\xe2\x80[\x80-\xaf]|\xe2\x81[\x80-\xbf]|\xe3\x80\x80"
    rb"|\xef\xb8[\x80-\x8f]|\xef\xbb\xbf|\xef\xbc\x8e"
)
"""Separators between spaced-out letters, invisible characters, and combining marks.

The marks are circumflex and dot below.
"""
_VOWEL = rb"a|\xc3[\x82\xa2\x84\xa4\x8b\xab]|\xe1\xba[\xa0\xa1\xac\xad]"
"""A, Â, Ä, Ë, Ạ, Ậ: in Unicode, and as TCVN3 and VNI fonts display them."""
_BEFORE = rb"(?<![a-hj-su-z0-9]m)(?<!b\xe1\xba\xa3o m)(?<!b\xc3\xad m)"
_AFTER = rb"(?![a-z0-9])(?! (?:kh\xe1\xba\xa9u|ong)(?![\w\x80-\xff]))"
"""The commonest ordinary words, excluded before any other check.

`format`, `bảo mật`, `bí mật`, `mật khẩu`, `mật ong`.
"""
_STYLED = rb"\xf0\x9d[\x90-\x9f][\x80-\xbf]"
_ODD_M = {0xD0: rb"\xd0[\x9c\xbc]", 0xCE: rb"\xce\x9c", 0xEF: rb"\xef(?:\xbc\xad|\xbd\x8d)", 0xF0: _STYLED}
"""Look-alikes of M in Cyrillic, Greek, full width and mathematical letters, by their first octet."""
_ODD_VOWEL = rb"e|\xd0[\x90\xb0\x95\xb5]|\xce[\x91\x95]|\xef\xbc[\xa1\xa5]|\xef\xbd[\x81\x85]|\xcc\x88"
_ODD_T = rb"\xd0\xa2|\xd1\x82|\xce\xa4|\xcf\x84|\xef\xbc\xb4|\xef\xbd\x94|" + _STYLED
"""Look-alikes, and Ä and Ë with a combining mark. A styled letter behind the first vowel counts as T."""
_ODD = (0xCC, 0xCE, 0xCF, 0xD0, 0xD1, 0xEF, 0xF0)
"""The first octets of all these, as numbers: they are found in bytes five times as fast."""

_REST = rb"(?:%b)*+(?:%b)(?:%b|%b)*+t%b" % (_BETWEEN, _VOWEL, _BETWEEN, _VOWEL, _AFTER)
_ODD_REST = rb"(?:%b)*+(?:%b|%b|%b)(?:%b|%b|%b)*+(?:t%b|%b)" % (
    _BETWEEN, _VOWEL, _ODD_VOWEL, _STYLED, _BETWEEN, _VOWEL, _ODD_VOWEL, _AFTER, _ODD_T,
)  # fmt: skip
_NEXT = rb" .\xc2\xcc\xcd\xd8\xe2\xe3\xefa\xc3\xe1"
_ODD_NEXT = _NEXT + rb"e\xce\xd0\xf0"
"""The octets that may follow an M: looked at first, since most that do are others."""
_HINT = re.compile(rb"m(?=[%b])" % _NEXT + _BEFORE + _REST)
_ODD_HINTS = {
    ord("m"): re.compile(rb"m(?=[%b])" % _ODD_NEXT + _BEFORE + _ODD_REST),
    **{first: re.compile(letter + _ODD_REST) for first, letter in _ODD_M.items()},
}
"""Patterns by their first octet.

Each begins with a literal, so that the search skips from one to the next; one pattern with a choice of first octets takes
five times as long in octets that are no text.
"""


def _folded(pattern: bytes) -> bytes:
    """Return the pattern for octets in which the first ones of a look-alike of M have become m."""
    for first in _ODD_M:
        pattern = pattern.replace(rb"\x%x" % first, b"m")
    # where a letter rules out a hint, an m is none any more
    return pattern.replace(b"a-hj-su-z0-9", b"a-hj-ln-su-z0-9").replace(b"a-z0-9", b"a-ln-z0-9")


_FOLDING = bytes(ord("m") if octet in _ODD_M else octet for octet in bytes(range(256)).lower())
_FOLDED_HINT = re.compile(
    rb"m(?=[%b\x9c\x9d\xbc\xbd])(?:(?:\x9c|\xbc\xad?|\xbd\x8d|\x9d[\x90-\x9f][\x80-\xbf])|%b)%b"
    % (_folded(_ODD_NEXT), _folded(_BEFORE), _folded(_ODD_REST))
)
"""Matches in folded octets whatever one of `_ODD_HINTS` matches, and a little more.

So one search rules out all five.
"""
_MANY_ODD = 3
"""First octets of look-alikes of M, from which on the octets are folded: text with emoji has one or two."""


def may_mark(text: str) -> bool:
    """Return whether `text` may contain a marking."""
    return octets_may_mark(text.encode("utf-8", "surrogatepass").lower())


def octets_may_mark(lowered: bytes) -> bool:
    """Return whether UTF-8 octets with ASCII letters in lower case may contain a marking.

    0.1 ms for 100 KiB of Vietnamese. Invalid octets between count as no letters.
    """
    return any(hint.search(lowered) is not None for hint in _hints_for(lowered))


def hints(octets: bytes) -> Iterator[int]:
    """Return the offsets in UTF-8 octets at which a marking may stand, in order."""
    is_odd = len([first for first in _ODD_M if first in octets]) >= _MANY_ODD
    if is_odd and _FOLDED_HINT.search(octets.translate(_FOLDING)) is None:
        return iter(())
    lowered = octets.lower()
    found = [(match.start() for match in hint.finditer(lowered)) for hint in _hints_for(lowered)]
    return found[0] if len(found) == 1 else merge(*found)


def _hints_for(lowered: bytes) -> Iterator[re.Pattern[bytes]]:
    """Yield the patterns that can match: most text has only usual letters."""
    if not any(first in lowered for first in _ODD):
        yield _HINT
        return
    for first, hint in _ODD_HINTS.items():
        if first in lowered:
            yield hint
