"""Fetch one small text by HTTPS from a host, for documents at a well-known URI.

In: a name, a path, the addresses of the name, the trusted authorities. Out: the text, or `NotFetched` with the reason. One
request on one connection: no redirects, no cache, no cookies, no compression, bounded in octets and in time. A text without a
declared length is rejected, as an attacker who cuts the connection could shorten it. Bound to an event loop.

`h11` parses the response, as it does for the pages; httpx and aiohttp would resolve the name by themselves, bypassing
`net.dns`.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

import h11

from mic_mail.errors import Text, Trouble, in_ascii

_READ_OCTETS = 16 << 10
_AROUND_OCTETS = 64 << 10
"""Most octets around a text: headers, chunk sizes and chunk extensions."""
_MOST_INTERIM = 10
"""Interim responses (1xx) before the final one."""
_LONGEST_TEXT = 300


class NotFetched(Trouble):
    """The text of `name` is not available now."""

    def __init__(self, name: str, vi: str, en: str) -> None:
        super().__init__(Text(f"{name}: {vi}"[:_LONGEST_TEXT], in_ascii(f"{name}: {en}")[:_LONGEST_TEXT]))


@dataclass(frozen=True, slots=True)
class FetchBounds:
    """Limits of a fetch."""

    octets: int
    """Octets of the text."""
    seconds: float
    """For everything, whatever the number of addresses."""


async def text(
    name: str, path: str, *, addresses: Sequence[str], port: int, context: ssl.SSLContext, bounds: FetchBounds
) -> bytes:
    """Fetch the `text/plain` at `https://name/path`, from the first reachable address."""
    why = NotFetched(name, "không có địa chỉ", "no address")
    try:
        async with asyncio.timeout(bounds.seconds):
            for address in addresses:
                try:
                    reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name)
                    try:
                        return await _ask(name, path, reader, writer, bounds.octets)
                    finally:
                        writer.transport.abort()
                except (OSError, ValueError) as error:  # `ssl.SSLError` is an OSError
                    why = NotFetched(f"{name} ({address})", f"không kết nối được: {in_ascii(error)}", str(error))
                except h11.ProtocolError as error:
                    raise NotFetched(name, f"không phải HTTP: {in_ascii(error)}", f"not HTTP: {error}") from error
    except TimeoutError:
        raise NotFetched(name, "không trả lời trong thời gian chờ", "no response in time") from None
    raise why


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
                raise NotFetched(
                    name, f"hơn {_AROUND_OCTETS} octet ngoài văn bản", f"more than {_AROUND_OCTETS} octets around the text"
                )
            http.receive_data(octets)
        elif isinstance(event, h11.Response):
            _check(name, event)
        elif isinstance(event, h11.Data):
            found += bytes(event.data)
            if len(found) > most:
                raise NotFetched(name, f"hơn {most} octet", f"more than {most} octets")
        elif isinstance(event, h11.EndOfMessage):
            return found
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > _MOST_INTERIM:
                raise NotFetched(
                    name,
                    f"hơn {_MOST_INTERIM} câu trả lời tạm",
                    f"more than {_MOST_INTERIM} interim responses",
                )
        else:
            raise NotFetched(name, "kết nối bị ngắt", "the connection was closed")


def _check(name: str, response: h11.Response) -> None:
    """Require status 200, plain text and a declared length."""
    if response.status_code != 200:
        raise NotFetched(name, f"HTTP {response.status_code}, không phải 200", f"HTTP {response.status_code} instead of 200")
    fields = {key.decode("ascii", "replace").lower(): value.decode("ascii", "replace") for key, value in response.headers}
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/plain":
        raise NotFetched(
            name, f"{in_ascii(kind) or 'không có kiểu'}, không phải text/plain", f"{kind or 'no type'} instead of text/plain"
        )
    if fields.get("content-encoding", "identity").strip().lower() != "identity":
        raise NotFetched(name, "bị nén, không ai yêu cầu", "compressed without being asked for")
    if "content-length" not in fields and "transfer-encoding" not in fields:
        raise NotFetched(name, "văn bản không ghi độ dài", "a text without its length")
