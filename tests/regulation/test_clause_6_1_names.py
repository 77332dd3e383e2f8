"""Reg. 6.1: every act at the command line is under the name of an officer who is known."""

import os
import pwd
from pathlib import Path

import pytest

from mic_mail.cli import caller
from mic_mail.cli.caller import Caller
from mic_mail.cli.context import CliContext
from regulation.officers import WHY, officers_console


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    return officers_console(tmp_path_factory.mktemp("console"))


# ------------------------------------------------------------ names


def test_clause_6_1_every_act_is_under_a_named_actor(console):
    """Automation names an officer, by option or variable, and stands beside the name; an officer names nobody else."""
    console.refused("unit", "add", "--document", "1/CV", "TTRA", "Thanh tra")
    console.done("unit", "add", "--document", "1/CV", "TTRA", "Thanh tra", "--actor", "mai")
    console.done("--actor", "mai", "unit", "add", "--document", "1/CV", "VP", "Văn phòng")
    added = [(act["subject"], act["actor"], act.get("login")) for act in console.acts if act["act"] == "unit_add"]
    mine = pwd.getpwuid(os.getuid()).pw_name
    assert added[-2:] == [("TTRA", "mai", mine), ("VP", "mai", mine)]
    for login in ("hoa", "stranger"):
        for words in (("--actor", "mai", "mailbox", "list"), ("unit", "add", "--document", "1/CV", "X", "Y", "--actor", "mai")):
            console.refused_by(login, *words, says="under another name")
    console.env["MIC_MAIL_ACTOR"] = "mai"
    console.refused_by("hoa", "mailbox", "list")
    console.done("mailbox", "list")
    console.done("mailbox", "list", "--json")
    console.env["MIC_MAIL_ACTOR"] = " "
    console.refused("mailbox", "list", code=2)
    del console.env["MIC_MAIL_ACTOR"]


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
def test_clause_6_1_sudo_with_a_configuration_of_ones_own(console, tmp_path):
    """It could say that the directory is another one, or the record elsewhere; root's own is believed, and root itself."""
    acts = len(console.acts)
    for name, prepare in (("theirs", lambda path: os.chown(path, 1, 1)), ("open", lambda path: path.chmod(0o666))):
        path = tmp_path / f"{name}.toml"
        path.write_bytes((console.folder / "mic-mail.toml").read_bytes())
        console.done_by("mai", "--config", path, "mailbox", "list")
        prepare(path)
        console.refused_by("mai", "--config", path, "mailbox", "list", says="does not belong to the server")
        for words in (("serve",), ("config", "show"), ("regulation", "list")):
            console.refused_by("mai", "--config", path, *words)
        assert len(console.acts) == acts  # nothing is written to where such a file points
        console.done("--config", path, "--actor", "mai", "mailbox", "list")


def test_clause_6_1_variables_name_nobody(monkeypatch, tmp_path):
    """LOGNAME and USER are anybody's to set."""
    monkeypatch.setattr(caller, "LOGIN_ID", Path("/nonexistent"))
    monkeypatch.delenv("SUDO_USER", raising=False)
    before = CliContext(tmp_path / "none.toml").login
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "mai")
    assert CliContext(tmp_path / "none.toml").login == before != "mai"


def test_clause_6_1_logins_beyond_ascii(console):
    """A login with diacritics is entered in any form and acts in any form."""
    composed, split = "đỗ.ấn", "đô\u0303.â\u0301n"
    console.done_by("mai", "officer", "add", split, "Đỗ Ấn", "--role", "auditor", "--no-login", *WHY)
    console.done("--actor", composed, "officer", "list")
    console.done("--actor", split, "officer", "list")
    console.refused_by(split, "unit", "add", "--document", "1/CV", "X", "Y")
    console.refused_by("mai", "officer", "add", "ma\u200bi", "Giả", "--role", "centre", "--no-login", *WHY, code=2)
    console.done_by("mai", "officer", "end", split)
    console.refused_by("mai", "officer", "end", composed, code=2)
