"""The Vietnamese alphabet, in which lists of people and units are sorted."""

from itertools import pairwise
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.policy.naming.transliteration import UnusableName, alphabetical, by_given_name, tidy


def test_letters_and_tones():
    """ă and â follow a, đ follows d, ê ô ơ ư follow e o u; a tone decides only where all letters of a word are the same."""
    letters = [
        "1",
        "9",
        "an",
        "ăn",
        "ân",
        "bê",
        "cô",
        "da",
        "đa",
        "ê",
        "ga",
        "mo",
        "mô",
        "mơ",
        "nu",
        "nư",
        "vu",
        "xa",
        "y",
        "za",
    ]
    tones = ["ma", "mà", "mả", "mã", "má", "mạ", "mai", "mặc", "mẹ"]
    for row in (letters, tones):
        assert all(alphabetical(one) < alphabetical(other) for one, other in pairwise(row))


def test_people_are_listed_by_their_given_names():
    """Tên before họ before chữ đệm: Bê before Dung before Đạt, of one given name Đinh before Đỗ before Vũ."""
    people = ["Trần Ái", "Đinh Vũ Bê", "Đỗ Thị Bê", "Đỗ Văn Bê", "Vũ Bê", "Lê Dung", "Hồ Đạt", "H'Hen Niê", "Phan Ỷ"]
    assert sorted(sorted(people), key=by_given_name) == people
    assert sorted((normalize("NFD", name) for name in reversed(people)), key=by_given_name) == [
        normalize("NFD", name) for name in people
    ]


@given(st.lists(st.text(max_size=12), max_size=8))
def test_whatever_is_written_has_a_place(names):
    """No text, however strange, stops a list; the order does not depend on where one begins."""
    assert sorted(map(by_given_name, names)) == sorted(map(by_given_name, reversed(names)))


def test_a_name_is_kept_as_it_is_seen():
    """On one line, in NFC, without signs that show nothing; one that is nothing else is refused."""
    assert tidy(" Lê\u202e\tThị\u00a0 \x00Hoa\u200b\x85") == "Lê Thị Hoa"
    assert tidy(normalize("NFD", "Đỗ Văn Bê")) == "Đỗ Văn Bê"
    assert tidy("Vụ Kế hoạch – Tài chính (2)") == "Vụ Kế hoạch – Tài chính (2)"
    for unseen in "\u034f\u3164\u115f\ufe0f\U000e0041":
        assert tidy(f"Đỗ {unseen}Văn B{unseen}ê") == "Đỗ Văn Bê"
    for nothing in ("", " \n", "\u200b\u202e", "\x00", "\u3164"):
        with pytest.raises(UnusableName):
            tidy(nothing)
