"""What clients that read ASCII alone are told: Vietnamese without its marks, then English."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.i18n.spoken import BETWEEN, spoken, spoken_on_one_line, unaccented
from mic_mail.smtp.replies import for_people

FULL = Text("Hộp thư đã hết dung lượng (điểm b khoản 3 Điều 8).", "The mailbox is full.")


def test_each_language_in_its_order() -> None:
    """Vietnamese alone in UTF-8; else Vietnamese first, and no sentence twice."""
    assert spoken(FULL, utf8=True) == (FULL.vi,)
    assert spoken(FULL, utf8=False) == ("Hop thu da het dung luong (diem b khoan 3 Dieu 8).", FULL.en)
    assert spoken(Text("OK.", "OK."), utf8=False) == ("OK.",)
    assert spoken(Text("", "English."), utf8=True) == spoken(Text("", "English."), utf8=False) == ("English.",)


def test_letters_and_marks() -> None:
    """Every Vietnamese letter loses its marks and nothing else, composed or not."""
    letters = "aăâeêioôơuưyđ"
    marks = ("", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323")
    for letter in letters + letters.upper():
        for mark in marks:
            plain = unicodedata.normalize("NFD", letter)[0].replace("đ", "d").replace("Đ", "D")
            assert unaccented(unicodedata.normalize("NFC", letter + mark)) == plain, (letter, mark)


@given(st.text(), st.text(alphabet=st.characters(max_codepoint=126, min_codepoint=32)), st.integers(0, 600), st.booleans())
def test_one_line(vi: str, en: str, room: int, utf8: bool) -> None:
    """Whatever a sentence quotes: no line end comes of it in ASCII, it has room, and English goes before Vietnamese is cut."""
    text = Text(vi, en)
    octets = spoken_on_one_line(text, utf8=utf8, room=room)
    assert len(octets) <= room
    whole = BETWEEN.join(spoken(text, utf8=utf8)).encode("utf-8", "replace")
    assert whole.startswith(octets)
    if not utf8:
        assert octets.isascii()
        assert octets.decode().isprintable()


def test_all_refusals_have_both() -> None:
    """No sentence that a person may see is the same in both languages, and none keeps a letter beyond ASCII."""
    for text in (*for_people().values(), messages.WRONG_CREDENTIALS, messages.TLS_REQUIRED, messages.MARKED_SECRET):
        vi, en = spoken(text, utf8=False)
        assert vi.isascii()
        assert en == text.en
