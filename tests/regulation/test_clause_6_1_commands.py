"""Reg. 6.1, 14.3 at the command line: only recorded officers, each within the own role, under another name."""

import json

import pytest

from mic_mail.cli.authorization import required_right
from mic_mail.cli.caller import Caller
from mic_mail.cli.context import CliContext
from mic_mail.cli.nouns import commands
from mic_mail.clock import SystemClock
from mic_mail.policy.authorization.roles import NotAuthorised, Right
from mic_mail.policy.calendar import local_day
from regulation.command_words import command_words
from regulation.officers import officers_console


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    return officers_console(tmp_path_factory.mktemp("console"))


# ------------------------------------------------------------ every command


OPEN = {
    "init", "serve", "demo", "status", "config check", "config show", "config reference", "regulation list", "regulation show",
    "calendar prefill", "request form", "directory load",
}  # fmt: skip


def test_clause_6_1_every_command_says_what_it_asks_for():
    """One that is added later and says nothing fails here (and is shut to all but the Centre); these few ask for nothing."""
    gates = {words: required_right(command) for words, command in commands()}
    assert len(gates) > 50
    assert [words for words, gate in gates.items() if gate is None] == []
    assert {words for words, gate in gates.items() if gate is not None and gate.right is None} == OPEN


def test_clause_6_1_a_stranger_runs_nothing(console):
    """Who is no officer is refused by each command that is not open, before it does or shows anything, and it is on record."""
    for words, _ in commands():
        if words not in OPEN:
            console.refused_by("stranger", *command_words(words), says="not an officer of this server")
            assert console.out == "", words
    refused = [act for act in console.acts if act["act"] == "command_refused" and act["actor"] == "stranger"]
    assert {act["subject"].removeprefix("mic-mail ") for act in refused} == {words for words, _ in commands()} - OPEN


@pytest.mark.parametrize("login", ["hoa", "kiem"])
def test_clause_6_1_only_the_centre_acts_by_command(console, login):
    """A unit's administrator and an auditor are refused by each command that changes anything."""
    for words, command in commands():
        gate = required_right(command)
        if gate is not None and gate.right is Right.ACT:
            console.refused_by(login, *command_words(words), says="Reg. 6.1")
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
