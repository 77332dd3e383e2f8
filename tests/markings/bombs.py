"""Small documents that unpack to much, or are dear to read: what whoever wants to stop the check of markings would send.

In: what stands in the document, once; or nothing (`SMALL`: one for each way in which a reader spends steps or
octets). Out: octets.
"""

import base64
import zlib
from collections.abc import Callable

from markings.documents import zipped


def mail(content: bytes) -> bytes:
    """A message that is nothing but this document."""
    encoded = base64.encodebytes(content).replace(b"\n", b"\r\n")
    return b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded


def word(body: str) -> bytes:
    return zipped({"[Content_Types].xml": "<a/>", "word/document.xml": f'<w:d xmlns:w="x">{body}</w:d>'})


def sheet(rows: str, shared: str = "") -> bytes:
    return zipped(
        {
            "[Content_Types].xml": "<a/>",
            "xl/sharedStrings.xml": f"<sst>{shared}</sst>",
            "xl/worksheets/sheet1.xml": f"<worksheet><sheetData>{rows}</sheetData></worksheet>",
        }
    )


def pdf_of(page: bytes, pages: int = 1, picture: bytes = b"") -> bytes:
    """A PDF all of whose pages are the same one; and a picture that none of them shows, which makes it larger."""
    packed = zlib.compress(page, 9)
    kids = b" ".join(b"%d 0 R" % (4 + number) for number in range(pages))
    fonts = b"/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    unshown = b"<</Type/XObject/Subtype/Image/Length %d>>stream\n%b\nendstream" % (len(picture), picture)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%b]>>" % (pages, kids),
        b"<</Filter/FlateDecode/Length %d>>stream\n%b\nendstream" % (len(packed), packed),
        *[b"<</Type/Page/Parent 2 0 R/Contents 3 0 R/MediaBox[0 0 600 800]%b>>" % fonts] * pages,
        *[unshown] * bool(picture),
    ]
    octets, at = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        at.append(len(octets))
        octets += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    rows = b"".join(b"%010d 00000 n \n" % offset for offset in at)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(at) + 1)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(at) + 1, len(octets))
    return octets + head + rows + end


OPERATORS = b"BT /F1 12 Tf (a) Tj ET\n"
TNEF_ATTRIBUTE = b"\x01" + (0x2800C).to_bytes(4, "little") + bytes(6)
SMALL: dict[str, Callable[[], bytes]] = {
    "paragraphs": lambda: word("<w:p/>" * 200_000),
    "marked paragraphs": lambda: word("<w:p><w:t>MẬT Ọ</w:t></w:p>" * 43_750),
    "marked lines": lambda: word("<w:t>" + "MAT\n" * 312_500 + "</w:t>"),
    "one long text": lambda: word("<w:t>" + "m a t " * 250_000 + "</w:t>"),
    "cells": lambda: sheet("<row>" + "<c><v>0</v></c>" * 250_000 + "</row>"),
    "one string many times": lambda: sheet("<row>" + '<c t="s"><v>0</v></c>' * 50_000 + "</row>", "<si><t>A</t></si>" * 99),
    "a long string many times": lambda: sheet('<row><c t="s"><v>0</v></c></row>' * 250, f"<si><t>{'A' * 7_500}</t></si>"),
    "operators": lambda: pdf_of(OPERATORS * 125_000),
    "one page many times": lambda: pdf_of(OPERATORS * 625, 500),
    "an array": lambda: pdf_of(b"[" + b"1 " * 375_000 + b"] TJ"),
    "RTF": lambda: zipped({"a.rtf": b"{\\rtf1 " + b"abc def " * 187_500 + b"}"}),
    "RTF of braces": lambda: zipped({"a.rtf": b"{\\rtf1 " + b"{}" * 625_000 + b"}"}),
    "tags": lambda: zipped({"a.html": "<p>m" * 375_000}),
    "text": lambda: zipped({"a.txt": "m ậ " * 312_500}),
    "runs": lambda: zipped({"a.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "MẬT\r".encode("utf-16-le") * 187_500}),
    "parts": lambda: zipped({"a.eml": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * 112_500}),
    "fields": lambda: zipped({"a.eml": b"Subject: a\r\n" * 112_500 + b"\r\n"}),
    "attributes": lambda: zipped({"a.dat": b"\x78\x9f\x3e\x22\0\0" + TNEF_ATTRIBUTE * 112_500}),
    "zeros": lambda: zipped({f"{number}.txt": bytes(1 << 20) for number in range(5)}),
}
