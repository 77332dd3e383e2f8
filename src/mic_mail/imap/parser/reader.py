"""The reader: from octets as they arrive to commands, one at a time. Sans-IO.

The same code runs in production, tests and fuzzing. In: `feed(octets)`. Out: `next()`, one event per call:

    NEED_INPUT         no event until the next `feed`
    Command            a whole command, its arguments decoded
    LongCommand        one that takes long to decode: `read()` returns the command, or the BadLine, in any thread
    LiteralRequested   the client waits for `+ ` before it sends an argument; send it and call `next` again
    Line               the one line that `expect_line` asked for: a SASL response, or DONE
    AppendMessage      a message is announced: call `accept()` or `refuse(...)` before the next `next`
    AppendChunk        octets of the accepted message, as they come; their sum is exactly the announced size
    AppendEnd          the command is complete
    BadLine            an unacceptable line, with the response to it; `fatal` means BYE and close

A command is collected up to `Limits.command_octets`, literals included. A longer one is never kept: it is skipped to its end,
as RFC 7888 §4 requires for non-synchronising literals, and then answered. Messages of an APPEND or a REPLACE are passed on,
never collected.
Every octet is read once by the search for line ends and once by the parser: time is linear, however the input is split.

Line ends are CRLF. A bare LF is accepted, as in Dovecot: nothing is relayed from here, so smuggling is no risk, and commands
typed by hand work. CR anywhere else is a syntax error. Empty lines are skipped: old clients send one after a literal.

Standards: RFC 9051 §2.2, §4.3, §6.3.12, §9; RFC 3502 (MULTIAPPEND); RFC 7888 (LITERAL+).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from mic_mail.imap.parser.append import append_options, replaced
from mic_mail.imap.parser.events import (
    NEED_INPUT,
    AppendChunk,
    AppendEnd,
    AppendMessage,
    BadLine,
    Event,
    Line,
    LiteralRequested,
    LongCommand,
    parsed,
)
from mic_mail.imap.parser.grammar import Grammar, head_of, tag_of
from mic_mail.imap.parser.lexer import Cursor, Fault, UnfinishedLiteral
from mic_mail.storage.types import MAX_ANNOTATION_OCTETS

_LITERAL_AT_END = re.compile(rb"~?\{([0-9]{1,19})(\+?)\}\Z")
_BLANK_LINES = re.compile(rb"(?:\r?\n)*+")  # some programs send one behind a literal; 160,000 are skipped in 5 ms
_LITERAL_MAX = 24  # octets of the longest announcement
_COMPACT_ABOVE = 64 * 1024
_CHUNK_OCTETS = 256 * 1024
_NOT_YET, _TOO_LONG = -1, -2
_SKIPPED_AT_LEAST = 256  # octets counted per skipped literal: an empty one costs as much as others
_WITH_MESSAGES = (b"APPEND", b"REPLACE")
_LONG_OCTETS = 8 * 1024  # 64 KiB of SEARCH or of ASCII names take 30 ms, of names in modified UTF-7 90 ms


@dataclass(frozen=True, slots=True)
class Limits:
    """The costs that a connection may cause.

    `skip_octets` of a refused command are skipped; beyond that the connection is closed.
    """

    command_octets: int
    """Octets of one command, literals included."""
    literal_octets: int
    """Octets of one literal that is an argument."""
    skip_octets: int
    patient: bool
    """False: a command beyond its limit ends the connection.

    True: it is answered and the next one is read.
    """
    literals: int = 1_000
    """Literals in one command."""
    is_signed_in: bool = True
    """False before sign-in: only commands that need none are parsed."""

    @classmethod
    @cache  # each connection has them
    def before_sign_in(cls) -> "Limits":
        """Return the limits before sign-in.

        They allow names and passwords, and an ID of at most 30 pairs of 30 and 1,024 octets (RFC 2971 §3.3).
        """
        return cls(36 * 1024, literal_octets=8 * 1024, skip_octets=16 * 1024, patient=False, literals=64, is_signed_in=False)

    @classmethod
    @cache
    def signed_in(cls, command_octets: int = 64 * 1024) -> "Limits":
        """Return the limits after sign-in.

        64 KiB as in Dovecot (imap_max_line_length): clients write sets of some thousand UIDs in one line.
        """
        return cls(command_octets, command_octets, skip_octets=256 * 1024 * 1024, patient=True)


def _nothing_more() -> Event:
    return NEED_INPUT


class Reader:
    """The input of one connection.

    Set `limits` after sign-in and `utf8` after ENABLE; both apply from the next command on.
    """

    def __init__(self, grammar: Grammar, limits: Limits) -> None:
        self._grammar = grammar
        self.limits = limits
        self.utf8 = False
        self.used = 0
        """Octets consumed by events since the connection began."""
        self._buffer = bytearray()
        self._start = 0  # start of the command
        self._line = 0  # start of its current line, behind its last literal
        self._scan = 0  # there is no line end before this
        self._literals = 0  # in the command so far
        self._begun = b"*", b""  # tag and name of a command with literals
        self._step: Callable[[], Event | None] = self._read_command
        self._refusal: BadLine | None = None  # the response after the rest of a refused command is skipped
        self._skipped = 0
        self._left = 0  # remaining octets of a literal: of a message, or to be skipped
        self._message: AppendMessage | None = None

    @property
    def buffered(self) -> int:
        """Octets that no event has consumed yet."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes) -> None:
        """Add received octets."""
        if self._step != self._deaf:
            self._buffer += data

    def close(self) -> None:
        """End the input, and break the reference cycle with the bound step method so that the reader is freed."""
        self._step = _nothing_more
        self._buffer = bytearray()

    def next(self) -> Event:
        """Return the next event; never raises, whatever was fed."""
        while True:
            event = self._step()
            if event is not None:
                return event

    def expect_line(self) -> None:
        """Read the next line as a `Line`; called when `+ ` is sent for AUTHENTICATE or IDLE."""
        self._step = self._read_line

    def accept(self) -> None:
        """Accept the announced message: its octets follow as AppendChunk."""
        self._step = self._read_message

    def refuse(self, status: bytes, text: bytes, code: bytes | None = None) -> None:
        """Refuse the announced message; `next` returns the BadLine once the client's octets are skipped."""
        assert self._message is not None
        self._turn_away(BadLine(self._message.tag, text, code, status), None if self._message.sync else self._message.size)

    def discard_input(self) -> None:
        """Discard the buffer: clear text behind STARTTLS must not be read as commands (RFC 9051 §6.2.1)."""
        self.take_input()

    def take_input(self) -> bytes:
        """Return and clear the buffer: behind COMPRESS it holds compressed data (RFC 4978 §3)."""
        rest = bytes(self._buffer[self._start :])
        self._buffer.clear()
        self._start = self._line = self._scan = self._literals = 0
        return rest

    # -------------------------------------------------------------- commands

    def _read_command(self) -> Event | None:
        buffer = self._buffer
        if not buffer:
            return NEED_INPUT
        stop = self._line_end()
        if stop == _NOT_YET:
            return NEED_INPUT
        if stop == _TOO_LONG:
            return self._overlong()
        end = stop - 1 if stop > self._line and buffer[stop - 1] == 0x0D else stop
        if end > self._line and buffer[end - 1] == 0x7D:  # }
            literal = _LITERAL_AT_END.search(buffer[max(self._line, end - _LITERAL_MAX) : end])
            if literal is not None:
                return self._begin_literal(stop + 1, int(literal[1]), sync=not literal[2])
        data = bytes(buffer[self._start : end])
        self._consume(stop + 1)
        if not data:
            blank = _BLANK_LINES.match(self._buffer, self._start)
            assert blank is not None
            self._consume(blank.end())
            return None
        if len(data) > _LONG_OCTETS and self.limits.is_signed_in:
            return LongCommand(data, self._grammar, self.utf8)
        return parsed(self._grammar, data, utf8=self.utf8, is_signed_in=self.limits.is_signed_in)

    def _begin_literal(self, begin: int, size: int, *, sync: bool) -> Event | None:
        """Handle a line that ends with `{size}`: an argument, a message to pass on, or a literal too large."""
        self._literals += 1
        if self._literals == 1 or self._begun[1] in _WITH_MESSAGES:  # the head is copied once, not for each literal
            head = bytes(self._buffer[self._start : begin])
            tag = tag_of(head)
            try:
                name = self._grammar.check_head(head, is_signed_in=self.limits.is_signed_in)
                if name in _WITH_MESSAGES:
                    message = self._append_message(head, tag, name)
                    if message is not None:
                        return self._announce(begin, message)
            except Fault as fault:
                self._consume(begin)
                self._turn_away(BadLine.of(tag, fault), None if sync else size)
                return None
            self._begun = tag, name
        tag, name = self._begun
        if self._literals > self.limits.literals:
            self._consume(begin)
            too_many = BadLine(tag, b"Too many literals", b"LIMIT", fatal=not self.limits.patient)
            self._turn_away(too_many, None if sync else size)
            return None
        if size > self.limits.literal_octets or begin - self._start + size > self.limits.command_octets:
            self._consume(begin)
            too_large = BadLine(tag, b"Literal too large", b"TOOBIG")
            if name == b"SETMETADATA" and self.limits.patient:  # RFC 5464 §4.3: NO, with the maximum size
                too_large = replace(too_large, code=b"METADATA MAXSIZE %d" % MAX_ANNOTATION_OCTETS, status=b"NO")
            self._turn_away(too_large, None if sync else size)
            return None
        self._line = self._scan = begin + size
        return LiteralRequested(tag, size) if sync else None

    def _line_end(self) -> int:
        """Return the index of the next line feed.

        _NOT_YET if there is none, _TOO_LONG if the command would exceed its limit.
        """
        stop = self._buffer.find(b"\n", self._scan)
        if stop < 0:
            self._scan = max(self._scan, len(self._buffer))
        reach = self._scan if stop < 0 else stop
        if reach - self._start > self.limits.command_octets:
            return _TOO_LONG
        return _NOT_YET if stop < 0 else stop

    def _overlong(self, tag: bytes | None = None) -> Event | None:
        """Skip a command beyond its limit to the end of its line."""
        if tag is None:
            tag = tag_of(bytes(self._buffer[self._start : self._start + self.limits.command_octets]))
        self._start = max(self._start, self._line)
        self._turn_away(BadLine(tag, b"Command too long", b"LIMIT", fatal=not self.limits.patient), 0)
        return None

    # -------------------------------------------------------------- APPEND

    def _append_message(self, head: bytes, tag: bytes, name: bytes) -> AppendMessage | None:
        """Return the message that `head` announces; None if its literal is the mailbox name."""
        found = head_of(head)
        cursor = Cursor(head, found.end(), utf8=self.utf8)
        cursor.skip_spaces()
        replaces = replaced(cursor) if name == b"REPLACE" else None
        try:
            mailbox = cursor.mailbox()
        except UnfinishedLiteral:
            return None
        written = cursor.written
        return AppendMessage(tag, mailbox, 0, *append_options(cursor), written, replaces, found[2] is not None)

    def _announce(self, begin: int, message: AppendMessage) -> AppendMessage:
        self._consume(begin)
        self._message = message
        self._left = message.size
        self._step = _nothing_more  # until `accept` or `refuse`
        return message

    def _read_message(self) -> Event | None:
        if self._left == 0:
            self._step = self._read_after_message
            return None
        stop = min(len(self._buffer), self._start + min(self._left, _CHUNK_OCTETS))
        if stop == self._start:
            return NEED_INPUT
        chunk = AppendChunk(bytes(self._buffer[self._start : stop]))
        self._left -= stop - self._start
        self._consume(stop)
        return chunk

    def _read_after_message(self) -> Event | None:
        """Read the rest of the line behind a message: its end, or the next announcement (RFC 3502)."""
        assert self._message is not None
        message = self._message
        stop = self._line_end()
        if stop == _NOT_YET:
            return NEED_INPUT
        if stop == _TOO_LONG:
            return self._overlong(message.tag)
        cursor = Cursor(bytes(self._buffer[self._start : stop + 1]))
        self._consume(stop + 1)
        try:
            return self._after_message(cursor, message)
        except Fault as fault:
            literal = _LITERAL_AT_END.search(cursor.data.rstrip(b"\r\n"))
            size = int(literal[1]) if literal and literal[2] else None
            self._turn_away(BadLine.of(message.tag, fault), size)
            return None

    def _after_message(self, cursor: Cursor, message: AppendMessage) -> Event:
        if message.options.utf8 and not cursor.take(b")"):
            raise Fault(b"Syntax error: parenthesis expected")
        if not cursor.data[cursor.position :].strip(b" \r\n"):
            self._message = None
            self._step = self._read_command
            return AppendEnd(message.tag, message.mailbox, message.index + 1)
        if message.replaces is not None:
            raise Fault(b"One message replaces one")  # RFC 8508 §4.7
        following = AppendMessage(message.tag, message.mailbox, message.index + 1, *append_options(cursor))
        return self._announce(self._start, following)

    # -------------------------------------------------------------- other lines

    def _read_line(self) -> Event | None:
        stop = self._line_end()
        if stop == _NOT_YET:
            return NEED_INPUT
        if stop == _TOO_LONG:
            return self._overlong(b"*")
        data = bytes(self._buffer[self._start : stop])
        self._consume(stop + 1)
        self._step = self._read_command
        return Line(data.removesuffix(b"\r"))

    # -------------------------------------------------------------- skipping refused input

    def _turn_away(self, refusal: BadLine, size: int | None) -> None:
        """Answer immediately if the client waits (`size` is None), else after skipping its octets.

        These are `size` octets and the line that follows.
        """
        self._message = None
        self._refusal = refusal
        if refusal.fatal or (size or 0) > self.limits.skip_octets:
            self._give_up()
        elif size is None:
            self._step = self._answer_refusal
        else:
            self._left = self._skipped = size
            self._step = self._skip_literal

    def _give_up(self) -> None:
        """End the connection with the response: there is more to skip than the limit allows."""
        assert self._refusal is not None
        self._refusal = replace(self._refusal, fatal=True)
        self.take_input()
        self._step = self._answer_refusal

    def _answer_refusal(self) -> Event | None:
        assert self._refusal is not None
        refusal, self._refusal = self._refusal, None
        self._step = self._deaf if refusal.fatal else self._read_command
        return refusal

    def _skip_literal(self) -> Event | None:
        stop = min(len(self._buffer), self._start + self._left)
        self._left -= stop - self._start
        self._consume(stop)
        if self._left:
            return NEED_INPUT
        self._step = self._skip_line
        return None

    def _skip_line(self) -> Event | None:
        """Skip to the end of the line.

        `{n+}` there continues the same command (RFC 7888 §3); behind `{n}` the client waits.
        """
        stop = self._buffer.find(b"\n", self._scan)
        tail_at = max(self._start, (len(self._buffer) if stop < 0 else stop) - _LITERAL_MAX - 1)
        self._skipped += tail_at - self._start
        if self._skipped > self.limits.skip_octets:
            self._give_up()
            return None
        if stop < 0:
            self._consume(tail_at)
            self._scan = len(self._buffer)
            return NEED_INPUT
        literal = _LITERAL_AT_END.search(bytes(self._buffer[tail_at:stop]).removesuffix(b"\r"))
        self._consume(stop + 1)
        self._step = self._answer_refusal
        if literal is not None and literal[2]:
            self._left = int(literal[1])
            self._skipped += max(self._left, _SKIPPED_AT_LEAST)
            self._step = self._skip_literal
            if self._skipped > self.limits.skip_octets:
                self._give_up()
        return None

    def _deaf(self) -> Event | None:
        return NEED_INPUT

    # -------------------------------------------------------------- the buffer

    def _consume(self, stop: int) -> None:
        """Mark octets before `stop` as used; they are removed from the buffer in large steps."""
        self.used += stop - self._start
        self._literals = 0
        if stop == len(self._buffer):
            self._buffer.clear()
            stop = 0
        elif stop > _COMPACT_ABOVE:
            del self._buffer[:stop]
            stop = 0
        self._start = self._line = self._scan = stop
