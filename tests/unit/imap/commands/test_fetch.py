"""FETCH on a real store: the right octets, in slices, without a message in memory, whatever happens to it meanwhile."""

import base64
import os
import re
import tracemalloc
from datetime import timedelta
from pathlib import Path
from typing import Any, Never

import pytest

from messages.hard import HARD
from mic_mail.clock import ManualClock
from mic_mail.connection.actions import NeedInput, Send
from mic_mail.imap.actions import SLICE_OCTETS
from mic_mail.imap.commands import fetch, fetch_reader
from mic_mail.imap.commands.fetch_reader import WHOLE_OCTETS
from mic_mail.imap.selected import shared_cache
from mic_mail.imap.selected.shared_cache import CachedAnswers
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from session_harness import Talk
from store_harness import deliver

MESSAGE = (
    b"From: dvbe@mic.gov.vn\r\nSubject: mot\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nmot hai ba\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgc=\r\n--b--\r\n"
)


def append(ctx: Talk, octets: bytes) -> None:
    binary = b"~" if b"\0" in octets else b""
    assert b"p OK" in ctx.say(b"p APPEND INBOX %b{%d+}\r\n%b\r\n" % (binary, len(octets), octets))


def literal(answer: bytes, label: bytes) -> bytes | None:
    """The literal behind an item; None for NIL."""
    found = re.search(re.escape(label) + rb" (?:NIL|~?\{(\d+)\}\r\n)", answer)
    assert found, answer[:300]
    return None if found[1] is None else answer[found.end() : found.end() + int(found[1])]


def test_bodies_come_back_byte_for_byte(ctx: Talk) -> None:
    """Every hard message: BODY[] is what went in, but NUL as 0x80, RFC822.SIZE its length, HEADER and TEXT cut it in two.

    BINARY[] is what went in, to the octet.
    """
    kept = [octets for octets in HARD.values() if octets]
    for octets in kept:
        append(ctx, octets)
    ctx.say(b"s SELECT INBOX\r\n")
    for number, octets in enumerate(kept, 1):
        items = b"RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] BINARY.PEEK[]"
        answer = ctx.say(b"f FETCH %d (%b)\r\n" % (number, items))
        assert b"RFC822.SIZE %d " % len(octets) in answer
        assert literal(answer, b"BINARY[]") == octets
        shown = octets.replace(b"\0", b"\x80")
        assert literal(answer, b"BODY[]") == shown
        header, text = literal(answer, b"BODY[HEADER]"), literal(answer, b"BODY[TEXT]")
        assert header is not None
        assert text is not None
        assert header + text == shown


@pytest.mark.parametrize(
    ("item", "label", "octets"),
    [
        (b"BODY.PEEK[1]", b"BODY[1]", b"mot hai ba"),
        (b"BODY.PEEK[1]<4.3>", b"BODY[1]<4>", b"hai"),
        (b"BODY.PEEK[1]<4.300>", b"BODY[1]<4>", b"hai ba"),
        (b"BODY.PEEK[1]<40.3>", b"BODY[1]<40>", b""),
        (b"BODY.PEEK[1.MIME]", b"BODY[1.MIME]", b"Content-Type: text/plain\r\n\r\n"),
        (b"BODY.PEEK[9]", b"BODY[9]", None),
        (b"BODY.PEEK[1.HEADER]", b"BODY[1.HEADER]", None),
        (b"BODY.PEEK[HEADER.FIELDS (subject X)]", b"BODY[HEADER.FIELDS (subject X)]", b"Subject: mot\r\n\r\n"),
        (b"BODY.PEEK[HEADER.FIELDS (FROM)]<6.4>", b"BODY[HEADER.FIELDS (FROM)]<6>", b"dvbe"),
        (b"BINARY.PEEK[2]", b"BINARY[2]", bytes(range(8))),
        (b"BINARY.PEEK[2]<2.3>", b"BINARY[2]<2>", b"\2\3\4"),
        (b"BINARY.PEEK[2]<7.9>", b"BINARY[2]<7>", b"\7"),
        (b"BINARY.PEEK[7]", b"BINARY[7]", None),
    ],
)
def test_sections_and_partials(ctx: Talk, item: bytes, label: bytes, octets: bytes | None) -> None:
    """RFC 9051 §6.4.5.1 and RFC 3516: what lies there, cut where asked, NIL where nothing is."""
    append(ctx, MESSAGE)
    ctx.say(b"s SELECT INBOX\r\n")
    assert literal(ctx.say(b"f FETCH 1 %b\r\n" % item), label) == octets


def test_binary_size_is_that_of_what_binary_sends(ctx: Talk) -> None:
    """BINARY.SIZE[2] counts decoded octets; a part with an unknown encoding is NO [UNKNOWN-CTE] (RFC 3516 §4.3)."""
    append(ctx, MESSAGE)
    append(ctx, MESSAGE.replace(b"base64", b"x-nothing"))
    ctx.say(b"s SELECT INBOX\r\n")
    assert b"BINARY.SIZE[2] 8" in ctx.say(b"f FETCH 1 BINARY.SIZE[2]\r\n")
    for item in (b"BINARY.SIZE[2]", b"BINARY.PEEK[2]"):
        assert b"f NO [UNKNOWN-CTE]" in ctx.say(b"f FETCH 2 %b\r\n" % item)


def test_a_large_message_leaves_in_slices_and_is_never_in_memory(ctx: Talk) -> None:
    """20 MB of one message and 3,000 lines: no piece is larger than a slice and a line's rest, memory stays small."""
    append(ctx, b"Subject: to\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000)
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"w FETCH 1 BODY.PEEK[]<0.10>\r\n")
    seen = len(ctx.sent)
    sizes: list[int] = []
    ctx.sent = Sizes(sizes)  # type: ignore[assignment]  # keeps no octets
    tracemalloc.start()
    try:
        ctx.session.feed(b"f FETCH 1 (UID BODY.PEEK[])\r\n")
        ctx.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen
    assert sum(sizes) > 20_000_000
    assert max(sizes) < 256 << 10, "larger blocks come from the kernel one by one"
    assert peak < 4 << 20


def test_thousands_of_header_items_are_not_in_memory_at_once(ctx: Talk) -> None:
    """60 items of 10 messages with 100 KB of header: 60 MB of answer, made piece by piece."""
    head = b"".join(b"X-F%d: %b\r\n" % (number, b"y" * 900) for number in range(110))
    for _ in range(10):
        append(ctx, head + b"\r\nx\r\n")
    ctx.say(b"s SELECT INBOX\r\n")
    names = [b"BODY.PEEK[HEADER.FIELDS.NOT (a%d)]" % number for number in range(40)]
    names += [b"BODY.PEEK[HEADER]<%d.99999>" % number for number in range(20)]
    sizes: list[int] = []
    ctx.sent = Sizes(sizes)  # type: ignore[assignment]  # keeps no octets
    tracemalloc.start()
    try:
        ctx.session.feed(b"f FETCH 1:* (%b)\r\n" % b" ".join(names))
        ctx.run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) > 50_000_000
    assert max(sizes) < 256 << 10
    assert peak < 20 << 20


def test_small_windows_of_a_large_part_are_decoded_in_hops(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn between: each of them is decoded from the beginning. The octets are the same."""
    octets = os.urandom(2_000_000)
    head = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    append(ctx, head + base64.encodebytes(octets).replace(b"\n", b"\r\n"))
    ctx.say(b"s SELECT INBOX\r\n")
    places = range(1_000_000, 1_000_040)
    command = b"f FETCH 1 (%b)\r\n" % b" ".join(b"BINARY.PEEK[1]<%d.2>" % place for place in places)
    monkeypatch.setattr(fetch, "PULL_SECONDS", 0.0)
    before = ctx.work
    answer = ctx.say(command)
    assert ctx.work - before > len(places)
    for place in places:
        assert b"BINARY[1]<%d> ~{2}\r\n%b" % (place, octets[place : place + 2]) in answer
    monkeypatch.undo()
    assert ctx.say(command) == answer


class Sizes(list[bytes]):
    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self._sizes = sizes

    def append(self, octets: bytes) -> None:
        self._sizes.append(len(octets))


def test_messages_of_all_sizes_come_whole_whatever_else_is_asked(ctx: Talk) -> None:
    """Small ones are read at once, large ones in pieces, and slices end anywhere: the octets are those that went in."""
    sizes = [0, 5_000, WHOLE_OCTETS - 20, WHOLE_OCTETS, SLICE_OCTETS, 3 * SLICE_OCTETS + 7, 40_000, 90_000, 2]
    bodies = [b"Subject: %d\r\n\r\n" % size + (b"0123456789abcde" * (size // 15 + 1))[:size] for size in sizes]
    bodies += [octets for octets in HARD.values() if octets]
    for octets in bodies:
        append(ctx, octets)
    ctx.say(b"s SELECT INBOX\r\n")
    first = len(ctx.sent)
    answer = ctx.say(b"f FETCH 1:* (FLAGS BODY.PEEK[])\r\n")
    line = b"* %d FETCH (FLAGS (\\Recent) BODY[] {%d}\r\n%b)\r\n"
    shown = [octets.replace(b"\0", b"\x80") for octets in bodies]
    lines = [line % (number, len(octets), octets) for number, octets in enumerate(shown, 1)]
    assert answer == b"".join(lines) + b"f OK Fetched.\r\n"
    assert max(map(len, ctx.sent[first:])) < 256 << 10


@pytest.mark.parametrize("octets", [b"Subject: ngan\r\n\r\n", b"Subject: dai\r\n\r\n" + b"x" * 5_000, b""])
def test_a_file_of_another_size_than_the_index_says_is_announced_as_it_is(ctx: Talk, tmp_path: Path, octets: bytes) -> None:
    """Another tool wrote it anew: the literal is as long as what follows."""
    append(ctx, b"Subject: mot\r\n\r\n" + b"x" * 900)
    append(ctx, MESSAGE)
    ctx.say(b"s SELECT INBOX\r\n")
    path = next(path for path in tmp_path.rglob("cur/*") if path.stat().st_size == 916)
    path.chmod(0o600)
    path.write_bytes(octets)
    answer = ctx.say(b"f FETCH 1:2 BODY.PEEK[]\r\n")
    assert answer.startswith(b"* 1 FETCH (BODY[] {%d}\r\n%b)\r\n* 2 FETCH (BODY[] {" % (len(octets), octets))
    assert answer.endswith(MESSAGE + b")\r\nf OK Fetched.\r\n")


def test_one_small_message_is_read_in_the_loop_once_its_path_is_known(ctx: Talk) -> None:
    """One look-up serves the neighbours, too; a message too large for the loop, or several, take the executor."""
    sizes = (0, 5, 9_000, fetch.CACHED_FILE_OCTETS - 200, fetch.CACHED_FILE_OCTETS)
    kept = [b"Subject: so %d\r\n\r\n" % size + b"a\0c"[size % 2 : 1] + b"x" * size for size in sizes]
    for octets in kept:
        append(ctx, octets)
    ctx.say(b"s SELECT INBOX\r\nf FETCH 3 BODY.PEEK[]\r\n")

    def fetched(command: bytes) -> tuple[int, bytes]:
        before = ctx.work
        answer = ctx.say(b"f " + command + b"\r\n")
        assert answer.endswith(b"f OK Fetched.\r\n")
        return ctx.work - before, answer

    for number, octets in enumerate(kept, 1):
        work, answer = fetched(b"FETCH %d (UID BODY.PEEK[])" % number)
        assert work == (number == 5)
        head = b"* %d FETCH (UID %d BODY[] {%d}\r\n" % (number, number, len(octets))
        assert answer == head + octets + b")\r\nf OK Fetched.\r\n"
    assert fetched(b"FETCH 1:2 BODY.PEEK[]")[0] == 1
    assert fetched(b"UID FETCH 2 RFC822")[0] == 1  # it marks \\Seen, and sends from memory
    assert fetched(b"UID FETCH 2 RFC822")[0] == 0


def test_a_message_whose_file_moved_is_found_behind_a_known_path(store: LocalMailStore, ctx: Talk) -> None:
    """Names follow flags, expunged messages lie elsewhere, and files change: then the path is only a wrong guess."""
    for number in range(3):
        append(ctx, b"Subject: so %d\r\n\r\n" % number)
    other = Talk(store).sign_in()
    for client in (ctx, other):
        client.say(b"s SELECT INBOX\r\nf FETCH 1 BODY.PEEK[]\r\n")
    other.say(b"t STORE 1 +FLAGS (\\Flagged)\r\nt STORE 2 +FLAGS (\\Deleted)\r\n")
    ctx.account.flush_names()
    assert b"Subject: so 0" in ctx.say(b"f FETCH 1 BODY.PEEK[]\r\n")
    ctx.say(b"n NOOP\r\n")
    other.say(b"x EXPUNGE\r\n")
    assert b"Subject: so 1" in ctx.say(b"f FETCH 2 BODY.PEEK[]\r\n")  # it is expunged, and this client does not know yet
    (path,) = ctx.account.paths(1, [3]).values()
    os.chmod(path, 0o600)
    os.truncate(path, 7)
    assert b"BODY[] {7}\r\nSubject)\r\n" in ctx.say(b"f FETCH 3 BODY.PEEK[]\r\n")


def test_a_client_that_takes_its_time_is_read_for_one_slice_at_a_time(ctx: Talk) -> None:
    """Who reads quickly has two slices made in one hop; beside a slow one only the slice that it takes lies in memory."""
    for _ in range(6):
        append(ctx, b"Subject: to\r\n\r\n" + b"x" * (SLICE_OCTETS - 100))
    ctx.say(b"s SELECT INBOX\r\nw FETCH 1 UID\r\n")

    def hops(seconds: float) -> int:
        before = ctx.work
        ctx.session.feed(b"f FETCH 1:* BODY.PEEK[]\r\n")
        while not isinstance(step := ctx.session.next(), NeedInput):
            ctx.carry_out(step)
            if isinstance(step, Send):
                ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=seconds))
        return ctx.work - before

    assert (hops(0.001), hops(1)) == (4, 6)


def test_a_session_cut_within_a_list_ends_the_line_and_says_bye(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice ends anywhere; what was read of the line is said before BYE, and no more of the answer."""
    monkeypatch.setattr(fetch, "BATCH_MESSAGES", 8)
    field = b"X-Long: " + b"y" * (SLICE_OCTETS // 50)
    for _ in range(180):
        append(ctx, field + b"\r\n\r\n")
    ctx.say(b"s SELECT INBOX\r\n")
    first = len(ctx.sent)
    ctx.session.feed(b"f FETCH 1:* BODY.PEEK[HEADER.FIELDS (X-LONG)]\r\n")
    while len(ctx.sent) < first + 2:
        ctx.carry_out(ctx.session.next())  # type: ignore[arg-type]  # it has a lot to do
    assert not b"".join(ctx.sent).endswith(b")\r\n")
    ctx.session.end("Going down.")
    ctx.run()
    assert ctx.over
    answer = b"".join(ctx.sent[first:])
    line = rb"\* \d+ FETCH \(BODY\[HEADER\.FIELDS \(X-LONG\)\] \{%d\}\r\n%b\r\n\r\n\)\r\n" % (len(field) + 4, field)
    assert re.fullmatch(rb"(?:%b)+\* BYE Going down\.\r\n" % line, answer)
    assert answer.count(b" FETCH (") < 180


@pytest.mark.parametrize(("recipients", "calls"), [(10, 1), (4_000, 10)])
def test_no_more_of_the_index_is_in_memory_than_a_batch_may_hold(
    ctx: Talk, monkeypatch: pytest.MonkeyPatch, recipients: int, calls: int
) -> None:
    """A client that reads slowly keeps a batch here: hostile messages are fewer in one, ordinary ones are not."""
    monkeypatch.setattr(fetch_reader, "BATCH_OCTETS", 1 << 17)
    monkeypatch.setattr(fetch_reader, "_LIGHT_OCTETS", 1 << 14)
    monkeypatch.setattr(fetch_reader, "FEW_MESSAGES", 0)
    read: list[int] = []
    rows = Account.rows

    def counted(self: Account, *asked: Any) -> list[tuple[Any, ...]]:
        found = rows(self, *asked)
        read.append(sum(len(value) for row in found for value in row if isinstance(value, bytes)))
        return found

    for _ in range(30):
        append(ctx, b"To: " + b"a," * recipients + b"\r\n\r\nx")
    ctx.say(b"s SELECT INBOX\r\n")
    monkeypatch.setattr(Account, "rows", counted)
    answer = ctx.say(b"f FETCH 1:* (UID ENVELOPE BODYSTRUCTURE)\r\n")
    assert [int(number) for number in re.findall(rb"\* (\d+) FETCH", answer)] == list(range(1, 31))
    assert len(read) == calls
    assert max(read) <= 1 << 17


def test_lost_in_the_middle_of_a_message_closes_its_file(ctx: Talk) -> None:
    """A client that leaves during a long FETCH costs no descriptor."""
    append(ctx, b"Subject: to\r\n\r\n" + b"x" * 3_000_000)
    ctx.say(b"s SELECT INBOX\r\n")
    before = open_files()
    ctx.session.feed(b"f FETCH 1 BODY.PEEK[]\r\n")
    for _ in range(6):
        ctx.carry_out(ctx.session.next())  # type: ignore[arg-type]  # it has a lot to do
    assert open_files() != before
    ctx.session.close()
    assert open_files() == before


def test_a_part_that_cannot_be_decoded_costs_no_descriptor(ctx: Talk) -> None:
    """BINARY of an unknown encoding is refused, and the file that other items of the same FETCH opened is closed."""
    append(ctx, b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nmot\r\n")
    ctx.say(b"s SELECT INBOX\r\n")
    for _ in range(3):
        assert b"f NO [UNKNOWN-CTE]" in ctx.say(b"f FETCH 1 (BODY.PEEK[] BINARY.PEEK[1])\r\n")
    assert open_files() == []


def open_files() -> list[str]:
    """The messages that are open, each as often as it is."""
    return [path for fd in os.listdir("/proc/self/fd") if "/cur/" in (path := link(fd))]


def link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def test_a_message_that_became_shorter_on_disk_ends_the_connection(ctx: Talk, tmp_path: Path) -> None:
    """A literal that cannot be filled is never followed by something else, not even BYE, which would be taken for its end."""
    ctx.session.feed(large_and_fetched(ctx))
    for _ in range(5):
        ctx.carry_out(ctx.session.next())  # type: ignore[arg-type]
    [path] = (path for path in tmp_path.rglob("cur/*") if path.is_file())
    path.chmod(0o600)  # nobody writes to a message, its owner neither
    os.truncate(path, 300_000)
    ctx.run()
    assert ctx.over
    assert b"".join(ctx.sent).endswith(b"x" * 1000)


def test_a_session_cut_within_a_message_says_nothing_more(ctx: Talk) -> None:
    """Suspension and drain need not wait for the end of a message, but then no BYE may pass for its octets (RFC 9051 §4.3)."""
    ctx.session.feed(large_and_fetched(ctx))
    for _ in range(5):
        ctx.carry_out(ctx.session.next())  # type: ignore[arg-type]
    ctx.session.end("Going down.")
    ctx.run()
    assert ctx.over
    assert b"".join(ctx.sent).endswith(b"x" * 1000)


def large_and_fetched(ctx: Talk) -> bytes:
    """The command that asks for a message of a megabyte."""
    append(ctx, b"Subject: to\r\n\r\n" + b"x" * 1_000_000)
    ctx.say(b"s SELECT INBOX\r\n")
    return b"f FETCH 1 BODY.PEEK[]\r\n"


def test_what_cannot_be_answered_leaves_the_message_before_it_whole(ctx: Talk) -> None:
    """A refusal comes behind the octets that were announced, never in their place."""
    append(ctx, b"Subject: to\r\n\r\n" + b"x" * 300_000)
    append(ctx, b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nmot\r\n")
    ctx.say(b"s SELECT INBOX\r\n")
    answer = ctx.say(b"f FETCH 1:2 BINARY.PEEK[1]\r\n")
    head = b"* 1 FETCH (BINARY[1] ~{300000}\r\n"
    assert answer.startswith(head + b"x" * 300_000 + b")\r\nf NO [UNKNOWN-CTE] ")


def test_expunged_elsewhere_but_still_numbered(store: LocalMailStore, ctx: Talk) -> None:
    """What another session expunged can still be read while it is kept, and EXPUNGE waits for a moment that allows it."""
    for word in (b"mot", b"hai", b"ba"):
        append(ctx, b"Subject: %b\r\n\r\n" % word)
    ctx.say(b"s SELECT INBOX\r\n")
    other = Talk(store).sign_in()
    other.say(b"s SELECT INBOX\r\nd STORE 2 +FLAGS (\\Deleted)\r\ne EXPUNGE\r\n")
    ctx.session.noticed(ctx.account.highest_modseq())
    answer = ctx.say(b"f FETCH 2 (BODY.PEEK[] FLAGS)\r\n")
    assert literal(answer, b"BODY[]") == b"Subject: hai\r\n\r\n"
    assert b"EXPUNGE" not in answer
    assert b"* 3 FETCH (BODY[] {15}\r\nSubject: ba\r\n\r\n" in ctx.say(b"g FETCH 3 BODY.PEEK[]\r\n")
    assert b"* 2 EXPUNGE\r\n" in ctx.say(b"n NOOP\r\n")
    assert b"x OK" in ctx.say(b"x UID FETCH 2 FLAGS\r\n"), "a UID that is no more is no error"


def test_what_is_past_keeping_is_left_out_and_said(store: LocalMailStore, ctx: Talk, tmp_path: Path) -> None:
    """A message whose file is gone does not stop the others; the answer says EXPUNGEISSUED."""
    for word in (b"mot", b"hai", b"ba"):
        append(ctx, b"Subject: %b\r\n\r\n" % word)
    ctx.say(b"s SELECT INBOX\r\n")
    other = Talk(store).sign_in()
    other.say(b"s SELECT INBOX\r\nd STORE 2 +FLAGS (\\Deleted)\r\ne EXPUNGE\r\n")
    for path in tmp_path.rglob(".expunged/**/*"):
        if path.is_file():
            path.unlink()
    answer = ctx.say(b"f FETCH 1:3 BODY.PEEK[]\r\n")
    assert answer.count(b" FETCH (") == 2
    assert b"f OK [EXPUNGEISSUED]" in answer


def test_no_date_of_a_message_ends_a_fetch(ctx: Talk) -> None:
    """Whatever a client claimed or a file's time says, INTERNALDATE is a date with four digits for its year."""
    for claimed in (b"31-Dec-9999 23:59:59 -0700", b"01-Jan-0001 00:00:00 +1400", b"01-Jan-1970 00:00:00 +0000"):
        assert b"p OK" in ctx.say(b'p APPEND INBOX "%b" {5+}\r\nabcde\r\n' % claimed)
    for us in (10**18, -(10**18)):
        deliver(ctx.account, ctx.account.folder("INBOX").folder_id, ["a"], received_at_us=us)
    ctx.say(b"s SELECT INBOX\r\n")
    answer = ctx.say(b"f FETCH 1:* INTERNALDATE\r\n")
    assert b"f OK" in answer
    assert re.findall(rb'"(.*?)"', answer) == [
        b"31-Dec-9999 07:00:00 +0700", b"02-Jan-0001 07:00:00 +0700", b"01-Jan-1970 07:00:00 +0700",
        b"31-Dec-9999 08:46:40 +0700", b"01-Jan-0001 05:13:20 +0700",
    ]  # fmt: skip
    assert b"* SEARCH 2 5\r\n" in ctx.say(b"t SEARCH BEFORE 1-Jan-1900\r\n")


def test_header_fields_are_cut_once_and_kept(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session asking for the same fields of the same folder is answered without the store's headers."""
    monkeypatch.setattr(fetch_reader, "FEW_MESSAGES", 0)
    ctx = Talk(store).sign_in()
    append(ctx, MESSAGE)
    other = Talk(store, cache=ctx.session._context.cache).sign_in()
    command = b"f FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]\r\n"
    answers = []
    for session in (ctx, other):
        session.say(b"s SELECT INBOX\r\n")
        answers.append(session.say(command))
    assert answers[0] == answers[1]
    cache = ctx.session._context.cache.answers
    assert [dict(kept) for kept in cache._answers.values()] == [{1: b"{16}\r\nSubject: mot\r\n\r\n"}]


def test_percent_signs_in_names_of_header_fields_are_sent_as_they_are(ctx: Talk) -> None:
    """They are no places for values, whether the field is answered from memory, from the index or read from the file."""
    append(ctx, b"X-%d: mot\r\nX-%b%: hai\r\n\r\nx")
    ctx.say(b"s SELECT INBOX\r\n")
    for item in (b'BODY.PEEK[HEADER.FIELDS ("X-%d" "X-%b%")]', b'BODY.PEEK[HEADER.FIELDS ("X-%d" "X-%b%")]<0.999>'):
        for more in (b"", b" BODY.PEEK[TEXT]"):
            for _ in range(2):
                answer = ctx.say(b"f FETCH 1 (UID %b%b FLAGS)\r\n" % (item, more))
                assert answer.count(b"X-%d: mot\r\nX-%b%: hai\r\n") == 1
                assert answer.count(b"X-%b%") == answer.count(b"X-%d") == 2
                assert b"%%" not in answer
                assert b"f OK" in answer


def test_what_a_list_is_made_of_is_kept_for_each_kind_of_client(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENVELOPE and BODYSTRUCTURE are read once; who enabled UTF-8 has an ENVELOPE of its own (RFC 6855 §3)."""
    monkeypatch.setattr(fetch_reader, "FEW_MESSAGES", 0)
    ctx = Talk(store).sign_in()
    append(ctx, "Subject: Giấy mời\r\nMIME-Version: 1.0\r\n\r\nx".encode())
    append(ctx, MESSAGE)
    other = Talk(store, cache=ctx.session._context.cache).sign_in()
    other.say(b"e ENABLE UTF8=ACCEPT\r\n")
    answers = []
    for session in (ctx, other, ctx, other):
        session.say(b"s SELECT INBOX\r\n")
        answers.append(session.say(b"f FETCH 1:2 (ENVELOPE BODYSTRUCTURE INTERNALDATE)\r\n"))
    assert answers[:2] == answers[2:]
    plain, utf8 = answers[:2]
    assert "Giấy mời".encode() in utf8
    assert "Giấy mời".encode() not in plain
    kept = {key[1]: set(answers) for key, answers in ctx.session._context.cache.answers._answers.items()}
    assert kept == {key: {1, 2} for key in [b"ENVELOPE", b"ENVELOPE UTF8", b"BODYSTRUCTURE", b"INTERNALDATE"]}


def test_what_is_kept_of_a_folder_is_never_walked_through(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of lines looks up its own messages: of 100,000 there are 400 batches, each beside all that is kept."""

    class Unwalkable(CachedAnswers):
        def __iter__(self) -> Never:
            raise AssertionError

        keys = values = items = __iter__  # type: ignore[assignment]

    monkeypatch.setattr(shared_cache, "CachedAnswers", Unwalkable)
    for word in (b"mot", b"hai", b"ba"):
        append(ctx, b"Subject: %b\r\n\r\n" % word)
    ctx.say(b"s SELECT INBOX\r\n")
    for _ in range(2):
        answer = ctx.say(b"f FETCH 1:3 (ENVELOPE BODY BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n")
        assert answer.count(b" FETCH (ENVELOPE (") == 3
        assert b"f OK Fetched." in answer


def test_who_is_gone_has_no_line_whatever_is_kept(store: LocalMailStore, ctx: Talk) -> None:
    """One item of an expunged message is kept in memory, another one cannot be read any more: no half of an answer."""
    for word in (b"mot", b"hai", b"ba"):
        append(ctx, b"Subject: %b\r\n\r\n" % word)
    ctx.say(b"s SELECT INBOX\r\n")
    assert ctx.say(b"f FETCH 1:2 ENVELOPE\r\n").count(b"FETCH") == 2
    other = Talk(store).sign_in()
    other.say(b"s SELECT INBOX\r\nd STORE 2 +FLAGS (\\Deleted)\r\ne EXPUNGE\r\n")
    clock = store._shared.clock
    assert isinstance(clock, ManualClock)
    clock.move_to(clock.now() + timedelta(weeks=2))
    other.account.sweep()
    answer = ctx.say(b"f FETCH 1:3 (ENVELOPE BODYSTRUCTURE)\r\n")
    assert re.findall(rb"\* (\d) FETCH \(ENVELOPE \(.*\) BODYSTRUCTURE \(.*\)\)\r\n", answer) == [b"1", b"3"]
    assert b"f OK [EXPUNGEISSUED]" in answer
    answer = ctx.say(b"f FETCH 1:3 (ENVELOPE SAVEDATE)\r\n")
    assert re.findall(rb"\* (\d) FETCH \(ENVELOPE \(.*\) SAVEDATE \".*\"\)\r\n", answer) == [b"1", b"3"]


def test_a_long_answer_from_the_index_leaves_in_its_order(ctx: Talk) -> None:
    """Header fields of more than two slices: the octets come in their order, and the line's end behind them."""
    field = b"X-Long: " + b"".join(b"%07d " % number for number in range(3 * SLICE_OCTETS // 8)) + b"\r\n"
    append(ctx, field + b"\r\n")
    ctx.say(b"s SELECT INBOX\r\n")
    answer = ctx.say(b"f FETCH 1 BODY.PEEK[HEADER.FIELDS (X-LONG)]\r\n")
    asked = b"BODY[HEADER.FIELDS (X-LONG)]"
    assert answer.startswith(b"* 1 FETCH (" + asked)
    assert literal(answer, asked) == field + b"\r\n"
    assert answer.endswith(b"\r\n)\r\nf OK Fetched.\r\n")


def test_seen_is_set_in_groups_not_for_all_at_once(ctx: Talk) -> None:
    """BODY[] of many messages marks them as they are sent: who leaves early has read only what it was sent."""
    for _ in range(300):
        append(ctx, b"Subject: x\r\n\r\n")
    ctx.say(b"s SELECT INBOX (CONDSTORE)\r\n")
    answer = ctx.say(b"f FETCH 1:300 BODY[TEXT]\r\n")
    assert len(re.findall(rb"\* \d+ FETCH \(FLAGS \((?:\\Recent \\Seen|\\Seen \\Recent)\) BODY\[TEXT\]", answer)) == 300
    assert len(set(re.findall(rb"MODSEQ \((\d+)\)", answer))) == 3, "three changes"
    assert b"UNSEEN 0" in ctx.say(b"t STATUS INBOX (UNSEEN)\r\n")
