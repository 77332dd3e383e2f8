"""Words as SEARCH compares them: Vietnamese with and without diacritics, any form of Unicode, any white space."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mic_mail.mime.text_folding import SearchValue, fold, occurring, word_batches, words

LETTERS = "aăâbcdđeêghiklmnoôơpqrstuưvxyàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩịòóỏõọồốổỗộờớởỡợùúủũụừứửữựỳýỷỹỵ"
TEXTS = st.text(st.sampled_from(LETTERS + LETTERS.upper() + " \r\n\t\xa0\xad\u200b\u0301\u0323.,-đĐ가ñท้й字"), max_size=40)


def found(query: str, text: str) -> bool:
    return SearchValue.of(query).occurs_in(text)


@pytest.mark.clause("13.1")
@pytest.mark.parametrize(
    ("query", "text", "hit"),
    [
        ("quyet dinh", "Quyết định số 5", True),
        ("QUYẾT ĐỊNH", "quyết định", True),
        ("phở", "phở bò", True),
        ("phở", "phòng, phố, pho", False),
        ("pho", "phở", True),
        ("pho", "phòng", True),
        ("đ", "d", False),
        ("d", "đ", True),
        ("hoa đon", "hóa đơn", False),
        ("hóa đơn", "hóa\r\n đơn", True),
        ("hóa  đơn", "hóa\xa0đơn", True),
        ("hóa đơn", "đơn hóa", False),
        ("hóa đơn", "hóa các đơn", False),
        ("a đ", "hóa đơn", True),
        (" đơn", "hóa đơn", True),
        (" ơn", "đơn", False),
        ("hóa ", "hóa", True),
        ("ho\u0301a đơn", "hóa đơn", True),
        ("hóa", "ho\u0301a", True),
        ("hoá", "hóa", False),
        ("nghiệp", "ng\xadhi\u200bệp", True),
        ("strasse", "Straße", True),
        ("ñ", "n", False),
        ("n", "ñ", True),
        ("и", "й", True),
        ("й", "и", False),
        ("가", "각", False),
        ("", "", True),
        (" ", "a", True),
        (" ", " ", False),
    ],
)
def test_what_finds_what(query: str, text: str, hit: bool) -> None:
    """Without diacritics: folded text. With any: only text that has them. A space within is any white space, at an end the edge
    of a word. Composed and decomposed letters are the same; the two ways to place a tone are not."""
    assert found(query, text) is hit


@pytest.mark.parametrize("script", ["ภาษาไทย ท้องถิ่น", "हिन्दी", "العَرَبِيَّة", "שָׁלוֹם", "がギ", "łøħ"])
def test_signs_that_are_letters_of_other_scripts_stay(script: str) -> None:
    """Only Latin, Greek and Cyrillic have diacritics that people leave out."""
    assert words(fold(script)) == words(script)


@given(TEXTS, TEXTS)
def test_joined_words_hold_whatever_the_text_held(query: str, more: str) -> None:
    """A plain substring, case folded and in NFC, is never missed, wherever it stands (RFC 9051 §6.4.4)."""
    assert found(query, f"x {query} {more}")
    assert found(query, unicodedata.normalize("NFD", f"x {query} {more}").upper().lower())


@given(TEXTS)
def test_folding_goes_word_by_word(text: str) -> None:
    """A text folded as a whole is its folded words, which the index counts on; and folding again changes nothing."""
    assert fold(" ".join(words(text))) == " ".join(map(fold, words(text)))
    assert fold(fold(" ".join(words(text)))) == fold(" ".join(words(text)))


def test_a_long_text_is_found_across_its_batches() -> None:
    """Whatever is looked through in pieces is found at their seams."""
    text = "abc def " * 30_000 + "ghi" + " \r\n" * 70_000 + "jkl"
    assert len(list(word_batches(text))) > 3
    assert sum(map(len, word_batches(text))) == 60_002
    assert found("def ghi jkl", text)
    for start in range(65_500, 65_600):
        assert found("đ" * 20 + " e", "x" * start + "đ" * 20 + " e" + " y" * 70_000)


def test_marks_without_end_take_linear_time() -> None:
    """A hundred thousand combining marks on one letter, which stop whoever sorts them."""
    assert found("a", "a" + "\u0301\u0323" * 100_000)


@pytest.mark.clause("13.1")
@given(TEXTS, st.lists(TEXTS, max_size=5), st.integers(1, 8))
@example("", [" "], 1)
def test_many_queries_are_found_as_by_their_words(text: str, values: list[str], times: int) -> None:
    """Together, and wherever a batch of the text ends: what holds of its words joined by single spaces. Where there is no word
    no space is."""
    text *= times
    plain = " ".join(["", *words(text), ""]) if words(text) else ""
    folded = " ".join(["", *map(fold, words(text)), ""]) if words(text) else ""
    queries = [SearchValue.of(value) for value in values]
    expected = [query.text in (folded if query.folded else plain) for query in queries]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mic_mail.mime.text_folding._BATCH", 7)
        assert occurring(queries, text) == expected
    assert occurring(queries, text) == expected
