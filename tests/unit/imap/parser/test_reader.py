"""The reader: the same events however the octets are cut, limits in every state, literals of all kinds."""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.auth.sasl import decode_base64
from mic_mail.imap.command_table import GRAMMAR
from mic_mail.imap.parser import grammar
from mic_mail.imap.parser.append import AppendOptions
from mic_mail.imap.parser.command import Command, FlagList
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
)
from mic_mail.imap.parser.number_set import parse_set
from mic_mail.imap.parser.reader import Limits, Reader
from mic_mail.imap.parser.search import Search
from mic_mail.imap.parser.session import NO_ARGUMENTS, Authenticate, Compress, Id, Login

STREAM = (
    b"a LOGIN {4+}\r\ndvbe \"x\"\r\n"
    b"\r\n"
    b"b NOOP\n"
    b"c FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (From {4+}\r\nDate)])\r\n"
    b"d FOO {5+}\r\nhello\r\n"
    b"e APPEND {4+}\r\nSent (\\Seen) {5+}\r\nab\r\nc (\\Draft) ~{3+}\r\n\x00\r\n\r\n"
    b"f IDLE\r\nDONE\r\n"
    b"g UID SEARCH CHARSET UTF-8 UNDELETED BODY {5+}\r\n\xc4\x91\xc3\xa1x\r\n"
    b"h APPEND x (\\Foo) {3+}\r\nabc{2+}\r\nde\r\n"
    b"i APPEND y {2+}\r\nzz oops\r\n"
    b"j SELECT \"a{3+}\"\r\n"
    b"\x00\xff{9+}\r\n123456789\r\n"
    b"k LOGOUT\r\n"
)  # fmt: skip


def drain(reader: Reader) -> list[Event]:
    """All events until more input is needed; messages are accepted, IDLE is answered, chunks are put together."""
    events: list[Event] = []
    while (event := reader.next()) is not NEED_INPUT:
        if isinstance(event, LongCommand):
            event = event.read()
        if isinstance(event, AppendMessage):
            reader.accept()
        elif isinstance(event, Command) and event.name == "IDLE":
            reader.expect_line()
        events.append(event)
    return events


def joined(events: list[Event]) -> list[Event]:
    """The events with neighbouring chunks made one: where they are cut depends on how the octets came."""
    result: list[Event] = []
    for event in events:
        if isinstance(event, AppendChunk) and result and isinstance(result[-1], AppendChunk):
            result[-1] = AppendChunk(result[-1].data + event.data)
        else:
            result.append(event)
    return result


def whole(stream: bytes, limits: Limits | None = None) -> list[Event]:
    """The events of a stream that came in one piece."""
    reader = Reader(GRAMMAR, limits or Limits.signed_in())
    reader.feed(stream)
    return joined(drain(reader))


def test_a_stream_of_pipelined_commands() -> None:
    """Commands that came in one packet are read in order, each exactly once (RFC 9051 §5.5)."""
    kinds = [event.name if isinstance(event, Command) else type(event).__name__ for event in whole(STREAM)]
    assert kinds == [
        *["LOGIN", "NOOP", "FETCH", "BadLine", "AppendMessage", "AppendChunk", "AppendMessage", "AppendChunk", "AppendEnd"],
        *["IDLE", "Line", "SEARCH", "BadLine", "AppendMessage", "AppendChunk", "BadLine", "SELECT", "BadLine", "LOGOUT"],
    ]


def test_cut_at_every_place() -> None:
    """Any two pieces give what the whole gives."""
    expected = whole(STREAM)
    for cut in range(len(STREAM) + 1):
        reader = Reader(GRAMMAR, Limits.signed_in())
        reader.feed(STREAM[:cut])
        events = drain(reader)
        reader.feed(STREAM[cut:])
        assert joined(events + drain(reader)) == expected, cut


def test_octet_by_octet() -> None:
    """One octet at a time gives what the whole gives."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    events: list[Event] = []
    for octet in STREAM:
        reader.feed(bytes([octet]))
        events += drain(reader)
    assert joined(events) == whole(STREAM)


_PIECES = st.sampled_from(
    [
        b"a NOOP\r\n", b"\r\n", b"\n", b"\r", b"a ", b"x LOGIN ", b"{3+}\r\n", b"{3}\r\n", b"~{2+}\r\n", b"abc",
        b"{99999999999999999999}\r\n", b"{70000+}\r\n", b'"', b"\\", b"(", b")", b"b APPEND x ", b"(\\Seen) ",
        b"c FETCH 1:* (FLAGS BODY[HEADER.FIELDS (a)]<0.5>)\r\n", b"d UID SEARCH OR NOT (SEEN) 1:*,3 ", b"\xff\x00",
        b"UTF8 (", b"e SELECT &AOk- (QRESYNC (1 2 3))\r\n", b"*", b"%", b"IDLE\r\n", b"f ID NIL\r\n", b"DONE\r\n",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(stream=st.one_of(st.lists(_PIECES, max_size=20).map(b"".join), st.binary(max_size=200)), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("limits", [Limits.signed_in(), Limits.before_sign_in(), Limits(40, 40, 100, patient=True)])
def test_any_octets_in_any_pieces(limits: Limits, stream: bytes, seed: int) -> None:
    """Whatever comes, nothing is raised, the pieces do not matter, and what is held stays within the limit."""
    rng = random.Random(seed)
    reader = Reader(GRAMMAR, limits)
    events: list[Event] = []
    at = 0
    while at < len(stream):
        step = rng.randint(1, 12)
        reader.feed(stream[at : at + step])
        at += step
        events += drain(reader)
        assert reader.buffered <= limits.command_octets + 12
    assert joined(events) == whole(stream, limits)


def test_a_synchronising_literal_waits_for_its_go_ahead() -> None:
    """RFC 9051 §4.3: the server is asked before the octets come, once per literal."""
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    reader.feed(b"a LOGIN {4}\r\n")
    assert drain(reader) == [LiteralRequested(b"a", 4)]
    reader.feed(b"dvbe {6}\r\n")
    assert drain(reader) == [LiteralRequested(b"a", 6)]
    reader.feed(b"x\r\n{3}\r\nb NOOP\r\n")
    assert drain(reader) == [Command(b"a", "LOGIN", Login("dvbe", "x\r\n{3}")), Command(b"b", "NOOP", NO_ARGUMENTS)]


def test_no_literal_is_asked_for_that_cannot_be_used() -> None:
    """An unknown command, or one with a syntax error in front of the message, gets its answer instead of `+`."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a FOO {10}\r\nb APPEND x (\\Foo) {10}\r\nc NOOP\r\n")
    first, second, third = drain(reader)
    assert isinstance(first, BadLine)
    assert isinstance(second, BadLine)
    assert third == Command(b"c", "NOOP", NO_ARGUMENTS)


def test_a_literal_beyond_the_limit() -> None:
    """Too large an argument is [TOOBIG]: at once where the client waits, else behind its octets, which nobody keeps."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a SELECT {70000}\r\nb NOOP\r\n")
    assert drain(reader) == [BadLine(b"a", b"Literal too large", b"TOOBIG"), Command(b"b", "NOOP", NO_ARGUMENTS)]
    reader.feed(b"c SELECT {70000+}\r\n")
    for _ in range(70):
        reader.feed(b"x" * 1000)
        assert drain(reader) == []
        assert reader.buffered < 100
    reader.feed(b" {3+}\r\nabc\r\nd NOOP\r\n")
    assert drain(reader) == [BadLine(b"c", b"Literal too large", b"TOOBIG"), Command(b"d", "NOOP", NO_ARGUMENTS)]


def test_many_small_literals_count_together() -> None:
    """The limit is on the command, not on the piece."""
    reader = Reader(GRAMMAR, Limits(100, 100, 1000, patient=True))
    reader.feed(b"a SEARCH " + b"BODY {20+}\r\n" * 1 + b"x" * 20 + b" BODY {60+}\r\n" + b"y" * 60 + b"\r\nb NOOP\r\n")
    assert drain(reader) == [BadLine(b"a", b"Literal too large", b"TOOBIG"), Command(b"b", "NOOP", NO_ARGUMENTS)]


def test_an_id_of_full_length_before_sign_in() -> None:
    """RFC 2971 §3.3 allows 30 pairs of 30 and 1,024 octets: they are taken, in one line."""
    pairs = b" ".join(b'"%030d" "%s"' % (i, b"x" * 1024) for i in range(30))
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    reader.feed(b"a ID (" + pairs + b")\r\n")
    event = reader.next()
    assert isinstance(event, Command)
    assert isinstance(event.arguments, Id)
    assert len(event.arguments.fields or ()) == 30


def test_strangers_are_kept_short() -> None:
    """Before sign-in a literal of more than 8 KiB is refused, and more than 36 KiB in one command ends the connection."""
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    reader.feed(b"a LOGIN {8193}\r\nb LOGIN {8193+}\r\n" + b"x" * 8193 + b" x\r\nc NOOP\r\n")
    too_big = [BadLine(tag, b"Literal too large", b"TOOBIG") for tag in (b"a", b"b")]
    assert drain(reader) == [*too_big, Command(b"c", "NOOP", NO_ARGUMENTS)]
    for stream in (b"a LOGIN " + b"x" * 40000, b"a LOGIN {20000+}\r\n" + b"x" * 20000, b"a" * 40000 + b"\r\n"):
        reader = Reader(GRAMMAR, Limits.before_sign_in())
        reader.feed(stream)
        events = drain(reader)
        assert [event.fatal for event in events if isinstance(event, BadLine)] == [True]
        assert reader.buffered == 0
        reader.feed(b"b NOOP\r\n")  # deaf from now on
        assert drain(reader) == []
        assert reader.buffered == 0


def test_of_strangers_only_what_they_may_say_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments of other commands cost nothing, and no literal or message of theirs is waited for."""
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    monkeypatch.setattr(grammar, "Cursor", lambda *given, **named: pytest.fail("arguments were read"))
    for command in (b"SEARCH " + b"SEEN " * 6000, b"NOTIFY (", b"SELECT {4}", b"SELECT {4+}\r\nx\r\ny", b"APPEND x {4}"):
        reader.feed(b"a " + command + b"\r\n")
        assert drain(reader) == [BadLine(b"a", b"Sign in first.")], command


def test_strangers_have_few_literals() -> None:
    """As many as an ID of 30 pairs has; with more the connection ends."""
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    reader.feed(b"a ID (" + b"{1+}\r\nx " * 60 + b")\r\n")
    event = reader.next()
    assert isinstance(event, Command)
    assert isinstance(event.arguments, Id)
    reader.feed(b"b ID (" + b"{1+}\r\nx " * 4500 + b")\r\n")
    assert drain(reader) == [BadLine(b"b", b"Too many literals", b"LIMIT", fatal=True)]
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    reader.feed(b"a SEARCH" + b" {1+}\r\nx" * 60 + b"\r\nb SEARCH" + b" {1+}\r\nx" * 1500 + b"\r\n")
    assert drain(reader) == [BadLine(b"a", b"Sign in first."), BadLine(b"b", b"Sign in first.", fatal=True)]


def test_an_id_of_too_many_fields() -> None:
    """More than 30 pairs must not be sent (RFC 2971 §3.3); to read thousands took 20 ms each time."""
    for limits in (Limits.before_sign_in(), Limits.signed_in()):
        reader = Reader(GRAMMAR, limits)
        reader.feed(b"a ID (" + b'"x" ' * 8900 + b")\r\n")
        assert drain(reader) == [BadLine(b"a", b"Too many fields")]


def test_the_head_of_a_command_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again at each literal, with all that stands before it; of the next command it is another."""
    heads = []
    check = grammar.Grammar.check_head
    monkeypatch.setattr(
        grammar.Grammar, "check_head", lambda self, data, **named: (heads.append(data), check(self, data, **named))[1]
    )
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a SEARCH" + b" BODY {1+}\r\nx" * 1000 + b"\r\nb SELECT {1}\r\n")
    search, asked = drain(reader)
    assert isinstance(search, Command)
    assert isinstance(search.arguments, Search)
    assert asked == LiteralRequested(b"b", 1)
    assert heads == [b"a SEARCH BODY {1+}\r\n", b"b SELECT {1}\r\n"]
    reader.feed(b"x\r\nc SEARCH" + b" BODY {1+}\r\nx" * 1001 + b"\r\nd NOOP\r\n")
    assert drain(reader)[1:] == [BadLine(b"c", b"Too many literals", b"LIMIT"), Command(b"d", "NOOP", NO_ARGUMENTS)]


def test_a_long_line_after_sign_in_is_answered_and_passed_over() -> None:
    """A command of more than 64 KiB is BAD with its tag; the next one is read."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a UID FETCH " + b"1," * 40000)
    assert drain(reader) == []
    assert reader.buffered < 100
    reader.feed(b"1 FLAGS\r\nb NOOP\r\n")
    assert drain(reader) == [BadLine(b"a", b"Command too long", b"LIMIT"), Command(b"b", "NOOP", NO_ARGUMENTS)]


def test_a_refused_message_is_passed_over_unless_the_client_waits() -> None:
    """RFC 7888 §4, RFC 3502: the answer to a refused `{n+}` comes behind all octets of the command, to `{n}` at once."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a APPEND x {10+}\r\n")
    assert isinstance(reader.next(), AppendMessage)
    reader.refuse(b"NO", b"Too large", b"TOOBIG")
    reader.feed(b"0123456789 (\\Seen) {5+}\r\n")
    assert drain(reader) == []
    reader.feed(b"abcde\r\nb NOOP\r\n")
    assert drain(reader) == [BadLine(b"a", b"Too large", b"TOOBIG", b"NO"), Command(b"b", "NOOP", NO_ARGUMENTS)]
    reader.feed(b"c APPEND x {10}\r\n")
    assert isinstance(reader.next(), AppendMessage)
    reader.refuse(b"NO", b"Too large", b"TOOBIG")
    reader.feed(b"d NOOP\r\n")
    assert drain(reader) == [BadLine(b"c", b"Too large", b"TOOBIG", b"NO"), Command(b"d", "NOOP", NO_ARGUMENTS)]


@pytest.mark.parametrize(("name", "by_uid"), [(b"REPLACE", False), (b"uid replace", True)])
def test_a_replacement_is_announced_like_a_message(name: bytes, by_uid: bool) -> None:
    """RFC 8508 §5: one number, a mailbox, then what APPEND has; a second message is BAD, its octets are passed over (§4.7)."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a " + name + b" 7 Drafts (\\Draft) {1+}\r\n1 {2+}\r\n22\r\nz NOOP\r\n")
    event = reader.next()
    options = AppendOptions(FlagList(16))
    assert event == AppendMessage(b"a", "Drafts", 0, options, 1, sync=False, replaces=parse_set(b"7"), by_uid=by_uid)
    reader.accept()
    assert drain(reader) == [AppendChunk(b"1"), BadLine(b"a", b"One message replaces one"), Command(b"z", "NOOP", NO_ARGUMENTS)]


@pytest.mark.parametrize("literal", [b"{70000+}\r\n" + b"x" * 70000 + b")\r\n", b"~{70000}\r\n"])
def test_a_value_too_large_for_a_command_is_refused_as_metadata(literal: bytes) -> None:
    """RFC 5464 §4.3: NO with MAXSIZE, not the BAD of other literals."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a SETMETADATA x (/shared/a " + literal + b"z NOOP\r\n")
    refused = BadLine(b"a", b"Literal too large", b"METADATA MAXSIZE 32768", b"NO")
    assert drain(reader) == [refused, Command(b"z", "NOOP", NO_ARGUMENTS)]


def test_the_second_message_can_be_refused() -> None:
    """MULTIAPPEND (RFC 3502): each message is announced; refusing one ends the command."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a APPEND x {1+}\r\n1 {2}\r\n")
    first = reader.next()
    assert isinstance(first, AppendMessage)
    reader.accept()
    assert reader.next() == AppendChunk(b"1")
    assert reader.next() == AppendMessage(b"a", "x", 1, AppendOptions(), 2, sync=True)
    reader.refuse(b"NO", b"Full", b"OVERQUOTA")
    assert reader.next() == BadLine(b"a", b"Full", b"OVERQUOTA", b"NO")


def test_a_message_is_handed_on_as_it_comes() -> None:
    """A literal of 27 MiB never stands in memory: each piece comes out before the next one goes in."""
    size = 27 << 20
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a APPEND x {%d+}\r\n" % size)
    assert isinstance(reader.next(), AppendMessage)
    reader.accept()
    piece = bytes(range(256)) * 256
    seen = 0
    for _ in range(size // len(piece)):
        reader.feed(piece)
        for event in drain(reader):
            assert isinstance(event, AppendChunk)
            assert event.data == piece
            seen += len(event.data)
        assert reader.buffered == 0
    reader.feed(b"\r\n")
    assert seen == size
    assert drain(reader) == [AppendEnd(b"a", "x", 1)]


def test_a_huge_announcement_ends_the_connection() -> None:
    """Nobody reads past 100 GB to say no (RFC 7888 §4, choice 2)."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a APPEND x {99999999999+}\r\n")
    assert isinstance(reader.next(), AppendMessage)
    reader.refuse(b"NO", b"Too large", b"TOOBIG")
    assert reader.next() == BadLine(b"a", b"Too large", b"TOOBIG", b"NO", fatal=True)


def test_octets_behind_starttls_are_forgotten() -> None:
    """RFC 9051 §6.2.1: what came in clear is not read after the handshake."""
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    reader.feed(b"a STARTTLS\r\nb LOGIN evil evil\r\nc LOG")
    assert reader.next() == Command(b"a", "STARTTLS", NO_ARGUMENTS)
    reader.discard_input()
    assert reader.next() is NEED_INPUT
    reader.feed(b"d NOOP\r\n")
    assert drain(reader) == [Command(b"d", "NOOP", NO_ARGUMENTS)]


def test_octets_behind_compress_are_handed_over() -> None:
    """RFC 4978 §3: what follows may be compressed already, and is not read as text."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a COMPRESS DEFLATE\r\n\x78\x9c\n\x00")
    assert reader.next() == Command(b"a", "COMPRESS", Compress("DEFLATE"))
    assert reader.take_input() == b"\x78\x9c\n\x00"
    assert reader.buffered == 0


def test_lines_of_an_exchange() -> None:
    """An answer of SASL is a line of its own, DONE and the next command may come in one packet (iOS 18)."""
    reader = Reader(GRAMMAR, Limits.before_sign_in())
    reader.feed(b"a AUTHENTICATE PLAIN\r\n")
    assert reader.next() == Command(b"a", "AUTHENTICATE", Authenticate("PLAIN", None))
    reader.expect_line()
    assert reader.next() is NEED_INPUT
    reader.feed(b"AGR2YmUA")
    assert reader.next() is NEED_INPUT
    reader.feed(b"eA==\r\nb NOOP\r\n")
    assert drain(reader) == [Line(b"AGR2YmUAeA=="), Command(b"b", "NOOP", NO_ARGUMENTS)]
    reader.expect_line()
    reader.feed(b"x" * 40000)
    assert drain(reader) == [BadLine(b"*", b"Command too long", b"LIMIT", fatal=True)]


@pytest.mark.parametrize(
    ("text", "octets"),
    [(b"", b""), (b"AGE=", b"\0a"), (b"AG==", b"\0"), (b"AGE", None), (b"AGE=x", None), (b"A GE=", None), (b"AGE=\n", None)],
)
def test_base64_is_strict(text: bytes, octets: bytes | None) -> None:
    """RFC 9051 §9 (base64): nothing is skipped, nothing is guessed."""
    assert decode_base64(text) == octets


@pytest.mark.parametrize(
    "line",
    [
        lambda n: b"a SEARCH " + b"OR ALL " * n + b"ALL",
        lambda n: b"a SEARCH " + b"NOT " * n + b"ALL",
        lambda n: b"a SEARCH " + b"ALL " * n + b"ALL",
        lambda n: b"a SEARCH " + b" " * n + b"ALL",
        lambda n: b"a SEARCH " + b"(" * n,
        lambda n: b"a UID FETCH " + b",".join(b"%d" % i for i in range(10000, 10000 + n)) + b" FLAGS",
        lambda n: b"a UID FETCH 1 (" + b"FLAGS " * n + b"UID)",
        lambda n: b'a LOGIN "' + b'\\\\\\"' * n + b'" x',
        lambda n: b'a LOGIN "' + b"\\\\" * n,
        lambda n: b"a ID (" + b'"x" ' * n + b")",
        lambda n: b'a LIST "" (' + b"x " * n + b")",
        lambda n: b"a STORE 1 FLAGS (" + b"k " * n + b")",
        lambda n: b"a FETCH 1 BODY[" + b"1." * n + b"1]",
        lambda n: b"a FETCH 1 BODY[HEADER.FIELDS (" + b"x " * n + b")]",
        lambda n: b"a " + b"x" * n,
        lambda n: b"a ENABLE " + b"x " * n,
    ],
)
def test_time_grows_with_length_only(line: Callable[[int], bytes]) -> None:
    """Twice the octets cost about twice the steps: no line, however made, is walked again and again.

    Steps are counted by the interpreter (calls and lines), so that a busy machine cannot decide the test.
    """
    assert len(line(8000)) < 65536
    assert _steps(line(8000)) < 2.2 * _steps(line(4000)) + 2000


def _steps(line: bytes) -> int:
    count = 0

    def step(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return step

    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(line + b"\r\n")
    before = sys.gettrace()
    sys.settrace(step)
    try:
        reader.next()
    finally:
        sys.settrace(before)
    return count


def test_blank_lines_are_passed_over_at_once() -> None:
    """50,000 of them before a command: some programs send one, and nobody is to be kept waiting by who sends only such."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"\r\n" * 25_000 + b"\n" * 25_000 + b"a NOOP\r\n")
    calls = 0

    def count(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        event = reader.next()
    finally:
        sys.setprofile(None)
    assert event == Command(b"a", "NOOP", NO_ARGUMENTS)
    assert calls < 100
