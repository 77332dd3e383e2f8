"""Reg. 10.1: a machine that only receives backups is made the server when the other one dies (docs/standby.en.md).

What is lost is what came after the last whole backup began. No number that a client has seen means another message afterwards.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faults.process_servers import Make
from faults.processes.conftest import ADDRESS, message, sign_in, stored
from harness import ProcessServer
from mic_mail.config.manual import write
from mic_mail.net.listeners import CannotListen
from protocol.dialog import Connection
from protocol.imap_sessions import sign_in as sign_in_bare

pytestmark = [pytest.mark.clause("10.1"), pytest.mark.slow]
ELSEWHERE = "192.0.2.77"
"""The service's address, which this machine does not have (RFC 5737)."""


def _command(server: ProcessServer, *words: object) -> str:
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _append(server: ProcessServer, *names: str) -> None:
    session = sign_in(server)
    for name in names:
        assert session.append("INBOX", None, None, message(name))[0] == "OK"
    session.logout()


def _answers(session: Connection, command: bytes) -> list[bytes]:
    """All responses to a command."""
    found = []
    session.send(b"t " + command + b"\r\n")
    while (heard := session.response()) is not None:
        found.append(heard)
        if heard.startswith(b"t "):
            assert heard.startswith(b"t OK"), found
            return found
    raise AssertionError(found)


def _number(answers: list[bytes], code: bytes) -> int:
    [found] = [each.split(code + b" ")[1].split(b"]")[0] for each in answers if code in each]
    return int(found)


@pytest.mark.timeout(300)
def test_the_standby_takes_over(serve_processes: Make, tmp_path: Path) -> None:
    """Two backups arrive, the machine goes on and dies. At the standby all of the second is there under its numbers; a client
    that had seen more is told by QRESYNC that it is gone, and nothing new takes its UIDs."""
    first = serve_processes()
    first.population.issue("dvbe")
    first.start()
    backups = tmp_path / "at the standby"
    _append(first, "one", "two")
    _command(first, "backup", backups / "1")
    _append(first, "three")
    _command(first, "backup", backups / "2", "--earlier", backups / "1")
    kept = stored(first)
    _append(first, "lost", "lost as well")
    client = sign_in_bare(first, ADDRESS)
    _answers(client, b"ENABLE QRESYNC")
    seen = _answers(client, b"SELECT INBOX")
    assert _number(seen, b"UIDNEXT") == 6
    first.kill()

    second = serve_processes()
    second.population.close()
    for leftover in second.config.directory_dir.iterdir():
        leftover.unlink()
    shutil.copy(backups / "2/directory.sqlite", second.config.directory_dir)
    shutil.copytree(backups / "2/keys", second.config.server.data_dir, dirs_exist_ok=True)
    _command(second, "restore", ADDRESS, backups / "2", "--failover")
    _command(second, "mailbox", "repair", ADDRESS)
    second.start()

    client = sign_in_bare(second, ADDRESS)
    _answers(client, b"ENABLE QRESYNC")
    modseq, uidvalidity = _number(seen, b"HIGHESTMODSEQ"), _number(seen, b"UIDVALIDITY")
    now = _answers(client, b"SELECT INBOX (QRESYNC (%d %d 1:5))" % (uidvalidity, modseq))
    assert _number(now, b"UIDVALIDITY") == uidvalidity
    assert [each for each in now if b"VANISHED" in each] == [b"* VANISHED (EARLIER) 4:5"]
    assert _number(now, b"HIGHESTMODSEQ") > modseq
    assert stored(second) == kept == [(1, "one"), (2, "two"), (3, "three")]
    _append(second, "after")
    *_, (uid, _) = stored(second)
    assert uid > 1_000_000


def test_a_machine_without_the_address_does_not_serve(serve_processes: Make) -> None:
    """The fence: the service's own address in `listen.addresses`. A machine that comes back without it is no second server."""
    old = serve_processes({"listen": {"addresses": (ELSEWHERE,)}})
    old.file.write_text(write(old.config))
    command = [sys.executable, "-m", "mic_mail", "--config", str(old.file), "serve"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert ELSEWHERE in ended.stderr
    assert CannotListen.__name__ not in ended.stderr
