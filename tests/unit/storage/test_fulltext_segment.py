"""Packed text answers as the text itself does."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.mime.search_text import Zone
from mic_mail.mime.text_folding import SearchValue
from mic_mail.storage.fulltext import segment
from mic_mail.storage.fulltext.segment import (
    Flow,
    IndexedDocument,
    Packed,
    Phrase,
    TooLong,
    Words,
    needle,
    pack,
    sieve_places,
    unpack,
    unpack_values,
)

Pieces = list[tuple[Zone, str]]
WORDS = [
    "hóa",
    "hoa",
    "đơn",
    "đon",
    "đơn.",
    "don",
    "a",
    "ab",
    "b",
    "(hóa",
    "phở",
    "\u0301",
    "\u200b",
    "x\0y",
    "í",
    "字字字",
    "đ",
]
TEXT = st.lists(st.sampled_from([*WORDS, " ", "\r\n"]), max_size=12).flatmap(
    lambda words: st.sampled_from([" ", "", "  ", "\xa0"]).map(lambda between: between.join(words))
)
DOCUMENT = st.lists(st.tuples(st.sampled_from(["body", "subject"]), TEXT), max_size=4)
QUERY = st.one_of(TEXT, st.just(" "), st.text(st.sampled_from("hóađơnbx .í字"), min_size=1, max_size=6)).filter(bool)


def asked(packed: Packed, zone: Zone, value: str) -> set[int]:
    """As a search asks."""
    query = SearchValue.of(value)
    words = Words.unpack(packed.zones[zone][0])
    if " " not in query.text.strip(" "):
        return words.having(words.numbers(needle(query.text), folded=query.folded))
    phrase = Phrase(query, words)
    return phrase.among(phrase.candidates, Flow.unpack(packed.zones[zone][1]))


def scanned(documents: Sequence[Pieces], zone: Zone, value: str) -> set[int]:
    """As who reads everything."""
    query = SearchValue.of(value)
    return {
        place
        for place, pieces in enumerate(documents)
        if any(where == zone and query.occurs_in(text) for where, text in pieces)
    }


@pytest.mark.slow
@settings(max_examples=600)
@given(st.lists(DOCUMENT, max_size=8), QUERY, st.sampled_from([1, 64]), st.sampled_from([0, 64]))
def test_a_segment_answers_as_its_texts_do(documents: list[Pieces], value: str, sieve_from: int, most_ways: int) -> None:
    """Any query, any texts; with and without the sieve, phrases tried one by one or by expression."""
    if not SearchValue.of(value).text:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "_SIEVE_FROM", sieve_from)
        patch.setattr(segment, "_MOST_WAYS", most_ways)
        packed = pack([IndexedDocument.of(pieces) for pieces in documents])
        for zone in ("body", "subject"):
            assert asked(packed, zone, value) == scanned(documents, zone, value)  # type: ignore[arg-type]  # both are zones


@settings(max_examples=200)
@given(st.lists(DOCUMENT, max_size=6), st.data(), QUERY)
def test_documents_may_be_packed_anew(documents: list[Pieces], data: st.DataObject, value: str) -> None:
    """What is taken out of a segment and packed with others answers as before."""
    packed = pack([IndexedDocument.of(pieces, b"value" * place) for place, pieces in enumerate(documents)])
    places = data.draw(st.lists(st.integers(0, len(documents) - 1), unique=True)) if documents else []
    more = data.draw(DOCUMENT)
    again = pack([*unpack(packed, places), IndexedDocument.of(more)])
    assert unpack_values(again.values, again.documents) == [*(b"value" * place for place in places), b""]
    if SearchValue.of(value).text:
        assert asked(again, "body", value) == scanned([*(documents[place] for place in places), more], "body", value)


def test_more_words_than_there_are_characters_below_the_surrogates() -> None:
    """A character for each of 70,000 different words, none of them half of a pair (U+D800 to U+DFFF)."""
    pieces: Pieces = [("body", " ".join(f"w{number}" for number in range(70_000)))]
    packed = pack([IndexedDocument.of(pieces)])
    for number in (0, 55_294, 55_295, 55_296, 57_343, 57_344, 63_487, 63_488, 65_535, 69_998):
        assert asked(packed, "body", f" w{number} w{number + 1} ") == {0}
        assert asked(packed, "body", f" w{number} w{number + 2} ") == set()
    assert asked(pack(unpack(packed, [0])), "body", "w55295 w55296 w55297") == {0}


def test_a_message_of_too_many_words_is_none_for_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take too much memory; the search reads it."""
    with pytest.raises(TooLong):
        IndexedDocument.of([("body", "a b " * (segment.MAX_WORDS // 2)), ("body", "c d")])
    monkeypatch.setattr(segment, "MAX_DIFFERENT_WORDS", 5)
    IndexedDocument.of([("body", "a b c d e " * 100)])
    with pytest.raises(TooLong):
        IndexedDocument.of([("subject", "a b c"), ("body", "d e f")])


@settings(max_examples=200)
@given(st.lists(st.tuples(st.just("body"), TEXT), min_size=1, max_size=4), QUERY)
def test_a_sieve_lets_through_what_occurs(pieces: Pieces, value: str) -> None:
    """Any text and any query: where the query occurs, the sieve has all its bits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment, "LARGE_LETTERS", 0)
        patch.setattr(segment, "SIEVE_MODULUS", 8_191)
        query = SearchValue.of(value)
        bits = pack([IndexedDocument.of(pieces)]).sieves["body"]
        if query.text and scanned([pieces], "body", value):
            assert all(bits[place >> 3] >> (place & 7) & 1 for place in sieve_places(query))
        assert not all(bits[place >> 3] >> (place & 7) & 1 for place in sieve_places(SearchValue.of("absent absence")))


def test_a_text_of_many_words_is_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phrase is found across the border of two parts; by expression, too."""
    monkeypatch.setattr(segment, "_AT_ONCE", 8)
    documents: list[Pieces] = [[("body", " ".join(f"w{number}" for number in range(50)))], [("body", "w1 w3")]]
    packed = pack([IndexedDocument.of(pieces) for pieces in documents])
    for most_ways in (64, 0):
        monkeypatch.setattr(segment, "_MOST_WAYS", most_ways)
        for number in range(48):
            assert asked(packed, "body", f" w{number} w{number + 1} w{number + 2} ") == {0}
            assert asked(packed, "body", f" w{number + 1} w{number} ") == set()


def test_matches_do_not_run_from_one_piece_into_the_next() -> None:
    """The end of one field or part and the beginning of another are no phrase."""
    packed = pack([IndexedDocument.of([("body", "hóa"), ("body", "đơn")]), IndexedDocument.of([("body", "hóa đơn")])])
    assert asked(packed, "body", "hóa đơn") == {1}
