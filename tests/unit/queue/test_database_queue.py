"""The queue of several nodes: who has an entry, what a node may do that lost its lease, what happens without the database."""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mic_mail.queue.database_queue import PIECE_OCTETS, DatabaseQueue, DatabaseQueueEntry
from mic_mail.queue.errors import LeaseLost, SpoolUnavailable
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.node_lease import LEASE_SECONDS
from mic_mail.queue.queue import DamagedEntry
from mic_mail.queue.recipient_log import AdminDecision, Standing
from mic_mail.storage.errors import Unavailable
from postgresql_server import PostgresqlServer
from queue_grounds import node, rest, rows
from unit.queue.test_queue import MESSAGE, envelope
from waiting import wait_for

pytestmark = pytest.mark.needs_tool("postgres")

ENTRIES = [f"ID{number:03}" for number in range(200)]


@dataclass
class Nodes:
    """Nodes with one database, and the clock of each."""

    server: PostgresqlServer
    folder: Path
    opened: list[DatabaseQueue] = field(default_factory=list)
    clocks: list[float] = field(default_factory=list)

    def new(self, at: float = 0.0) -> DatabaseQueue:
        number = len(self.clocks)
        self.clocks.append(at)
        self.opened.append(node(self.server, self.folder / f"node{number}", monotonic=lambda: self.clocks[number]))
        return self.opened[-1]

    def end_lease(self, queue: DatabaseQueue) -> None:
        """The database's clock has passed the end of its lease."""
        rows(
            self.server,
            f"UPDATE queue_node SET lease_until = now() - interval '1 second' WHERE node_id = '{queue.lease.node_id}'",
        )

    def wait_a_lease(self, queue: DatabaseQueue) -> None:
        """It has renewed its lease all the time."""
        number = self.opened.index(queue)
        for _ in range(8):
            self.clocks[number] += LEASE_SECONDS / 7
            assert queue.lease.renew()

    def die(self, queue: DatabaseQueue, other: DatabaseQueue) -> None:
        """A node dies, and the other one has waited long enough for it to come back."""
        self.end_lease(queue)
        self.wait_a_lease(other)
        other.available()


@pytest.fixture
def nodes(database: PostgresqlServer, tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(database, tmp_path)
    yield nodes
    for queue in nodes.opened:
        queue.close()


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "message"
    path.write_bytes(MESSAGE)
    return path


def taken(queue: DatabaseQueue, *entry_ids: str) -> list[DatabaseQueueEntry]:
    found = list(queue.take_up(entry_ids))
    assert not [each for each in found if isinstance(each, DamagedEntry)]
    return [each for each in found if isinstance(each, DatabaseQueueEntry)]


def taken_one(queue: DatabaseQueue, entry_id: str = "ID") -> DatabaseQueueEntry:
    (entry,) = taken(queue, entry_id)
    return entry


def put(queue: DatabaseQueue, message: Path, entry_id: str = "ID") -> None:
    queue.put(entry_id, message, envelope("b@example.org", "c@example.org"))


# ------------------------------------------------------------ a queue that was files


def test_what_was_queued_in_files_is_taken_in(nodes: Nodes, message: Path, tmp_path: Path) -> None:
    """With all that had happened to it, and once, though its files may still be there; what is damaged stays."""
    queue = nodes.new()
    queue.sweep()
    files = LocalQueue(tmp_path / "node0")
    files.put("ID", message, envelope("b@example.org", "c@example.org"))
    entry = files.read("ID")
    assert entry is not None
    entry.tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    entry.hold()
    live = tmp_path / "node0/live"
    with open(live / "ID.log", "ab") as log:
        log.write(b'{"did": "retr')
    (live / "Z.msg").write_bytes(b"")
    (live / "Z.env").write_bytes(b"no envelope")
    copy = shutil.copytree(live, tmp_path / "copy")
    for _ in range(2):
        queue.sweep()
        assert (files.names(), queue.available()) == (["Z"], ["ID"])
        shutil.copytree(copy, live, dirs_exist_ok=True)
    found = taken_one(queue)
    assert (found.envelope, found.state) == (entry.envelope, entry.state)
    found.release()
    assert not found.state.is_held
    found.begin_use()
    found.fetch()
    assert found.path.read_bytes() == MESSAGE
    found.end_use()
    found.end()
    queue.sweep()
    assert (files.names(), queue.names()) == (["Z"], [])
    files.close()


# ------------------------------------------------------------ messages


@pytest.mark.parametrize("octets", [1, PIECE_OCTETS, PIECE_OCTETS + 1, 5 * PIECE_OCTETS + 7])
def test_a_message_of_any_size(nodes: Nodes, tmp_path: Path, octets: int) -> None:
    """It is read as it was put, by any node, for as long as an attempt uses it; nothing of it is left in the end."""
    one, other = nodes.new(), nodes.new()
    content = bytes(range(256)) * (octets // 256 + 1)
    (tmp_path / "m").write_bytes(content[:octets])
    put(one, tmp_path / "m")
    entry = taken_one(other)
    for _ in range(2):
        entry.begin_use()
    entry.fetch()
    path = entry.path
    assert path.read_bytes() == content[:octets]
    entry.end_use()
    assert path.read_bytes() == content[:octets], "somebody else uses it"
    entry.end_use()
    assert not path.exists()
    assert list(other.scratch_folder.iterdir()) == []
    entry.end()
    assert rest(one) == set()


def test_a_message_with_a_piece_missing_is_not_sent(nodes: Nodes, tmp_path: Path) -> None:
    queue = nodes.new()
    (tmp_path / "m").write_bytes(b"x" * 3 * PIECE_OCTETS)
    put(queue, tmp_path / "m")
    rows(nodes.server, "DELETE FROM queue_piece WHERE number = 1")
    entry = taken_one(queue)
    with pytest.raises(OSError, match="octets"):
        entry.fetch()


def test_an_entry_whose_envelope_cannot_be_read(nodes: Nodes, message: Path) -> None:
    """It is shown, taken up once, and stays."""
    queue = nodes.new()
    put(queue, message)
    rows(nodes.server, "UPDATE queue_entry SET envelope = '{}'")
    (found,) = queue.take_up(["ID"])
    assert isinstance(found, DamagedEntry)
    assert isinstance(queue.look_at("ID"), DamagedEntry)
    assert (queue.available(), queue.names()) == ([], ["ID"])


def test_a_name_that_cannot_be_one_is_none(nodes: Nodes, message: Path) -> None:
    """A notification brings whatever it likes."""
    queue = nodes.new()
    put(queue, message)
    assert taken(queue, "", "\0", "ID ID", "\n", "\ufffd", "{}", "'") == []
    assert [entry.entry_id for entry in taken(queue, "\0", "ID")] == ["ID"]


@pytest.mark.parametrize(("octets", "trips"), [(4096, 1), (PIECE_OCTETS + 1, 2)])
def test_the_cost_of_a_put(nodes: Nodes, tmp_path: Path, octets: int, trips: int) -> None:
    """A message of one piece takes one round trip, with its COMMIT."""
    queue = nodes.new()
    (tmp_path / "m").write_bytes(b"x" * octets)
    put(queue, tmp_path / "m", "FIRST")
    with queue.database.reading() as connection:
        before = connection.round_trips
    put(queue, tmp_path / "m")
    with queue.database.reading() as connection:
        assert connection.round_trips - before == trips


# ------------------------------------------------------------ who has an entry


def test_each_entry_has_one_node(nodes: Nodes, message: Path) -> None:
    """However many take them up at the same time."""
    queues = [nodes.new() for _ in range(4)]
    for entry_id in ENTRIES:
        put(queues[0], message, entry_id)
    found: Counter[str] = Counter()

    def take(queue: DatabaseQueue) -> None:
        for at in range(0, len(ENTRIES), 10):
            found.update(entry.entry_id for entry in taken(queue, *ENTRIES[at : at + 10]))

    threads = [threading.Thread(target=take, args=(queue,)) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for entry_id in queues[0].available():  # one that two wanted at the same instant
        found.update(entry.entry_id for entry in taken(queues[0], entry_id))
    assert found == dict.fromkeys(ENTRIES, 1)


def test_what_a_node_gives_back_is_free_at_once(nodes: Nodes, message: Path) -> None:
    one, other = nodes.new(), nodes.new()
    put(one, message)
    taken_one(one).tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    assert (other.available(), taken(other, "ID")) == ([], [])
    one.lease.end()
    assert other.available() == ["ID"]
    assert taken_one(other).state.open == (1,)


def test_a_dead_node_is_followed(nodes: Nodes, message: Path) -> None:
    """Once its lease has ended, by the database's clock, and not before."""
    one, other = nodes.new(at=1e9), nodes.new(at=-1e9)
    put(one, message)
    taken_one(one)
    nodes.wait_a_lease(other)
    assert other.available() == []
    nodes.end_lease(one)
    assert other.available() == ["ID"]
    assert taken_one(other).refresh()


def test_after_an_outage_the_others_are_waited_for(nodes: Nodes, message: Path) -> None:
    """All leases have ended then; who comes back first takes nothing before the others had the time to come back."""
    one, other = nodes.new(), nodes.new()
    put(one, message)
    entry = taken_one(one)
    nodes.wait_a_lease(other)
    nodes.clocks[1] += 60
    assert not other.lease.is_held()
    nodes.end_lease(one)
    nodes.end_lease(other)
    assert other.lease.renew()
    assert other.available() == []
    assert one.lease.renew()
    nodes.wait_a_lease(other)
    assert other.available() == []
    assert entry.refresh()


def test_who_lost_the_lease_writes_nothing(nodes: Nodes, message: Path) -> None:
    """Neither a result nor an end, whether or not it knows already; what an administrator decides counts."""
    one, other = nodes.new(), nodes.new()
    put(one, message)
    entry = taken_one(one)
    nodes.die(one, other)
    follower = taken_one(other)
    for _ in range(2):
        for write in (lambda: entry.tried([0], Standing.DELIVERED, "250 ok", next_try_us=0), entry.warned, entry.end):
            with pytest.raises(LeaseLost):
                write()
        assert not entry.refresh()
        assert taken(one, "ID") == []
        assert follower.refresh()
        assert (follower.state.open, follower.state.warned) == ((0, 1), False)
        one.lease.renew()
    (seen,) = one.entries()
    seen.hold(AdminDecision("mai", "chờ"))
    assert other.decided() == ["ID"]
    assert follower.refresh()
    assert follower.state.is_held


def test_a_node_that_lost_its_lease_is_told_once(nodes: Nodes, message: Path) -> None:
    """It goes on under another name; what it finds free again, also its own, it records with the attempt that went on."""
    one, other = nodes.new(), nodes.new()
    put(one, message)
    entry, name = taken_one(one), one.lease.node_id
    nodes.die(one, other)
    assert not one.lease.renew()
    assert one.lease.renew()
    assert one.lease.node_id != name
    again = taken_one(one)
    entry.tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    assert again.refresh()
    assert again.state.open == (1,)


def test_a_node_that_cannot_renew_stops_in_time(nodes: Nodes, message: Path) -> None:
    """Before others may take over, by its own clock alone."""
    queue = nodes.new()
    put(queue, message)
    entry = taken_one(queue)
    nodes.clocks[0] += LEASE_SECONDS - 2
    assert entry.may_be_tried()
    nodes.clocks[0] += 1.5
    assert not entry.may_be_tried()
    assert queue.lease.renew()
    assert entry.may_be_tried()


def test_nodes_are_counted(nodes: Nodes) -> None:
    """Those that are alive: a destination's limit is divided among them."""
    one = nodes.new()
    two, three = nodes.new(), nodes.new()
    one.lease.renew()
    assert one.lease.nodes == 3
    two.lease.end()
    nodes.end_lease(three)
    one.lease.renew()
    assert one.lease.nodes == 1


def test_a_decision_on_any_node_is_found_by_the_one_that_sends(nodes: Nodes, message: Path) -> None:
    one, other = nodes.new(), nodes.new()
    put(one, message)
    entry = taken_one(one)
    seen = other.read("ID")
    assert seen is not None
    seen.drop([1], AdminDecision("mai", "nhầm"))
    assert other.decided() == []
    assert one.decided() == ["ID"]
    assert one.decided() == []
    assert entry.refresh()
    assert entry.state.open == (0,)


# ------------------------------------------------------------ put again, withdrawn


def test_what_was_sent_is_not_put_again(nodes: Nodes, message: Path) -> None:
    """Its writer may have died before it knew; a mark remembers it, for a month. What was accepted never comes again."""
    one, other = nodes.new(), nodes.new()
    put(one, message)
    one.accept("ACCEPTED", message, envelope())
    for entry in taken(other, "ID", "ACCEPTED"):
        entry.end()
    put(one, message)
    assert (one.names(), one.available(), one.has("ID"), one.had("ID"), one.had("ACCEPTED")) == ([], [], False, True, False)
    rows(nodes.server, "UPDATE queue_entry SET ended_at = ended_at - interval '31 days'")
    one.forget_ended()
    assert not one.had("ID")


def test_a_report_is_taken_once(nodes: Nodes, message: Path, tmp_path: Path) -> None:
    """Also where its envelope is still there after a kill."""
    queue, octets = nodes.new(), envelope().encode()
    (tmp_path / "R.env").write_bytes(octets)
    assert queue.take("R", message, tmp_path / "R.env")
    assert not queue.take("R", message, tmp_path / "R.env")
    taken_one(queue, "R").end()
    (tmp_path / "R.env").write_bytes(octets)
    queue.take("R", message, tmp_path / "R.env")
    assert queue.names() == []


def test_what_was_accepted_is_withdrawn_unless_a_node_has_it(nodes: Nodes, message: Path) -> None:
    queue = nodes.new()
    for entry_id in ("A", "B"):
        queue.accept(entry_id, message, envelope())
    taken_one(queue, "B")
    for entry_id in ("A", "B", "C"):
        queue.withdraw(entry_id)
    assert queue.names() == ["B"]


# ------------------------------------------------------------ the database is away


@pytest.fixture
def stopped(nodes: Nodes) -> Iterator[Callable[[], None]]:
    """Stops the database; it runs again in the end."""
    yield nodes.server.stop
    if nodes.server.process is None:
        nodes.server.start()


def test_what_happened_while_the_database_was_away(nodes: Nodes, message: Path, stopped: Callable[[], None]) -> None:
    """Nothing is accepted; a result counts in memory, and is written by the first poll afterwards."""
    queue = nodes.new()
    put(queue, message)
    entry = taken_one(queue)
    stopped()
    for refused in (lambda: put(queue, message, "NEW"), lambda: queue.accept("NEW", message, envelope()), entry.hold):
        with pytest.raises(SpoolUnavailable):
            refused()
    for unreachable in (queue.available, queue.decided, queue.names, queue.lease.renew, entry.refresh, entry.fetch):
        with pytest.raises(Unavailable):
            unreachable()
    with pytest.raises(SpoolUnavailable):
        entry.tried([0], Standing.DELIVERED, "250 ok", next_try_us=0)
    with pytest.raises(SpoolUnavailable):
        entry.delivered_to_the_last([1], "250 ok", None)
    assert entry.state.open == ()
    nodes.server.start()
    assert queue.lease.renew()
    assert queue.available() == []
    (seen,) = queue.entries()
    assert seen.state.open == ()
    assert entry.refresh()
    entry.end()
    assert queue.names() == []


def test_an_answer_to_commit_that_is_lost(nodes: Nodes, message: Path) -> None:
    """The put finds out that it has succeeded: somebody has ended its wait for a standby that does not come."""
    queue, server = nodes.new(), nodes.server
    server.psql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()")
    wait_for(lambda: server.psql("SHOW synchronous_standby_names") == "nobody\n")
    try:
        putting = threading.Thread(target=put, args=(queue, message))
        putting.start()
        wait_for(lambda: server.psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))
        putting.join(30)
        assert not putting.is_alive()
        assert queue.names() == ["ID"]
    finally:
        server.psql("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()")
        wait_for(lambda: server.psql("SHOW synchronous_standby_names") == "\n")


def test_who_does_not_know_whether_it_took_up_entries_is_told(nodes: Nodes, message: Path, stopped: Callable[[], None]) -> None:
    """The next poll names all that it has, once."""
    queue = nodes.new()
    put(queue, message)
    taken_one(queue)
    assert queue.available() == []
    stopped()
    with pytest.raises(Unavailable):
        queue.take_up(["ID"])
    nodes.server.start()
    assert [queue.available(), queue.available()] == [["ID"], []]
    assert taken_one(queue).refresh()
