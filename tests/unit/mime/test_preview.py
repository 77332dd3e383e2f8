"""The line of text that clients show under a subject (RFC 8970)."""

import binascii
import quopri
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages import strategies
from messages.hard import HARD, HEAD, HTML, PLAIN, SENTENCE, crlf, multipart, part
from mic_mail.mime import preview as preview_module
from mic_mail.mime.imap_structure import answers_of
from mic_mail.mime.preview import _first_line


def preview(message: bytes) -> str:
    return answers_of(message).preview


def test_plain_text_is_taken_from_an_alternative() -> None:
    """The text is read in its charset and encoding, without its line ends."""
    assert preview(HEAD + multipart("b", PLAIN, HTML, subtype="alternative")) == SENTENCE
    assert (
        preview(HEAD + part("text/plain; charset=utf-8", b"K=C3=ADnh\r\n  g=E1=BB=ADi=\r\n", "quoted-printable")) == "Kính gửi"
    )
    assert preview(HEAD + part("text/plain; charset=windows-1258", "Kính".encode("cp1258"), "8bit")) == "Kính"
    assert preview(HEAD + part("text/plain; charset=utf-8", b"S8OtbmggZ+G7rWk=", "base64")) == "Kính gửi"


def test_html_is_read_without_its_markup() -> None:
    """Styles, scripts, comments, tags and padding go; entities become letters."""
    page = (
        "<html><head><title>T</title><style>p {}</style></head><body><!-- c --><script>1<2</script>"
        "<p>K&iacute;nh&nbsp;gửi<br>anh &zwnj;&#847;\u200b</p><b>B</b>ê</body>"
    )
    assert preview(HEAD + part("text/html; charset=utf-8", crlf(page), "8bit")) == "Kính gửi anh B ê"


def test_letters_that_are_two_in_lower_case_move_nothing() -> None:
    """U+0130 is longer in lower case; what stands behind it is still cut at its tags."""
    page = "\u0130" * 10 + "<STYLE>x</sTyle >Kính<header>gửi</header><styleless>anh"
    assert preview(HEAD + part("text/html; charset=utf-8", crlf(page), "8bit")) == "\u0130" * 10 + " Kính gửi anh"


def test_quoted_mail_is_left_out() -> None:
    """A reply shows what is new in it."""
    assert preview(HEAD + part("text/plain", crlf("> old\n>> older\nnew\n"))) == "new"


def test_files_have_no_preview() -> None:
    """Attachments are not read."""
    assert preview(HARD["enveloped"]) == ""
    assert preview(HEAD + part("text/plain; name=a.txt", b"text")) == ""


def test_it_is_bounded() -> None:
    """At most 200 characters (RFC 8970 §3.1)."""
    assert len(preview(HEAD + b"\r\n" + b"word " * 1000)) <= 200


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
@given(
    st.lists(
        st.sampled_from(["a", "Kính gửi", "e\u0302\u0323", "\u0338", " ", "\r\n", "\r\n> old\r\n", "\u200b", "x" * 190, "=="])
    )
)
def test_a_long_text_has_the_preview_of_its_beginning(encoding: str, words: list[str]) -> None:
    """However much follows, and however it is encoded, the line is what 200 visible characters make of the text."""
    text = "".join(words) + "\r\n" + SENTENCE * 20
    raw = {"8bit": bytes, "base64": binascii.b2a_base64, "quoted-printable": quopri.encodestring}[encoding](text.encode())
    composed = unicodedata.normalize("NFC", text)
    new = " ".join(["" if line.startswith(">") else line for line in composed.split("\n")]).replace("\u200b", "")
    assert preview(HEAD + part("text/plain; charset=utf-8", raw, encoding)) == " ".join(new.split())[:200].rstrip()


@given(strategies.anything)
def test_any_octets_have_a_preview(message: bytes) -> None:
    """Whatever stands in a message, its preview is one line without controls."""
    text = preview(message)
    assert len(text) <= 200
    assert text.isprintable() or all(not character.isspace() or character == " " for character in text)


@given(
    st.lists(st.sampled_from(["<", ">", "<!--", "-->", "<style", "</style>", "&amp;", "&#", "a", " ", "\u200b", "<head>"])).map(
        "".join
    )
)
def test_any_html_has_a_preview(page: str) -> None:
    """Tags that never close, comments that never end: one line of text."""
    assert "\n" not in preview(HEAD + part("text/html; charset=utf-8", crlf(page), "8bit"))


@given(st.text(st.sampled_from("ab \n\t\u00ad\ufeff\ufffd\u200b\u00a0"), max_size=2_500).map(lambda text: text * 3))
def test_the_line_of_a_beginning_is_the_beginning_of_the_line(text: str) -> None:
    """White space and invisible characters are folded in the first characters only where they give a whole line."""
    folded = " ".join(re.sub("[\u00ad\ufeff\ufffd\u200b]", "", text[:4_000]).split())[:200]
    assert _first_line(text).rstrip() == folded.rstrip()


@pytest.mark.parametrize("at", [3, 1_500])
def test_a_damaged_text_is_not_composed(at: int) -> None:
    """Octets that are no UTF-8 have the rest shown as written, whether they stand in the first octets or later."""
    text = "e\u0302 Kính gửi ".encode() * 120
    raw = text[:at] + b"\xff" + text[at:]
    assert preview(HEAD + part("text/plain; charset=utf-8", raw, "8bit")).startswith("e\u0302 Kính gửi e\u0302")
    assert preview(HEAD + part("text/plain; charset=utf-8", text, "8bit")).startswith("\xea Kính gửi \xea")


def test_a_text_in_a_wrong_charset_is_looked_at_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every other character is unreadable, the first thousand hold the line."""
    seen: list[int] = []

    class Invisible:
        @staticmethod
        def search(text: str) -> object:
            return "\ufffd" in text

        @staticmethod
        def sub(_: str, text: str) -> str:
            seen.append(len(text))
            return text

    monkeypatch.setattr(preview_module, "_INVISIBLE", Invisible)
    assert _first_line("a\ufffdb " * 2_000) == ("ab " * 67)[:200]
    assert seen == [750]
