"""Whether a text can hold a marking at all (Reg. 4.1): one search over its octets, before it is read in any other way.

In: a text, or its octets in UTF-8. Out: False only if no reader sees the word MẬT in it in any of its spellings, whatever form
of Unicode it is in and whatever `lookalikes` stand in it. True says little: the judge is `markings`. Pure.
"""

import re

_BETWEEN = (
    rb"[ .]|\xc2[\xa0\xad]|\xcc[\x82\xa3]|\xcd\x8f|\xd8\x9c|\xe2\x80[\x80-\xaf]|\xe2\x81[\x80-\xbf]|\xe3\x80\x80"
    rb"|\xef\xb8[\x80-\x8f]|\xef\xbb\xbf|\xef\xbc\x8e"
)
"""What stands between letters that are spaced out, and what shows nothing; circumflex and dot below, written as marks."""
_VOWEL = rb"a|\xc3[\x82\xa2\x84\xa4\x8b\xab]|\xe1\xba[\xa0\xa1\xac\xad]"
"""A, Â, Ä, Ë, Ạ, Ậ: as they are, and as the fonts of TCVN3 and VNI had them."""
_BEFORE = rb"(?<![a-hj-su-z0-9]m)(?<!b\xe1\xba\xa3o m)(?<!b\xc3\xad m)"
_AFTER = rb"(?![a-z0-9])(?! (?:kh\xe1\xba\xa9u|ong)(?![\w\x80-\xff]))"
"""Commonest words that are none: `format`, `bảo mật`, `bí mật`, `mật khẩu`, `mật ong`."""
_HINT = re.compile(rb"m%b(?:%b)*+(?:%b)(?:%b|%b)*+t%b" % (_BEFORE, _BETWEEN, _VOWEL, _BETWEEN, _VOWEL, _AFTER))
"""Begins with a letter, so that it goes from m to m."""

_ODD_M = rb"\xd0[\x9c\xbc]|\xce\x9c"
_ODD_VOWEL = rb"e|\xd0[\x90\xb0\x95\xb5]|\xce[\x91\x95]|\xef\xbc[\xa1\xa5]|\xef\xbd[\x81\x85]|\xcc\x88"
_ODD_T = rb"\xd0\xa2|\xd1\x82|\xce\xa4|\xcf\x84|\xef\xbc\xb4|\xef\xbd\x94"
"""Of Cyrillic, Greek and full width; Ä and Ë with a mark."""
_ODD_HINT = re.compile(
    rb"(?:m%b|%b)(?:%b)*+(?:%b|%b)(?:%b|%b|%b)*+(?:t%b|%b)"
    % (_BEFORE, _ODD_M, _BETWEEN, _VOWEL, _ODD_VOWEL, _BETWEEN, _VOWEL, _ODD_VOWEL, _AFTER, _ODD_T)
)
_ODD = (b"\xce", b"\xcf", b"\xd0", b"\xd1", b"\xef\xbc", b"\xef\xbd", b"\xcc\x88")
_UNSEARCHED = tuple(map(re.compile, (rb"\xf0\x9d[\x90-\x9f][\x80-\xbf]", rb"\xef\xbc\xad", rb"\xef\xbd\x8d")))
"""Mathematical letters, and M of full width: rare, and a search that began with it too would stop at each U+FFFD."""


def may_mark(text: str) -> bool:
    """Whether anything in `text` can be a marking."""
    return octets_may_mark(text.encode("utf-8", "surrogatepass").lower())


def octets_may_mark(lowered: bytes) -> bool:
    """The same of a text in UTF-8 whose letters of ASCII are small: 0.1 ms for 100 KiB of Vietnamese. Octets between that are
    no UTF-8 stand for no letters."""
    if any(letter.search(lowered) for letter in _UNSEARCHED):
        return True
    hint = _ODD_HINT if any(octets in lowered for octets in _ODD) else _HINT
    return hint.search(lowered) is not None
