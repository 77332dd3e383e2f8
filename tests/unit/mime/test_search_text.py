"""What of a message is text, by zone, in all the charsets and wrappings of Vietnamese mail."""

import base64
import quopri

import pytest

from mic_mail.mime.imap_structure import answers_of
from mic_mail.mime.search_text import ZONES, Zone, text_parts
from mic_mail.mime.text_folding import SearchValue

TEXT = "Quyết định về hóa đơn điện tử"


def texts(octets: bytes) -> dict[Zone, list[str]]:
    found: dict[Zone, list[str]] = {zone: [] for zone in ZONES}
    for zone, text in text_parts(octets, answers_of(octets).parts):
        found[zone].append(text)
    return found


def holds(octets: bytes, zone: Zone, query: str) -> bool:
    return any(SearchValue.of(query).occurs_in(text) for text in texts(octets)[zone])


def part(content: bytes, kind: str = "text/plain", encoding: str = "8bit", more: str = "") -> bytes:
    head = f"Subject: x\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n{more}\r\n"
    return head.encode() + content


CP1258 = "Quyê\u0301t đi\u0323nh vê\u0300 ho\u0301a đơn điê\u0323n tư\u0309".encode("cp1258")
TCVN = "Quy\xd5t ®\xdenh v\xd2 h\xe3a ®¬n ®i\xd6n t\xf6".encode("latin-1")
VISCII = "Quy\xaat \xf0\xb8nh v\xab h\xf3a \xf0\xbdn \xf0i\xaen t\xd8".encode("latin-1")


@pytest.mark.parametrize(
    ("content", "kind", "encoding"),
    [
        (TEXT.encode(), "text/plain; charset=utf-8", "8bit"),
        (base64.encodebytes(TEXT.encode()), "text/plain; charset=UTF-8", "base64"),
        (quopri.encodestring(TEXT.encode()), 'text/plain; charset="utf-8"', "quoted-printable"),
        (TEXT.encode("utf-16"), "text/plain; charset=utf-16", "binary"),
        (CP1258, "text/plain; charset=windows-1258", "8bit"),
        (CP1258, "text/plain", "8bit"),
        (TCVN, "text/plain; charset=x-viet-tcvn", "8bit"),
        (TCVN, "text/plain; charset=TCVN-5712", "8bit"),
        (VISCII, "text/plain; charset=viscii", "8bit"),
        (TEXT.encode(), "text/plain", "8bit"),
        (TEXT.encode(), "text/plain; charset=nonsense", "8bit"),
        (b"<meta charset=x-viet-tcvn><p>" + TCVN, "text/html", "8bit"),
        ("Quy&#7871;t định về hóa <i>đ</i>ơn &#x111;iện tử".encode(), "text/html; charset=utf-8", "8bit"),
        ("Quyết định về hóa \r\nđơn điện tử".encode(), "text/plain; charset=utf-8; format=flowed", "8bit"),
        ("Quyết định về hóa đ \r\nơn điện tử".encode(), "text/plain; charset=utf-8; format=flowed; delsp=yes", "8bit"),
        ("Quyết định về hóa\r\nđơn điện tử".encode(), "text/plain; charset=utf-8", "8bit"),
        (TEXT.encode(), "message/delivery-status", "8bit"),
        (TEXT.encode(), "text", "8bit"),
    ],
)
def test_text_is_decoded(content: bytes, kind: str, encoding: str) -> None:
    """Declared charsets, those of Vietnamese code pages included; undeclared 8-bit text as UTF-8, else as windows-1258; HTML
    without tags; a phrase is whole across line wraps (RFC 3676 §4)."""
    octets = part(content, kind, encoding)
    assert holds(octets, "body", TEXT)
    assert holds(octets, "body", "hoa don dien tu")
    assert not holds(octets, "header", "hoa don")


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Disposition: attachment; filename*=UTF-8''h%C3%B3a%20%C4%91%C6%A1n.pdf\r\n",
        "Content-Disposition: attachment; filename*0*=UTF-8''h%C3%B3a%20; filename*1*=%C4%91%C6%A1n.pdf\r\n",
        'Content-Disposition: attachment; filename="=?UTF-8?B?aMOzYSDEkcahbi5wZGY=?="\r\n',
        'Content-Disposition: attachment; filename="hóa đơn.pdf"\r\n',
    ],
)
def test_names_of_attachments_are_text_of_the_body(fields: str) -> None:
    """RFC 2231 as well as encoded words in a parameter, and raw UTF-8; of a message that is all attachment too."""
    whole = part(b"%PDF", "application/pdf", "8bit", fields)
    within = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + whole + b"\r\n--b--\r\n"
    for octets in (whole, within):
        assert holds(octets, "body", "hóa đơn.pdf")
        assert not holds(octets, "body", "%PDF")


def test_a_message_without_end_is_read() -> None:
    """Parts within parts, in which nothing is closed and everything cut."""
    octets = part(
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: trong\r\n\r\nnoi dung \xc4", "multipart/mixed; boundary=b"
    )
    assert holds(octets, "body", "trong")
    assert holds(octets, "body", "noi dung")
    assert not holds(octets, "subject", "trong")


@pytest.mark.parametrize("boundary", [b"; boundary=b", b""])
def test_a_multipart_without_a_part_is_text(boundary: bytes) -> None:
    """Its boundary stands in the header, or nowhere: BODYSTRUCTURE calls it text, and BODY finds what is read."""
    octets = (
        b"Content-Type: multipart/alternative" + boundary + b"\r\n--b\r\nContent-Type: text/plain\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n\r\nGood day, hoa\r\n--b--\r\n"
    )
    assert holds(octets, "body", "good day, hoa")


def test_fields_apart() -> None:
    """Each of SUBJECT, FROM, TO, CC and BCC is looked for in its own field; comments hide no address."""
    octets = b"From: Lan <ttlan (x)@ mic.gov.vn>\r\nTo: b@c.vn\r\nCc: d@e.vn\r\nBcc: f@g.vn\r\nSubject: ai\r\n\r\n"
    values = {"from": "ttlan@mic.gov.vn", "to": "b@c.vn", "cc": "d@e.vn", "bcc": "f@g.vn", "subject": "ai"}
    for zone, value in values.items():
        assert [each for each in values if holds(octets, each, value)] == [zone]  # type: ignore[arg-type]  # keys are zones
    assert holds(octets, "header", "to: b@c.vn")


def test_of_a_header_without_end_the_beginning_is_read() -> None:
    """A field of megabytes costs no more than 256 KB of it; the body behind it is found."""
    octets = b"Subject: ai\r\nX-Long:" + b"\r\n y" * 200_000 + b"\r\nX-Behind: last\r\n\r\nthan thu\r\n"
    assert holds(octets, "header", "subject: ai")
    assert not holds(octets, "header", "last")
    assert holds(octets, "body", "than thu")
