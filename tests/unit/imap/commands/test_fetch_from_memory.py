"""FETCH of a few messages whose answers are in memory: the same octets as from the store, and no work of a thread."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from messages.hard import HARD
from mic_mail.storage.changes.maildir_names import MaildirNames
from mic_mail.storage.index.answer_rows import FEW_MESSAGES, AnswerRows
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AnswerRow
from session_harness import Talk, open_store

MESSAGE = (
    b"From: dvbe@mic.gov.vn\r\nSubject: so %d\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nmot hai ba\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>bon\r\n--b--\r\n"
)
ITEMS = (
    b"UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE",
    b"BODY BODYSTRUCTURE",
    b"BODY.PEEK[HEADER.FIELDS (Subject From)] BODY.PEEK[HEADER.FIELDS.NOT (Subject)] UID",
    b"BODY.PEEK[HEADER]",
    b"RFC822.HEADER ENVELOPE",
    b"BODY.PEEK[1] BODY.PEEK[2.MIME] BODY.PEEK[7]",
    b"UID BODY.PEEK[TEXT]<3.20>",
    b"BODY.PEEK[]",
    b"BODY.PEEK[] BODY.PEEK[1.HEADER]",
)


@pytest.fixture
def other(tmp_path: Path, store: LocalMailStore) -> Iterator[LocalMailStore]:
    """The store of another process."""
    store.account(Talk(store).account.ref).folders()
    other = open_store(tmp_path)
    yield other
    other.close()


def append(ctx: Talk, octets: bytes) -> None:
    binary = b"~" if b"\0" in octets else b""
    assert b"p OK" in ctx.say(b"p APPEND INBOX %b{%d+}\r\n%b\r\n" % (binary, len(octets), octets))


def fetched(ctx: Talk, messages: bytes, items: bytes) -> tuple[int, bytes]:
    """The calls of the store, and the answer."""
    before = ctx.work
    answer = ctx.say(b"f FETCH %b (%b)\r\n" % (messages, items))
    return ctx.work - before, answer


def forgetful(store: LocalMailStore) -> Talk:
    """A session that gets all from the store."""
    talk = Talk(store).sign_in()
    talk.host.remembers = False
    return talk


def test_a_new_message_is_fetched_from_memory_where_it_was_added(store: LocalMailStore, ctx: Talk) -> None:
    ctx.say(b"s SELECT INBOX\r\n")
    append(ctx, MESSAGE % 1)
    asking = forgetful(store)
    asking.say(b"s SELECT INBOX\r\n")
    for items in ITEMS:
        work, answer = fetched(ctx, b"1", items)
        assert work == 0, items
        assert answer.replace(b"\\Recent", b"") == fetched(asking, b"1", items)[1], items


def test_a_new_message_of_another_process_is_fetched_from_memory(ctx: Talk, other: LocalMailStore) -> None:
    """The query that tells of it reads its answers along."""
    append(ctx, MESSAGE % 1)
    there = Talk(other).sign_in()
    there.say(b"s SELECT INBOX\r\n")
    append(ctx, MESSAGE % 2)
    before = there.work
    assert b"* 2 EXISTS" in there.say(b"n NOOP\r\n")
    assert there.work > before
    for items in ITEMS:
        work, answer = fetched(there, b"2", items)
        assert work == 0, items
        assert answer.count(b"FETCH (") == 1
    assert b"Subject: so 2" in fetched(there, b"2", b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]")[1]


@pytest.mark.parametrize("items", ITEMS)
def test_messages_are_read_once(store: LocalMailStore, ctx: Talk, items: bytes) -> None:
    """Once a few messages were asked for, whatever else is asked about them comes from memory."""
    for number in range(3):
        append(ctx, MESSAGE % number)
    ctx.say(b"s SELECT INBOX\r\n")
    asking = forgetful(store)
    asking.say(b"s SELECT INBOX\r\n")
    work, answer = fetched(ctx, b"1:3", b"ENVELOPE")
    assert work == 1
    assert answer == fetched(asking, b"1:3", b"ENVELOPE")[1]
    work, answer = fetched(ctx, b"1,3", items)
    assert work == 0 or items == b"BODY.PEEK[]"  # several whole messages go by slices
    assert answer.replace(b"\\Recent", b"") == fetched(asking, b"1,3", items)[1]


def test_hard_messages_have_the_same_answers_from_memory(store: LocalMailStore, ctx: Talk) -> None:
    ctx.say(b"s SELECT INBOX\r\n")
    for octets in HARD.values():
        if octets:
            append(ctx, octets)
    asking = forgetful(store)
    asking.say(b"s SELECT INBOX\r\n")
    for number in range(1, 1 + sum(map(bool, HARD.values()))):
        for items in ITEMS:
            answer = fetched(ctx, b"%d" % number, items)[1]
            assert answer.replace(b"\\Recent", b"") == fetched(asking, b"%d" % number, items)[1], (number, items)


def test_names_that_follow_flags_and_files_that_go(store: LocalMailStore, ctx: Talk) -> None:
    for number in range(2):
        append(ctx, MESSAGE % number)
    ctx.say(b"s SELECT INBOX\r\nf FETCH 1:2 BODY\r\n")
    other = Talk(store).sign_in()
    other.say(b"s SELECT INBOX\r\nt STORE 1 FLAGS (\\Flagged \\Answered)\r\nt STORE 2 FLAGS (\\Deleted)\r\n")
    ctx.account.flush_names()
    ctx.say(b"n NOOP\r\n")
    assert fetched(ctx, b"1", b"BODY.PEEK[TEXT]")[0] == 0
    assert fetched(ctx, b"1", b"BODY.PEEK[]")[0] == 0
    other.say(b"x EXPUNGE\r\n")
    work, answer = fetched(ctx, b"2", b"BODY.PEEK[TEXT]")  # still numbered here, and readable
    assert work == 1
    assert b"mot hai ba" in answer


def test_what_was_not_published_leaves_no_answers(store: LocalMailStore, ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The UID of a message that was undone is given to the next one."""
    append(ctx, MESSAGE % 0)
    ctx.say(b"s SELECT INBOX\r\n")

    def failing(names: MaildirNames) -> None:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(MaildirNames, "write_sidecars", failing)
        octets = MESSAGE % 1
        assert b"p NO" in ctx.say(b"p APPEND INBOX {%d+}\r\n%b\r\n" % (len(octets), octets))
    append(ctx, MESSAGE % 2)
    work, answer = fetched(ctx, b"2", b"UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]")
    assert (work, b"UID 2" in answer, b"so 2" in answer) == (0, True, True)


def test_many_messages_and_long_headers_go_by_the_store(ctx: Talk) -> None:
    for number in range(FEW_MESSAGES + 1):
        append(ctx, MESSAGE % number)
    append(ctx, b"X-Long: " + b"y" * 300_000 + b"\r\n\r\n")
    ctx.say(b"s SELECT INBOX\r\nf FETCH 1:30 BODY\r\nf FETCH 31:* BODY\r\n")
    assert fetched(ctx, b"1:32", b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]")[0] == 0
    assert fetched(ctx, b"1:33", b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]")[0] == 1
    work, answer = fetched(ctx, b"34", b"BODY.PEEK[HEADER]")
    assert work > 0
    assert answer.count(b"y") == 300_000


def test_what_takes_long_to_search_goes_by_the_store(store: LocalMailStore, ctx: Talk) -> None:
    """Headers of very short fields, and fields that are cut out of parts or windows."""
    for _ in range(5):
        append(ctx, b"a:\r\n" * 1000 + b"\r\nx\r\n")
    ctx.say(b"s SELECT INBOX\r\nf FETCH 1:5 BODY\r\n")
    asking = forgetful(store)
    asking.say(b"s SELECT INBOX\r\n")
    for messages, items, turns in (
        (b"1:4", b"BODY.PEEK[HEADER.FIELDS (A)]", 0),
        (b"1:5", b"BODY.PEEK[HEADER.FIELDS (B)]", 1),
        (b"1", b"BODY.PEEK[HEADER.FIELDS (C)] BODY.PEEK[HEADER.FIELDS.NOT (B C)]", 0),
        (b"1", b"BODY.PEEK[1.HEADER.FIELDS (C)]", 1),
        (b"1", b"BODY.PEEK[HEADER.FIELDS (A)]<2.9>", 1),
    ):
        work, answer = fetched(ctx, messages, items)
        assert (work, answer.replace(b"\\Recent", b"")) == (turns, fetched(asking, messages, items)[1]), items


def test_rows_are_bounded() -> None:
    """By their octets; what is large is not kept, and nothing of an account whose index was rebuilt."""
    rows = AnswerRows(most_octets=20_000)

    def row(octets: int) -> AnswerRow:
        return AnswerRow(0, b"", None, b"", b"", b"x" * octets, b"", "path")

    for uid in range(30):
        rows.put((1, 1, 1), [(uid, row(1_000))])
    assert sum(rows.get((1, 1, 1), [uid]) is not None for uid in range(30)) == 10
    rows.put((2, 1, 1), [(1, row(100_000))])
    assert rows.get((2, 1, 1), [1]) is None
    assert rows.get((1, 1, 1), [28, 29]) is not None
    assert rows.get((1, 1, 1), [28, 30]) is None
    rows.forget(1)
    assert rows.get((1, 1, 1), [29]) is None
