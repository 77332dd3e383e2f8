"""A small ministry with officers of the Centre, of a unit and an auditor, and the command line under their names."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mic_mail.cli import caller
from mic_mail.clock import Clock, SystemClock
from mic_mail.directory.repository import Directory
from regulation.console import Console

WHY = ("--document", "3/QĐ-TTTT")


class OfficersConsole(Console):
    """A server's command line as different people type at it: by `sudo` from their own login, or as automation."""

    def run(self, *words: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(caller, "LOGIN_ID", Path("/nonexistent"))
            patch.delenv("SUDO_USER", raising=False)
            return super().run(*words)

    def by(self, login: str, *words: object) -> int:
        """The exit code of a command that `login` types."""
        with self._typing(login):
            return self.run(*words)

    def done_by(self, login: str, *words: object) -> str:
        """`done`, typed by `login`."""
        with self._typing(login):
            return self.done(*words)

    def refused_by(self, login: str, *words: object, says: str | tuple[str, ...] = (), code: int = 1) -> str:
        """`refused`, typed by `login`."""
        with self._typing(login):
            return self.refused(*words, says=says, code=code)

    def json_by(self, login: str, *words: object) -> Any:
        """`json`, typed by `login`."""
        with self._typing(login):
            return self.json(*words)

    @contextmanager
    def _typing(self, login: str) -> Iterator[None]:
        self.env["SUDO_USER"] = login
        try:
            yield
        finally:
            del self.env["SUDO_USER"]

    @property
    def acts(self) -> list[dict[str, Any]]:
        """The audit log."""
        return [json.loads(line) for path in (self.folder / "data" / "log").glob("audit-*") for line in path.open()]

    def directory(self, clock: Clock | None = None) -> Directory:
        return Directory(f"sqlite:///{self.folder / 'data' / 'directory' / 'directory.sqlite'}", clock=clock or SystemClock())


def officers_console(folder: Path) -> OfficersConsole:
    """Three units, one below the other and one beside, a person and a mailbox in each; two officers of the Centre, a unit's
    administrator of CNTT, and an auditor."""
    console = OfficersConsole(folder).init()
    assert "No officer is recorded yet: anybody who runs commands on this machine counts as the Centre." in console.err
    for words in (
        ("unit", "add", "--document", "1/CV", "CNTT", "Vụ Công nghệ thông tin"),
        ("unit", "add", "--document", "1/CV", "CNTT-P1", "Phòng 1", "--parent", "CNTT"),
        ("unit", "add", "--document", "1/CV", "KHTC", "Vụ Kế hoạch - Tài chính"),
        ("person", "add", "Đỗ Văn Bê", "--unit", "CNTT"),
        ("person", "add", "Trần Thị Lan", "--unit", "CNTT-P1"),
        ("person", "add", "Lê Hoa", "--unit", "KHTC"),
        ("mailbox", "issue", "--document", "1/CV", "--person", "1"),
        ("mailbox", "issue", "--document", "1/CV", "--person", "2"),
        ("mailbox", "issue", "--document", "1/CV", "--person", "3"),
        ("mailbox", "issue", "--document", "1/CV", "--unit", "CNTT"),
        ("mailbox", "issue", "--document", "1/CV", "--group", "Công đoàn", "--sponsor", "KHTC"),
        ("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY),
    ):
        console.done(*words)
    for words in (
        ("minh", "Ngô Minh", "--role", "centre"),
        ("hoa", "Vũ Hoà", "--role", "unit", "--unit", "CNTT"),
        ("kiem", "Bùi Kiểm", "--role", "auditor"),
    ):
        console.done_by("mai", "officer", "add", *words, "--no-login", *WHY)
    return console
