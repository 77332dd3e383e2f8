"""FUZZY search (RFC 6203): matching and relevancy scores.

In: trees of search keys. Out: trees without FUZZY, scores. Pure.
A fuzzy text matches where all its words occur, in any order, with or without diacritics ("hop quy" finds "Quý ba: họp giao
ban"). All other keys match exactly, which §5 leaves to the server.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

from mic_mail.imap.parser.search_keys import And, Fuzzy, Not, Or, SearchKey
from mic_mail.imap.selected.folder_order import Scores
from mic_mail.storage.types import TextTest

MAX_WORDS = 16
"""Most words of a fuzzy text, as each word is a search of its own; a longer text is matched exactly."""


def widened(key: SearchKey) -> SearchKey:
    """Return the tree that decides what matches."""
    return _replaced(key, _any_order, inside=False)


def tiers(key: SearchKey) -> list[SearchKey]:
    """Return trees for better matches, the best first: the exact words in the subject, then anywhere."""
    exact = _replaced(key, lambda leaf: leaf, inside=False)
    in_subject = _replaced(
        key, lambda leaf: leaf if leaf.kind == "HEADER" else TextTest("HEADER", leaf.value, "subject"), inside=False
    )
    return [in_subject, exact] if in_subject != exact else [exact]


def scores(found: Sequence[int], better: Sequence[Sequence[int]]) -> Scores:
    """Return relevancy from 100 down to 1: by a message's best tier, and within it newer ones higher."""
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


def _replaced(key: SearchKey, make: Callable[[TextTest], SearchKey], *, inside: bool) -> SearchKey:
    """Return the tree with `make` applied to the texts in FUZZY; a NOT inside stays exact."""
    match key:
        case Fuzzy(inner):
            return _replaced(inner, make, inside=True)
        case And(keys):
            return And(tuple(_replaced(each, make, inside=inside) for each in keys))
        case Or(keys):
            return Or(tuple(_replaced(each, make, inside=inside) for each in keys))
        case Not(inner):
            return Not(_replaced(inner, (lambda leaf: leaf) if inside else make, inside=inside))
        case TextTest() if inside:
            return make(key)
        case _:
            return key


def _any_order(leaf: TextTest) -> SearchKey:
    words = leaf.value.split()
    if not 0 < len(words) <= MAX_WORDS:
        return leaf
    found = [_with_and_without_marks(leaf, word) for word in dict.fromkeys(words)]
    return found[0] if len(found) == 1 else And(tuple(found))


def _with_and_without_marks(leaf: TextTest, word: str) -> SearchKey:
    exact, bare = replace(leaf, value=word), replace(leaf, value=_bare(word))
    return exact if exact == bare else Or((exact, bare))


def _bare(word: str) -> str:
    """Return a word without diacritics and without the stroke of "đ", which does not decompose."""
    if word.isascii():
        return word
    letters = unicodedata.normalize("NFD", word[:256]) + word[256:]
    bare = "".join([letter for letter in letters if not unicodedata.combining(letter)])
    return bare.replace("đ", "d").replace("Đ", "D") or word
