"""Small documents cost little, whatever they unpack to; large ones of a ministry are read to their end."""

import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from growth import calls_of
from markings.documents import rtf, txt, zipped
from markings.sample import Sample
from mic_mail.checks import reading
from mic_mail.checks.bounds import Bounds
from mic_mail.checks.reading import look_into
from mic_mail.checks.verdict import Missed, Unread

PATIENT = Bounds(seconds=1e6)
"""Seconds end nothing here: what bounds the cost is counted."""
TENTH = Bounds(seconds=1e6, work=50_000, work_per_octet=0, least_unpacked=2 << 20, unpacked_per_octet=0)
"""A tenth of what a small message may take."""
MOST_CALLS = 1_500_000
MOST_ALLOCATED = 24 << 20


def mail(content: bytes) -> bytes:
    return Sample("", None, files={"a.bin": content}).octets()


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


def pdf_of(page: bytes, pages: int = 1) -> bytes:
    """A PDF all of whose pages are the same one."""
    packed = zlib.compress(page, 9)
    kids = b" ".join(b"%d 0 R" % (4 + number) for number in range(pages))
    fonts = b"/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%b]>>" % (pages, kids),
        b"<</Filter/FlateDecode/Length %d>>stream\n%b\nendstream" % (len(packed), packed),
        *[b"<</Type/Page/Parent 2 0 R/Contents 3 0 R/MediaBox[0 0 600 800]%b>>" % fonts] * pages,
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


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """What is imported is no cost of a document."""
    reading.load()


@pytest.mark.parametrize("what", SMALL)
def test_little_costs_little(what: str) -> None:
    """A small document is read, or given up as over the bounds, with a bounded number of calls and octets of memory."""
    octets = mail(SMALL[what]())
    assert len(octets) < 200_000
    tracemalloc.start()
    try:
        verdict = look_into(octets, TENTH)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_ALLOCATED
    assert {missed.reason for missed in verdict.missed} <= {Unread.OVER_BOUNDS}
    assert calls_of(lambda: look_into(octets, TENTH)) < MOST_CALLS


def test_a_picture_in_an_rtf_is_no_text() -> None:
    """What stands behind megabytes of a picture or an object is found, and they cost no call for each octet."""
    content = rtf(["TỐI MẬT"]).replace(b"{\\rtf1", b"{\\rtf1 {\\pict " + b"89504e47" * 100_000 + b"}", 1)
    assert content.count(b"89504e47") == 100_000
    verdict = look_into(mail(content), PATIENT)
    assert verdict.found
    assert not verdict.missed
    assert calls_of(lambda: look_into(mail(content), PATIENT)) < 200_000


def test_of_an_rtf_without_end_the_rest_is_told() -> None:
    """What is not looked into for its length is not passed over in silence."""
    bounds = Bounds(seconds=1e6, text_chars=1_000)
    assert look_into(mail(b"{\\rtf1 " + b"abc def " * 1_000 + b"}"), bounds).missed == (Missed(Unread.OVER_BOUNDS, "rtf"),)


def rows(many: int) -> str:
    chance = random.Random(1)
    text = '<c r="A{0}" t="s"><v>{1}</v></c>'
    figure = '<c r="B{0}"><v>{1:.6f}</v></c>'
    return "".join(
        f'<row r="{row}">{"".join(text.format(row, chance.randrange(2_000)) for _ in range(4))}'
        f"{''.join(figure.format(row, chance.random()) for _ in range(6))}</row>"
        for row in range(many)
    )


@pytest.mark.parametrize("many", [10_000, pytest.param(130_000, marks=pytest.mark.slow)])
def test_a_large_sheet_is_read_to_its_end(many: int) -> None:
    """A workbook of 50 MB of XML, as a statistical office sends it, is within the bounds, and its last row counts."""
    shared = "".join(f"<si><t>Báo cáo của đơn vị {number}</t></si>" for number in range(2_000))
    last = '<row><c t="inlineStr"><is><t>Độ mật: Tối mật</t></is></c></row>'
    verdict = look_into(mail(sheet(rows(many) + last, shared)), PATIENT)
    assert verdict.found
    assert not verdict.missed


def test_marked_text_is_found_all_the_same() -> None:
    """The bounds are no matter to an ordinary archive."""
    assert look_into(mail(zipped({"a.txt": txt(["TỐI MẬT"])})), PATIENT).found
