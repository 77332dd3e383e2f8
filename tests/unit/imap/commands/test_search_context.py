"""Searches that are followed (RFC 5267 §4.3): a client that does what ADDTO and REMOVEFROM say has what a new search finds."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.imap.selected.followed_searches import MAX_CONTEXTS
from mic_mail.imap.selected.shared_cache import SharedCache
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import LocalMailStore
from session_harness import Talk, open_store

ASKED = {
    b"c1": (b"SEARCH", b"", b"UNFLAGGED"),
    b"c2": (b"UID SEARCH", b"", b"SUBJECT a UNSEEN"),
    b"c3": (b"SORT", b"(SUBJECT REVERSE DATE) UTF-8", b"NOT DELETED"),
    b"c4": (b"UID SORT", b"(REVERSE SUBJECT) UTF-8", b"OR SEEN FLAGGED"),
    b"c5": (b"ESEARCH", b"", b"NOT SUBJECT b"),
    b"c6": (b"UID SORT", b"(FROM) UTF-8", b"1:2"),
    b"c7": (b"UID SEARCH", b"", b"OLDER 1 UNSEEN"),
    b"c8": (b"SEARCH", b"", b"OR UID 3:* FLAGGED"),
    b"c9": (b"SEARCH", b"", b"MODSEQ 7"),
    b"c10": (b"SEARCH", b"", b"FUZZY TEXT a"),
}
"""Searches of every kind, by tag. What `1:2` names is fixed when it is asked for, so c6 is not asked again."""


@dataclass
class Client:
    """Follows searches as a mail program would, from what it is told and nothing else."""

    ctx: Talk
    lists: dict[bytes, list[int]] = field(default_factory=dict)
    messages: int = 0
    named: set[int] = field(default_factory=set)
    """The UIDs that c6 named when it was asked for."""

    def say(self, line: bytes) -> bytes:
        told = self.ctx.say(line + b"\r\n")
        self.receive(told)
        return told

    def receive(self, told: bytes) -> None:
        for line in told.split(b"\r\n"):
            if found := re.fullmatch(rb"\* (\d+) EXISTS", line):
                self.messages = int(found[1])
            elif found := re.fullmatch(rb"\* (\d+) EXPUNGE", line):
                self.messages -= 1
                for tag, numbers in self.lists.items():
                    if not self.by_uid(tag):
                        assert int(found[1]) not in numbers, "REMOVEFROM comes before its EXPUNGE"
                        numbers[:] = [number - (number > int(found[1])) for number in numbers]
            elif found := re.match(rb'\* ESEARCH \(TAG "(c\d+)"', line):
                if b"ADDTO" in line or b"REMOVEFROM" in line:
                    self.apply(found[1], line)
                else:  # the answer itself
                    self.lists[found[1]] = list(all_of(line))

    def apply(self, tag: bytes, line: bytes) -> None:
        numbers = self.lists[tag]
        for word, pairs in re.findall(rb" (ADDTO|REMOVEFROM) \(([^)]*)\)", line):
            fields = pairs.split()
            for place, written in zip(map(int, fields[::2]), fields[1::2], strict=True):
                some = list(expanded(written))
                if word == b"ADDTO":
                    assert not set(some) & set(numbers)
                    assert self.by_uid(tag) or max(some) <= self.messages, "EXISTS comes before its ADDTO"
                    numbers[max(0, place - 1) : max(0, place - 1)] = some
                elif place:
                    assert numbers[place - 1 : place - 1 + len(some)] == some
                    del numbers[place - 1 : place - 1 + len(some)]
                else:
                    assert set(some) <= set(numbers)
                    numbers[:] = [number for number in numbers if number not in some]
                if not place:
                    numbers.sort()

    @staticmethod
    def by_uid(tag: bytes) -> bool:
        return ASKED[tag][0] != b"SEARCH" and ASKED[tag][0] != b"SORT"

    def ask(self, tag: bytes, returns: bytes, under: bytes) -> bytes:
        command, criteria, key = ASKED[tag]
        told = self.say(b" ".join([under, command, b"RETURN (" + returns + b")", *([criteria] if criteria else []), key]))
        assert b"%b OK" % under in told, told
        return told

    def follow(self, tag: bytes) -> None:
        self.lists[tag] = []  # ESEARCH says nothing of a mailbox where nothing is found
        self.ask(tag, b"UPDATE ALL", tag)
        if tag == b"c6":
            self.named = set(self.lists[tag])

    def check(self) -> None:
        """At rest every list is what is found now."""
        for tag, numbers in self.lists.items():
            if tag != b"c6":
                assert numbers == list(all_of(self.ask(tag, b"ALL", b"x"))), tag
        assert set(self.lists.get(b"c6", ())) <= self.named


def all_of(told: bytes) -> Iterator[int]:
    """What ALL of an ESEARCH response holds."""
    found = re.search(rb" ALL ([0-9:,]+)", told)
    return expanded(found[1]) if found else iter(())


def expanded(written: bytes) -> Iterator[int]:
    for item in written.split(b","):
        low, _, high = item.partition(b":")
        yield from range(int(low), int(high or low) + 1)


def deliver(store: Talk, subject: str, sender: str) -> None:
    message = f"Subject: {subject}\r\nFrom: {sender}\r\nDate: 1 Jan 2026 00:00:00 +0000\r\n\r\nx\r\n".encode()
    inbox = store.account.folder("INBOX").folder_id
    staged = store.account.stage()
    staged.write(message)
    staged.finish_later()
    store.account.publish(inbox, [Delivery(staged, answers_of(message), received_at_us=1_000_000)])


NUMBER = st.integers(1, 6)
FLAG = st.sampled_from([b"\\Seen", b"\\Flagged", b"\\Deleted", b"$Work"])
STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.sampled_from("abc"), st.sampled_from("xyz")),
    st.tuples(st.sampled_from(["mine", "other"]), st.sampled_from([b"+", b"-", b"+"]), NUMBER, FLAG),
    st.tuples(st.just("expunge"), st.sampled_from(["mine", "other", "other by uid"])),
    st.tuples(st.just("look"), st.sampled_from([b"NOOP", b"FETCH 1:* FLAGS", b"SEARCH ALL", b"UID SEARCH ALL", b"CHECK"])),
    st.tuples(st.just("idle")),
    st.tuples(st.just("move"), NUMBER),
    st.tuples(st.just("follow"), st.sampled_from(sorted(ASKED))),
    st.tuples(st.just("cancel"), st.sampled_from(sorted(ASKED))),
    st.tuples(st.just("check")),
)


@given(st.lists(STEPS, min_size=4, max_size=30))
@example([("deliver", "a", "x"), ("mine", b"+", 1, b"\\Deleted"), ("expunge", "other"), ("cancel", b"c1")])
@settings(max_examples=50, deadline=None)
def test_lists_that_are_followed(steps: list[tuple[object, ...]]) -> None:
    """Whatever two sessions do: at every quiet point the lists are those of a fresh search, position by position."""
    with folder_in_memory() as folder:
        store = open_store(folder)
        cache = SharedCache()
        client, other = Client(Talk(store, cache=cache).sign_in()), Talk(store, cache=cache).sign_in()
        for subject, sender in ("az", "by", "cx"):
            deliver(other, subject, sender)
        for ctx in (client.ctx, other):
            client.receive(ctx.say(b"a SELECT INBOX\r\n"))
        for tag in (b"c1", b"c3", b"c4"):
            client.follow(tag)
        for step in steps:
            take(step, client, other)
        for _ in range(2):  # the second time everything has been told
            client.say(b"z NOOP")
        client.check()
        store.close()


def take(step: Sequence[object], client: Client, other: Talk) -> None:
    match step:
        case ("deliver", str(subject), str(sender)):
            deliver(other, subject, sender)
        case ("mine", bytes(sign), int(number), bytes(flag)):
            client.say(b"m STORE %d %bFLAGS (%b)" % (number, sign, flag))
        case ("other", bytes(sign), int(number), bytes(flag)):
            other.say(b"n NOOP\r\n")
            other.say(b"o STORE %d %bFLAGS (%b)\r\n" % (number, sign, flag))
        case ("expunge", "mine"):
            client.say(b"e EXPUNGE")
        case ("expunge", "other"):
            other.say(b"e EXPUNGE\r\n")
        case ("expunge", _):
            other.say(b"e UID EXPUNGE 1:3\r\n")
        case ("look", bytes(line)):
            client.say(b"l " + line)
        case ("idle",):
            client.say(b"i IDLE")
            deliver(other, "a", "w")
            client.ctx.session.noticed(client.ctx.account.highest_modseq())
            client.receive(client.ctx.run())
            client.say(b"DONE")
        case ("move", int(number)):
            client.say(b"v MOVE %d Archive" % number)
        case ("follow", bytes(tag)) if tag not in client.lists:
            client.follow(tag)
        case ("cancel", bytes(tag)):
            client.lists.pop(tag, None)  # nothing more is told of it, not even of what comes before the OK
            client.say(b'c CANCELUPDATE "%b"' % tag)
        case ("check",):
            for _ in range(2):
                client.say(b"q NOOP")
            client.check()
        case _:
            pass


@pytest.mark.slow
def test_as_many_contexts_as_there_may_be(ctx: Talk) -> None:
    """20,000 searches to be followed: the first ones are, the others are answered all the same and told NOUPDATE."""
    deliver(ctx, "a", "x")
    ctx.say(b"a SELECT INBOX\r\n")
    told = ctx.say(b"".join([b"u%d SEARCH RETURN (UPDATE COUNT) UNSEEN\r\n" % number for number in range(20_000)]))
    refused = re.findall(rb'\* NO \[NOUPDATE "u(\d+)"\]', told)
    assert [int(number) for number in refused] == list(range(MAX_CONTEXTS, 20_000))
    assert told.count(b" COUNT 1\r\n") == 20_000
    told = ctx.say(b"b STORE 1 +FLAGS (\\Seen)\r\n")
    assert told.count(b"REMOVEFROM (0 1)") == MAX_CONTEXTS


@pytest.mark.parametrize(
    "search",
    [b"SORT RETURN (UPDATE COUNT) (RELEVANCY) UTF-8 FUZZY SUBJECT a", b"SEARCH RETURN (UPDATE COUNT) OLDER 5 BODY x"],
)
def test_what_is_not_followed(ctx: Talk, search: bytes) -> None:
    """RFC 5267 §4.3.1: refused with NOUPDATE, and answered all the same."""
    deliver(ctx, "a", "x")
    ctx.say(b"a SELECT INBOX\r\n")
    told = ctx.say(b"u %b\r\n" % search)
    assert b'* ESEARCH (TAG "u") COUNT 1\r\n* NO [NOUPDATE "u"]' in told
    assert b"\r\nu OK" in told


def test_contexts_end_with_the_mailbox(ctx: Talk, store: LocalMailStore) -> None:
    """RFC 5267 §4.3: updates cease when the mailbox is no longer selected; the tag may be used again then."""
    deliver(ctx, "a", "x")
    ctx.say(b"a SELECT INBOX\r\nu SEARCH RETURN (UPDATE) ALL\r\n")
    assert b"u BAD" in ctx.say(b"u SEARCH RETURN (UPDATE) ALL\r\n")
    ctx.say(b"b SELECT INBOX\r\n")
    deliver(ctx, "a", "x")
    assert b"ESEARCH" not in ctx.say(b"c NOOP\r\n")
    assert b"u OK" in ctx.say(b"u SEARCH RETURN (UPDATE) ALL\r\n")
