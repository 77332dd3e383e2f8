"""The clause catalogue says what is there."""

import re
from collections.abc import Iterator
from pathlib import Path
from unicodedata import is_normalized

import pytest

import clauses
import mic_mail
from mic_mail.cli.commands.regulation import clause_commands, clause_tests
from mic_mail.config.load import settings
from mic_mail.policy.clauses import CLAUSES, ROWS, ClauseStanding, UnknownClause, clause
from mic_mail.policy.facts import FactKind, Level, MailboxKind
from mic_mail.policy.states import MailboxState


def test_ids_are_unique():
    """No clause has two rows."""
    assert len(CLAUSES) == len(ROWS)


def test_settings_exist():
    """Every setting that a row names can be set."""
    known = {setting.key for setting in settings()}
    assert {name for row in ROWS for name in row.settings} <= known


def test_texts_are_composed_unicode():
    """Reg. 13.1: what we write is NFC."""
    assert all(is_normalized("NFC", row.text.vi + row.does.vi) for row in ROWS)


def test_unknown_clause():
    """A clause that does not exist is an error of the asker; case and blanks do not matter."""
    assert clause(" 6.4.C ").id == "6.4.c"
    with pytest.raises(UnknownClause):
        clause("99")


def test_people_rows_name_no_settings():
    """What binds people alone cannot be set."""
    assert not any(row.settings for row in ROWS if row.standing is ClauseStanding.PEOPLE)


def test_everything_has_a_name():
    """Every state, fact, kind and rank can be told to people."""
    for codes in (MailboxState, FactKind, MailboxKind, Level):
        assert all(code.label.vi and code.label.en for code in codes)


CITED = re.compile(r"Reg\. (\d+(?:\.\d+(?:\.[a-z]\b)?)?)((?:, \d+(?:\.\d+(?:\.[a-z]\b)?)?)*)")


def cited() -> Iterator[tuple[str, str]]:
    """Every clause that the program's code cites, with the module."""
    package = Path(mic_mail.__file__).parent
    for path in sorted(package.rglob("*.py")):
        for first, more in CITED.findall(path.read_text("utf-8")):
            for clause_id in (first, *(each for each in more.split(", ") if each)):
                yield clause_id, path.relative_to(package).as_posix()


def test_what_the_code_cites_exists():
    """A clause, or an article or clause that has points; nobody obeys what the regulation does not say."""
    known = set(CLAUSES) | {part for row in CLAUSES for part in (row.split(".")[0], row.rpartition(".")[0])}
    found = list(cited())
    assert len(found) > 200
    assert {(clause_id, path) for clause_id, path in found if clause_id not in known} == set()


OF_THE_WHOLE = {"3.1"}
"""Obeyed by what the program does not need: an outside service."""


def test_each_clause_that_is_obeyed_is_cited():
    """The code that obeys a clause says so, and is found by its id."""
    found = {clause_id for clause_id, _ in cited()}
    assert {row.id for row in ROWS if row.standing in clauses.OBEYED} - found == OF_THE_WHOLE


def test_commands_name_clauses_that_exist():
    """Every clause that a command declares is one of the regulation; two clauses as examples."""
    found = clause_commands()
    assert set(found) <= set(CLAUSES)
    assert found["6.5"][:3] == ["unit change", "unit merge", "unit split"]
    assert found["3.1"] == ["status", "config check"]


def test_proofs_are_those_that_there_are():
    """What the program tells of its tests is what the tests say of themselves: `python tests/clauses.py` writes it."""
    assert clauses.proofs() == clause_tests()


def test_each_test_that_runs_is_a_proof_that_is_written(request):
    """What `tests/clauses.py` reads in the source of a test is what pytest makes of it, marks of a whole module with it."""
    root, written = clauses.TESTS.parent, clause_tests()
    proven = {
        (each, item.path.relative_to(root).as_posix()) for item in request.session.items for each in clauses.of_item(item)
    }
    assert {(each, path) for each, path in proven if path not in written.get(each, ())} == set()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("test_clause_6_4_c", {"6.4.c"}),
        ("test_clause_6_4_c_late_notice", {"6.4.c"}),
        ("test_clause_4_1_marked", {"4.1"}),
        ("test_clause_17", {"17"}),
        ("test_clause_18_problems", {"18"}),
        ("test_clause_99", set()),
        ("test_claim_6_1", set()),
    ],
)
def test_what_a_test_proves_by_its_name(name, found):
    """Points, clauses, articles; words that follow do not count."""
    assert clauses.clauses_of(name) == found
