"""A marking is found whatever its document calls itself, and however its letters are written (Reg. 4.1)."""

import base64
import binascii
import io
import warnings
import zipfile

import pytest

from markings.documents import docx, pdf, rtf, txt, xlsx, zipped
from mic_mail.checks.bounds import Bounds
from mic_mail.checks.clear import is_clear
from mic_mail.checks.reading import look_into
from mic_mail.policy.lookalikes import as_seen
from mic_mail.services.secrecy import glance_at

LETTER = ["BỘ THÔNG TIN VÀ TRUYỀN THÔNG", "Số: 12/BC", "MẬT", "Nội dung báo cáo"]
PLAIN = ["BỘ THÔNG TIN VÀ TRUYỀN THÔNG", "Số: 12/BC", "Nội dung báo cáo"]
HEAD = b"From: dvbe@mic.gov.vn\r\nTo: ttlan@mic.gov.vn\r\nSubject: Gui\r\nMIME-Version: 1.0\r\n"


def is_found(octets: bytes) -> bool:
    """By the three steps of `services.secrecy`."""
    if is_clear(octets):
        return False
    glanced = glance_at(octets)
    if glanced.verdict.found or not glanced.has_more:
        return bool(glanced.verdict.found)
    return bool(look_into(octets, Bounds(seconds=20)).found)


def attached(content: bytes, kind: str, name: str = "", *, encode: bool = True) -> bytes:
    called = f'Content-Disposition: attachment; filename="{name}"\r\n' if name else ""
    encoding = "Content-Transfer-Encoding: base64\r\n" if encode else ""
    return (
        HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGui\r\n"
        + f"--b\r\nContent-Type: {kind}\r\n{called}{encoding}\r\n".encode()
        + (base64.encodebytes(content).replace(b"\n", b"\r\n") if encode else content)
        + b"\r\n--b--\r\n"
    )


def text(body: str, kind: str = "text/plain; charset=utf-8") -> bytes:
    return HEAD + f"Content-Type: {kind}\r\n\r\n".encode() + body.replace("\n", "\r\n").encode() + b"\r\n"


def uuencoded(content: bytes, name: str) -> str:
    lines = (binascii.b2a_uu(content[at : at + 45]).decode() for at in range(0, len(content), 45))
    return f"begin 644 {name}\n{''.join(lines)}`\nend\n"


def twice(first: list[str], second: list[str]) -> bytes:
    """Two members of one name: which of them is unpacked is up to the program."""
    octets = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(octets, "w") as archive:
        warnings.simplefilter("ignore")
        for lines in (first, second):
            archive.writestr("a.txt", txt(lines))
    return octets.getvalue()


PAGE = "<!doctype html><html><body><p>Số: 12/BC</p><p>M&#7852;T</p></body></html>".encode()
ARCHIVE = zipped({"a.txt": txt(LETTER)})


def beside(document: bytes, **more: bytes) -> bytes:
    """An office document with further members."""
    octets = io.BytesIO(document)
    with zipfile.ZipFile(octets, "a") as archive:
        for name, content in more.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return octets.getvalue()


FILES = {
    "a document as text": attached(docx(LETTER), "text/plain", "bao-cao.docx"),
    "a document as a page": attached(xlsx(LETTER), "text/html", "bao-cao.xlsx"),
    "a document without a type": attached(docx(LETTER), "docx", "bao-cao.docx"),
    "a document as text, unnamed": attached(pdf(LETTER), "text/plain"),
    "RTF as text": attached(rtf(LETTER), "text/plain; name=a.rtf", "a.rtf"),
    "RTF, unnamed and not encoded": attached(rtf(LETTER), "application/rtf", encode=False),
    "a page, unnamed and not encoded": attached(PAGE, "application/xhtml+xml", encode=False),
    "a page by its name alone": attached(b"<b>x</b>" + PAGE, "application/octet-stream", "a.html"),
    "a drawing": attached(b"<svg><text>M&#7852;T</text></svg>", "image/svg+xml", "a.svg"),
    "text in another charset than is said": attached(txt(LETTER), "text/plain; charset=iso-8859-1"),
    "an archive with two of a name": attached(zipped({"b.zip": twice(LETTER, PLAIN)}), "application/zip", "a.zip"),
    "an archive as a workbook": attached(zipped({"[Content_Types].xml": "x", "a.txt": txt(LETTER)}), "x/y", "a.zip"),
    "an archive as OpenDocument": attached(zipped({"content.xml": "<a/>", "a.txt": txt(LETTER)}), "x/y", "a.zip"),
    "a name in such an archive": attached(zipped({"[Content_Types].xml": "x", "TỐI MẬT.txt": "x"}), "x/y", "a.zip"),
    "a page that a document shows": attached(beside(docx(PLAIN), word__afchunk_dot_html=PAGE), "x/y", "a.docx"),
    "an archive that unpacks itself": attached(b"MZ\x90\0" + bytes(600) + ARCHIVE, "application/octet-stream", "a.exe"),
    "an archive behind a PDF": attached(b"%PDF-1.4\n%%EOF\n" + ARCHIVE, "application/pdf", "a.pdf"),
}

FILES |= {
    "in uuencode": text(f"Gửi tệp.\n\n{uuencoded(docx(LETTER), 'a.docx')}\n"),
    "in uuencode, of which the name says it": text(uuencoded(b"x", "TỐI MẬT.bin")),
}

LETTERS = {
    "joiners": text("Kính gửi\nM\u200dẬ\u200cT\n"),
    "a word joiner": text("Kính gửi\nM\u2060Ậ\ufeffT\n"),
    "many that show nothing": text("Kính gửi\nM" + "\u200b" * 9 + "ẬT\n"),
    "directions": text("Kính gửi\n\u202dM\u200eẬT\u202c\n"),
    "a joiner of marks": text("Kính gửi\nMA\u034f\u0302\u0323T\n"),
    "thin spaces": text("Kính gửi\nM\u2009Ậ\u2009T\n"),
    "full width": text("Kính gửi\nＭẬＴ\n"),
    "mathematical": text("Kính gửi\n\U0001d40cẬ\U0001d413\n"),
    "Cyrillic": text("Kính gửi\nТỐІ\u00a0\u041cẬ\u0422\n"),
    "Greek": text("Kính gửi\n\u039cẬ\u03a4\n"),
    "taken out of the flow": text("Kính gửi\nM \nẬT\n", "text/plain; charset=utf-8; format=flowed; delsp=yes"),
    "entities of joiners": text("<p>Kính gửi<p>M&zwj;Ậ&#8288;T<p>x", "text/html; charset=utf-8"),
    "entities of marks": text("<p>Kính gửi<p>MA&#770;&#803;T<p>x", "text/html; charset=utf-8"),
    "an entity of a twin": text("<p>Kính gửi<p>&#1052;ẬT<p>x", "text/html; charset=utf-8"),
    "a subject": "From: a@mic.gov.vn\r\nSubject: [M\u200dẬT] Báo cáo\r\n\r\nx\r\n".encode(),
    "a file's name": attached(b"x", "application/octet-stream", "TỐI M\u200dẬT.bin"),
}


@pytest.mark.clause("4.1")
@pytest.mark.parametrize("octets", [pytest.param(octets, id=name) for name, octets in (FILES | LETTERS).items()])
def test_clause_4_1_a_disguise_is_seen_through(octets: bytes) -> None:
    """In files that say that they are something else, and in letters that only look like letters."""
    assert is_found(octets)


@pytest.mark.parametrize(
    "octets",
    [
        attached(docx(PLAIN), "text/plain", "bao-cao.docx"),
        attached(twice(PLAIN, PLAIN), "application/zip", "a.zip"),
        attached(beside(docx(PLAIN), word__media__image1_dot_png=b"\x89PNG"), "x/y", "a.docx"),
        attached("Мат, МАТ, [МАТ]".encode(), "text/plain; charset=utf-8", "thư.txt"),
        text(f"begin with this\nbegin 644 x\nnothing\n{uuencoded(docx(PLAIN), 'a.docx')}"),
        text("Kính gửi\nBẢO\u200d MẬT, mật\u2060 khẩu, bí\u00admật\nМАТ\nСЕКРЕТНО\n"),
        "From: a@mic.gov.vn\r\nSubject: [МАТ] 🔒 bảo\u200d mật\r\n\r\nx\r\n".encode(),
    ],
)
def test_what_is_not_marked_passes_in_the_same_dress(octets: bytes) -> None:
    """Russian stays Russian, and ordinary words ordinary."""
    assert not is_found(octets)


def test_a_text_of_our_letters_alone_is_left_as_it_is() -> None:
    """So that most mail costs one look."""
    for plain in ("Cập nhật – “mặt bằng” … №", "abc", "", "đường Trần Phú\u00a0số 5"):
        assert as_seen(plain) is plain
