"""Any commands in any order, on a real store: every one is answered, none finds a bug, and what is told stays consistent."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from session_harness import Talk, open_store
from unit.imap.random_commands import COMMANDS


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), COMMANDS), min_size=5, max_size=40))
def test_any_commands_of_two_sessions_are_answered(script: list[tuple[int, bytes]]) -> None:
    """One tagged answer each; EXISTS never takes away; an EXPUNGE names a message that is there; nothing is a server's bug."""
    with folder_in_memory() as folder:
        store = open_store(folder)
        try:
            talks = [Talk(store).sign_in() for _ in range(2)]
            for ctx in talks:
                ctx.say(b"p APPEND INBOX {24+}\r\nSubject: x\r\n\r\nnoi dung.\r\n")
            counts = [0, 0]
            for number, (which, octets) in enumerate(script):
                ctx = talks[which]
                if ctx.over:  # another session deleted its mailbox
                    continue
                tag = b"t%d" % number
                answer = ctx.say(b"%b %b\r\n" % (tag, octets))
                assert not ctx.notes or ctx.notes[-1].error is None, (octets, ctx.notes[-1])
                assert ctx.over or re.search(rb"^%b (OK|NO|BAD) " % tag, answer, re.MULTILINE), (octets, answer)
                assert b"SERVERBUG" not in answer
                counts[which] = follow(octets, answer, counts[which])
        finally:
            store.close()


def follow(octets: bytes, answer: bytes, count: int) -> int:
    """The number of messages that a client believes in after `answer`."""
    leaves = octets.startswith((b"SELECT", b"EXAMINE", b"CLOSE", b"UNSELECT", b"DELETE", b"ENABLE QRESYNC"))
    if leaves and not re.search(rb"^t\d+ BAD ", answer, re.MULTILINE):  # `SELECT ""` is no command: what is selected stays so
        count = 0
    for line in re.findall(rb"^\* (.+)\r\n", answer, re.MULTILINE):
        words = line.split()
        if words[-1:] == [b"EXISTS"]:
            assert int(words[0]) >= count or count == 0, answer
            count = int(words[0])
        elif words[-1:] == [b"EXPUNGE"] and len(words) == 2:
            assert 1 <= int(words[0]) <= count, answer
            count -= 1
        elif words[:1] == [b"VANISHED"] and b"(EARLIER)" not in line:
            count = 0  # how many is told by the next EXISTS
    return count
