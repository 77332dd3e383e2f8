"""IMAP: commands of one client on mailboxes of an office, on one of very many messages, and on one of huge texts."""

from __future__ import annotations

import functools
import re
import statistics
import threading
import time
from collections.abc import Callable, Sequence

import corpus
from measure import ImapClient, cpu_seconds
from servers import Server
from work import Bench, Figures

OFFICE, APPENDED, MANY, HUGE, READ_BY_MANY, BYSTANDER = range(11, 17)
"""The bench users whose INBOXes these are; those below 10 get what arrives by SMTP."""

HEADERS = (
    "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References "
    "Newsgroups In-Reply-To Content-Type Reply-To)])"
)
STEPS = {
    "select": "SELECT INBOX",
    "headers": f"UID FETCH 1:* {HEADERS}",
    "flags": "UID FETCH 1:* (FLAGS)",
    "envelopes": "FETCH 1:* (ENVELOPE BODYSTRUCTURE FLAGS)",
    "sizes": "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
    "unseen": "SEARCH UNSEEN SINCE 1-Jun-2024",
    "sort_subject": "SORT (SUBJECT) UTF-8 ALL",
    "sort_date": "SORT (DATE) UTF-8 ALL",
    "sort_unseen": "UID SORT (REVERSE DATE) UTF-8 UNSEEN",
    "threads": "THREAD REFERENCES UTF-8 ALL",
    "threads_unseen": "UID THREAD REFERENCES UTF-8 UNSEEN",
    "bodies": "UID FETCH 1:* (BODY.PEEK[])",
}
SEARCHES = {
    "subject": ("SUBJECT", "invoice"),
    "subject_accents": ("SUBJECT", "hóa"),
    "from": ("FROM", "Nguyễn"),
    "body": ("BODY", "đơn"),
    "phrase": ("TEXT", "hóa đơn"),
    "substring": ("TEXT", "nvoic"),
    "absent": ("BODY", "zxqwvabsent"),
}
LETTER_OCTETS = 37_000
"""What a message of an office takes in the mean."""


def append(client: ImapClient, messages: Sequence[tuple[bytes, int, str]]) -> None:
    """Put messages into INBOX by one command (RFC 3502)."""
    words, literals = "", []
    for data, when, flags in messages:
        names = " ".join({"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged"}[flag] for flag in flags)
        words += f' ({names}) "{time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(when))}" {{}}'
        literals.append(data)
    client.command("APPEND INBOX" + words, *literals)


def fill_office(bench: Bench, servers: Sequence[Server], user: int, count: int) -> None:
    """Fill the INBOX of `user` with the corpus, at each server once a run."""
    filled = bench.once(("filled", user), set)
    assert isinstance(filled, set)
    empty = [server for server in servers if server.name not in filled]
    for first in range(1, count + 1, 20) if empty else ():
        some = [corpus.message(number) for number in range(first, min(first + 20, count + 1))]
        for server in empty:
            append(bench.client(server, user), some)
    for server in empty:
        wait_for_indexer(bench, server)
        filled.add(server.name)


def wait_for_indexer(bench: Bench, server: Server, most_seconds: float = 600) -> None:
    """Until our indexer has found nothing new for two of its rounds, or the time is over.

    It counts the messages of a mailbox when it has done all of them, so it has to be at rest, too.
    """
    still, last, spent, end = 0, -1, -1.0, time.monotonic() + most_seconds
    while server.status and still < bench.sizes.settle + 2 and time.monotonic() < end:
        indexers = [one for one in server.processes() if one["name"] == "index"]
        now, cpu = sum(one.get("indexed", 0) for one in indexers), cpu_seconds([one["pid"] for one in indexers if one["pid"]])
        still = still + 1 if now == last and cpu - spent < 0.1 else 0
        last, spent = now, cpu
        time.sleep(1)


def prepare_office(bench: Bench, servers: Sequence[Server]) -> None:
    """A mailbox of 10,000 messages, 450 MB."""
    fill_office(bench, servers, OFFICE, bench.sizes.office)
    for server in servers:
        bench.client(server, OFFICE).command("SELECT INBOX")


def steps(bench: Bench, server: Server) -> Figures:
    """Each command once, in milliseconds."""
    client = bench.client(server, OFFICE)
    return {name: client.command(line)[0] * 1000 for name, line in STEPS.items()}


def searches(bench: Bench, server: Server) -> Figures:
    """Each search once, in milliseconds. What a server finds depends on what it means by the words (accents, substrings)."""
    client = bench.client(server, OFFICE)
    return {
        name: client.command(f"SEARCH CHARSET UTF-8 {key} {{}}", value.encode())[0] * 1000
        for name, (key, value) in SEARCHES.items()
    }


def single(bench: Bench, server: Server) -> Figures:
    """NOOP, STORE of one flag on one message and FETCH of one body of 37 KB: the median of many, in milliseconds."""
    client, repeats = bench.client(server, OFFICE), bench.sizes.repeats
    numbers = bench.once(("letters", server.name), lambda: letters_of(client))
    assert isinstance(numbers, list)
    chosen = [numbers[turn % len(numbers)] for turn in range(repeats)]

    def median(line: Callable[[int, int], str]) -> float:
        return 1000 * statistics.median(client.command(line(turn, number))[0] for turn, number in enumerate(chosen))

    return {
        "noop": median(lambda _turn, _number: "NOOP"),
        "store": median(lambda turn, number: f"STORE {number} {'+-'[turn // len(numbers) % 2]}FLAGS (\\Flagged)"),
        "fetch": median(lambda _turn, number: f"UID FETCH {number} (BODY.PEEK[])"),
    }


def letters_of(client: ImapClient) -> list[int]:
    """Messages of about 37 KB in the mailbox; number and UID are the same there. At least one."""
    lines = client.command("FETCH 1:* (RFC822.SIZE)", keep=True)[2]
    sizes = [(int(number), int(size)) for number, size in re.findall(rb"\* (\d+) FETCH \(RFC822.SIZE (\d+)\)", lines)]
    return [number for number, _ in sorted(sizes, key=lambda each: abs(each[1] - LETTER_OCTETS))[: max(1, len(sizes) // 100)]]


def prepare_appends(bench: Bench, servers: Sequence[Server]) -> None:
    """Wait until what the works before have left to do is done."""
    for server in servers:
        wait_for_indexer(bench, server)


def append_letters(bench: Bench, server: Server) -> Figures:
    """Messages of 37 KB, made beforehand, one APPEND each with nothing selected."""
    made = bench.once("letters", functools.partial(_letters, bench.sizes.appends))
    assert isinstance(made, list)
    client, start = bench.client(server, APPENDED), time.perf_counter()
    for letter in made:
        append(client, [(letter, 1_700_000_000, "S")])
    return {"per_s": len(made) / (time.perf_counter() - start)}


def _letters(count: int) -> list[bytes]:
    file = b"%PDF-1.4\n" + bytes(range(256)) * 104
    return [corpus.with_attachment("application/pdf", f"{number}.pdf", file + b"%d" % number) for number in range(count)]


# ------------------------------------------------------------ very many messages


def prepare_many(bench: Bench, servers: Sequence[Server]) -> None:
    """A mailbox of 300,000 short messages: an eighth is appended, and what is there copied three times."""
    head = b"From: <a@example.vn>\r\nSubject: cong van %d\r\nMessage-ID: <%d@example.vn>\r\n\r\nxin chao\r\n"
    for server in servers:
        client, appended = bench.client(server, MANY), bench.sizes.many // 8
        for first in range(0, appended, 500):
            numbers = range(first, min(first + 500, appended))
            client.command("APPEND INBOX" + " {}" * len(numbers), *(head % (number, number) for number in numbers))
        client.command("SELECT INBOX")
        for times in (1, 2, 4):
            client.command(f"COPY 1:{appended * times} INBOX")
        wait_for_indexer(bench, server)
        client.command("SELECT INBOX")


def many(bench: Bench, server: Server) -> Figures:
    """SELECT and SEARCH once they are warm, a flag on all, the removal of a third; and how long another client's NOOP took
    while the two changed the mailbox. Can be done once."""
    client, third = bench.client(server, MANY), bench.sizes.many // 3

    def warm(line: str) -> float:
        client.command(line)
        return statistics.median(client.command(line)[0] for _ in range(5)) * 1000

    figures = {"select": warm("SELECT INBOX"), "subject": warm('SEARCH SUBJECT "4711"')}
    bystander = _Bystander(bench.client(server, BYSTANDER))
    figures["store"] = client.command("STORE 1:* +FLAGS.SILENT (\\Flagged)")[0]
    client.command(f"STORE 1:{third} +FLAGS.SILENT (\\Deleted)")
    figures["expunge"] = client.command("EXPUNGE")[0]
    return figures | {"noop_p99": bystander.stop()}


class _Bystander:
    """Somebody else who asks for nothing, each ten milliseconds."""

    def __init__(self, client: ImapClient) -> None:
        self._client, self._over, self._took = client, threading.Event(), [client.command("NOOP")[0]]
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        while not self._over.wait(0.01):
            self._took.append(self._client.command("NOOP")[0])

    def stop(self) -> float:
        """The 99th of a hundred, in milliseconds."""
        self._over.set()
        self._thread.join()
        return sorted(self._took)[int(len(self._took) * 0.99)] * 1000


# ------------------------------------------------------------ huge texts


def prepare_huge(bench: Bench, servers: Sequence[Server]) -> None:
    """Twenty texts of 27 MiB in a mailbox of their own."""
    for number in range(bench.sizes.huge_texts):
        data = corpus.huge_text(number, bench.sizes.large_octets)
        for server in servers:
            append(bench.client(server, HUGE), [(data, 1_700_000_000, "")])
    for server in servers:
        wait_for_indexer(bench, server)
        bench.client(server, HUGE).command("SELECT INBOX")


def search_huge(bench: Bench, server: Server) -> Figures:
    """A word that all have, and one that none has."""
    client = bench.client(server, HUGE)
    return {
        "text": client.command("SEARCH CHARSET UTF-8 TEXT {}", "quyết định".encode())[0] * 1000,
        "absent": client.command('SEARCH BODY "zxqwvabsent"')[0] * 1000,
    }
