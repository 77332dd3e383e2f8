"""Who means harm or is broken, in a soak: each attack ends by itself, and another one follows from another address."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable

from soakbooks import Books, Imap, Place

Attack = Callable[[Place, str], Awaitable[None]]
OPEN_DOORS = (25, 587, 143, 110, 389)
TLS_DOORS = (465, 993, 995, 636, 443)
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close by RST."""


async def live(place: Place, books: Books, number: int) -> None:
    """One attacker, again and again."""
    while True:
        attack = random.choice(ATTACKS)
        source = f"127.{66 + number % 100}.{random.randrange(256)}.{random.randint(1, 254)}"
        with contextlib.suppress(OSError, EOFError, asyncio.IncompleteReadError, TimeoutError, RuntimeError, ValueError):
            async with asyncio.timeout(240):
                await attack(place, source)
        books.counts[f"attack: {attack.__name__.strip('_')}"] += 1
        await asyncio.sleep(random.uniform(0, 5))


async def _silence(place: Place, source: str) -> None:
    reader, writer = await place.connect(random.choice(OPEN_DOORS + TLS_DOORS), source)
    await _until_closed(reader, writer)


async def _drip(place: Place, source: str) -> None:
    """A letter every few seconds."""
    reader, writer = await place.connect(random.choice(OPEN_DOORS), source)
    with contextlib.suppress(OSError):
        for letter in b"EHLO slow.example.net\r\nMAIL FROM:<a@example.net>\r\n" * 4:
            writer.write(bytes([letter]))
            await writer.drain()
            await asyncio.sleep(3)
    await _until_closed(reader, writer)


async def _garbage(place: Place, source: str) -> None:
    reader, writer = await place.connect(random.choice(OPEN_DOORS + TLS_DOORS), source)
    for _ in range(random.randint(1, 30)):
        writer.write(random.randbytes(random.randint(1, 65_536)))
        await asyncio.wait_for(writer.drain(), 20)
    await _until_closed(reader, writer)


async def _garbage_in_tls(place: Place, source: str) -> None:
    reader, writer = await place.connect(random.choice(TLS_DOORS), source, tls=True)
    writer.write(random.randbytes(100_000) + b"\r\n")
    await _until_closed(reader, writer)


async def _endless_line(place: Place, source: str) -> None:
    reader, writer = await place.connect(random.choice(OPEN_DOORS), source)
    for _ in range(200):
        writer.write(b"A" * 65_536)
        await asyncio.wait_for(writer.drain(), 20)
    await _until_closed(reader, writer)


async def _literal_bomb(place: Place, source: str) -> None:
    reader, writer = await place.connect(143, source)
    writer.write(b"a LOGIN {4000000000}\r\nb LOGIN {4090+}\r\n" + b"x" * 4090 + b" {4090+}\r\n" + b"y" * 3000)
    await _until_closed(reader, writer)


async def _guess(place: Place, source: str) -> None:
    """Wrong passwords, for many."""
    reader, writer = await place.connect(993, source, tls=True)
    await reader.readline()
    for number in range(10):
        who = place.address(random.randrange(2 * place.users))
        writer.write(f'g{number} LOGIN "{who}" "mat-khau-{random.randrange(1000)}"\r\n'.encode())
        while not (line := await reader.readline()).startswith(b"g"):
            if not line:
                return
    writer.close()


async def _flood(place: Place, source: str) -> None:
    """Commands without an end, and no answer is read."""
    port, line = random.choice([(25, b"NOOP\r\n"), (143, b"a NOOP\r\n"), (110, b"CAPA\r\n"), (25, b"VRFY x\r\n")])
    _reader, writer = await place.connect(port, source)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    with contextlib.suppress(TimeoutError):
        for _ in range(500):
            writer.write(line * 2_000)
            await asyncio.wait_for(writer.drain(), 5)
    writer.transport.abort()


async def _broken_off(place: Place, source: str) -> None:
    """A reset in the middle of a message."""
    _reader, writer = await place.connect(25, source)
    commands = f"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<{place.address(random.randrange(place.users))}>\r\nDATA\r\n"
    writer.write(commands.encode())
    await asyncio.sleep(1)
    writer.write(b"Subject: half\r\n\r\n" + b"never to be seen\r\n" * random.randint(1, 20_000))
    await asyncio.sleep(random.uniform(0, 2))
    made: socket.socket = writer.get_extra_info("socket")
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def _too_large(place: Place, source: str) -> None:
    reader, writer = await place.connect(25, source)
    writer.write(f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{place.address(0)}>\r\nDATA\r\n\r\n".encode())
    line = b"z" * 998 + b"\r\n"
    for _ in range(400):
        writer.write(line * 100)
        await asyncio.wait_for(writer.drain(), 20)
    writer.write(b".\r\nQUIT\r\n")
    await _until_closed(reader, writer)


async def _never_reads(place: Place, source: str) -> None:
    """Signed in; asks for everything and takes nothing."""
    client = await Imap.sign_in(place, random.randrange(place.users), source)
    await client.command("SELECT INBOX")
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.write(b"x FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[])\r\n" * 5)
    await asyncio.sleep(random.uniform(5, 120))
    client.writer.transport.abort()


async def _compression_bomb(place: Place, source: str) -> None:
    client = await Imap.sign_in(place, random.randrange(place.users), source)
    await client.command("COMPRESS DEFLATE")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    for _ in range(50):
        client.writer.write(packer.compress(b"A" * 1_000_000))
        await asyncio.wait_for(client.writer.drain(), 20)
    client.writer.write(packer.flush())
    await _until_closed(client.reader, client.writer)


async def _strangers(place: Place, source: str) -> None:
    """A thousand recipients that are not here."""
    reader, writer = await place.connect(25, source)
    writer.write(
        b"EHLO x\r\nMAIL FROM:<a@example.net>\r\n" + b"".join(b"RCPT TO:<q%d@bench.test>\r\n" % n for n in range(1000))
    )
    await _until_closed(reader, writer)


async def _bad_start_tls(place: Place, source: str) -> None:
    port, line = random.choice([(25, b"EHLO x\r\nSTARTTLS\r\n"), (143, b"a STARTTLS\r\n"), (110, b"STLS\r\n")])
    reader, writer = await place.connect(port, source)
    writer.write(line + b"RSET\r\n" + random.randbytes(300))
    await _until_closed(reader, writer)


async def _deep_message(place: Place, source: str) -> None:
    """Parts within parts, which the server takes, and everybody who lists them has to bear."""
    reader, writer = await place.connect(25, source)
    head = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(300))
    to = place.address(random.randrange(place.users)).encode()
    writer.write(b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<" + to + b">\r\nDATA\r\n")
    await asyncio.sleep(1)
    writer.write(head + b"\r\nx\r\n.\r\nQUIT\r\n")
    await _until_closed(reader, writer)


async def _bad_proofs(place: Place, source: str) -> None:
    """SCRAM that is begun and never ended, or ended wrong."""
    reader, writer = await place.connect(465, source, tls=True)
    first = b64encode(f"n,,n={place.address(random.randrange(place.users))},r=abc".encode())
    for _ in range(5):
        writer.write(b"EHLO x\r\nAUTH SCRAM-SHA-256 " + first + b"\r\n" + b64encode(b"c=biws,r=abc,p=AAAA") + b"\r\n")
        await asyncio.sleep(1)
    await _until_closed(reader, writer)


async def _until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(random.uniform(5, 200)):
            while await reader.read(65_536):
                pass
    except TimeoutError:
        pass
    finally:
        writer.close()


ATTACKS: tuple[Attack, ...] = (
    _silence, _drip, _garbage, _garbage_in_tls, _endless_line, _literal_bomb, _guess, _flood, _broken_off, _too_large,
    _never_reads, _compression_bomb, _strangers, _bad_start_tls, _deep_message, _bad_proofs,
)  # fmt: skip
