"""Started by root: every process is the server's account, with no right of root's, and what it makes is its own (Reg. 10.2)."""

import os
import pwd
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import ProcessServer, config_for, stopping

UNIT = Path(__file__).parents[2] / "deploy" / "mic-mail.service"


@pytest.fixture
def server() -> Iterator[ProcessServer]:
    with tempfile.TemporaryDirectory() as place:
        folder, nobody = Path(place), pwd.getpwnam("nobody")
        folder.chmod(0o755)  # everybody gets to it, as to /var/lib
        server = ProcessServer(config_for(folder / "data", {"server": {"user": "nobody"}, "process": {"workers": 2}}), folder)
        server.population.issue("dvbe")
        for path in (folder / "data", *(folder / "data").rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        server.file.chmod(0o644)
        with stopping([server]):
            yield server


def of_process(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


@pytest.mark.slow
@pytest.mark.needs_tool("another account")
@pytest.mark.clause("10.2")
def test_every_process_is_the_account(server: ProcessServer) -> None:
    """Supervisor and children, also one that was started again; the key is read by nobody else; files are the account's."""
    server.start()
    nobody = pwd.getpwnam("nobody")
    server.kill_workers()
    processes = server.start_all()["processes"]
    assert server.process is not None
    pids = [server.process.pid, *(one["pid"] for one in processes)]
    assert len(pids) >= 6
    for pid in pids:
        found = of_process(pid)
        assert set(found["Uid"]) == {str(nobody.pw_uid)}, pid
        assert set(found["Gid"]) == {str(nobody.pw_gid)}, pid
        assert found["Groups"] == []
        assert {found[name][0].strip("0") for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {""}, pid
    with smtplib.SMTP("localhost", server.ports["smtp"], timeout=20) as client:
        client.sendmail("a@a.example", ["dvbe@mic.gov.vn"], b"Subject: x\r\n\r\nx\r\n")
    for path in server.config.server.data_dir.rglob("*"):
        found_at = path.lstat()
        assert found_at.st_uid == nobody.pw_uid, path
        if not path.is_symlink() and not path.is_socket() and path != server.config.certificate:
            assert found_at.st_mode & 0o007 == 0 or path.parent.stat().st_mode & 0o007 == 0, path
    assert server.config.key.stat().st_mode & 0o777 == 0o600


@pytest.mark.needs_tool("systemd-analyze")
def test_the_unit_is_a_sandbox() -> None:
    """What systemd itself thinks of the unit: at most 2.0 of 10, and nothing in it that it does not know."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr
    assert "Unknown" not in done.stderr
