"""Duties that come again and again, one housekeeper at a time, and the warning about a mailbox that fills up."""

import errno
import imaplib
import os
import smtplib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness import MailServer, read_events
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.model import Config, Server
from mic_mail.errors import Trouble
from mic_mail.log.maillog import MailLog
from mic_mail.policy.facts import Fact
from mic_mail.process.executors import Executors
from mic_mail.services.operations.jobs import LONGEST_IDLE_SECONDS, Job, JobRunner, LogRetention, Visits, WhenChanged
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from runtimes import runtime
from store_harness import REF, deliver
from waiting import stays_on_loop, wait_on_loop


async def test_a_duty_that_fails_comes_again_and_harms_no_other(tmp_path: Path) -> None:
    """Trouble and defects alike are events in the log."""
    done: list[str] = []

    async def fail(error: Exception) -> None:
        done.append(type(error).__name__)
        raise error

    async def work() -> None:
        done.append("work")

    log = MailLog(tmp_path, "house", clock=SystemClock(), threaded=False)
    duties = JobRunner(
        [
            Job("trouble", 0.001, lambda: fail(Trouble("later"))),
            Job("defect", 0.001, lambda: fail(KeyError("x"))),
            Job("work", 0.001, work),
        ],
        log,
        SystemClock(),
    )
    await duties.run_once()
    assert done == ["Trouble", "KeyError", "work"]
    duties.start()
    await wait_on_loop(lambda: min(map(done.count, ("Trouble", "KeyError", "work"))) >= 3)
    await duties.close()
    log.close()
    assert b'"duty":"defect"' in next(tmp_path.glob("*.jsonl")).read_bytes()


async def test_a_job_that_has_nothing_to_do_is_left_out(tmp_path: Path) -> None:
    """It runs again once it has; a look that fails counts as work."""
    done: list[str] = []
    work: set[str] = set()

    async def run(name: str) -> None:
        done.append(name)
        work.discard(name)

    def fail() -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = MailLog(tmp_path, "house", clock=SystemClock(), threaded=False)
    duties = JobRunner(
        [
            Job("gated", 0.001, lambda: run("gated"), is_idle=lambda: "gated" not in work),
            Job("unseen", 0.001, lambda: run("unseen"), is_idle=fail),
        ],
        log,
        SystemClock(),
    )
    duties.start()
    await wait_on_loop(lambda: done.count("unseen") >= 3)
    assert "gated" not in done
    work.add("gated")
    await wait_on_loop(lambda: "gated" in done)
    await stays_on_loop(lambda: done.count("gated") == 1, seconds=0.05)
    await duties.close()
    done.clear()
    await duties.run_once()
    assert done == ["unseen"]
    log.close()
    assert b'"duty":"unseen"' in next(tmp_path.glob("*.jsonl")).read_bytes()


class Dependent:
    """A job that depends on what a test sets."""

    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2026, 11, 24, tzinfo=UTC))
        self.state: object = 0
        self.is_left = False
        self.error: Exception | None = None
        self.runs = 0
        self.gate = WhenChanged(self._run, lambda: self.state, self.clock)

    async def _run(self) -> bool:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return self.is_left

    async def tick(self, times: int = 1) -> int:
        """How often the job runs in so many ticks."""
        before = self.runs
        for _ in range(times):
            if not self.gate.is_idle():
                await self.gate.run_once()
        return self.runs - before


async def test_a_job_runs_twice_after_a_change_and_then_not() -> None:
    """The second time for what changed in the moment of the first."""
    job = Dependent()
    assert await job.tick(5) == 2
    job.state = 1
    assert await job.tick(5) == 2
    job.state = 1
    assert await job.tick(5) == 0


async def test_a_job_that_leaves_something_or_fails_runs_again() -> None:
    """Until nothing is left."""
    job = Dependent()
    await job.tick(5)
    job.state, job.is_left = 1, True
    assert await job.tick(5) == 5
    job.is_left = False
    assert await job.tick(5) == 1
    job.state, job.error = 2, Trouble("later")
    for _ in range(3):
        with pytest.raises(Trouble):
            await job.tick()
    job.error = None
    assert await job.tick(5) == 1


async def test_what_changes_while_a_job_runs_is_seen_by_the_next_run() -> None:
    """What it depends on is read before it begins."""
    job = Dependent()
    await job.tick(5)
    job.state = 1
    real = job._run

    async def changed_meanwhile() -> bool:
        job.state = 2
        return await real()

    job.gate._run = changed_meanwhile
    assert await job.tick() == 1
    job.gate._run = real
    assert await job.tick(5) == 2


async def test_a_job_runs_after_a_minute_in_any_case() -> None:
    """For what becomes due by time, and for a change that leaves no trace."""
    job = Dependent()
    await job.tick(5)
    job.clock.move_to(job.clock.now() + timedelta(seconds=LONGEST_IDLE_SECONDS - 1))
    assert await job.tick(5) == 0
    job.clock.move_to(job.clock.now() + timedelta(seconds=1))
    assert await job.tick(5) == 1


def test_what_was_expunged_is_kept_while_the_clock_is_not_trusted(serve: Callable[..., MailServer]) -> None:
    """A clock that jumps a week brings nothing past keeping, until somebody has looked at it."""
    clock = ManualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    server = serve(clock=clock)
    mailbox = server.issue("dvbe")
    server.refresh()
    account = server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    inbox = account.folder("INBOX").folder_id
    account.remove(inbox, deliver(account, inbox, ["x"]))
    server.housekeep()
    clock.set_to(clock.now() + timedelta(days=8))
    for _ in range(2):
        server.housekeep()
    assert len(account.tombstones()) == 1
    server.confirm_clock()
    server.housekeep()
    assert account.tombstones() == []


def test_clause_8_2_no_mail_log_goes_while_the_clock_is_not_trusted(serve: Callable[..., MailServer]) -> None:
    """A clock that is years ahead would leave none; once somebody has confirmed it, what is past keeping goes."""
    clock = ManualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    server = serve(clock=clock)
    old = server.config.log_dir / "2026-11-01.worker0.1.1.jsonl"
    written = old.with_name("being-written")
    written.write_bytes(b"{}\n")
    written.rename(old)
    server.housekeep()
    clock.set_to(clock.now() + timedelta(days=3_650))
    server.housekeep()
    assert old.exists()
    server.confirm_clock()
    server.housekeep()
    assert not old.exists()


def test_clause_8_2_the_housekeeper_removes_the_mail_log_that_is_past_keeping(serve: Callable[..., MailServer]) -> None:
    """With the months of the configuration; what went is an event; acts stay."""
    clock = ManualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    server = serve({"log": {"retain_months": 6}}, clock=clock)
    folder = server.config.log_dir
    old, young, audit = "2026-05-22.worker0.1.1.jsonl", "2026-05-23.worker0.1.1.jsonl", "audit-2020-01.jsonl"
    for name in (old, young, audit):
        written = folder / "being-written"
        written.write_bytes(b"{}\n")
        written.rename(folder / name)  # whole at once: the round at the server's start may be looking right now
    server.housekeep()
    server.stop()  # so that its log is whole
    assert not (folder / old).exists()
    assert (folder / young).exists()
    assert (folder / audit).exists()
    [told] = [event for event in server.events() if event.get("event") == "log_segments_removed"]
    assert (told["months"], told["count"], told["octets"], told["segments"]) == (6, 1, 3, [old])


async def test_a_clock_that_has_just_been_set_removes_no_segment(tmp_path: Path) -> None:
    """It was trusted a moment ago; the months count by the steady time."""
    config = Config(server=Server(data_dir=tmp_path))
    config.log_dir.mkdir()
    (config.log_dir / "2026-11-01.worker0.1.1.jsonl").touch()
    clock, executors = ManualClock(datetime(2026, 11, 24, tzinfo=UTC)), Executors(io_threads=2, hash_threads=1)
    (tmp_path / "own").mkdir()
    log = MailLog(tmp_path / "own", "house", clock=clock, threaded=False)
    retention = LogRetention(runtime(config, clock, executors=executors, log=log))
    clock.set_to(datetime(2027, 12, 24, tzinfo=UTC))
    await retention.remove()
    assert list(config.log_dir.glob("*.jsonl"))
    clock.accept_time(clock.now())
    await retention.remove()
    assert not list(config.log_dir.glob("*.jsonl"))
    log.close()
    executors.close()


async def test_more_segments_than_one_event_names_and_some_that_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every removed name is told, in several events; so is every failure, and no error leaves the duty."""
    names = [f"2020-01-01.worker0.{pid}.1.jsonl" for pid in range(450)]
    config = Config(server=Server(data_dir=tmp_path))
    config.log_dir.mkdir()
    for name in names:
        (config.log_dir / name).touch()
    real = os.unlink

    def unlink(path: Path) -> None:
        if path.name.endswith("7.1.jsonl"):
            raise PermissionError(errno.EACCES, "Permission denied")
        real(path)

    monkeypatch.setattr(os, "unlink", unlink)
    clock, executors = SystemClock(), Executors(io_threads=2, hash_threads=1)
    (tmp_path / "own").mkdir()
    log = MailLog(tmp_path / "own", "house", clock=clock, threaded=False)
    await LogRetention(runtime(config, clock, executors=executors, log=log)).remove()
    log.close()
    executors.close()
    events = read_events(tmp_path / "own")
    removed = [event for event in events if event["event"] == "log_segments_removed"]
    failed = [event for event in events if event["event"] == "log_removal_failed"]
    assert [event["count"] for event in removed] == [200, 200, 5]
    assert [(event["count"], event["error"]) for event in failed] == [(45, "Permission denied")]
    assert sorted(name for event in events for name in event["segments"]) == sorted(names)


def test_a_mailbox_that_fills_up_is_warned_once_whoever_fills_it(serve: Callable[..., MailServer]) -> None:
    """Reg. 8.3.c: a delivery that crosses 80 % brings one notice, an APPEND that crosses 90 % another, and no more."""
    server = serve()
    server.issue("dvbe", quota_octets=100_000)
    filler = b"From: a@example.org\r\nSubject: filler\r\n\r\n" + b"x" * 70 + b"\r\n"

    def message(octets: int) -> bytes:
        return filler + (b"y" * 70 + b"\r\n") * (octets // 72)

    with smtplib.SMTP(server.host, server.ports["smtp"]) as client:
        client.sendmail("a@example.org", ["dvbe@mic.gov.vn"], message(81_000))
    server.housekeep()
    server.housekeep()
    imap = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
    imap.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    assert imap.select()[1] == [b"2"]
    assert imap.append("Archive", "", "", message(8_000))[0] == "OK"
    server.housekeep()
    server.housekeep()
    assert imap.select()[1] == [b"3"]
    imap.logout()


def test_a_mailbox_that_is_broken_ends_no_round_and_no_connection(serve: Callable[..., MailServer]) -> None:
    """Whatever it raises: the others are visited, the log names it, and a sender may offer mail for both."""
    clock = ManualClock(datetime(2026, 11, 24, 9, 0, tzinfo=UTC))
    server = serve(clock=clock)
    server.issue("dvbe")
    server.issue("ttlan")
    homes = [server.config.mail_root / "mic.gov.vn" / name for name in ("dvbe", "ttlan")]
    for home in homes:
        with smtplib.SMTP(server.host, server.ports["smtp"]) as client:
            client.sendmail("a@example.org", [f"{home.name}@mic.gov.vn"], b"Subject: first\r\n\r\nx\r\n")
    broken, sound = homes
    index = sqlite3.connect(broken / "index.sqlite")
    index.execute("UPDATE folder SET keywords = '{'")
    index.execute("UPDATE account SET octets = 'many'")
    index.commit()
    index.close()
    (broken / "Maildir/.Sent").rename(broken / "Maildir/.Found")  # who takes this in reads the keywords
    for part in ("cur", "new", "tmp"):
        (sound / "Maildir/.Found" / part).mkdir(parents=True)
    server.housekeep()
    assert (sound / "Maildir/.Found/.mic-folder").exists()
    clock.move_to(clock.now() + timedelta(seconds=20))  # so that usage is asked for again
    with smtplib.SMTP(server.host, server.ports["smtp"]) as client:
        client.ehlo()
        client.mail("a@example.org", ["SIZE=1000"])
        assert client.rcpt("dvbe@mic.gov.vn")[0] == 250
        assert client.rcpt("ttlan@mic.gov.vn")[0] == 250
    server.stop()
    told = {(event["visit"], event["mailbox"]) for event in server.events() if event.get("event") == "visit_failed"}
    assert told == {(visit, "dvbe@mic.gov.vn") for visit in ("rescan", "usage")}
    assert any(event["event"] == "usage_unknown" for event in server.events())
    assert not any(event["event"] == "duty_failed" for event in server.events())


def test_the_log_says_what_keeps_a_mailbox_closed(serve: Callable[..., MailServer]) -> None:
    """People are told that it is unavailable, whoever has to repair it what the disk said."""
    server = serve()
    server.issue("dvbe")
    home = server.config.mail_root / "mic.gov.vn/dvbe"
    home.mkdir(parents=True, exist_ok=True)
    (home / "Maildir").write_text("no folder")
    server.housekeep()
    server.stop()
    told = {event["visit"]: event["error"] for event in server.events() if event["event"] == "visit_failed"}
    assert told.keys() == {"sweep", "rescan"}
    for error in told.values():
        assert "a file lies where a folder must be" in error["en"]
        assert str(home) in error["en"]


def test_what_lies_in_the_way_of_a_mailbox_is_told_once(serve: Callable[..., MailServer]) -> None:
    """The round names what it has to leave to people, and again only when that has changed."""
    server = serve()
    server.issue("dvbe")
    server.housekeep()
    new = server.config.mail_root / "mic.gov.vn/dvbe/Maildir/new"
    os.mkfifo(new / "one")
    server.housekeep()
    server.housekeep()
    os.mkfifo(new / "two")
    server.housekeep()
    server.stop()
    told = [event for event in server.events() if event["event"] == "files_left"]
    assert [(event["mailbox"], event["kind"], event["files"]) for event in told] == [
        ("dvbe@mic.gov.vn", "not-a-message", ["INBOX: one"]),
        ("dvbe@mic.gov.vn", "not-a-message", ["INBOX: one", "INBOX: two"]),
    ]


@dataclass
class Mailbox:
    """What a visit has to know of one."""

    mailbox_id: int = REF.account_id
    home: str = REF.home
    address: str = "dvbe@mic.gov.vn"
    facts: tuple[Fact, ...] = ()


class Mailboxes(list[Mailbox]):
    def entry(self, mailbox_id: int) -> Mailbox | None:
        return next((mailbox for mailbox in self if mailbox.mailbox_id == mailbox_id), None)


async def test_a_mailbox_that_has_not_changed_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until something in it passes its retention, or a day is over; a change is seen, and retention is kept to the hour."""
    clock = ManualClock(datetime(2026, 12, 1, tzinfo=UTC))
    store, log, executors = LocalMailStore(tmp_path, clock=clock, host="h"), MailLog(None, "house", clock=clock), Executors()
    account = store.account(REF)
    snapshot: Any = Mailboxes([Mailbox()])
    visits = Visits(runtime(Config(), clock, log=log, executors=executors, snapshot=lambda: snapshot), store)
    swept = []
    original = Account.sweep

    def counted(self: Account, **how: bool) -> Any:
        swept.append(clock.now())
        return original(self, **how)

    monkeypatch.setattr(Account, "sweep", counted)

    async def sweeps(hours: int = 1) -> int:
        before = len(swept)
        for _ in range(hours):
            clock.move_to(clock.now() + timedelta(hours=1))
            await visits.sweep(trusted=True)
        return len(swept) - before

    inbox = account.folder("INBOX").folder_id
    [uid] = deliver(account, inbox, ["a"])
    assert [await sweeps(), await sweeps(22)] == [1, 0]
    assert await sweeps(2) == 1, "once a day in any case"
    account.remove(inbox, [uid])
    expunged = clock.now()
    assert [await sweeps(), await sweeps()] == [1, 0]
    while account.tombstones():
        assert clock.now() < expunged + timedelta(days=8)
        await sweeps()
    assert clock.now() - expunged == timedelta(days=7, hours=1)
    await visits.sweep(trusted=True)
    account.create("Cu")
    account.delete("Cu")
    assert [await sweeps(), await sweeps()] == [1, 0]
    store.close()
    executors.close()
    log.close()
