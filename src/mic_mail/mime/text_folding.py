"""Normalise text for comparison: words without case, in NFC, and the same without diacritics.

In: decoded text. Out: words, a prepared query. Pure; time is linear in the length of the text.

    words     text is split at white space of any kind, so a phrase is found across a line wrap; case is folded, letters are in
              NFC, invisible characters (soft hyphen, zero-width space and joiners, BOM) are removed
    fold      the combining marks of Latin, Greek and Cyrillic are removed, and đ is d: `Quyết định` is `quyet dinh`. Signs of
              other scripts (Thai and Indic vowels, Arabic and Hebrew points, kana's voicing) are letters there and stay, as do
              letters that have no decomposition (ł, ø)
    Query     a value without diacritics is searched in folded text, one with any in text that has them: `phở` folded would
              match every `phòng` and `phố`

A text matches a query when the query is a substring of its words joined by single spaces, with a space before and after. So it
also matches inside words, and a space at an end of the query means the edge of a word.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mic_mail.mime.encoded_words import compose_letters, decompose_letters

_NOTHING = dict.fromkeys([0xAD, 0x34F, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), 0xFEFF])
_HAS_NOTHING = re.compile(f"[{''.join(map(chr, _NOTHING))}]")
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_SPACE = re.compile(r"\s")
_BATCH = 1 << 16
"""Characters."""
_USUAL_WORD = 40
"""Characters; longer words rarely recur and are not cached."""


def words(text: str) -> list[str]:
    """Return the words of a text, in order."""
    if text.isascii():
        return text.lower().split()
    return [known for word in text.split() if (known := _usual(word) if len(word) <= _USUAL_WORD else _normal(word))]


def word_batches(text: str) -> Iterator[list[str]]:
    """Yield a text's words in batches of some thousand, as a list of all takes more memory than it."""
    yield from map(words, _batches(text))


def _batches(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        cut = _SPACE.search(text, at + _BATCH)
        end = cut.end() if cut else len(text)
        yield text[at:end]
        at = end


def fold(word: str) -> str:
    """Return words without diacritics; a word that is only marks becomes empty."""
    if word.isascii():
        return word
    return _usual_fold(word) if len(word) <= _USUAL_WORD else _folded(word)


def _folded(word: str) -> str:
    if word.isascii():
        return word
    return compose_letters(_MARKS.sub("", decompose_letters(word)).replace("đ", "d").replace("Đ", "D"))


def _normal(word: str) -> str:
    if word.isascii():
        return word.lower()
    if _HAS_NOTHING.search(word):
        word = word.translate(_NOTHING)
    return compose_letters(compose_letters(word).casefold())


def _joined(text: str) -> str:
    """Return the words joined by single spaces, in a quarter of the time where few are cached."""
    return " ".join(_normal(text).split())


_usual = lru_cache(maxsize=1 << 14)(_normal)
_usual_fold = lru_cache(maxsize=1 << 14)(_folded)
"""Most words of a text are cached: 60 ns, and 1 to 3 us for a new one."""


@dataclass(frozen=True, slots=True)
class SearchValue:
    """A search value prepared for words joined by spaces, or for folded ones if `folded`."""

    text: str
    folded: bool

    @classmethod
    def of(cls, value: str) -> "SearchValue":
        text = " ".join(words(value))
        if text:
            text = " " * value[:1].isspace() + text + " " * value[-1:].isspace()
        elif value[:1].isspace():
            text = " "
        return cls(text, folded=fold(text) == text)

    def occurs_in(self, text: str) -> bool:
        """Return whether it occurs in a text."""
        return occurring((self,), text)[0]


def occurring(queries: Sequence[SearchValue], text: str) -> list[bool]:
    """Return for each query whether it occurs in a text, whose words are prepared once for all of them."""
    found = [not query.text for query in queries]
    reach = max((len(query.text) for query in queries), default=0)
    before = {False: " ", True: " "}
    for batch in map(_joined, _batches(text)):
        if all(found):
            break
        joined: dict[bool, str] = {}
        for place, query in enumerate(queries) if batch else ():
            if not found[place]:
                if query.folded not in joined:
                    joined[query.folded] = f"{before[query.folded]}{_folded(batch) if query.folded else batch} "
                found[place] = query.text in joined[query.folded]
        before.update((folded, words_of_it[-reach:]) for folded, words_of_it in joined.items())
    return found
