"""One small text by HTTPS from a host of the DNS, for what is published at a well-known place.

In: a name, a path, the addresses of the name, whose certificates are believed. Out: the text, or `NotFetched` with why. One
request on one connection: no redirects, no cache, no cookies, nothing compressed, bounded in octets and in time. A text whose
length nobody has told is none: whoever cuts the line could shorten it. Belongs to a loop.

`h11` reads the answer, as it does for the pages; httpx and aiohttp would look the name up by themselves, past `net.dns`.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import h11

from mic_mail.errors import in_ascii

_READ_OCTETS = 16 << 10
_AROUND_OCTETS = 64 << 10
"""The most that comes with a text: heads, sizes of chunks and what is said beside them."""
_MOST_INTERIM = 10
"""Answers before the one that counts (1xx)."""


class NotFetched(Exception):
    """There is no such text to be had now. The words are ASCII, for the log."""

    def __init__(self, text: str) -> None:
        super().__init__(in_ascii(text)[:300])


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is taken at most."""

    octets: int
    """Of the text."""
    seconds: float
    """For all of it, whatever the number of addresses."""


async def text(name: str, path: str, *, addresses: Sequence[str], port: int, context: ssl.SSLContext, bounds: Bounds) -> bytes:
    """The `text/plain` at `https://name/path`, from the first address that can be spoken to."""
    why = NotFetched(f"{name} has no address")
    try:
        async with asyncio.timeout(bounds.seconds):
            for address in addresses:
                try:
                    reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
                    with _closing(writer):
                        return await _ask(name, path, reader, writer, bounds.octets)
                except (OSError, ValueError) as error:  # of the first, `ssl.SSLError`
                    why = NotFetched(f"{name} ({address}): {error}")
                except h11.ProtocolError as error:
                    raise NotFetched(f"{name}: no HTTP: {error}") from error
    except TimeoutError:
        raise NotFetched(f"{name}: no answer in time") from None
    raise why


@contextlib.contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.transport.abort()


async def _ask(name: str, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> bytes:
    http = h11.Connection(our_role=h11.CLIENT)
    fields = [("Host", name), ("User-Agent", "mic-mail"), ("Accept", "text/plain"), ("Connection", "close")]
    writer.write(http.send(h11.Request(method="GET", target=path, headers=fields)) or b"")
    writer.write(http.send(h11.EndOfMessage()) or b"")
    return await _answer(name, http, reader, most)


async def _answer(name: str, http: h11.Connection, reader: asyncio.StreamReader, most: int) -> bytes:
    found, read, interim = b"", 0, 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            octets = await reader.read(_READ_OCTETS)
            read += len(octets)
            if read > most + _AROUND_OCTETS:
                raise NotFetched(f"{name}: more than {_AROUND_OCTETS} octets around the text")
            http.receive_data(octets)
        elif isinstance(event, h11.Response):
            _check(name, event)
        elif isinstance(event, h11.Data):
            found += bytes(event.data)
            if len(found) > most:
                raise NotFetched(f"{name}: more than {most} octets")
        elif isinstance(event, h11.EndOfMessage):
            return found
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > _MOST_INTERIM:
                raise NotFetched(f"{name}: more than {_MOST_INTERIM} answers before the one that counts")
        else:
            raise NotFetched(f"{name}: the connection was closed")


def _check(name: str, response: h11.Response) -> None:
    """Just 200, plain text, of a length that is told."""
    if response.status_code != 200:
        raise NotFetched(f"{name}: HTTP {response.status_code}, which is not 200")
    fields = {key.decode("ascii", "replace").lower(): value.decode("ascii", "replace") for key, value in response.headers}
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        raise NotFetched(f"{name}: {kind or 'no type'}, which is not text/plain")
    if fields.get("content-encoding", "identity").strip().lower() != "identity":
        raise NotFetched(f"{name}: compressed, which nobody asked for")
    if "content-length" not in fields and "transfer-encoding" not in fields:
        raise NotFetched(f"{name}: a text without its length")
