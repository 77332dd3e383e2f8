"""Reg. 6.1: every act at the command line is under the name of an officer who is known."""

import os
import pwd
from pathlib import Path

import pytest

from mic_mail.cli import caller
from mic_mail.cli.caller import Caller
from mic_mail.cli.context import CliContext
from regulation.officers import WHY, furnish


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("desk"))


# ------------------------------------------------------------ names


def test_clause_6_1_every_act_is_under_a_named_actor(desk):
    """Automation names an officer, by option or variable, and stands beside the name; an officer names nobody else."""
    assert desk.run("unit", "add", "--document", "1/CV", "TTRA", "Thanh tra") == 1
    assert desk.run("unit", "add", "--document", "1/CV", "TTRA", "Thanh tra", "--actor", "mai") == 0, desk.err
    assert desk.run("--actor", "mai", "unit", "add", "--document", "1/CV", "VP", "Văn phòng") == 0, desk.err
    added = [(act["subject"], act["actor"], act.get("login")) for act in desk.acts if act["act"] == "unit_add"]
    mine = pwd.getpwuid(os.getuid()).pw_name
    assert added[-2:] == [("TTRA", "mai", mine), ("VP", "mai", mine)]
    for login in ("hoa", "stranger"):
        for words in (("--actor", "mai", "mailbox", "list"), ("unit", "add", "--document", "1/CV", "X", "Y", "--actor", "mai")):
            assert desk.by(login, *words) == 1
            assert "under another name" in desk.err
    desk.env["MIC_MAIL_ACTOR"] = "mai"
    assert desk.by("hoa", "mailbox", "list") == 1
    assert desk.run("mailbox", "list") == 0, desk.err
    assert desk.run("mailbox", "list", "--json") == 0
    desk.env["MIC_MAIL_ACTOR"] = " "
    assert desk.run("mailbox", "list") == 2
    del desk.env["MIC_MAIL_ACTOR"]


def test_clause_6_1_the_kernel_knows_who_sits_there():
    """A variable is believed where sudo set it, for root and the server's own account; the session's login comes first."""
    daemon, server = pwd.getpwnam("daemon").pw_uid, 4242
    assert Caller(0, None, "mai").login(server) == "mai"
    assert Caller(server, None, "mai").login(server) == "mai"
    assert Caller(daemon, None, "mai").login(server) == "daemon"
    assert Caller(0, daemon, "mai").login(server) == "daemon"
    assert Caller(0, None, None).login(server) == "root"
    assert Caller(server, None, None).login(server) == "uid-4242"
    assert Caller(0, 4_000_000_000, "mai").login(server) == "mai"  # a number that no account of this machine has


def test_clause_6_1_automation_is_nobody_at_the_machine():
    """Root by itself, the server's account by itself; never who came by sudo, whatever account a configuration names."""
    daemon = pwd.getpwnam("daemon").pw_uid
    assert Caller(0, None, None).is_automatic(4242)
    assert Caller(4242, None, None).is_automatic(4242)
    assert Caller(0, 0, "root").is_automatic(4242)
    assert not Caller(0, None, "mai").is_automatic(4242)
    assert not Caller(0, None, "daemon").is_automatic(daemon)
    assert not Caller(0, daemon, None).is_automatic(daemon)
    assert not Caller(daemon, None, None).is_automatic(4242)
    assert [caller.is_borrowed for caller in (Caller(0, 0, "root"), Caller(daemon, None, ""), Caller(daemon, None, None))] == [
        False, False, False,
    ]  # fmt: skip
    assert all(caller.is_borrowed for caller in (Caller(0, None, "mai"), Caller(daemon, 0, None), Caller(0, daemon, "root")))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be asked by sudo")
def test_clause_6_1_sudo_with_a_configuration_of_ones_own(desk, tmp_path):
    """It could say that the directory is another one, or the record elsewhere; root's own is believed, and root itself."""
    acts = len(desk.acts)
    for name, prepare in (("theirs", lambda path: os.chown(path, 1, 1)), ("open", lambda path: path.chmod(0o666))):
        path = tmp_path / f"{name}.toml"
        path.write_bytes((desk.folder / "mic-mail.toml").read_bytes())
        assert desk.by("mai", "--config", str(path), "mailbox", "list") == 0, desk.err
        prepare(path)
        assert desk.by("mai", "--config", str(path), "mailbox", "list") == 1
        assert "does not belong to the server" in desk.err
        for words in (("serve",), ("config", "show"), ("regulation", "list")):
            assert desk.by("mai", "--config", str(path), *words) == 1
        assert len(desk.acts) == acts  # nothing is written to where such a file points
        assert desk.run("--config", str(path), "--actor", "mai", "mailbox", "list") == 0, desk.err


def test_clause_6_1_variables_name_nobody(monkeypatch, tmp_path):
    """LOGNAME and USER are anybody's to set."""
    monkeypatch.setattr(caller, "LOGIN_ID", Path("/nonexistent"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    before = CliContext(tmp_path / "none.toml").login
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mai")
    assert CliContext(tmp_path / "none.toml").login == before != "mai"


def test_clause_6_1_logins_beyond_ascii(desk):
    """A login with diacritics is entered in any form and acts in any form."""
    composed, split = "đỗ.ấn", "đô\u0303.â\u0301n"
    assert desk.by("mai", "officer", "add", split, "Đỗ Ấn", "--role", "auditor", "--no-login", *WHY) == 0, desk.err
    assert desk.run("--actor", composed, "officer", "list") == 0, desk.err
    assert desk.run("--actor", split, "officer", "list") == 0, desk.err
    assert desk.by(split, "unit", "add", "--document", "1/CV", "X", "Y") == 1
    assert desk.by("mai", "officer", "add", "ma\u200bi", "Giả", "--role", "centre", "--no-login", *WHY) == 2
    assert desk.by("mai", "officer", "end", split) == 0, desk.err
    assert desk.by("mai", "officer", "end", composed) == 2
