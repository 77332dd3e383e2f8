"""`make bench`: this server beside Dovecot and Postfix, in one run on one machine.

    python bench/run.py [--only smtp,big,imap,search,select,idle,lag] [--runs 3] [--folder DIR] [--workers 2] [--sessions 1000]

Peers run where their programs are installed (packages dovecot-imapd, dovecot-lmtpd, postfix, gcc, openssl; as root); a missing
one is said and left out. Runs alternate between the servers and medians are shown, so that a machine that changes its speed
changes it for all. Every row also goes to DIR/results.jsonl. What the figures mean: docs/performance.md.

Each run has a folder of its own and leaves it there: ext4 passes over recently deleted inodes, some minutes long, whenever it
makes a file, so a run that began by removing the last one's mail would measure that.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import corpus
import idle
import lag
import peers
from measure import ImapClient, cpu_seconds, memory_kib
from peers import PASSWORD, Server

HEADERS = (
    "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References "
    "Newsgroups In-Reply-To Content-Type Reply-To)])"
)
IMAP_STEPS = (
    ("SELECT", "SELECT INBOX"),
    ("header sync", f"UID FETCH 1:* {HEADERS}"),
    ("UID FETCH 1:* (FLAGS)", "UID FETCH 1:* (FLAGS)"),
    ("ENVELOPE BODYSTRUCTURE", "FETCH 1:* (ENVELOPE BODYSTRUCTURE FLAGS)"),
    ("UID FLAGS INTERNALDATE SIZE", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)"),
    ("SEARCH UNSEEN SINCE", "SEARCH UNSEEN SINCE 1-Jun-2024"),
    ("SORT (SUBJECT)", "SORT (SUBJECT) UTF-8 ALL"),
    ("SORT (DATE)", "SORT (DATE) UTF-8 ALL"),
    ("SORT (FROM)", "SORT (FROM) UTF-8 ALL"),
    ("SORT (ARRIVAL)", "SORT (ARRIVAL) UTF-8 ALL"),
    ("SORT (SIZE)", "SORT (SIZE) UTF-8 ALL"),
    ("SORT (REVERSE DATE) of unseen", "UID SORT (REVERSE DATE) UTF-8 UNSEEN"),
    ("THREAD REFERENCES", "THREAD REFERENCES UTF-8 ALL"),
    ("THREAD ORDEREDSUBJECT", "THREAD ORDEREDSUBJECT UTF-8 ALL"),
    ("THREAD REFERENCES of unseen", "UID THREAD REFERENCES UTF-8 UNSEEN"),
    ("bodies", "UID FETCH 1:* (BODY.PEEK[])"),
)
SEARCHES = (
    ("SUBJECT", "invoice"),
    ("SUBJECT", "hóa"),
    ("FROM", "Nguyễn"),
    ("BODY", "phở"),
    ("BODY", "đơn"),
    ("TEXT", "hóa đơn"),
    ("TEXT", "hoa don"),
    ("TEXT", "nvoic"),
    ("BODY", "zxqwvabsent"),
)


class Report:
    """Collects rows, prints them as they come and appends them to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def row(self, work: str, server: str, **figures: object) -> None:
        print(f"{work:<34} {server:<16} " + "  ".join(f"{k}={v}" for k, v in figures.items()), flush=True)
        with self._path.open("a") as out:
            out.write(json.dumps({"work": work, "server": server, "at": time.strftime("%F %T"), **figures}) + "\n")


class Load:
    """The SMTP driver, compiled once per run."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "smtp_load"
        source = Path(__file__).with_name("smtp_load.c")
        subprocess.run(["gcc", "-O2", "-o", str(self._program), str(source), "-lpthread"], check=True)

    def __call__(self, server: Server, sessions: int, count: int, octets: int, users: int = 10) -> dict[str, float]:
        command = [str(self._program), "127.0.0.1", str(server.smtp), server.protocol, str(sessions), str(count), str(octets)]
        done = subprocess.run([*command, server.user, str(users)], capture_output=True, text=True, timeout=300, check=False)
        result: dict[str, float] = json.loads(done.stdout)
        return result


SETTLE_SECONDS = 10
"""What a server does when it starts (ours looks through every account) is not what is measured."""


def delivered(server: Server, users: int = 10) -> int:
    """Message files in the INBOXes of the first `users` bench users."""
    total = 0
    for user in range(users):
        for name in ("new", "cur"):
            path = Path(server.inbox % user, name)
            total += sum(1 for _ in path.iterdir()) if path.is_dir() else 0
    return total


def smtp(servers: list[Server], load: Load, report: Report, runs: int) -> None:
    """Delivered messages a second: acknowledged and visible as files."""
    for octets in (4096, 102_400):
        for sessions in (1, 10, 50):
            rates: dict[str, list[float]] = {s.name: [] for s in servers}
            costs: dict[str, list[float]] = {s.name: [] for s in servers}
            for _ in range(runs):
                for server in servers:
                    count = (400 if sessions == 1 else 1500) // (1 if octets < 10_000 else 3)
                    before, cpu, start = delivered(server), cpu_seconds(server.pids), time.perf_counter()
                    result = load(server, sessions, count, octets)
                    while delivered(server) < before + result["sent"] and time.perf_counter() - start < 120:
                        time.sleep(0.01)
                    wall = time.perf_counter() - start
                    rates[server.name].append(result["sent"] / wall)
                    costs[server.name].append((cpu_seconds(server.pids) - cpu) / count * 1000)
                    if result["failed"]:
                        report.row("  failed", server.name, count=result["failed"])
            for name, values in rates.items():
                figures = {"per_s": round(statistics.median(values)), "min": round(min(values)), "max": round(max(values))}
                report.row(
                    f"deliver {octets} B, {sessions} sessions", name, **figures, cpu_ms=round(statistics.median(costs[name]), 2)
                )


@contextmanager
def peak_memory(server: Server) -> Iterator[Callable[[], float]]:
    """Growth of anonymous memory over the tree while the block runs, in MiB."""
    base, peak, over = memory_kib(server.pids, "RssAnon"), [0], threading.Event()

    def watch() -> None:
        while not over.is_set():
            peak[0] = max(peak[0], memory_kib(server.pids, "RssAnon"))
            time.sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: max(0, peak[0] - base) / 1024
    finally:
        over.set()
        thread.join()


def big(servers: list[Server], load: Load, report: Report, runs: int) -> None:
    """One message of 27 MiB (20 MiB of attachment in base64), then 50 at once."""
    octets = 27 << 20
    walls: dict[str, list[float]] = {s.name: [] for s in servers}
    grown: dict[str, list[float]] = {s.name: [] for s in servers}
    for _ in range(runs + 2):
        for server in servers:
            with peak_memory(server) as growth:
                walls[server.name].append(load(server, 1, 1, octets)["wall_s"])
            grown[server.name].append(growth())
    for server in servers:
        wall = statistics.median(walls[server.name])
        report.row("one 27 MiB message", server.name, s=round(wall, 3), grown_mib=round(max(grown[server.name]), 1))
    for server in servers:
        with peak_memory(server) as growth:
            result = load(server, 50, 50, octets)
        report.row(
            "50 x 27 MiB at once", server.name, s=result["wall_s"], grown_mib=round(growth(), 1), failed=result["failed"]
        )


def fill(server: Server, user: int, count: int) -> None:
    """Put `count` messages of the corpus into the INBOX of `user`, one by one."""
    client = ImapClient(server.imap).login(server.user % user, PASSWORD)
    for number in range(1, count + 1):
        data, when, flags = corpus.message(number)
        names = " ".join({"S": "\\Seen", "R": "\\Answered", "F": "\\Flagged"}[f] for f in flags)
        day = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime(when))
        client.command(f'APPEND INBOX ({names}) "{day}" {{}}', data)
    client.close()


def fill_with_short_ones(server: Server, user: int, count: int, together: int = 500) -> None:
    """The same with short messages, many to a command (RFC 3502): one by one Dovecot takes an hour for 100,000."""
    client = ImapClient(server.imap).login(server.user % user, PASSWORD)
    for first in range(0, count, together):
        numbers = range(first, min(count, first + together))
        head = b"From: <a@example.vn>\r\nSubject: %d\r\nMessage-ID: <%d@example.vn>\r\n\r\nxin chao\r\n"
        client.command("APPEND INBOX" + " {}" * len(numbers), *(head % (number, number) for number in numbers))
    client.close()


def imap(servers: list[Server], report: Report, runs: int, count: int = 10_000) -> None:
    """Commands of one client on the corpus; cold is the first call after the fill, warm the median of the others."""
    for server in servers:
        start = time.perf_counter()
        fill(server, 150, count)
        report.row(f"APPEND {count} one by one", server.name, per_s=round(count / (time.perf_counter() - start)))
    clients = {s.name: ImapClient(s.imap).login(s.user % 150, PASSWORD) for s in servers}
    for name, line in IMAP_STEPS:
        times: dict[str, list[float]] = {s: [] for s in clients}
        for _ in range(1 + max(3, runs)):
            for server, client in clients.items():
                times[server].append(client.command(line)[0] * 1000)
        for server, values in times.items():
            report.row(name, server, cold_ms=round(values[0], 1), warm_ms=round(statistics.median(values[1:]), 1))


def search(servers: list[Server], report: Report, runs: int, count: int = 10_000) -> None:
    """Text in a mailbox of the corpus, filled here unless `imap` has done so. How many are found is told with the times, since
    servers mean different things by the same words."""
    for server in servers:
        client = ImapClient(server.imap).login(server.user % 150, PASSWORD)
        if b"MESSAGES 0" in client.command("STATUS INBOX (MESSAGES)", keep=True)[2]:
            fill(server, 150, count)
        client.command("SELECT INBOX")
        if server.status:
            before = client.command('SEARCH BODY "zxqwvabsent"')[0]
            start = time.perf_counter()
            wait_for_indexer(server)
            report.row(
                "SEARCH BODY, first, and indexer", server.name, s=round(before, 2), then_s=round(time.perf_counter() - start, 1)
            )
        client.close()
    clients = {s.name: ImapClient(s.imap, timeout=300).login(s.user % 150, PASSWORD) for s in servers}
    for client in clients.values():
        client.command("SELECT INBOX")
    for key, value in SEARCHES:
        times: dict[str, list[float]] = {s: [] for s in clients}
        found: dict[str, int] = {}
        for _ in range(1 + max(3, runs)):
            for server, client in clients.items():
                seconds, _, lines = client.command(f"SEARCH CHARSET UTF-8 {key} {{}}", value.encode(), keep=True)
                times[server].append(seconds * 1000)
                found[server] = sum(len(each.split()) for each in re.findall(rb"\* SEARCH([\d ]*)", lines))
        for server, values in times.items():
            figures = {
                "found": found[server],
                "cold_ms": round(values[0], 1),
                "warm_ms": round(statistics.median(values[1:]), 1),
            }
            report.row(f"SEARCH {key} {value}", server, **figures)


def wait_for_indexer(server: Server) -> None:
    """Until our indexer has found nothing new for two of its rounds."""
    still, last = 0, -1
    while still < 12:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(server.status)
            processes = json.loads(asking.recv(1 << 20))["processes"]
        (now,) = [one.get("indexed", 0) for one in processes if one["name"] == "index"]
        still, last = (still + 1, last) if now == last else (0, now)
        time.sleep(1)


def select(servers: list[Server], report: Report, runs: int, count: int = 100_000) -> None:
    """SELECT of a mailbox of 100,000 messages."""
    for server in servers:
        fill_with_short_ones(server, 151, count)
    clients = {s.name: ImapClient(s.imap).login(s.user % 151, PASSWORD) for s in servers}
    times: dict[str, list[float]] = {s: [] for s in clients}
    for _ in range(3 + runs):
        for server, client in clients.items():
            times[server].append(client.command("SELECT INBOX")[0] * 1000)
    for server, values in times.items():
        report.row(f"SELECT of {count}", server, cold_ms=round(values[0], 1), warm_ms=round(statistics.median(values[1:]), 1))


def main() -> int:
    """Run what was asked for; 0 unless a server could not be started."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="smtp,big,imap,search,select,idle,lag")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp") / time.strftime("mic-mail-bench-%F-%H%M%S"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=1000, help="of idle")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--flatcurve", action="store_true", help="also Dovecot with its full-text index (dovecot-flatcurve)")
    parser.add_argument("--no-index", action="store_true", help="ours also without search.sqlite")
    arguments = parser.parse_args()
    works = set(arguments.only.split(","))
    arguments.folder.mkdir(parents=True)
    report = Report(arguments.folder / "results.jsonl")
    servers: list[Server] = []
    try:
        servers.append(peers.start_ours(arguments.folder / "ours", workers=arguments.workers))
        if arguments.no_index:
            servers.append(peers.start_ours(arguments.folder / "unindexed", 17000, arguments.workers, index=False))
        if not arguments.no_peers and shutil.which("dovecot"):
            servers.append(dovecot := peers.start_dovecot(arguments.folder / "dovecot"))
            if arguments.flatcurve:
                servers.append(peers.start_dovecot(arguments.folder / "flatcurve", 16000, flatcurve=True))
            if shutil.which("postfix") and not works <= {"imap", "search", "select", "idle"}:
                servers.append(peers.start_postfix(arguments.folder / "postfix", dovecot))
        missing = {"dovecot", "postfix+dovecot"} - {server.name for server in servers}
        if missing:
            print(f"without {' and '.join(sorted(missing))}: not installed, or left out by --no-peers", file=sys.stderr)
        with_imap = [server for server in servers if server.imap]
        time.sleep(SETTLE_SECONDS)
        if works & {"smtp", "big", "lag"}:
            load = Load(arguments.folder)
        if "smtp" in works:
            smtp(servers, load, report, arguments.runs)
        if "big" in works:
            big([server for server in servers if server.name != "postfix+dovecot"], load, report, arguments.runs)
        if "imap" in works:
            imap(with_imap, report, arguments.runs)
        if "search" in works:
            search(with_imap, report, arguments.runs)
        if "select" in works:
            select(with_imap, report, arguments.runs)
        if "idle" in works:
            for server in with_imap:
                figures = idle.measure(server, arguments.sessions)
                report.row(f"{arguments.sessions:,} idle sessions, TLS", server.name, **figures)
        if "lag" in works:
            for work, figures in lag.measure(servers[0], load, fill):
                report.row(work, servers[0].name, **figures)
    finally:
        for server in reversed(servers):
            server.stop()
    print(f"mail and logs are in {arguments.folder}; do not remove them within six minutes of the next run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
