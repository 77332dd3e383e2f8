"""How long SEARCH takes by the text index, with mailboxes in files and in a PostgreSQL: prints JSON, milliseconds.

    .venv/bin/python bench/text_search.py CONNECTION_STRING [--messages 10000] [--dir DIR]

The database is made empty for it. A folder is filled with the corpus (45 KB a message in the mean) and indexed; then each query
is asked as an IMAP session asks it, by a process that has read nothing of the text (`first`) and again by the same (`then`, the
median of several). `unindexed` is the first query before the indexer has come: every message is read.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import corpus
from mic_mail.clock import SystemClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import AccountRef, StorageSettings, TextTest

REF = AccountRef(7, "mic.gov.vn/office")
AT_ONCE = 20
REPEATS = 9
QUERIES = {
    "word": TextTest("TEXT", "đơn"),
    "phrase": TextTest("TEXT", "hóa đơn"),
    "absent": TextTest("TEXT", "zxqwvabsent"),
    "subject": TextTest("HEADER", "hóa", "subject"),
}


def fill(account: Account, messages: int) -> None:
    inbox = account.folder("INBOX").folder_id
    for first in range(1, messages + 1, AT_ONCE):
        deliveries = []
        for number in range(first, min(first + AT_ONCE, messages + 1)):
            octets, _, _ = corpus.message(number)
            staged = account.stage()
            staged.write(octets)
            staged.finish()
            deliveries.append(Delivery(staged, answers_of(octets)))
        account.publish(inbox, deliveries)


def seconds_of(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def search(account: Account, test: TextTest) -> int:
    """Return how many messages were found; those that the index does not know are read."""
    view = account.view(account.folder("INBOX").folder_id)
    looked_up = account.look_up_text(view.info.folder_id, view.uids, bytes([1]) * len(view.uids), test)
    left = [uid for uid, known in zip(view.uids, looked_up.known, strict=True) if not known]
    found = sum(looked_up.found)
    for at in range(0, len(left), 500):
        found += sum(hit for _, (hit,) in account.find_text(view.info.folder_id, left[at : at + 500], [test]))
    return found


def query(open_store: Callable[[], MailStore], test: TextTest) -> tuple[float, float, int]:
    with closing(open_store()) as store:
        account = store.account(REF)
        account.view(account.folder("INBOX").folder_id)
        first = seconds_of(lambda: search(account, test))
        again = [seconds_of(lambda: search(account, test)) for _ in range(REPEATS)]
        return first * 1000, statistics.median(again) * 1000, search(account, test)


def measure(open_store: Callable[..., MailStore], messages: int) -> dict[str, object]:
    with closing(open_store()) as store:
        account = store.account(REF)
        filling = seconds_of(lambda: fill(account, messages))
    with closing(open_store(StorageSettings(search_file=False))) as store:  # keeps nothing of what it reads
        account = store.account(REF)
        unindexed = seconds_of(lambda: search(account, QUERIES["word"])) * 1000
    with closing(open_store()) as store:
        account = store.account(REF)
        indexing = seconds_of(lambda: account.index_text(Visited()))
    figures: dict[str, object] = {"fill_s": filling, "index_s": indexing, "unindexed": unindexed}
    for name, test in QUERIES.items():
        first, then, found = query(open_store, test)
        figures[name] = {"first": round(first, 1), "then": round(then, 1), "found": found}
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("connection_string")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--dir", type=Path)
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        root = Path(folder)
        with closing(Database(args.connection_string)) as database:
            create(database)

        def in_files(settings: StorageSettings | None = None) -> MailStore:
            return LocalMailStore(root, clock=SystemClock(), host="bench", settings=settings)

        def in_database(settings: StorageSettings | None = None) -> MailStore:
            database = Database(args.connection_string)
            return DatabaseMailStore(database, clock=SystemClock(), host="bench", changes=root / "changes", settings=settings)

        print(
            json.dumps({"files": measure(in_files, args.messages), "postgresql": measure(in_database, args.messages)}, indent=1)
        )


if __name__ == "__main__":
    main()
