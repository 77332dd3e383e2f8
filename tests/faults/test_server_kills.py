"""kill -9 of workers and of everything, at any instant, while mail comes in and mail programs work.

After each kill the server comes back, everybody looks, and every promise in the books is checked: acknowledged messages are
there once, octet for octet, under the UIDs that were told; flags are; whatever was under way has happened or has not.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from faults.actors import Company, Editor, Filer, Observer, Sender, Site, look
from faults.ledger import Account
from harness import ProcessServer, files_in
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from waiting import wait_for

Make = Callable[..., ProcessServer]
DVBE, TTLAN, PQLONG = ADDRESSES = ("dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "pqlong@mic.gov.vn")
NAMES_SECONDS = 4.0
"""Names follow flags after 2 s; the machine may be busy."""
MOST_STAGED = 4
"""Temporary files that one cut connection may leave behind."""
SPOOL_SECONDS = 60.0


class Trial:
    """One server, its clients and their books."""

    def __init__(self, server: ProcessServer, seed: int) -> None:
        self.server = server
        self.dice = random.Random(seed)
        self.homes = {}
        for address in ADDRESSES:
            mailbox = server.population.issue(address.partition("@")[0])
            self.homes[address] = AccountRef(mailbox.mailbox_id, mailbox.home)
        server.start()
        self.site = site = Site(server.ports)
        self.senders = [
            Sender(site, "direct1", [(DVBE,)]),
            Sender(site, "direct2", [(DVBE,)]),
            Sender(site, "any", [(address,) for address in ADDRESSES]),
            Sender(site, "pairs", [(DVBE, TTLAN), (TTLAN, PQLONG)]),
            Sender(site, "all", [ADDRESSES, (DVBE,)]),
        ]
        self.editors = [Editor(site, f"E{i}", address) for i, address in enumerate((DVBE, TTLAN, TTLAN, PQLONG))]
        self.filers = [Filer(site, "filer1", DVBE), Filer(site, "filer2", PQLONG)]
        self.observers = [Observer(site, "observer1", DVBE), Observer(site, "observer2", TTLAN)]
        self.company = Company([*self.senders, *self.editors, *self.filers, *self.observers])

    # Killing

    def kill_a_worker(self) -> None:
        """The others work on; another takes its place."""
        pid = self.dice.choice(self.server.workers())
        self.company.work()
        time.sleep(self.dice.uniform(0.05, 0.6))  # the kill comes at any moment
        os.kill(pid, signal.SIGKILL)
        time.sleep(self.dice.uniform(0, 0.2))  # the kill comes at any moment
        self.company.pause()
        self.server.wait_for(lambda state: state["ready"] and pid not in [one["pid"] for one in state["processes"]])

    def kill_everything(self) -> None:
        self.company.work()
        time.sleep(self.dice.uniform(0.05, 0.6))  # the kill comes at any moment
        self.server.kill()
        self.company.pause()

    def start(self) -> None:
        self.server.start()
        self.site.ports = self.server.ports

    def lose_the_indexes(self) -> None:
        for path in self.server.config.mail_root.rglob("index.sqlite*"):
            path.unlink()

    # Looking

    def check(self, *, flags_may_be_older_since: float | None = None) -> None:
        """Every promise of every book."""
        self.wait_for_the_spool()
        for address in ADDRESSES:
            client = self.site.imap(address)
            account, octets = look(client)
            client.close()
            self.check_account(address, account, flags_may_be_older_since)
            self.check_store(address, octets)
        self.check_temporary_files()

    def check_account(self, address: str, account: Account, flags_may_be_older_since: float | None) -> None:
        self.site.numbers[address].check(account)
        self.site.deliveries.check(address, account)
        for sender in self.senders:
            self.site.deliveries.check_order(sender.name, account["INBOX"], address)
        for observer in self.observers:
            if observer.address == address:
                observer.check(account["INBOX"])
        for filer in self.filers:
            if filer.address == address and "Filed" in account:
                filer.check(account["INBOX"], account["Filed"])
        for editor in self.editors:
            if editor.address == address:
                if flags_may_be_older_since is not None:
                    recent = {token for token, at in editor.flagged_at.items() if at > flags_may_be_older_since}
                    editor.tree.forget_flags(account, recent)
                editor.tree.settle(account, editor.mine(list(account)))

    def check_store(self, address: str, octets: int) -> None:
        """`repair --check` finds nothing, which recounts the counters; the quota's is what a client can fetch."""
        store = LocalMailStore(self.server.config.mail_root, clock=SystemClock(), host="checking")
        account = store.account(self.homes[address])
        report = account.repair(check=True)
        assert report.clean, (address, report.findings)
        assert account.quota().octets == octets
        store.close()

    def wait_for_the_spool(self) -> None:
        """A killed worker's entries are taken up by the housekeeper."""
        spool = self.server.config.spool_dir
        limit = time.monotonic() + 2
        while left := files_in(spool):
            if time.monotonic() > limit:
                self.kill_the_housekeeper()  # its successor looks at once, this one within a minute
                limit = time.monotonic() + SPOOL_SECONDS
            assert time.monotonic() < limit, left
            time.sleep(0.02)  # before the next look

    def kill_the_housekeeper(self) -> None:
        [pid] = [one["pid"] for one in self.server.status()["processes"] if one["name"] == "house"]
        os.kill(pid, signal.SIGKILL)
        self.server.wait_for(lambda state: state["ready"] and pid not in [one["pid"] for one in state["processes"]])

    def temporary_files(self) -> list[Path]:
        return [path for path in self.server.config.mail_root.glob("*/*/Maildir/tmp/*") if path.is_file()]

    def check_temporary_files(self) -> None:
        assert len(self.temporary_files()) <= MOST_STAGED * self.company.cuts

    def check_sweeping(self) -> None:
        """What kills left in `tmp/` goes with the sweep, a day and a half later."""
        clock = ManualClock(SystemClock().now() + timedelta(days=2))
        store = LocalMailStore(self.server.config.mail_root, clock=clock, host="checking")
        for ref in self.homes.values():
            store.account(ref).sweep()
        store.close()
        assert self.temporary_files() == []


@pytest.fixture
def trial(serve_processes: Make, request: pytest.FixtureRequest) -> Iterator[Trial]:
    server = serve_processes({"process": {"workers": 2}, "auth": {"cleartext": True}})
    trial = Trial(server, request.param)
    yield trial
    trial.company.end()


def campaign(trial: Trial, rounds: int) -> None:
    """Kills, most of them of one worker; then names follow, all indexes are lost, and it is all there again."""
    for number in range(rounds):
        if number % 3 < 2:
            trial.kill_a_worker()
        else:
            trial.kill_everything()
            if loses := number % 6 == 5:
                lost_at = time.monotonic()
                trial.lose_the_indexes()
            trial.start()
            if loses:
                trial.check(flags_may_be_older_since=lost_at - NAMES_SECONDS)
                continue
        trial.check()
    trial.company.work()
    steps = lambda: {actor.name: actor.steps for actor in trial.company.actors}  # noqa: E731
    wait_for(lambda: all(steps().values()), steps)
    trial.company.pause()
    time.sleep(NAMES_SECONDS)  # names of messages follow their flags by then
    trial.server.kill()
    trial.lose_the_indexes()
    trial.start()
    trial.check()
    command = [sys.executable, "-m", "mic_mail", "--config", str(trial.server.file), "mailbox", "repair", "--check"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    trial.check_sweeping()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("trial", [0], indirect=True)
def test_killed_six_times(trial: Trial) -> None:
    """Acknowledged is there once with its UID and its flags; what was under way is there wholly or not at all."""
    campaign(trial, 6)


@pytest.mark.campaign
@pytest.mark.parametrize("trial", range(1, 11), indirect=True)
def test_killed_two_hundred_times(trial: Trial) -> None:
    """Ten servers, each killed twenty times."""
    campaign(trial, 20)
