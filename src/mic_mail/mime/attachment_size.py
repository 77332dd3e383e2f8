"""Count the decoded size of a message's attachments while it streams in (Reg. 8.3.b).

In: the raw octets of leaves, in pieces that end with a line end wherever lines are short enough. Out: decoded octets.
Counted: every leaf but the first text/plain and the first text/html body of each multipart/alternative or related, and of the
message itself. Inline images, S/MIME and the leaves of attached messages therefore count, each once. A leaf marked as a file
(RFC 2183) is not a body. Of a text body the uuencoded files in it count, raw or within its own encoding. A leaf whose encoding
is damaged counts with its raw octets, a uuencoded file from its first damaged line on. A count never falls while its leaf
streams in.
"""

import binascii
import re

import pybase64

from mic_mail.mime.encodings import BASE64, Base64, QuotedPrintable, only_digits
from mic_mail.mime.line_endings import LineEnds, even_lines

_PADDING = b"="[0]

UUENCODE = frozenset({b"x-uuencode", b"uuencode", b"x-uue", b"uue"})
"""Encodings outside MIME (RFC 2045 §6.3) that programs decode; a text leaf with one is never a body."""
MAX_LINE = 4_096
"""Octets; no uuencoded line is as long. A longer line counts raw, as it may arrive in pieces."""


class Base64Meter:
    """Count base64 digits (RFC 2045 §6.8); other octets, and digits after padding, are damage."""

    __slots__ = ("_content", "_digits", "_inside", "_padded", "damaged")

    def __init__(self, inside: "DecodedText | None" = None) -> None:
        """Pass the decoded content to `inside`, if given, which searches it for files."""
        self._digits = 0
        self._padded = False
        self._inside = inside
        self._content: Base64 | None = None
        self.damaged = False

    def feed(self, piece: bytes, *, at_line_start: bool = True) -> tuple[int, LineEnds] | None:
        """Count the next raw octets.

        Returns the number of octets at the start that are lines of digits only, and the ends of these lines; None where there
        are none.
        """
        known, content = None, b""
        if not self._padded and self._content is None and (even := even_lines(piece)) is not None:
            digits, octets, ends = even
            content = only_digits(digits)
            if content:
                self._digits += len(digits)
                known = octets, ends
                piece = piece[octets:]
        if self._inside is not None and not self._padded:
            self._inside.feed(content + self._decoded(piece))
        self._count(piece)
        return known

    def _count(self, piece: bytes) -> None:
        rest = piece.translate(None, BASE64)
        digits = len(piece) - len(rest)
        if self._padded:
            self.damaged = self.damaged or digits > 0
        elif _PADDING in rest:
            pad = piece.find(b"=")
            before = piece[:pad].translate(None, BASE64)
            self._digits += pad - len(before)
            self._padded = True
            self.damaged = self.damaged or pad - len(before) < digits
        else:
            self._digits += digits
        if not self.damaged and rest.translate(None, b"\r\n \t="):
            self.damaged = True

    def _decoded(self, piece: bytes) -> bytes:
        """Return the decoded content; whole lines are whole groups of digits, which are decoded as they are."""
        if not piece:
            return b""
        if self._content is None:
            pad = piece.find(b"=")
            try:
                return pybase64.b64decode(piece if pad < 0 else piece[:pad] + b"==")
            except binascii.Error:
                self._content = Base64()
        return self._content.feed(piece)

    def octets(self, raw: int, line_end: int) -> int:
        """Return the decoded octets so far."""
        return self._digits * 3 // 4

    @property
    def content(self) -> bytes:
        """The whole decoded content, where `inside` keeps it."""
        return self._inside.content if self._inside is not None else b""

    def finish(self) -> None:
        """End the leaf; a single digit left over is damage."""
        if self._inside is not None:
            self._inside.finish(self._content.finish() if self._content is not None else b"")
        if self._digits % 4 == 1:
            self.damaged = True


class QuotedPrintableMeter:
    """Count the octets that the decoder produces; an equals sign that escapes nothing is damage."""

    __slots__ = ("_decoder", "_inside", "_octets")

    def __init__(self, inside: "DecodedText | None" = None) -> None:
        """Pass the decoded content to `inside`, as for base64."""
        self._decoder = QuotedPrintable()
        self._inside = inside
        self._octets = 0

    @property
    def damaged(self) -> bool:
        """Return whether an equals sign escaped nothing."""
        return self._decoder.damaged

    def feed(self, piece: bytes, *, at_line_start: bool = True) -> None:
        """Count the next raw octets."""
        content = self._decoder.feed(piece)
        self._octets += len(content)
        if self._inside is not None:
            self._inside.feed(content)

    def octets(self, raw: int, line_end: int) -> int:
        """Return the decoded octets so far, without a last line end, which may be the delimiter's."""
        return self._octets - (0 if self._decoder.ends_softly else line_end)

    def finish(self) -> None:
        """End the leaf."""
        content = self._decoder.finish()
        self._octets += len(content)
        if self._inside is not None:
            self._inside.finish(content)


_BEGIN = re.compile(rb"^begin(-base64)? [0-7]{3,4}(?:[ \t][^\r\n]{0,998}+)?\r?\n", re.MULTILINE)
_BEGIN_WORD = re.compile(rb"begin(?:-base64)? [0-7]")
"""Searched first, as it starts with a literal, which is found faster in prose."""
_FULL_LINES = re.compile(rb"(?:M[ -`]{60}[ \t]{0,998}+\r?\n)++")
_BLANK = rb"[ \t\r]{0,4}+\n"
"""An empty line is a single space, which may be lost in transit or followed by a checksum."""
_BASE64_LINES = re.compile(rb"(?:[A-Za-z0-9+/]{1,998}+={0,2}[ \t]{0,998}+\r?\n|" + _BLANK + rb")++")
_LINE = re.compile(rb"[^\n]*+\n?")
_UU_LINE = re.compile(rb"[ -`]++")
_UU_OCTETS = bytes([0] * 33 + [octets & 0x3F for octets in range(1, 65)] + [0] * 159)
"""Octets on a line by its first character."""
_UU_FIRST = re.compile(rb"([^\n])[^\n]*+\n|\n")
_LASTS = {False: b"end", True: b"===="}
"""The last line of a uuencoded file, plain and base64."""
_ENDS = {is_base64: re.compile(rb"\n%b[ \t\r]*+(?:\n|\Z)" % last) for is_base64, last in _LASTS.items()}


def _uu_lines() -> re.Pattern[bytes]:
    """Return the pattern of a run of uuencoded or blank lines; a hostile message may have millions."""
    kinds = [_BLANK, rb"(?: [!-`]|`[!-`]?)[ \t\r]{0,998}+\n"]
    for octets in range(1, 64, 3):
        first, last = re.escape(bytes([0x20 + octets])), re.escape(bytes([0x22 + octets]))
        kinds.append(rb"[%b-%b][ -`]{0,%d}+[ \t\r]{0,998}+\n" % (first, last, octets // 3 * 4 + 5))
    return re.compile(rb"(?:" + rb"|".join(kinds) + rb")++")


_UU_LINES = _uu_lines()


class UuMeter:
    """Count uuencoded content (POSIX uuencode, also its base64 form) from `begin` to its end line.

    Lines that do not decode count raw. In a text body only such files count; a leaf with this encoding (`whole`) holds nothing
    else, or is damaged.
    """

    __slots__ = ("_base64", "_begun", "_damaged", "_digits", "_found", "_inside", "_is_broken", "_whole")

    damaged = False
    """Always false: `octets` handles damage, as files found may count for more than the raw octets."""

    def __init__(self, *, whole: bool = False) -> None:
        self._found = 0
        self._digits = 0
        self._whole = whole
        self._begun = False
        self._inside = False
        self._base64 = False
        self._damaged = False
        self._is_broken = False  # the current file has had a damaged line

    def feed(self, piece: bytes, *, at_line_start: bool = True) -> None:
        """Count the next raw octets; `at_line_start` is false for the rest of a line that was cut."""
        pos = 0
        if not at_line_start:
            pos = piece.find(b"\n") + 1 or len(piece)
            self._damaged = self._damaged or self._inside or not piece[:pos].isspace()
            self._found += pos if self._inside else 0
            self._is_broken = True
        size = len(piece)
        while pos < size:
            if not self._inside:
                begin = _BEGIN.search(piece, pos) if piece.rfind(b"begin") >= 0 and _BEGIN_WORD.search(piece, pos) else None
                if self._whole and piece[pos : begin.start() if begin else size].strip():
                    self._damaged = True
                if begin is None:
                    return
                self._inside = self._begun = True
                self._is_broken = False
                self._base64 = begin[1] is not None
                pos = begin.end()
            pos = self._read_lines(piece, pos)

    def _read_lines(self, piece: bytes, pos: int) -> int:
        """Count the lines of one uuencoded file, up to its end line or the end of the piece."""
        size = len(piece)
        last = _LASTS[self._base64]
        while pos < size and not self._is_broken:
            whole = self._read_run(piece, pos)
            if whole > pos:
                pos = whole
                continue
            line = _LINE.match(piece, pos)
            assert line is not None
            pos = line.end()
            text = line[0].rstrip(b" \t\r\n")
            if text == last:
                self._inside = False
                return pos
            if text or len(line[0]) > 5:
                is_one = not self._base64 and len(line[0]) <= MAX_LINE and _is_uu_line(text)
                self._is_broken = not is_one
                self._damaged = self._damaged or self._is_broken
                self._found += _uu_octets(text) if is_one else len(line[0])
        return self._read_broken(piece, pos) if pos < size else pos

    def _read_run(self, piece: bytes, pos: int) -> int:
        """Count a run of whole lines in the usual form; return the offset of its end."""
        if self._base64:
            run = _BASE64_LINES.match(piece, pos)
            if run:
                self._digits += len(run[0]) - len(run[0].translate(None, BASE64))
        elif run := _FULL_LINES.match(piece, pos):
            self._found += 45 * run[0].count(b"\n")
        elif run := _UU_LINES.match(piece, pos):
            self._found += sum(b"".join(_UU_FIRST.findall(run[0])).translate(_UU_OCTETS))
        return run.end() if run else pos

    def _read_broken(self, piece: bytes, pos: int) -> int:
        """Count the rest of a damaged file raw, up to its end line."""
        size = len(piece)
        while pos < size:
            end = piece.find(b"\n", pos) + 1 or size
            if piece[pos:end].rstrip(b" \t\r\n") == _LASTS[self._base64]:
                self._inside = False
                return end
            last = _ENDS[self._base64].search(piece, end - 1)
            until = size if last is None else last.start() + 1
            self._found += until - pos
            pos = until
        return size

    @property
    def found(self) -> int:
        """Octets of files so far."""
        return self._found + self._digits * 3 // 4

    @property
    def has_begun(self) -> bool:
        """Return whether a file has begun, even an empty one."""
        return self._begun

    def octets(self, raw: int, line_end: int) -> int:
        """Return the decoded octets so far of a leaf with this encoding.

        A damaged leaf counts with its raw octets, unless more were found already.
        """
        return max(raw, self.found) if self._damaged else self.found

    def finish(self) -> None:
        """End the leaf."""
        self._damaged = self._damaged or self._inside or not self._begun


class DecodedText:
    """Pass a decoded text body to a `UuMeter` in lines; a line that is too long is cut."""

    __slots__ = ("_at_line_start", "_held", "_kept", "_uu")

    def __init__(self, uu: UuMeter, *, keeps: bool = False) -> None:
        """`keeps` the whole content for `content`."""
        self._kept: list[bytes] | None = [] if keeps else None
        self._uu = uu
        self._held = b""
        self._at_line_start = True

    def feed(self, content: bytes) -> None:
        """Take the next decoded octets."""
        if self._kept is not None:
            self._kept.append(content)
        if self._held:
            content = self._held + content
        end = content.rfind(b"\n") + 1
        if end == 0 and len(content) > MAX_LINE:
            end = len(content)
        if end:
            self._uu.feed(content[:end], at_line_start=self._at_line_start)
            self._at_line_start = content.endswith(b"\n", 0, end)
        self._held = content[end:]

    def finish(self, content: bytes) -> None:
        """Take the last decoded octets."""
        if self._kept is not None:
            self._kept.append(content)
        if content := self._held + content:
            self._uu.feed(content, at_line_start=self._at_line_start)

    @property
    def content(self) -> bytes:
        """Return the octets fed, if they are kept."""
        return b"".join([piece for piece in self._kept or () if piece])


def _is_uu_line(line: bytes) -> bool:
    """Return whether a line without its end is uuencoded: no longer than its first character says.

    A checksum may follow. Trailing spaces are lost in transit, and decoders take missing digits for zeros.
    """
    return bool(line) and len(line) - 2 <= (_uu_octets(line) + 2) // 3 * 4 and _UU_LINE.fullmatch(line) is not None


def _uu_octets(line: bytes) -> int:
    """Return the number of octets on a uuencoded line."""
    return (line[0] - 0x20) & 0x3F


Meter = Base64Meter | QuotedPrintableMeter | UuMeter


def meter_for(encoding: bytes, text: UuMeter | None = None, *, keeps: bool = False) -> Meter | None:
    """Return the meter of an encoding; None where raw octets are decoded octets.

    `text` searches the decoded content of a text body for uuencoded files. `keeps` that of base64.
    """
    if encoding == b"base64":
        return Base64Meter(DecodedText(text, keeps=keeps) if text is not None else None)
    if encoding == b"quoted-printable":
        return QuotedPrintableMeter(DecodedText(text) if text is not None else None)
    return UuMeter(whole=True) if encoding in UUENCODE else None
