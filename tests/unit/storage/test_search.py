"""SEARCH BODY, TEXT and HEADER: what counts as the text of a message (RFC 9051 §6.4.4), and that segments answer as the
scan does, whatever became of them, of the messages and of the index."""

import math
import os
import random
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import compress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from memory_folder import folder_in_memory
from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.fulltext import file as fulltext_file
from mic_mail.storage.fulltext import segment
from mic_mail.storage.fulltext.file import SearchFile
from mic_mail.storage.fulltext.segment import Words
from mic_mail.storage.fulltext.segments import Segments
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.reads.sort_keys import Ordered
from mic_mail.storage.search import lookup, writer
from mic_mail.storage.search import scan as scan_module
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.search.scan import _Fields, _Test
from mic_mail.storage.store import OpenMessage
from mic_mail.storage.types import TextTest
from store_harness import REF, Root
from unit.storage.grounds import DatabaseRoot

MESSAGE = """\
From: Đỗ Văn Bê <dvbe@mic.gov.vn>
Subject: =?UTF-8?Q?Th=C3=B4ng_b=C3=A1o?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64

S+G6vyBob+G6oWNoIHF1w70gSQ==
--b
Content-Type: application/pdf; name="=?UTF-8?B?aMOzYSDEkcahbi5wZGY=?="
Content-Transfer-Encoding: base64

bWF0IGtoYXU=
--b
Content-Type: message/rfc822

Subject: =?UTF-8?Q?C=C3=B4ng_v=C4=83n?=

noi dung
--b--
""".replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("kind", "value", "hit"),
    [
        ("BODY", "kế hoạch", True),
        ("BODY", "KẾ HOẠCH", True),
        ("BODY", "ke hoach", True),
        ("BODY", "kế hoach", False),
        ("BODY", "hóa đơn", True),
        ("BODY", "công văn", True),
        ("BODY", "noi dung", True),
        ("BODY", "thông báo", False),
        ("BODY", "", True),
        ("TEXT", "", True),
        ("TEXT", "thông báo", True),
        ("TEXT", "mat khau", False),
        ("TEXT", "bWF0IGtoYXU=", False),
    ],
    ids=str,
)
def test_what_the_text_of_a_message_is(root: Root, kind: str, value: str, hit: bool) -> None:
    """Text parts decoded, names of attachments, headers of enclosed messages; the own header for TEXT only; never the
    content of an attachment that is no text, nor its encoding."""

    def find(account: Account) -> bool:
        inbox = account.folder("INBOX").folder_id
        staged = account.stage()
        staged.write(MESSAGE)
        staged.finish()
        account.publish(inbox, [Delivery(staged, answers_of(MESSAGE))])
        ((_, (found,)),) = account.find_text(inbox, [1], [TextTest(kind, value)])  # type: ignore[arg-type]  # of the table above
        return found

    assert root.use(find) is hit


@pytest.mark.parametrize(
    ("field", "value", "hit"),
    [
        ("from", "dvbe@mic.gov.vn", True),
        ("from", "van be <dvbe@mic", True),
        ("from", "(phòng)", True),
        ("to", "b@c.vn", True),
        ("to", "nhóm", True),
        ("to", "dvbe", False),
        ("subject", "a@b", False),
    ],
)
def test_comments_do_not_hide_an_address(field: str, value: str, hit: bool) -> None:
    """FROM and its kin find what the envelope shows (RFC 9051 §6.4.4) as well as what is written; other fields are text."""
    header = (
        "From: Van Be <dvbe (phòng)@ (bộ) mic.gov.vn>\r\nTo: nhóm: <b (x) @c.vn>, d@e.vn;\r\nSubject: a (x)@b\r\n\r\n"
    ).encode()
    assert _Test(TextTest("HEADER", value, field)).in_header(_Fields(header)) is hit


def test_an_empty_value_asks_for_the_field() -> None:
    """RFC 9051 §6.4.4: HEADER with an empty string tests whether the field is there."""
    header = b"Subject:\r\nX-Test: a\r\n\r\n"
    assert _Test(TextTest("HEADER", "", "subject")).in_header(_Fields(header))
    assert _Test(TextTest("HEADER", "", "x-test")).in_header(_Fields(header))
    assert not _Test(TextTest("HEADER", "", "x-other")).in_header(_Fields(header))


# ------------------------------------------------------------------ by segments


@pytest.fixture
def timed(root: Root) -> Root:
    """A root whose clock stands still."""
    root.clock = ManualClock(datetime(2026, 11, 1, tzinfo=UTC))
    return root


WORDS = ["hóa", "đơn", "hoa", "don", "phở", "Phòng", "a"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
ADDRESSES = st.sampled_from(["Nguyễn Lan <lan@x.vn>", "hoa (phòng) <b (x)@ y.vn>", "a@x@y.vn", ""])
MESSAGES = st.one_of(
    st.builds(
        lambda sender, subject, body, html, cut: (
            f"From: {sender}\r\nSubject: {subject}\r\nX-Test: {body}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            f"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n--b\r\nContent-Type: text/html; charset=utf-8"
            f'; name="{subject}"\r\n\r\n<p>{html}<b>{body}</b>\r\n--b--\r\n'
        ).encode()[: cut or None],
        ADDRESSES,
        TEXTS,
        TEXTS,
        TEXTS,
        st.sampled_from([0, 0, 0, 60, 150]),
    ),
    st.binary(max_size=200),
)
KEYS = st.sampled_from(
    [("BODY", ""), ("TEXT", ""), *(("HEADER", name) for name in ("subject", "From", "to", "cc", "x-test", "nope"))]
)
VALUES = st.one_of(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=2).map(" ".join),
    st.sampled_from(["óa đ", "oa d", " a ", "ph", "y.vn", "nguyễn lan", "<p>", "b (x)", "b@y.vn", " ", ""]),
)


def deliver(account: Account, *messages: bytes) -> None:
    inbox = account.folder("INBOX").folder_id
    deliveries = []
    for octets in messages:
        staged = account.stage()
        staged.write(octets)
        staged.finish()
        deliveries.append(Delivery(staged, answers_of(octets)))
    account.publish(inbox, deliveries)


def search(account: Account, folder: str, test: TextTest) -> tuple[list[int], int]:
    """As the IMAP session asks: what is known, then the rest by reading. The UIDs found, and how many messages were read."""
    view = account.view(account.folder(folder).folder_id)
    looked_up = account.look_up_text(view.info.folder_id, view.uids, bytes([1]) * len(view.uids), test)
    known, found = set(compress(view.uids, looked_up.known)), set(compress(view.uids, looked_up.found))
    assert len(looked_up.known) == len(looked_up.found) == len(view.uids)
    assert known.issuperset(found)
    left = [uid for uid in view.uids if uid not in known]
    read = account.find_text(view.info.folder_id, left, [test])
    return sorted(found | {uid for uid, (hit,) in read if hit}), len(left)


def scan(root: Root | DatabaseRoot, folder: str, tests: list[TextTest]) -> list[list[int]]:
    """By a store that has no search file."""
    plain = replace(root, settings={**root.settings, "search_file": False})

    def find(account: Account) -> list[list[int]]:
        view = account.view(account.folder(folder).folder_id)
        read = account.find_text(view.info.folder_id, view.uids, tests)
        return [[uid for uid, hits in read if hits[place]] for place in range(len(tests))]

    return plain.use(find)


class Searching(RuleBasedStateMachine):
    """Messages come and go, the indexer visits or does not, files are lost and damaged: the answer is the scan's."""

    steps = 0
    """Since the last damage."""
    most_segments = 12.0

    def __init__(self) -> None:
        super().__init__()
        self._memory = ExitStack()
        self.root = self.new_root(
            self._memory.enter_context(folder_in_memory()), ManualClock(datetime(2026, 11, 1, tzinfo=UTC))
        )

    def new_root(self, folder: Path, clock: ManualClock) -> Root | DatabaseRoot:
        return Root(folder, clock)

    @initialize(messages=st.lists(MESSAGES, min_size=3, max_size=8))
    def begin(self, messages: list[bytes]) -> None:
        self.store = self.root.store()
        self.store.recover()
        self.account = self.store.account(REF)
        self.account.folders()
        self.visited = Visited()
        deliver(self.account, *messages)

    @rule(messages=st.lists(MESSAGES, min_size=1, max_size=5))
    def deliver(self, messages: list[bytes]) -> None:
        deliver(self.account, *messages)

    @rule(places=st.sets(st.integers(0, 20), max_size=6), move=st.booleans(), to=st.sampled_from(["INBOX", "Archive"]))
    def transfer(self, places: set[int], move: bool, to: str) -> None:
        view = self.account.view(self.account.folder("INBOX").folder_id)
        uids = [uid for place, uid in enumerate(view.uids) if place in places]
        (self.account.move if move else self.account.copy)(view.info.folder_id, uids, self.account.folder(to).folder_id)

    @rule(places=st.sets(st.integers(0, 20), max_size=4))
    def expunge(self, places: set[int]) -> None:
        view = self.account.view(self.account.folder("INBOX").folder_id)
        self.account.remove(view.info.folder_id, [uid for place, uid in enumerate(view.uids) if place in places])

    @rule()
    def undelete(self) -> None:
        self.account.undelete()

    @rule()
    def index(self) -> None:
        self.account.index_text(self.visited)

    @rule()
    def index_by_another(self) -> None:
        """A process that has just begun."""
        store = self.root.store()
        store.account(REF).index_text(Visited())
        store.close()

    @rule(weeks=st.integers(1, 3))
    def sweep(self, weeks: int) -> None:
        assert isinstance(self.root.clock, ManualClock)
        self.root.clock.move_to(self.root.clock.now() + timedelta(weeks=weeks, seconds=1))
        self.account.sweep()

    @precondition(lambda self: self.steps > 8)
    @rule(how=st.sampled_from(["delete", "truncate", "empty", "garbage", "flip"]), where=st.floats(0, 1))
    def damage(self, how: str, where: float) -> None:
        self.steps = 0
        if isinstance(self.root, DatabaseRoot) or not (path := self.root.home / "search.sqlite").exists():
            return
        size = path.stat().st_size
        with path.open("r+b") as file:
            if how == "truncate":
                file.truncate(int(size * where))
            elif how == "empty":
                file.truncate(0)
            elif how == "garbage":
                file.write(b"garbage" * 20)
            elif how == "flip":
                file.seek(int(max(0, size - 4096) * where))
                file.write(os.urandom(4096))
        if how == "delete":
            path.unlink()

    @rule()
    def lose_index(self) -> None:
        """`mailbox repair` makes another; folders and messages may get other numbers in it.

        Time goes on: a store counts its messages of one instant, and names of files are made of both.
        """
        self.store.close()
        self.root.lose_index()
        self.root.clock.move_to(self.root.clock.now() + timedelta(microseconds=1))
        self.store = self.root.store()
        self.account = self.store.account(REF)
        self.account.folders()

    @rule(
        asked=st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4), folder=st.sampled_from(["INBOX", "INBOX", "Archive"])
    )
    def find(self, asked: list[tuple[tuple[str, str], str]], folder: str) -> None:
        tests = [TextTest(kind, value, field) for (kind, field), value in asked]  # type: ignore[arg-type]  # of KEYS
        assert [search(self.account, folder, test)[0] for test in tests] == scan(self.root, folder, tests)

    @rule(folder=st.sampled_from(["INBOX", "INBOX", "Archive"]), some=st.sets(st.integers(0, 20)))
    def order(self, folder: str, some: set[int]) -> None:
        """What SORT and THREAD compare, for those that the file knows: as a store says it that has no such file."""
        plain = replace(self.root, settings={**self.root.settings, "search_file": False})

        def ask(account: Account) -> list[Ordered]:
            view = account.view(account.folder(folder).folder_id)
            uids = [uid for place, uid in enumerate(view.uids) if place in some]
            return account.orderings(view.info.folder_id, uids)

        def ask_file(account: Account) -> list[Ordered]:
            view = account.view(account.folder(folder).folder_id)
            return account.indexed_orderings(view.info.folder_id, [uid for at, uid in enumerate(view.uids) if at in some])

        made, known = plain.use(ask), ask_file(self.account)
        assert len({each.uid for each in known}) == len(known)
        assert set(known) <= set(made)
        assert plain.use(ask_file) == []

    @invariant()
    def count(self) -> None:
        self.steps += 1

    @invariant()
    def few_segments(self) -> None:
        """Of a handful of messages there are never more than a handful of segments."""
        if isinstance(self.root, DatabaseRoot):
            assert self.root.rows("SELECT count(*) FROM search_segment")[0][0] <= self.most_segments
            return
        with sqlite_of(self.root) as connection:
            if connection is not None:
                assert connection.execute("SELECT count(*) FROM segment").fetchone()[0] <= self.most_segments

    def teardown(self) -> None:
        self.store.close()
        self._memory.close()


class SearchingInPostgresql(Searching):
    """The same, where there is no file to damage and no index to lose."""

    connection_string: str

    def new_root(self, folder: Path, clock: ManualClock) -> DatabaseRoot:
        root = DatabaseRoot(self.connection_string, folder, clock)
        root.clear()
        return root


def test_an_index_in_which_folders_have_other_numbers(tmp_path: Path) -> None:
    """What was worked out under the old numbers answers nothing, though the file has the inode of the one before."""
    root = Root(tmp_path, ManualClock(datetime(2026, 11, 1, tzinfo=UTC)))
    store = root.store()
    store.recover()
    account = store.account(REF)
    for folder, words in (("Archive", ["mot", "hai"]), ("Sent", ["hai", "mot"])):
        for word in words:
            deliver(account, f"Subject: x\r\n\r\n{word} {folder}\r\n".encode())
            inbox = account.folder("INBOX").folder_id
            account.move(inbox, list(account.view(inbox).uids), account.folder(folder).folder_id)
    account.index_text(Visited())
    test = TextTest("BODY", "hai")
    assert [search(account, folder, test) for folder in ("Archive", "Sent")] == [([2], 0), ([1], 0)]
    one, other = (account.folder(folder).folder_id for folder in ("Archive", "Sent"))
    store.rest(-1.0)
    with sqlite3.connect(root.home / "index.sqlite") as index:
        for table in ("folder", "message"):
            for old, new in ((one, 999), (other, one), (999, other)):
                index.execute(f"UPDATE {table} SET folder_id = ? WHERE folder_id = ?", (new, old))
        index.execute("UPDATE account SET modseq = modseq + 5000")
        index.execute("UPDATE message SET modseq = modseq + 5000")
        index.execute("UPDATE folder SET highest_modseq = highest_modseq + 5000, expunge_floor = 5000")
    index.close()
    assert account.folder("Sent").folder_id == one
    assert [search(account, folder, test) for folder in ("Archive", "Sent")] == [([2], 0), ([1], 0)]
    store.close()


@contextmanager
def sqlite_of(root: Root) -> Iterator[sqlite3.Connection | None]:
    """The search file, if it can be read."""
    try:
        connection = sqlite3.connect(f"file:{root.home / 'search.sqlite'}?mode=ro", uri=True)
        connection.execute("SELECT count(*) FROM segment")
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # the latter where the message quotes octets of the schema
        yield None
        return
    yield connection
    connection.close()


@pytest.fixture
def machine(ground: str, request: pytest.FixtureRequest) -> type[Searching]:
    if ground == "files":
        return Searching
    SearchingInPostgresql.connection_string = request.getfixturevalue("postgresql").connection_string
    return SearchingInPostgresql


@pytest.mark.slow
@pytest.mark.parametrize("are_large", [False, True])
def test_any_history_answers_as_the_scan_does(
    monkeypatch: pytest.MonkeyPatch, machine: type[Searching], root: Root, are_large: bool
) -> None:
    """Deliveries, copies, moves, expunges, indexers, damage: never an error, never another answer than from reading all.

    Also where each text counts as a large one, whose answers are kept and whose letters are sieved."""
    monkeypatch.setattr(writer, "DEAD_US", 1)
    monkeypatch.setattr("mic_mail.storage.search.scan.SMALLEST_LEFT", 2)
    if are_large:
        monkeypatch.setattr(scan_module, "LARGE_OCTETS", 0)
        monkeypatch.setattr(lookup, "LARGE_OCTETS", 0)
        monkeypatch.setattr(segment, "LARGE_LETTERS", 20)
        monkeypatch.setattr(Searching, "most_segments", math.inf)
        monkeypatch.setattr(segment, "SIEVE_MODULUS", 8_191)
        monkeypatch.setattr(fulltext_file, "WORDS_OCTETS", 32)
        monkeypatch.setattr(lookup, "FIRST_WORDS", 2)

    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)),
    )


# ------------------------------------------------------------------ large texts


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts count as large from 4 KiB on."""
    monkeypatch.setattr(scan_module, "LARGE_OCTETS", 4_096)
    monkeypatch.setattr(lookup, "LARGE_OCTETS", 4_096)
    monkeypatch.setattr(lookup, "FIRST_WORDS", 1_000)
    monkeypatch.setattr(segment, "LARGE_LETTERS", 4_096)


def large_message(number: int) -> bytes:
    words = " ".join(f"{number * 100_000 + each:x}z" for each in range(4_000))
    return f"Subject: {number}\r\n\r\n{words}\r\n".encode()


@pytest.mark.usefixtures("large")
def test_a_large_text_is_read_once_for_a_query(timed: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an index each new query reads it, and the same query does not read it again; a small message is read again."""
    store = timed.store()
    store.recover()
    account = store.account(REF)
    deliver(account, large_message(1), large_message(2), b"Subject: 3\r\n\r\nabc\r\n")
    opened: list[int] = []
    ground = type(store.store(REF))
    open_message = ground.open_message

    def watched(of: LocalStore, folder_id: int, uid: int) -> OpenMessage:
        opened.append(uid)
        return open_message(of, folder_id, uid)

    monkeypatch.setattr(ground, "open_message", watched)
    for value, uids in (("186a0z", [1]), ("absent", [])):
        for read in ([1, 2, 3], [3]):
            assert search(account, "INBOX", TextTest("BODY", value)) == (uids, 3)
            assert opened == read
            opened.clear()
    store.close()


def test_nothing_is_kept_of_segments_that_have_gone(timed: Root) -> None:
    """As mail comes they are joined again and again; a process that searches all the while keeps what a new one would read."""

    def look(account: Account) -> None:
        for test in (TextTest("BODY", "hai"), TextTest("TEXT", "mot hai"), TextTest("HEADER", "x", "Subject")):
            assert len(search(account, "INBOX", test)[0]) == len(inbox_uids(account))
        assert len(account.indexed_orderings(account.folder("INBOX").folder_id, inbox_uids(account))) == len(
            inbox_uids(account)
        )

    def cached_octets(store: LocalMailStore) -> int:
        return store.store(REF).shared.searched.octets

    with closing(timed.store()) as indexing, closing(timed.store()) as searching:
        indexing.recover()
        account, visited = indexing.account(REF), Visited()
        for number in range(1, 40):
            deliver(account, f"Subject: x\r\n\r\nmot hai {number}\r\n".encode())
            assert account.index_text(visited) == 1
            look(searching.account(REF))
        with closing(timed.store()) as fresh:
            look(fresh.account(REF))
            assert cached_octets(searching) == cached_octets(fresh)
        with closing(timed.store()) as fresh:
            fresh.account(REF).index_text(Visited())
            assert cached_octets(indexing) == cached_octets(fresh)


def inbox_uids(account: Account) -> list[int]:
    return list(account.view(account.folder("INBOX").folder_id).uids)


@pytest.mark.usefixtures("large")
def test_a_query_that_large_texts_lack_reads_none_of_their_words(timed: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of the sieve are read in place of the words, and nothing at all for a query that was answered before."""
    store = timed.store()
    store.recover()
    account = store.account(REF)
    deliver(account, *map(large_message, range(1, 6)))
    assert account.index_text(Visited()) == 5
    read: list[str] = []
    for name in ("words", "flow", "beginnings", "sieve_piece"):
        place = type(store.store(REF).search)
        real = getattr(place, name)

        def watched(self: Segments, *at: object, name: str = name, real: Callable[..., object] = real) -> object:
            read.append(name)
            return real(self, *at)

        monkeypatch.setattr(place, name, watched)
    assert search(account, "INBOX", TextTest("BODY", "zxqwabsent")) == ([], 0)
    assert read == ["sieve_piece"] * 5
    read.clear()
    assert search(account, "INBOX", TextTest("BODY", "zxqwabsent word")) == ([], 0)
    assert "words" not in read
    read.clear()
    assert search(account, "INBOX", TextTest("BODY", "30d40z 30d41z")) == ([2], 0)
    assert [name for name in read if name != "sieve_piece"] == ["words", "beginnings"]  # it stands near the beginning
    read.clear()
    assert search(account, "INBOX", TextTest("BODY", "318f8z 318f9z")) == ([2], 0)
    assert [name for name in read if name != "sieve_piece"] == ["beginnings", "flow"]
    read.clear()
    for value in ("zxqwabsent", "30d40z 30d41z", "318f8z 318f9z"):
        search(account, "INBOX", TextTest("BODY", value))
    assert read == []
    store.close()


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("piece_octets", [64, 1_000, 1 << 16])
def test_a_new_word_is_read_up_to_its_first_occurrence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_octets: int
) -> None:
    """In pieces with checksums, not the whole words of each large text; the answers are those of the words."""
    monkeypatch.setattr(fulltext_file, "WORDS_OCTETS", piece_octets)
    root = Root(tmp_path, ManualClock(datetime(2026, 11, 1, tzinfo=UTC)))
    store = root.store()
    store.recover()
    account = store.account(REF)
    accents = " ".join(f"đ\u1ea5t{each:x}" for each in range(2_000))
    deliver(account, large_message(1), f"Content-Type: text/plain; charset=utf-8\r\n\r\n{accents}\r\n".encode())
    assert account.index_text(Visited()) == 2
    file = store.store(REF).search
    read: list[int] = []
    real = SearchFile._piece

    def watched(self: SearchFile, blob: sqlite3.Blob, checksums: "array[int]", number: int) -> bytes:
        read.append(number)
        return real(self, blob, checksums, number)

    monkeypatch.setattr(SearchFile, "_piece", watched)
    monkeypatch.setattr(SearchFile, "words", lambda self, segment_id, zone: pytest.fail("read as a whole"))
    assert search(account, "INBOX", TextTest("BODY", "186a0z")) == ([1], 0)
    assert read == [0]
    read.clear()
    assert search(account, "INBOX", TextTest("BODY", "1963fz")) == ([1], 0)
    assert read == list(range(max(read) + 1))
    for value, found in (("đất7cf", [2]), ("dat7cf", [2]), ("ất7c", [2]), ("9z", [1]), ("z", [1]), ("zz", []), ("q", [])):
        assert search(account, "INBOX", TextTest("BODY", value)) == (found, 0)
    monkeypatch.undo()
    monkeypatch.setattr(fulltext_file, "WORDS_OCTETS", piece_octets)
    dice = random.Random(piece_octets)
    for live in file.live():
        words = Words.unpack(file.words(live.segment_id, "body"))
        for folded, text in ((False, words.text), (True, words.folded)):
            for _ in range(60):
                at, length = dice.randrange(len(text)), dice.randint(1, 9)
                for part in (text[at : at + length], text[at : at + length] + b"\xff", b"z" + text[at : at + length]):
                    assert file.has_word(live.segment_id, "body", part, folded=folded) == (part in text)
    store.close()


@pytest.mark.parametrize("piece_octets", [64, 1_000, 1 << 16])
def test_the_beginnings_of_texts_are_those_of_the_whole_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_octets: int
) -> None:
    """Of any documents and any length, read in pieces of any length, each once."""
    monkeypatch.setattr(fulltext_file, "WORDS_OCTETS", piece_octets)
    dice = random.Random(piece_octets)
    texts = [" ".join(dice.choices("một hai ba bốn 😀 5 sáu bảy".split(), k=dice.choice([0, 1, 7, 900]))) for _ in range(9)]
    packed = segment.pack([segment.IndexedDocument.of([("body", text)]) for text in texts])
    file = SearchFile(str(tmp_path / "search.sqlite"), 1, ManualClock(datetime(2026, 11, 1, tzinfo=UTC)))
    assert file.add(packed, range(len(texts)), known=[])
    [live] = file.live()
    whole = segment.Flow.unpack(file.flow(live.segment_id, "body"))
    assert Words.unpack(file.words(live.segment_id, "body")).are_narrow
    for words in (0, 1, 8, 500, 5_000):
        for documents in (set[int](), {0}, {8}, {1, 2, 6}, set(range(9))):
            some = file.beginnings(live.segment_id, "body", documents, words)
            assert [some.of(each) for each in range(9)] == [
                whole.of(each)[:words] if each in documents else "" for each in range(9)
            ]
    file.close()


DAMAGED_FLOW = (
    "flow = CAST(zeroblob(length(flow)) AS BLOB)",
    "flow_checksums = zeroblob(4)",
    "flow_checksums = zeroblob(7)",
    "flow_checksums = 'text'",
    "flow = substr(flow, 1, 500)",
)
DAMAGED_WORDS = (
    "words = CAST(replace(words, ' 1963fz', ' 1963fq') AS BLOB)",
    "words_checksums = zeroblob(4 * 29)",
    "words_checksums = zeroblob(7)",
    "words_checksums = 'text'",
    "words = substr(words, 1, 1500)",
)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("damage", "damaged", "sound"),
    [(DAMAGED_FLOW, "186a0z 186a1z", "186a1z 186a2z"), (DAMAGED_WORDS, "1963fz", "1963ez")],
    ids=["flow", "words"],
)
def test_a_damaged_piece_answers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: tuple[str, ...], damaged: str, sound: str
) -> None:
    """Neither that a text occurs nor that it does not: the file is discarded, and the messages are read."""
    monkeypatch.setattr(fulltext_file, "WORDS_OCTETS", 1_000)
    root = Root(tmp_path, ManualClock(datetime(2026, 11, 1, tzinfo=UTC)))
    store = root.store()
    store.recover()
    account = store.account(REF)
    deliver(account, large_message(1))
    assert account.index_text(Visited()) == 1
    for change in damage:
        with closing(sqlite3.connect(root.home / "search.sqlite")) as connection, connection:
            assert connection.execute(f"UPDATE zone SET {change} WHERE sieved").rowcount == 1
        assert store.store(REF).search.damage()
        assert search(account, "INBOX", TextTest("BODY", damaged)) == ([1], 1)
        assert account.index_text(Visited()) == 1
        assert search(account, "INBOX", TextTest("BODY", sound)) == ([1], 0)
    store.close()
