"""Reg. 14.3: a unit sees its own mailboxes, people and units at the command line, and nobody else's."""

import gc
from functools import cached_property

import pytest

from mic_mail.cli.authorization import required_right
from mic_mail.cli.nouns import commands
from mic_mail.directory.records import NotFound, UnitRecord
from mic_mail.directory.registers import Registers
from mic_mail.directory.repository import Directory
from mic_mail.directory.scoped import PartialDirectory
from mic_mail.policy.authorization.roles import NotAuthorised, Right, units_below
from regulation.command_words import command_words
from regulation.officers import WHY, officers_console


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    return officers_console(tmp_path_factory.mktemp("console"))


# ------------------------------------------------------------ what each sees


def test_clause_14_3_a_unit_sees_its_own(tmp_path):
    """Lists hold the unit and those below it, and nothing says what else there is."""
    console = officers_console(tmp_path)
    assert [unit["symbol"] for unit in console.json_by("hoa", "unit", "list")] == ["CNTT", "CNTT-P1"]
    assert [person["full_name"] for person in console.json_by("hoa", "person", "list")] == ["Đỗ Văn Bê", "Trần Thị Lan"]
    own = {"dvbe@mic.gov.vn", "ttlan@mic.gov.vn", "cntt@mic.gov.vn"}
    assert {mailbox["address"] for mailbox in console.json_by("hoa", "mailbox", "list")} == own
    assert {row["address"] for row in console.json_by("hoa", "mailbox", "seen")} == {"cntt@mic.gov.vn"}
    assert console.json_by("hoa", "mailbox", "show", "ttlan@mic.gov.vn")["facts"]
    assert console.json_by("hoa", "mailbox", "explain", "dvbe@mic.gov.vn")["as_known_now"]
    everybody = {mailbox["address"] for mailbox in console.json_by("mai", "mailbox", "list")}
    assert everybody == own | {"lhoa@mic.gov.vn", "congdoan@mic.gov.vn"}
    assert {mailbox["address"] for mailbox in console.json_by("kiem", "mailbox", "list")} == everybody


def test_a_command_of_a_unit_leaves_the_directory_in_one_file(tmp_path):
    """So that a copy of the file is whole: each connection is closed, without waiting for the collector."""
    console = officers_console(tmp_path)
    gc.disable()
    try:
        console.json_by("hoa", "mailbox", "list")
    finally:
        gc.enable()
    assert [path.name for path in (tmp_path / "data" / "directory").glob("directory.sqlite*")] == ["directory.sqlite"]


def test_clause_14_3_who_uses_a_units_mailbox(console):
    """In the own unit's mailboxes its administrator sees members of other units, and that they hold; elsewhere nothing."""
    console.done_by("mai", "mailbox", "issue", "--document", "1/CV", "--group", "Tổ dự án", "--sponsor", "CNTT-P1")
    for group in ("toduan@mic.gov.vn", "congdoan@mic.gov.vn"):
        for member in ("lhoa@mic.gov.vn", "dvbe@mic.gov.vn"):
            console.done_by("mai", "mailbox", "grant", group, member, "--as", "member", *WHY)
    seen = console.json_by("hoa", "mailbox", "rights", "toduan@mic.gov.vn")
    assert {(row["holder"], row["name"], row["holds"]) for row in seen} == {
        ("lhoa@mic.gov.vn", "Lê Hoa", True), ("dvbe@mic.gov.vn", "Đỗ Văn Bê", True),
    }  # fmt: skip
    assert {row["mailbox"] for row in console.json_by("hoa", "mailbox", "rights", "dvbe@mic.gov.vn")} == {"toduan@mic.gov.vn"}
    assert len(console.json_by("kiem", "mailbox", "rights", "dvbe@mic.gov.vn")) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("mailbox", "show", "{}@mic.gov.vn"), ("mailbox", "explain", "{}@mic.gov.vn"), ("mailbox", "rights", "{}@mic.gov.vn"),
        ("mailbox", "seen", "{}@mic.gov.vn"), ("mailbox", "capability", "{}@mic.gov.vn"), ("alias", "list", "{}@mic.gov.vn"),
    ],
)  # fmt: skip
def test_clause_14_3_a_foreign_mailbox_is_not_there(console, words):
    """The answer is letter for letter that of an address which nobody has."""
    answers = []
    for name in ("lhoa", "khong"):
        console.refused_by("hoa", *(word.format(name) for word in words), code=2)
        answers.append(console.err.replace(name, "?"))
    assert answers[0] == answers[1]
    assert "No such mailbox in the unit or below it: ?@mic.gov.vn." in answers[0]


def test_clause_14_3_foreign_units_and_people_are_not_there(console):
    """Nor by number or symbol."""
    for real, none in ((("person", "show", "3"), ("person", "show", "9")), (("unit", "show", "KHTC"), ("unit", "show", "XYZ"))):
        answers = []
        for words in (real, none):
            console.refused_by("hoa", *words, code=2)
            answers.append(console.err.replace(words[-1], "?"))
        assert answers[0] == answers[1]
    console.refused_by("hoa", "person", "list", "--unit", "KHTC", code=2)


LAZY_REGISTERS = {name for name, value in vars(Registers).items() if isinstance(value, cached_property)}


def test_clause_14_3_no_question_to_the_directory_is_forgotten():
    """Each public method of a directory is narrowed, or changes something, or is a register of the whole ministry."""
    narrowed = {name for name in vars(PartialDirectory) if not name.startswith("_")}
    changes = {
        "migrate", "close", "add_domain", "add_unit", "add_person", "issue_mailbox", "add_alias",
        "remove_alias", "mend_instants_ahead",
        "append_fact", "append_facts", "append_to", "set_quota", "hide_capabilities", "set_credential", "touch_activity",
    }  # fmt: skip
    about_the_whole = {
        "clock", "must_be_current", "version", "newest_fact", "copy_into",
        "domains", "is_taken",  # the address book is everybody's (Reg. 2.6)
    }  # fmt: skip
    by_others = {"living_unit", "successor", "units_by_id"}  # made of what is narrowed
    public = {name for name in vars(Directory) if not name.startswith("_")} - LAZY_REGISTERS
    assert public == narrowed | changes | about_the_whole | by_others


def test_clause_14_3_no_register_is_forgotten(tree):
    """Each register of a directory is everybody's, or answers for the units alone, or refuses every question."""
    seen = PartialDirectory(tree, lambda parents: units_below(parents, 2))
    registers = ({name for name in vars(tree) if not name.startswith("_")} | LAZY_REGISTERS) - {"url"}
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
    console = officers_console(tmp_path)
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
        console.done_by("mai", *words)
    walked = 0
    for words, command in commands():
        gate = required_right(command)
        if gate is None or gate.whole or gate.right not in {Right.READ, Right.REQUEST} or words in NOT_WALKED:
            continue
        typed = [word.replace("/nowhere", str(tmp_path)) for word in command_words(words)]
        console.by("hoa", *typed)
        shown = console.out + console.err + "".join(path.read_text() for path in tmp_path.glob("x*.[ch]*"))
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
