"""A server whose mailboxes lie in PostgreSQL (docs/decisions/0139): what was acknowledged is there once, whatever is killed."""

import json
import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.process_servers import Make
from faults.processes.conftest import ADDRESS, Sender, kill_and_wait, message, sign_in, stored
from harness import MailServer, ProcessServer
from mailboxes_in_database import new_database
from mic_mail.clock import SystemClock
from mic_mail.services.mail_store import open_mail_store
from mic_mail.storage.backup.format import examine
from mic_mail.storage.types import AccountRef
from postgresql_server import PostgresqlServer, postgresql_server
from protocol.imap_sessions import answer
from protocol.imap_sessions import sign_in as sign_in_bare
from regulation.reclaimed_mailbox import CENTRE, Ministry, freed
from store_harness import deliver, inbox
from waiting import wait_for


@pytest.fixture
def database() -> Iterator[PostgresqlServer]:
    """One of the test's own, which it may stop; COMMIT is as durable as in production."""
    with postgresql_server(fsync="on") as server:
        yield server


def _url(database: PostgresqlServer) -> str:
    return f"postgresql://test@/postgres?host={database.folder}"


def _started(serve_processes: Make, database: PostgresqlServer) -> ProcessServer:
    server = serve_processes({"process": {"workers": 2}, "storage": {"database": _url(database)}})
    server.population.issue("dvbe")
    server.start()
    return server


@pytest.mark.timeout(300)
def test_killed_workers_lose_nothing(serve_processes: Make, database: PostgresqlServer) -> None:
    """Each message is there once, in the order of sending, and no file of mail is made."""
    server = _started(serve_processes, database)
    senders = [Sender(server, f"s{number}") for number in range(3)]
    for sender in senders:
        sender.start()
    for round_number in range(4):
        wanted = sum(len(sender.acknowledged) for sender in senders) + 20
        wait_for(lambda wanted=wanted: sum(len(sender.acknowledged) for sender in senders) >= wanted)
        kill_and_wait(server, server.workers()[round_number % 2])
    _end(senders)
    _assert_there_once(server, senders)
    assert not list(server.config.mail_root.glob("*/*"))


@pytest.mark.timeout(300)
def test_who_comes_while_the_database_is_away_is_told_to_come_again(serve_processes: Make, database: PostgresqlServer) -> None:
    """Nothing is refused for good, no process ends, and all goes on by itself once it is back."""
    server = _started(serve_processes, database)
    pids = server.workers()
    senders = [Sender(server, f"s{number}") for number in range(2)]
    for sender in senders:
        sender.start()
    wait_for(lambda: all(len(sender.acknowledged) >= 5 for sender in senders))
    reader = sign_in(server)
    reader.select()
    database.stop()
    with pytest.raises(smtplib.SMTPDataError) as refused, smtplib.SMTP(server.host, server.ports["smtp"], timeout=60) as client:
        client.sendmail("a@example.org", [ADDRESS], message("away"))
    assert refused.value.smtp_code == 451
    word, said = reader.status("Sent", "(MESSAGES)")
    assert word == "NO"
    assert b"[UNAVAILABLE]" in said[0]
    database.start(fsync="on")
    wanted = [len(sender.acknowledged) + 5 for sender in senders]
    wait_for(lambda: all(len(sender.acknowledged) >= more for sender, more in zip(senders, wanted, strict=True)))
    _end(senders)
    _assert_there_once(server, senders)
    assert server.workers() == pids


def _end(senders: list[Sender]) -> None:
    for sender in senders:
        sender.ending.set()
    for sender in senders:
        sender.join(60)


def _assert_there_once(server: ProcessServer, senders: list[Sender]) -> None:
    names = [name for _, name in stored(server)]
    assert len(names) == len(set(names))
    for sender in senders:
        assert [name for name in names if name in set(sender.acknowledged)] == sender.acknowledged


def test_a_command_may_come_first(serve_processes: Make, database: PostgresqlServer) -> None:
    """It makes the tables that the server would make."""
    server = serve_processes({"storage": {"database": _url(database)}})
    server.population.issue("dvbe")
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file)]
    looked = subprocess.run([*command, "mailbox", "repair", ADDRESS], capture_output=True, text=True, timeout=60, check=False)
    assert (looked.returncode, looked.stderr) == (0, "1 mailboxes, 0 messages, 0 bytes; 0 findings.\n")


@pytest.mark.slow
def test_a_mailbox_moves_in_by_commands_and_goes_on(serve_processes: Make, database: PostgresqlServer, tmp_path: Path) -> None:
    """Backed up on a machine with files, restored while the other server runs; what is replaced there is set aside."""
    files, server = serve_processes({}), _started(serve_processes, database)
    files.population.issue("dvbe")
    with closing(open_mail_store(files.config, SystemClock())) as store:
        account = store.account(AccountRef(1, "mic.gov.vn/dvbe"))
        deliver(account, inbox(account), ["a", "b"])
        uidvalidity = account.folder("INBOX").uidvalidity
    _command(files, "backup", tmp_path / "there")
    _command(server, "restore", ADDRESS, tmp_path / "there", "--moved")
    session = sign_in(server)
    assert session.select()[1] == [b"2"]
    assert session.untagged_responses["UIDVALIDITY"] == [b"%d" % uidvalidity]
    session.append("INBOX", None, None, message("later"))
    _command(server, "backup", tmp_path / "again", "--earlier", tmp_path / "there")
    assert examine(tmp_path / "again/mic.gov.vn/dvbe")[0] == 3
    assert "not empty" in _command(server, "restore", ADDRESS, tmp_path / "there", fails=True)
    _command(server, "restore", ADDRESS, tmp_path / "there", "--replace", "--reason", "x")
    session.noop()
    assert session.select()[1] == [b"2"]
    *empty, aside = json.loads(_command(server, "mailbox", "set-aside", ADDRESS, "--json"))
    _command(server, "mailbox", "set-aside", ADDRESS, aside["name"], "--copy", tmp_path / "aside")
    assert examine(tmp_path / "aside")[0] == 3
    for each in (*empty, aside):
        _command(server, "mailbox", "set-aside", ADDRESS, each["name"], "--delete", "--yes")
    assert json.loads(_command(server, "mailbox", "set-aside", ADDRESS, "--json")) == []
    _command(server, "mailbox", "repair", ADDRESS)
    assert database.psql("SELECT count(*) FROM generation; SELECT count(*) FROM body") == "1\n2\n"


def test_a_reclaimed_mailbox_is_archived_freed_and_brought_back(serve: Callable[..., MailServer]) -> None:
    """Reg. 6.4.c, 6.2: as on files, by the same rounds; what comes back is what was archived."""
    settings = {"storage": {"database": new_database()}}
    ministry = Ministry(lambda **named: serve(settings, **named))
    before = ministry.account.folder("INBOX").uidnext
    freed(ministry)
    assert not ministry.account.is_left
    ministry.reclaiming.bring_back(ministry.leaver, CENTRE)
    assert [str(message["Subject"]) for message in ministry.messages(ministry.leaver)][:1] == ["một"]
    assert ministry.account.folder("INBOX").uidnext >= before
    assert ministry.account.repair(check=True).clean


def _command(server: ProcessServer, *words: object, fails: bool = False) -> str:
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode != 0) is fails, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


def test_two_servers_serve_one_mailbox(serve: Callable[..., MailServer]) -> None:
    """What one of them has answered is seen by the next command at the other, and IDLE there hears of it."""
    url = new_database()
    one, other = (serve({"storage": {"database": url}}) for _ in range(2))
    one.issue("dvbe")
    other.refresh()
    here, there = sign_in_bare(one, ADDRESS), sign_in_bare(other, ADDRESS)
    for session in (here, there):
        session.send(b"s SELECT INBOX\r\n")
        assert answer(session, b"s").startswith(b"s OK")
    for number in range(1, 20):
        here.send(b"a APPEND INBOX {8+}\r\nA: b\r\n\r\n\r\n")
        assert answer(here, b"a").startswith(b"a OK")
        there.send(b"n NOOP\r\n")
        heard = [there.response()]
        while not (heard[-1] or b"").startswith(b"n "):
            heard.append(there.response())
        assert b"* %d EXISTS" % number in heard
    there.send(b"i IDLE\r\n")
    assert (there.response() or b"").startswith(b"+")
    here.send(b"f STORE 1 +FLAGS (\\Flagged)\r\n")
    assert answer(here, b"f").startswith(b"f OK")
    assert there.response() == b"* 1 FETCH (FLAGS (\\Flagged))"
