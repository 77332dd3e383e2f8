"""Scan a message in one pass: where its parts lie, how large they are, what is malformed.

In: the octets of a message in chunks of any size (`feed`). Out: a `Scan`, which does not depend on the chunks.
Never raises, for any octets; memory, parts, depth and time are bounded (the constants below); nothing is changed.
Standards: RFC 5322 §2.1 (header and body), RFC 2045 and 2046 (MIME). Line ends are CRLF or bare LF, also mixed; sizes are
octets of the message unchanged.

Method: chunks become *windows* that end with a line end (a line longer than a window is cut, which every step below handles).
Inside a window the work is done by `find`, `replace` and `translate`, which pass over an octet a few times, and once more for
each open multipart; so time is windows x depth, for any content. Base64, which is most of a large message, is scanned faster:
it has no hyphens, so no delimiter is searched for, and where its lines are even their ends are known.
    HEADER     until the empty line, or a delimiter of a multipart around it
    BODY       until a delimiter of any open multipart (RFC 2046 §5.1.1: it matches by its beginning)
    DELIMITER  the rest of that line
"""

import re
from enum import Enum

from mic_mail.mime.attachment_size import UUENCODE, Base64Meter, Meter, UuMeter, meter_for
from mic_mail.mime.line_endings import LineEnds, line_ends
from mic_mail.mime.structure import IDENTITY, MAX_HEADER, Part, Scan, read_header

WINDOW = 65_536
LONG_LINE = 4_096
"""Octets after which an unended line is cut; no delimiter or uuencoded line is as long."""

MAX_PARTS = 1_000
MAX_DEPTH = 40
"""Depth of nesting; beyond either limit lies one opaque part, an attachment counted raw."""

MAX_FIELDS = 1_048_576
"""Octets of header fields kept for all parts; those beyond lose descriptions, never structure."""

_TEXT_KEPT = 2_048
_HTML_KEPT = 16_384
"""Octets kept of the first bodies for the preview; HTML often begins with a page of styles."""

_ALTERNATIVES = (b"alternative", b"related")
_BODY_SLOT = {b"plain": 1, b"html": 2}


class ScanState(Enum):
    """The position of the next octet within a part."""

    HEADER = 1
    BODY = 2
    DELIMITER = 3


HEADER, BODY, DELIMITER = ScanState  # module-level names, as enumeration access is four times as slow on Python 3.11

_HYPHEN = b"-"[0]
"""The octet as a number: it is found in bytes five times as fast."""


_EMPTY_LINE = re.compile(rb"\n\r?\n")


class _Frame:
    """A part that has begun and not ended, with its state while it is open."""

    __slots__ = ("bodies", "first_line", "leaf", "meter", "needle", "part", "uu")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.first_line = 0
        """LFs of the message before the body."""
        self.needle = b""
        """LF and delimiter of an open multipart."""
        self.bodies = 0
        """Text bodies that this part, or the message, already has, as bits."""
        self.leaf = False
        self.meter: Meter | None = None
        self.uu: UuMeter | None = None


class _Excerpt:
    """The beginning of a text body, kept for the preview."""

    __slots__ = ("part", "pieces", "room")

    def __init__(self, part: Part, room: int) -> None:
        self.part = part
        self.pieces: list[bytes] = []
        self.room = room


class Scanner:
    """Scans one message; use a new one for the next."""

    def __init__(self, texts: dict[int, bytes] | None = None) -> None:
        """Enter into `texts`, if given, the decoded content of text bodies in base64, by the offset of the body.

        Only of those without damage and without a uuencoded file.
        """
        self._texts = texts
        root = Part(0)
        self._root = root
        self._top = _Frame(root)
        self._open = [self._top]
        """Frames from the message down to the current part."""
        self._multiparts: list[_Frame] = []
        """Open frames that still wait for delimiters."""
        self._state = HEADER
        self._carry = b""
        self._at = 0
        """Offset of the window."""
        self._lf = self._cr = self._crlf = 0
        """Line ends of the message before `_counted`, an index into the window."""
        self._counted = 0
        self._line_start = True
        self._line_end = 0
        """Octets of the line end just before the window."""
        self._head: list[bytes] = []
        self._head_room = MAX_HEADER
        self._fields_room = MAX_FIELDS
        self._parts = 1
        self._closed_octets = 0
        self._sealed_at: int | None = None
        """Offset from which there were too many parts, if that was between parts."""
        self._body_at = 0
        """Offset up to which the current leaf has been read."""
        self._excerpts: dict[bytes, _Excerpt] = {}
        self._excerpt: _Excerpt | None = None
        self._header = b""

    # --- windows ------------------------------------------------------------------------------------------------------

    def feed(self, chunk: bytes) -> None:
        """Take the next octets."""
        data = self._carry + chunk if self._carry else chunk
        size = len(data)
        start = 0
        while size - start > WINDOW:
            end = data.rfind(b"\n", start, start + WINDOW) + 1 or _cut_line(data, start + WINDOW)
            self._read_window(data[start:end])
            start = end
        end = data.rfind(b"\n", start) + 1
        if end > start:
            self._read_window(data[start:end])
            start = end
        if size - start > LONG_LINE:
            end = _cut_line(data, size)
            self._read_window(data[start:end])
            start = end
        self._carry = data[start:]

    def finish(self) -> Scan:
        """End the message and return its scan."""
        if self._carry:
            self._read_window(self._carry)
            self._carry = b""
        while self._state is HEADER:
            self._end_header(self._at, self._lf)
        self._close_above(-1, self._at, self._lf)
        attachment_octets = self._closed_octets + (0 if self._sealed_at is None else self._at - self._sealed_at)
        text_part, text = self._text()
        return Scan(
            root=self._root,
            octets=self._at,
            header=self._header,
            attachment_octets=attachment_octets,
            bare_cr=self._cr - self._crlf,
            bare_lf=self._lf - self._crlf,
            text=text,
            text_part=text_part,
        )

    @property
    def attachment_octets(self) -> int:
        """Attachments so far, in decoded octets (Reg. 8.3.b); never falls while the message streams in."""
        frame = self._open[-1]
        if self._sealed_at is not None:
            return self._closed_octets + self._at - self._sealed_at
        if not frame.leaf:
            return self._closed_octets
        raw = max(0, self._body_at - self._line_end - frame.part.body_start)
        return self._closed_octets + _metered(frame, raw, self._line_end)

    def _read_window(self, window: bytes) -> None:
        self._counted = pos = 0
        size = len(window)
        while pos < size:
            if self._state is HEADER:
                pos = self._read_header(window, pos)
            elif self._state is BODY:
                pos = self._read_body(window, pos)
            else:
                pos = self._skip_line(window, pos)
        self._count_to(window, size)
        self._at += size
        self._line_start = window.endswith(b"\n")
        self._line_end = 0 if not self._line_start else 2 if window.endswith(b"\r\n") else 1

    # --- states -------------------------------------------------------------------------------------------------------

    def _read_header(self, window: bytes, pos: int) -> int:
        end = self._end_of_header(window, pos)
        limit, multipart = self._next_delimiter(window, pos, end or len(window))
        if multipart is None:
            self._keep_header(window[pos:limit])
            if end:
                self._end_header(self._at + end, self._lf + window.count(b"\n", self._counted, end))
            return limit
        # A delimiter before the end of the header: the part has no body (RFC 2046 §5.1: the empty line may be missing).
        line_end = self._line_end_before(window, limit)
        self._keep_header(window[pos : max(pos, limit - line_end)])
        self._count_to(window, limit)
        self._end_header(max(self._at + limit - line_end, self._open[-1].part.header_start), self._lf)
        return self._read_delimiter(window, limit, multipart)

    def _end_of_header(self, window: bytes, pos: int) -> int:
        """Return the offset after the first empty line at `pos` or later; 0 where there is none."""
        if pos or self._line_start:
            if window.startswith(b"\n", pos):
                return pos + 1
            if window.startswith(b"\r\n", pos):
                return pos + 2
        found = _EMPTY_LINE.search(window, pos)
        return found.end() if found else 0

    def _read_body(self, window: bytes, pos: int) -> int:
        limit, multipart = self._next_delimiter(window, pos, len(window))
        if limit > pos:
            self._consume(window, pos, limit)
        if multipart is None:
            return limit
        self._count_to(window, limit)
        return self._read_delimiter(window, limit, multipart)

    def _read_delimiter(self, window: bytes, pos: int, multipart: _Frame) -> int:
        """Process a delimiter line at `pos`: close parts and begin the next."""
        after = pos + len(multipart.needle) - 1
        is_last = window.startswith(b"--", after)
        if self._parts >= MAX_PARTS and not is_last:
            self._seal(self._at + pos)
            return pos
        # RFC 2046 §5.1.1: the line end before a delimiter is its own, unless it already ended a header or another delimiter.
        line_end = self._line_end_before(window, pos)
        if self._at + pos - line_end < self._open[-1].part.body_start:
            line_end = 0
        self._close_above(self._open.index(multipart), self._at + pos - line_end, self._lf - (line_end > 0))
        del self._multiparts[self._multiparts.index(multipart) + 1 :]
        if is_last:
            self._multiparts.pop()
            multipart.needle = b""
        self._state = DELIMITER
        return self._skip_line(window, after)

    def _skip_line(self, window: bytes, pos: int) -> int:
        end = window.find(b"\n", pos) + 1
        if end == 0:
            return len(window)
        multipart = self._open[-1]
        if multipart.needle:
            self._begin_part(self._at + end, multipart.part)
        else:
            self._state = BODY  # the epilogue
        return end

    def _next_delimiter(self, window: bytes, pos: int, end: int) -> tuple[int, _Frame | None]:
        """Return offset and multipart of the next delimiter line in `pos`..`end`, else `end` and None."""
        if not self._multiparts:
            return end, None
        if pos == 0 and self._line_start:
            here = [frame for frame in self._multiparts if window.startswith(frame.needle[1:])]
            if here:
                return 0, _owner(here, window, 0)
        hyphen = window.find(_HYPHEN, pos, end)  # 80 GB/s
        if hyphen < 0:
            return end, None
        start = hyphen - 1 if hyphen else 0
        last = end - 1
        found: list[_Frame] = []
        for frame in reversed(self._multiparts):  # the innermost is usually near, and bounds the search for the others
            needle = frame.needle
            at = window.find(needle, start, last + len(needle) - 1) + 1
            if at:
                if at < last:
                    last = at
                    found.clear()
                found.append(frame)
        return (last, _owner(found[::-1], window, last)) if found else (end, None)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _begin_part(self, at: int, parent: Part) -> None:
        part = Part(at)
        parent.children.append(part)
        self._open.append(_Frame(part))
        self._parts += 1
        self._head = []
        self._head_room = MAX_HEADER // 4
        self._state = HEADER

    def _keep_header(self, piece: bytes) -> None:
        if self._head_room > 0:
            self._head.append(piece[: self._head_room])
        self._head_room -= len(piece)

    def _end_header(self, at: int, lf: int) -> None:
        """End the current part's header at offset `at`, after `lf` LFs, and decide how its body is read."""
        frame = self._open[-1]
        part = frame.part
        header = b"".join(self._head)
        parent = self._open[-2].part if len(self._open) > 1 else None
        if parent is None and self._head_room >= 0:
            self._header = header
        header = header.rstrip(b"\r\n")  # the last line end may belong to a delimiter
        in_digest = parent is not None and parent.maintype == b"multipart" and parent.subtype == b"digest"
        part.describe(read_header(header, in_digest=in_digest, has_envelope=parent is None or parent.is_message))
        self._fields_room -= len(header)
        if self._fields_room < 0 and parent is not None:
            part.fields, part.disposition = {}, None
        part.body_start = part.body_end = self._body_at = at
        frame.first_line = lf
        self._state = BODY
        if len(self._open) < MAX_DEPTH and self._parts < MAX_PARTS:
            if part.is_message:
                self._begin_part(at, part)
                return
            boundary = part.boundary
            if boundary is not None:
                frame.needle = b"\n--" + boundary
                if part.encoding not in IDENTITY:  # RFC 2045 §6.4 forbids any other here, and no program decodes it
                    part.encoding = b"7bit"
                self._multiparts.append(frame)
                return
        elif part.is_message or part.boundary is not None:
            part.damaged = True  # beyond the limits: never parsed
        part.is_message = False
        self._begin_leaf(frame)

    def _begin_leaf(self, frame: _Frame) -> None:
        part = frame.part
        frame.leaf = True
        part.is_attachment = part.encoding in UUENCODE or not self._is_body(part)
        if part.is_attachment:
            frame.meter = meter_for(part.encoding)
            return
        frame.uu = UuMeter()
        frame.meter = meter_for(part.encoding, frame.uu, keeps=self._texts is not None)
        if part.subtype not in self._excerpts:
            room = _TEXT_KEPT if part.subtype == b"plain" else _HTML_KEPT
            self._excerpt = self._excerpts[part.subtype] = _Excerpt(part, room)

    def _is_body(self, part: Part) -> bool:
        """Return whether a leaf is a text body of a multipart/alternative or related, or of the message."""
        slot = _BODY_SLOT.get(part.subtype, 0)
        if part.maintype != b"text" or not slot or part.has_filename:
            return False
        owner = self._top
        for frame in reversed(self._open[:-1]):
            if frame.part.is_message:
                return False  # an attached message has no body of its own: it is the attachment
            if frame.part.maintype == b"multipart" and frame.part.subtype in _ALTERNATIVES:
                owner = frame
                break
        if owner.bodies & slot:
            return False
        owner.bodies |= slot
        return True

    def _consume(self, window: bytes, start: int, end: int) -> None:
        """Take octets of the current body."""
        self._body_at = self._at + end
        frame = self._open[-1]
        meter = frame.meter or frame.uu
        excerpt = self._excerpt
        if meter is None and excerpt is None:
            return
        piece = window[start:end]
        if meter is not None:
            known = meter.feed(piece, at_line_start=start > 0 or self._line_start)
            if known is not None:
                octets, ends = known
                self._count_to(window, start)
                self._count(start + octets, ends)
        if excerpt is not None:
            excerpt.pieces.append(piece[: excerpt.room])
            excerpt.room -= len(piece)
            if excerpt.room <= 0:
                self._excerpt = None

    def _close_above(self, index: int, at: int, lf: int) -> None:
        """End every part inside `self._open[index]` at offset `at`, after `lf` LFs of the message."""
        while len(self._open) > index + 1:
            frame = self._open.pop()
            part = frame.part
            part.body_end = at
            raw = at - part.body_start
            part.lines = lf - frame.first_line if raw else 0
            part.decoded_octets = raw
            if frame.leaf:
                line_end = self._body_at - at
                if frame.meter is not None:
                    frame.meter.finish()
                    if part.encoding not in UUENCODE:  # which BINARY does not decode (RFC 3516 §4.3: UNKNOWN-CTE)
                        part.decoded_octets = frame.meter.octets(raw, line_end) if raw else 0
                    part.damaged = part.damaged or frame.meter.damaged
                    self._keep_text(frame)
                self._closed_octets += _metered(frame, raw, line_end)
            elif not part.children:
                self._closed_octets += raw  # a multipart without parts: its content is no text body
        self._excerpt = None

    def _keep_text(self, frame: _Frame) -> None:
        """Enter an ended text body into `texts`."""
        if self._texts is None or frame.uu is None or not isinstance(frame.meter, Base64Meter):
            return
        if not (frame.part.damaged or frame.uu.has_begun):
            self._texts[frame.part.body_start] = frame.meter.content

    def _seal(self, at: int) -> None:
        """Stop at too many parts: octets from offset `at` belong to the open part, and count raw."""
        self._multiparts.clear()
        for frame in self._open:
            frame.needle = b""
        frame = self._open[-1]
        if frame.leaf:
            frame.part.is_attachment = frame.part.damaged = True
        else:
            self._sealed_at = at
        self._state = BODY

    # --- counting -----------------------------------------------------------------------------------------------------

    def _count_to(self, window: bytes, pos: int) -> None:
        """Count the line ends of the window before index `pos`."""
        if pos > self._counted:
            self._count(pos, line_ends(window[self._counted : pos]))

    def _count(self, pos: int, ends: LineEnds) -> None:
        lf, cr, crlf = ends
        self._lf += lf
        self._cr += cr
        self._crlf += crlf
        self._counted = pos

    def _line_end_before(self, window: bytes, pos: int) -> int:
        if pos == 0:
            return self._line_end
        return 2 if window.endswith(b"\r\n", 0, pos) else 1

    def _text(self) -> tuple[Part | None, bytes]:
        """Return the text for the preview: the plain one unless it is empty."""
        for subtype in (b"plain", b"html"):
            excerpt = self._excerpts.get(subtype)
            text = b"".join(excerpt.pieces) if excerpt else b""
            if excerpt and text and not text.isspace():
                return excerpt.part, text
        return None, b""


def _owner(frames: list[_Frame], window: bytes, pos: int) -> _Frame:
    """Return the frame whose delimiter line begins at `pos`, from candidates ordered outermost first.

    RFC 2046 §5.1.1: the beginning of the line decides. Where several boundaries match, the innermost that equals the whole
    line wins, else the longest.
    """
    if len(frames) == 1:
        return frames[0]
    end = window.find(b"\n", pos)
    line = window[pos : end if end >= 0 else len(window)].rstrip()
    for frame in reversed(frames):
        delimiter = frame.needle[1:]
        if line in (delimiter, delimiter + b"--"):
            return frame
    return max(reversed(frames), key=lambda frame: len(frame.needle))


def _metered(frame: _Frame, raw: int, line_end: int) -> int:
    """Return the octets that an open or ended leaf adds to the attachments."""
    part = frame.part
    if not part.is_attachment:
        return frame.uu.found if frame.uu else 0
    if not raw:
        return 0  # only the line end of the delimiter was read
    meter = frame.meter
    return raw if meter is None or meter.damaged or part.damaged else meter.octets(raw, line_end)


def _cut_line(data: bytes, end: int) -> int:
    """Return where to cut a line that is too long, near `end` and never inside CRLF."""
    return end - 1 if data.endswith(b"\r", 0, end) else end
