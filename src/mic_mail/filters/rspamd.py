"""The client of Rspamd: scores a message (`/checkv2`), and trains it with what people decided.

In: a message in chunks, its envelope data. Out: `Scored`, or `NotScored`: the daemon is away, busy for too long, or gave an
invalid answer. Bounded in octets, symbols and options of the answer. Rspamd sees message and envelope; it runs on this
machine, or on another trusted one.

A connection serves one request: Rspamd's scanner closes it after each answer, whatever was requested (seen with 3.12).
`h11` does the protocol, as for the web pages.
"""

import asyncio
import contextlib
import json
import math
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import NoReturn

import h11

from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.filters.daemon import Daemon

MOST_OCTETS = 1 << 20
"""Bound on an answer."""
MOST_SYMBOLS = 200
MOST_LOOKED_AT = 1_000
"""Bound on symbols that are read; Rspamd has about as many rules."""
MOST_OPTIONS = 8
LONGEST_NAME = 80
LONGEST_OPTION = 120
MOST_RECIPIENT_OCTETS = 32 << 10
"""Bound on all recipient fields together.

Beyond 80 KiB of fields Rspamd closes the connection (seen with 3.12), and addresses with details can be long. The first
ones tell it enough.
"""
_KNOWN_BEFORE = b"already learned"
_READ_OCTETS = 16 << 10
_UNPRINTABLE = re.compile(r"[^!-~]")
_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class NotScored(Trouble):
    """Rspamd gave no answer; the text says why. The daemon's own words are a `str` and stay as they are."""

    def __init__(self, text: Text | str) -> None:
        super().__init__(Text(text.vi[:300], text.en[:300]) if isinstance(text, Text) else in_ascii(text)[:300])


class Unwilling(NotScored):
    """Rspamd answered, but does not take this message now."""


class RspamdAction(StrEnum):
    """The action that Rspamd asks for."""

    NONE = "no action"
    GREYLIST = "greylist"
    ADD_HEADER = "add header"
    REWRITE_SUBJECT = "rewrite subject"
    SOFT_REJECT = "soft reject"
    QUARANTINE = "quarantine"
    REJECT = "reject"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Symbol:
    """One rule that matched."""

    name: str
    """The name in printable ASCII without spaces."""
    score: float
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """Rspamd's result for a message."""

    action: RspamdAction
    score: float
    required: float
    """The score from which it would be refused."""
    symbols: tuple[Symbol, ...] = ()
    """Symbols, those with the largest scores first."""
    unknown_action: str = ""
    """An action outside Rspamd's own set, treated as none."""


class TrainingResult(StrEnum):
    """The result of training."""

    LEARNED = "learned"
    KNOWN = "known"
    """Learned before."""
    UNFIT = "unfit"
    """Not learned: too short, or against Rspamd's own conditions."""


@dataclass(frozen=True, slots=True)
class About:
    """Envelope data of a message."""

    peer: str = ""
    helo: str = ""
    hostname: str = ""
    """The DNS name of the peer's address."""
    sender: str = ""
    recipients: Sequence[str] = ()
    user: str = ""
    """The signed-in user; empty if there is none."""
    queue_id: str = ""
    tls: str = ""
    """The TLS version of its connection."""

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return the fields as Rspamd's protocol names them."""
        pairs = [
            ("IP", self.peer.partition("%")[0]),
            ("Helo", self.helo),
            ("Hostname", self.hostname),
            ("From", f"<{self.sender}>"),
            *(("Rcpt", f"<{recipient}>") for recipient in self._first_recipients()),
            ("User", self.user),
            ("Queue-Id", self.queue_id),
            ("TLS-Version", self.tls),
        ]
        return [(name.encode(), _UNSENDABLE.sub("", value).strip().encode()) for name, value in pairs if value]

    def _first_recipients(self) -> Iterator[str]:
        left = MOST_RECIPIENT_OCTETS
        for recipient in self.recipients:
            left -= len(f"Rcpt: <{recipient}>\r\n".encode(errors="replace"))
            if left < 0:
                return
            yield recipient


class Rspamd(Daemon):
    """The client of one daemon in one process."""

    failure = NotScored

    async def check(self, about: About, pieces: AsyncIterator[bytes], octets: int) -> Scored:
        """Score a message of this many octets."""
        status, answer = await self._ask("/checkv2", about.fields(), pieces, octets)
        if status != 200:
            raise NotScored(f"HTTP {status}: {_complaint(answer)}")
        return read_scored(answer)

    async def train(self, pieces: AsyncIterator[bytes], octets: int, *, spam: bool, password: str) -> TrainingResult:
        """Train it with a message as spam or ham; a request to its controller."""
        fields = [(b"Password", _UNSENDABLE.sub("", password).encode())] if password else []
        status, answer = await self._ask("/learnspam" if spam else "/learnham", fields, pieces, octets)
        match status:
            case 200:
                return TrainingResult.LEARNED
            case 208:
                return TrainingResult.KNOWN
            case 404 if _KNOWN_BEFORE in answer:  # older versions, which have no 208
                return TrainingResult.KNOWN
            case 204 | 400 | 413:
                return TrainingResult.UNFIT
            case 401 | 403 | 404:  # wrong password, or no controller behind this address: not a property of the message
                raise NotScored(f"HTTP {status}: {_complaint(answer)}")
            case _:
                raise Unwilling(f"HTTP {status}: {_complaint(answer)}")

    # ------------------------------------------------------------ HTTP

    async def _ask(
        self, path: str, fields: list[tuple[bytes, bytes]], pieces: AsyncIterator[bytes], octets: int
    ) -> tuple[int, bytes]:
        general = [(b"Host", b"rspamd"), (b"User-Agent", b"mic-mail"), (b"Connection", b"close")]
        head = [*general, *fields, (b"Content-Length", str(octets).encode())]
        http = h11.Connection(our_role=h11.CLIENT)
        try:
            request = h11.Request(method="POST", target=path, headers=head)
            return await self.exchange(_sent(http, request, pieces), partial(_answer, http))
        except h11.ProtocolError as error:
            words = in_ascii(error)
            raise NotScored(Text(f"không phải HTTP: {words}", f"not HTTP: {words}")) from error


async def _sent(http: h11.Connection, request: h11.Request, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield http.send(request) or b""
    async for piece in pieces:
        yield http.send(h11.Data(data=piece)) or b""
    http.send(h11.EndOfMessage())


async def _answer(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a whole answer: status and body. Without a stated length it ends with the connection."""
    status, found = 0, b""
    while True:
        event = http.next_event()
        match event:
            case h11.NEED_DATA:
                http.receive_data(await reader.read(_READ_OCTETS))
            case h11.Response():
                status = event.status_code
            case h11.Data():
                found += bytes(event.data)
                if len(found) > MOST_OCTETS:
                    raise NotScored(
                        Text(f"câu trả lời dài hơn {MOST_OCTETS} octet", f"a response of more than {MOST_OCTETS} octets")
                    )
            case h11.EndOfMessage():
                return status, found
            case h11.InformationalResponse():
                pass
            case _:
                raise NotScored(Text("kết nối bị ngắt", "the connection was closed"))


# ------------------------------------------------------------ answers


def read_scored(octets: bytes) -> Scored:
    """Decode the answer to `/checkv2`; `NotScored` if invalid: a guess would pass spam or refuse mail."""
    answer = _json(octets)
    action, symbols = answer.get("action"), answer.get("symbols", {})
    if not isinstance(action, str) or not isinstance(symbols, Mapping):
        words = in_ascii(_complaint(octets))
        raise NotScored(Text(f"câu trả lời không có kết quả: {words}", f"not an action: {words}"))
    known = action in set(RspamdAction)
    return Scored(
        RspamdAction(action) if known else RspamdAction.NONE,
        _number(answer.get("score")),
        _number(answer.get("required_score")),
        _symbols(symbols),
        "" if known else _plain(action, LONGEST_NAME),
    )


def _symbols(symbols: Mapping[str, object]) -> tuple[Symbol, ...]:
    found = []
    for name, about in islice(symbols.items(), MOST_LOOKED_AT):
        if not isinstance(about, Mapping):
            raise NotScored(Text("câu trả lời có quy tắc sai dạng", "an invalid symbol"))
        options = about.get("options", [])
        words = [_plain(str(option), LONGEST_OPTION) for option in options[:MOST_OPTIONS]] if isinstance(options, list) else []
        found.append(Symbol(_plain(name, LONGEST_NAME) or "_", _number(about.get("score", 0)), tuple(words)))
    found.sort(key=lambda symbol: (-abs(symbol.score), symbol.name))
    return tuple(found[:MOST_SYMBOLS])


def _json(octets: bytes) -> Mapping[str, object]:
    try:
        answer = json.loads(octets, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise NotScored(
            Text(f"câu trả lời không phải JSON: {type(error).__name__}", f"not JSON: {type(error).__name__}")
        ) from error
    if not isinstance(answer, dict):
        raise NotScored(Text("câu trả lời không phải đối tượng JSON", "not a JSON object"))
    return answer


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _number(value: object) -> float:
    """Return a finite number below 1e6 in size, in hundredths; JSON has integers of any length."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            if math.isfinite(value) and abs(value) < 1e6:
                return round(float(value), 2)
    raise NotScored(Text("điểm không phải số", "a score that is not a number"))


def _plain(text: str, longest: int) -> str:
    """Return the text as printable ASCII without spaces, for a log line and a header."""
    return _UNPRINTABLE.sub("_", text[:longest])


def _complaint(octets: bytes) -> str:
    return octets[:200].decode("ascii", "backslashreplace") or "an empty response"
