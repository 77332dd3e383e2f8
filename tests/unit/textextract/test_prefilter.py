"""What is looked at first, and cheaply: it may let too much through to the dear looks, and never a marking past them."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markings import forbidden, holdout
from mic_mail.mime.html import visible_lines
from mic_mail.policy.secrecy.markings import in_text
from mic_mail.policy.secrecy.prefilter import may_mark
from mic_mail.textextract.messages import may_hide
from mic_mail.textextract.prefilter import is_clear

WORDS = ("MẬT", "TỐI MẬT", "TUYỆT MẬT", "M Ậ T", "Độ mật: Mật", "TUYET MAT", "MËT", "MAÄT", "_MẬT_")


def test_nothing_marked_is_clear() -> None:
    """Of the whole corpus."""
    for sample in forbidden.samples() + [one for one in holdout.samples() if one.degree]:
        assert not is_clear(sample.octets()), sample.label


def test_ordinary_text_is() -> None:
    """Most mail ends at the first look."""
    head = b"From: dvbe@mic.gov.vn\r\nSubject: Bao cao\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    assert is_clear(head + "Kính gửi các đơn vị, cập nhật thông tin, luật mới, mặt bằng, mất điện, format.\r\n".encode())
    assert is_clear(head + "Đổi mật khẩu, bảo mật, giữ bí mật.\r\n".encode())
    assert not is_clear(head + "Tài liệu mật.\r\n".encode())
    assert not is_clear(head.replace(b"utf-8", b"viscii") + b"a\r\n")
    assert not is_clear(head + b"\xff")


letters = st.sampled_from(["", "", "<b>", "</b>", '<span style="color:red">', "<!-- x -->", "&shy;", "&#8203;"])


@given(word=st.sampled_from(WORDS), between=st.lists(letters, min_size=20, max_size=20), entities=st.booleans())
def test_pages_that_hide_it(word: str, between: list[str], entities: bool) -> None:
    """Whatever tags and entities the letters are written with, a page that shows a marking is looked at as it is shown."""
    shown = [f"&#{ord(letter)};" if entities and not letter.isascii() else letter for letter in word]
    page = "<p>" + "".join(one + tag for one, tag in zip(shown, between, strict=False)) + "</p>"
    if in_text(visible_lines(page)) is not None:
        assert may_hide(page)


@pytest.mark.parametrize("between", ["<b>", '<span class="m">', "&shy;", " \n", "<b> "])
def test_pages_that_hide_it_behind_much(between: str) -> None:
    """However much that is not seen stands between its letters."""
    for count in (0, 1, 39, 40, 41, 100, 1_000):
        for page in ("M" + between * count + "ẬT", "MẬ" + between * count + "T", "Ma" + between * count + "\u0323\u0302t"):
            assert may_hide(page), (count, page[-3:])


def test_ordinary_pages_hide_nothing() -> None:
    """An m in a page of tags is no reason to cut them."""
    assert not may_hide('<table cellpadding="0"><tr><td>Kính gửi: em</td></tr></table>\n' * 100)


@given(
    word=st.sampled_from([word for word in WORDS if word.isascii() or "ậ" in word.lower()]),
    form=st.sampled_from(["NFC", "NFD", "NFKD"]),
    around=st.text(max_size=5),
)
def test_texts_that_may(word: str, form: str, around: str) -> None:
    """No text in which a marking is found fails the first search, in any form of Unicode."""
    text = f"{around}\n{unicodedata.normalize(form, word)}\n{around}"
    if in_text(unicodedata.normalize("NFC", text)) is not None:
        assert may_mark(text)


@pytest.mark.slow
def test_workers_load_no_reader() -> None:
    """What reads documents is loaded by the process that reads them."""
    code = "import sys, mic_mail.app.server; print({'pypdf', 'striprtf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
