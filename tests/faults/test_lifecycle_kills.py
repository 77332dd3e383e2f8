"""The housekeeper killed again and again while it warns, archives and frees: each letter and each fact is there once."""

import contextlib
import email.policy
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from harness import ProcessServer
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.policy.calendar import add_months, local_day, start_of
from mic_mail.policy.due_notices import recorded_key
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.services.mailboxes.reclamation import Reclaiming
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import INBOX, AccountRef
from waiting import wait_for

LEAVERS, GONE, ARCHIVED = 4, 3, 3
PATIENCE_SECONDS = 120


class Staff:
    """People whose time has come: warned of a reclaim, reclaimed and to be archived, archived and to be freed."""

    def __init__(self, server: ProcessServer) -> None:
        self.server = server
        population, now = server.population, SystemClock().now()
        self.unit = population.issue("cntt", kind=MailboxKind.UNIT)
        self.support = population.issue("support", kind=MailboxKind.GROUP)
        self.leavers = [population.issue(f"ra{n}") for n in range(LEAVERS)]
        self.gone = [population.issue(f"thoi{n}") for n in range(GONE)]
        self.archived = [population.issue(f"luu{n}", issued_days_ago=200) for n in range(ARCHIVED)]
        left = start_of(add_months(local_day(now), -6)) + timedelta(days=10)
        for mailbox in self.leavers:
            self.record(mailbox, Draft(FactKind.LEFT, left, "test", data={"level": "division"}))
        for mailbox in self.archived:
            self.fill(mailbox)
            self.archive(mailbox, ManualClock(now - timedelta(days=40)))
        for mailbox in self.gone:
            self.fill(mailbox)
            self.record(mailbox, Draft(FactKind.RECLAIMED, now - timedelta(minutes=1), "test"))

    def record(self, mailbox: MailboxRecord, draft: Draft) -> None:
        self.server.population.directory.append_fact(mailbox.mailbox_id, draft)

    def fill(self, mailbox: MailboxRecord) -> None:
        """Some mail, so that an archive takes a moment."""
        store = LocalMailStore(self.server.config.mail_root, clock=SystemClock(), host="test")
        notices = Notices(store, self.server.config, SystemClock())
        for number in range(20):
            notices.deliver(mailbox, _letter(), origin=f"fill:{number}")
        store.close()

    def archive(self, mailbox: MailboxRecord, then: ManualClock) -> None:
        config = self.server.config
        directory = Directory(config.directory_url, clock=then)
        directory.append_fact(mailbox.mailbox_id, Draft(FactKind.RECLAIMED, then.now(), "test"))
        store = LocalMailStore(config.mail_root, clock=then, host="test")
        reclaiming = Reclaiming(directory, store, config, then)
        directory.sent.put([recorded_key(mailbox.mailbox_id, reclaiming.archive(reclaiming.of(mailbox)))], then.now())
        store.close()
        directory.close()

    # ------------------------------------------------------------ what came of it

    def kinds(self, mailbox: MailboxRecord) -> Counter[FactKind]:
        return Counter(fact.kind for fact in self.server.population.directory.facts(mailbox.mailbox_id))

    def is_done(self) -> bool:
        freed = all(self.kinds(mailbox)[FactKind.FREED] for mailbox in self.archived)
        archived = all(self.kinds(mailbox)[FactKind.ARCHIVED] for mailbox in self.gone)
        return freed and archived and len(self.server.population.directory.sent.known(self.keys())) == len(self.keys())

    def keys(self) -> list[str]:
        directory = self.server.population.directory
        told = [f"reclaimed:{mailbox.mailbox_id}:{self.seq(mailbox, FactKind.RECLAIMED)}" for mailbox in self.gone]
        day = [(local_day(d), m) for m in self.leavers for d in [self.reclaim_at(m)]]
        told += [f"reclaim_coming:{mailbox.mailbox_id}:{at.isoformat()}:14" for at, mailbox in day]
        for mailbox in (*self.gone, *self.archived):
            facts = directory.facts(mailbox.mailbox_id)
            told += [
                recorded_key(mailbox.mailbox_id, fact) for fact in facts if fact.kind in {FactKind.ARCHIVED, FactKind.FREED}
            ]
        return told

    def seq(self, mailbox: MailboxRecord, kind: FactKind) -> int:
        return next(f.seq for f in self.server.population.directory.facts(mailbox.mailbox_id) if f.kind is kind)

    def reclaim_at(self, mailbox: MailboxRecord) -> Any:
        facts = self.server.population.directory.facts(mailbox.mailbox_id)
        left = next(fact for fact in facts if fact.kind is FactKind.LEFT)
        return start_of(add_months(local_day(left.effective_at), 6)) + timedelta(days=1)

    def subjects(self, mailbox: MailboxRecord) -> list[str]:
        store = LocalMailStore(self.server.config.mail_root, clock=SystemClock(), host="test")
        account = store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view = account.view(account.folder(INBOX).folder_id)
        headers = [row[0] for row in account.rows(view.info.folder_id, view.uids, ["header"])]
        store.close()
        return [email.message_from_bytes(header, policy=email.policy.default)["Subject"] for header in headers]


def _letter() -> Any:
    from mic_mail.i18n.notices import mailbox

    return mailbox.restored("dvbe@mic.gov.vn")


def housekeeper(server: ProcessServer) -> int | None:
    return next((one["pid"] for one in server.status()["processes"] if one["name"] == "housekeeper"), None)


@pytest.mark.parametrize("kills", [pytest.param(6, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.campaign)])
def test_nothing_is_told_or_done_twice(serve_processes: Callable[..., ProcessServer], kills: int) -> None:
    """Whenever the kill comes: every warning is in its mailbox once, every archive is whole, every freed mailbox is gone."""
    server = serve_processes({"process": {"workers": 1}})
    staff = Staff(server)
    server.start()
    rng = random.Random(kills)
    for _ in range(kills):
        time.sleep(rng.uniform(0.0, 0.4))  # the kill comes at any moment
        if pid := housekeeper(server):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    wait_for(staff.is_done, staff.keys)
    server.terminate()
    for mailbox in staff.leavers:
        assert [subject.count("reclaimed") for subject in staff.subjects(mailbox)].count(1) == 1
    for mailbox in staff.gone:
        assert staff.kinds(mailbox)[FactKind.ARCHIVED] == 1
        assert len(list((server.config.server.data_dir / "archive" / mailbox.home).iterdir())) == 1
    for mailbox in staff.archived:
        assert staff.kinds(mailbox)[FactKind.FREED] == 1
        assert list((server.config.mail_root / "mic.gov.vn").glob(f"{mailbox.home.partition('/')[2]}*")) == []
    told = Counter(staff.subjects(staff.unit))
    assert max(told.values()) == 1
    assert len(told) == 2 * GONE + ARCHIVED  # reclaimed and archived, freed
