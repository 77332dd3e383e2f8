"""SORT beside a plain model (RFC 5256 §3, RFC 5957, RFC 5267 §3): every criterion, reversed or not, ties by sequence number."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.imap.selected.folder_order import sorted_in_runs
from mic_mail.mime.base_subject import base_subject
from mic_mail.mime.collation import casemap
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.search.indexing import Visited
from session_harness import REF, Talk, open_store

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = ("ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO", "FROM", "SIZE", "SUBJECT", "TO")


@dataclass(frozen=True)
class Letter:
    """A message, by what SORT compares."""

    subject: str
    sender: str
    name: str
    to: str
    cc: str
    sent: int | None
    received: int
    padding: int
    flagged: bool

    def octets(self) -> bytes:
        sender = f"{self.name} <{self.sender}@x.vn>" if self.name else f"{self.sender}@x.vn"
        lines = [f"From: {sender}", f"Subject: {self.subject}"]
        if self.to:
            lines.append(f"To: {self.to}@x.vn")
        if self.cc:
            lines.append(f"Cc: {self.cc}@x.vn, other@x.vn")
        if self.sent is not None:
            lines.append("Date: " + format_datetime(EPOCH + timedelta(seconds=self.sent)))
        return "\r\n".join([*lines, "", "x" * self.padding, ""]).encode()

    def key(self, name: str) -> object:
        """What is compared under a criterion; texts as the collation maps them."""
        match name:
            case "ARRIVAL":
                return self.received
            case "CC":
                return casemap(self.cc)
            case "DATE":
                return self.received if self.sent is None else self.sent
            case "DISPLAYFROM":
                return casemap(self.name or f"{self.sender}@x.vn")
            case "DISPLAYTO":
                return casemap(f"{self.to}@x.vn" if self.to else "")
            case "FROM":
                return casemap(self.sender)
            case "SIZE":
                return len(self.octets())
            case "SUBJECT":
                return casemap(base_subject(self.subject).text)
            case _:
                return casemap(self.to)


WORDS = st.sampled_from(["", "a", "B", "b", "c"])
LETTERS = st.builds(
    Letter,
    subject=st.sampled_from(["", "a", "A", "Re: a", "b", "[x] b", "ô", "Ố", "đ", "z", "(fwd)"]),
    sender=st.sampled_from(["a", "B", "b", "c"]),
    name=st.sampled_from(["", "An", "an", "Bình", "Zoe"]),
    to=WORDS,
    cc=WORDS,
    sent=st.none() | st.integers(0, 5),
    received=st.integers(0, 5),
    padding=st.integers(0, 3),
    flagged=st.booleans(),
)
CRITERIA = st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), min_size=1, max_size=4)


def fill(account: Account, letters: Sequence[Letter]) -> None:
    inbox = account.folder("INBOX").folder_id
    for letter in letters:
        staged = account.stage()
        staged.write(letter.octets())
        staged.finish_later()
        received = int((EPOCH + timedelta(seconds=letter.received)).timestamp() * 1_000_000)
        account.publish(inbox, [Delivery(staged, answers_of(letter.octets()), 2 * letter.flagged, received_at_us=received)])


def answered(ctx: Talk, command: str, word: str) -> list[int]:
    found = re.search(rf"^\* {word}((?: \d+)*)\r$".encode(), ctx.say(f"x {command}\r\n".encode()), re.MULTILINE)
    assert found is not None
    return [int(number) for number in found[1].split()]


def expected(letters: Sequence[Letter], criteria: Sequence[tuple[str, bool]]) -> list[int]:
    """Sequence numbers, sorted by one criterion after the other, the last one first: sorting is stable."""
    numbers = list(range(1, len(letters) + 1))
    for name, reverse in reversed(criteria):
        numbers.sort(key=lambda number: letters[number - 1].key(name), reverse=reverse)  # type: ignore[arg-type, return-value]
    return numbers


@given(st.lists(LETTERS, max_size=12), st.lists(CRITERIA, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_sort_beside_a_model(letters: list[Letter], asked: list[list[tuple[str, bool]]]) -> None:
    """SORT gives what Python's sort gives, for all messages and for some; UID SORT and ESORT say the same."""
    with folder_in_memory() as folder:
        store = open_store(folder)
        ctx = Talk(store).sign_in()
        fill(ctx.account, letters)
        ctx.say(b"a SELECT INBOX\r\n")
        for criteria in asked:
            written = " ".join(f"REVERSE {name}" if reverse else name for name, reverse in criteria)
            order = expected(letters, criteria)
            assert answered(ctx, f"SORT ({written}) UTF-8 ALL", "SORT") == order
            assert answered(ctx, f"UID SORT ({written}) UTF-8 UNDELETED", "SORT") == order
            flagged = [number for number in order if letters[number - 1].flagged]
            assert answered(ctx, f"SORT ({written}) UTF-8 FLAGGED", "SORT") == flagged
            told = ctx.say(f"x SORT RETURN (ALL) ({written}) UTF-8 FLAGGED\r\n".encode())
            found = re.search(rb" ALL ([0-9:,]+)", told)
            ranges = [item.split(b":") for item in found[1].split(b",")] if found else []
            assert [number for item in ranges for number in range(int(item[0]), int(item[-1]) + 1)] == flagged
        store.close()


@given(st.lists(st.integers(0, 20), max_size=200), st.booleans(), st.integers(1, 9))
def test_sorting_in_runs_is_sorting(monkeypatch_module: pytest.MonkeyPatch, column: list[int], reverse: bool, run: int) -> None:
    """Runs that are merged give the order of one sort, ties included, however long they are."""
    monkeypatch_module.setattr("mic_mail.imap.selected.folder_order._RUN", run)
    positions = list(range(len(column)))
    assert sorted_in_runs(positions, column, reverse=reverse) == sorted(positions, key=column.__getitem__, reverse=reverse)


@pytest.fixture(scope="module")
def monkeypatch_module() -> object:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_new_and_expunged_messages_join_and_leave_the_order(ctx: Talk) -> None:
    """An order that was made is brought up to date, whichever way the folder changed."""
    letter = Letter("b", "a", "", "", "", 0, 0, 0, flagged=False)
    fill(ctx.account, [letter, letter])
    ctx.say(b"a SELECT INBOX\r\n")
    assert answered(ctx, "SORT (SUBJECT) UTF-8 ALL", "SORT") == [1, 2]
    fill(ctx.account, [Letter("a", "a", "", "", "", 0, 0, 0, flagged=False)])
    ctx.say(b"b NOOP\r\n")
    assert answered(ctx, "SORT (SUBJECT) UTF-8 ALL", "SORT") == [3, 1, 2]
    ctx.say(b"c STORE 1 +FLAGS (\\Deleted)\r\n")
    ctx.say(b"d EXPUNGE\r\n")
    assert answered(ctx, "SORT (SUBJECT) UTF-8 ALL", "SORT") == [2, 1]
    assert answered(ctx, "UID SORT (SUBJECT) UTF-8 ALL", "SORT") == [3, 2]


def test_messages_that_are_gone_keep_their_place(ctx: Talk) -> None:
    """What another session expunged has its number until EXPUNGE may be told, and is sorted as it was."""
    fill(ctx.account, [Letter(subject, "a", "", "", "", 0, 0, 0, flagged=False) for subject in "cab"])
    ctx.say(b"a SELECT INBOX\r\n")
    inbox = ctx.account.folder("INBOX").folder_id
    ctx.account.store_flags(inbox, [2], "+", 4)
    ctx.account.expunge(inbox)
    assert answered(ctx, "SORT (SUBJECT) UTF-8 ALL", "SORT") == [2, 3, 1]


def test_as_many_criteria_as_fit_in_a_command(ctx: Talk) -> None:
    """A key that comes again decides nothing: 10,000 criteria cost no more than nine."""
    fill(ctx.account, [Letter(subject, "a", "", "", "", 0, 0, 0, flagged=False) for subject in "cab"])
    ctx.say(b"a SELECT INBOX\r\n")
    assert answered(ctx, f"SORT ({'SUBJECT REVERSE SIZE ' * 2500}) UTF-8 ALL", "SORT") == [2, 3, 1]


def test_sort_and_thread_answer_alike_whatever_is_indexed(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of none, some and all messages the keys lie in `search.sqlite`; of none they are made."""
    monkeypatch.setattr("mic_mail.imap.commands.sort_order.INDEXED_FROM", 1)
    monkeypatch.setattr("mic_mail.imap.commands.sort_order.INDEXED_MESSAGES", 2)
    made: list[int] = []
    make = Account.orderings

    def count(self: Account, folder_id: int, uids: Sequence[int]) -> object:
        made.append(len(uids))
        return make(self, folder_id, uids)

    monkeypatch.setattr(Account, "orderings", count)
    commands = ["SORT (SUBJECT REVERSE DATE)", "SORT (DISPLAYFROM ARRIVAL)", "THREAD REFERENCES", "THREAD ORDEREDSUBJECT"]
    account = store.account(REF)
    for turn in range(2):
        fill(
            account,
            [Letter(s, f"{s}{turn}@a.vn", "", "", "", 9 - turn, turn, 0, flagged=False) for s in ("b", "Re: a", "", "a")],
        )
        answers, lacking = [], []
        for _ in range(2):  # before the indexer comes and after
            made.clear()
            for command in commands:
                ctx = Talk(store).sign_in()
                ctx.say(b"a SELECT INBOX\r\n")
                answers.append(ctx.say(f"c {command} UTF-8 ALL\r\n".encode()))
            lacking.append(set(made))
            account.index_text(Visited())
        assert answers[:4] == answers[4:]
        assert lacking == [{4}, set()]


def test_the_first_sort_of_a_large_mailbox_tells_of_its_progress(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9585: what is compared is made in slices, and who waits for it hears how far it is."""
    monkeypatch.setattr("mic_mail.imap.commands.sort_order.SLICE_MESSAGES", 1)
    fill(ctx.account, [Letter(subject, "a", "", "", "", 0, 0, 0, flagged=False) for subject in "cab"])
    ctx.say(b"a SELECT INBOX\r\n")
    make = Account.orderings

    def slowly(self: Account, *args: object) -> object:
        ctx.clock.move_to(ctx.clock.now() + timedelta(minutes=1))
        return make(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Account, "orderings", slowly)
    told = ctx.say(b"f SORT (SUBJECT) UTF-8 ALL\r\n")
    assert re.findall(rb'\* OK \[INPROGRESS \("f" (\d+) (\d+)\)\]', told) == [(b"1", b"3"), (b"2", b"3")]
    assert b"* SORT 2 3 1\r\nf OK" in told
