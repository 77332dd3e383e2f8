"""One incoming message: buffered while it is small, streamed to disk when it is not.

In: the octets of a message as the listener decoded them. Out: its header, and its content in memory (up to
`SMALL_OCTETS`) or in a file, written and scanned in slices while the next arrives. Nothing is decided here: `pipeline`
runs the checks and says when to begin a file. Once a message is refused the rest is counted and dropped.

The message's own octets are never changed. Lines are put in front of them, and header fields that claim to be this
server's authentication results are removed (RFC 8601 §5). A message that begins with a blank has no header, and its
first line would continue our last one: an empty line is put between them, as Postfix does.

The lines in front of submitted mail are known when its header is complete. For mail from other servers they are known
when the whole message has been checked: until then a large one is in an unnamed file, as it came; then the lines, its
header and the rest, by `copy_file_range`, become the final file.
"""

import asyncio
from pathlib import Path

from mic_mail.mime.line_endings import has_bare
from mic_mail.mime.line_limits import LineCheck
from mic_mail.mime.scanner import Scanner
from mic_mail.mime.structure import Scan
from mic_mail.process.executors import Executors
from mic_mail.queue.scratch import Scratch
from mic_mail.queue.spool import SpoolDraft
from mic_mail.services.transport.envelope import BINARYMIME, Envelope, Refusal
from mic_mail.storage.delivery import StagedContent

SMALL_OCTETS = 131_072
SLICE_OCTETS = 262_144
MAX_HEADER_OCTETS = 262_144
"""Header limit of submitted mail, whose author must be known before the first octet is written."""
MAX_FOREIGN_HEADER_OCTETS = MAX_HEADER_OCTETS - 32_768
"""Header limit of mail from other servers: with the lines in front, what the index can hold."""
CONTINUATIONS = (b" ", b"\t")
"""The first octets of a line that continues the one before it (RFC 5322 §2.2.3)."""
EMPTY_LINE = b"\r\n"

Sink = StagedContent | SpoolDraft | Scratch
"""The destination of a large message."""


class Stream:
    """Writes and scans a large message, a slice at a time, in executors."""

    def __init__(self, executors: Executors, sink: Sink) -> None:
        self._executors = executors
        self.sink = sink
        self._scanner = Scanner()
        self._writing: asyncio.Future[None] | None = None
        self._scanning: asyncio.Future[None] | None = None

    async def write_chunk(self, octets: bytes, scanned: bytes) -> None:
        """Write the next slice once the previous one is done; `scanned` is its stored form."""
        await self._drain()
        self._writing = self._executors.io_executor.submit(self.sink.write, octets)
        self._scanning = self._executors.cpu_executor.submit(self._scanner.feed, scanned)

    async def _drain(self) -> None:
        """Wait until nothing is in progress. Work in a thread is never cancelled, as it owns the file."""
        for future in (self._writing, self._scanning):
            if future is not None:
                await asyncio.shield(future)

    async def finish(self) -> Scan:
        """Make the content durable, if the sink does that, and return the scan."""
        await self._drain()
        self._writing = self._executors.io_executor.submit(self.sink.finish)
        scan = await self._executors.cpu(self._scanner.finish)
        await self._drain()
        return scan

    async def replace_sink(self, kept: Sink) -> None:
        """Continue with another file, which is durable; discard the first."""
        scratch, self.sink = self.sink, kept
        await self._executors.io(scratch.discard)

    async def discard(self) -> None:
        """Remove the file. Errors are ignored: the message is given up."""
        for future in (self._writing, self._scanning):
            if future is not None:
                await asyncio.wait([future])
                if not future.cancelled():
                    future.exception()  # retrieve it, or the loop complains about it
        await self._executors.io(self.sink.discard)


class IncomingMessage:
    """The octets of one message, and how far it has come."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.octets = 0
        """Octets received, dropped ones included."""
        self.is_submitted = envelope.is_submitted
        self.has_lines = envelope.body != BINARYMIME
        self.lines = LineCheck() if self.is_submitted and self.has_lines else None
        self.may_be_long = False
        """Set once it is known that lines too long for DATA can be delivered to all recipients."""
        self.header: bytes | None = None
        """The header as it came; None until it is complete."""
        self.stored_header = b""
        """The header as stored, without forged results; an empty line if the message begins with a blank."""
        self.begins_with_blank = False
        self.stream: Stream | None = None
        self.scan: Scan | None = None
        """The scan of a streamed message, once it is complete."""
        self.refusal: Refusal | None = None
        self.at_end = False
        self.over = False
        """Set once it is given up, or no step before its acceptance is left."""
        self._buffer: list[bytes] = []
        self._buffered_octets = 0
        self._max_buffered = SMALL_OCTETS

    def add(self, octets: bytes) -> bool:
        """Take the next octets; return False if they were dropped."""
        self.octets += len(octets)
        if self.refusal is not None or self.over:
            return False
        if self.lines is not None:
            self.lines.feed(octets)
        self._buffer.append(octets)
        self._buffered_octets += len(octets)
        return True

    @property
    def is_full(self) -> bool:
        """Return whether more is buffered than should stay in memory."""
        return self._buffered_octets > self._max_buffered

    @property
    def buffered(self) -> bytes:
        """The buffered octets, joined."""
        octets = self._take_buffer()
        self._buffer, self._buffered_octets = [octets], len(octets)
        return octets

    def end(self) -> None:
        """Note that the last octet has come."""
        self.at_end = True
        if self.lines is not None:
            self.lines.end()

    def drop(self) -> Stream | None:
        """Forget the octets; return the stream to discard, if there is one."""
        self._buffer, self._buffered_octets = [], 0
        stream, self.stream = self.stream, None
        return stream

    # ------------------------------------------------------------ the header

    @property
    def header_limit(self) -> int:
        return MAX_HEADER_OCTETS if self.is_submitted else MAX_FOREIGN_HEADER_OCTETS

    def find_header(self) -> bool:
        """Look for the end of the header; return False while it may still come."""
        octets = self.buffered
        # in submitted mail the check of the author refuses the blank
        self.begins_with_blank = not self.is_submitted and octets.startswith(CONTINUATIONS)
        has_none = self.begins_with_blank or octets.startswith(EMPTY_LINE)
        end = 0 if has_none else octets.find(b"\r\n\r\n") + 2
        if end == 1:  # not found
            if not self.at_end and len(octets) <= self.header_limit:
                self._max_buffered = (
                    self.header_limit
                )  # so that the end is searched once more only, however small the pieces are
                return False
            end = len(octets)
        self.header = octets[:end]
        return True

    def has_bare_line_end(self) -> bool:
        """Return whether what has come holds a CR or LF alone; the scan tells it of a streamed message."""
        if not self.has_lines:
            return False
        if self.scan is not None:
            return bool(self.scan.bare_cr or self.scan.bare_lf)
        return has_bare(self.buffered if self.at_end else self.buffered.removesuffix(b"\r"))

    def whole_with(self, front: bytes) -> bytes:
        """Return the buffered message as it is stored, with `front` before its header."""
        assert self.header is not None
        return b"".join((front, self.stored_header, memoryview(self.buffered)[len(self.header) :]))

    def put_in_front(self, front: bytes) -> None:
        """Continue with the message as it is stored."""
        octets = self.whole_with(front)
        self._buffer, self._buffered_octets = [octets], len(octets)

    # ------------------------------------------------------------ the file

    async def begin_stream(self, stream: Stream) -> None:
        """Write what is buffered to a file, and scan it in its stored form."""
        self.stream = stream
        self._max_buffered = SLICE_OCTETS
        scanned = self.buffered if self.is_submitted else self.whole_with(b"")
        await stream.write_chunk(self._take_buffer(), scanned)

    async def write_out(self) -> None:
        """Write the next slice."""
        if self.stream is not None and self._buffer:
            octets = self._take_buffer()
            await self.stream.write_chunk(octets, octets)

    async def complete(self) -> None:
        """Write and scan the rest of a streamed message."""
        if self.stream is not None:
            await self.write_out()
            self.scan = await self.stream.finish()

    @property
    def source(self) -> bytes | Path:
        """The complete message: as it came, but for the lines in front of a submitted one."""
        return self.buffered if self.stream is None else Path(self.stream.sink.path)

    def _take_buffer(self) -> bytes:
        octets = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
        self._buffer, self._buffered_octets = [], 0
        return octets
