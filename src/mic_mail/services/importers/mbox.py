"""mbox files as a source: one file, a folder of them, or a Thunderbird profile.

In a profile, the files lie beside `.msf` files, and children in `.sbd` folders. Any of the common forms is read (mboxo,
mboxrd, mboxcl2), whatever the size: only positions are held, and a message over a megabyte is read in parts. The
beginning of a message is recognised so:

    a line "From " at the start of the file or after an empty line, that has a time and a year like those which mail programs
    write, or names a sender alone, and is followed by a header field (or by another "From " line, or an empty header)

so that "From Monday on we meet at 10:30" in a message stays part of it, also in files of programs that quote nothing.
Where the first message has a Content-Length that leads exactly to the next "From " line (mboxcl2), lengths are used as
long as they do so, and nothing is unquoted. Else one ">" is removed from ">From ", ">>From " and so on. The empty line
before the next "From " belongs to no message.
"""

import errno
import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from mic_mail.errors import Text
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.mime.dates import parse_date
from mic_mail.mime.headers import field
from mic_mail.services.importers import files
from mic_mail.services.importers.content import crlf_parts, with_crlf
from mic_mail.services.importers.flags import of_header
from mic_mail.services.importers.source import (
    CHUNK_OCTETS,
    FolderClosed,
    Skip,
    Source,
    SourceFailed,
    SourceFolder,
    SourceMessage,
    SourceWrong,
)

HEADER_OCTETS = 256 << 10
"""The octets that are searched for flags and lengths."""
_LINE_OCTETS = 1_000
_MARK = b"\nFrom "
_WRITTEN_AT = re.compile(
    rb"From (?:.*?[ \t])??[ \t]*(?P<date>(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),?[ \t]|\d{1,4}[- \t]).*\d{1,2}:\d{2}.*)"
)
_SENDER = re.compile(rb"From [^ \t\r\n]+[ \t]*")
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:|>?From |\r?\n")
_QUOTED = re.compile(rb"^>(?=>*From )", re.MULTILINE)
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class MessageSpan:
    """The position of a message in a file: its "From " line, the start of its header, its end."""

    from_line: bytes
    begins: int
    ends: int


class MboxFile:
    """One open mbox file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self.has_lengths = False
        """Content-Length is used, and nothing is quoted."""

    @property
    def is_one(self) -> bool:
        """True if the file begins with a message."""
        return self._begins_at(self._first())

    def _first(self) -> int:
        """Return the offset after leading empty lines."""
        start = 0
        while (blank := self._at(start, 2)) and blank[:1] in b"\r\n":
            start += 2 if blank == b"\r\n" else 1
        return start

    def spans(self) -> Iterator[MessageSpan]:
        """Yield every message in order; none where the file does not begin with one."""
        start = self._first()
        if not self._begins_at(start):
            return
        first = True
        while start < self._size:
            line = self._line(start)
            begins = start + len(line)
            believes = first or self.has_lengths
            told = self._end_by_length(begins, self.header(begins, self._size)) if believes else None
            self.has_lengths = told is not None if first else self.has_lengths
            first = False
            next_one = self._next(begins) if told is None else told[1]
            ends = self._without_blank(begins, next_one) if told is None else told[0]
            yield MessageSpan(line, begins, ends)
            start = next_one

    def header(self, begins: int, ends: int) -> bytes:
        """Return the header, as far as it is searched."""
        octets = self._at(begins, min(4096, ends - begins))
        if not _header_ends(octets):
            octets = self._at(begins, min(HEADER_OCTETS, ends - begins))
        end = _header_ends(octets)
        return octets[:end] if end else octets

    def octets(self, span: MessageSpan) -> bytes:
        """Return a whole message, unquoted, with CRLF."""
        return with_crlf(b"".join(self.parts(span)))

    def parts(self, span: MessageSpan) -> Iterator[bytes]:
        """Yield a message in parts with its line ends; no part ends within a possible quoted "From " line."""
        at, held, at_line = span.begins, b"", True
        while at < span.ends:
            part = self._at(at, min(CHUNK_OCTETS, span.ends - at))
            if not part:
                break
            at += len(part)
            octets = held + part
            cut = octets.rfind(b"\n") + 1 if len(octets) - octets.rfind(b"\n") < CHUNK_OCTETS else len(octets)
            held = octets[cut:]
            yield self._unquoted(octets[:cut], at_line=at_line)
            at_line = octets[:cut].endswith(b"\n") if cut else at_line
        if held:
            yield self._unquoted(held, at_line=at_line)

    def _unquoted(self, octets: bytes, *, at_line: bool) -> bytes:
        """Remove quoting; `at_line`: the octets begin at a line start."""
        if self.has_lengths:
            return octets
        rest = 0 if at_line else octets.find(b"\n") + 1 or len(octets)
        return octets[:rest] + _QUOTED.sub(b"", octets[rest:])

    # ------------------------------------------------------------ positions

    def _at(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def _line(self, start: int) -> bytes:
        """Return the whole separator line, so that no rest of it enters the message."""
        line, at = b"", start
        while b"\n" not in line and (part := self._at(at, _LINE_OCTETS)):
            line, at = line + part, at + len(part)
            if len(line) > HEADER_OCTETS:
                break
        return line[: line.find(b"\n") + 1] or line

    def _begins_at(self, start: int) -> bool:
        head = self._at(start, 2 * _LINE_OCTETS)
        line, end, rest = head.partition(b"\n")
        if not line.startswith(b"From ") or not end:
            return False
        known = written_at(line) is not None or _SENDER.fullmatch(line.rstrip()) is not None
        return known and (not rest or _FIELD.match(rest) is not None)

    def _next(self, begins: int) -> int:
        """Return the offset of the next message's "From " line, or the end of the file."""
        at = begins - 1  # the line end of the "From " line itself may be the first of the empty line
        while at < self._size:
            part = self._at(at, CHUNK_OCTETS)
            found = part.find(_MARK)
            while found >= 0:
                start = at + found + 1
                if self._is_blank_before(start, begins) and self._begins_at(start):
                    return start
                found = part.find(_MARK, found + 1)
            if len(part) < CHUNK_OCTETS:
                break
            at += len(part) - len(_MARK) + 1
        return self._size

    def _is_blank_before(self, start: int, begins: int) -> bool:
        if start == begins:  # an empty message: the next "From " line follows directly
            return True
        before = self._at(max(begins, start - 4), start - max(begins, start - 4))
        return before.endswith((b"\n\n", b"\n\r\n")) or before in (b"\n", b"\r\n")

    def _without_blank(self, begins: int, ends: int) -> int:
        """Return the end of a message whose separator, or the end of the file, is at `ends`."""
        tail = self._at(max(begins, ends - 4), ends - max(begins, ends - 4))
        for blank in (b"\n\r\n", b"\n\n"):
            if tail.endswith(blank):
                return ends - len(blank) + 1
        return begins if tail in (b"\n", b"\r\n") else ends

    def _end_by_length(self, begins: int, header: bytes) -> tuple[int, int] | None:
        """Return the end by Content-Length and the next start; None unless a message or the file ends there."""
        told = (field(header, b"content-length") or b"").strip()
        if not told.isdigit() or len(told) > 15 or not _header_ends(header):
            return None
        ends = begins + len(header) + int(told)
        if ends > self._size:
            return None
        gap = self._at(ends, 2)
        for blank in (b"\r\n", b"\n", b""):
            if gap.startswith(blank):
                start = ends + len(blank)
                if start == self._size or self._begins_at(start):
                    return ends, start
        return None


def _header_ends(octets: bytes) -> int:
    """Return the offset after the empty line; 0 where there is none."""
    ends = [found + len(blank) for blank in (b"\n\r\n", b"\n\n") if (found := octets.find(blank)) >= 0]
    if octets.startswith((b"\n", b"\r\n")):
        return octets.find(b"\n") + 1
    return min(ends, default=0)


def written_at(from_line: bytes) -> int | None:
    """Return the arrival time in a "From " line, in microseconds; it is read as UTC."""
    match = _WRITTEN_AT.match(from_line)
    seconds = parse_date(match["date"].strip()) if match else None
    return None if seconds is None else seconds * 1_000_000


class MboxSource(Source):
    """One mbox file, or a folder of them."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self.identity = f"mbox:{files.text_of(self._path)}"
        self._is_tree = os.path.isdir(self._path)
        files.must_be_readable(self._path, folder=self._is_tree)
        if not self.folders():
            raise SourceWrong(Text(f"“{path}” không có tệp mbox nào.", "No mbox file found."))

    def folders(self) -> Sequence[SourceFolder]:
        """Return a folder for each file that begins as an mbox does; its name is the file's, without `.mbox`."""
        if not self._is_tree:
            if not _is_mbox(self._path, self._path):
                return []
            return [SourceFolder((_name(os.path.basename(self._path)),), self._path)]
        return [SourceFolder(levels, path) for levels, path in _below(self._path, self._path, (), _DEEPEST)]

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        """Yield messages in the order of the file; a message's key is its content."""
        path = str(folder.place)
        try:
            fd = files.open_below(self._path, path)
        except OSError as error:
            raise files.closed(path, error) from error
        try:
            box = MboxFile(fd)
            for span in box.spans():
                yield _item(box, span)
        except OSError as error:
            why = system_reason(error)
            raise SourceFailed(
                Text(f"Tệp mbox không đọc được nữa: {why.vi}.", f"The mbox cannot be read: {why.en}.")
            ) from error
        finally:
            os.close(fd)


def _item(box: MboxFile, span: MessageSpan) -> SourceMessage:
    header = box.header(span.begins, span.ends)
    flags, deleted = of_header(header)
    if deleted:
        return SourceMessage(skip=Skip.DELETED)
    is_small = span.ends - span.begins <= files.HELD_OCTETS
    content = box.octets(span) if is_small else partial(crlf_parts, partial(box.parts, span))
    return SourceMessage(None, content, flags or frozenset(), written_at(span.from_line))


def _below(root: str, path: str, above: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
    try:
        found = files.entries(path)
    except FolderClosed:  # reported when its messages are read
        yield above, path
        return
    for entry in found:
        if files.is_folder(entry):
            if depth and not entry.name.startswith("."):
                level = entry.name.removesuffix(".sbd") if entry.name.endswith(".sbd") else entry.name
                yield from _below(root, entry.path, (*above, files.text_of(level)), depth - 1)
        elif entry.is_file(follow_symlinks=False) and _is_mbox(root, entry.path):
            yield (*above, _name(entry.name)), entry.path


def _name(file_name: str) -> str:
    return files.text_of(file_name.removesuffix(".mbox") or file_name)


def _is_mbox(root: str, path: str) -> bool:
    """Return whether a file is an mbox, unlike Thunderbird's `.msf` and `.dat`; an unreadable one may be."""
    try:
        fd = files.open_below(root, path)
    except OSError as error:
        return error.errno in (errno.EACCES, errno.EPERM, errno.EIO)
    try:
        return MboxFile(fd).is_one
    except OSError:
        return True
    finally:
        os.close(fd)
