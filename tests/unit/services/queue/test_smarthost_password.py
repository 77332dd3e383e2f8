"""The file with the password of the smarthost, and what shows of it."""

import contextlib
import os
import ssl
from pathlib import Path

import pytest

from mic_mail.smtpclient.smarthost import NoPassword, Smarthost, read_password
from unit.services.queue.relay import NAME, PASSWORD


@pytest.mark.parametrize(
    ("octets", "mode"),
    [
        (b"x\n", 0o644),
        (b"x\n", 0o620),
        (b"", 0o600),
        (b"a\nb\n", 0o600),
        (b"\xff\n", 0o600),
        (b"x" * 2_000, 0o600),
        (b"a\0b", 0o600),
    ],
)
def test_files_that_hold_no_secret(tmp_path: Path, octets: bytes, mode: int) -> None:
    path = tmp_path / "password"
    path.write_bytes(octets)
    path.chmod(mode)
    with pytest.raises(NoPassword) as refusal:
        read_password(path)
    assert "password" in str(refusal.value)


def test_files_that_do(tmp_path: Path) -> None:
    path = tmp_path / "password"
    for octets in (b"mot hai\n", b"mot hai\r\n", b"mot hai"):
        path.write_bytes(octets)
        path.chmod(0o600)
        assert read_password(path) == "mot hai"
    for nothing in (None, tmp_path, tmp_path / "gone"):
        with pytest.raises(NoPassword):
            read_password(nothing)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_account(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(b"mot hai\n")
    path.chmod(0o600)
    os.chown(path, 12_345, 12_345)
    with pytest.raises(NoPassword):
        read_password(path)


def test_nothing_shows_the_password(tmp_path: Path) -> None:
    """A configuration knows where it is, and not what it is."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    assert PASSWORD not in repr(Smarthost(NAME, 587, "ours", secret))
    with contextlib.suppress(ssl.SSLError):
        assert PASSWORD not in str(Smarthost(NAME, 587, "ours", secret))
