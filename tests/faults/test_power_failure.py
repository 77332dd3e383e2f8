"""The power fails while many senders deliver and one client appends: what was acknowledged is there once, octet for octet; what
was appended with the UID, flags and date that it has.

All processes are stopped at one instant and everything is copied. Of the copy is taken what a disk need not have had by then:
contents and names of the messages that only the journal vouches for, and commits of the indexes. Then it is opened under
another boot id.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.actors import Appender, Company, Sender, Site
from faults.ledger import identify
from harness import ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.journal.journal import FOLDER, LOCK
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef, StorageSettings
from store_harness import arrivals_in, flag_names

ROUNDS = 2
NAMES = ("dvbe", "ttlan", "pqlong")


def stopped_copy(server: ProcessServer, target: Path) -> None:
    """The mail of one instant."""
    assert server.process is not None
    pids = [server.process.pid, *(one["pid"] for one in server.status()["processes"] if one["pid"])]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        shutil.copytree(server.config.mail_root, target, symlinks=True)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def journaled(mail: Path) -> list[Journaled]:
    segments = (path for path in (mail / FOLDER).iterdir() if path.name != LOCK)
    return [arrival for path in segments for arrival in arrivals_in(str(path))]


def lose_what_was_not_on_disk(mail: Path, dice: random.Random) -> int:
    """How many messages lost their name or content."""
    damaged = 0
    for arrival in journaled(mail):
        maildir = mail / arrival.home / "Maildir"
        for path in [path for cur in (maildir / "cur", *maildir.glob(".*/cur")) for path in cur.glob(f"{arrival.base},*")]:
            damage = dice.choice(["none", "name", "rename", "content", "zeros", "end"])
            damaged += damage != "none"
            path.chmod(0o600)
            if damage == "name":
                path.unlink()
            elif damage == "rename":
                path.rename(maildir / "tmp" / arrival.base)
            elif damage == "content":
                os.truncate(path, 0)
            elif damage == "zeros":
                path.write_bytes(bytes(path.stat().st_size))
            elif damage == "end":
                os.truncate(path, path.stat().st_size // 2)
    for commits in mail.glob("*/*/index.sqlite-wal"):
        commits.with_name("index.sqlite-shm").unlink(missing_ok=True)
        octets = commits.stat().st_size
        os.truncate(commits, dice.choice([octets, octets // 2, 0]))
    return damaged


def tokens(mail: Path, home: AccountRef, boot_id: str) -> Counter[str]:
    """What is in a mailbox when it is opened after that; and that nothing is wrong with it."""
    store = LocalMailStore(mail, clock=SystemClock(), host="checking", settings=StorageSettings(boot_id=boot_id))
    account = store.account(home)
    found: Counter[str] = Counter()
    for folder in account.folders():
        for uid in account.view(folder.folder_id).uids:
            with account.open_message(folder.folder_id, uid) as file:
                octets = file.pread(0, 1 << 20)
            if b"X-Token: " in octets:  # else the welcome
                found[identify(octets, traced=True)] += 1
    report = account.repair(check=True)
    assert report.clean, report.findings
    store.close()
    return found


def check_appended(mail: Path, home: AccountRef, boot_id: str, told: dict[str, tuple[int, frozenset[str]]]) -> None:
    """What APPENDUID told is there under its UID, with flags and INTERNALDATE; all once; nothing is wrong with it."""
    store = LocalMailStore(mail, clock=SystemClock(), host="checking", settings=StorageSettings(boot_id=boot_id))
    account = store.account(home)
    found: dict[str, tuple[int, frozenset[str]]] = {}
    for folder in account.folders():
        view = account.view(folder.folder_id)
        dates = dict(account.rows(folder.folder_id, view.uids, ["uid", "internaldate_us"]))
        for uid, flags in zip(view.uids, view.flags, strict=True):
            with account.open_message(folder.folder_id, uid) as file:
                octets = file.pread(0, 1 << 20)
            if b"X-Token: " not in octets:  # the welcome
                continue
            token = identify(octets, traced=False)
            assert token not in found
            assert (folder.name, dates[uid]) == (Appender.FOLDER, Appender.DATE_US)
            found[token] = uid, flag_names(flags, view.info.keywords)
    assert told.items() <= found.items()
    report = account.repair(check=True)
    assert report.clean, report.findings
    store.close()


@pytest.mark.slow
def test_power_fails_under_load(serve_processes: Callable[..., ProcessServer], tmp_path: Path) -> None:
    """Whatever became of files, names and indexes that were not settled, no acknowledged message is lost or doubled."""
    server = serve_processes({"process": {"workers": 2}, "auth": {"cleartext": True}})
    boxes = [server.population.issue(name) for name in NAMES]
    homes = [AccountRef(box.mailbox_id, box.home) for box in boxes]
    office = server.population.issue("ndan")
    server.start()
    addresses = [(f"{name}@mic.gov.vn",) for name in NAMES]
    site = Site(server.ports)
    senders = [Sender(site, f"sender{number}", addresses) for number in range(8)]
    clerk = Appender(site, "clerk", "ndan@mic.gov.vn")
    company = Company([*senders, clerk, Sender(site, "all", [tuple(address for (address,) in addresses)])])  # by the spool
    dice = random.Random(0)
    damaged = appended = 0
    for number in range(ROUNDS):
        company.work()
        time.sleep(dice.uniform(0.5, 1.5))  # the power fails at any moment
        promised = [token for token in list(site.deliveries.acknowledged) if not token.startswith("all-")]
        told = dict(clerk.told)
        mail = tmp_path / f"copy{number}"
        stopped_copy(server, mail)
        company.pause()  # the rest is about the copy
        appended += sum(arrival.home == office.home for arrival in journaled(mail))
        damaged += lose_what_was_not_on_disk(mail, dice)
        for recipient, home in zip(addresses, homes, strict=True):
            found = tokens(mail, home, f"boot {number}")
            assert {token for token in promised if site.deliveries.sent[token] == recipient} <= found.keys()
            assert set(found.values()) <= {1}, [token for token, times in found.items() if times > 1]
        check_appended(mail, AccountRef(office.mailbox_id, office.home), f"boot {number}", told)
        shutil.rmtree(mail)
    company.end()
    assert damaged > 20
    assert appended > 5
