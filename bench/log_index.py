"""A year of mail log: how fast it is loaded into its index, how large that is, how long a search takes.

    python bench/log_index.py --events 18000000 --days 365 --folder /var/tmp/log-bench [--keep] [--verify]

Writes segments as `MailLog` does (its own encoder), three of four events about messages, one of four about sign-ins, of 3,000
mailboxes of which some write much; loads them with `log.loading`; then asks by mailbox, Message-ID, trace id, session and
span, first as the page cache is, then once more. Needs about 320 octets of disk an event; removes the folder unless `--keep`.
"""

import argparse
import random
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mic_mail.clock import SystemClock
from mic_mail.ids import trace_id
from mic_mail.log.anchor_chain import AnchorFile
from mic_mail.log.anchor_writer import AnchorWriter
from mic_mail.log.index import months_on_disk, path_of
from mic_mail.log.index_loader import load_some
from mic_mail.log.maillog import MailLog, encode
from mic_mail.log.query import Query
from mic_mail.log.search import LogSearch

WORKERS = 2
MAILBOXES = 3_000
SEGMENT_OCTETS = 64 << 20
END = datetime(2026, 11, 1, tzinfo=UTC)


class Sample:
    """What to ask for: something of each tenth of the year."""

    def __init__(self) -> None:
        self.traces: list[str] = []
        self.sessions: list[str] = []
        self.message_ids: list[str] = []


def events_of_a_message(chance: random.Random, at_us: int, sample: Sample | None) -> Iterator[tuple[str, dict[str, object]]]:
    """A sign-in, an acceptance, a delivery or two: four events."""
    who = f"m{int(MAILBOXES * chance.random() ** 2)}@mic.gov.vn"
    to = [f"m{chance.randrange(MAILBOXES)}@mic.gov.vn" for _ in range(2)]
    trace, session = trace_id(at_us, chance.getrandbits), trace_id(at_us - 900, chance.getrandbits)
    message_id = f"{chance.getrandbits(64):016x}.{at_us}@pc{chance.randrange(3000)}.mic.gov.vn"
    if sample is not None:
        sample.traces.append(trace)
        sample.sessions.append(session)
        sample.message_ids.append(message_id)
    peer = f"10.{chance.randrange(4)}.{chance.randrange(256)}.{chance.randrange(256)}"
    yield "signed_in", {"mailbox": who, "door": "submissions", "mechanism": "SCRAM-SHA-256", "tls": "TLSv1.3", "peer": peer,
                        "session": session}  # fmt: skip
    yield "message_accepted", {"trace": trace, "message_id": message_id, "sender": who, "recipients": to, "octets": 7_431,
                               "peer": peer, "session": session, "login": who, "written_as": None}  # fmt: skip
    for uid, mailbox in enumerate(to):
        yield "message_delivered", {"trace": trace, "mailbox": mailbox, "recipient": mailbox, "folder": "INBOX",
                                    "uid": uid + 900, "octets": 7_700}  # fmt: skip


def write(folder: Path, events: int, days: int, sample: Sample) -> int:
    """The segments of all days; how many octets."""
    chance = random.Random(1)
    folder.mkdir(parents=True)
    a_file = max(1, events // (days * WORKERS))
    octets = 0
    for number in range(days):
        day = END - timedelta(days=days - number)
        for worker in range(WORKERS):
            lines: list[bytes] = []
            step = 86_400_000_000 // a_file
            at_us = int(day.timestamp()) * 1_000_000
            while len(lines) < a_file:
                kept = sample if len(lines) == a_file // 2 // 4 * 4 and number % max(1, days // 10) == 0 else None
                for name, fields in events_of_a_message(chance, at_us, kept):
                    lines.append(encode(at_us, len(lines), name, fields))
                    at_us += step
            text = b"".join(lines)
            (folder / f"{day:%Y-%m-%d}.worker{worker}.4711.1.jsonl").write_bytes(text)
            octets += len(text)
    return octets


def ask(folder: Path, label: str, queries: list[Query], limit: int) -> None:
    """The times of some queries, first and once more."""
    for again in ("first", "again"):
        times, found, unread = [], 0, 0
        for query in queries:
            begun = time.perf_counter()
            search = LogSearch(folder)
            found += len(search.newest(query, limit))
            unread += search.unread_octets
            times.append((time.perf_counter() - begun) * 1000)
        print(f"  {label:<28} {again}: median {sorted(times)[len(times) // 2]:8.1f} ms, worst {max(times):8.1f} ms,"
              f" {found / len(queries):8.1f} lines each, {unread} octets unread")  # fmt: skip


def searches(folder: Path, sample: Sample) -> None:
    """All kinds of questions."""
    some = [Query(mailbox=f"m{number}@mic.gov.vn") for number in (0, 7, 150, 1500, 2999)]
    span = [(int((END - timedelta(days=back)).timestamp()) * 1_000_000) for back in (1, 40, 200, 364)]
    hours = [Query(since_us=at, until_us=at + 3_600_000_000) for at in span]
    ask(folder, "by trace id", [Query(trace=trace) for trace in sample.traces], 100)
    ask(folder, "by Message-ID", [Query(message_id=value) for value in sample.message_ids], 100)
    ask(folder, "by session", [Query(session=value) for value in sample.sessions], 100)
    ask(folder, "by mailbox, latest 100", some, 100)
    ask(folder, "by mailbox, all of the year", some, 1 << 40)
    ask(folder, "by mailbox and event", [Query(mailbox=one.mailbox, event="message_accepted") for one in some], 100)
    ask(folder, "an hour, latest 100", hours, 100)
    ask(folder, "an hour, all", hours, 1 << 40)
    ask(folder, "no such trace id", [Query(trace="0" * 16)], 100)
    ask(folder, "an event that never was", [Query(event="delivery_deferred")], 100)
    ask(folder, "the latest 100 of all", [Query()], 100)


def event_cost(folder: Path) -> None:
    """What a caller pays for an event."""
    log = MailLog(folder / "cost", "bench", clock=SystemClock())
    best = 1e9
    for _ in range(5):
        begun = time.perf_counter()
        for number in range(20_000):
            log.event("message_delivered", trace="1K115Q78HQDNW8NF", mailbox="dvbe@mic.gov.vn", recipient="dvbe@mic.gov.vn",
                      folder="INBOX", uid=number, octets=7_700)  # fmt: skip
        best = min(best, (time.perf_counter() - begun) / 20_000)
        time.sleep(0.5)
    log.close()
    print(f"an event costs its caller {best * 1e6:.2f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/log-bench"))
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    sample = Sample()
    event_cost(asked.folder.parent / (asked.folder.name + "-cost"))
    shutil.rmtree(asked.folder.parent / (asked.folder.name + "-cost"))
    begun = time.perf_counter()
    octets = write(asked.folder, asked.events, asked.days, sample)
    print(f"{asked.events} events, {octets / 1e9:.2f} GB, written in {time.perf_counter() - begun:.0f} s", flush=True)
    try:
        measure(asked.folder, asked.events, octets, sample)
    finally:
        if not asked.keep:
            shutil.rmtree(asked.folder)


def measure(folder: Path, events: int, octets: int, sample: Sample) -> None:
    """Load, ask, anchor."""
    begun = time.perf_counter()
    longest, steps, more = 0.0, 0, True
    while more:
        step_begun = time.perf_counter()
        more = load_some(folder).more
        longest, steps = max(longest, time.perf_counter() - step_begun), steps + 1
    seconds = time.perf_counter() - begun
    size = sum(path_of(folder, month).stat().st_size for month in months_on_disk(folder))
    print(f"loaded in {seconds:.0f} s, {events / seconds:.0f} events/s, {steps} transactions, the longest {longest:.2f} s")
    print(
        f"index {size / 1e9:.3f} GB: {size / events:.1f} octets an event, {100 * size / octets:.0f} % of the text", flush=True
    )
    searches(folder, sample)
    begun, anchoring, more = time.perf_counter(), AnchorWriter(folder), True
    while more:
        _, more = anchoring.anchor(END + timedelta(days=1), [])
    print(f"anchored in {time.perf_counter() - begun:.0f} s, {AnchorFile(folder).path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
