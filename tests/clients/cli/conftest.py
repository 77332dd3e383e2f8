"""The command line as a test runs it, in this process or as a program, and servers for it."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mic_mail.cli.main import main
from regulation.console import run_here, set_cheap_hashes
from waiting import wait_for

if TYPE_CHECKING:
    from harness import MailServer

DVBE = "dvbe@mic.gov.vn"


class Run:
    """What one command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Run]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the program in this process, in English unless told otherwise."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG", "MIC_MAIL_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(*arguments: object) -> Run:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Run(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that `init` made, with one mailbox in it; only for `made`, which copies it."""
    folder = tmp_path_factory.mktemp("made")
    path = folder / "etc" / "mic-mail.toml"
    for arguments in (
        ("init", "--yes", "--data-dir", folder / "data"),
        ("unit", "add", "CNTT", "Cục Công nghệ thông tin", "--document", "1553/QĐ-BTTTT"),
        ("mailbox", "issue", "--unit", "CNTT", "--document", "12/CV-CNTT"),
    ):
        code, _, err = run_here(("--config", path, *arguments), {})
        assert code == 0, err
        if arguments[0] == "init":
            set_cheap_hashes(path)
    return folder


@pytest.fixture
def made(made_once: Path, tmp_path: Path) -> Path:
    """The configuration file of a server that `init` made, with one mailbox in it."""
    for name in ("etc", "data"):
        shutil.copytree(made_once / name, tmp_path / name)
    path = tmp_path / "etc" / "mic-mail.toml"
    path.write_text(path.read_text().replace(str(made_once), str(tmp_path)))
    return path


@pytest.fixture
def running(serve: Callable[..., "MailServer"], tmp_path: Path) -> tuple["MailServer", Path]:
    """A running server with one mailbox, and its configuration file."""
    from mic_mail.config.manual import write

    server = serve()
    server.issue("dvbe", name="Đỗ Văn Bê")
    path = tmp_path / "running.toml"
    path.write_text(write(server.config))
    return server, path


def signs_in(server: "MailServer", address: str, password: str) -> bool:
    """Whether IMAP lets this password in."""
    import imaplib

    with imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20) as client:
        try:
            client.authenticate("PLAIN", lambda _: f"\0{address}\0{password}".encode())
        except imaplib.IMAP4.error:
            return False
        return True


def refusals(server: "MailServer") -> list[dict[str, Any]]:
    """The refused sign-ins in the log, at least one; the log writes its lines a moment later."""
    return wait_for(lambda: [event for event in server.events() if event.get("event") == "sign_in_refused"])


def program(*arguments: object, code: str = "", environment: dict[str, str] | None = None, **how: Any) -> Any:
    """The program (or `code`) in a process of its own, as a machine without settings of language runs it."""
    ours = {"LANG", "LC_ALL", "LC_MESSAGES", "PYTHONUNBUFFERED"}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    command = [sys.executable, *(("-c", code) if code else ("-m", "mic_mail")), *map(str, arguments)]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 60, **how}
    return subprocess.run(command, check=False, env={**clean, **(environment or {})}, **how)


IN_TURN = """
import json, sys
from mic_mail.cli.main import main
for arguments in json.loads(sys.argv[1]):
    code = main(arguments)
    for stream in (sys.stdout, sys.stderr):
        stream.write(f"{code}\\0")
"""


def in_turn(*commands: Iterable[object], **environment: str) -> list[subprocess.CompletedProcess[bytes]]:
    """What each of several commands does that one process runs, as `program` runs a single one."""
    words = [list(map(str, command)) for command in commands]
    run = program(json.dumps(words), code=IN_TURN, environment=environment)
    assert run.returncode == 0, run.stderr
    ends = []
    for command, out, err in zip(words, run.stdout.split(b"\0"), run.stderr.split(b"\0"), strict=False):
        code = re.search(rb"\d+$", out)
        assert code is not None
        ends.append(subprocess.CompletedProcess(command, int(code[0]), out[: code.start()], err.removesuffix(code[0])))
    assert len(ends) == len(words)
    return ends
