"""Quarantined and held messages as rows: any node sees them, one decision counts, and each is released once."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from addresses import parsed
from mic_mail.errors import BadInput, MicMailError, Trouble
from mic_mail.quarantine import message_store
from mic_mail.quarantine.held_messages import HeldMessages, HeldRecord, HeldState
from mic_mail.quarantine.message_store import OfficerDecision
from mic_mail.quarantine.quarantine import Quarantine, QuarantineRecord, QuarantineState, Reason
from mic_mail.quarantine.record_place import StoreFull
from mic_mail.quarantine.record_rows import RecordRows
from mic_mail.queue.message_pieces import PIECE_OCTETS
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer
from queue_grounds import rows, spool_in

SLIP = SpoolEnvelope(
    trace_id="ID0001",
    sender=parsed("a@one.example"),
    targets=(SpoolTarget(1, parsed("b@mic.gov.vn")),),
    accepted_at_us=1,
)
AN, CHI = OfficerDecision("an", "đã xem", 7), OfficerDecision("chi", "đúng", 8)


def record(number: int) -> QuarantineRecord:
    return QuarantineRecord(
        f"ID{number:04}", QuarantineState.HELD, Reason.SPAM, number, 10**15, "a@x.example", ("b@mic.gov.vn",), (1,),
        "192.0.2.1", "", slip=SLIP.encode().decode(),
    )  # fmt: skip


def held(number: int) -> HeldRecord:
    return HeldRecord(
        f"ID{number:04}", HeldState.HELD, number, 10**15, "b@mic.gov.vn", "b@mic.gov.vn", ("a@x.example",), 0, "", "mật", (),
        slip=SLIP.encode().decode(),
    )  # fmt: skip


@pytest.fixture
def quarantine(database: PostgresqlServer, tmp_path: Path) -> Callable[[], Quarantine]:
    """The quarantine as a node sees it."""
    return lambda: Quarantine(RecordRows(Database(database.connection_string), "quarantine", tmp_path, closes=True))


@pytest.mark.parametrize("octets", [0, 10, PIECE_OCTETS, 3 * PIECE_OCTETS + 1])
def test_what_one_node_holds_another_releases(
    database: PostgresqlServer, quarantine: Callable[[], Quarantine], tmp_path: Path, octets: int
) -> None:
    """Whole, once however often it is carried out; the message goes with the decision, the record later."""
    message = (bytes(range(256)) * (octets // 256 + 1))[:octets]
    (tmp_path / "message").write_bytes(message)
    with closing(quarantine()) as here, closing(quarantine()) as there, closing(spool_in(database, tmp_path)) as spool:
        kept = here.keep(record(1), tmp_path / "message", room_octets=1 << 30)
        assert kept.octets == octets
        here.keep(record(2), b"another", room_octets=1 << 30)
        assert [one.held_id for one in there.records()] == ["ID0001", "ID0002"]
        first = list(there.records())
        released = there.release("ID0001", AN)
        again = list(there.records())
        assert [one.state for one in again] == [QuarantineState.RELEASED, QuarantineState.HELD]
        assert again[1] is first[1], "what has not changed is not read again"
        for node in (here, there):
            assert node.hand_over(released, spool, 9)
        (entry,) = spool.recover()
        assert entry.path.read_bytes() == message
        entry.settle([1], now_us=1)
        here.settled(released)
        assert here.record("ID0001").state is QuarantineState.DELIVERED
        with there.message(released) as path:
            assert path is None
        assert rows(database, "SELECT * FROM held_piece") == []
        here.forget(released)
        with pytest.raises(BadInput):
            there.record("ID0001")
        there.sweep(0.0)
        assert [one.held_id for one in here.records()] == ["ID0002"]


def test_of_decisions_at_once_one_counts(quarantine: Callable[[], Quarantine]) -> None:
    """Administrators at several nodes release and drop the same messages."""
    decided: list[str] = []

    def decide(number: int) -> None:
        with closing(quarantine()) as mine:
            for each in range(20):
                with suppress(MicMailError):
                    (mine.release if number % 2 else mine.drop)(f"ID{each:04}", OfficerDecision(str(number), "", number))
                    decided.append(f"ID{each:04}")

    with closing(quarantine()) as here:
        for number in range(20):
            here.keep(record(number), b"x", room_octets=1 << 30)
        threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(decided) == [f"ID{number:04}" for number in range(20)]
        for one in here.records():
            assert one.decided is not None
            assert one.state is (QuarantineState.RELEASED if one.decided.at_us % 2 else QuarantineState.DROPPED)


def test_the_room_is_that_of_all_nodes(quarantine: Callable[[], Quarantine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_store, "ALWAYS_KEPT", 2)
    with closing(quarantine()) as here, closing(quarantine()) as there:
        here.keep(record(1), b"x" * 60, room_octets=100)
        with pytest.raises(StoreFull):
            there.keep(record(2), b"x" * 60, room_octets=100)
        there.keep(record(2), b"x" * 40, room_octets=100)
        with pytest.raises(StoreFull):
            here.keep(record(3), b"", room_octets=100)


def test_held_messages_and_flags(database: PostgresqlServer, tmp_path: Path) -> None:
    """Two persons at two nodes; a flag is set once, and is no matter of the quarantine's record of the same message."""
    place = RecordRows(Database(database.connection_string), "held", tmp_path, closes=True)
    other = RecordRows(place.database, "quarantine", tmp_path)
    with closing(HeldMessages(place)) as messages:
        messages.keep(held(1), b"message", room_octets=1 << 30)
        Quarantine(other).keep(record(1), b"other", room_octets=1 << 30)
        flagged = replace(held(2), state=HeldState.FLAGGED)
        assert [messages.flag(flagged) for _ in range(2)] == [True, False]
        messages.ask("ID0001", AN)
        with pytest.raises(MicMailError):
            messages.release("ID0001", AN)
        released = messages.release("ID0001", CHI)
        with messages.message(released) as path:
            assert path is not None
            assert path.read_bytes() == b"message"
        assert [one.state for one in messages.records()] == [HeldState.RELEASED, HeldState.FLAGGED]
        assert Quarantine(other).record("ID0001").state is QuarantineState.HELD
        with pytest.raises(BadInput):
            messages.ask("none", AN)


def test_what_was_in_files_is_taken_in(quarantine: Callable[[], Quarantine], tmp_path: Path) -> None:
    """With and without messages, once; what was decided here meanwhile stays decided."""
    files = Quarantine(tmp_path / "quarantine")
    big = b"x" * (PIECE_OCTETS + 1)
    files.keep(record(1), big, room_octets=1 << 30)
    files.keep(record(2), b"dropped", room_octets=1 << 30)
    files.drop("ID0002", AN)
    files.keep(record(3), b"known", room_octets=1 << 30)
    with closing(quarantine()) as here:
        here.keep(record(3), b"known", room_octets=1 << 30)
        here.drop("ID0003", AN)
        for _ in range(2):
            here.place.take_in(tmp_path / "quarantine")
            assert [one.state for one in here.records()] == [
                QuarantineState.HELD, QuarantineState.DROPPED, QuarantineState.DROPPED,
            ]  # fmt: skip
        with here.message(here.record("ID0001")) as path:
            assert path is not None
            assert path.read_bytes() == big
    assert [path.name for path in (tmp_path / "quarantine").iterdir()] == ["lock"]


def test_a_database_that_is_away_takes_nothing(tmp_path: Path) -> None:
    nowhere = Database("host=127.0.0.1 port=1 dbname=none")
    with closing(Quarantine(RecordRows(nowhere, "quarantine", tmp_path, closes=True))) as here, pytest.raises(Trouble):
        here.keep(record(1), b"x", room_octets=1 << 30)
