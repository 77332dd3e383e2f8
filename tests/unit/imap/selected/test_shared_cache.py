"""What sessions share, and compression: bounded, and never wrong."""

import re
import zlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_growth import assert_linear
from mic_mail.imap.commands import search_run
from mic_mail.imap.compress import INFLATE_OCTETS, Damaged, Deflate
from mic_mail.imap.selected.shared_cache import AnswerCache, Instants
from mic_mail.storage.local_mailstore import Account
from session_harness import Talk


@dataclass
class Known:
    """The part of a view that the cache looks at."""

    uids: "array[int]"
    account_id: int = 1
    folder_id: int = 7
    uidvalidity: int = 3

    @property
    def key(self) -> tuple[int, int, int]:
        return self.account_id, self.folder_id, self.uidvalidity


def completed(cache: Instants, view: Known, ask: Callable[[Sequence[int]], Mapping[int, int]]) -> Sequence[int]:
    """Without the pauses."""
    making = cache.of(view, ask)  # type: ignore[arg-type]  # the part of a view
    while True:
        try:
            next(making)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


@given(st.lists(st.sets(st.integers(1, 40)), min_size=1, max_size=8))
def test_instants_are_asked_once_and_follow_the_mailbox(mailboxes: list[set[int]]) -> None:
    """Whatever comes and goes, each message has its own instant; what was asked before is not asked again."""
    cache, asked = Instants(), []

    def ask(uids: Sequence[int]) -> dict[int, int]:
        asked.append(set(uids))
        return {uid: uid * 1000 for uid in uids}

    before: set[int] = set()
    for mailbox in mailboxes:
        asked.clear()
        view = Known(array("I", sorted(mailbox)))
        for _ in range(2):
            assert list(completed(cache, view, ask)) == [uid * 1000 for uid in view.uids]
        assert set().union(*asked) == mailbox - before
        before = mailbox


def test_instants_forget_the_oldest_folder() -> None:
    """The bound counts messages over all folders."""
    cache = Instants(max_messages=10)
    for folder_id in range(5):
        completed(cache, Known(array("I", range(1, 7)), folder_id=folder_id), lambda uids: dict.fromkeys(uids, 5))
    assert len(cache._known) == 1


def test_header_answers_stay_within_their_octets() -> None:
    """The field set that was longest unused goes first; what it held is no longer counted."""
    cache = AnswerCache(max_octets=10_000)
    for folder_id in range(10):
        answers = cache.answers((1, folder_id, 1), b"BODY[HEADER.FIELDS (FROM)]")
        cache.filled(answers, dict.fromkeys(range(10), b"x" * 280))
        assert cache._octets <= 10_000
    assert [key[0][1] for key in cache._answers] == [8, 9] or [key[0][1] for key in cache._answers] == [7, 8, 9]


def test_answers_that_were_dropped_are_not_counted() -> None:
    """Who was still filling them goes on; else the octets would be counted for ever, and in the end nothing be kept."""
    cache = AnswerCache(max_octets=10_000)
    slow = cache.answers((1, 0, 1), b"FROM")
    for folder_id in range(1, 4):
        cache.filled(cache.answers((1, folder_id, 1), b"FROM"), dict.fromkeys(range(10), b"x" * 500))
    cache.filled(slow, dict.fromkeys(range(10), b"x" * 500))
    assert cache._octets == sum(answers.octets for answers in cache._answers.values())


def test_what_was_asked_for_is_counted_with_the_answers() -> None:
    """Many items of one message each: their labels are held, too. Very long ones are not kept at all."""
    cache = AnswerCache(max_octets=100_000)
    for number in range(1000):
        cache.answers((1, 0, 1), b"%0500d" % number)
    assert sum(len(item) for _, item in cache._answers) <= cache._octets <= 100_000
    assert 10 <= len(cache._answers) <= 200
    held = len(cache._answers)
    long = cache.answers((1, 0, 1), b"x" * 60_000)
    cache.filled(long, {1: b"answer"})
    assert long == {1: b"answer"}
    assert cache.answers((1, 0, 1), b"x" * 60_000) == {}
    assert len(cache._answers) == held


def test_empty_blocks_are_inflated_one_by_one_without_copies() -> None:
    """RFC 1951 §3.2.4: an empty stored block is 5 octets; of what waits behind it nothing is copied. Its end is still one."""

    def inflated(octets: bytes) -> Deflate:
        deflate = Deflate()
        assert deflate.inflate(octets) == b""
        while deflate.has_more:
            assert deflate.inflate() == b""
        return deflate

    assert_linear(lambda blocks: b"\0\0\0\xff\xff" * blocks, inflated, (1 << 14, 1 << 16))
    deflate = inflated(b"\0\0\0\xff\xff")
    client = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    first = client.compress(b"first") + client.flush(zlib.Z_SYNC_FLUSH)
    assert deflate.inflate(first + b"in clear") == b"first"
    deflate.hold(b", too")
    assert deflate.waiting_octets == len(b"in clear, too")
    assert deflate.end() == b"in clear, too"
    assert not deflate.has_more


@given(st.lists(st.tuples(st.binary(max_size=2000), st.booleans()), max_size=12))
def test_dropping_the_compressor_is_invisible(pieces: list[tuple[bytes, bool]]) -> None:
    """A client's one inflater reads everything, also across compressors that were dropped at IDLE (RFC 4978 §3)."""
    deflate, client = Deflate(), zlib.decompressobj(-zlib.MAX_WBITS)
    for octets, drop in pieces:
        assert client.decompress(deflate.deflate(octets)) == octets
        if drop:
            assert client.decompress(deflate.drop()) == b""
            assert deflate._deflater is None


def test_a_bomb_comes_out_in_small_pieces() -> None:
    """A thousandfold blow-up is handed on 64 KiB at a time."""
    packed = zlib.compress(b"\0" * 50_000_000, wbits=-zlib.MAX_WBITS)
    deflate, size, most = Deflate(), 0, 0
    data = packed
    while data or deflate.has_more:
        piece = deflate.inflate(data)
        data = b""
        size, most = size + len(piece), max(most, len(piece))
    assert (size, most) == (50_000_000, INFLATE_OCTETS)


def test_what_is_no_deflate_is_said_to_be_damaged() -> None:
    """Garbage ends the connection, not the process."""
    with pytest.raises(Damaged):
        Deflate().inflate(b"this is not compressed")


def test_a_long_search_tells_of_its_progress_and_can_be_cut(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text is scanned in slices: after ten seconds INPROGRESS (RFC 9585), and BYE needs not wait for the last message."""
    monkeypatch.setattr(search_run, "BODY_SCAN_MESSAGES", 1)
    monkeypatch.setattr(search_run, "READING_SECONDS", 0.0)
    for number in range(6):
        octets = b"Subject: x\r\n\r\nso %d\r\n" % number
        ctx.say(b"p APPEND INBOX {%d+}\r\n%b\r\n" % (len(octets), octets))
    ctx.say(b"s SELECT INBOX\r\n")
    slow = Account.find_text

    def scan(self: Account, *args: object) -> object:
        ctx.clock.move_to(ctx.clock.now().replace(minute=(ctx.clock.now().minute + 1) % 60))
        return slow(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Account, "find_text", scan)
    answer = ctx.say(b'f SEARCH BODY "so 4"\r\n')
    told = re.findall(rb'\* OK \[INPROGRESS \("f" (\d+) (\d+)\)\]', answer)
    assert told == [(b"%d" % done, b"6") for done in range(1, 6)]  # never the whole: then the answer itself comes (§4)
    assert b"* SEARCH 5\r\nf OK" in answer
    ctx.session.feed(b'g SEARCH BODY "so 4"\r\n')
    for _ in range(3):
        ctx.carry_out(ctx.session.next())  # type: ignore[arg-type]
    ctx.session.end("Going down.")
    assert ctx.run().endswith(b"* BYE Going down.\r\n")


def test_text_decides_only_what_is_still_open(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that rules a message out saves reading it."""
    for flags in (b"(\\Seen)", b"()", b"(\\Seen)"):
        ctx.say(b"p APPEND INBOX %b {18+}\r\nSubject: x\r\n\r\nabcd\r\n" % flags)
    ctx.say(b"s SELECT INBOX\r\n")
    looked_at: list[int] = []
    scan = Account.find_text

    def watched(self: Account, folder_id: int, uids: list[int], tests: object) -> object:
        looked_at.extend(uids)
        return scan(self, folder_id, uids, tests)  # type: ignore[arg-type]

    monkeypatch.setattr(Account, "find_text", watched)
    assert b"* SEARCH 2\r\n" in ctx.say(b"f SEARCH UNSEEN BODY abcd\r\n")
    assert looked_at == [2]
