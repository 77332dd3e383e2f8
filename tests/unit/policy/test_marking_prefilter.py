"""The one search that most mail ends with lets through whatever the judge of markings could find, in whatever letters."""

import random
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.policy.naming.confusables import as_seen
from mic_mail.policy.secrecy import prefilter
from mic_mail.policy.secrecy.markings import _is_hinted
from mic_mail.policy.secrecy.prefilter import hints, may_mark, octets_may_mark

FRAMES = (
    "{}ật",
    "x {}ật",
    "m{}t",
    "mậ{}",
    "m{}ật",
    "mậ{}t",
    "ma{}t",
    "mâ{}t",
    "me{}t",
    "m a{}t",
    "{}mật",
    "bảo {}mật",
    "mật{}",
    "mật {}",
)
"""Every character there is stands in each of these places once."""


def _characters() -> Iterator[str]:
    yield from map(chr, [*range(0xD800), *range(0xE000, 0x10000), *range(0x1D400, 0x1D800), *range(0xE0000, 0xE0200)])


def _is_a_hint(text: str) -> bool:
    """As the judge sees it."""
    return _is_hinted(unicodedata.normalize("NFC", as_seen(text)))


@pytest.mark.parametrize("frame", FRAMES)
def test_every_character(frame: str) -> None:
    """In each place of the word, and around it."""
    before, after = frame.split("{}")
    missed = [one for one in _characters() if not may_mark(before + one + after) and _is_a_hint(before + one + after)]
    assert missed == []


PLAIN = [*"mtMTaâạậäëAÂẠẬÄËe .\u00a0\u00ad\u200b\u0302\u0323\u0308\u2060\ufe0f\ufeff\n-_1x", "\ufffd"]
PIECES = st.sampled_from([*PLAIN, "м", "т", "а", "е", "Μ", "Τ", "Α", "Ｍ", "ａ", "．", "𝐦", "𝐚", "𝐭"])


@given(
    pieces=st.lists(PIECES, max_size=14),
    word=st.sampled_from(["", "mật", "bảo mật", "mật khẩu", "MẬT", "tối mật"]),
    at=st.integers(0, 14),
)
def test_letters_in_any_order(pieces: list[str], word: str, at: int) -> None:
    """Twins, marks, spaces and what shows nothing, with and without the word among them."""
    text = "".join([*pieces[:at], word, *pieces[at:]])
    if _is_a_hint(text):
        assert may_mark(text)


@pytest.mark.parametrize(
    "text", ["cập nhật thông tin", "bảo mật", "bí mật", "đổi mật khẩu", "mật ong", "information", "automatic", "làm tốt"]
)
def test_ordinary_words(text: str) -> None:
    """Most mail holds nothing but these."""
    assert not may_mark(text)


def test_what_is_no_text_is_passed_over() -> None:
    """Octets that nobody could read are no letters, and do not hide any."""
    unread = "\ufffd" * 50_000
    assert not may_mark(unread)
    assert may_mark(unread + "MẬT" + unread)
    assert not octets_may_mark(b"")


FIRSTS = "МΜＭ𝐌".encode()
"""Has the first octets of all look-alikes of M."""
OCTETS = st.one_of(
    PIECES.map(str.encode),
    st.sampled_from(
        [bytes([octet]) for octet in (*range(0x80, 0xC0), 0xC2, 0xC3, 0xCC, 0xCE, 0xCF, 0xD0, 0xD1, 0xE1, 0xEF, 0xF0)]
    ),
    st.sampled_from(["mật", " khẩu", "bảo ", "МẬТ", "xm", "MẬT", "ＭẬＴ", "𝐦ậ𝐭", "mâ̤t"]).map(str.encode),
)


@settings(max_examples=1_000)
@given(st.lists(OCTETS, max_size=12).map(b"".join))
def test_one_search_finds_no_less_than_five(octets: bytes) -> None:
    """Octets in which all look-alikes of M are one letter hint at whatever they hint at as they are."""
    octets = octets + b"\n" + FIRSTS
    lowered = octets.lower()
    found = [match.start() for hint in prefilter._ODD_HINTS.values() for match in hint.finditer(lowered)]
    assert list(hints(octets)) == sorted(found)
    if found:
        assert prefilter._FOLDED_HINT.search(octets.translate(prefilter._FOLDING)) is not None


@pytest.mark.parametrize("frame", FRAMES)
def test_every_character_among_odd_octets(frame: str) -> None:
    """Where one search stands for five, each character in each place of the word is found as before."""
    before, after = frame.split("{}")
    texts = [(before + one + after + "\n").encode() for one in _characters()]
    assert [text for text in texts if octets_may_mark(text.lower()) and not list(hints(text + FIRSTS))] == []


def test_octets_that_are_no_text_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file has them: one search for each look-alike of M would pass over them five times."""
    octets = random.Random(1).randbytes(20_000)
    assert list(hints(octets)) == []
    monkeypatch.setattr(prefilter, "_hints_for", None)
    assert list(hints(octets)) == []
