"""Mail that arrives by SMTP or LMTP: small messages, attachments, large ones, and how late the event loop is meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import corpus
from mailboxes import READ_BY_MANY, fill_office, wait_for_indexer
from measure import ImapClient, cpu_seconds, memory_kib
from servers import PASSWORD, Server
from work import Bench, Figures

Turn = Callable[[Bench, Server], Figures]
RECIPIENTS = 10


def _in_inboxes(server: Server) -> int:
    """Messages in the INBOXes of the recipients, as files or rows."""
    if server.database is not None:
        return int(server.database.psql("SELECT count(*) FROM message"))
    total = 0
    for user in range(RECIPIENTS):
        for name in ("new", "cur"):
            path = Path(server.inbox % user, name)
            total += sum(1 for _ in path.iterdir()) if path.is_dir() else 0
    return total


def small(octets: int, sessions: int) -> Turn:
    """Messages a second, acknowledged and visible as files."""

    def turn(bench: Bench, server: Server) -> Figures:
        count = max(1, bench.sizes.messages // (1 if octets < 10_000 else 3) // (4 if sessions == 1 else 1))
        before, cpu, start = _in_inboxes(server), cpu_seconds(server.pids), time.perf_counter()
        bench.load(server, sessions, count, octets, RECIPIENTS)
        while _in_inboxes(server) < before + count:
            if time.perf_counter() > start + 300:
                raise TimeoutError("messages were acknowledged and are in no mailbox")
            time.sleep(0.05)  # often enough for what takes seconds; looking costs the server its processor
        wall, spent = time.perf_counter() - start, cpu_seconds(server.pids) - cpu
        wait_for_indexer(bench, server)  # it begins when no more comes, in the next server's turn
        return {"per_s": count / wall, "cpu_ms": spent / count * 1000}

    return turn


def cost_in_database(bench: Bench, server: Server) -> Figures:
    """What PostgreSQL spends on a message of 4 KiB, of ten sessions."""
    assert server.database is not None
    assert server.database.process is not None
    count, pids = bench.sizes.messages, [server.database.process.pid]
    before, cpu, log = _in_inboxes(server), cpu_seconds(pids), _log_octets(server)
    bench.load(server, 10, count, 4096, RECIPIENTS)
    while _in_inboxes(server) < before + count:
        time.sleep(0.05)
    return {
        "cpu_us": (cpu_seconds(pids) - cpu) / count * 1e6,
        "log_kb": (_log_octets(server) - log) / count / 1000,
    }


def _log_octets(server: Server) -> int:
    assert server.database is not None
    return int(server.database.psql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))


@contextmanager
def _growth(server: Server) -> Iterator[Callable[[], float]]:
    """How far anonymous memory of the tree has grown while the block runs, in MiB."""
    base, peak, over = memory_kib(server.pids, "RssAnon"), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], memory_kib(server.pids, "RssAnon"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: max(0, peak[0] - base) / 1024
    finally:
        over.set()
        thread.join()


def large(bench: Bench, server: Server) -> Figures:
    """One text body in base64: 20 MiB of octets."""
    with _growth(server) as growth:
        wall = bench.load(server, 1, 1, bench.sizes.large_octets)["wall_s"]
        _wait_until_read(server)
    return {"s": wall, "grown_mib": growth()}


def large_at_once(bench: Bench, server: Server) -> Figures:
    """The same, many at once."""
    count = bench.sizes.large_at_once
    with _growth(server) as growth:
        wall = bench.load(server, count, count, bench.sizes.large_octets)["wall_s"]
        _wait_until_read(server)
    return {"s": wall, "grown_mib": growth()}


def attachment(kind: str) -> Turn:
    """One message with a file of 20 MB of that content type; seconds until it is acknowledged."""

    def turn(bench: Bench, server: Server) -> Figures:
        path = bench.once(("attachment", kind), lambda: _write_attachment(bench, kind))
        assert isinstance(path, Path)
        wall = bench.load(server, 1, 1, path)["wall_s"]
        _wait_until_read(server)
        return {"s": wall}

    return turn


def _wait_until_read(server: Server) -> None:
    """Wait for what our server reads behind its reply, which would disturb the next server's turn."""
    end = time.monotonic() + 60
    while server.status and any(one.get("unread") for one in server.processes()) and time.monotonic() < end:
        time.sleep(0.05)


def _write_attachment(bench: Bench, kind: str) -> Path:
    chance, octets = random.Random(kind), bench.sizes.attachment_octets
    if kind == "text/plain":
        file = corpus.prose(chance, octets, corpus.VIETNAMESE).encode()
    elif kind == "application/pdf":
        file = scanned_pdf(chance, octets)
    else:
        file = chance.randbytes(octets)
    path = bench.folder / f"attachment-{kind.partition('/')[2]}"
    name = f"van-ban.{kind.partition('/')[2][:3]}"
    path.write_bytes(corpus.with_attachment(f'{kind}; name="{name}"', name, file))
    return path


def scanned_pdf(chance: random.Random, octets: int, pages: int = 20) -> bytes:
    """Pages of one picture each (JPEG, as a scanner makes them) with a line of text: a valid file."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for page in range(pages):
        picture, line = chance.randbytes(octets // pages), b"q 595 0 0 842 0 0 cm /P Do Q BT /F 9 Tf (Trang %d) Tj ET" % page
        number = len(objects) + 1
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R"
            b"/Resources<</XObject<</P %d 0 R>>/Font<</F 3 0 R>>>>>>" % (number + 1, number + 2),
            b"<</Length %d>>stream\n%b\nendstream" % (len(line), line),
            b"<</Type/XObject/Subtype/Image/Width 1654/Height 2339/ColorSpace/DeviceRGB/BitsPerComponent 8/Filter/DCTDecode"
            b"/Length %d>>stream\n%b\nendstream" % (len(picture), picture),
        ]
        kids.append(b"%d 0 R" % number)
    objects[1] = b"<</Type/Pages/Count %d/Kids[%b]>>" % (pages, b" ".join(kids))
    file, places = bytearray(b"%PDF-1.4\n"), []
    for number, text in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%b\nendobj\n" % (number, text)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(file))
    return bytes(file) + b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table) + end


# ------------------------------------------------------------ how late the loop is

READERS = 8


def lag(work: Callable[[Bench, Server], object]) -> Turn:
    """The share of heartbeats of all workers, each 20 ms, that came late while `work` is done, in percent."""

    def turn(bench: Bench, server: Server) -> Figures:
        before = _beats(server)
        work(bench, server)
        grown = {bound: count - before[bound] for bound, count in _beats(server).items()}
        beats, bounds = max(1, sum(grown.values())), list(grown)
        return {
            f"over_{bound}_ms": 100 * sum(grown[each] for each in bounds[bounds.index(bound) + 1 :]) / beats
            for bound in ("5", "20", "50")
        }

    return turn


def _beats(server: Server) -> dict[str, int]:
    """Heartbeats of all workers since the start, by lateness."""
    workers = [one["lag_beats"] for one in server.processes() if one["name"].startswith("worker")]
    return {bound: sum(beats[bound] for beats in workers) for bound in workers[0]}


def prepare_readers(bench: Bench, servers: Sequence[Server]) -> None:
    """A mailbox that many read at once."""
    fill_office(bench, servers, READ_BY_MANY, bench.sizes.office // 5)


def read_together(bench: Bench, server: Server) -> None:
    """Mail programs that fetch envelopes, structures and all bodies of one mailbox at the same time."""

    def read() -> None:
        client = ImapClient(server.imap).login(server.user % READ_BY_MANY, PASSWORD)
        for line in ("SELECT INBOX", "FETCH 1:* (ENVELOPE BODYSTRUCTURE FLAGS)", "UID FETCH 1:* (BODY.PEEK[])"):
            client.command(line)
        client.close()

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
