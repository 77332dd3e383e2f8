"""What a reader sees of a text: nothing of the characters that show nothing, and letters for those that only look like them.

In: any text. Out: the same as it looks, for the judge of markings (Reg. 4.1). Pure. Nothing else is changed, and a text that
has none of these is given back as it is. Bounds of the effort: what a program puts into a text by itself (Word joiners,
directional marks, thin spaces of typesetters, full-width letters of Asian keyboards) and what hides a word at no cost. Letters
of other scripts count as ours only beside ours: a Russian word stays Russian.
"""

import re
import unicodedata

_UNSEEN = re.compile("[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]+")
"""Default ignorable code points (Unicode Standard Annex 44), as far as mail holds them."""
_SPACES = re.compile("[\u2000-\u200a\u202f\u205f\u3000]")
_STYLED = re.compile("[\uff01-\uff5e\U0001d400-\U0001d7ff]")
"""Full-width and mathematical forms."""
_CYRILLIC = dict(zip("АЕІМОТУҮаеімотуү", "AEIMOTYYaeimotyy", strict=True))
_GREEK = dict(zip("ΑΕΙΜΟΤΥιοτυ", "AEIMOTYiotu", strict=True))
_TWINS = str.maketrans(_CYRILLIC | _GREEK)
_OTHERS = "".join(_CYRILLIC | _GREEK)
_OURS = "A-Za-z\u00c0-\u024f\u0300-\u036f\u1e00-\u1eff"
_MIXED = re.compile(rf"(?<=[{_OURS}])[{_OTHERS}]++|(?<![{_OTHERS}])[{_OTHERS}]++(?=[{_OURS}])")
_LEADS = (b"\xcd", b"\xce", b"\xcf", b"\xd0", b"\xd1", b"\xd2", b"\xd8", b"\xe3", b"\xef", b"\xf0")
"""The first octets in UTF-8 of most of these, and of no letter of ours: ten looks take 2 us for 4,000 characters."""
_AMONG_OURS = re.compile(rb"\xe2(?:\x80[\x80-\x8f\xa8-\xaf]|\x81)")
_SOFT_HYPHEN = b"\xc2\xad"


def as_seen(text: str) -> str:
    """`text` as a reader sees it (above); itself where there is nothing to change, which costs a pass over its octets."""
    if text.isascii() or not _may_differ(text):
        return text
    seen = _SPACES.sub(" ", _UNSEEN.sub("", text))
    seen = _STYLED.sub(lambda styled: unicodedata.normalize("NFKC", styled[0]), seen)
    return _MIXED.sub(lambda twins: twins[0].translate(_TWINS), seen)


def _may_differ(text: str) -> bool:
    octets = text.encode("utf-8", "surrogatepass")
    return any(lead in octets for lead in _LEADS) or _SOFT_HYPHEN in octets or _AMONG_OURS.search(octets) is not None
