"""How fast the store publishes and lists: prints JSON.

    .venv/bin/python bench/storage_publish.py [--seconds 2] [--dir DIR] [--messages 100000]

publish   4 KiB messages, staged, fsynced and published by 1, 10, 50 threads over 10 accounts; CPU is the process's own
list      view() of a folder of that many messages, cold and cached, and rows() of 10,000 with envelope and structure
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from mic_mail.clock import SystemClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import AccountRef

MESSAGE = b"From: a@mic.gov.vn\r\nTo: b@mic.gov.vn\r\nSubject: bench\r\nMessage-ID: <1@mic>\r\n\r\n" + b"x" * 78 + b"\r\n"
MESSAGE += (b"y" * 78 + b"\r\n") * ((4096 - len(MESSAGE)) // 80)
ANSWERS = answers_of(MESSAGE)


def publish_one(account: Account, folder_id: int) -> None:
    staged = account.stage()
    staged.write(MESSAGE)
    staged.finish()
    account.publish(folder_id, [Delivery(staged, ANSWERS)])


def publish_bench(root: Path, threads: int, seconds: float) -> dict[str, float]:
    store = LocalMailStore(root, clock=SystemClock(), host="bench")
    accounts = [store.account(AccountRef(number, f"t{threads}/u{number}")) for number in range(1, 11)]
    folders = [account.folder("INBOX").folder_id for account in accounts]
    counts = [0] * threads
    stop = time.perf_counter() + seconds

    def work(number: int) -> None:
        account, folder_id = accounts[number % 10], folders[number % 10]
        while time.perf_counter() < stop:
            publish_one(account, folder_id)
            counts[number] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    started, cpu = time.perf_counter(), os.times()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed, spent = time.perf_counter() - started, os.times()
    total = sum(counts)
    store.close()
    return {
        "threads": threads,
        "per_second": round(total / elapsed),
        "user_us": round((spent.user - cpu.user) / total * 1e6),
        "system_us": round((spent.system - cpu.system) / total * 1e6),
    }


def list_bench(root: Path, messages: int) -> dict[str, float]:
    """Fills by links of one file, in batches, so that the fsyncs do not dominate."""
    spool = root / "spool"
    spool.write_bytes(MESSAGE)
    store = LocalMailStore(root, clock=SystemClock(), host="bench")
    ref = AccountRef(99, "list/u")
    account = store.account(ref)
    folder_id = account.folder("INBOX").folder_id
    started = time.perf_counter()
    for _ in range(0, messages, 1000):
        source = root / f"spool{time.time_ns()}"
        source.write_bytes(MESSAGE)
        account.publish(folder_id, [Delivery(account.stage_link(source), ANSWERS) for _ in range(1000)])
        source.unlink()
    figures = {"messages": messages, "fill_us_each": round((time.perf_counter() - started) / messages * 1e6)}
    store.close()
    for turn in ("first", "second"):
        store = LocalMailStore(root, clock=SystemClock(), host="bench")
        account = store.account(ref)
        account.quota()  # opens the index
        figures[f"view_cold_{turn}_ms"] = timed(lambda account=account: account.view(folder_id))
        figures["view_cached_ms"] = timed(lambda account=account: account.view(folder_id))
        publish_one(account, folder_id)
        figures["view_after_delivery_ms"] = timed(lambda account=account: account.view(folder_id))
        store.close()
    store = LocalMailStore(root, clock=SystemClock(), host="bench")
    account = store.account(ref)
    uids = list(account.view(folder_id).uids[:10_000])
    for _ in range(2):
        figures["rows_10000_ms"] = timed(lambda: account.rows(folder_id, uids, ["uid", "flags", "envelope", "bodystructure"]))
    figures["store_10000_ms"] = timed(lambda: account.store_flags(folder_id, uids, "+", 8))
    figures["flush_10000_ms"] = timed(account.flush_names)
    store.close()
    return figures


def timed(act: object) -> float:
    started = time.perf_counter()
    act()  # type: ignore[operator]  # any callable of no arguments
    return round((time.perf_counter() - started) * 1000, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--messages", type=int, default=100_000)
    options = parser.parse_args()
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        root = Path(folder)
        figures = {
            "publish": [publish_bench(root, threads, options.seconds) for threads in (1, 10, 50)],
            "list": list_bench(root, options.messages),
        }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
