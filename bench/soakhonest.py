"""The people of a soak: telephones that idle, mail programs at work, POP3, submission, and other mail servers.

Each client lives until it is cancelled, and comes back a little later when it was cut; what it should not meet is in the books.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable

from soakbooks import Books, Imap, Place, message, token_of

_numbers = itertools.count(1)
Life = Callable[[Place, Books, int, str], Awaitable[None]]
ARCHIVE = "L&AbA-u tr&Hu8-"


def new_token(sender: int | None = None) -> str:
    whose = "" if sender is None else f"s-{sender}-"
    return f"{whose}{next(_numbers)}-{random.getrandbits(40):x}"


async def live(life: Life, place: Place, books: Books, user: int, source: str) -> None:
    """One client, again and again."""
    await asyncio.sleep(random.uniform(0, 60))
    while True:
        try:
            await life(place, books, user, source)
        except (OSError, EOFError, RuntimeError, asyncio.IncompleteReadError, TimeoutError) as error:
            books.troubles[re.sub(r"reference \w+", "", f"{life.__name__}: {error!r}")[:160]] += 1
        await asyncio.sleep(random.uniform(0, 10))


async def telephone(place: Place, books: Books, user: int, source: str) -> None:
    """Signs in, looks at what is new, idles some minutes, goes."""
    began = time.perf_counter()
    client = await Imap.sign_in(place, user, source)
    books.waited("sign in", time.perf_counter() - began)
    try:
        await client.command("SELECT INBOX")
        end = time.monotonic() + random.uniform(60, 600)
        while time.monotonic() < end:
            await client.wait(random.uniform(20, 200))
            if client.exists:
                began = time.perf_counter()
                await client.command(f"FETCH {max(1, client.exists - 5)}:* (UID FLAGS ENVELOPE)")
                books.waited("new mail listed", time.perf_counter() - began)
        await client.command("LOGOUT")
    finally:
        client.close()


async def desktop(place: Place, books: Books, user: int, source: str) -> None:
    """A mail program at work: lists, reads, marks, files, deletes, searches, saves."""
    client = await Imap.sign_in(place, user, source)
    try:
        if not await client.command(f'LIST "" "{ARCHIVE}"'):
            await _unless_it_is_there(client.command(f'CREATE "{ARCHIVE}"'))
        await client.command("SELECT INBOX")
        for _ in range(random.randint(5, 40)):
            await random.choice([_read, _mark, _file, _delete, _search, _save])(client, books, user)
            await asyncio.sleep(random.uniform(1, 15))
            await client.command("NOOP")
        await client.command("LOGOUT")
    finally:
        client.close()


async def _unless_it_is_there(command: Awaitable[list[bytes]]) -> None:
    try:
        await command
    except RuntimeError as error:
        if "ALREADYEXISTS" not in str(error):
            raise


async def _read(client: Imap, books: Books, user: int) -> None:
    if client.exists:
        began = time.perf_counter()
        await client.command(f"FETCH {random.randint(max(1, client.exists - 20), client.exists)} (UID BODY[])")
        books.waited("read", time.perf_counter() - began)


async def _mark(client: Imap, books: Books, user: int) -> None:
    if client.exists:
        await client.command(f"STORE {random.randint(1, client.exists)} +FLAGS (\\Flagged $Forwarded)")
        await client.command("FETCH 1:* (FLAGS)")
        books.counts["marked"] += 1


async def _search(client: Imap, books: Books, user: int) -> None:
    began = time.perf_counter()
    await client.command('UID SEARCH OR SUBJECT "3" BODY "abc"')
    books.waited("search", time.perf_counter() - began)


async def _save(client: Imap, books: Books, user: int) -> None:
    token, began = new_token(), time.perf_counter()
    await client.command("APPEND Sent (\\Seen)", message(token))
    books.take(user, token)
    books.waited("saved", time.perf_counter() - began)


async def _uids(client: Imap, share: float) -> dict[int, str]:
    """Some messages of the INBOX, by UID."""
    found: dict[int, str] = {}
    lines = await client.command("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (X-Token)])") if client.exists else []
    for line, literal in itertools.pairwise(lines):
        token = token_of(literal)
        if b"UID " in line and token is not None and random.random() < share:
            found[int(line[line.index(b"UID ") + 4 :].split()[0])] = token
    return found


async def _delete(client: Imap, books: Books, user: int) -> None:
    uids = await _uids(client, 0.3)
    if uids:
        for token in uids.values():
            books.remove(user, token)
        which = ",".join(map(str, uids))
        await client.command(f"UID STORE {which} +FLAGS.SILENT (\\Deleted)")
        await client.command(f"UID EXPUNGE {which}")
        books.counts["expunged"] += len(uids)


async def _file(client: Imap, books: Books, user: int) -> None:
    uids = await _uids(client, 0.1)
    if uids:
        await client.command(f'UID MOVE {",".join(map(str, uids))} "{ARCHIVE}"')
        books.counts["moved"] += len(uids)


async def pop3(place: Place, books: Books, user: int, source: str) -> None:
    """Looks every minute or so, takes some and removes a few."""
    reader, writer = await place.connect(995, source, tls=True)

    async def ask(line: str, *, many: bool = False) -> list[bytes]:
        writer.write(line.encode() + b"\r\n")
        first = await reader.readline()
        if not first.startswith(b"+OK"):
            raise RuntimeError(f"{line.split(maxsplit=1)[0]}: {first.decode(errors='replace').strip()}")
        lines = [first]
        while many and (line_read := await reader.readline()) != b".\r\n":
            if not line_read:
                raise EOFError("POP3")
            lines.append(line_read)
        return lines

    try:
        await reader.readline()
        await ask(f"USER {place.address(user)}")
        await ask(f"PASS {place.password}")
        count = int((await ask("STAT"))[0].split()[1])
        for number in range(1, min(count, 5) + 1):
            token = token_of(b"".join(await ask(f"RETR {number}", many=True)))
            if token is not None and random.random() < 0.3:
                books.remove(user, token)
                await ask(f"DELE {number}")
        await ask("QUIT")
        books.counts["pop3 sessions"] += 1
    finally:
        writer.close()
    await asyncio.sleep(random.uniform(20, 90))


async def submitter(place: Place, books: Books, user: int, source: str) -> None:
    await _send(place, books, user, source, submits=True)


async def exchanger(place: Place, books: Books, user: int, source: str) -> None:
    await _send(place, books, user, source, submits=False)


async def _send(place: Place, books: Books, user: int, source: str, *, submits: bool) -> None:
    """Some messages in one connection, to some mailboxes each."""
    reader, writer = await place.connect(465 if submits else 25, source, tls=submits)

    async def ask(octets: bytes) -> bytes:
        writer.write(octets)
        await writer.drain()
        while (line := await reader.readline())[3:4] == b"-":
            pass
        if not line:
            raise EOFError("SMTP")
        return line

    async def must(octets: bytes, code: bytes) -> None:
        answer = await ask(octets)
        if not answer.startswith(code):
            raise RuntimeError(f"{octets[:12]!r}: {answer.decode(errors='replace').strip()}")

    try:
        await reader.readline()
        await must(b"EHLO soak.example.net\r\n", b"250")
        sender = "a@example.net"
        if submits:
            sender = place.address(user)
            plain = b64encode(f"\0{sender}\0{place.password}".encode())
            await must(b"AUTH PLAIN " + plain + b"\r\n", b"235")
        for _ in range(random.randint(1, 6)):
            token = new_token(user if submits else None)
            recipients = random.sample(range(place.users), random.choice([1, 1, 1, 2, 8]))
            octets = message(token)
            await must(f"MAIL FROM:<{sender}>\r\n".encode(), b"250")
            for each in recipients:
                await must(f"RCPT TO:<{place.address(each)}>\r\n".encode(), b"250")
            began = time.perf_counter()
            await must(b"DATA\r\n", b"354")
            await must(octets.replace(b"\r\n.", b"\r\n..") + b".\r\n", b"250")
            books.waited("submitted" if submits else "delivered", time.perf_counter() - began)
            for each in recipients:
                books.take(each, token)
            await asyncio.sleep(random.uniform(20, 90) if submits else random.uniform(2, 25))
        await must(b"QUIT\r\n", b"221")
    finally:
        writer.close()
