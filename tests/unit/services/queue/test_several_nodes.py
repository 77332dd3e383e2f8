"""Managers of several nodes with one queue in PostgreSQL: limits are shared, and who loses the lease lets go."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from harness import read_events
from mic_mail.queue.database_queue import DatabaseQueue
from mic_mail.queue.node_lease import LEASE_SECONDS
from mic_mail.queue.queue import Queue
from mic_mail.services.queue import queue_manager
from postgresql_server import PostgresqlServer
from queue_grounds import clear, node, rows
from unit.services.queue import office as office_module
from unit.services.queue.office import STUFFED, ZONE, Office, offices
from unit.smtpclient.server import PLAIN, Server
from waiting import stays_on_loop, wait_on_loop

pytestmark = pytest.mark.needs_tool("postgres")

LATER = {b"RCPT": b"450 4.2.1 later\r\n"}


class Clock:
    """The clock by which a node measures its lease."""

    ahead = 0.0

    def __call__(self) -> float:
        return self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(
    queue_server: PostgresqlServer, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PostgresqlServer]:
    """Where the queue of an office lies; its node measures by `clock`."""
    clear(queue_server)
    opened: list[DatabaseQueue] = []

    def new_queue(folder: Path) -> Queue:
        opened.append(node(queue_server, folder / "queue", monotonic=clock))
        return opened[-1]

    monkeypatch.setattr(office_module, "new_queue", new_queue)
    yield queue_server
    for queue in opened:
        queue.close()


def events(office: Office) -> list[str]:
    office.log.flush()
    return [event["event"] for event in read_events(office.folder / "log")]


async def test_a_destination_is_shared(database: PostgresqlServer, tmp_path: Path) -> None:
    """By the nodes that are alive; who is alone again has all of it."""
    async with offices(tmp_path, {}, ZONE) as office, office.sending() as senders:
        with closing(node(database, tmp_path / "other")) as other:
            await wait_on_loop(lambda: senders._schedule._most == 10)
            other.lease.end()
        await wait_on_loop(lambda: senders._schedule._most == 20)


async def test_who_lost_the_lease_lets_go(database: PostgresqlServer, tmp_path: Path) -> None:
    """Of all that it had, and says so; what comes back to it, it sends."""
    server = Server(PLAIN, answers=dict(LATER))
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        await office.tried("A")
        await wait_on_loop(lambda: senders.under_way == 0)
        server.answers.clear()
        rows(database, "DELETE FROM queue_node")
        with closing(node(database, tmp_path / "other")) as other:
            assert len(list(other.take_up(["A"]))) == 1
            await wait_on_loop(lambda: senders.waiting == 0)
            assert events(office).count("queue_lease_lost") == 1
            seen = other.read("A")
            assert seen is not None
            seen.retry()
            await stays_on_loop(lambda: not server.messages)
            other.lease.end()
        await office.until()
    assert server.messages == [STUFFED]


async def test_who_cannot_renew_begins_nothing(database: PostgresqlServer, tmp_path: Path, clock: Clock) -> None:
    """By its own clock, though nobody has taken anything; it goes on as soon as it has renewed."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        await wait_on_loop(lambda: rows(database, "SELECT 1 FROM queue_node"))
        with psycopg.connect(database.connection_string) as driver:
            driver.execute("SELECT 1 FROM queue_node FOR NO KEY UPDATE")  # a renewal waits for it, and nothing else
            clock.ahead += LEASE_SECONDS
            office.put("A", "b@two.example")
            senders.on_message("A")
            await wait_on_loop(lambda: senders.waiting == 1)
            await stays_on_loop(lambda: not server.lines)
        await office.until()
    assert server.messages == [STUFFED]
    assert "queue_lease_lost" not in events(office)


async def test_who_ends_keeps_the_lease_for_what_is_in_progress(
    database: PostgresqlServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no other node sends the same once more; then it gives it back."""
    monkeypatch.setattr(queue_manager, "RENEW_SECONDS", 0.02)
    lease = "SELECT lease_until FROM queue_node"
    server = Server(PLAIN, closed_at=b"DATA")
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        senders.on_message("A")
        await wait_on_loop(lambda: b"DATA" in server.lines)
        ending = asyncio.create_task(senders.end())
        await asyncio.sleep(0)
        ((before,),) = rows(database, lease)
        await wait_on_loop(lambda: rows(database, lease)[0][0] > before)
        assert not ending.done()
        server.closed_at = b""
        await ending
        assert rows(database, lease) == []
    assert server.messages == [STUFFED]
