"""Split a message for the check of markings: fields, names of files, texts, documents.

In: the octets of a message and its part table. Out: calls of a `Look`. Texts are checked here; anything else goes to
`Look.document`, or is only reported where no documents are read (`extract_cheap_parts`). Never raises on any message except
through the budget.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from types import MappingProxyType
from typing import Protocol

from mic_mail.mime.encoded_words import compose_letters, decode_text
from mic_mail.mime.encodings import decode, decoder_for
from mic_mail.mime.headers import fields, parse_parameters, unfold
from mic_mail.mime.html import declared_charset, visible_lines
from mic_mail.mime.part_table import LEAF, Section, Sections, encode
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.search_text import MAX_TEXT_OCTETS, file_names
from mic_mail.policy.naming.confusables import as_seen
from mic_mail.policy.secrecy.degrees import MarkingPlace
from mic_mail.textextract.document_kinds import ARCHIVE_END_WITHIN, LOOKED_AT, archive_may_end, kind_of
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.hinted_lines import whole_lines
from mic_mail.textextract.limits import Budget, CannotRead
from mic_mail.textextract.readings import WIDE_MARKS, can_be_searched, hinted_readings, readings
from mic_mail.textextract.result import Unread

TITLES = frozenset({b"subject", b"thread-topic", b"keywords", b"comments", b"content-description"})
_UNREADABLE = (b"image/", b"audio/", b"video/", b"font/")
_UUENCODED = re.compile(rb"^begin [0-7]{3,4} (?P<name>[^\r\n]{1,200})\r?\n", re.MULTILINE)
_BEGIN = b"begin "
_UU = ("x-uuencode", "uuencode", "x-uue", "uue")
_MOST_ENCLOSED = 10
_STEPS_OF_A_FIELD = 2
_PAD = b"="[0]
_PADDING, _MOST_PIECES = b"= \t\r\n", 1_000
_ENRICHED = (b"text/enriched", b"text/richtext")
_ENRICHED_LINE = re.compile(r"<(?:nl|np|/?paragraph)>", re.IGNORECASE)
_ENRICHED_TAG = re.compile(r"</?[A-Za-z0-9-]{1,60}>|<param>[^<>]{0,100}</param>")
"""Markup of text/enriched and text/richtext (RFC 1896, RFC 1341)."""
_KNOWN_BEGINNINGS = (
    b"PK", b"%PDF", b"{\\rtf", b"\xd0\xcf\x11\xe0", b"\x78\x9f\x3e\x22", b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh",
)  # fmt: skip
"""Magic octets of files that are declared as an image and are none."""
_PIECE, _LONG_LINE = 1 << 18, 1_000
NO_TEXTS: Mapping[int, bytes] = MappingProxyType({})
LARGE_OCTETS = 1 << 17
"""A text of more is never whole in memory, unless it can only be read so: then a worker process reads it."""


class Octets(Protocol):
    """A message in memory, or in a file (`message_file`)."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> bytes: ...


@dataclass(frozen=True)
class Leaf:
    """A part that holds no other."""

    kind: bytes
    """Content type in lower case; `text/plain` unless the header says otherwise."""
    charset: str
    delsp: bool
    name: str
    message: Octets
    start: int
    size: int
    """Octets of the body, which begins at offset `start` of the message."""
    encoding: str
    text: bytes | None = None
    """The decoded content, if it is known from the scan: undamaged base64 without a uuencoded file."""

    @property
    def is_text(self) -> bool:
        """True if mail programs show it as text."""
        return self.kind in (b"text/plain", b"text/html", *_ENRICHED) or b"/" not in self.kind

    @property
    def is_file(self) -> bool:
        """True for a text that programs also open as a document, by its name or its first octets."""
        return bool(self.name) or self._begins_like_a_file

    @property
    def _begins_like_a_file(self) -> bool:
        return self._beginning.lstrip().startswith(_KNOWN_BEGINNINGS)

    @property
    def may_enclose(self) -> bool:
        """True for a text in which mail programs look for uuencoded files."""
        return self.kind == b"text/plain" or self.encoding.strip().lower() in _UU

    @cached_property
    def _whole(self) -> bytes:
        return decode(self._raw(self.size), self.encoding) if self.text is None else self.text

    @cached_property
    def _beginning(self) -> bytes:
        """Its first octets, by which several questions are answered."""
        return self.content(64)

    def _raw(self, most: int) -> bytes:
        return self.message[self.start : self.start + min(most, self.size)]

    def content(self, most: int | None = None) -> bytes:
        """Return the decoded content, or that of the first `most` raw octets."""
        return self._whole if most is None or most >= self.size else decode(self._raw(most), self.encoding)

    def pieces(self, most: int | None = None) -> Iterator[bytes]:
        """Yield the same piece by piece; a small one whole, decoded once for all that look at it."""
        if self.size <= LARGE_OCTETS:
            yield self.content(most)
            return
        decoder = decoder_for(self.encoding)
        for raw in self._raw_pieces(most):
            yield decoder.feed(raw)
        yield decoder.finish()

    def _raw_pieces(self, most: int | None = None) -> Iterator[bytes]:
        """Yield the raw octets; in pieces of whole lines where these are equal, as in base64, which are decoded faster."""
        end = self.start + (self.size if most is None else min(self.size, most))
        line = self.message[self.start : min(self.start + _LONG_LINE, end)].find(b"\n") + 1
        step = _PIECE - _PIECE % line if line else _PIECE
        for at in range(self.start, end, step):
            yield self.message[at : min(at + step, end)]

    def enclosed(self) -> Iterator[tuple[str, bytes]]:
        """Yield names and contents of uuencoded files in a text, which mail programs show as attachments.

        A part with uuencode as its transfer encoding counts too.
        """
        if not self.encloses():
            return
        text = self.content()
        for begin in islice(_UUENCODED.finditer(text), _MOST_ENCLOSED):
            content = bytearray()
            for line in text[begin.end() :].splitlines():
                try:
                    content += binascii.a2b_uu(line)
                except binascii.Error:  # `end`, or another line that is not uuencoded
                    break
            yield begin["name"].decode("utf-8", "replace").strip(), bytes(content)

    def encloses(self) -> bool:
        """Return whether there is a uuencoded file in it."""
        return (
            self.text is None
            and self.may_enclose
            and self._holds(_BEGIN)  # a third of the time
            and any(_UUENCODED.search(lines) is not None for lines in whole_lines(self.pieces()))
        )

    def _holds(self, word: bytes) -> bool:
        return word in self._whole if self.size <= LARGE_OCTETS else _occurs(word, self.pieces())

    @property
    def may_be_document(self) -> bool:
        """True if it may hold text: not for a genuine image."""
        return not self.kind.startswith(_UNREADABLE) or self.kind == b"image/svg+xml" or self._begins_like_a_file

    @property
    def is_document(self) -> bool:
        """True if it is read as a document of its own, perhaps beside its text."""
        return self.is_file if self.is_text else self.may_be_document

    @property
    def declared(self) -> str:
        """The content type as the readers get it."""
        return self.kind.decode("ascii", "replace")

    def document_kind(self) -> str | None:
        """Return the kind of document (`document_kinds.kind_of`); None for an archive behind something else."""
        head = tail = b""
        for piece in self.pieces():
            if len(head) < LOOKED_AT:
                head += piece[:LOOKED_AT]
                if len(head) >= LOOKED_AT and (found := kind_of(head, self.name, self.declared)):
                    return found
            tail = piece if len(piece) >= ARCHIVE_END_WITHIN else (tail + piece)[-ARCHIVE_END_WITHIN:]
        found = kind_of(head, self.name, self.declared)
        return None if archive_may_end(found, tail) else found

    def texts(self, budget: Budget) -> Iterator[str]:
        """Yield the decoded text, HTML by line as shown; several readings where the charset is not declared.

        Of plain text only the lines that may hold a marking and those around them.
        """
        yield from self._texts_of(lambda: self.pieces(MAX_TEXT_OCTETS), budget)
        yield from self.texts_after_padding(budget)

    def texts_after_padding(self, budget: Budget) -> Iterator[str]:
        """Yield the decoded text of all base64 in it, if there is some behind the first padding."""
        if self.text is None and self.encoding.lower() == "base64" and self._goes_on_after_padding():
            pieces = self._raw(MAX_TEXT_OCTETS).split(b"=", _MOST_PIECES)
            yield from self._texts_of(lambda: (decode(piece, "base64") for piece in pieces), budget)

    def _goes_on_after_padding(self) -> bool:
        """Return whether there is something behind padding: some programs decode on."""
        is_padded = False
        for raw in self._raw_pieces(MAX_TEXT_OCTETS):
            if not is_padded and _PAD not in raw:
                continue
            if (raw if is_padded else raw[raw.find(_PAD) :]).strip(_PADDING):
                return True
            is_padded = True
        return False

    @property
    def is_wide(self) -> bool:
        """True for a text with more than one octet a letter, by its first octets."""
        return self._beginning.startswith(WIDE_MARKS)

    @cached_property
    def is_searched(self) -> bool:
        """True if the text is searched before it is decoded."""
        is_as_written = self.kind not in (b"text/html", b"text/calendar", *_ENRICHED) and not self.delsp
        return is_as_written and can_be_searched(self.charset) and not self.is_wide

    def _texts_of(self, pieces: Callable[[], Iterable[bytes]], budget: Budget) -> Iterator[str]:
        if self.is_searched:
            yield from hinted_readings(pieces, self.charset, budget)
        elif self.kind == b"text/html":
            yield from pages(b"".join(pieces()), self.charset)
        else:
            for text in readings(b"".join(pieces()), self.charset):
                yield text.replace(" \r\n", "").replace(" \n", "") if self.delsp else text
                if self.kind in _ENRICHED and "<" in text:
                    yield _ENRICHED_TAG.sub("", _ENRICHED_LINE.sub("\n", text))


class _Occurrence:
    """Finds out whether a word occurs in octets on their way, also from one piece to the next."""

    def __init__(self, word: bytes) -> None:
        self._word = word
        self.has_occurred = False
        self.is_possible = True
        """False once octets have passed to their end, and the word did not occur."""

    def passed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the pieces."""
        word, before = self._word, b""
        for piece in pieces:
            self.has_occurred = self.has_occurred or word in piece or word in before + piece[: len(word)]
            before = (before + piece if len(piece) < len(word) else piece)[-len(word) :]
            yield piece
        self.is_possible = self.has_occurred


def _occurs(word: bytes, pieces: Iterable[bytes]) -> bool:
    """Return whether a word occurs, also from one piece to the next."""
    found = _Occurrence(word)
    return any(found.has_occurred for _ in found.passed(pieces))


def part_table(octets: Octets) -> bytes:
    """Return the part table of a message that has not been scanned."""
    scanner = Scanner()
    for at in range(0, len(octets), _PIECE):
        scanner.feed(octets[at : at + _PIECE])
    return encode(scanner.finish())


def show(look: Look, octets: Octets) -> None:
    """Pass everything in a message to a look."""
    for leaf in leaves(look, octets, Sections(part_table(octets)).root):
        look.budget.check_time()
        if leaf.is_text or leaf.kind.startswith(b"text/"):  # the others in their charset, which a file does not declare
            show_text(look, leaf)
        for name, content in leaf.enclosed():
            look.name(name)
            look.budget.take_octets(len(content))
            look.document(content, name)
        if leaf.is_document:
            content = leaf.content()
            look.budget.take_octets(len(content))
            look.document(content, leaf.name, leaf.declared)


def extract_cheap_parts(
    look: Look, octets: Octets, parts: bytes, most_text: int | None = None, texts: Mapping[int, bytes] = NO_TEXTS
) -> bool:
    """Pass fields, names and texts to a look; return whether documents are left that need a reader.

    A text of more octets than `most_text` is left, too. `texts` are those that a `Scanner` has decoded.
    """
    more = False
    for leaf in leaves(look, octets, Sections(parts).root, most_octets=LARGE_OCTETS, texts=texts):
        look.budget.check_time()
        more = _show_cheaply(look, leaf, most_text) or more
    return more


def _show_cheaply(look: Look, leaf: Leaf, most_text: int | None) -> bool:
    """Check the text of a leaf; return whether the leaf needs a reader."""
    is_large, is_too_long = leaf.size > LARGE_OCTETS, most_text is not None and leaf.size > most_text
    if leaf.is_text or leaf.kind.startswith(b"text/"):
        if is_too_long or (is_large and not leaf.is_searched):
            return True
        if leaf.is_searched and leaf.is_document and leaf.document_kind() == "text":
            return _show_text_file(look, leaf)
        show_text(look, leaf)
    if leaf.encloses():
        return True
    found = leaf.document_kind() if leaf.is_document else ""
    if found != "text" or is_too_long or (is_large and leaf.is_wide):
        return found != ""
    outer, look.format = look.format, "text"
    for text in hinted_readings(leaf.pieces, "", look.budget):
        look.text(text)
    look.format = outer
    return False


def _show_text_file(look: Look, leaf: Leaf) -> bool:
    """Check a leaf that is shown as text and opened as a text file; return whether it needs a reader."""
    outer, look.format = look.format, "text"
    begins = _Occurrence(_BEGIN)
    for text in hinted_readings(lambda: begins.passed(leaf.pieces()), leaf.charset, look.budget, is_file=True):
        look.text(text)
    for text in leaf.texts_after_padding(look.budget):
        look.text(text)
    look.format = outer
    return begins.is_possible and leaf.encloses()


def show_text(look: Look, leaf: Leaf) -> None:
    """Check the text of a leaf."""
    outer, look.format = look.format, "html" if leaf.kind == b"text/html" else "text"
    for text in leaf.texts(look.budget):
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


_SHIFTED = re.compile(r"\+[A-Za-z0-9+/]+-?")


def words_of(text: str, value: bytes) -> Iterator[str]:
    """Yield a title or name, and with UTF-7 in it also as programs that decode that show it (RFC 2152)."""
    yield text
    if b"utf-7" in value.lower():
        yield _SHIFTED.sub(lambda shifted: shifted[0].encode().decode("utf-7", "replace"), text)


def leaves(
    look: Look, octets: Octets, part: Section, *, most_octets: int | None = None, texts: Mapping[int, bytes] = NO_TEXTS
) -> Iterator[Leaf]:
    """Yield the leaves of a part, checking its fields and those of all parts within on the way.

    `most_octets`: a longer header is not read here (`CannotRead`). `texts`: those known already, by the offset of the body.
    """
    offset, length = part.header
    if most_octets is not None and length > most_octets:
        raise CannotRead(Unread.OVER_BOUNDS)
    raw = octets[offset : offset + length]
    look.budget.take_work(raw.count(b"\n") * _STEPS_OF_A_FIELD)
    header = fields(raw)
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
            octets,
            start,
            size,
            part.encoding
            if part.encoding != "unknown"
            else unfold(first.get(b"content-transfer-encoding", b"")).decode("ascii", "replace"),
            texts.get(start),
        )
    else:
        for child in part.children:
            look.budget.take_part()
            yield from leaves(look, octets, child, most_octets=most_octets, texts=texts)
