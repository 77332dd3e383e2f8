"""Accepting from one listening socket by several workers: real sockets, the workers on one loop."""

import asyncio
import errno
import os
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import uvloop

from mic_mail.clock import SystemClock
from mic_mail.net import acceptor
from mic_mail.net.acceptor import Acceptor
from mic_mail.net.connection_balancer import BRIEF_ENDS, ConnectionCounts, Share, new_page
from mic_mail.net.connection_registry import OpenConnections
from mic_mail.net.listeners import Listener, open_listeners
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.net.tls import self_signed, write_pair
from waiting import wait_on_loop


class Worker:
    """What a worker is to its connections: greets each with its name, and knows which are open."""

    def __init__(self, name: str, listener: Listener, share: Share, tls: ssl.SSLContext | None = None) -> None:
        self.open: OpenConnections[Greeter] = OpenConnections(share.change)
        self.name = name
        self.share = share
        self.errors: list[OSError] = []
        self.clients: list[ClientAddress | None] = []
        """Whom a load balancer has named, of each connection."""
        self.bad_headers: list[tuple[str, str]] = []
        self.counted: list[tuple[int, int]] = []
        """Connections that the share counts as open, as each reaches its protocol and once that counts it."""
        own = Listener(listener.door, listener.socket.dup())
        own.socket.setblocking(False)
        self.handshakes = 0
        """Those that are under way; there may be two."""
        self.acceptor = Acceptor(
            own,
            share,
            lambda passed_on, client: Greeter(self, passed_on, client),
            tls=tls and (lambda: tls),
            handshake_seconds=2.0,
            may_begin=self.may_begin,
            exhausted=self.errors.append,
        )

    def may_begin(self, address: str) -> Callable[[], None] | None:
        assert address == "127.0.0.1"
        if self.handshakes == 2:
            return None
        self.handshakes += 1
        return self.ended

    def ended(self) -> None:
        self.handshakes -= 1


class Greeter(asyncio.Protocol):
    """One connection."""

    def __init__(self, worker: Worker, passed_on: Callable[[], None], client: ClientAddress | None) -> None:
        self._worker = worker
        worker.clients.append(client)
        self._passed_on = passed_on

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        before = self._worker.share.open
        self._worker.open.add(self)
        self._passed_on()
        self._worker.counted.append((before, self._worker.share.open))
        cast("asyncio.Transport", transport).write(self._worker.name.encode() + b"\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.open.discard(self)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """One port."""
    [made] = open_listeners(["127.0.0.1"], {"smtp": 0}, backlog=128)
    yield made
    made.socket.close()


def shares(workers: int) -> list[Share]:
    fd = new_page(workers)
    try:
        return [ConnectionCounts(os.dup(fd), row).share(0) for row in range(workers)]
    finally:
        os.close(fd)


async def greeted(port: int) -> tuple[str, asyncio.StreamWriter]:
    """Who answers a new connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return (await asyncio.wait_for(reader.readline(), 5)).decode().strip(), writer


async def test_one_that_comes_too_late_is_waited_for_again(listener: Listener) -> None:
    """On a busy machine all connections would go to whoever is awake, and go on so for as long as they come."""
    first, second = (Worker(f"w{number}", listener, share) for number, share in enumerate(shares(2)))
    first.share.change(+1)
    first.share.give_up()
    assert not first.share.should_wait()
    second.acceptor._look()  # another one was faster
    assert first.share.should_wait()


async def test_connections_are_spread_evenly(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other and all at once; those that end make room for the next."""
    monkeypatch.setattr(acceptor, "COURTESY_SECONDS", 60.0)  # on a busy machine they would not wait for each other for so long
    workers = [Worker(f"w{number}", listener, share) for number, share in enumerate(shares(3))]
    held = [await greeted(listener.port) for _ in range(9)]
    assert [len(worker.open) for worker in workers] == [3, 3, 3]
    held += await asyncio.gather(*(greeted(listener.port) for _ in range(9)))
    counts = [len(worker.open) for worker in workers]
    assert sum(counts) == 18
    assert max(counts) - min(counts) <= 2
    for name, writer in held:
        if name == "w1":
            writer.close()
    await wait_on_loop(lambda: len(workers[1].open) == 0)
    again = [await greeted(listener.port) for _ in range(5)]
    assert {name for name, _ in again} == {"w1"}
    for worker in workers:
        worker.acceptor.close()


async def test_brief_connections_are_not_waited_with(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that come again as soon as they have been greeted: no worker leaves one to the other for a while."""
    workers = [Worker(f"w{number}", listener, share) for number, share in enumerate(shares(2))]
    waits, let_lie = 0, Acceptor._let_lie

    def counted(self: Acceptor, until: float) -> None:
        nonlocal waits
        waits += 1
        let_lie(self, until)

    async def come_again() -> None:
        for _ in range(20):
            _, writer = await greeted(listener.port)
            writer.close()

    second = time.monotonic_ns()
    monkeypatch.setattr("mic_mail.net.connection_balancer.time.monotonic_ns", lambda: second)  # a busy machine takes longer
    for worker in workers:
        worker.share.change(+BRIEF_ENDS)
        worker.share.change(-BRIEF_ENDS)
    monkeypatch.setattr(Acceptor, "_let_lie", counted)
    await asyncio.gather(*(come_again() for _ in range(10)))
    assert waits == 0
    for worker in workers:
        worker.acceptor.close()


async def test_a_connection_counts_once(listener: Listener) -> None:
    """From the moment it is accepted, also while it passes to its server: else the limit would be met too early, or passed."""
    [share] = shares(1)
    worker = Worker("one", listener, share)
    writers = [(await greeted(listener.port))[1] for _ in range(3)]
    assert worker.counted == [(1, 1), (2, 2), (3, 3)]
    for writer in writers:
        writer.close()
    await wait_on_loop(lambda: share.open == 0)
    worker.acceptor.close()


async def test_a_worker_that_does_not_come_delays_nobody(listener: Listener) -> None:
    """It has the fewest, and never takes one: the other takes them all."""
    here, stuck = shares(2)
    worker = Worker("here", listener, here)
    held = [await greeted(listener.port) for _ in range(20)]
    assert {name for name, _ in held} == {"here"}
    assert (worker.share.open, stuck.open) == (20, 0)
    worker.acceptor.close()


async def test_workers_that_wait_for_one_another_do_so_no_longer_than_they_have_to(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One waits since the other had fewer, then that one has more and would wait too: the first takes what comes."""
    monkeypatch.setattr(acceptor, "COURTESY_SECONDS", 60)
    one, two = shares(2)
    workers = [Worker("one", listener, one), Worker("two", listener, two)]
    one.change(+10)
    held = [await greeted(listener.port)]
    assert held[0][0] == "two"
    one.change(-10)
    two.change(+10)
    held += [await greeted(listener.port) for _ in range(4)]
    assert {name for name, _ in held[1:]} == {"one"}
    for _, writer in held:
        writer.close()
    for worker in workers:
        worker.acceptor.close()


async def test_a_handshake_is_counted_while_it_lasts(listener: Listener, tmp_path: Path) -> None:
    """Also one that fails, or never begins: nothing stays counted, nothing is raised into the loop. Who may not begin one is
    sent an alert (RFC 8446 §6.2)."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    write_pair(certificate, key, self_signed(["localhost"], SystemClock().now()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    [share] = shares(1)
    worker = Worker("tls", listener, share, context)
    silent = socket.create_connection(("127.0.0.1", listener.port))
    nonsense = socket.create_connection(("127.0.0.1", listener.port))
    await wait_on_loop(lambda: share.open == 2)
    trusting = ssl.create_default_context(cafile=str(certificate))
    with pytest.raises(ssl.SSLError, match="ALERT_INTERNAL_ERROR"):  # no more may begin
        await asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting, server_hostname="localhost")
    assert share.open == 2
    nonsense.sendall(b"EHLO nobody\r\n\r\n\r\n")
    await wait_on_loop(lambda: share.open == 1)
    _, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=trusting, server_hostname="localhost")
    await wait_on_loop(lambda: (share.open, len(worker.open)) == (2, 1))
    await wait_on_loop(lambda: share.open == 1)  # the silent one has had its two seconds
    writer.close()
    await wait_on_loop(lambda: share.open == 0)
    silent.close()
    nonsense.close()
    assert worker.handshakes == 0
    worker.acceptor.close()
    assert not complaints


async def test_without_a_descriptor_left_connections_wait(listener: Listener) -> None:
    """They are not lost, the loop does not spin, and they are taken when there is room again."""
    [share] = shares(1)
    worker = Worker("full", listener, share)
    client = socket.create_connection(("127.0.0.1", listener.port))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, limits[1]))
    try:
        await wait_on_loop(lambda: worker.errors)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [error.errno for error in worker.errors] == [errno.EMFILE]
    await wait_on_loop(lambda: len(worker.open) == 1)
    assert client.recv(100) == b"full\n"
    client.close()
    worker.acceptor.close()


async def test_without_a_descriptor_left_somebody_makes_room(listener: Listener) -> None:
    """Where one can be dropped, who comes is taken though no more descriptors are allowed; it is told once."""
    [share] = shares(1)
    worker = Worker("full", listener, share)
    client = socket.create_connection(("127.0.0.1", listener.port))
    given_up = [os.dup(client.fileno()) for _ in range(3)]

    def make_room() -> bool:
        os.close(given_up.pop())
        return True

    worker.acceptor._make_room = make_room
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(given_up) + 1, limits[1]))
    try:
        await wait_on_loop(lambda: len(worker.open) == 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [error.errno for error in worker.errors] == [errno.EMFILE]
    assert client.recv(100) == b"full\n"
    client.close()
    for descriptor in given_up:
        os.close(descriptor)
    worker.acceptor.close()


async def test_closing_lets_go_of_the_port(listener: Listener) -> None:
    """What is open stays open; the socket of the others keeps listening."""
    here, there = shares(2)
    leaving, staying = Worker("leaving", listener, here), Worker("staying", listener, there)
    held = [await greeted(listener.port) for _ in range(4)]
    leaving.acceptor.close()
    assert len(leaving.open) == 2
    assert {(await greeted(listener.port))[0] for _ in range(4)} == {"staying"}
    for _, writer in held:
        writer.close()
    await wait_on_loop(lambda: len(leaving.open) == 0)
    staying.acceptor.close()


def test_what_has_just_come_when_all_closes_can_be_spoken_to(listener: Listener) -> None:
    """On the loop that workers have: a protocol that was begun is told of its end, and may say goodbye before."""

    async def close_in_the_middle() -> bytes:
        [share] = shares(1)
        worker = Worker("late", listener, share)
        client = socket.create_connection(("127.0.0.1", listener.port))
        client.settimeout(5)
        while not len(worker.open):  # each turn of the loop, so as to be there in the one in which it comes
            await asyncio.sleep(0)
        worker.acceptor.close()
        await asyncio.sleep(0)
        [connection] = worker.open
        connection._transport.write(b"goodbye\n")  # type: ignore[attr-defined]
        connection._transport.close()
        await wait_on_loop(lambda: share.open == 0)
        with client, client.makefile("rb") as lines:
            return lines.read()

    assert uvloop.run(close_in_the_middle()) == b"late\ngoodbye\n"
