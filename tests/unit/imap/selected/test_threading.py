"""THREAD beside a plain reading of RFC 5256 §3, on messages that refer to each other in every way, and to nobody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.imap.selected.folder_order import FolderOrder
from mic_mail.imap.selected.threading import AT_ONCE, SLICE_MESSAGES, Forest, Messages, ordered_subject, references, write
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from session_harness import Talk


@dataclass(frozen=True)
class Letter:
    """A message as THREAD sees it; ids are small numbers, so that they meet each other."""

    own: int | None
    refs: tuple[int, ...]
    subject: str
    is_reply: bool
    sent: int


IDS = st.integers(0, 9)
LETTERS = st.lists(
    st.builds(
        Letter,
        own=st.none() | IDS,
        refs=st.lists(IDS, max_size=4).map(tuple),
        subject=st.sampled_from(["", "a", "b", "c"]),
        is_reply=st.booleans(),
        sent=st.integers(0, 4),
    ),
    max_size=14,
)


def columns(letters: Sequence[Letter]) -> Messages:
    return Messages(
        ids=[b"" if letter.own is None else b"%08d" % letter.own for letter in letters],
        references=[b"".join(b"%08d" % ref for ref in letter.refs) for letter in letters],
        subjects=[letter.subject.encode() for letter in letters],
        replies=[letter.is_reply for letter in letters],
        by_date=sorted(range(len(letters)), key=lambda at: letters[at].sent),
    )


def finished(steps: Iterator[None]) -> Forest:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            forest = end.value
            assert isinstance(forest, Forest)
            return forest


def written(forest: Forest) -> str:
    return write(forest, range(1, forest.count + 1)).decode().strip()


# ------------------------------------------------------------------ the algorithm as the RFC tells it


@dataclass(eq=False)
class Node:
    """A message, or a dummy."""

    number: int | None = None
    letter: Letter | None = None
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    def is_above(self, other: Node | None) -> bool:
        while other is not None:
            if other is self:
                return True
            other = other.parent
        return False

    def adopt(self, child: Node) -> None:
        child.parent = self
        self.children.append(child)

    def leave(self) -> None:
        if self.parent is not None:
            self.parent.children.remove(self)
            self.parent = None

    @property
    def date(self) -> tuple[int, int]:
        if self.letter is None:
            return self.children[0].date
        assert self.number is not None
        return self.letter.sent, self.number

    @property
    def head(self) -> Letter:
        """Of a dummy that of its first child."""
        return self.children[0].head if self.letter is None else self.letter

    def __str__(self) -> str:
        own = [str(self.number)] if self.letter else []
        if len(self.children) == 1 and self.letter:
            return " ".join([*own, str(self.children[0])])
        if not self.children:
            return own[0]
        return " ".join([*own, "".join(f"({child})" for child in self.children)])


def thread_by_the_book(letters: Sequence[Letter], *, by_subject: bool = True) -> str:
    """RFC 5256 §3, REFERENCES; the numbers are its steps."""
    by_id: dict[int, Node] = {}
    nodes = [Node(number, letter) for number, letter in enumerate(letters, 1)]
    for node, letter in zip(nodes, letters, strict=True):
        if letter.own is not None:
            by_id.setdefault(letter.own, node)
    for node, letter in zip(nodes, letters, strict=True):  # (1)
        chain = [by_id.setdefault(ref, Node()) for ref in letter.refs]
        for parent, child in pairwise(chain):  # (A)
            if child.parent is None and not child.is_above(parent):
                parent.adopt(child)
        last = chain[-1] if chain else None  # (B)
        if last is None or node.parent is not last:
            node.leave()
            if last is not None and not node.is_above(last):
                last.adopt(node)
    root = Node()
    for node in [*nodes, *by_id.values()]:  # (2)
        if node.parent is None:
            root.adopt(node)
    prune(root, root)  # (3)
    for thread in root.children:  # (4)
        if thread.letter is None:
            thread.children.sort(key=lambda node: node.date)
    root.children.sort(key=lambda node: node.date)
    if by_subject:
        gather(root)  # (5)
    arrange(root)  # (6)
    if not by_subject:
        root.children.sort(key=newest)
    return ("* THREAD " + "".join(f"({thread})" for thread in root.children)).strip()


def prune(node: Node, root: Node) -> None:
    for child in list(node.children):
        prune(child, root)
        if child.letter is not None:
            continue
        if node is root and len(child.children) > 1:
            continue
        child.leave()
        for grandchild in list(child.children):
            grandchild.leave()
            node.adopt(grandchild)


def gather(root: Node) -> None:
    table: dict[str, Node] = {}
    for node in root.children:  # (B)
        subject = node.head.subject
        known = table.get(subject)
        if not subject:
            continue
        if known is None or (
            known.letter is not None and (node.letter is None or (known.letter.is_reply and not node.letter.is_reply))
        ):
            table[subject] = node
    for node in list(root.children):  # (C)
        subject = node.head.subject
        if node.parent is not root or not subject or table[subject] is node:
            continue
        known = table[subject]
        node.leave()
        if known.letter is None and node.letter is None:
            for child in list(node.children):
                child.leave()
                known.adopt(child)
        elif known.letter is None or (node.letter is not None and node.letter.is_reply and not known.letter.is_reply):
            known.adopt(node)
        else:
            known.leave()
            both = Node()
            both.adopt(known)
            both.adopt(node)
            root.adopt(both)
            table[subject] = both


def arrange(node: Node) -> None:
    for child in node.children:
        arrange(child)
    node.children.sort(key=lambda child: child.date)


def newest(node: Node) -> tuple[int, int]:
    own = [(node.letter.sent, node.number or 0)] if node.letter else []
    return max([*own, *(newest(child) for child in node.children)])


# ------------------------------------------------------------------ the tests


@pytest.mark.slow
@given(LETTERS)
@settings(max_examples=1500, deadline=None)
def test_references_by_the_book(letters: list[Letter]) -> None:
    """The forest is the one that the RFC's six steps give, loops and false references included."""
    assert written(finished(references(columns(letters)))) == thread_by_the_book(letters)


@given(LETTERS)
@settings(max_examples=300, deadline=None)
def test_refs_by_the_book(letters: list[Letter]) -> None:
    """REFS is the same without subjects, sorted by the newest message of each thread."""
    assert written(finished(references(columns(letters), by_subject=False))) == thread_by_the_book(letters, by_subject=False)


@given(LETTERS)
def test_ordered_subject_by_the_book(letters: list[Letter]) -> None:
    """Sorted by subject and date, parted by subject, threads by the date of their first (RFC 5256 §3)."""
    numbers = sorted(range(1, len(letters) + 1), key=lambda n: (letters[n - 1].subject, letters[n - 1].sent))
    threads: dict[str, list[int]] = {}
    for number in numbers:
        threads.setdefault(letters[number - 1].subject, []).append(number)
    shown = []
    for first, *others in sorted(threads.values(), key=lambda thread: (letters[thread[0] - 1].sent, thread[0])):
        below = f" {others[0]}" if len(others) == 1 else " " + "".join(f"({other})" for other in others) if others else ""
        shown.append(f"({first}{below})")
    assert written(ordered_subject(columns(letters))) == ("* THREAD " + "".join(shown)).strip()


@given(LETTERS)
def test_every_message_is_told_once(letters: list[Letter]) -> None:
    """Whatever is referred to: no message is lost or told twice, and brackets close."""
    told = written(finished(references(columns(letters))))
    assert sorted(int(number) for number in re.findall(r"\d+", told)) == list(range(1, len(letters) + 1))
    assert told.count("(") == told.count(")")
    assert "()" not in told


def test_the_examples_of_the_response() -> None:
    """RFC 5256 §4: a chain that splits, and siblings whose parent is not there."""
    letters = [
        Letter(2, (), "x", False, 0),
        Letter(3, (), "y", False, 1),
        Letter(6, (3,), "", False, 2),
        Letter(4, (3, 6), "", False, 3),
        Letter(23, (4,), "", False, 4),
        Letter(44, (6,), "", False, 5),
        Letter(7, (44,), "", False, 6),
        Letter(96, (7,), "", False, 7),
    ]
    forest = finished(references(columns(letters)))
    assert write(forest, [2, 3, 6, 4, 23, 44, 7, 96]) == b"* THREAD (2)(3 6 (4 23)(44 7 96))\r\n"
    orphans = [Letter(3, (1,), "", False, 0), Letter(5, (1,), "", False, 1)]
    assert write(finished(references(columns(orphans))), [3, 5]) == b"* THREAD ((3)(5))\r\n"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("shape", ["chain", "backwards", "circle", "star", "stolen", "combs"])
def test_hostile_references(shape: str) -> None:
    """20,000 messages that refer to each other so that walks are long: threaded in seconds, without recursion."""
    count = 20_000
    match shape:
        case "chain":
            letters = [Letter(at, (at - 1,) if at else (), "", False, at) for at in range(count)]
        case "backwards":
            letters = [Letter(at, (at + 1,), "", False, at) for at in range(count)]
        case "circle":
            letters = [Letter(at, ((at + 1) % count,), "", False, at) for at in range(count)]
        case "star":
            letters = [Letter(at, (0,), "", False, at) for at in range(count)]
        case "stolen":  # each message gives the next one another parent than that has
            letters = [Letter(at, (max(0, at - 7), at + 1, at + 2, max(0, at - 1)), "", False, at) for at in range(count)]
        case _:
            letters = [Letter(at, tuple(range(count + at, count + at + 40)), "", False, at) for at in range(count // 10)]
    told = written(finished(references(columns(letters))))
    assert len(re.findall(r"\d+", told)) == len(letters)


def append(ctx: Talk, *messages: bytes) -> None:
    inbox = ctx.account.folder("INBOX").folder_id
    for message in messages:
        staged = ctx.account.stage()
        staged.write(message)
        staged.finish_later()
        ctx.account.publish(inbox, [Delivery(staged, answers_of(message))])


def test_threads_are_kept_and_made_anew(ctx: Talk) -> None:
    """The same question gets the same answer by either kind of number; a new message and an expunged one change it."""
    append(ctx, b"Subject: a\r\nMessage-ID: <1@x>\r\n\r\n", b"Subject: b\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\n\r\n")
    ctx.say(b"a SELECT INBOX\r\n")
    for _ in range(2):
        assert b"* THREAD (1 2)\r\n" in ctx.say(b"b THREAD REFERENCES UTF-8 ALL\r\n")
        assert b"* THREAD (1)(2)\r\n" in ctx.say(b"c THREAD ORDEREDSUBJECT UTF-8 ALL\r\n")
    append(ctx, b"Subject: c\r\nIn-Reply-To: <1@x>\r\n\r\n")
    ctx.say(b"d NOOP\r\n")
    assert b"* THREAD (1 (2)(3))\r\n" in ctx.say(b"e THREAD REFERENCES UTF-8 ALL\r\n")
    ctx.say(b"f STORE 1 +FLAGS (\\Deleted)\r\ng EXPUNGE\r\n")
    assert b"* THREAD ((2)(3))\r\n" in ctx.say(b"h UID THREAD REFERENCES UTF-8 ALL\r\n")
    assert b"* THREAD ((1)(2))\r\n" in ctx.say(b"i THREAD REFERENCES UTF-8 ALL\r\n")
    assert b"* THREAD (2)\r\n" in ctx.say(b"j THREAD REFERENCES UTF-8 SUBJECT c\r\n")


def test_threads_of_a_part_are_kept(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last search's are answered again without being made; another part, or other numbers, have threads of their own."""
    made: list[list[int]] = []
    thread_keys = FolderOrder.thread_keys

    def counted(order: FolderOrder, positions: Sequence[int]) -> object:
        made.append(list(positions))
        return thread_keys(order, positions)

    monkeypatch.setattr(FolderOrder, "thread_keys", counted)
    append(ctx, *(b"Subject: a\r\nMessage-ID: <%d@x>\r\nReferences: <0@x>\r\n\r\n" % number for number in range(4)))
    ctx.say(b"a SELECT INBOX\r\nb STORE 1 +FLAGS (\\Seen)\r\n")
    for _ in range(2):
        assert b"* THREAD ((2)(3)(4))\r\n" in ctx.say(b"c THREAD REFERENCES UTF-8 UNSEEN\r\n")
        assert b"* THREAD (1 (2)(3)(4))\r\n" in ctx.say(b"d THREAD REFERENCES UTF-8 ALL\r\n")
    assert made == [[1, 2, 3], [0, 1, 2, 3]]
    ctx.say(b"e STORE 2 +FLAGS (\\Seen)\r\n")
    assert b"* THREAD ((3)(4))\r\n" in ctx.say(b"f THREAD REFERENCES UTF-8 UNSEEN\r\n")
    ctx.say(b"g STORE 2 -FLAGS (\\Seen)\r\nh STORE 4 +FLAGS (\\Seen)\r\n")
    assert b"* THREAD ((2)(3))\r\n" in ctx.say(b"i THREAD REFERENCES UTF-8 UNSEEN\r\n")
    assert made[2:] == [[2, 3], [1, 2]]


@pytest.mark.parametrize(("count", "pauses"), [(AT_ONCE, False), (AT_ONCE + 1, True)])
def test_many_messages_are_threaded_in_slices(count: int, pauses: bool) -> None:
    """Few are not, since each pause is a way to the loop and back."""
    letters = [Letter(at, (), "", False, at) for at in range(count)]
    assert len(list(references(columns(letters)))) >= count // SLICE_MESSAGES * pauses
    assert bool(list(references(columns(letters)))) is pauses
