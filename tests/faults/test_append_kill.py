"""APPENDs that go by the journal (docs/decisions/0037), killed at every step of it, and the power cut on top of that.

What was told OK with APPENDUID is there, under that UID, with flags, keywords and INTERNALDATE. What was not told is there once
or not at all.
"""

import os
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.journal.journal import FOLDER, LOCK
from mic_mail.storage.local_mailstore import Account
from session_harness import REF, START, Talk
from store_harness import Root, arrivals_in, killed_at, message, observe

pytestmark = pytest.mark.slow

TOKENS = ("alone", "second", "third", "fourth")
"""The first one is durable by its own file, the others by the journal; the last two are one command."""
DATE = "01-Mar-2020 07:08:09 +0700"
DATE_US = 1_583_021_289_000_000
FLAGS = frozenset({"\\Seen", "\\Flagged", "$Viec"})
STEPS = (
    ("journal/journal.py", 7),
    ("changes/publish.py", 5),
    ("changes/maildir_names.py", 5),
    ("changes/transaction.py", 23),
    ("store.py", 23),
    ("maildir/intent_record.py", 3),
)
"""Modules of the store whose lines are counted to the death, and every how many lines it comes."""


def literal(token: str) -> bytes:
    octets = message(token)
    return b'(\\Seen \\Flagged $Viec) "%b" {%d+}\r\n%b' % (DATE.encode(), len(octets), octets)


def append(root: Root, told: Path) -> None:
    """All of them, in a row; what is answered is written down as a client would know it."""
    store = root.store()
    store.recover()
    store.prepare_journal()
    ctx = Talk(store).sign_in()
    with told.open("ab", buffering=0) as file:
        for messages in (TOKENS[:1], TOKENS[1:2], TOKENS[2:]):
            answer = ctx.say(b"a APPEND Archive " + b" ".join(map(literal, messages)) + b"\r\n")
            found = re.search(rb"a OK \[APPENDUID \d+ (\d+)(?::(\d+))?\]", answer)
            assert found, answer
            first = int(found[1])
            for uid, token in enumerate(messages, first):
                file.write(b"%s %d\n" % (token.encode(), uid))
    os._exit(0)  # nothing is settled, nothing closed


def held(root: Root) -> list[Journaled]:
    paths = (path for path in (root.path / FOLDER).glob("*") if path.name != LOCK)
    return [arrival for path in paths for arrival in arrivals_in(str(path))]


def step_of(root: Root, told: dict[str, int]) -> str:
    """How far the second message had come: one state of publish.py."""
    if "second" in told:
        return "told"
    arrival = next((each for each in held(root) if each.octets == message("second")), None)
    if arrival is None:
        return "not in the journal"
    assert arrival.location is not None
    if not (root.home / "Maildir/.Archive/cur" / arrival.location.name).exists():
        return "in the journal"
    with closing(sqlite3.connect(f"file:{root.home}/index.sqlite?mode=ro", uri=True)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM message WHERE name = ?", (arrival.location.name,)).fetchone()
    return "committed" if rows else "renamed"


def cut_the_power(root: Root, number: int) -> None:
    """Names and contents for which only the journal answers were not on disk yet, nor were the index's commits."""
    for arrival in held(root):
        assert arrival.location is not None
        path = root.home / "Maildir/.Archive/cur" / arrival.location.name
        if path.exists():
            path.chmod(0o600)
            (path.unlink, lambda path=path: os.truncate(path, 0), lambda: None)[number % 3]()
    for commits in root.home.glob("index.sqlite-wal"):
        commits.with_name("index.sqlite-shm").unlink(missing_ok=True)
        os.truncate(commits, 0 if number % 2 else commits.stat().st_size // 2)
    root.settings["boot_id"] = "second boot"


def own(account: Account) -> Account:
    """That of the session."""
    return account._mailstore.account(REF)


def check(account: Account, told: dict[str, int]) -> None:
    found = observe(account)
    tokens = Counter(token for folder in found.values() for token, _ in folder.messages.values())
    assert set(tokens.values()) <= {1}, tokens
    assert tokens.keys() <= set(TOKENS)
    archive = found["Archive"].messages
    assert {token: uid for uid, (token, _) in archive.items() if token in told} == told
    info = account.folder("Archive")
    dates = dict(account.rows(info.folder_id, list(archive), ["uid", "internaldate_us"]))
    for token, uid in told.items():
        assert archive[uid] == (token, FLAGS)
        assert dates[uid] == DATE_US
    assert account.repair(check=True).clean


@pytest.mark.timeout(600)
@pytest.mark.parametrize("power", [True, False], ids=["power", "process"])
def test_a_journaled_append_killed_at_any_step(memory: Path, power: bool) -> None:
    """Before the journal's fdatasync, between it and the rename, between rename and COMMIT, and after it before the answer."""
    steps: Counter[str] = Counter()
    lives = 0
    for module, stride in STEPS:
        life = 0
        while True:
            root = Root(memory / f"{os.path.basename(module)}{life}", ManualClock(START))
            root.use(lambda account: own(account).folders())
            file = root.path / "told"
            ended = killed_at(life, lambda root=root, file=file: append(root, file), os.path.join("storage", module))
            lines = file.read_text().splitlines() if file.exists() else []
            told = {token: int(uid) for token, uid in map(str.split, lines)}
            steps[step_of(root, told)] += 1
            lives += 1
            if power:
                cut_the_power(root, life // stride)
            root.use(lambda account, told=told: check(own(account), told))
            shutil.rmtree(root.path)
            if ended:
                assert len(told) == len(TOKENS)
                break
            life += stride
    reached = {"not in the journal", "in the journal", "renamed", "told", "committed"}
    assert reached <= steps.keys(), (lives, steps)
