"""Reg. 6.2, 18: one mailbox or message that fails keeps no other unit's request or answer waiting, and nothing is forgotten."""

import os
import smtplib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness import ProcessServer
from mic_mail.app import scheduled_jobs
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.config.manual import write
from mic_mail.directory.repository import Directory
from mic_mail.log.maillog import MailLog
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.services.requests.intake import MARK, TRIED_FOR, Intake
from mic_mail.services.requests.outcome_notices import WINDOW
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.maildir import swap_store
from mic_mail.storage.types import DELETED, INBOX, AccountRef
from regulation.console import Console
from regulation.requests_by_mail import HEADING, NOW, SECRET, Ministry, a_csv, register
from runtimes import runtime
from store_harness import killed_at
from waiting import stays, wait_for

pytestmark = [pytest.mark.clause("6.2"), pytest.mark.clause("18")]

ROWS = (("vướng mắc", "", "", "", "", "", "Thư đến chậm"),)
CNTT, PTTH = "cntt@mic.gov.vn", "ptth@mic.gov.vn"


class TwoUnits(Ministry):
    """cntt@ and ptth@, the mailboxes of two units."""

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.other = server.issue("ptth", name="Cục PTTH", password=SECRET, kind=MailboxKind.UNIT)

    def ask(self, address: str, name: str = "yêu cầu.csv") -> None:
        self.submit(self.mail(address, a_csv(HEADING, *ROWS), name), address)

    def answers(self, mailbox: Any) -> int:
        return sum("- Dòng 2: " in _text(message) for message in self.inbox(mailbox))

    def later(self, delta: timedelta) -> None:
        self.server.move_clock_to(self.server.clock.now() + delta)
        self.server.confirm_clock()
        self.server.housekeep()

    def events(self, event: str) -> list[dict[str, Any]]:
        self.server.running.context.log.flush()
        return [each for each in self.server.events() if each.get("event") == event]

    def home(self, mailbox: Any) -> Path:
        return Path(self.server.config.mail_root / mailbox.home)

    def support_files(self) -> list[Path]:
        """The messages of the Centre's INBOX, the oldest first, once each has the name that tells its UID."""
        folder = self.home(self.support) / "Maildir" / "cur"
        files = wait_for(lambda: (found := list(folder.iterdir())) and all(",U=" in path.name for path in found) and found)
        return sorted(files, key=lambda path: int(path.name.partition(",U=")[2].partition(":")[0]))


def _text(message: Any) -> str:
    return str(message.get_payload(decode=True) or b"", "utf-8")


@contextmanager
def broken(home: Path) -> Iterator[None]:
    """A file in the place of a mailbox's folder: nothing can be written there, whoever tries."""
    away = home.with_name(f"{home.name}.away")
    home.parent.mkdir(parents=True, exist_ok=True)
    away.write_text("")
    # At once: a server that runs meanwhile makes a folder that it does not find.
    while not (there := home.exists() and swap_store._exchange(str(home), str(away))):
        with suppress(FileExistsError):
            home.touch(exist_ok=False)
            break
    try:
        yield
    finally:
        if there:
            assert swap_store._exchange(str(home), str(away))
            away.unlink()
        else:
            home.unlink()
            away.unlink()


@pytest.fixture
def ministry(serve: Callable[..., Any]) -> TwoUnits:
    return TwoUnits(serve(clock=ManualClock(NOW)))


# ------------------------------------------------------------ the answer


def test_a_unit_mailbox_that_takes_nothing_keeps_no_other_waiting(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own request is entered too, and its answer follows, once, as soon as the mailbox can take it."""
    for rounds in ("INTAKE_SECONDS", "NOTICES_SECONDS"):  # there are only those which the test counts
        monkeypatch.setattr(scheduled_jobs, rounds, 3600.0)
    ministry = TwoUnits(serve(clock=ManualClock(NOW)))
    with broken(ministry.home(ministry.unit)):
        ministry.ask(CNTT)
        ministry.ask(PTTH)
        assert [request.opened_by for request in ministry.opened()] == [CNTT, PTTH]
        assert ministry.answers(ministry.other) == 1
        assert {each["mailbox"] for each in ministry.events("notice_failed")} == {CNTT}
        tries = len(ministry.events("notice_failed"))
        for _ in range(3):
            ministry.server.housekeep()
        assert len(ministry.events("notice_failed")) <= tries + 3
    for _ in range(3):
        ministry.later(timedelta(minutes=1))
    assert ministry.answers(ministry.unit) == 1
    assert ministry.answers(ministry.other) == 1
    (answer,) = ministry.inbox(ministry.unit)
    assert answer["In-Reply-To"] == "<mau-1@cntt.mic.gov.vn>"
    assert len(ministry.opened()) == 2


def test_what_the_centre_decided_reaches_the_others_at_once_too(ministry: TwoUnits) -> None:
    """One unit's mailbox that fails does not put off what others are told by an hour."""
    ministry.ask(CNTT)
    ministry.ask(PTTH)
    first, second = ministry.opened()
    with broken(ministry.home(ministry.unit)):
        register(ministry).done(first, "mai", "xong")
        ministry.server.refresh()
        ministry.server.housekeep()
        register(ministry).done(second, "mai", "xong")
        ministry.server.refresh()
        ministry.server.housekeep()
        assert ["đã được giải quyết" in _text(each) for each in ministry.inbox(ministry.other)] == [False, True]


def test_an_answer_is_given_up_in_the_end(ministry: TwoUnits) -> None:
    """Once, by an event; nothing is sent afterwards."""
    with broken(ministry.home(ministry.unit)):
        ministry.ask(CNTT)
        ministry.later(WINDOW - timedelta(days=1))
        assert ministry.events("notice_given_up") == []
        for _ in range(2):
            ministry.later(timedelta(days=1))
        (given_up,) = ministry.events("notice_given_up")
        assert given_up["mailbox"] == CNTT
    ministry.later(timedelta(hours=2))
    assert ministry.answers(ministry.unit) == 0
    assert len(ministry.events("notice_given_up")) == 1


def test_an_owed_answer_is_due(serve: Callable[..., Any], tmp_path: Path) -> None:
    """As the commands see it, which know the machine's clock: overdue, at the mailbox that asked."""
    ministry = TwoUnits(serve(clock=ManualClock(SystemClock().now() - timedelta(hours=2))))
    console = Console(tmp_path)
    (tmp_path / "mic-mail.toml").write_text(write(ministry.server.config))
    with broken(ministry.home(ministry.unit)):
        ministry.ask(CNTT)
        (row,) = [each for each in console.json("mailbox", "due") if each["deed"] == "answer"]
        assert (row["overdue"], row["address"], row["clause"]) == (True, CNTT, "6.2")
    ministry.later(timedelta(hours=1))
    assert [each for each in console.json("mailbox", "due") if each["deed"] == "answer"] == []


def test_a_mailbox_that_was_reclaimed_meanwhile_gets_nothing(ministry: TwoUnits) -> None:
    """And nobody else: a unit has one (Reg. 5.1)."""
    with broken(ministry.home(ministry.unit)):
        ministry.ask(CNTT)
        ministry.server.record(ministry.unit, Draft(FactKind.RECLAIMED, ministry.server.clock.now(), "test"))
        ministry.later(timedelta(minutes=1))
    ministry.later(timedelta(minutes=2))
    assert ministry.answers(ministry.unit) == 0
    assert ministry.answers(ministry.support) + ministry.answers(ministry.other) == 0


# ------------------------------------------------------------ the mail


@contextmanager
def unreadable(file: Path) -> Iterator[None]:
    """A message whose file leads in a circle: nobody can open it, whoever tries."""
    away = file.parents[2] / "away"
    file.rename(away)
    os.symlink(file.name, file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        away.rename(file)


def send(ministry: TwoUnits, address: str) -> None:
    """A mail with the form, that the housekeeper has not looked at yet."""
    with smtplib.SMTP("localhost", ministry.server.ports["submission"], timeout=30) as client:
        client.starttls(context=ministry.server.tls())
        client.login(address, SECRET)
        client.send_message(ministry.mail(address, a_csv(HEADING, *ROWS)))


def test_a_mail_that_cannot_be_read_keeps_no_other_waiting(ministry: TwoUnits) -> None:
    """Those behind it are entered; it is too, as soon as its file can be read, and answered once."""
    send(ministry, CNTT)
    send(ministry, PTTH)
    with unreadable(ministry.support_files()[0]):
        for _ in range(2):
            ministry.server.housekeep()
        assert [request.opened_by for request in ministry.opened()] == [PTTH]
        assert ministry.answers(ministry.other) == 1
        ministry.ask(PTTH)
        assert [request.opened_by for request in ministry.opened()] == [PTTH, PTTH]
        assert ministry.events("request_mail_failed")
        for _ in range(10):
            ministry.later(timedelta(minutes=10))
        assert len(ministry.events("request_mail_failed")) < 10, "it is not tried all the time"
    for _ in range(3):
        ministry.later(timedelta(hours=1))
    assert [request.opened_by for request in ministry.opened()] == [PTTH, PTTH, CNTT]
    assert (ministry.answers(ministry.unit), ministry.answers(ministry.other)) == (1, 2)
    assert ministry.directory.requests.deferred(MARK) == []


@pytest.mark.parametrize("how", ["for ever", "expunged"])
def test_a_mail_that_never_can_be_read_is_given_up(ministry: TwoUnits, how: str) -> None:
    """By an event, after 30 days, or when it was expunged and cannot be brought back any more; not in silence."""
    send(ministry, CNTT)
    (file,) = ministry.support_files()
    with unreadable(file):
        ministry.server.housekeep()
        assert [each.uid for each in ministry.directory.requests.deferred(MARK)] == [1]
        if how == "expunged":
            account = ministry.server.running.context.store.account(
                AccountRef(ministry.support.mailbox_id, ministry.support.home)
            )
            inbox = account.folder(INBOX).folder_id
            account.store_flags(inbox, [1], "+", DELETED, ())
            account.expunge(inbox, [1])
        ministry.later((timedelta(days=8) if how == "expunged" else TRIED_FOR) - timedelta(days=1))
        assert ministry.events("request_mail_given_up") == []
        for _ in range(2):
            ministry.later(timedelta(days=1))
        (given_up,) = ministry.events("request_mail_given_up")
        assert given_up["found"] is (how != "expunged")
        assert ministry.directory.requests.deferred(MARK) == []


def test_a_register_that_takes_nothing_loses_nothing(ministry: TwoUnits) -> None:
    """Neither where it takes no rows, nor no mark, nor nothing at all: a later round enters all of it, once."""
    path = ministry.server.config.directory_dir / "directory.sqlite"

    def say(statement: str) -> None:
        with closing(sqlite3.connect(path, timeout=20)) as database, database:
            database.execute(statement)

    for table in ("INSERT ON request_mail", "UPDATE ON reading_mark", "INSERT ON sent_notice", "UPDATE ON revision"):
        say(f"CREATE TRIGGER full BEFORE {table} BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        before = len(ministry.opened())
        ministry.ask(CNTT)
        ministry.ask(PTTH)
        say("DROP TRIGGER full")
        for _ in range(2):
            ministry.later(timedelta(minutes=5))
        assert sorted(request.opened_by for request in ministry.opened()[before:]) == [CNTT, PTTH]
        assert ministry.directory.requests.deferred(MARK) == []
    assert (ministry.answers(ministry.unit), ministry.answers(ministry.other)) == (4, 4)


# ------------------------------------------------------------ killed


SRC = f"{os.sep}mic_mail{os.sep}"


@pytest.mark.parametrize("step", [23, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_at_any_step_of_reading_nothing_is_lost_or_double(ministry: TwoUnits, step: int) -> None:
    """With one mail among them that cannot be read: the others are entered once, it is owed, and who is answered is known."""
    senders = (PTTH, CNTT, PTTH)
    for address in senders:
        send(ministry, address)
    unread = ministry.support_files()[1]
    config, clock = ministry.server.config, ministry.server.clock
    ministry.server.stop()

    def look() -> None:
        directory, log = Directory(config.directory_url, clock=clock), MailLog(None, "test", clock=clock, threaded=False)
        store = LocalMailStore(config.mail_root, clock=clock, host="test")
        Intake(runtime(config, clock, log=log), directory, store).run_once(directory.load_snapshot())

    kills = 0
    with unreadable(unread):
        for within in (f"{SRC}services/requests/intake", f"{SRC}directory/requests"):
            line = 0
            while not killed_at(line, look, within):
                line, kills = line + step, kills + 1
        look()
        directory = Directory(config.directory_url, clock=clock)
        assert [request.opened_by for request in directory.requests.all()] == [PTTH, PTTH]
        assert [each.uid for each in directory.requests.deferred(MARK)] == [2]
        assert [mail.sender for mail in directory.requests.mail_read(NOW - timedelta(days=1))] == [PTTH, PTTH]
    look()
    assert directory.requests.deferred(MARK) == []
    assert sorted(request.opened_by for request in directory.requests.all()) == sorted(senders)
    directory.close()
    assert kills > 5


@pytest.mark.slow
def test_what_is_owed_outlives_a_kill(serve_processes: Callable[..., ProcessServer]) -> None:
    """Real processes, killed while one unit's mailbox takes nothing: its answer comes once afterwards, and no other twice."""
    server = serve_processes({"process": {"workers": 1}})
    population = server.population
    population.issue("support", password=SECRET, kind=MailboxKind.UNIT)
    units = [population.issue(name, password=SECRET, kind=MailboxKind.UNIT) for name in ("cntt", "ptth")]

    def send_from(address: str) -> None:
        with smtplib.SMTP("localhost", server.ports["submission"], timeout=30) as client:
            client.starttls(context=server.tls())
            client.login(address, SECRET)
            client.send_message(Ministry.mail(None, address, a_csv(HEADING, *ROWS)))  # type: ignore[arg-type]

    def letters(mailbox: Any) -> int:
        store = LocalMailStore(server.config.mail_root, clock=SystemClock(), host="test")
        try:
            return len(store.account(AccountRef(mailbox.mailbox_id, mailbox.home)).view(1).uids)
        finally:
            store.close()

    server.start()
    with broken(server.config.mail_root / units[0].home):
        send_from(CNTT)
        send_from(PTTH)
        wait_for(lambda: any(each.get("event") == "notice_failed" for each in server.events()))
        wait_for(lambda: letters(units[1]) == 1)
        server.kill()
    server.start()
    wait_for(lambda: letters(units[0]) == 1)
    server.kill()
    server.start()
    stays(lambda: [letters(unit) for unit in units] == [1, 1], seconds=11)  # more than a round of letters
    assert len(population.directory.requests.all()) == 2
