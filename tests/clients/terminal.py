"""A person at a terminal: the program on a pty of its own, read until it asks, and answered."""

import os
import pty
import re
import signal
import subprocess
import sys
from typing import Self

import programs

_STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """One run of `mic-mail` whose stdin, stdout and stderr are a terminal."""

    def __init__(self, *words: object) -> None:
        try:
            self._master, slave = pty.openpty()
        except OSError:
            programs.lack("a terminal (/dev/pts)")
        kept = {name: value for name, value in os.environ.items() if name not in {"SUDO_USER", "MIC_MAIL_ACTOR", "LINES"}}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mic_mail", *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**kept, "TERM": "xterm", "COLUMNS": "400", "LC_ALL": "C.UTF-8"},
        )
        os.close(slave)
        self._octets = b""
        self._read_to = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def shown(self) -> str:
        """All that the terminal has shown."""
        return _STYLE.sub("", self._octets.decode(errors="ignore")).replace("\r\n", "\n")

    def until(self, text: str) -> str:
        """What is shown up to and with `text`, from where the last one ended."""
        while (found := self.shown.find(text, self._read_to)) < 0:
            assert self._read(), f"ended without {text!r}:\n{self.shown}"
        start, self._read_to = self._read_to, found + len(text)
        return self.shown[start : self._read_to]

    def answer(self, question: str, line: str) -> None:
        """Wait for the question, type the line."""
        self.until(question)
        os.write(self._master, f"{line}\n".encode())

    def terminate(self) -> None:
        """End the program as a service manager does."""
        self._process.send_signal(signal.SIGTERM)

    def finish(self) -> int:
        """Read what is left; the exit code."""
        while self._read():
            pass
        return self._process.wait()

    def _read(self) -> bool:
        try:
            octets = os.read(self._master, 1 << 16)
        except OSError:  # EIO: nobody holds the other end any more
            return False
        self._octets += octets
        return bool(octets)


A_LOGIN = "nobody"
"""A login that every machine knows, and that is not root's."""
