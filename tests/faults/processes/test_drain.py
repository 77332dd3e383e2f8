"""A drain: what is under way ends, and what it cannot finish arrives after the next start."""

import fcntl
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from faults.process_servers import Make
from faults.processes.conftest import ADDRESS, INTERRUPTED, message, sign_in, stored, wait_until_closed
from harness import ProcessServer
from waiting import wait_for

pytestmark = pytest.mark.slow


def test_sigterm_lets_a_message_end_and_says_goodbye(server: ProcessServer) -> None:
    """Drain: no new connections, IDLE gets BYE, a message on its way is still taken, exit code 0; it is there afterwards."""
    idle = sign_in(server)
    idle.select()
    idle.send(b"X IDLE\r\n")
    idle.readline()
    sending = smtplib.SMTP(server.host, server.ports["smtp"], timeout=30)
    sending.ehlo()
    sending.mail("a@example.org")
    sending.rcpt(INTERRUPTED)
    sending.putcmd("DATA")
    assert sending.getreply()[0] == 354
    sending.send(message("half")[:40])
    process = server.process
    assert process is not None
    process.terminate()
    assert b"BYE" in idle.readline()
    wait_until_closed(server)
    sending.send(message("half")[40:] + b".\r\n")
    assert sending.getreply()[0] == 250
    assert process.wait(30) == 0
    assert server.events()[-1]["event"] == "server_stopped"
    server.start()
    assert [name for _, name in stored(server, INTERRUPTED)] == ["half"]


@contextmanager
def held(server: ProcessServer, local: str) -> Iterator[None]:
    """Nobody can write to the mailbox: another process has its lock."""
    home = server.config.mail_root / "mic.gov.vn" / local
    [lock] = home.glob("*.lock")
    with open(lock, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def entries(server: ProcessServer) -> int:
    return len(list(server.config.spool_dir.rglob("*.env")))


def delivered(server: ProcessServer, local: str) -> int:
    return len(list((server.config.mail_root / "mic.gov.vn" / local / "Maildir" / "cur").iterdir()))


def sent_to_two(server: ProcessServer, name: str) -> None:
    """Acknowledged for dvbe and ttlan."""
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=30) as sender:
        assert sender.sendmail("a@example.org", [ADDRESS, "ttlan@mic.gov.vn"], message(name)) == {}


@pytest.fixture
def pair(serve_processes: Make) -> ProcessServer:
    """One worker, little time to drain, two people who have had mail."""
    made = serve_processes({"process": {"workers": 1, "drain_seconds": 3}})
    for local in ("dvbe", "ttlan"):
        made.population.issue(local)
    made.start()
    sent_to_two(made, "earlier")
    wait_for(lambda: entries(made) == 0)
    return made


def test_a_drain_waits_for_a_fan_out_that_is_under_way(pair: ProcessServer) -> None:
    """SIGTERM between `250` and the last mailbox: the process delivers to it before it ends."""
    process = pair.process
    assert process is not None
    with held(pair, "ttlan"):
        sent_to_two(pair, "late")
        wait_for(lambda: delivered(pair, "dvbe") == 2)
        process.terminate()
        wait_until_closed(pair)
        assert delivered(pair, "ttlan") == 1
    assert process.wait(30) == 0
    assert (delivered(pair, "ttlan"), entries(pair)) == (2, 0)
    pair.start()
    for address in (ADDRESS, "ttlan@mic.gov.vn"):
        assert [name for _, name in stored(pair, address)] == ["earlier", "late"]


def test_what_a_drain_cannot_finish_arrives_after_the_next_start(pair: ProcessServer) -> None:
    """A mailbox that is locked longer than a drain lasts: the entry stays in the spool, and each gets the message once."""
    process = pair.process
    assert process is not None
    with held(pair, "ttlan"):
        sent_to_two(pair, "late")
        wait_for(lambda: delivered(pair, "dvbe") == 2)
        process.terminate()
        assert process.wait(60) == 0
        assert not [event for event in pair.events() if event["event"] == "drain_overdue"]
        assert (delivered(pair, "ttlan"), entries(pair)) == (1, 1)
    pair.start()
    wait_for(lambda: entries(pair) == 0)
    for address in (ADDRESS, "ttlan@mic.gov.vn"):
        assert [name for _, name in stored(pair, address)] == ["earlier", "late"]
