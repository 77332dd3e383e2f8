"""How long people wait who sign in for the first time while others guess passwords from many networks.

    python bench/guessing.py [--networks 40] [--connections 3] [--after 20] [--seconds 35] [--ports-from 16000]

Runs `mic-mail demo` as it is installed beside this interpreter, with 200 mailboxes. Those who guess come from a /24 each and
send wrong passwords for names that exist and for others, as fast as they are answered; `--after` that many seconds a person a
second signs in for the first time, and every fifth second one who has done so before from the same address.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import uvloop

from servers import PASSWORD, USERS, start_ours

KNOWN = 20
"""Mailboxes that have signed in from their address before."""
CODES = (b"AUTHENTICATIONFAILED", b"LIMIT", b"UNAVAILABLE")
Books = dict[str, list[float]]


async def sign_in(port: int, source: str, who: int, password: str, books: Books, what: str) -> str:
    """One try on a connection of its own; what was said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        await reader.readline()
        began = time.monotonic()
        writer.write(f'a LOGIN "u{who}@bench.test" "{password}"\r\n'.encode())
        while not (line := await reader.readline()).startswith(b"a "):
            if not line:
                return "cut"
        told = "in" if line.startswith(b"a OK") else next((code.decode().lower() for code in CODES if code in line), "other")
        books[f"{what}: {told}"].append(time.monotonic() - began)
        return told
    finally:
        writer.close()


async def guess(port: int, source: str, books: Books) -> None:
    while True:
        with contextlib.suppress(OSError):
            wrong = f"sai-{random.getrandbits(40):x}"
            if await sign_in(port, source, random.randrange(2 * USERS), wrong, books, "guess") == "limit":
                await asyncio.sleep(0.2)


async def run(port: int, arguments: argparse.Namespace) -> Books:
    books: Books = defaultdict(list)
    await asyncio.sleep(5)  # until each process knows the others
    for known in range(USERS - KNOWN, USERS):
        await sign_in(port, f"127.9.{known}.1", known, PASSWORD, defaultdict(list), "")
    sources = [f"127.66.{network}.1" for network in range(arguments.networks)]
    guessing = [asyncio.create_task(guess(port, each, books)) for each in sources for _ in range(arguments.connections)]
    await asyncio.sleep(arguments.after)
    people = []
    for number in range(min(arguments.seconds, USERS - KNOWN)):
        people.append(asyncio.create_task(sign_in(port, f"127.8.{number}.1", number, PASSWORD, books, "the first time")))
        if number % 5 == 0:
            known = USERS - KNOWN + number // 5 % KNOWN
            people.append(asyncio.create_task(sign_in(port, f"127.9.{known}.1", known, PASSWORD, books, "again")))
        await asyncio.sleep(1)
    await asyncio.gather(*people)
    for task in guessing:
        task.cancel()
    await asyncio.gather(*guessing, return_exceptions=True)
    return books


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--connections", type=int, default=3)
    parser.add_argument("--after", type=float, default=20)
    parser.add_argument("--seconds", type=int, default=35)
    parser.add_argument("--ports-from", type=int, default=16000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mic-mail-guessing-") as folder:
        server = start_ours(Path(folder) / "server", arguments.ports_from)
        try:
            books = uvloop.run(run(server.imap, arguments))
        finally:
            server.stop()
    for what, waited in sorted(books.items()):
        waited.sort()
        p50, p90, p99 = (waited[int(len(waited) * share)] for share in (0.5, 0.9, 0.99))
        print(f"{what:<32} {len(waited):>6}  p50 {p50:7.3f} s  p90 {p90:7.3f} s  p99 {p99:7.3f} s")


if __name__ == "__main__":
    main()
