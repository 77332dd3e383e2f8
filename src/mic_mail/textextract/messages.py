"""The parts of a message as the check of markings sees them: fields, names of files, texts, documents.

In: the octets of a message and its part table. Out: what a `Look` is shown. Texts are judged here; what is no text goes to
`Look.document`, or is counted where nobody reads documents (`extract_cheap_parts`). Never raises on any message but through the
budget.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

from mic_mail.mime.encoded_words import compose_letters, decode_as_written, decode_text
from mic_mail.mime.encodings import decode
from mic_mail.mime.headers import fields, parse_parameters, unfold
from mic_mail.mime.html import declared_charset, visible_lines
from mic_mail.mime.part_table import LEAF, MESSAGE, Section, Sections, encode
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.search_text import MAX_TEXT_OCTETS, file_names
from mic_mail.policy.confusables import as_seen
from mic_mail.policy.marking_prefilter import octets_may_mark
from mic_mail.policy.secrecy_markings import Place
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
"""RFC 1896, RFC 1341."""
_KNOWN_BEGINNINGS = (
    b"PK", b"%PDF", b"{\\rtf", b"\xd0\xcf\x11\xe0", b"\x78\x9f\x3e\x22", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh",
)  # fmt: skip
"""What calls itself a picture and is none."""


@dataclass(frozen=True)
class Leaf:
    """A part that holds no other."""

    kind: bytes
    """Content type in small letters; `text/plain` unless the header says otherwise."""
    charset: str
    delsp: bool
    name: str
    raw: bytes
    encoding: str

    @property
    def is_text(self) -> bool:
        """Whether mail programs show it as text."""
        return self.kind in (b"text/plain", b"text/html", *_ENRICHED) or b"/" not in self.kind

    @property
    def is_file(self) -> bool:
        """Of a text: whether it is opened by its name or its first octets too, as a document, whatever its type says."""
        return bool(self.name) or self.content(64).lstrip().startswith(_KNOWN_BEGINNINGS)

    @cached_property
    def _whole(self) -> bytes:
        return decode(self.raw, self.encoding)

    def content(self, most: int | None = None) -> bytes:
        """Decoded, or what so many octets of the raw part decode to."""
        return self._whole if most is None or most >= len(self.raw) else decode(self.raw[:most], self.encoding)

    def enclosed(self) -> Iterator[tuple[str, bytes]]:
        """Files that are written into a text in uuencode, which mail programs show as attachments: names and contents; and a
        part whose transfer encoding it calls itself."""
        text = self.content() if self.kind == b"text/plain" or self.encoding.strip().lower() in _UU else b""
        if b"begin " not in text:  # a tenth of the time
            return
        for begin in islice(_UUENCODED.finditer(text), _MOST_ENCLOSED):
            content = bytearray()
            for line in text[begin.end() :].splitlines():
                try:
                    content += binascii.a2b_uu(line)
                except binascii.Error:  # `end`, or what is none
                    break
            yield begin["name"].decode("utf-8", "replace").strip(), bytes(content)

    @property
    def may_be_document(self) -> bool:
        """Whether there is anything to read in it: not in a picture that is one."""
        return (
            not self.kind.startswith(_UNREADABLE)
            or self.kind == b"image/svg+xml"
            or self.content(64).lstrip().startswith(_KNOWN_BEGINNINGS)
        )

    def texts(self) -> Iterator[str]:
        """As text, HTML line by line as it is shown; more than once where nobody says in which charset it is. Not what holds
        no marking as it lies."""
        content = self.content(MAX_TEXT_OCTETS)
        if not self._is_clear(content):
            yield from self._texts_of(content)
        if self.encoding.lower() == "base64" and self.raw[self.raw.find(b"=") :].strip(_PADDING):
            pieces = self.raw[:MAX_TEXT_OCTETS].split(b"=", _MOST_PIECES)
            if len(pieces) > 1:  # some programs read on behind a padding
                yield from self._texts_of(b"".join(decode(piece, "base64") for piece in pieces))

    def _is_clear(self, raw: bytes) -> bool:
        """Whether it can be searched before it is decoded, also where it is damaged, and holds nothing."""
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
    """The part table of a message that nobody has scanned."""
    scanner = Scanner()
    scanner.feed(octets)
    return encode(scanner.finish())


def show(look: Look, octets: bytes, parts: bytes | None = None) -> None:
    """Show a look everything in a message."""
    for leaf in leaves(look, octets, Sections(parts or part_table(octets)).root):
        look.budget.check_time()
        if leaf.is_text or leaf.kind.startswith(b"text/"):  # the others in their charset, which a file does not tell
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
    """Show a look what costs little: fields, names and texts. Whether there is more, which takes a reader of documents."""
    more = False
    for leaf in leaves(look, octets, Sections(parts).root):
        if leaf.is_text:
            show_text(look, leaf)
        more = more or (is_more(leaf) if leaf.is_text else leaf.may_be_document)
    return more


def is_more(leaf: Leaf) -> bool:
    """Whether there is more in a text than itself."""
    return leaf.is_file or any(True for _ in leaf.enclosed())


def show_text(look: Look, leaf: Leaf) -> None:
    """The text of a leaf."""
    outer, look.format = look.format, "html" if leaf.kind == b"text/html" else "text"
    for text in leaf.texts():
        look.text(text)
        if leaf.kind == b"text/calendar":
            _show_invitation(look, text)
    look.format = outer


_FOLD = re.compile(r"\r?\n[ \t]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def _show_invitation(look: Look, text: str) -> None:
    """What mail programs show of an invitation as its subject and its text (RFC 5545 §3.1, §3.3.11)."""
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
"""More than forty things between two letters are taken to hide something: each m of a page might go to its end for the next."""


def may_hide(source: str) -> bool:
    """Whether a marking can be in a page, its letters torn apart by tags or written as entities: 25 us for 8,000 characters,
    where cutting the tags takes 400."""
    if "<!" in source:
        source = _COMMENT.sub("", source)
    return _HTML_HINT.search(as_seen(source).lower()) is not None


def pages(raw: bytes, charset: str = "") -> Iterator[str]:
    """A page as lines, as often as it can be read differently and something may be hidden in it. What a page says of itself
    in octets of ASCII cannot be that they are wider (WHATWG HTML §13.2.3.3)."""
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
"""Charsets that do not say which octet comes first, where no mark does (RFC 2781 §3.3); programs take either."""
_SEVEN = ("utf-7", "utf7", "unicode-1-1-utf-7", "csunicode11utf7", "unicode-2-0-utf-7", "x-unicode-2-0-utf-7")


def readings(raw: bytes, charset: str) -> Iterator[str]:
    """A text as its charset says, letters and marks as they were written; 8-bit text that says nothing, and is no UTF-8, also
    in the old charsets of Vietnam; what can be read in more ways than one in each."""
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
        told_wrong = raw.decode("utf-8")
    except UnicodeDecodeError:
        for old in () if charset else OLD_CHARSETS:
            yield decode_as_written(raw, old)
    else:
        if charset.lower() not in ("", "utf-8", "us-ascii"):  # many programs say a charset and write another
            yield told_wrong


_SHIFTED = re.compile(r"\+[A-Za-z0-9+/]+-?")


def words_of(text: str, value: bytes) -> Iterator[str]:
    """A title or a name; with words that say to be UTF-7 also as those who read it (RFC 2152) see it."""
    yield text
    if b"utf-7" in value.lower():
        yield _SHIFTED.sub(lambda shifted: shifted[0].encode().decode("utf-7", "replace"), text)


def leaves(look: Look, octets: bytes, part: Section) -> Iterator[Leaf]:
    """The leaves of a part, its fields and those of all within shown on the way."""
    offset, length = part.header
    look.budget.take_work(octets.count(b"\n", offset, offset + length) * _STEPS_OF_A_FIELD)
    header = fields(octets[offset : offset + length])
    for name, value in header:
        if name in TITLES:
            for title in words_of(decode_text(value), value):
                look.title(title, Place.SUBJECT if name in (b"subject", b"thread-topic") else Place.TITLE)
    told = dict(reversed(header))  # the first of a name counts
    kind, parameters = parse_parameters(unfold(told.get(b"content-type", b"text/plain")))
    _, disposition = parse_parameters(unfold(told.get(b"content-disposition", b"")))
    names = file_names(parameters, disposition)
    for file_name in names:
        for spelt in words_of(file_name, told.get(b"content-type", b"") + told.get(b"content-disposition", b"")):
            look.name(spelt)
    if part.kind == LEAF:
        start, size = part.body
        told_of = dict(chain(parameters))
        yield Leaf(
            kind.lower() or b"text/plain",
            told_of.get(b"charset", b"").decode("ascii", "replace"),
            told_of.get(b"delsp", b"").lower() == b"yes",
            next(iter(names), ""),
            octets[start : start + size],
            part.encoding
            if part.encoding != "unknown"
            else unfold(told.get(b"content-transfer-encoding", b"")).decode("ascii", "replace"),
        )
    elif part.kind == MESSAGE or part.children:
        for child in part.children:
            look.budget.take_part()
            yield from leaves(look, octets, child)
