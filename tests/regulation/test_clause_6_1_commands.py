"""Reg. 6.1, 14.3 at the command line: only recorded officers, each within the own role, under another name."""

import json

import pytest

from mic_mail.cli.authorization import required_right
from mic_mail.cli.caller import Caller
from mic_mail.cli.context import CliContext
from mic_mail.cli.main import commands
from mic_mail.clock import SystemClock
from mic_mail.policy.authorization.roles import NotAuthorised, Right
from mic_mail.policy.calendar import local_day
from regulation.officers import officers_console


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    return officers_console(tmp_path_factory.mktemp("console"))


# ------------------------------------------------------------ every command


OPEN = {
    "init", "serve", "demo", "status", "config check", "config show", "config reference", "regulation list", "regulation show",
    "calendar prefill", "request form",
}  # fmt: skip


def test_clause_6_1_every_command_says_what_it_asks_for():
    """One that is added later and says nothing fails here (and is shut to all but the Centre); these ten ask for nothing."""
    gates = {words: required_right(command) for words, command in commands()}
    assert len(gates) > 50
    assert [words for words, gate in gates.items() if gate is None] == []
    assert {words for words, gate in gates.items() if gate is not None and gate.right is None} == OPEN


_NEEDED = {
    "unit add": ("X", "Y"), "unit show": ("CNTT",), "person add": ("Y", "--unit", "CNTT"), "person show": ("1",),
    "person move": ("1", "KHTC"), "person employment": ("1", "official"), "person change": ("1", "--position", "x"),
    "unit change": ("CNTT", "--name", "x"), "unit merge": ("CNTT", "--into", "KHTC"), "unit split": ("CNTT",),
    "unit close": ("CNTT",), "mailbox address": ("dvbe@mic.gov.vn", "bedv"), "position set": ("x", "division"),
    "domain add": ("x.test",), "domain move": ("x.test", "y.test"), "domain end": ("x.test",),
    "directory cancel": ("1", "--reason", "x"), "signatory add": ("x", "--position", "x", "--document", "1"),
    "signatory end": ("1", "--document", "1"),
    "alias add": ("dvbe", "x"), "alias remove": ("dvbe", "x"),
    "app-password list": ("dvbe@mic.gov.vn",), "app-password add": ("dvbe@mic.gov.vn", "x", "--document", "1"),
    "second-factor remove": ("dvbe@mic.gov.vn", "--document", "1"), "second-factor withdraw": ("x", "--document", "1"),
    "app-password revoke": ("dvbe@mic.gov.vn", "--all"),
    "password set": ("dvbe@mic.gov.vn",),
    "password reset": ("dvbe@mic.gov.vn", "--document", "1"), "backup": ("/nowhere",),
    "restore": ("dvbe@mic.gov.vn", "/nowhere"),
    "calendar confirm": ("2026", "--document", "1"),
    "calendar prefill": ("2026",), "calendar set": ("/nowhere",), "calendar count": ("01/01/2026", "1"),
    "officer add": ("x", "y", "--role", "centre", "--document", "1"), "officer end": ("mai",),
    "content ask": ("dvbe@mic.gov.vn", "--reason", "x", "--document", "1"), "content approve": ("1", "--document", "1"),
    "content refuse": ("1", "--reason", "x"), "content export": ("1", "/nowhere"), "content show": ("1",),
    "mailbox issue": ("--person", "1"), "mailbox quota": ("dvbe@mic.gov.vn", "2 GiB"),
    "mailbox suspend": ("dvbe@mic.gov.vn", "--cause", "c", "--reason", "x"),
    "mailbox restore": ("dvbe@mic.gov.vn", "--asked-by", "x"), "mailbox return": ("dvbe@mic.gov.vn", "01/01/2030"),
    "mailbox lock-sending": ("dvbe@mic.gov.vn", "--reason", "x"), "mailbox reclaim": ("dvbe@mic.gov.vn", "--reason", "x"),
    "mailbox grant": ("cntt@mic.gov.vn", "1", "--as", "keeper"), "mailbox revoke": ("cntt@mic.gov.vn", "1"),
    "handover begin": ("cntt@mic.gov.vn", "--to", "1", "--named-by", "x", "--document", "1"),
    "handover show": ("cntt@mic.gov.vn",), "handover finish": ("cntt@mic.gov.vn",), "handover cancel": ("cntt@mic.gov.vn",),
    "handover minutes": ("cntt@mic.gov.vn", "--out", "/nowhere/x.pdf"), "handover verify": ("cntt@mic.gov.vn",),
    "mailbox repair": (), "mailbox rescan": (),
    "log trace": ("x",), "log export": ("/nowhere", "--from", "01/01/2026", "--until", "02/01/2026", "--reason", "x"),
    "secrecy show": ("x",), "secrecy ask": ("x", "--reason", "x"), "secrecy release": ("x", "--reason", "x"),
    "secrecy discard": ("x", "--reason", "x"),
    "quarantine show": ("x",), "quarantine release": ("x", "--reason", "x"), "quarantine drop": ("x", "--reason", "x"),
    "queue show": ("x",), "queue hold": ("x", "--reason", "x"), "queue release": ("x",), "queue drop": ("x", "--reason", "x"),
    "mailbox hold": ("dvbe@mic.gov.vn", "--document", "1", "--reason", "x"),
    "mailbox release-hold": ("dvbe@mic.gov.vn", "--document", "1", "--reason", "x"),
    "mailbox due": (), "mailbox restore-reclaimed": ("dvbe@mic.gov.vn", "--reason", "x"),
    "mailbox free": ("dvbe@mic.gov.vn", "--document", "1", "--reason", "x", "--yes"),
    "maintenance announce": ("--from", "01/01/2030", "--until", "02/01/2030"),
    "maintenance cancel": ("1",), "maintenance report": ("1", "--document", "1"),
    "census show": ("CNTT",), "census confirm": ("CNTT", "--document", "1"), "report usage": ("--out", "/nowhere/x.pdf"),
    "report problems": ("--out", "/nowhere/x.pdf"),
    "directory export": ("--out", "/nowhere/x"),
    "notice preview": ("welcome",), "archive drop": ("dvbe@mic.gov.vn", "--yes"), "clock confirm": ("--reason", "x"),
    "import imap": ("dvbe@mic.gov.vn", "--host", "localhost", "--user", "x"), "import address": ("x@mic.gov.vn",),
    "import accounts": ("/nowhere", "--host", "localhost"), "import maildir": ("dvbe@mic.gov.vn", "/nowhere"),
    "import mbox": ("dvbe@mic.gov.vn", "/nowhere"), "import eml": ("dvbe@mic.gov.vn", "/nowhere"),
    "import pst": ("dvbe@mic.gov.vn", "/nowhere"), "migration done": ("1",), "migration paper": ("--out", "/nowhere/x.pdf"),
    "migration plan": ("CNTT", "--system", "x", "--mailboxes", "1", "--by", "01/01/2030"),
    "request add": ("problem", "--unit", "CNTT", "--asked-by", "x"), "request show": ("1",), "request import": ("/nowhere",),
    "request approve": ("1",), "request refuse": ("1", "--reason", "x"), "request withdraw": ("1",),
    "request done": ("1", "--result", "x"),
    "incident open": ("other", "x"), "incident show": ("1",), "incident note": ("1", "x"),
    "incident close": ("1", "--result", "x"), "incident export": ("1", "/nowhere", "--reason", "x"),
    "report correspondence": ("--mailbox", "cntt@mic.gov.vn"),
    "dkim key use": ("x",), "dkim key remove": ("x",),
    "mailbox export": ("cntt@mic.gov.vn", "/nowhere", "--document", "1", "--asked-by", "1"),
    "mailbox mark-passed-on": ("cntt@mic.gov.vn", "<1@x>", "--document", "1"),
}  # fmt: skip
"""What a command needs to get as far as its gate; others of `mailbox` need an address, the rest nothing."""


def _words(words):
    needed = _NEEDED.get(words, ("dvbe@mic.gov.vn",) if words.startswith("mailbox ") and words != "mailbox list" else ())
    return (*words.split(), *needed)


def test_clause_6_1_a_stranger_runs_nothing(console):
    """Who is no officer is refused by each command that is not open, before it does or shows anything, and it is on record."""
    for words, _ in commands():
        if words not in OPEN:
            console.refused_by("stranger", *_words(words), says="not an officer of this server")
            assert console.out == "", words
    refused = [act for act in console.acts if act["act"] == "command_refused" and act["actor"] == "stranger"]
    assert {act["subject"].removeprefix("mic-mail ") for act in refused} == {words for words, _ in commands()} - OPEN


@pytest.mark.parametrize("login", ["hoa", "kiem"])
def test_clause_6_1_only_the_centre_acts_by_command(console, login):
    """A unit's administrator and an auditor are refused by each command that changes anything."""
    for words, command in commands():
        gate = required_right(command)
        if gate is not None and gate.right is Right.ACT:
            console.refused_by(login, *_words(words), says="Reg. 6.1")
    asked_twice = (
        ("mailbox", "seen", "cntt@mic.gov.vn", "each"),
        ("mailbox", "capability", "dvbe@mic.gov.vn", "--hide", "IDLE"),
    )
    for words in asked_twice:  # these show, too
        console.refused_by(login, *words, "--reason", "x")


def test_clause_6_1_the_whole_is_for_centre_and_auditor(console):
    """Officers, content requests and the comparison with the disk concern the whole ministry."""
    for words in (("officer", "list"), ("content", "list"), ("directory", "check")):
        console.refused_by("hoa", *words, says="only for the own unit")
        console.done_by("kiem", *words)


def test_clause_6_1_figures_are_not_for_everybody(console):
    """The clauses are for all to read, how they stand today in the whole ministry for Centre and auditors."""
    for login, told in (("stranger", False), ("hoa", False), ("kiem", True), ("mai", True)):
        rows = {row["id"]: row for row in console.json_by(login, "regulation", "list")}
        assert bool(rows["6.1"]["evidence"]) == told, login
        assert any(row["evidence"] for row in rows.values()) == told, login
    assert console.json_by("kiem", "regulation", "show", "6.1")["evidence"][0]["count"] >= 2


def test_clause_6_1_a_command_that_asks_nobody_reads_nothing(console):
    """One that would be open by mistake does not get at the directory either."""
    here = CliContext(console.folder / "mic-mail.toml", caller=Caller(0, None, "stranger"))
    with pytest.raises(NotAuthorised):
        _ = here.directory
    assert CliContext(console.folder / "mic-mail.toml", caller=Caller(0, None, "kiem")).directory.mailboxes()


@pytest.mark.clause("12.3.a")
def test_a_units_report_says_the_same_whoever_makes_it(tmp_path):
    """A keeper who works elsewhere by now is no keeper any more, also for a unit's administrator, who does not see people of
    other units."""
    console = officers_console(tmp_path)
    console.done_by("mai", "mailbox", "grant", "cntt@mic.gov.vn", "1", "--as", "keeper", "--document", "1/CV")
    report = ("report", "openings", "--unit", "CNTT")
    assert console.json_by("hoa", *report)[0]["keepers"] == ["dvbe@mic.gov.vn"]
    console.done_by("mai", "person", "move", "1", "KHTC", "--document", "2/CV")
    assert console.json_by("hoa", *report) == console.json_by("mai", *report)
    assert console.json_by("hoa", *report)[0]["keepers"] == []


@pytest.mark.clause("14.6", "12.3")
def test_the_census_names_no_keeper_who_has_left(tmp_path):
    """The authority ends with the official day (6.4.c): neither the list that is signed nor the evidence says otherwise."""
    console = officers_console(tmp_path)
    console.done_by("mai", "mailbox", "grant", "cntt@mic.gov.vn", "1", "--as", "keeper", "--document", "1/CV")
    made = ("census", "make", "--unit", "CNTT", "--out", str(tmp_path / "ky"))

    def keepers():
        console.done_by("mai", *made)
        lines = console.json_by("mai", "census", "show", "CNTT")
        return next(line["keepers"] for line in lines if line["address"] == "cntt@mic.gov.vn")

    assert keepers() == "dvbe@mic.gov.vn"
    today = f"{local_day(SystemClock().now()):%d/%m/%Y}"
    leave = ("mailbox", "leave", "dvbe@mic.gov.vn", today, "--level", "division", "--cause", "retired", "--document", "2/CV")
    console.done_by("mai", *leave)
    assert not keepers()
    figures = console.json_by("mai", "regulation", "show", "12.3")
    assert "unit mailboxes with a keeper: 1" not in json.dumps(figures)
