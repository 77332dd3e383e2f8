"""Builders of documents for the corpus: the smallest files that real readers take for the real thing.

In: lines of text. Out: octets. A line with tabs is a row of cells where the format has tables.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from struct import pack
from xml.sax.saxutils import escape, quoteattr

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """A ZIP of these members."""
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return octets.getvalue()


def encrypted_zip(name: str, content: bytes) -> bytes:
    """A ZIP whose one member says that it is encrypted."""
    octets = bytearray(zipped({name: content}))
    octets[6] |= 1
    octets[octets.index(b"PK\x01\x02") + 8] |= 1
    return bytes(octets)


def _runs(line: str) -> str:
    """A paragraph's text torn into runs, as Word tears it where somebody has typed and corrected."""
    middle = len(line) // 2
    return "".join(
        f'<w:r><w:t xml:space="preserve">{escape(half)}</w:t></w:r>' for half in (line[:middle], line[middle:]) if half
    )


def _paragraph(line: str) -> str:
    if "\t" in line:
        cells = "".join(f"<w:tc><w:p>{_runs(cell)}</w:p></w:tc>" for cell in line.split("\t"))
        return f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>"
    return f"<w:p>{_runs(line)}</w:p>"


def docx(lines: Sequence[str], *, header: Sequence[str] = (), box: Sequence[str] = (), title: str = "") -> bytes:
    members = {
        "[Content_Types].xml": TYPES,
        "word/document.xml": f"<?xml version='1.0'?><w:document {W}><w:body>{''.join(map(_paragraph, lines))}"
        + "".join(f"<w:p><w:r><w:pict><w:txbxContent>{_paragraph(line)}</w:txbxContent></w:pict></w:r></w:p>" for line in box)
        + "</w:body></w:document>",
        "word/theme/theme1.xml": "<a/>",
    }
    if header:
        members["word/header1.xml"] = f"<w:hdr {W}>{''.join(map(_paragraph, header))}</w:hdr>"
    if title:
        members["docProps/core.xml"] = (
            '<cp:coreProperties xmlns:cp="c" xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f"<dc:title>{escape(title)}</dc:title></cp:coreProperties>"
        )
    return zipped(members)


def xlsx(lines: Sequence[str], *, header: str = "", sheet: str = "Sheet1") -> bytes:
    strings: list[str] = []
    rows = ""
    for line in lines:
        cells = ""
        for cell in line.split("\t"):
            strings.append(cell)
            cells += f'<c t="s"><v>{len(strings) - 1}</v></c>'
        rows += f"<row>{cells}</row>"
    top = f'<headerFooter><oddHeader>&amp;C&amp;"Times,Bold"{escape(header)}</oddHeader></headerFooter>' if header else ""
    return zipped(
        {
            "[Content_Types].xml": TYPES,
            "xl/workbook.xml": f'<workbook><sheets><sheet name={quoteattr(sheet)} sheetId="1"/></sheets></workbook>',
            "xl/sharedStrings.xml": "<sst>" + "".join(f"<si><t>{escape(text)}</t></si>" for text in strings) + "</sst>",
            "xl/worksheets/sheet1.xml": f"<worksheet><sheetData>{rows}</sheetData>{top}</worksheet>",
        }
    )


def pptx(lines: Sequence[str], *, pictures: Sequence[bytes] = ()) -> bytes:
    slides = {
        f"ppt/slides/slide{number}.xml": '<p:sld xmlns:p="p" xmlns:a="a"><p:cSld><p:spTree>'
        + "".join(
            f"<p:sp><p:txBody><a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p></p:txBody></p:sp>"
            for line in lines[first : first + 4]
        )
        + "</p:spTree></p:cSld></p:sld>"
        for number, first in enumerate(range(0, len(lines), 4), 1)
    }
    media = {f"ppt/media/image{number}.jpeg": picture for number, picture in enumerate(pictures, 1)}
    return zipped({"[Content_Types].xml": TYPES, "ppt/presentation.xml": "<p/>", **slides, **media})


_ODF = 'xmlns:office="o" xmlns:text="t" xmlns:table="b" xmlns:meta="m" xmlns:dc="d"'


def _odf(kind: str, body: str, styles: str = "", meta: str = "") -> bytes:
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "META-INF/manifest.xml": "<manifest/>",
            "content.xml": f"<office:document-content {_ODF}><office:body>{body}</office:body></office:document-content>",
            "styles.xml": f"<office:document-styles {_ODF}>{styles}</office:document-styles>",
            "meta.xml": f"<office:document-meta {_ODF}>{meta}</office:document-meta>",
        }
    )


def odt(lines: Sequence[str], *, header: Sequence[str] = (), title: str = "") -> bytes:
    paragraphs = "".join(f"<text:p>{escape(line).replace(chr(9), '<text:tab/>')}</text:p>" for line in lines)
    margin = "".join(f"<text:p>{escape(line)}</text:p>" for line in header)
    return _odf("text", paragraphs, margin, f"<dc:title>{escape(title)}</dc:title>" if title else "")


def ods(lines: Sequence[str]) -> bytes:
    rows = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell><text:p>{escape(cell)}</text:p></table:table-cell>" for cell in line.split("\t"))
        + "</table:table-row>"
        for line in lines
    )
    return _odf("spreadsheet", f"<table:table>{rows}</table:table>")


def odp(lines: Sequence[str]) -> bytes:
    return _odf("presentation", "".join(f"<text:p>{escape(line)}</text:p>" for line in lines))


def pdf(lines: Sequence[str], *, title: str = "", stamp: str = "") -> bytes:
    """One page."""
    return pdf_of_pages([lines], title=title, stamp=stamp)


def pdf_of_pages(pages: Sequence[Sequence[str]], *, title: str = "", stamp: str = "", pictures: Sequence[bytes] = ()) -> bytes:
    """Each letter is a code of a font whose table says which letter it is, as office programs write it; a picture (JPEG) lies
    under the text of each page for which there is one, as scanners with text recognition write it; the stamp is on page one."""
    letters = sorted({letter for lines in pages for line in lines for letter in line})
    codes = {letter: number for number, letter in enumerate(letters, 1)}
    table = "\n".join(f"<{number:04x}> <{letter.encode('utf-16-be').hex()}>" for letter, number in codes.items())
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <ffff> endcodespacerange\n"
        f"{len(codes)} beginbfchar\n{table}\nendbfchar endcmap end end"
    )
    font = (
        "<</Type/Font/Subtype/CIDFontType2/BaseFont/X"
        "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/DW 500>>"
    )
    first = 7
    kids = " ".join(f"{first + 3 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
        f"<</Type/Font/Subtype/Type0/BaseFont/X/Encoding/Identity-H/ToUnicode 4 0 R/DescendantFonts[{font}]>>".encode(),
        _stream("", cmap.encode()),
        f"<</Title<feff{title.encode('utf-16-be').hex()}>>>".encode(),
        f"<</Type/Annot/Subtype/Stamp/Rect[0 0 9 9]/Contents<feff{stamp.encode('utf-16-be').hex()}>>>".encode(),
    ]
    for number, lines in enumerate(pages):
        at, picture = first + 3 * number, pictures[number] if number < len(pictures) else b""
        text = "".join(
            f"BT /F1 12 Tf 1 0 0 1 {72 + 250 * column} {800 - 16 * row} Tm "
            f"<{''.join(f'{codes[letter]:04x}' for letter in cell)}> Tj ET\n"
            for row, line in enumerate(lines)
            for column, cell in enumerate(line.split("\t"))
        )
        under = "q 595 0 0 842 0 0 cm /I1 Do Q\n" if picture else ""
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents {at + 1} 0 R/Resources<</Font<</F1 3 0 R>>"
            f"/XObject<</I1 {at + 2} 0 R>>>>/Annots {'[6 0 R]' if stamp and not number else '[]'}>>".encode(),
            _stream("", (under + text).encode()),
            _stream(
                "/Type/XObject/Subtype/Image/Width 1654/Height 2339/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/DCTDecode",
                picture,
            ),
        ]
    octets, places = [b"%PDF-1.7\n"], []
    place = len(octets[0])
    for number, each in enumerate(objects, 1):
        places.append(place)
        octets.append(b"%d 0 obj\n%b\nendobj\n" % (number, each))
        place += len(octets[-1])
    octets.append(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    octets += [f"{each:010} 00000 n \n".encode() for each in places]
    octets.append(f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R/Info 5 0 R>>\nstartxref\n{place}\n%%EOF".encode())
    return b"".join(octets)


def _stream(dictionary: str, content: bytes) -> bytes:
    return b"<<%b/Length %d>>\nstream\n%b\nendstream" % (dictionary.encode(), len(content), content)


def _rtf_text(text: str) -> str:
    return "".join(
        letter if letter.isascii() else f"\\u{ord(letter) - 0x10000 if ord(letter) > 0x7FFF else ord(letter)}?"
        for letter in text
    ).replace("\t", "\\tab ")


def rtf(lines: Sequence[str], *, header: Sequence[str] = (), box: Sequence[str] = ()) -> bytes:
    top = "".join(f"{{\\header\\pard {_rtf_text(line)}\\par}}" for line in header)
    boxes = "".join(
        f"{{\\shp{{\\*\\shpinst\\shpleft1{{\\sp{{\\sn shapeType}}{{\\sv 202}}}}{{\\shptxt\\pard {_rtf_text(line)}\\par}}}}}}"
        for line in box
    )
    body = "".join(f"\\pard {_rtf_text(line)}\\par\n" for line in lines)
    return f"{{\\rtf1\\ansi\\ansicpg1258\\uc1{{\\fonttbl{{\\f0 Times New Roman;}}}}{top}{boxes}{body}}}".encode("ascii")


def doc(lines: Sequence[str]) -> bytes:
    """The beginning of a Word 97 file, and its text as Word keeps Vietnamese."""
    text = "\r".join(lines).replace("\t", "\x07").encode("utf-16-le")
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504 + b"\xec\xa5\xc1\x00" + b"\0" * 508 + text + b"\0" * 512


def doc_of_1999(lines: Sequence[str]) -> bytes:
    """The same for TCVN3 fonts: letters of one octet each."""
    text = "\r".join(lines).encode("latin-1")
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504 + b"\xec\xa5\xc1\x00" + b"\0" * 508 + text + b"\0" * 512


def txt(lines: Sequence[str], charset: str = "utf-8") -> bytes:
    return "\r\n".join(lines).encode(charset, "replace")


def html(lines: Sequence[str]) -> bytes:
    rows = "".join(
        "<table><tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line.split("\t")) + "</tr></table>"
        if "\t" in line
        else f"<p style='text-align:center'><b>{escape(line)}</b></p>"
        for line in lines
    )
    return f"<!DOCTYPE html><html><head><meta charset='utf-8'></head><body>{rows}</body></html>".encode()


def fodt(lines: Sequence[str]) -> bytes:
    body = "".join(f"<text:p>{escape(line)}</text:p>" for line in lines)
    return f"<?xml version='1.0'?><office:document {_ODF}><office:body>{body}</office:body></office:document>".encode()


def eml(lines: Sequence[str], subject: str = "Chuyển tiếp") -> bytes:
    from email.message import EmailMessage

    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.vn", "b@example.vn", subject
    message.set_content("\n".join(lines))
    return message.as_bytes()


def tnef(lines: Sequence[str], name: str = "tai-lieu.docx") -> bytes:
    def attribute(number: int, data: bytes) -> bytes:
        return pack("<BII", 2, number, len(data)) + data + pack("<H", sum(data) & 0xFFFF)

    inner = docx(lines)
    return b"\x78\x9f\x3e\x22\x01\x00" + attribute(0x0006800F, inner) + attribute(0x00018010, name.encode() + b"\0")


FORMATS: dict[str, Callable[[Sequence[str]], bytes]] = {
    "docx": docx,
    "pdf": pdf,
    "xlsx": xlsx,
    "odt": odt,
    "rtf": rtf,
    "pptx": pptx,
    "html": html,
    "doc": doc,
    "ods": ods,
    "txt": txt,
    "odp": odp,
    "fodt": fodt,
    "eml": eml,
}
"""What a document of plain lines can be written as."""
