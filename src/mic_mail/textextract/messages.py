"""Split a message for the check of markings: fields, names of files, texts, documents.

In: the octets of a message and its part table. Out: calls of a `Look`. Texts are checked here; anything else goes to
`Look.document`, or is only reported where no documents are read (`extract_cheap_parts`). Never raises on any message except
through the budget.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from mic_mail.mime.encoded_words import compose_letters, decode_as_written, decode_text
from mic_mail.mime.encodings import decode
from mic_mail.mime.headers import fields, parse_parameters, unfold
from mic_mail.mime.html import declared_charset, visible_lines
from mic_mail.mime.part_table import LEAF, Section, Sections, encode
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.search_text import MAX_TEXT_OCTETS, file_names
from mic_mail.policy.naming.confusables import as_seen
from mic_mail.policy.secrecy.degrees import MarkingPlace
from mic_mail.policy.secrecy.prefilter import octets_may_mark
from mic_mail.textextract.extraction import Look

TITLES = frozenset({b"subject", b"thread-topic", b"keywords", b"comments", b"content-description"})
_UNREADABLE = (b"image/", b"audio/", b"video/", b"font/")
_UUENCODED = re.compile(rb"^begin [0-7]{3,4} (?P<name>[^\r\n]{1,200})\r?\n", re.MULTILINE)
_UU = ("x-uuencode", "uuencode", "x-uue", "uue")
_MOST_ENCLOSED = 10
_STEPS_OF_A_FIELD = 2
_PADDING, _MOST_PIECES = b"= \t\r\n", 1_000
_ENRICHED = (b"text/enriched", b"text/richtext")
_ENRICHED_LINE = re.compile(r"<(?:nl|np|/?paragraph)>", re.IGNORECASE)
_ENRICHED_TAG = re.compile(r"</?[A-Za-z0-9-]{1,60}>|<param>[^<>]{0,100}</param>")
"""Markup of text/enriched and text/richtext (RFC 1896, RFC 1341)."""
_KNOWN_BEGINNINGS = (
    b"PK", b"%PDF", b"{\\rtf", b"\xd0\xcf\x11\xe0", b"\x78\x9f\x3e\x22", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh",
)  # fmt: skip
"""Magic octets of files that are declared as an image and are none."""


@dataclass(frozen=True)
class Leaf:
    """A part that holds no other."""

    kind: bytes
    """Content type in lower case; `text/plain` unless the header says otherwise."""
    charset: str
    delsp: bool
    name: str
    raw: bytes
    encoding: str

    @property
    def is_text(self) -> bool:
        """True if mail programs show it as text."""
        return self.kind in (b"text/plain", b"text/html", *_ENRICHED) or b"/" not in self.kind

    @property
    def is_file(self) -> bool:
        """True for a text that programs also open as a document, by its name or its first octets."""
        return bool(self.name) or self.content(64).lstrip().startswith(_KNOWN_BEGINNINGS)

    @cached_property
    def _whole(self) -> bytes:
        return decode(self.raw, self.encoding)

    def content(self, most: int | None = None) -> bytes:
        """Return the decoded content, or that of the first `most` raw octets."""
        return self._whole if most is None or most >= len(self.raw) else decode(self.raw[:most], self.encoding)

    def enclosed(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of uuencoded files in a text, which mail programs show as attachments.

        A part with uuencode as its transfer encoding counts too.
        """
        text = self.content() if self.kind == b"text/plain" or self.encoding.strip().lower() in _UU else b""
        if b"begin " not in text:  # a tenth of the time
            return
        for begin in islice(_UUENCODED.finditer(text), _MOST_ENCLOSED):
            content = bytearray()
            for line in text[begin.end() :].splitlines():
                try:
                    content += binascii.a2b_uu(line)
                except binascii.Error:  # `end`, or another line that is not uuencoded
                    break
            yield begin["name"].decode("utf-8", "replace").strip(), bytes(content)

    @property
    def may_be_document(self) -> bool:
        """True if it may hold text: not for a genuine image."""
        return (
            not self.kind.startswith(_UNREADABLE)
            or self.kind == b"image/svg+xml"
            or self.content(64).lstrip().startswith(_KNOWN_BEGINNINGS)
        )

    def texts(self) -> Iterator[str]:
        """Yield the decoded text, HTML by line as shown; several readings where the charset is not declared.

        Text that cannot hold a marking is skipped before decoding.
        """
        content = self.content(MAX_TEXT_OCTETS)
        if not self._is_clear(content):
            yield from self._texts_of(content)
        if self.encoding.lower() == "base64" and self.raw[self.raw.find(b"=") :].strip(_PADDING):
            pieces = self.raw[:MAX_TEXT_OCTETS].split(b"=", _MOST_PIECES)
            if len(pieces) > 1:  # some programs decode on after padding
                yield from self._texts_of(b"".join(decode(piece, "base64") for piece in pieces))

    def _is_clear(self, raw: bytes) -> bool:
        """Return whether the raw text, damaged UTF-8 included, can be searched and holds no marking."""
        is_plain = self.kind == b"text/plain" and not self.delsp and self.charset.lower() == "utf-8"
        return is_plain and not raw.startswith(_WIDE_MARKS) and not octets_may_mark(raw.lower())

    def _texts_of(self, raw: bytes) -> Iterator[str]:
        if self.kind == b"text/html":
            yield from pages(raw, self.charset)
            return
        for text in readings(raw, self.charset):
            yield text.replace(" \r\n", "").replace(" \n", "") if self.delsp else text
            if self.kind in _ENRICHED and "<" in text:
                yield _ENRICHED_TAG.sub("", _ENRICHED_LINE.sub("\n", text))


def part_table(octets: bytes) -> bytes:
    """Return the part table of a message that has not been scanned."""
    scanner = Scanner()
    scanner.feed(octets)
    return encode(scanner.finish())


def show(look: Look, octets: bytes, parts: bytes | None = None) -> None:
    """Pass everything in a message to a look."""
    for leaf in leaves(look, octets, Sections(parts or part_table(octets)).root):
        look.budget.check_time()
        if leaf.is_text or leaf.kind.startswith(b"text/"):  # the others in their charset, which a file does not declare
            show_text(look, leaf)
        for name, content in leaf.enclosed():
            look.name(name)
            look.budget.take_octets(len(content))
            look.document(content, name)
        if leaf.is_file if leaf.is_text else leaf.may_be_document:
            content = leaf.content()
            look.budget.take_octets(len(content))
            look.document(content, leaf.name, leaf.kind.decode("ascii", "replace"))


def extract_cheap_parts(look: Look, octets: bytes, parts: bytes) -> bool:
    """Pass fields, names and texts to a look; return whether documents are left that need a reader."""
    more = False
    for leaf in leaves(look, octets, Sections(parts).root):
        if leaf.is_text:
            show_text(look, leaf)
        more = more or (is_more(leaf) if leaf.is_text else leaf.may_be_document)
    return more


def is_more(leaf: Leaf) -> bool:
    """Return whether a text holds more than itself."""
    return leaf.is_file or any(True for _ in leaf.enclosed())


def show_text(look: Look, leaf: Leaf) -> None:
    """Check the text of a leaf."""
    outer, look.format = look.format, "html" if leaf.kind == b"text/html" else "text"
    for text in leaf.texts():
        look.text(text)
        if leaf.kind == b"text/calendar":
            _show_invitation(look, text)
    look.format = outer


_FOLD = re.compile(r"\r?\n[ \t]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _show_invitation(look: Look, text: str) -> None:
    """Check the texts of an invitation that mail programs show (RFC 5545 §3.1, §3.3.11)."""
    for line in _FOLD.sub("", text).splitlines():
        name, _, value = line.partition(":")
        name = name.partition(";")[0].upper()
        if name in ("SUMMARY", "DESCRIPTION", "COMMENT", "LOCATION"):
            value = _ESCAPED.sub(lambda escaped: "\n" if escaped[1] in "nN" else escaped[1], value)
            look.title(value) if name == "SUMMARY" else look.text(value)


_NOTHING = (
    r"&(?:nbsp|shy|zwnj|zwj|ensp|emsp|thinsp|hairsp|nobreak"
    r"|#(?:160|173|847|820\d|82[38]\d|65279|x(?:a0|ad|34f|20[0-6][0-9a-f]|feff)));"
)
_BETWEEN = rf"<[^<>]{{0,1000}}+>|[\"'][^<>\"']{{0,200}}+>|{_NOTHING}|[\s.\u00a0]++"
_COMMENT = re.compile(r"<!--(?:[^-]++|-(?!->))*+(?:-->)?+")
_MARK = r"[ä\u0302\u0323]"
_HTML_HINT = re.compile(
    rf"m(?:{_BETWEEN}){{0,40}}+(?:(?:[ậëäaâạ]|&[#a-z0-9]{{1,10}};)(?:{_BETWEEN}|{_MARK}){{0,40}}+"
    rf"(?:t|&#|{_BETWEEN}|{_MARK})|{_BETWEEN})|&\#(?:x0*(?:[46]d|41c|43c|39c)|0*(?:77|109|1052|1084|924))\b"
)
"""More than forty items between two letters count as hiding something.

Otherwise each m of a page might scan to its end for the next letter.
"""


def may_hide(source: str) -> bool:
    """Return whether a page may hold a marking with letters separated by tags or written as entities.

    25 us for 8,000 characters, where removing the tags takes 400.
    """
    if "<!" in source:
        source = _COMMENT.sub("", source)
    return _HTML_HINT.search(as_seen(source).lower()) is not None


def pages(raw: bytes, charset: str = "") -> Iterator[str]:
    """Yield a page as lines, in each different reading in which something may be hidden.

    A page that declares its charset in ASCII octets cannot be in a wider one (WHATWG HTML §13.2.3.3).
    """
    for source in map(compose_letters, readings(raw, charset or declared_charset(raw))):
        if may_hide(source):
            yield visible_lines(source)


_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_WIDE_MARKS = tuple(mark for mark, unicode in _MARKS if unicode != "utf-8")
OLD_CHARSETS = ("viscii", "tcvn")
_WIDE = {
    **dict.fromkeys(("utf-16", "utf16", "iso-10646-ucs-2", "ucs-2", "csunicode", "unicode", "unicode-1-1"), "utf-16"),
    **dict.fromkeys(("utf-32", "utf32", "iso-10646-ucs-4", "ucs-4", "csucs4"), "utf-32"),
}
"""Charsets that do not define the octet order without a BOM (RFC 2781 §3.3); programs assume either."""
_SEVEN = ("utf-7", "utf7", "unicode-1-1-utf-7", "csunicode11utf7", "unicode-2-0-utf-7", "x-unicode-2-0-utf-7")


def readings(raw: bytes, charset: str) -> Iterator[str]:
    """Yield a text decoded by its charset, letters and marks as written, in all plausible readings.

    Undeclared 8-bit text that is not UTF-8 is also read in the old charsets of Vietnam.
    """
    named = charset.strip(" \t\"'").lower().replace("_", "-")
    for mark, unicode in _MARKS:
        if raw.startswith(mark):
            yield decode_as_written(raw[len(mark) :], unicode)
            if not charset:
                return
            break
    if named in _WIDE:
        for order in ("-le", "-be"):
            yield decode_as_written(raw, _WIDE[named] + order)
        charset = ""
    elif named in _SEVEN:
        yield raw.decode("utf-7", "replace")
        charset = ""
    yield decode_as_written(raw, charset)
    if raw.isascii():
        return
    try:
        as_utf8 = raw.decode("utf-8")
    except UnicodeDecodeError:
        for old in () if charset else OLD_CHARSETS:
            yield decode_as_written(raw, old)
    else:
        if charset.lower() not in ("", "utf-8", "us-ascii"):  # many programs declare one charset and use another
            yield as_utf8


_SHIFTED = re.compile(r"\+[A-Za-z0-9+/]+-?")


def words_of(text: str, value: bytes) -> Iterator[str]:
    """Yield a title or name, and with UTF-7 in it also as programs that decode that show it (RFC 2152)."""
    yield text
    if b"utf-7" in value.lower():
        yield _SHIFTED.sub(lambda shifted: shifted[0].encode().decode("utf-7", "replace"), text)


def leaves(look: Look, octets: bytes, part: Section) -> Iterator[Leaf]:
    """Yield the leaves of a part, checking its fields and those of all parts within on the way."""
    offset, length = part.header
    look.budget.take_work(octets.count(b"\n", offset, offset + length) * _STEPS_OF_A_FIELD)
    header = fields(octets[offset : offset + length])
    for name, value in header:
        if name in TITLES:
            for title in words_of(decode_text(value), value):
                look.title(title, MarkingPlace.SUBJECT if name in (b"subject", b"thread-topic") else MarkingPlace.TITLE)
    first = dict(reversed(header))  # the first of a name counts
    kind, parameters = parse_parameters(unfold(first.get(b"content-type", b"text/plain")))
    _, disposition = parse_parameters(unfold(first.get(b"content-disposition", b"")))
    names = file_names(parameters, disposition)
    for file_name in names:
        for spelt in words_of(file_name, first.get(b"content-type", b"") + first.get(b"content-disposition", b"")):
            look.name(spelt)
    if part.kind == LEAF:
        start, size = part.body
        values = dict(parameters)
        yield Leaf(
            kind.lower() or b"text/plain",
            values.get(b"charset", b"").decode("ascii", "replace"),
            values.get(b"delsp", b"").lower() == b"yes",
            next(iter(names), ""),
            octets[start : start + size],
            part.encoding
            if part.encoding != "unknown"
            else unfold(first.get(b"content-transfer-encoding", b"")).decode("ascii", "replace"),
        )
    else:
        for child in part.children:
            look.budget.take_part()
            yield from leaves(look, octets, child)
