"""A restart in the middle of an attack: owners go on from where they always sign in (Reg. 4.3)."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import MailServer, ProcessServer, config_for
from mic_mail.services.authentication import known_networks
from population import PASSWORD

LIMITS = {"auth": {"failures_per_mailbox": 3, "failures_per_network": 100}}


def sign_in(server: MailServer | ProcessServer, password: str, source: str) -> bytes:
    bare = socket.create_connection((server.host, server.ports["imaps"]), 20, (source, 0))
    with bare, server.tls().wrap_socket(bare, server_hostname="localhost") as wire:
        wire.recv(65_536)
        wire.sendall(b"a LOGIN dvbe {%d+}\r\n%s\r\n" % (len(password.encode()), password.encode()))
        return wire.recv(65_536)


def attack(server: MailServer | ProcessServer) -> None:
    """Different wrong passwords, each from another address, until strangers wait.

    That takes fifteen, or more where a broadcast between workers is lost.
    """
    answers: list[bool] = []
    while len(answers) < 60 and answers[-6:] != [True] * 6:
        number = len(answers)
        answers.append(b"[LIMIT]" in sign_in(server, f"guess {number}", f"127.7.{number}.1"))
    assert b"[LIMIT]" in sign_in(server, PASSWORD, "127.7.99.1")


def test_after_a_restart(tmp_path: Path) -> None:
    """From the file that the housekeeper keeps; who was a stranger is one."""
    config = config_for(tmp_path / "data", LIMITS)
    first = MailServer(config)
    try:
        first.issue("dvbe")
        assert b"a OK" in sign_in(first, PASSWORD, "127.8.1.1")
        first.housekeep()
    finally:
        first.stop()
    kept = config.state_dir / known_networks.FILE
    assert kept.stat().st_mode & 0o027 == 0
    again = MailServer(config)
    try:
        attack(again)
        assert b"a OK" in sign_in(again, PASSWORD, "127.8.1.1")
        assert b"[LIMIT]" in sign_in(again, PASSWORD, "127.8.2.1")
    finally:
        again.stop()


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"{", b"[]", b'{"known": 5}', b'{"known": [1, [], ["a", "b"], ["a", "b", "c"], ["a", 5, 7], ["a", "b", 1e400]]}',
        b"[" * 100_000, os.urandom(1_000), b'{"known": [["a", "b", -1e300]]}',
    ],
)  # fmt: skip
def test_a_file_that_is_none(tmp_path: Path, octets: bytes) -> None:
    """Whatever lies there is no error, and what is in it is no network of tomorrow."""
    (tmp_path / known_networks.FILE).write_bytes(octets)
    assert all(ago >= 0 for _, _, ago in known_networks.load(tmp_path, 1_000.0))


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    """To the second; a clock that was set back makes nothing younger than now."""
    known_networks.save(tmp_path, [("dvbe@mic.gov.vn", "127.0.0.1", 30.0)], 1_000.0)
    assert list(known_networks.load(tmp_path, 1_010.0)) == [("dvbe@mic.gov.vn", "127.0.0.1", 40.0)]
    assert list(known_networks.load(tmp_path, 10.0)) == [("dvbe@mic.gov.vn", "127.0.0.1", 0.0)]


@pytest.mark.slow
def test_after_a_kill_of_everything(serve_processes: Callable[..., ProcessServer]) -> None:
    """Real processes: what a worker learned, the housekeeper kept, and both workers know after the kill."""
    server = serve_processes({**LIMITS, "process": {"workers": 2}})
    server.population.issue("dvbe")
    server.start()
    assert b"a OK" in sign_in(server, PASSWORD, "127.8.1.1")
    kept = server.config.state_dir / known_networks.FILE
    server.wait_for(lambda _: kept.exists() and b"127.8.1.1" in kept.read_bytes(), 50)
    server.kill()
    server.start()
    attack(server)
    assert {b"a OK" in sign_in(server, PASSWORD, "127.8.1.1") for _ in range(6)} == {True}
