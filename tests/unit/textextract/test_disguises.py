"""A marking is found whatever its document calls itself, and however its letters are written (Reg. 4.1)."""

import base64
import binascii
import io
import warnings
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from markings.documents import docx, pdf, rtf, txt, xlsx, zipped
from mic_mail.policy.naming.confusables import as_seen
from mic_mail.services.transport.secrecy import visible_content
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.prefilter import is_clear
from mic_mail.textextract.result import Unread
from mic_mail.textextract.worker import look_into

LETTER = ["BỘ THÔNG TIN VÀ TRUYỀN THÔNG", "Số: 12/BC", "MẬT", "Nội dung báo cáo"]
PLAIN = ["BỘ THÔNG TIN VÀ TRUYỀN THÔNG", "Số: 12/BC", "Nội dung báo cáo"]
HEAD = b"From: dvbe@mic.gov.vn\r\nTo: ttlan@mic.gov.vn\r\nSubject: Gui\r\nMIME-Version: 1.0\r\n"


def is_found(octets: bytes) -> bool:
    """By the three steps of `services.transport.secrecy`."""
    if is_clear(octets):
        return False
    glanced = visible_content(octets)
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


def part(kind: str, content: bytes, encoding: str = "base64") -> bytes:
    body = base64.encodebytes(content).replace(b"\n", b"\r\n") if encoding == "base64" else content
    return HEAD + f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body + b"\r\n"


LINES = "Kính gửi\r\nMẬT\r\nNội dung\r\n"
SHEET = "<html><body><p>Kính gửi</p><p>MẬT</p><p>Nội dung</p></body></html>"
ORDINARY = "Kính gửi\r\nBẢO MẬT\r\nĐổi mật khẩu + giữ bí mật\r\n"
WIDE = {
    "utf-7": "utf-7", "unicode-1-1-utf-7": "utf-7", "utf-16": "utf-16", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be",
    "utf-32": "utf-32", "utf-32be": "utf-32-be", "iso-10646-ucs-2": "utf-16-be", "ucs-4": "utf-32-be", "gb18030": "gb18030",
}  # fmt: skip
CHARSETS = {
    f"{kind} in {charset}": part(f"text/{kind}; charset={charset}", (SHEET if kind == "html" else LINES).encode(codec))
    for kind in ("plain", "html", "csv")
    for charset, codec in WIDE.items()
}
CHARSETS |= {
    "UTF-16 without a mark": part("text/plain; charset=utf-16", LINES.encode("utf-16-be")),
    "a mark, and no charset": part("text/html", b"\xff\xfe" + SHEET.encode("utf-16-le")),
    "a mark, and another charset": part("text/html; charset=utf-8", b"\xfe\xff" + SHEET.encode("utf-16-be")),
    "a text with a mark, and another charset": part("text/plain; charset=utf-8", b"\xff\xfe" + LINES.encode("utf-16-le")),
    "a page that says to be wider than it is": part("text/html", b'<meta charset="utf-16"><p>x<p>M&#7852;T<p>x'),
    "a page in another charset than is said": part("text/html; charset=iso-8859-1", SHEET.encode()),
    "a file of UTF-16": attached(b"\xff\xfe" + SHEET.encode("utf-16-le"), "application/octet-stream", "a.html"),
    "a subject in UTF-7": b"From: a@mic.gov.vn\r\nSubject: =?utf-7?Q?=5BM+Hqw-T=5D_x?=\r\n\r\nx\r\n",
    "a name in UTF-7": HEAD
    + b"Content-Type: x/y\r\nContent-Disposition: attachment; filename*=utf-7''M%2BHqw-T.bin\r\n\r\nx\r\n",
    "letters from JIS": part("text/plain; charset=iso-2022-jp", "x\nＴＯＩ　ＭＡＴ\nx".encode("iso-2022-jp")),
}


def signed(content: bytes) -> bytes:
    """As Outlook signs with the content within (RFC 8551 §3.5.2)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Đỗ Văn Bê")])
    day = datetime(2026, 11, 26, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = made.not_valid_before(day).not_valid_after(day + timedelta(days=1)).sign(key, hashes.SHA256())
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def in_pieces(content: bytes) -> bytes:
    """As OpenSSL writes it as a stream: lengths that are not said, the content in pieces."""
    oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
    pieces = b"".join(
        b"\x04" + bytes([len(piece)]) + piece for piece in (content[at : at + 50] for at in range(0, len(content), 50))
    )
    return (
        b"\x30\x80"
        + oid
        + b"\x02\xa0\x80\x30\x80\x02\x01\x01\x31\x00\x30\x80"
        + oid
        + b"\x01\xa0\x80\x24\x80"
        + pieces
        + bytes(12)
    )


INNER = part("text/plain; charset=utf-8", LINES.encode())
FORMS = {
    "enriched": text("Kính gửi\n\n<bold>M</bold>ẬT\n\nx", "text/enriched; charset=utf-8"),
    "rich": text("Kính gửi<nl><bold>MẬT</bold><nl>x", "text/richtext; charset=utf-8"),
    "a message of another name": part("message/global", INNER, "8bit"),
    "a piece of a message": part("message/partial; id=x; number=1; total=1", INNER, "7bit"),
    "encoded as uuencode": part("application/octet-stream", uuencoded(docx(LETTER), "a.docx").encode(), "x-uuencode"),
    "behind a padding": HEAD
    + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.b64encode("Kính gửi\nab".encode())
    + b"\r\n"
    + base64.b64encode("\nMẬT\nx".encode())
    + b"\r\n",
    "between a comment": text("<p>Kính gửi<p>M<!-- > -->ẬT<p>x", "text/html; charset=utf-8"),
    "between an attribute": text('<p>Kính gửi<p>M<b title=">">Ậ</b>T<p>x', "text/html; charset=utf-8"),
    "signed, the content within": part("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", signed(INNER)),
    "signed, in pieces": part("application/octet-stream; name=smime.p7m", in_pieces(INNER)),
    "a signed document": part("application/pkcs7-mime; name=a.docx.p7m", signed(docx(LETTER))),
    "an invitation": part("text/calendar; charset=utf-8", "BEGIN:VEVENT\r\nSUMMARY;LANGUAGE=vi:[M\r\n ẬT] Họp\r\n".encode()),
    "the text of an invitation": part("text/calendar; charset=utf-8", "DESCRIPTION:Kính gửi\\nMẬT\\nx\r\n".encode()),
}


@pytest.mark.clause("4.1")
@pytest.mark.parametrize(
    "octets", [pytest.param(octets, id=name) for name, octets in (FILES | LETTERS | CHARSETS | FORMS).items()]
)
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
        part("application/pkcs7-mime; name=smime.p7m", signed(part("text/plain; charset=utf-8", ORDINARY.encode()))),
        *(part(f"text/plain; charset={charset}", ORDINARY.encode(codec)) for charset, codec in WIDE.items()),
        *(part(f"text/html; charset={charset}", ORDINARY.encode(codec)) for charset, codec in WIDE.items()),
        part("text/calendar; charset=utf-8", "SUMMARY:Tập huấn bảo mật\r\nDESCRIPTION:BẢO MẬT\\nmật khẩu\r\n".encode()),
        b"From: a@mic.gov.vn\r\nSubject: =?utf-7?Q?b+HqM-o_m+Hq0-t_+-_m+Hq0-t_kh+Hqk-u?=\r\n\r\nx\r\n",
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


@pytest.mark.clause("4.1")
@pytest.mark.parametrize(
    "kind", [b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17"]
)
def test_what_is_enveloped_could_not_be_looked_into(kind: bytes) -> None:
    """It passes or not as anything encrypted does, and the log says so."""
    octets = part(
        "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", b"\x30\x80" + kind + b"\xa0\x80" + bytes(100)
    )
    assert [missed.reason for missed in look_into(octets, Bounds(seconds=20)).missed] == [Unread.ENCRYPTED]


@given(st.binary(max_size=60))
def test_a_signature_that_is_none_harms_nothing(junk: bytes) -> None:
    """Whatever lengths it tells."""
    oid = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07"
    look_into(part("application/pkcs7-mime", b"\x30\x80" + oid + b"\x02" + oid + b"\x01" + junk), Bounds(seconds=20))


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def of_parts(parts: dict[str, str]) -> bytes:
    """A DOCX of these parts."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


@pytest.mark.parametrize("part", ["word/header1.xml", "word/document.xml"])
def test_a_watermark_of_word_is_read(part: str) -> None:
    """WordArt holds its text in an attribute (VML `textpath`)."""
    shape = '<v:shape type="#_x0000_t136"><v:textpath style="font-size:1pt" string="TUYỆT MẬT"/></v:shape>'
    body = f'<w:p xmlns:w="{WORD}" xmlns:v="urn:schemas-microsoft-com:vml"><w:r><w:pict>{shape}</w:pict></w:r></w:p>'
    assert is_found(attached(of_parts({part: body}), "application/octet-stream", "bc.docx"))
    assert not is_found(attached(of_parts({part: body.replace("TUYỆT", "BẢO")}), "application/octet-stream", "bc.docx"))


def paragraph(*runs: tuple[str, str]) -> str:
    written = "".join(f"<w:r><w:rPr>{how}</w:rPr><w:t>{words}</w:t></w:r>" for how, words in runs)
    return (
        f'<w:document xmlns:w="{WORD}"><w:body><w:p>{written}</w:p><w:p><w:r><w:t>Gui</w:t></w:r></w:p></w:body></w:document>'
    )


@pytest.mark.parametrize(
    ("runs", "is_marked"),
    [
        ([("<w:b/><w:caps/>", "Tối mật")], True),
        ([('<w:caps w:val="1"/>', "tuyệt "), ("<w:smallCaps/>", "mật")], True),
        ([('<w:caps w:val="0"/>', "Tối mật")], False),
        ([('<w:caps w:val="false"/>', "Tối mật")], False),
        ([("<w:caps/>", "Bảo "), ("", "mật")], False),
        ([("<w:caps/>", "Bảo mật")], False),
    ],
)
def test_small_letters_that_word_shows_as_capitals(runs: list[tuple[str, str]], is_marked: bool) -> None:
    document = of_parts({"word/document.xml": paragraph(*runs)})
    assert is_found(attached(document, "application/octet-stream", "bc.docx")) is is_marked
