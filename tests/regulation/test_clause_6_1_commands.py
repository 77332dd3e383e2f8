"""Reg. 6.1, 14.3 at the command line: only recorded officers, each within the own role, under another name."""

import json
import os
import pwd
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from clients.terminal import A_LOGIN
from mic_mail.cli import caller
from mic_mail.cli.authorization import gate_of
from mic_mail.cli.caller import Caller
from mic_mail.cli.context import CliContext
from mic_mail.cli.main import commands
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.directory.records import NotFound, UnitRecord
from mic_mail.directory.repository import Directory
from mic_mail.directory.scoped import PartialDirectory
from mic_mail.policy.authorization.roles import NotAuthorised, Officer, Right, Role, must_keep_centre, units_below
from mic_mail.policy.calendar import local_day
from regulation.test_commands import Console

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


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return furnish(tmp_path_factory.mktemp("desk"))


# ------------------------------------------------------------ every command


OPEN = {
    "init", "serve", "demo", "status", "config check", "config show", "config reference", "regulation list", "regulation show",
    "calendar prefill", "request form",
}  # fmt: skip


def test_clause_6_1_every_command_says_what_it_asks_for():
    """One that is added later and says nothing fails here (and is shut to all but the Centre); these ten ask for nothing."""
    gates = {words: gate_of(command) for words, command in commands()}
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


def test_clause_6_1_a_stranger_runs_nothing(desk):
    """Who is no officer is refused by each command that is not open, before it does or shows anything, and it is on record."""
    for words, _ in commands():
        if words not in OPEN:
            assert desk.by("stranger", *_words(words)) == 1, (words, desk.err)
            assert "not an officer of this server" in desk.err, words
            assert desk.out == "", words
    refused = [act for act in desk.acts if act["act"] == "command_refused" and act["actor"] == "stranger"]
    assert {act["subject"].removeprefix("mic-mail ") for act in refused} == {words for words, _ in commands()} - OPEN


@pytest.mark.parametrize("login", ["hoa", "kiem"])
def test_clause_6_1_only_the_centre_acts_by_command(desk, login):
    """A unit's administrator and an auditor are refused by each command that changes anything."""
    for words, command in commands():
        gate = gate_of(command)
        if gate is not None and gate.right is Right.ACT:
            assert desk.by(login, *_words(words)) == 1, (words, desk.err)
            assert "Reg. 6.1" in desk.err, words
    asked_twice = (
        ("mailbox", "seen", "cntt@mic.gov.vn", "each"),
        ("mailbox", "capability", "dvbe@mic.gov.vn", "--hide", "IDLE"),
    )
    for words in asked_twice:  # these show, too
        assert desk.by(login, *words, "--reason", "x") == 1, desk.err


# ------------------------------------------------------------ what each sees


def test_clause_14_3_a_unit_sees_its_own(tmp_path):
    """Lists hold the unit and those below it, and nothing says what else there is."""
    desk = furnish(tmp_path)
    assert [unit["symbol"] for unit in desk.seen_by("hoa", "unit", "list")] == ["CNTT", "CNTT-P1"]
    assert [person["full_name"] for person in desk.seen_by("hoa", "person", "list")] == ["Đỗ Văn Bê", "Trần Thị Lan"]
    own = {"dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "cntt@mic.gov.vn"}
    assert {mailbox["address"] for mailbox in desk.seen_by("hoa", "mailbox", "list")} == own
    assert {row["address"] for row in desk.seen_by("hoa", "mailbox", "seen")} == {"cntt@mic.gov.vn"}
    assert desk.seen_by("hoa", "mailbox", "show", "ttlan@mic.gov.vn")["facts"]
    assert desk.seen_by("hoa", "mailbox", "explain", "dvbe@mic.gov.vn")["as_known_now"]
    everybody = {mailbox["address"] for mailbox in desk.seen_by("mai", "mailbox", "list")}
    assert everybody == own | {"lhoa@mic.gov.vn", "congdoan@mic.gov.vn"}
    assert {mailbox["address"] for mailbox in desk.seen_by("kiem", "mailbox", "list")} == everybody


def test_clause_14_3_who_uses_a_units_mailbox(desk):
    """In the own unit's mailboxes its administrator sees members of other units, and that they hold; elsewhere nothing."""
    assert desk.by("mai", "mailbox", "issue", "--document", "1/CV", "--group", "Tổ dự án", "--sponsor", "CNTT-P1") == 0, (
        desk.err
    )
    for group in ("toduan@mic.gov.vn", "congdoan@mic.gov.vn"):
        for member in ("lhoa@mic.gov.vn", "dvbe@mic.gov.vn"):
            assert desk.by("mai", "mailbox", "grant", group, member, "--as", "member", *WHY) == 0, desk.err
    seen = desk.seen_by("hoa", "mailbox", "rights", "toduan@mic.gov.vn")
    assert {(row["holder"], row["name"], row["holds"]) for row in seen} == {
        ("lhoa@mic.gov.vn", "Lê Hoa", True), ("dvbe@mic.gov.vn", "Đỗ Văn Bê", True),
    }  # fmt: skip
    assert {row["mailbox"] for row in desk.seen_by("hoa", "mailbox", "rights", "dvbe@mic.gov.vn")} == {"toduan@mic.gov.vn"}
    assert len(desk.seen_by("kiem", "mailbox", "rights", "dvbe@mic.gov.vn")) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("mailbox", "show", "{}@mic.gov.vn"), ("mailbox", "explain", "{}@mic.gov.vn"), ("mailbox", "rights", "{}@mic.gov.vn"),
        ("mailbox", "seen", "{}@mic.gov.vn"), ("mailbox", "capability", "{}@mic.gov.vn"), ("alias", "list", "{}@mic.gov.vn"),
    ],
)  # fmt: skip
def test_clause_14_3_a_foreign_mailbox_is_not_there(desk, words):
    """The answer is letter for letter that of an address which nobody has."""
    answers = []
    for name in ("lhoa", "khong"):
        assert desk.by("hoa", *(word.format(name) for word in words)) == 2
        answers.append(desk.err.replace(name, "?"))
    assert answers[0] == answers[1]
    assert "No such mailbox in the unit or below it: ?@mic.gov.vn." in answers[0]


def test_clause_14_3_foreign_units_and_people_are_not_there(desk):
    """Nor by number or symbol."""
    for real, none in ((("person", "show", "3"), ("person", "show", "9")), (("unit", "show", "KHTC"), ("unit", "show", "XYZ"))):
        answers = []
        for words in (real, none):
            assert desk.by("hoa", *words) == 2
            answers.append(desk.err.replace(words[-1], "?"))
        assert answers[0] == answers[1]
    assert desk.by("hoa", "person", "list", "--unit", "KHTC") == 2


def test_clause_6_1_the_whole_is_for_centre_and_auditor(desk):
    """Officers, content requests and the comparison with the disk concern the whole ministry."""
    for words in (("officer", "list"), ("content", "list"), ("directory", "check")):
        assert desk.by("hoa", *words) == 1
        assert "only for the own unit" in desk.err
        assert desk.by("kiem", *words) == 0, desk.err


def test_clause_6_1_figures_are_not_for_everybody(desk):
    """The clauses are for all to read, how they stand today in the whole ministry for Centre and auditors."""
    for login, told in (("stranger", False), ("hoa", False), ("kiem", True), ("mai", True)):
        rows = {row["id"]: row for row in desk.seen_by(login, "regulation", "list")}
        assert bool(rows["6.1"]["evidence"]) == told, login
        assert any(row["evidence"] for row in rows.values()) == told, login
    assert desk.seen_by("kiem", "regulation", "show", "6.1")["evidence"][0]["count"] >= 2


def test_clause_6_1_a_command_that_asks_nobody_reads_nothing(desk):
    """One that would be open by mistake does not get at the directory either."""
    here = CliContext(desk.folder / "mic-mail.toml", caller=Caller(0, None, "stranger"))
    with pytest.raises(NotAuthorised):
        _ = here.directory
    assert CliContext(desk.folder / "mic-mail.toml", caller=Caller(0, None, "kiem")).directory.mailboxes()


def test_clause_14_3_no_question_to_the_directory_is_forgotten():
    """Each public method of a directory is narrowed, or changes something, or is a register of the whole ministry."""
    narrowed = {name for name in vars(PartialDirectory) if not name.startswith("_")}
    changes = {
        "migrate", "close", "add_domain", "add_unit", "add_person", "issue_mailbox", "add_alias",
        "remove_alias", "mend_instants_ahead",
        "append_fact", "append_facts", "set_quota", "hide_capabilities", "set_credential", "touch_activity",
    }  # fmt: skip
    about_the_whole = {
        "clock", "is_current", "version", "newest_fact", "domains", "is_taken",  # the address book is everybody's (Reg. 2.6)
    }  # fmt: skip
    by_others = {"living_unit", "successor"}  # made of what is narrowed
    public = {name for name in vars(Directory) if not name.startswith("_")}
    assert public == narrowed | changes | about_the_whole | by_others


def test_clause_14_3_no_register_is_forgotten(tree):
    """Each register of a directory is everybody's, or answers for the units alone, or refuses every question."""
    seen = PartialDirectory(tree, lambda parents: units_below(parents, 2))
    registers = {name for name in vars(tree) if not name.startswith("_")} - {"url"}
    shut = {name for name in registers if not isinstance(getattr(seen, name), type(getattr(tree, name)))}
    narrowed = {"requests", "incidents"}
    everybodys = {"years", "downtimes"}  # Reg. 12.4, 10.3
    assert registers == shut | narrowed | everybodys
    for name in shut:
        with pytest.raises(NotAuthorised, match="not for the administrator of a unit"):
            getattr(seen, name).anything  # noqa: B018 - the question itself is refused
    seen.close()


NOT_WALKED = {
    "dns check",  # asks the DNS; it reads no more than `dns records`
    "second-factor enrol",  # asks the person at the terminal; it concerns the own login
}


def test_clause_14_3_no_command_shows_another_unit(tmp_path, monkeypatch):
    """Whatever a unit's administrator may read, of a ministry with something of another unit in each register."""
    monkeypatch.chdir(tmp_path)  # where `census make` writes its files
    desk = furnish(tmp_path)
    for words in (
        ("migration", "plan", "KHTC", "--system", "HeThongRieng", "--mailboxes", "3", "--by", "01/01/2030", *WHY),
        ("incident", "open", "other", "SuCoRieng", "--unit", "KHTC", *WHY),
        ("incident", "open", "other", "SuCoChung", "--unit", "KHTC", "--unit", "CNTT", "--mailbox", "lhoa@mic.gov.vn", *WHY),
        ("request", "add", "problem", "--unit", "KHTC", "--asked-by", "NguoiRieng", "--note", "ChuyenRieng", *WHY),
        ("alias", "add", "lhoa@mic.gov.vn", "bidanhrieng", *WHY),
        ("mailbox", "grant", "congdoan@mic.gov.vn", "lhoa@mic.gov.vn", "--as", "member", *WHY),
        ("census", "make", "--unit", "KHTC", *WHY),
        ("census", "make", "--unit", "CNTT", *WHY),
    ):
        assert desk.by("mai", *words) == 0, (words, desk.err)
    walked = 0
    for words, command in commands():
        gate = gate_of(command)
        if gate is None or gate.whole or gate.right not in {Right.READ, Right.REQUEST} or words in NOT_WALKED:
            continue
        typed = [word.replace("/nowhere", str(tmp_path)) for word in _words(words)]
        desk.by("hoa", *typed)
        shown = desk.out + desk.err + "".join(path.read_text() for path in tmp_path.glob("x*.[ch]*"))
        assert "register is not for" not in shown, words
        for mark in ("lhoa", "congdoan", "Lê Hoa", "KHTC", "Kế hoạch", "Công đoàn", "Rieng"):
            assert mark not in shown, (words, shown)
        walked += 1
    assert walked > 40


@pytest.fixture
def tree(tmp_path):
    """A directory with a tree of units to bend."""
    directory = Directory(f"sqlite:///{tmp_path / 'directory.sqlite'}")
    directory.migrate()
    for symbol, parent in (("A", None), ("B", 1), ("C", 2), ("D", None)):
        directory.add_unit(UnitRecord(0, symbol, symbol, parent))
    yield directory
    directory.close()


def _bend(directory, statement):
    with directory._engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_clause_14_3_a_tree_that_bites_its_tail(tree):
    """Units in a circle belong to one another, and a question about them has an end."""
    _bend(tree, "UPDATE unit SET parent_id = 3 WHERE unit_id = 1")
    seen = PartialDirectory(tree, lambda parents: units_below(parents, 2))
    assert {unit.symbol for unit in seen.units()} == {"A", "B", "C"}
    with pytest.raises(NotFound):
        seen.unit("D")
    seen.close()


def test_clause_14_3_a_renamed_or_moved_unit(tree):
    """Who administers a unit administers it under any symbol, and what is below it today."""
    seen = PartialDirectory(tree, lambda parents: units_below(parents, 2))
    _bend(tree, "UPDATE unit SET symbol = 'E' WHERE unit_id = 2")
    assert [(unit.symbol, unit.parent_id) for unit in seen.units()] == [("C", 2), ("E", None)]
    _bend(tree, "UPDATE unit SET parent_id = 4 WHERE unit_id = 3")
    assert [unit.symbol for unit in seen.units()] == ["E"]
    seen.close()


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


# ------------------------------------------------------------ terms


def test_clause_6_1_terms_begin_and_end(desk):
    """Entered once, ended once, told for any day; an ended officer is nobody, and can name nobody."""
    assert (
        desk.by("mai", "officer", "add", "tam", "Hồ Tâm", "--role", "centre", "--until", "31/12/2199", "--no-login", *WHY) == 0
    ), desk.err
    assert desk.by("mai", "officer", "add", "tam", "Hồ Tâm", "--role", "auditor", "--no-login", *WHY) == 1
    assert "already an officer at that time" in desk.err
    assert desk.by("tam", "mailbox", "list") == 0
    assert desk.by("mai", "officer", "end", "tam", "--document", "4/QĐ") == 0, desk.err
    assert desk.by("tam", "mailbox", "list") == 1
    assert desk.by("tam", "--actor", "mai", "mailbox", "list") == 1
    assert desk.run("--actor", "tam", "mailbox", "list") == 1
    assert desk.by("mai", "officer", "end", "tam") == 2
    rows = {row["login"]: row for row in desk.seen_by("kiem", "officer", "list")}
    assert (rows["tam"]["serves"], rows["hoa"]["unit"], rows["hoa"]["role_name"]["en"]) == (False, "CNTT", "unit administrator")
    assert "tam" not in {row["login"] for row in desk.seen_by("mai", "officer", "list", "--at", "01/01/2100")}
    assert desk.seen_by("mai", "officer", "list", "--at", "01/01/2020") == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ("x", "X", "--role", "unit")),
        (2, ("x", "X", "--role", "centre", "--unit", "CNTT")),
        (2, ("x", "X", "--role", "unit", "--unit", "NOWHERE")),
        (2, ("x", "X", "--role", "auditor", "--from", "01/01/2020")),
        (2, ("x", "X", "--role", "auditor", "--until", "01/01/2020")),
        (2, ("x", "X", "--role", "auditor", "--person", "99")),
        (2, ("x", " ", "--role", "auditor")),
        (2, ("a b", "X", "--role", "auditor")),
        (2, ("x", "X", "--role", "boss")),
        (1, ("mai", "X", "--role", "auditor")),
    ],
)
def test_clause_6_1_officers_that_make_no_sense(desk, code, words):
    """Refused whole; past days too, since who acted as what is never changed afterwards."""
    before = desk.seen_by("mai", "officer", "list")
    assert desk.by("mai", "officer", "add", *words, "--no-login", *WHY) == code, desk.err
    assert desk.by("mai", "officer", "add", "x", "X", "--role", "auditor", "--document", " ") == 2
    assert desk.seen_by("mai", "officer", "list") == before


def test_clause_6_1_the_first_is_of_the_centre_and_the_last_stays(tmp_path):
    """Before the first a fresh server says so; afterwards nothing leaves the Centre without an officer, today or later."""
    desk = Desk(tmp_path)
    assert desk.run("init", "--yes", "--data-dir", str(tmp_path / "data"), "--user", "") == 0
    assert desk.run("directory", "check") == 0
    assert "anybody who runs commands counts as the Centre" in desk.out
    assert desk.run("officer", "list") == 0
    assert "No officer is recorded yet" in desk.err
    assert desk.run("officer", "add", "kiem", "Bùi Kiểm", "--role", "auditor", "--no-login", *WHY) == 1
    assert "first officer must be of the Information Centre" in desk.err
    assert desk.run("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--until", "31/12/2199", "--no-login", *WHY) == 1
    assert desk.run("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY) == 0, desk.err
    assert "only recorded officers" in desk.err
    assert desk.run("directory", "check") == 1
    assert desk.by("mai", "directory", "check") == 0
    assert "officer" not in desk.out
    for day in ((), ("--from", "01/01/2100")):
        assert desk.by("mai", "officer", "end", "mai", *day) == 1
        assert "At least one officer of the Information Centre" in desk.err
    assert (
        desk.by("mai", "officer", "add", "minh", "Ngô Minh", "--role", "centre", "--from", "01/01/2100", "--no-login", *WHY)
        == 0
    )
    assert desk.by("mai", "officer", "end", "mai", "--from", "02/01/2100") == 0, desk.err
    assert desk.by("mai", "officer", "end", "minh", "--from", "01/06/2100") == 1


def _bare(folder):
    desk = Desk(folder)
    assert desk.run("init", "--yes", "--data-dir", str(folder / "data"), "--user", "") == 0, desk.err
    return desk


def test_clause_6_1_the_first_officer_is_somebody_who_can_sign_in(tmp_path):
    """A login that the machine does not know, and root's, are refused; root goes on under the name of the one it entered."""
    desk = _bare(tmp_path)
    assert desk.run("officer", "add", "khong-co-ai", "Phạm Mai", "--role", "centre", *WHY) == 1
    assert "has no login khong-co-ai" in desk.err
    assert "getent passwd khong-co-ai" in desk.err
    assert desk.run("officer", "add", "root", "Phạm Mai", "--role", "centre", "--no-login", *WHY) == 1
    assert "not a personal login" in desk.err
    assert desk.json("officer", "list") == []
    assert desk.run("officer", "add", A_LOGIN, "Phạm Mai", "--role", "centre", *WHY) == 0, desk.err
    assert f"--actor {A_LOGIN} ..." in desk.err
    assert desk.run("mailbox", "list") == 1
    assert f"--actor (of the Centre: {A_LOGIN})" in desk.err
    assert desk.run("--actor", A_LOGIN, "mailbox", "list") == 0, desk.err


def test_clause_6_1_root_names_an_officer_who_has_no_login(tmp_path):
    """As in a container, where nobody has one: said in so many words, and root acts on."""
    desk = _bare(tmp_path)
    assert desk.run("officer", "add", "mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY) == 0, desk.err
    assert desk.run("--actor", "mai", "mailbox", "list") == 0, desk.err


def test_clause_6_1_a_person_does_not_shut_everybody_out(tmp_path):
    """Who comes by sudo can name nobody else: the first officer has a login, and the last one with a login stays."""
    desk = _bare(tmp_path)
    mai = ("mai", "Phạm Mai", "--role", "centre", "--no-login", *WHY)
    assert desk.by("binh", "officer", "add", *mai) == 1
    assert "No officer of the Information Centre would be left with a login on this machine." in desk.err
    assert desk.by("binh", "unit", "list") == 0, "nobody is shut out by what was refused"
    assert desk.by("binh", "officer", "add", A_LOGIN, "Vũ An", "--role", "centre", *WHY) == 0, desk.err
    assert "You (binh) are not an officer" in desk.err
    assert f"systemd-run --pipe --wait mic-mail --config {tmp_path}/mic-mail.toml --actor {A_LOGIN} ..." in desk.err
    assert desk.by("binh", "unit", "list") == 1
    assert desk.by(A_LOGIN, "officer", "add", *mai) == 0, desk.err
    for day in ((), ("--from", "01/01/2100")):
        assert desk.by(A_LOGIN, "officer", "end", A_LOGIN, *day) == 1
        assert "First add an officer with a login" in desk.err
    assert desk.run("--actor", A_LOGIN, "officer", "end", A_LOGIN) == 0, desk.err
    assert desk.run("--actor", "mai", "mailbox", "list") == 0, desk.err


def test_clause_6_1_two_ends_at_once(tmp_path):
    """Of two officers who end one another at the same time one stays, however often it is tried."""
    clock = ManualClock(SystemClock().now())
    directory = Directory(f"sqlite:///{tmp_path / 'directory.sqlite'}", clock=clock)
    directory.migrate()
    now = clock.now()

    def check(_before, after):
        must_keep_centre(after, now)

    serving: list[str] = []
    for round_ in range(8):
        logins = [f"a{round_}", f"b{round_}"]
        for login in logins:
            directory.officers.add(Officer(login, login, Role.CENTRE, None, now, None, "1/QĐ"))
        for login in serving:
            directory.officers.end(login, now, check)
        barrier = threading.Barrier(2)

        def end(login, barrier=barrier):
            mine = Directory(directory.url, clock=clock)
            barrier.wait()
            with suppress(NotAuthorised):
                mine.officers.end(login, now, check)
            mine.close()

        threads = [threading.Thread(target=end, args=(login,)) for login in logins]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        serving = [officer.login for officer in directory.officers.all() if officer.serves(now)]
        assert len(serving) == 1
    directory.close()


@pytest.mark.clause("12.3.a")
def test_a_units_report_says_the_same_whoever_makes_it(tmp_path):
    """A keeper who works elsewhere by now is no keeper any more, also for a unit's administrator, who does not see people of
    other units."""
    desk = furnish(tmp_path)
    assert desk.by("mai", "mailbox", "grant", "cntt@mic.gov.vn", "1", "--as", "keeper", "--document", "1/CV") == 0, desk.err
    report = ("report", "openings", "--unit", "CNTT")
    assert desk.seen_by("hoa", *report)[0]["keepers"] == ["dvbe@mic.gov.vn"]
    assert desk.by("mai", "person", "move", "1", "KHTC", "--document", "2/CV") == 0, desk.err
    assert desk.seen_by("hoa", *report) == desk.seen_by("mai", *report)
    assert desk.seen_by("hoa", *report)[0]["keepers"] == []


@pytest.mark.clause("14.6", "12.3")
def test_the_census_names_no_keeper_who_has_left(tmp_path):
    """The authority ends with the official day (6.4.c): neither the list that is signed nor the evidence says otherwise."""
    desk = furnish(tmp_path)
    assert desk.by("mai", "mailbox", "grant", "cntt@mic.gov.vn", "1", "--as", "keeper", "--document", "1/CV") == 0, desk.err
    made = ("census", "make", "--unit", "CNTT", "--out", str(tmp_path / "ky"))

    def keepers():
        assert desk.by("mai", *made) == 0, desk.err
        lines = desk.seen_by("mai", "census", "show", "CNTT")
        return next(line["keepers"] for line in lines if line["address"] == "cntt@mic.gov.vn")

    assert keepers() == "dvbe@mic.gov.vn"
    today = f"{local_day(SystemClock().now()):%d/%m/%Y}"
    leave = ("mailbox", "leave", "dvbe@mic.gov.vn", today, "--level", "division", "--cause", "retired", "--document", "2/CV")
    assert desk.by("mai", *leave) == 0, desk.err
    assert not keepers()
    figures = desk.seen_by("mai", "regulation", "show", "12.3")
    assert "unit mailboxes with a keeper: 1" not in json.dumps(figures)


# ------------------------------------------------------------ files that commands write


@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("hoa", ("directory", "export", "--out")),
        ("hoa", ("request", "form")),
        ("hoa", ("report", "usage", "--unit", "CNTT", "--out")),
        ("kiem", ("report", "openings", "--out")),
        ("kiem", ("log", "export", "--from", "01/01/2026", "--until", "02/01/2026", "--reason", "x")),
        ("mai", ("directory", "export", "--out")),
    ],
)
@pytest.mark.parametrize("target", ["directory/directory.sqlite", "x.pdf", "../mic-mail.toml", "mail/x.pdf"])
def test_clause_6_1_a_command_writes_nothing_among_the_servers_files(desk, login, words, target):
    """It runs with the powers of the server's account: whoever may read must not destroy by a file's name."""
    settings, place = (desk.folder / "mic-mail.toml").read_bytes(), desk.folder / "data" / target
    was_there = place.exists()
    assert desk.by(login, *words, str(place)) == 2
    assert place.exists() == was_there
    assert (desk.folder / "mic-mail.toml").read_bytes() == settings
    assert desk.by("mai", "unit", "show", "CNTT") == 0, "the directory is there still"


def test_clause_6_1_only_the_centre_replaces_a_file(desk, tmp_path):
    """A link to a file counts as the file."""
    there, link = tmp_path / "of-another.csv", tmp_path / "link.csv"
    there.write_text("x")
    link.symlink_to(desk.folder / "data" / "directory" / "directory.sqlite")
    for login in ("hoa", "kiem"):
        assert desk.by(login, "directory", "export", "--format", "csv", "--out", str(there)) == 2
    assert there.read_text() == "x"
    for login in ("hoa", "mai"):
        assert desk.by(login, "directory", "export", "--out", str(link)) == 2
    assert desk.by("hoa", "directory", "export", "--format", "csv", "--out", str(tmp_path / "new.csv")) == 0, desk.err
    assert desk.by("mai", "directory", "export", "--format", "csv", "--out", str(there)) == 0, desk.err
    assert there.read_text() != "x"


def test_clause_6_1_a_file_is_written_through_no_link(desk, tmp_path):
    """A link that waits under the name of the file that is being made: the server's own file behind it stays as it is."""
    settings = desk.folder / "mic-mail.toml"
    before = settings.read_bytes()
    for name in (f".new.csv.{os.getpid()}", ".new.csv"):
        (tmp_path / name).symlink_to(settings)
    assert desk.by("hoa", "directory", "export", "--format", "csv", "--out", str(tmp_path / "new.csv")) == 0, desk.err
    assert settings.read_bytes() == before
    assert (tmp_path / "new.csv").is_file()
    assert not (tmp_path / "new.csv").is_symlink()
    assert (tmp_path / "new.csv").stat().st_mode & 0o777 == 0o640


def test_clause_6_1_a_folder_that_becomes_another_one_is_written_to_as_it_was_looked_at(desk, tmp_path):
    """Whoever changes a link back and forth between a folder of theirs and the server's gets no file into the latter."""
    theirs, servers, place, fresh = tmp_path / "theirs", desk.folder / "data", tmp_path / "place", tmp_path / "fresh"
    theirs.mkdir()
    place.symlink_to(theirs)
    over = threading.Event()

    def change():
        for number in count():
            fresh.symlink_to((servers, theirs)[number % 2])
            fresh.replace(place)
            if over.is_set():
                return

    changing = threading.Thread(target=change)
    changing.start()
    try:
        codes = [desk.by("hoa", "request", "form", str(place / f"{number}.xlsx")) for number in range(60)]
    finally:
        over.set()
        changing.join()
    assert set(codes) <= {0, 2}
    assert not list(servers.glob("*.xlsx"))
    assert len(list(theirs.glob("*.xlsx"))) == codes.count(0)


def test_what_is_no_file_is_not_replaced_by_one(desk, tmp_path):
    """A folder, a pipe, and what is behind a link to one, as /dev/stdout is; root would be allowed to."""
    pipe, link = tmp_path / "pipe.csv", tmp_path / "link.csv"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for place in (pipe, link, tmp_path, Path("/"), Path(".")):
        assert desk.by("mai", "directory", "export", "--format", "csv", "--out", str(place)) == 2, place
    assert pipe.is_fifo()
    assert link.is_symlink()
