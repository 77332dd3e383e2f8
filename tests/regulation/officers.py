"""A small ministry with officers of the Centre, of a unit and an auditor, and the command line under their names."""

import json
from pathlib import Path

import pytest

from mic_mail.cli import caller
from mic_mail.clock import SystemClock
from mic_mail.directory.repository import Directory
from regulation.console import Console

WHY = ("--document", "3/QĐ-TTTT")


class Desk(Console):
    """A server's command line as different people sit at it: by `sudo` from their own login, or as automation."""

    def _main(self, words):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(caller, "LOGIN_ID", Path("/nonexistent"))
            patch.delenv("SUDO_USER", raising=False)
            return super()._main(words)

    def by(self, login, *words):
        """The exit code of a command that `login` types."""
        self.env["SUDO_USER"] = login
        try:
            return self.run(*words)
        finally:
            del self.env["SUDO_USER"]

    def seen_by(self, login, *words):
        """What `login` reads as JSON."""
        assert self.by(login, *words, "--json") == 0, self.err
        return json.loads(self.out)

    @property
    def acts(self):
        """The audit log."""
        return [json.loads(line) for path in (self.folder / "data" / "log").glob("audit-*") for line in path.open()]

    def directory(self, clock=None):
        return Directory(f"sqlite:///{self.folder / 'data' / 'directory' / 'directory.sqlite'}", clock=clock or SystemClock())


def furnish(folder):
    """Three units, one below the other and one beside, a person and a mailbox in each; two officers of the Centre, a unit's
    administrator of CNTT, and an auditor."""
    desk = Desk(folder)
    assert desk.run("init", "--yes", "--data-dir", str(folder / "data"), "--user", "") == 0, desk.err
    assert "No officer is recorded yet: anybody who runs commands on this machine counts as the Centre." in desk.err
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
        assert desk.run(*words) == 0, desk.err
    for words in (
        ("minh", "Ngô Minh", "--role", "centre"),
        ("hoa", "Vũ Hoà", "--role", "unit", "--unit", "CNTT"),
        ("kiem", "Bùi Kiểm", "--role", "auditor"),
    ):
        assert desk.by("mai", "officer", "add", *words, "--no-login", *WHY) == 0, desk.err
    return desk
