"""One incoming message: buffered while it is small, streamed to disk when it is not.

In: the octets of a message as the listener decoded them. Out: an `Outcome`. Up to `SMALL_OCTETS` a message is buffered
in memory and published in one step. A larger one is written to its file in slices while the scanner reads them; one
slice is in progress while the next arrives. A bare CR or LF (RFC 5321 §2.3.8) is searched in the buffered part when the
header is complete; in the rest the scanner counts them. Submitted mail must hold no NUL, and no line that DATA cannot
carry if a recipient is on another server (decision 0099). A refusal is made as soon as it is certain; the rest of the
message is then counted and dropped, and the client gets the reply at the end of the message, where it reads it (RFC 5321
§4.2.5). The message's own octets are never changed. Lines are put in front of them, and header fields that claim to be
this server's authentication results are removed (RFC 8601 §5). A message that begins with a blank has no header, and its
first line would continue our last one: an empty line is put between them, as Postfix does, and all that came is body.

The lines in front of submitted mail are known when its header is complete, and its file is written once. For mail from
other servers they are known when the whole message has been checked: until then a large message is in an unnamed file,
as it came; then the lines in front, its header and the rest, by `copy_file_range`, become the final file.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Protocol, TypeVar

from mic_mail.mime.imap_structure import Answers, answers
from mic_mail.mime.line_endings import has_bare
from mic_mail.mime.line_limits import LineCheck
from mic_mail.mime.scanner import Scanner, with_head
from mic_mail.mime.structure import Scan
from mic_mail.process.executors import Executors
from mic_mail.services.transport.envelope import BINARYMIME, Cause, Envelope, Outcome, Refusal, Role

T = TypeVar("T")
SMALL_OCTETS = 131_072
SLICE_OCTETS = 262_144
MAX_HEADER_OCTETS = 262_144
"""Header limit of submitted mail, whose author must be known before the first octet is written."""
MAX_FOREIGN_HEADER_OCTETS = MAX_HEADER_OCTETS - 32_768
"""Header limit of mail from other servers.

With the lines in front the header is no longer than the index can hold.
"""
CONTINUATIONS = (b" ", b"\t")
"""The first octets of a line that continues the one before it (RFC 5322 §2.2.3)."""
EMPTY_LINE = b"\r\n"


class Sink(Protocol):
    """The destination of a large message: a mailbox's staged file, a spool draft, or a scratch file."""

    @property
    def path(self) -> str:
        """The file's path, for checks that read it before it is published."""
        ...

    def write(self, octets: bytes, /) -> None: ...
    def finish(self) -> None: ...
    def discard(self) -> None: ...


class Headings(Protocol):
    """The part of `trace_and_headers` that `IncomingMessage` uses."""

    def head(self, envelope: Envelope, results: bytes = b"", /) -> bytes:
        """Return the trace lines, with the results of the checks among them."""
        ...

    async def check(self, envelope: Envelope, header: bytes) -> Refusal | bytes:
        """Return why a message with this header is refused, or the lines to add to it."""
        ...

    async def cleaned(self, envelope: Envelope, header: bytes) -> bytes:
        """Return the header as it is stored."""
        ...

    async def judge(self, envelope: Envelope, source: bytes | Path, header: bytes) -> Refusal | bytes:
        """Check a message from another server: return a refusal, or the results as header lines."""
        ...


class Flow(Protocol):
    """The part of `Pipeline` that `IncomingMessage` uses: its limits, and the steps of acceptance."""

    @property
    def message_octets(self) -> int: ...
    @property
    def attachment_octets(self) -> int: ...
    async def copy_with_headers(self, envelope: Envelope, scratch: Sink, head: bytes, offset: int) -> Sink:
        """Return the final file: `head`, and what came from `offset` on; durable."""
        ...

    async def carries_long_lines(self, envelope: Envelope) -> bool:
        """Return whether lines too long for DATA can be delivered to all recipients."""
        ...

    def refusal_of(self, envelope: Envelope, error: Exception) -> Refusal: ...
    def refused(self, envelope: Envelope, refusal: Refusal) -> Refusal:
        """Log the refusal."""
        ...

    async def accept_buffered(self, envelope: Envelope, octets: bytes, received_octets: int) -> Outcome: ...
    async def open_stream(self, envelope: Envelope) -> "Stream": ...
    async def accept_stream(self, envelope: Envelope, sink: Sink, answered: Answers, received_octets: int) -> Outcome: ...
    def start(self, errand: Coroutine[object, object, object]) -> object: ...
    async def run_to_its_end(self, errand: Coroutine[object, object, Outcome]) -> Outcome: ...


class Stream:
    """Writes and scans a large message, a slice at a time, in executors."""

    def __init__(self, lanes: Executors, sink: Sink) -> None:
        self._lanes = lanes
        self.sink = sink
        self._scanner = Scanner()
        self._writing: asyncio.Future[None] | None = None
        self._scanning: asyncio.Future[None] | None = None

    @property
    def attachment_octets(self) -> int:
        return self._scanner.attachment_octets

    async def write_chunk(self, octets: bytes, scanned: bytes | None = None) -> None:
        """Write the next slice once the previous one is done.

        `scanned` is the stored form of the slice, if it differs.
        """
        await self.drain()
        self._writing = self._lanes.io_lane.submit(self.sink.write, octets)
        self._scanning = self._lanes.cpu_lane.submit(self._scanner.feed, octets if scanned is None else scanned)

    async def drain(self) -> None:
        """Wait until nothing is in progress. Work in a thread is never cancelled, as it owns the file."""
        for future in (self._writing, self._scanning):
            if future is not None:
                await asyncio.shield(future)

    async def finish(self) -> Scan:
        """Make the content durable, if the sink does that, and return the scan."""
        await self.drain()
        self._writing = self._lanes.io_lane.submit(self.sink.finish)
        scan = await self._lanes.cpu(self._scanner.finish)
        await self.drain()
        return scan

    async def replace_sink(self, kept: Sink) -> None:
        """Continue with another file, which is durable; discard the first."""
        scratch, self.sink = self.sink, kept
        await self._lanes.io(scratch.discard)

    async def cpu(self, fn: Callable[[], T]) -> T:
        return await self._lanes.cpu(fn)

    async def discard(self) -> None:
        """Remove the file. Errors are ignored: the message is given up."""
        for future in (self._writing, self._scanning):
            if future is not None:
                await asyncio.wait([future])
                if not future.cancelled():
                    future.exception()  # retrieve it, or the loop complains about it
        await self._lanes.io(self.sink.discard)


class IncomingMessage:
    """One message: call `write` as it comes, then `finish` or `abort`."""

    def __init__(self, flow: Flow, headings: Headings, envelope: Envelope) -> None:
        self._flow = flow
        self._headings = headings
        self.envelope = envelope
        self.octets = 0
        self._has_lines = envelope.body != BINARYMIME
        self._held: list[bytes] = []
        self._held_octets = 0
        self._most_held = SMALL_OCTETS
        self._is_submitted = envelope.client.role is Role.SUBMISSION
        self._lines = LineCheck() if self._is_submitted and self._has_lines else None
        self._may_be_long = False
        """Set once it is known that lines too long for DATA can be delivered to all recipients."""
        self._header: bytes | None = None
        """The header as it came; None until it is complete."""
        self._stored_header = b""
        """The header as stored, without forged results; an empty line if the message begins with a blank."""
        self._stream: Stream | None = None
        self._refusal: Refusal | None = None
        self._over = False

    async def write(self, octets: bytes) -> None:
        """Take the next octets; wait while the disk is behind."""
        self.octets += len(octets)
        if self._refusal is not None or self._over:
            return
        if self._lines is not None:
            self._lines.feed(octets)
            if await self._refuses_lines(self._lines):
                return
        self._held.append(octets)
        self._held_octets += len(octets)
        if self.octets > self._flow.message_octets:
            self._refuse_size(Cause.MESSAGE_TOO_LARGE, self._flow.message_octets)
        elif self._held_octets > self._most_held:
            await self._pass_on()

    async def finish(self) -> Outcome:
        """Make the complete message durable. A step that has begun is not undone by cancellation."""
        if self._lines is not None and self._refusal is None:
            self._lines.end()
            await self._refuses_lines(self._lines)
        if self._refusal is None and not self._over:
            try:
                await self._read_header(whole=True)
            except Exception as error:  # noqa: BLE001 - as in `_pass_on`
                self._refuse_with(self._flow.refusal_of(self.envelope, error))
        self._over = True
        if self._refusal is None and self._stream is None:
            octets = self._take_held()
            octets = octets if self._is_submitted else await self._judged(octets)
            if self._refusal is None:
                return await self._flow.accept_buffered(self.envelope, octets, self.octets)
        if self._refusal is not None:
            return self._flow.refused(self.envelope, self._refusal)
        assert self._stream is not None
        return await self._flow.run_to_its_end(self._finish_stream(self._stream))

    async def _judged(self, octets: bytes) -> bytes:
        """Return a small message from another server as it is stored; empty if it is refused."""
        assert self._header is not None
        try:
            head = await self._judged_head(octets)
        except Exception as error:  # noqa: BLE001 - as in `_pass_on`
            self._refusal = self._flow.refusal_of(self.envelope, error)
            return b""
        return head + octets[len(self._header) :]

    async def _judged_head(self, source: bytes | Path) -> bytes:
        """Return everything in front of the body of a message from another server, its own header included."""
        assert self._header is not None
        results = await self._headings.judge(self.envelope, source, self._header)
        if isinstance(results, Refusal):
            self._refusal = results
            return b""
        return self._headings.head(self.envelope, results) + self._stored_header

    def abort(self) -> None:
        """Give the message up. Harmless after `finish`."""
        if not self._over:
            self._over = True
            self._forget()

    # ------------------------------------------------------------ in slices

    async def _pass_on(self) -> None:
        try:
            if not await self._read_header(whole=False):
                return
            octets = self._take_held()
            if self._stream is None:
                self._stream = await self._flow.open_stream(self.envelope)
                self._most_held = SLICE_OCTETS
                await self._stream.write_chunk(octets, self._scanned(octets))
            else:
                await self._stream.write_chunk(octets)
        except Exception as error:  # noqa: BLE001 - the client gets a temporary refusal, the details are logged
            self._refuse_with(self._flow.refusal_of(self.envelope, error))

    def _check_attachments(self, octets: int) -> None:
        """Refuse attachments over the limit (Reg. 8.3.b): 20 MiB exactly pass, one octet more does not.

        Checked at the end, so that the reply states the whole size.
        """
        if octets > self._flow.attachment_octets:
            self._refuse_size(Cause.ATTACHMENTS_TOO_LARGE, octets)

    def _scanned(self, octets: bytes) -> bytes | None:
        """Return the stored form of the message's first slice, if it differs from what came."""
        if self._is_submitted or self._header is None:
            return None
        return self._stored_header + octets[len(self._header) :]

    async def _finish_stream(self, stream: Stream) -> Outcome:
        try:
            if self._held:
                await stream.write_chunk(self._take_held())
            scan = await stream.finish()
            self._check_attachments(scan.attachment_octets)
            if self._has_lines and (scan.bare_cr or scan.bare_lf):
                self._refusal = self.envelope.refusal(Cause.BARE_LINE_END)
            if self._refusal is None:
                return await self._accept_stream(stream, scan)
        except Exception as error:  # noqa: BLE001 - as in `_pass_on`
            self._refusal = self._flow.refusal_of(self.envelope, error)
        await stream.discard()
        return self._flow.refused(self.envelope, self._refusal)

    async def _accept_stream(self, stream: Stream, scan: Scan) -> Outcome:
        """Accept a scanned message whose content is durable, or will be in the final file."""
        if self._is_submitted:
            answered = await stream.cpu(lambda: answers(scan))
            return await self._flow.accept_stream(self.envelope, stream.sink, answered, self.octets)
        assert self._header is not None
        head = await self._judged_head(Path(stream.sink.path))
        if self._refusal is not None:
            await stream.discard()
            return self._flow.refused(self.envelope, self._refusal)
        await stream.replace_sink(await self._flow.copy_with_headers(self.envelope, stream.sink, head, len(self._header)))
        front = head.removesuffix(self._stored_header)
        answered = await stream.cpu(lambda: answers(with_head(scan, front)))
        return await self._flow.accept_stream(self.envelope, stream.sink, answered, self.octets)

    def _take_held(self) -> bytes:
        octets = b"".join(self._held)
        self._held, self._held_octets = [], 0
        return octets

    # ------------------------------------------------------------ the head

    async def _read_header(self, *, whole: bool) -> bool:
        """Read and check the header; put the lines that belong there in front of a submitted message.

        Return False if the header is not complete yet, or is refused.
        """
        if self._header is not None:
            return True
        octets = self._take_held()
        if self._has_lines and has_bare(octets if whole else octets.removesuffix(b"\r")):
            self._refuse_with(self.envelope.refusal(Cause.BARE_LINE_END))
            return False
        goes_on = not self._is_submitted and octets.startswith(CONTINUATIONS)  # in submitted mail the header check refuses it
        end = 0 if goes_on or octets.startswith(EMPTY_LINE) else octets.find(b"\r\n\r\n") + 2
        limit = MAX_HEADER_OCTETS if self._is_submitted else MAX_FOREIGN_HEADER_OCTETS
        if end == 1:  # not found
            if not whole and len(octets) <= limit:
                self._held, self._held_octets = [octets], len(octets)
                self._most_held = limit  # so that the end is searched once more only, however small the pieces are
                return False
            end = len(octets)
        if end > limit:
            self._refuse_with(self.envelope.refusal(Cause.HEADER_TOO_LARGE))
            return False
        more = await self._headings.check(self.envelope, octets[:end])
        if isinstance(more, Refusal):
            self._refuse_with(more)
            return False
        self._header = octets[:end]
        self._stored_header = EMPTY_LINE if goes_on else await self._headings.cleaned(self.envelope, self._header)
        if self._is_submitted:
            octets = self._headings.head(self.envelope) + more + self._stored_header + octets[end:]
        self._held, self._held_octets = [octets], len(octets)
        return True

    # ------------------------------------------------------------ refusing

    async def _refuses_lines(self, lines: LineCheck) -> bool:
        """Refuse NUL, which RFC 5322 §4 forbids, and lines that the recipients' servers do not take."""
        if lines.nul:
            self._refuse_with(self.envelope.refusal(Cause.NUL_OCTET, line=str(lines.nul)))
        elif lines.too_long and not self._may_be_long:
            self._may_be_long = await self._flow.carries_long_lines(self.envelope)
            if not self._may_be_long:
                self._refuse_with(self.envelope.refusal(Cause.TEXT_LINE_TOO_LONG, line=str(lines.too_long)))
        return self._refusal is not None

    def _refuse_size(self, cause: Cause, octets: int) -> None:
        self._refuse_with(self.envelope.refusal(cause, size_octets=octets, limit_octets=self._flow.attachment_octets))

    def _refuse_with(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._forget()

    def _forget(self) -> None:
        self._held, self._held_octets = [], 0
        stream, self._stream = self._stream, None
        if stream is not None:
            self._flow.start(stream.discard())
