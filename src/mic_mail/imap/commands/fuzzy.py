"""What FUZZY means here, and how relevant a message is to it (RFC 6203).

In: trees of search keys. Out: trees without FUZZY, scores. Pure.
A text that is looked for fuzzily is found where all its words are, in any order, with or without diacritics ("hop quy" finds
"Quý ba: họp giao ban"). All other keys are matched as they are, which §5 leaves to the server.
"""

import unicodedata
from collections.abc import Callable, Sequence

from mic_mail.imap.parser.search_keys import And, BodyKey, Fuzzy, HeaderKey, Not, Or, SearchKey, TextKey
from mic_mail.imap.selected.sort_cache import Scores

MAX_WORDS = 16
"""Longer texts are looked for as they are: each word is a search of its own."""

TextLeaf = HeaderKey | BodyKey | TextKey


def widened(key: SearchKey) -> SearchKey:
    """The tree that decides what is found."""
    return _replaced(key, _any_order, inside=False)


def tiers(key: SearchKey) -> list[SearchKey]:
    """Trees for what is found and fits better, the best first: the words as they are in the subject, then anywhere."""
    exact = _replaced(key, lambda leaf: leaf, inside=False)
    in_subject = _replaced(
        key, lambda leaf: leaf if isinstance(leaf, HeaderKey) else HeaderKey("subject", leaf.value), inside=False
    )
    return [in_subject, exact] if in_subject != exact else [exact]


def scores(found: Sequence[int], better: Sequence[Sequence[int]]) -> Scores:
    """Relevancy from 100 down to 1: by the best tier that a message is in, and within it the newer the higher."""
    groups: list[list[int]] = []
    left = set(found)
    for tier in better:
        groups.append([at for at in tier if at in left])
        left.difference_update(tier)
    groups.append(sorted(left))
    result: dict[int, int] = {}
    for number, group in enumerate(groups):
        high = 100 - 100 * number // len(groups)
        low = 101 - 100 * (number + 1) // len(groups)
        for place, at in enumerate(reversed(group)):
            result[at] = high - (high - low) * place // max(1, len(group) - 1)
    return result


def _replaced(key: SearchKey, make: Callable[[TextLeaf], SearchKey], *, inside: bool) -> SearchKey:
    """The tree with `make` of the texts in FUZZY; what a NOT in there excludes is taken as it is."""
    match key:
        case Fuzzy(inner):
            return _replaced(inner, make, inside=True)
        case And(keys):
            return And(tuple(_replaced(each, make, inside=inside) for each in keys))
        case Or(keys):
            return Or(tuple(_replaced(each, make, inside=inside) for each in keys))
        case Not(inner):
            return Not(_replaced(inner, (lambda leaf: leaf) if inside else make, inside=inside))
        case HeaderKey() | BodyKey() | TextKey() if inside:
            return make(key)
        case _:
            return key


def _any_order(leaf: TextLeaf) -> SearchKey:
    words = leaf.value.split()
    if not 0 < len(words) <= MAX_WORDS:
        return leaf
    found = [_with_and_without_marks(leaf, word) for word in dict.fromkeys(words)]
    return found[0] if len(found) == 1 else And(tuple(found))


def _with_and_without_marks(leaf: TextLeaf, word: str) -> SearchKey:
    exact, bare = _with_value(leaf, word), _with_value(leaf, _bare(word))
    return exact if exact == bare else Or((exact, bare))


def _with_value(leaf: TextLeaf, value: str) -> TextLeaf:
    return HeaderKey(leaf.name, value) if isinstance(leaf, HeaderKey) else type(leaf)(value)


def _bare(word: str) -> str:
    """A word without diacritics; "đ" is no composed letter, but people leave its stroke out too."""
    if word.isascii():
        return word
    letters = unicodedata.normalize("NFD", word[:256]) + word[256:]
    bare = "".join([letter for letter in letters if not unicodedata.combining(letter)])
    return bare.replace("đ", "d").replace("Đ", "D") or word
