"""Office documents: Office Open XML (DOCX, XLSX, PPTX) and OpenDocument (ODT, ODS, ODP).

In: the members of an opened archive. Out: the text of their XML by line (a paragraph is a line, the cells of a sheet's row are
separated by tabs), headers and footers as margins, properties as titles, embedded documents. ISO/IEC 29500, ISO/IEC 26300.
The XML is parsed by expat as a stream. A document type declaration is refused: no office program writes one, and it may
declare entities that expand to gigabytes.
"""

import re
from xml.parsers import expat
from zipfile import ZipInfo

from mic_mail.mime.html import CELL_END, ROW_END, rows_as_lines
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread
from mic_mail.textextract.zip_members import Members

_PIECE = 1 << 16
_BATCH = 1 << 22
"""Characters of a sheet's rows that are checked together."""
_OFF = frozenset({"0", "false", "off"})
"""Values of a property that is present but off (ISO/IEC 29500-1 §17.17.4)."""
_MARGINS = re.compile(r"word/(?:header|footer)\d*\.xml")
_SHEETS = re.compile(r"xl/worksheets/[^/]+\.xml")
_TEXTS = re.compile(
    r"(?:word|ppt|xl)/(?!theme/|styles|settings|fontTable|webSettings|sharedStrings|worksheets/|_rels/).*(?<!\.rels)\.xml"
)
_PARTS = re.compile(
    r"(?:word|ppt|xl)/(?:media|fonts|printerSettings)/.+|(?:word|ppt|xl|customXml)/.*\.xml|.*\.rels|\[Content_Types\]\.xml"
    r"|docProps/thumbnail\.\w+"
)
"""Members of the format itself without text."""
_FORMATS = (("word/", "docx"), ("xl/", "xlsx"), ("ppt/", "pptx"))
_ODF_PARTS = re.compile(
    r"mimetype|META-INF/.*|(?:Pictures|Thumbnails|Configurations2|media|Fonts)/.*|(?:.*/)?(?:settings|styles|meta|manifest)\.\w+|.*/"
)
"""Members of the format itself without text."""
_ODF_FORMATS = (("spreadsheet", "ods"), ("presentation", "odp"), ("text", "odt"))
_SHEET_CODES = re.compile(r"&(?:[LCR]|\"[^\"]*\"|\d+|[A-Z])")


class XmlText:
    """Extracts XML text as lines; names are compared without prefixes, which writers choose."""

    PARAGRAPHS = frozenset({"p", "h", "row", "si", "sheet"})
    TEXT: frozenset[str] | None = frozenset({"t", "text"})
    """Elements whose characters are text; None: all."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._room = look.budget.bounds.text_chars
        self.pieces: list[str] = []
        self._within = 0
        self._capitals = False
        parser = self._parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.characters
        parser.StartDoctypeDeclHandler = self._refuse

    def read(self, content: bytes) -> str:
        """Return the text; `CannotRead` if it is not XML, or exceeds the bounds."""
        try:
            for at in range(0, len(content), _PIECE):
                piece = content[at : at + _PIECE]
                self._look.budget.check_time()
                self._look.budget.take_work(piece.count(b"<"))
                self._parser.Parse(piece, at + _PIECE >= len(content))
        except expat.ExpatError as error:
            raise CannotRead(Unread.DAMAGED) from error
        return rows_as_lines("".join(self.pieces))

    def _refuse(self, *_: object) -> None:
        raise CannotRead(Unread.DAMAGED)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if self.TEXT is not None and local in self.TEXT:
            self._within += 1
        if local == "r":
            self._capitals = False
        elif local in ("caps", "smallCaps"):
            self._capitals = next(iter(attributes.values()), "1") not in _OFF
        elif local == "textpath":  # WordArt, used for watermarks, holds its text in an attribute
            self.add(f"\n{attributes.get('string', '')}\n")
        if local in ("tab", "s"):
            self.add("\t" if local == "tab" else " ")
        elif local in ("br", "cr", "line-break") or local == "headerFooter":
            self.add("\n")

    def end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        if self.TEXT is not None and local in self.TEXT:
            self._within -= 1
        if local == "r":
            self._capitals = False
        if local in self.PARAGRAPHS:
            self.add("\n")
        elif local in ("tc", "table-cell"):
            self.add(CELL_END)
        elif local in ("tr", "table-row"):
            self.add(ROW_END)

    def characters(self, text: str) -> None:
        if self.TEXT is None or self._within:
            self.add(text.upper() if self._capitals else text)

    def add(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            raise CannotRead(Unread.OVER_BOUNDS)
        self.pieces.append(text)


class _AllText(XmlText):
    TEXT = None


class _Strings(XmlText):
    """The shared strings of a workbook, in order."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self.strings: list[str] = []

    def end(self, name: str) -> None:
        if name.rpartition(":")[2] == "si":
            self.strings.append(" ".join("".join(self.pieces).split()))
            self.pieces.clear()
        else:
            super().end(name)


class _Rows(XmlText):
    """The rows of a sheet; text cells are indexes of shared strings."""

    def __init__(self, look: Look, strings: list[str]) -> None:
        super().__init__(look)
        self._strings = strings
        self._most = self._room - min(self._room, _BATCH)
        self._shared = False
        self._value: list[str] | None = None
        self.margins: list[str] = []
        self._margin = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "c":
            self._shared = attributes.get("t") == "s"
        elif local in ("v", "t"):
            self._value = []
        elif local in ("oddHeader", "oddFooter", "evenHeader", "evenFooter", "firstHeader", "firstFooter"):
            self._margin = True

    def end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        if local in ("v", "t") and self._value is not None:
            value, self._value = "".join(self._value), None
            if self._shared and value.isdecimal() and int(value) < len(self._strings):
                value = self._strings[int(value)]
            self.add(value)
        elif local == "c":
            self.add("\t")
        elif local == "row":
            self.add("\n")
            self._show_rows()
        elif self._margin and local.endswith(("Header", "Footer")):
            self._margin = False

    def _show_rows(self) -> None:
        """Check the rows of a large sheet by the batch: they may exceed the limit on text."""
        if self._room < self._most:
            self._look.text("".join(self.pieces))
            self.pieces.clear()
            self._room = self._look.budget.bounds.text_chars

    def characters(self, text: str) -> None:
        if self._value is not None:
            self._value.append(text)
        elif self._margin:
            self.margins.append(text)


# --- Office Open XML --------------------------------------------------------------------------------------------------


def read_ooxml(look: Look, members: Members) -> None:
    """Read DOCX, XLSX, PPTX and their variants; any other file in that format is an archive."""
    look.format = next((form for folder, form in _FORMATS if any(name.startswith(folder) for name in members.names)), "ooxml")
    shared = _Strings(look)
    if "xl/sharedStrings.xml" in members.names:
        shared.read(members.read("xl/sharedStrings.xml"))
    members.read_each(lambda info: _read_member(look, members, info, shared.strings))


def _read_member(look: Look, members: Members, info: ZipInfo, strings: list[str]) -> None:
    name = info.filename
    if name.startswith("docProps/") and name.endswith(".xml"):
        _read_properties(look, members.read(info))
    elif name == "xl/workbook.xml":
        for title in re.findall(
            r"<(?:\w+:)?sheet [^<>]*?name=\"([^\"]{1,200})\"", members.read(info).decode("utf-8", "replace")
        ):
            look.text(_unescaped(title))  # as a line: a sheet may be named Mật, which also means honey
    elif _SHEETS.fullmatch(name):
        rows = _Rows(look, strings)
        look.text(rows.read(members.read(info)))
        look.text(_SHEET_CODES.sub("\n", "".join(rows.margins)), margin=True)
    elif _MARGINS.fullmatch(name):
        look.text(XmlText(look).read(members.read(info)), margin=True)
    elif _TEXTS.fullmatch(name):
        look.text(XmlText(look).read(members.read(info)))
    elif not _PARTS.fullmatch(name):  # embedded objects, and foreign members
        members.show(info)


_PROPERTY = re.compile(
    r"<(?:\w+:)?(title|subject|keywords|description|category|contentStatus|user-defined|keyword)\b[^<>]*+>([^<]{1,1000})<"
)
_CUSTOM = re.compile(
    r"(?:<property |<meta:user-defined )[^<>]*?name=\"([^\"]{1,200})\"[^<>]*+>\s*(?:<[^<>]*+>)?([^<]{1,1000})<"
)


def _read_properties(look: Look, content: bytes) -> None:
    """Check properties as titles; custom properties may be fields: `Độ mật` = `Mật`."""
    text = content.decode("utf-8", "replace")
    for _, value in _PROPERTY.findall(text):
        look.title(_unescaped(value))
    for name, value in _CUSTOM.findall(text):
        look.text(f"{_unescaped(name)}: {_unescaped(value)}")


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&apos;", "'").replace("&amp;", "&")


# --- OpenDocument -----------------------------------------------------------------------------------------------------


def read_odf(look: Look, members: Members) -> None:
    """Read ODT, ODS, ODP and their templates."""
    mimetype = members.read("mimetype").decode("ascii", "replace") if "mimetype" in members.names else ""
    look.format = next((form for word, form in _ODF_FORMATS if word in mimetype), "odf")
    if "META-INF/manifest.xml" in members.names and b"encryption-data" in members.read("META-INF/manifest.xml"):
        raise CannotRead(Unread.ENCRYPTED)
    members.read_each(lambda info: _read_odf_member(look, members, info))


def _read_odf_member(look: Look, members: Members, info: ZipInfo) -> None:
    name = info.filename
    if name.endswith("content.xml"):
        look.text(_AllText(look).read(members.read(info)))
    elif name == "styles.xml":
        look.text(_AllText(look).read(members.read(info)), margin=True)
    elif name == "meta.xml":
        _read_properties(look, members.read(info))
    elif not _ODF_PARTS.fullmatch(name):  # embedded objects, and foreign members
        members.show(info)


def read(look: Look, content: bytes) -> None:
    """Read an OpenDocument in one XML file (.fodt, .fods)."""
    look.format = "flat-odf"
    look.text(_AllText(look).read(content))
