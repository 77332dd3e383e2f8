"""The text index as rows: read in parts, kept apart by account, added by one process at a time, gone with the messages."""

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg.errors import LockNotAvailable

from mic_mail.clock import ManualClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.database_ground import indexing, segments
from mic_mail.storage.database_ground.account import DatabaseAccount
from mic_mail.storage.database_ground.indexing import LEASE_SECONDS
from mic_mail.storage.database_ground.segments import SegmentRows
from mic_mail.storage.database_ground.texts_due import ASK_SECONDS
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import Busy
from mic_mail.storage.fulltext import segment
from mic_mail.storage.fulltext.segment import TEXT_VERSION, Flow, IndexedDocument, Words, pack
from mic_mail.storage.fulltext.segments import SIEVE_OCTETS
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import AccountRef, TextTest
from store_harness import REF, deliver, inbox, killed_at
from unit.storage.grounds import DatabaseRoot

pytestmark = pytest.mark.needs_tool("postgres")

OTHER = AccountRef(8, "mic.gov.vn/ttlan")


@pytest.fixture
def clock(root: DatabaseRoot) -> ManualClock:
    root.clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    return root.clock


def forward(clock: ManualClock, **by: float) -> None:
    clock.move_to(clock.now() + timedelta(**by))


def publish(account: DatabaseAccount, *texts: str) -> None:
    deliveries = []
    for text in texts:
        octets = f"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
        staged = account.stage()
        staged.write(octets)
        deliveries.append(Delivery(staged, answers_of(octets)))
    account.publish(inbox(account), deliveries)


def index(root: DatabaseRoot) -> int:
    """As a process that has just begun."""
    return root.use(lambda account: account.index_text(Visited()))


def looked_up(account: DatabaseAccount, value: str) -> tuple[list[int], int]:
    """The positions in the INBOX that the index finds, and how many messages it does not know."""
    view = account.view(inbox(account))
    answer = account.look_up_text(view.info.folder_id, view.uids, bytes([1]) * len(view.uids), TextTest("BODY", value))
    return [place for place, hit in enumerate(answer.found) if hit], answer.known.count(0)


def sizes(root: DatabaseRoot) -> list[int]:
    """How many messages each segment has."""
    return [octets // 8 for (octets,) in root.rows("SELECT length(messages) FROM search_segment")]


# Reading


@pytest.fixture
def rows(root: DatabaseRoot) -> Iterator[SegmentRows]:
    root.use(lambda account: account.folders())
    with closing(Database(root.connection_string, most=1)) as database:
        yield SegmentRows(7, database)


@pytest.mark.parametrize("piece_octets", [7, 1_000, 1 << 20])
def test_a_word_is_found_in_any_piece(rows: SegmentRows, monkeypatch: pytest.MonkeyPatch, piece_octets: int) -> None:
    """At the edges of pieces and across them, as written and folded: as in the whole."""
    monkeypatch.setattr(segments, "_WORDS_OCTETS", max(piece_octets, 20))  # the first piece has the lengths
    text = " ".join(f"đ\u1ea5t{number:x}" for number in range(60 if piece_octets < 100 else 2_000))
    assert rows.add(pack([IndexedDocument.of([("body", text)])]), [1], known=[])
    [live] = rows.live()
    words = Words.unpack(rows.words(live.segment_id, "body"))
    chance = random.Random(piece_octets)
    for folded, whole in ((False, words.text), (True, words.folded)):
        for _ in range(20):
            at, length = chance.randrange(len(whole)), chance.randint(1, 9)
            for part in (whole[at : at + length], whole[at : at + length] + b"\xff"):
                assert rows.has_word(live.segment_id, "body", part, folded=folded) == (part in whole)


def test_the_beginnings_of_texts_are_those_of_the_whole_flow(rows: SegmentRows) -> None:
    chance = random.Random(3)
    texts = [" ".join(chance.choices("một hai ba bốn 😀 5".split(), k=chance.choice([0, 1, 7, 900]))) for _ in range(9)]
    assert rows.add(pack([IndexedDocument.of([("body", text)]) for text in texts]), range(9), known=[])
    [live] = rows.live()
    whole = Flow.unpack(rows.flow(live.segment_id, "body"))
    for words in (0, 1, 8, 5_000):
        for documents in (set[int](), {0}, {1, 2, 6}, set(range(9))):
            some = rows.beginnings(live.segment_id, "body", documents, words)
            assert [some.of(each) for each in range(9)] == [
                whole.of(each)[:words] if each in documents else "" for each in range(9)
            ]


def test_the_sieve_of_a_large_text_is_read_in_pieces(rows: SegmentRows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "LARGE_LETTERS", 20)
    packed = pack([IndexedDocument.of([("body", "rất nhiều chữ khác nhau trong một bức thư")])])
    assert rows.add(packed, [1], known=[])
    [live] = rows.live()
    assert (rows.is_sieved(live.segment_id, "body"), rows.is_sieved(live.segment_id, "header")) == (True, False)
    sieve = packed.sieves["body"]
    for number in (0, 500, (len(sieve) - 1) // SIEVE_OCTETS):
        assert rows.sieve_piece(live.segment_id, "body", number) == sieve[number * SIEVE_OCTETS : (number + 1) * SIEVE_OCTETS]


def test_a_segment_that_has_gone_says_so(rows: SegmentRows) -> None:
    """To whoever asks for any part of it; it was replaced by another since it was listed."""
    packed = pack([IndexedDocument.of([("body", "một")])])
    assert rows.add(packed, [1], known=[])
    [old] = rows.live()
    assert not rows.add(packed, [1], known=[]), "another process was faster"
    assert rows.add(packed, [1], known=[old.segment_id], instead_of=[old.segment_id])
    [new] = rows.live()
    assert rows.packed(new.segment_id, 1).zones == packed.zones
    for ask in (
        lambda: rows.keys(old.segment_id),
        lambda: rows.values(old.segment_id),
        lambda: rows.words(old.segment_id, "body"),
        lambda: rows.packed(old.segment_id, 1),
        lambda: rows.has_word(old.segment_id, "body", b"a", folded=False),
        lambda: rows.is_sieved(old.segment_id, "body"),
    ):
        with pytest.raises(KeyError):
            ask()


def test_nobody_sees_the_text_of_another_account(root: DatabaseRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where segments of two accounts have one number, and one process has read both."""
    monkeypatch.setattr(segments.secrets, "randbits", lambda bits: 5)
    with closing(root.store()) as store:
        accounts = [store.account(ref) for ref in (REF, OTHER)]
        for account, text in zip(accounts, ("thư của Bê", "thư của Lan"), strict=True):
            publish(account, text)
            assert account.index_text(Visited()) == 1
        assert root.rows("SELECT segment_id FROM search_segment") == [(5,), (5,)]
        for _ in range(2):
            assert [looked_up(account, "lan") for account in accounts] == [([], 0), ([0], 0)]
            assert [looked_up(account, "thư của") for account in accounts] == [([0], 0), ([0], 0)]
        publish(accounts[1], "hai", "ba")
        monkeypatch.setattr(segments.secrets, "randbits", lambda bits: 6)
        assert accounts[1].index_text(Visited()) == 2
        assert [looked_up(account, "hai") for account in accounts] == [([], 0), ([1], 0)]


# Removal


def octets_with(root: DatabaseRoot, word: str) -> int:
    """How many rows of text have a word."""
    query = f"SELECT count(*) FROM search_zone WHERE position('{word}'::bytea IN words) > 0"
    return int(root.rows(query)[0][0])


def test_the_text_of_what_is_gone_leaves_the_rows(root: DatabaseRoot, clock: ManualClock) -> None:
    """With the next visit after the message's content went, which is due within the hour; not while it can be restored."""
    with closing(root.store()) as store:
        account, visited = store.account(REF), Visited()
        publish(account, *(f"tuyetmat{number} " * 40 for number in range(40)), "o lai")
        assert account.index_text(visited) == 41
        account.remove(inbox(account), range(1, 41))
        account.sweep()
        assert account.index_text(visited) == 0
        forward(clock, days=400)
        assert account.index_text(visited) == 0
        assert (octets_with(root, "tuyetmat7"), sizes(root)) == (1, [41])
        account.sweep()
        assert store.with_text_due([Owner()]) == [Owner()]
        account.index_text(visited)
        assert (octets_with(root, "tuyetmat"), sizes(root)) == (0, [1])
        assert store.with_text_due([Owner()]) == []
        assert looked_up(account, "lai") == ([0], 0)
        account.remove(inbox(account), [41])
        forward(clock, days=400)
        account.sweep()
        account.index_text(visited)
    assert root.rows("SELECT count(*) FROM search_segment") == root.rows("SELECT count(*) FROM search_zone") == [(0,)]


def test_what_was_restored_is_due(root: DatabaseRoot, clock: ManualClock, tmp_path: Path) -> None:
    """As any change of this server, not only within the hour: its rows are new, and have no text yet."""
    with closing(root.store()) as store:
        account = store.account(REF)
        publish(account, "o lai")
        assert account.index_text(Visited()) == 1
        assert store.with_text_due([Owner()]) == []
        account.backup(tmp_path / "backup")
        root.use(lambda other: other.restore(tmp_path / "backup", replace=True))
        assert store.with_text_due([Owner()]) == [Owner()]
        assert account.index_text(Visited()) == 1
        assert store.with_text_due([Owner()]) == []


def test_text_that_came_while_its_message_went_leaves_within_a_day(root: DatabaseRoot, clock: ManualClock) -> None:
    """An indexer had read the message before it was swept, and added its text afterwards."""
    with closing(root.store()) as store:
        account, visited = store.account(REF), Visited()
        publish(account, "o lai")
        assert account.index_text(visited) == 1
        [live] = account._store.search.live()
        late = pack([IndexedDocument.of([("body", "tuyetmat")])])
        assert account._store.search.add(late, [12345], known=[live.segment_id])
        forward(clock, hours=23)
        assert store.with_text_due([Owner()]) == []
        forward(clock, hours=2)
        assert store.with_text_due([Owner()]) == [Owner()]
        account.index_text(visited)
    assert (octets_with(root, "tuyetmat"), sizes(root)) == (0, [1])


# Versions


def test_segments_of_an_older_program_are_made_anew(root: DatabaseRoot, clock: ManualClock) -> None:
    """They are unknown to searches, and go once the new ones have been there for a day."""
    root.use(lambda account: publish(account, "một", "hai"))
    assert index(root) == 2
    root.rows(f"UPDATE search_segment SET version = {TEXT_VERSION - 1} RETURNING 1")
    root.rows(f"UPDATE search_visit SET version = {TEXT_VERSION - 1} RETURNING 1")
    assert root.use(lambda account: looked_up(account, "hai")) == ([], 2)
    with closing(root.store()) as store:
        assert store.with_text_due([Owner()]) == [Owner()]
    assert index(root) == 2
    assert root.use(lambda account: looked_up(account, "hai")) == ([1], 0)
    assert sizes(root) == [2, 2]
    forward(clock, days=1)
    assert index(root) == 0
    assert sizes(root) == [2]


def test_an_older_program_leaves_the_text_to_newer_ones(root: DatabaseRoot, clock: ManualClock) -> None:
    """While servers are upgraded one by one: neither makes anew what the other has made."""
    root.use(lambda account: publish(account, "một"))
    assert index(root) == 1
    root.rows(f"UPDATE search_segment SET version = {TEXT_VERSION + 1} RETURNING 1")
    root.rows(f"UPDATE search_visit SET version = {TEXT_VERSION + 1} RETURNING 1")
    forward(clock, days=2)
    assert index(root) == 0
    assert sizes(root) == [1]
    assert root.rows("SELECT version, until_us FROM search_visit") == [(TEXT_VERSION + 1, 0)]
    assert root.use(lambda account: looked_up(account, "một")) == ([], 1)


# Whose turn it is


class Owner:
    """The mailbox, as the directory has it."""

    mailbox_id = REF.account_id
    home = REF.home

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Owner)

    __hash__ = None  # type: ignore[assignment]


def test_a_server_visits_what_it_has_changed_and_hourly_what_others_left(
    root: DatabaseRoot, clock: ManualClock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each has a file of its own; one without any, or whose file was removed, comes within the hour."""
    there = DatabaseRoot(root.connection_string, tmp_path_factory.mktemp("there"), clock)
    with closing(root.store()) as here, closing(there.store()) as other:
        account, visited = here.account(REF), Visited()
        publish(account, "một")
        for store in (here, other):
            assert store.with_text_due([Owner()]) == [Owner()], "each server asks at its start"
        assert account.index_text(visited) == 1
        assert other.account(REF).index_text(Visited()) == 0
        for store in (here, other):
            assert store.with_text_due([Owner()]) == []
        marks = here.text_mark(REF.account_id), here.change_marks()
        publish(account, "hai")
        assert here.text_mark(REF.account_id) != marks[0]
        assert here.change_marks() != marks[1]
        assert here.with_text_due([Owner()]) == [Owner()]
        assert other.with_text_due([Owner()]) == []
        forward(clock, seconds=ASK_SECONDS)
        assert other.with_text_due([Owner()]) == [Owner()]
        assert other.account(REF).index_text(Visited()) == 1
        assert here.with_text_due([Owner()]) == [], "an hour is over here, too"
        (root.folder / "changes").unlink()
        publish(account, "ba")
        assert here.with_text_due([Owner()]) == [Owner()]
        assert account.index_text(visited) == 1
        assert here.with_text_due([Owner()]) == []


def test_one_process_at_a_time_has_an_account(root: DatabaseRoot, clock: ManualClock) -> None:
    """Another hears at once that it is taken. It may have it when the time of the first is over, and the first then ends."""
    root.use(lambda account: publish(account, *(f"w{number}" for number in range(4))))
    tried: list[int] = []

    def other_comes() -> bool:
        if not tried:
            with pytest.raises(Busy):
                index(root)
            forward(clock, seconds=LEASE_SECONDS + 1)
            tried.append(index(root))
        return True

    with closing(root.store()) as store:
        assert store.account(REF).index_text(Visited(), other_comes) == 0
    assert (tried, sizes(root)) == ([4], [4])
    assert root.rows("SELECT until_us FROM search_visit") == [(0,)]
    assert index(root) == 0


def test_a_long_visit_keeps_the_account(root: DatabaseRoot, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for more time before each batch."""
    monkeypatch.setattr("mic_mail.storage.search.indexing.BATCH_DOCUMENTS", 1)
    root.use(lambda account: publish(account, *(f"w{number}" for number in range(6))))

    def work() -> bool:
        with pytest.raises(Busy):
            index(root)
        forward(clock, seconds=LEASE_SECONDS / 2)
        return True

    with closing(root.store()) as store:
        assert store.account(REF).index_text(Visited(), work) == 6
    assert root.use(lambda account: looked_up(account, "w3")) == ([3], 0)


def test_what_fails_gives_the_account_back(root: DatabaseRoot, clock: ManualClock) -> None:
    root.use(lambda account: publish(account, "một"))

    def fail() -> bool:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        root.use(lambda account: account.index_text(Visited(), fail))
    assert root.use(lambda account: account.index_text(Visited(), lambda: False)) == 0
    assert index(root) == 1


def test_deliveries_and_indexers_do_not_wait_for_each_other(root: DatabaseRoot) -> None:
    """A delivery without patience comes through while text is being added, and text while a delivery holds the account."""
    root.use(lambda account: publish(account, "một"))

    def both(account: DatabaseAccount) -> None:
        folder_id = inbox(account)
        with account._store.shared.database.filling(REF.account_id, 1.0) as connection:
            assert indexing._STATE.on(connection, account=REF.account_id).fetchone() is None
            root.use(lambda other: other.quota())
            with closing(root.store()) as store, store.account(REF)._store.writing(folder_id, patience=0.01):
                pass
        with account._store.writing(folder_id):
            assert index(root) == 1

    root.use(both)


DELETE = "WITH gone AS (DELETE FROM account RETURNING 1) SELECT count(*) FROM gone"


def test_nothing_is_added_to_an_account_that_is_deleted(root: DatabaseRoot) -> None:
    """A deletion waits for what is being added; no visit and no search that goes on after it adds anything."""
    root.use(lambda account: publish(account, *(f"w{number}" for number in range(40))))

    def deleted() -> bool:
        assert root.rows(DELETE) == [(1,)]
        return True

    def live(account: DatabaseAccount) -> None:
        view = account.view(inbox(account))
        with account._store.shared.database.filling(REF.account_id, 1.0), pytest.raises(LockNotAvailable):
            root.rows(f"SET lock_timeout = 20; {DELETE}")
        assert account.index_text(Visited(), deleted) == 0
        assert len(account.find_text(view.info.folder_id, view.uids, [TextTest("BODY", "w1")])) == 40
        assert account.index_text(Visited()) == 0

    root.use(live)
    assert root.rows("SELECT count(*) FROM search_segment") == root.rows("SELECT count(*) FROM account") == [(0,)]


@pytest.mark.parametrize("stride", [211, pytest.param(17, marks=pytest.mark.slow)])
def test_an_indexer_may_be_killed_at_any_line(root: DatabaseRoot, clock: ManualClock, stride: int) -> None:
    """All of a segment is there or nothing; nobody else waits for longer than its time; a search finds what it should."""
    root.use(lambda account: publish(account, "một", "hai", "ba"))
    index(root)
    line, delivered, ended = 0, 3, False
    while not ended:
        root.use(lambda account: deliver(account, inbox(account), ["thêm", "nữa"]))
        delivered += 2
        ended = killed_at(line, lambda: index(root))
        assert sum(sizes(root)) in {delivered - 2, delivered}
        assert root.use(lambda account: looked_up(account, "xin chao"))[1] in {0, 2}
        zones = "SELECT count(*) FROM search_zone JOIN search_segment USING (account_id, segment_id)"
        assert root.rows(zones) == root.rows("SELECT count(*) FROM search_zone")
        forward(clock, seconds=LEASE_SECONDS + 1)
        index(root)
        assert root.use(lambda account: looked_up(account, "xin chao")) == (list(range(3, delivered)), 0)
        assert sum(sizes(root)) == delivered
        line += stride
