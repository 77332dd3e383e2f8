"""Reading from TLS into one place: nobody's octets are lost or mixed up, and nothing is left of who has gone."""

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop

from mic_mail.net.tls import TlsFront, self_signed, write_pair
from mic_mail.net.tls_reader import PLACE_OCTETS
from waiting import wait_on_loop

Run = Callable[[Coroutine[None, None, None]], None]


@pytest.fixture
def run() -> Run:
    """Runs a coroutine on the loop that the server has."""
    return uvloop.run


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key on disk."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_pair(certificate, key, self_signed(["localhost"], datetime.now(UTC)))
    return certificate, key


class Listener(asyncio.Protocol):
    """Keeps what it hears and, as our protocols do, its transport; listens no more after `pause_after` octets."""

    def __init__(self, pause_after: int | None = None) -> None:
        self.heard = bytearray()
        self.pieces = 0
        self.eof = asyncio.Event()
        self._pause_after = pause_after

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.heard += data
        self.pieces += 1
        if self._pause_after is not None and len(self.heard) >= self._pause_after:
            self._pause_after = None
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.05, self.transport.resume_reading)

    def eof_received(self) -> bool | None:
        self.eof.set()
        return None


class Place:
    """A TLS server whose connections read into one place."""

    def __init__(self, pair: tuple[Path, Path]) -> None:
        self.front = TlsFront(*pair)
        self.trusting = ssl.create_default_context(cafile=str(pair[0]))
        self.listeners: list[Listener] = []
        self.pause_after: int | None = None

    def make(self) -> asyncio.BaseProtocol:
        self.listeners.append(Listener(self.pause_after))
        return self.front.reader(self.listeners[-1])

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        server = await asyncio.get_running_loop().create_server(self.make, "127.0.0.1", 0, ssl=self.front.context)
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def connect(self, port: int) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.trusting, server_hostname="localhost")
        assert await reader.readexactly(5) == b"hello"
        return writer


def test_the_loop_reads_into_the_place(pair: tuple[Path, Path], run: Run) -> None:
    """Else it would make 256 KiB for each read again: whether it asks for a place is uvloop's to decide."""

    async def work() -> None:
        place = Place(pair)
        async with place.serve() as port:
            writer = await place.connect(port)
            writer.write(b"a NOOP\r\n")
            await wait_on_loop(lambda: place.listeners[0].heard)
            assert bytes(place.front._place[:8]) == b"a NOOP\r\n"
            writer.close()

    run(work())


@pytest.mark.parametrize("pause_after", [None, 1, 300_000])
def test_many_who_talk_at_once(pair: tuple[Path, Path], run: Run, pause_after: int | None) -> None:
    """Each is heard whole and in order: more than the place holds, in pieces of all sizes, also when it had to wait."""
    pieces = [1, 17, 16_384, 16_385, 70_000, PLACE_OCTETS - 1, PLACE_OCTETS, PLACE_OCTETS + 1, 600_000]

    async def speak(writer: asyncio.StreamWriter, who: int) -> None:
        for size in pieces:
            writer.write(bytes([who]) * size)
            await writer.drain()
        writer.close()

    async def work() -> None:
        place = Place(pair)
        place.pause_after = pause_after
        async with place.serve() as port:
            writers = [await place.connect(port) for _ in range(5)]
            await asyncio.gather(*(speak(writer, who) for who, writer in enumerate(writers)))
            for who, listener in enumerate(place.listeners):
                await asyncio.wait_for(listener.eof.wait(), 10)
                assert listener.heard == bytes([who]) * sum(pieces)

    run(work())


def test_of_who_has_gone_nothing_waits_for_the_collector(pair: tuple[Path, Path], run: Run) -> None:
    """A protocol that keeps its transport is freed when its connection ends, 40 KiB of TLS with it."""

    async def work() -> None:
        place = Place(pair)
        async with place.serve() as port:
            writer = await place.connect(port)
            gone = weakref.ref(place.listeners.pop())
            writer.close()
            await wait_on_loop(lambda: gone() is None)

    gc.disable()
    try:
        run(work())
    finally:
        gc.enable()
