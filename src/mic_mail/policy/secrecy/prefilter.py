"""A prefilter for secrecy markings (Reg. 4.1): one search over a text's octets before any other check.

In: a text, or its UTF-8 octets. Out: False only if no reader sees the word MẬT in any of its spellings, in any Unicode form and
with any look-alikes (`policy.naming.confusables`). True proves little: `markings` decides. Pure.
"""

import re

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
_HINT = re.compile(rb"m%b(?:%b)*+(?:%b)(?:%b|%b)*+t%b" % (_BEFORE, _BETWEEN, _VOWEL, _BETWEEN, _VOWEL, _AFTER))
"""The pattern begins with a literal letter, so that the search skips from m to m."""

_ODD_M = rb"\xd0[\x9c\xbc]|\xce\x9c"
_ODD_VOWEL = rb"e|\xd0[\x90\xb0\x95\xb5]|\xce[\x91\x95]|\xef\xbc[\xa1\xa5]|\xef\xbd[\x81\x85]|\xcc\x88"
_ODD_T = rb"\xd0\xa2|\xd1\x82|\xce\xa4|\xcf\x84|\xef\xbc\xb4|\xef\xbd\x94"
"""Look-alikes in Cyrillic, Greek and full width; Ä and Ë with a combining mark."""
_ODD_HINT = re.compile(
    rb"(?:m%b|%b)(?:%b)*+(?:%b|%b)(?:%b|%b|%b)*+(?:t%b|%b)"
    % (_BEFORE, _ODD_M, _BETWEEN, _VOWEL, _ODD_VOWEL, _BETWEEN, _VOWEL, _ODD_VOWEL, _AFTER, _ODD_T)
)
_ODD = (b"\xce", b"\xcf", b"\xd0", b"\xd1", b"\xef\xbc", b"\xef\xbd", b"\xcc\x88")
_UNSEARCHED = tuple(map(re.compile, (rb"\xf0\x9d[\x90-\x9f][\x80-\xbf]", rb"\xef\xbc\xad", rb"\xef\xbd\x8d")))
"""Mathematical letters and the full-width M, which are rare.

A search that could also begin with them would stop at each U+FFFD.
"""


def may_mark(text: str) -> bool:
    """Return whether `text` may contain a marking."""
    return octets_may_mark(text.encode("utf-8", "surrogatepass").lower())


def octets_may_mark(lowered: bytes) -> bool:
    """Return whether UTF-8 octets with ASCII letters in lower case may contain a marking.

    0.1 ms for 100 KiB of Vietnamese. Invalid octets between count as no letters.
    """
    if any(letter.search(lowered) for letter in _UNSEARCHED):
        return True
    hint = _ODD_HINT if any(octets in lowered for octets in _ODD) else _HINT
    return hint.search(lowered) is not None
