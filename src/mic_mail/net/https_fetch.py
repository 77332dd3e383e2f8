"""Fetch one small text by HTTPS from a host, for documents at a well-known URI.

In: a name, a path, the addresses of the name, the trusted authorities. Out: the text, or `NotFetched` with the reason. One
request on one connection: no redirects, no cache, no cookies, no compression, bounded in octets and in time. A text without a
declared length is rejected, as an attacker who cuts the connection could shorten it. Bound to an event loop.

`h11` parses the response, as it does for the pages; httpx and aiohttp would resolve the name by themselves, bypassing
`net.dns`.
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
"""Most octets around a text: headers, chunk sizes and chunk extensions."""
_MOST_INTERIM = 10
"""Interim responses (1xx) before the final one."""


class NotFetched(Exception):
    """The text is not available now. The message is ASCII, for the log."""

    def __init__(self, text: str) -> None:
        super().__init__(in_ascii(text)[:300])


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a fetch."""

    octets: int
    """Octets of the text."""
    seconds: float
    """For everything, whatever the number of addresses."""


async def text(name: str, path: str, *, addresses: Sequence[str], port: int, context: ssl.SSLContext, bounds: Bounds) -> bytes:
    """Fetch the `text/plain` at `https://name/path`, from the first reachable address."""
    why = NotFetched(f"{name} has no address")
    try:
        async with asyncio.timeout(bounds.seconds):
            for address in addresses:
                try:
                    reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
                    with _closing(writer):
                        return await _ask(name, path, reader, writer, bounds.octets)
                except (OSError, ValueError) as error:  # `ssl.SSLError` is an OSError
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
    """Require status 200, plain text and a declared length."""
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
