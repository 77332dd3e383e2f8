"""The command line of a fresh server, as an administrator types it."""

import io
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Self

import pytest

from mic_mail.cli.main import main
from mic_mail.clock import Clock

PROGRAM = Path(sys.executable).with_name("mic-mail")


class CommandLine(ABC):
    """Commands as an administrator types them; remembers what the last one printed."""

    out = err = ""

    @abstractmethod
    def run(self, *words: object) -> int:
        """The exit code of `mic-mail WORDS`."""

    def done(self, *words: object) -> str:
        """Run a command that has to succeed, and return what it prints."""
        code = self.run(*words)
        assert code == 0, (words, code, self.err)
        return self.out

    def refused(self, *words: object, says: str | tuple[str, ...] = (), code: int = 1) -> str:
        """Run a command that has to end with this code (1 refused, 2 bad input, 3 trouble), and return what it says.

        `says`: what has to stand in it.
        """
        found = self.run(*words)
        assert found == code, (words, found, self.out, self.err)
        for each in (says,) if isinstance(says, str) else says:
            assert each in self.err, (words, each)
        return self.err

    def json(self, *words: object) -> Any:
        """What `mic-mail WORDS --json` prints, which has to succeed."""
        return json.loads(self.done(*words, "--json"))


class Screen(io.TextIOWrapper):
    """An output of a command, kept as text and as octets."""

    def __init__(self, encoding: str, errors: str) -> None:
        self._octets = io.BytesIO()
        super().__init__(self._octets, encoding, errors)

    def getvalue(self) -> str:
        self.flush()
        return self._octets.getvalue().decode(self.encoding)


def run_here(
    words: Iterable[object], env: Mapping[str, str], clock: Clock | None = None, encoding: str = "utf-8"
) -> tuple[int, str, str]:
    """The exit code, standard output and error output of a command that runs in this process."""
    out, err = Screen(encoding, "strict"), Screen(encoding, "backslashreplace")  # as Python opens the two
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in env.items():
            patch.setenv(name, value)
        code = main([str(word) for word in words], clock)
    return code, out.getvalue(), err.getvalue()


class Console(CommandLine):
    """The command line of a fresh server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "mic-mail.toml"
        self.env = {"MIC_MAIL_CONFIG": str(self.file), "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(folder)}
        self.env["COLUMNS"] = "1000"  # each row and each sentence on a line of its own
        self.clock: Clock | None = None
        """A clock of the test's own, for what depends on the day."""
        self.installed = False
        """Whether commands run through the console script, in a process of their own."""

    def init(self) -> Self:
        """Make the server, with its data beside its configuration."""
        self.done("init", "--yes", "--data-dir", self.folder / "data", "--user", "")
        set_cheap_hashes(self.file)
        return self

    def run(self, *words: object) -> int:
        if self.installed:
            env = {**os.environ, **self.env}
            ended = subprocess.run([PROGRAM, *map(str, words)], env=env, capture_output=True, text=True, check=False)
            code, self.out, self.err = ended.returncode, ended.stdout, ended.stderr
        else:
            code, self.out, self.err = run_here(words, self.env, self.clock)
        assert "Traceback" not in self.out + self.err
        return code


def set_cheap_hashes(file: Path) -> None:
    """Change the configuration that `init` made: a password takes a tenth of a second of the processor by its defaults."""
    text = file.read_text()
    for default, least in (("# argon2_time = 3", "argon2_time = 1"), ('# argon2_memory = "32 MiB"', 'argon2_memory = "8 MiB"')):
        assert default in text
        text = text.replace(default, least)
    file.write_text(text)


def made(folder: Path) -> Console:
    """A server that `init` made, with a unit, two namesakes and the mailbox of the first."""
    console = Console(folder).init()
    console.done("unit", "add", "CNTT", "Vụ Công nghệ thông tin", "--document", "1553/QĐ-BTTTT")
    console.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
    console.done("person", "add", "Đinh Vũ Bê", "--unit", "cntt", "--position", "Giám đốc")
    console.json("mailbox", "issue", "--person", "1", "--document", "12/CV")
    return console


def defects(folder: Path, kind: str, mailbox: str) -> list[dict[str, Any]]:
    """The events of this kind about a mailbox that commands have told the mail log."""
    segments = (folder / "data/log").glob("*.cli.*.jsonl")
    events = [json.loads(line) for segment in segments for line in segment.read_text().splitlines()]
    return [event for event in events if event["event"] == kind and event["mailbox"] == mailbox]
