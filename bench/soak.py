"""Half an hour of 2,000 clients, a tenth of them hostile: is memory flat, and is every acknowledged message there?

    python bench/soak.py [--minutes 30] [--clients 2000] [--folder DIR] [--ports-from 18000]

Runs `mic-mail demo` as it is installed beside this interpreter, with 200 mailboxes and the limits of a server on the Internet;
what other servers bring is judged, by a name server of the soak's own. Says what was done, how long people waited,
memory by the minute, what the log tells of processes that failed, and what is missing, changed or twice after reading every
mailbox whole. Ends with 1 where a message was lost, changed or doubled, a process failed or memory grew by more than `GROWTH`
from the second third of the time to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import ssl
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path

import uvloop

import results
import soakhonest
import soakhostile
from measure import memory_kib
from rows import SOAK
from servers import MIC_MAIL, PASSWORD, USERS, Server, start_ours
from soakbooks import Books, Place, verify

SHARES: dict[soakhonest.Life, float] = {
    soakhonest.telephone: 0.65,
    soakhonest.desktop: 0.10,
    soakhonest.exchanger: 0.075,
    soakhonest.submitter: 0.05,
    soakhonest.pop3: 0.025,
}
"""Of all clients; the rest is hostile."""
GROWTH = 1.05
SETTINGS = """\
[sending]
paused = true
[dns]
nameservers = ["{names}"]
[inbound]
trusted_networks = []
"""
ZONE = {
    ("example.net", "TXT"): ['"v=spf1 ip4:127.0.0.0/8 -all"'],
    ("_dmarc.example.net", "TXT"): ['"v=DMARC1; p=reject"'],
}
"""Of the servers that bring mail; all other names do not exist."""
SAMPLE_SECONDS = 10
KEPT_FROM_MINUTES = 30
"""A shorter soak shows nothing that should be kept."""
TESTS = Path(__file__).parents[1] / "tests"


def crowd(place: Place, books: Books, clients: int) -> list[Coroutine[object, object, None]]:
    """Everybody."""
    everybody: list[Coroutine[object, object, None]] = []
    for life, share in SHARES.items():
        for number in range(int(clients * share)):
            source = f"127.{1 + number % 60}.{1 + number // 60}.{1 + len(everybody) % 250}"
            everybody.append(soakhonest.live(life, place, books, number % place.users, source))
    while len(everybody) < clients:
        everybody.append(soakhostile.live(place, books, len(everybody)))
    return everybody


async def sample(server: Server, samples: list[tuple[float, float, float]]) -> None:
    """Minutes since the start, MiB of all processes (Pss), MiB that are no file's (RssAnon; shared ones count for each)."""
    began = time.monotonic()
    while True:
        figures = [await asyncio.to_thread(memory_kib, server.pids, what) / 1024 for what in ("Pss", "RssAnon")]
        samples.append(((time.monotonic() - began) / 60, *figures))
        await asyncio.sleep(SAMPLE_SECONDS)


async def run(server: Server, place: Place, arguments: argparse.Namespace) -> int:
    books, samples = Books(), list[tuple[float, float, float]]()
    tasks = [asyncio.create_task(each) for each in crowd(place, books, arguments.clients)]
    watching = asyncio.create_task(sample(server, samples))
    end = time.monotonic() + 60 * arguments.minutes
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(60, left))
        minutes, pss, anonymous = samples[-1]
        print(
            f"{minutes:5.1f} min  {pss:6.0f} MiB Pss  {anonymous:6.0f} MiB anonymous  {books.counts['delivered']} delivered",
            flush=True,
        )
    watching.cancel()
    pending = set(tasks)
    while pending:  # again and again: `asyncio.wait_for` of Python 3.11 may swallow it
        for task in pending:
            task.cancel()
        pending = (await asyncio.wait(pending, timeout=1))[1]
    for error in {repr(task.exception()) for task in tasks if not task.cancelled() and task.exception()}:
        print(f"a client ended by {error}")
    await asyncio.sleep(5)
    return report(books, samples, await verify(place, books), failures(server), arguments.minutes)


def failures(server: Server) -> Counter[str]:
    """What the log tells of processes, sessions, deliveries and duties that failed."""
    found: Counter[str] = Counter()
    for segment in Path(server.status).parents[1].glob("log/*.jsonl"):
        for line in segment.read_bytes().split(b"\n")[:-1]:  # the server goes on writing
            event = json.loads(line)
            if event["event"].endswith("_failed") or event["event"] in {"process_died", "process_hung"}:
                found[f"{event['event']}: {event.get('error', '')}"[:200]] += 1
    return found


def report(
    books: Books, samples: list[tuple[float, float, float]], kept: dict[str, int], failed: Counter[str], minutes: float
) -> int:
    print("\nwhat was done")
    for what, count in sorted(books.counts.items()):
        waited = sorted(books.seconds.get(what, []))
        times = f"p50 {waited[len(waited) // 2]:.3f} s, p99 {waited[int(len(waited) * 0.99)]:.3f} s" if waited else ""
        print(f"  {what:<28} {count:>8}  {times}")
    print("what honest clients should not have met")
    for what, count in books.troubles.most_common(20):
        print(f"  {count:>6}  {what}")
    thirds = [samples[len(samples) * n // 3 : len(samples) * (n + 1) // 3] for n in range(3)]
    growth = [
        statistics.mean(each[column] for each in thirds[2]) / statistics.mean(each[column] for each in thirds[1])
        for column in (1, 2)
    ]
    print(f"memory, last third by the second: {growth[0]:.3f} (Pss), {growth[1]:.3f} (anonymous)")
    print("the log:", dict(failed) or "no process, session or delivery failed")
    print("the mailboxes:", kept)
    wrong = kept["lost"] + kept["changed"] + kept["twice"]
    if minutes >= KEPT_FROM_MINUTES:
        keep(books, samples[-1][1], growth[0], wrong, failed.total())
    return int(bool(failed) or wrong > 0 or max(growth) > GROWTH)


def keep(books: Books, pss_mib: float, growth: float, wrong: int, failed: int) -> None:
    """Write the results for `docs/performance.md`."""

    def seconds(what: str, share: float) -> float:
        waited = sorted(books.seconds.get(what) or [0.0])
        return waited[int(len(waited) * share)]

    figures = {
        "messages": len(set().union(*books.acknowledged.values())),
        "wrong": wrong,
        "troubles": books.troubles.total(),
        "failed": failed,
        "pss_mib": pss_mib,
        "growth": growth * 100,
        "sign_in_p50_s": seconds("sign in", 0.5),
        "sign_in_p99_s": seconds("sign in", 0.99),
        "delivery_p99_s": seconds("delivered", 0.99),
    }
    results.keep(SOAK, {MIC_MAIL: [figures]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--ports-from", type=int, default=18000)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="mic-mail-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    random.seed()
    sys.path.insert(0, str(TESTS))
    from dns_server import name_server

    with name_server(ZONE) as names:
        server = start_ours(folder / "server", arguments.ports_from, settings=SETTINGS.format(names=names.place))
        try:
            code = uvloop.run(run(server, Place(arguments.ports_from, USERS, PASSWORD, tls), arguments))
        finally:
            server.stop()
    sys.exit(code)


if __name__ == "__main__":
    main()
