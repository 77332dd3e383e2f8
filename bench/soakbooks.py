"""The books of a soak: what the server has acknowledged, what was taken out again, and whether it kept its word.

`message(token)` makes a message from its token alone, so whoever reads one knows every octet that has to be there.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import Counter
from dataclasses import dataclass, field

MARK = b"X-Token: "
USER = "u%d@bench.test"


def message(token: str) -> bytes:
    """2 KiB mostly, 400 KiB sometimes; Vietnamese, lines that begin with dots, long lines. `s-7-...` is from mailbox 7."""
    dice = random.Random(token)
    octets = dice.choices([200, 2_000, 20_000, 100_000, 400_000], weights=[30, 50, 12, 6, 2])[0]
    sender = USER % int(token.split("-")[1]) if token.startswith("s-") else "a@example.net"
    head = f"{MARK.decode()}{token}\r\nFrom: <{sender}>\r\nSubject: =?utf-8?q?Th=C6=B0?= {token}\r\nMIME-Version: 1.0\r\n"
    head += f"Message-ID: <{token}@example.net>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    line = b"." * dice.randint(0, 2) + "Kính gửi ".encode() + dice.randbytes(dice.choice([20, 300])).hex().encode() + b"\r\n"
    return head.encode() + line * (octets // len(line) + 1)


def token_of(octets: bytes) -> str | None:
    """None for mail that the soak has not sent."""
    start = octets.find(MARK)
    return octets[start + len(MARK) : octets.index(b"\r\n", start)].decode() if start >= 0 else None


def is_whole(octets: bytes) -> bool:
    """Whether a message is there octet for octet, behind what the server puts in front."""
    token = token_of(octets)
    return token is not None and octets[octets.find(MARK) :] == message(token)


@dataclass
class Books:
    """Of all clients together."""

    acknowledged: dict[int, set[str]] = field(default_factory=dict)
    """Tokens by mailbox that the server has taken on."""
    perhaps_gone: dict[int, set[str]] = field(default_factory=dict)
    """That a client has asked to remove; whether it was told so or not."""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """How long honest clients waited, by what for."""
    counts: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    """What honest clients met that they should not have."""

    def take(self, user: int, token: str) -> None:
        self.acknowledged.setdefault(user, set()).add(token)

    def remove(self, user: int, token: str) -> None:
        self.perhaps_gone.setdefault(user, set()).add(token)

    def waited(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)
        self.counts[what] += 1


@dataclass(frozen=True)
class Place:
    """Where the server is, and as who one may come."""

    base: int
    users: int
    password: str
    tls: ssl.SSLContext

    def port(self, standard: int) -> int:
        return self.base + standard

    def address(self, user: int) -> str:
        return USER % user

    async def connect(
        self, standard: int, source: str, *, tls: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port(standard), local_addr=(source, 0), ssl=self.tls if tls else None, limit=1 << 20
        )


class Imap:
    """A client that waits for each answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._number = 0
        self.exists = 0

    @classmethod
    async def sign_in(cls, place: Place, user: int, source: str) -> Imap:
        client = cls(*await place.connect(993, source, tls=True))
        await client.reader.readline()
        await client.command(f'LOGIN "{place.address(user)}" "{place.password}"')
        return client

    async def command(self, line: str, literal: bytes | None = None) -> list[bytes]:
        """The untagged lines, literals as lines of their own; RuntimeError unless OK."""
        self._number += 1
        tag = b"s%d " % self._number
        octets = tag + line.encode()
        if literal is not None:
            octets += b" {%d+}\r\n" % len(literal) + literal
        self.writer.write(octets + b"\r\n")
        await self.writer.drain()
        lines = []
        while True:
            answer = await self._line()
            if answer.startswith(tag):
                if not answer.startswith(tag + b"OK"):
                    raise RuntimeError(f"{line.split(maxsplit=1)[0]}: {answer[len(tag) :].decode(errors='replace').strip()}")
                return lines
            lines.append(answer)
            if answer.endswith(b"}\r\n"):
                lines.append(await self.reader.readexactly(int(answer[answer.rindex(b"{") + 1 : -3])))

    async def _line(self) -> bytes:
        line = await self.reader.readline()
        if not line:
            raise EOFError("IMAP")
        if line.endswith(b" EXISTS\r\n"):
            self.exists = int(line.split()[1])
        elif line.endswith(b" EXPUNGE\r\n"):
            self.exists -= 1
        return line

    async def wait(self, seconds: float) -> None:
        """IDLE until something comes or the time is over."""
        self._number += 1
        tag = b"s%d " % self._number
        self.writer.write(tag + b"IDLE\r\n")
        try:
            async with asyncio.timeout(seconds):
                while not (await self._line()).startswith(b"*"):
                    pass
        except TimeoutError:
            pass
        self.writer.write(b"DONE\r\n")
        while not (await self._line()).startswith(tag):
            pass

    def close(self) -> None:
        self.writer.close()


async def verify(place: Place, books: Books) -> dict[str, int]:
    """Read every mailbox whole: what is missing, changed, twice."""
    found_wrong: Counter[str] = Counter()
    for user in range(place.users):
        client = await Imap.sign_in(place, user, "127.0.0.1")
        present: Counter[str] = Counter()
        names = [
            line.rsplit(b'"/" ', 1)[1].strip() for line in await client.command('LIST "" "*"') if b"\\Noselect" not in line
        ]
        for name in names:
            await client.command(f"EXAMINE {name.decode()}")
            lines = await client.command("UID FETCH 1:* (BODY.PEEK[])") if client.exists else []
            client.exists = 0
            for octets in lines:
                if (token := token_of(octets)) is not None and len(octets) > 60:
                    present[token] += 1
                    found_wrong["changed"] += not is_whole(octets)
        client.close()
        acknowledged, gone = books.acknowledged.get(user, set()), books.perhaps_gone.get(user, set())
        found_wrong["messages"] += sum(present.values())
        found_wrong["lost"] += len(acknowledged - gone - present.keys())
        found_wrong["twice"] += sum(number - 1 for number in present.values())
        found_wrong["taken out"] += len(gone)
    return {name: found_wrong[name] for name in ("messages", "taken out", "lost", "changed", "twice")}
