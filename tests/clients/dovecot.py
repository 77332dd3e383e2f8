"""A Dovecot of our own to compare with: one process per session, signed in already, talking over a pipe.

No port is opened and no master process runs; what is stored lies in a temporary folder and goes with it. Dovecot's imap program
refuses to run as root, so there it becomes `nobody`.
"""

import imaplib
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest

import programs

PROGRAM = Path("/usr/lib/dovecot/imap")

_CONFIGURATION = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
ssl = no
protocols = imap
mail_driver = maildir
mail_path = {folder}/Maildir
mail_home = {folder}
mail_utf8_extensions = {utf8}
mail_max_lock_timeout = 5s
first_valid_uid = 1
import_environment {{
  USER = reader
  HOME = {folder}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


class Identity(TypedDict, total=False):
    """Whom a process becomes, as `subprocess` wants it."""

    user: int
    group: int
    extra_groups: list[int]


class _Session(imaplib.IMAP4):
    """imaplib over the pipes of a process."""

    def __init__(self, arguments: list[str], identity: Identity) -> None:
        self._arguments = arguments
        self._identity = identity
        super().__init__()

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._identity,
        )

    def read(self, size: int) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.read(size)

    def readline(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def shutdown(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(timeout=10)


class Dovecot:
    """One account in a temporary folder."""

    def __init__(self, folder: Path, *, utf8: bool = False) -> None:
        self.folder = folder
        self._identity = Identity()
        self._configuration = folder / "dovecot.conf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder, utf8="yes" if utf8 else "no"))
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._identity = Identity(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[])
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)

    def session(self) -> imaplib.IMAP4:
        """A session that is signed in."""
        return _Session([str(PROGRAM), "-c", str(self._configuration)], self._identity)


def need_dovecot() -> str:
    """Where a Dovecot of which our configuration can be read is; without it the test is skipped."""
    found = programs.need("dovecot")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    if not version.startswith("2.4"):
        programs.lack("Dovecot 2.4")
    return found


def make_dovecot(*, utf8: bool = False) -> Iterator[Dovecot]:
    """A Dovecot for one test, or the reason why there is none."""
    need_dovecot()
    with tempfile.TemporaryDirectory(prefix="mic-dovecot-") as name:
        yield Dovecot(Path(name), utf8=utf8)


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    """Dovecot 2.4 with an empty mailbox."""
    yield from make_dovecot()
