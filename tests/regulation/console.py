"""The command line of a fresh server, as an administrator types it."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from mic_mail.cli.main import main

PROGRAM = Path(sys.executable).with_name("mic-mail")


class Console:
    """A fresh server's command line; remembers what the last command said."""

    def __init__(self, folder):
        self.folder = folder
        self.env = {"MIC_MAIL_CONFIG": str(folder / "mic-mail.toml"), "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(folder)}
        self.env["COLUMNS"] = "1000"  # each row and each sentence on a line of its own
        self.out = self.err = ""
        self.clock = None
        """A clock of the test's own, for what depends on the day."""
        self.installed = False
        """Whether commands run through the console script, in a process of their own."""

    def run(self, *words):
        """The exit code of `mic-mail WORDS`."""
        code = self._program(words) if self.installed else self._main(words)
        assert "Traceback" not in self.out + self.err
        return code

    def _program(self, words):
        env = {**os.environ, **self.env}
        done = subprocess.run([PROGRAM, *words], env=env, capture_output=True, text=True, check=False)
        self.out, self.err = done.stdout, done.stderr
        return done.returncode

    def _main(self, words):
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.env.items():
                patch.setenv(name, value)
            code = main(list(words), clock=self.clock)
        self.out, self.err = out.getvalue(), err.getvalue()
        return code

    def json(self, *words):
        """What `mic-mail WORDS --json` prints."""
        assert self.run(*words, "--json") == 0, self.err
        return json.loads(self.out)


def made(folder):
    """A server that `init` made, with a unit, two namesakes and the mailbox of the first."""
    console = Console(folder)
    assert console.run("init", "--yes", "--data-dir", str(folder / "data"), "--user", "") == 0, console.err
    assert console.run("unit", "add", "CNTT", "Vụ Công nghệ thông tin", "--document", "1553/QĐ-BTTTT") == 0, console.err
    assert console.run("person", "add", "Đỗ Văn Bê", "--unit", "CNTT") == 0, console.err
    assert console.run("person", "add", "Đinh Vũ Bê", "--unit", "cntt", "--position", "Giám đốc") == 0, console.err
    console.json("mailbox", "issue", "--person", "1", "--document", "12/CV")
    return console


def defects(folder, kind, mailbox):
    """The events of this kind about a mailbox that commands have told the mail log."""
    segments = (folder / "data/log").glob("*.cli.*.jsonl")
    events = [json.loads(line) for segment in segments for line in segment.read_text().splitlines()]
    return [event for event in events if event["event"] == kind and event["mailbox"] == mailbox]
