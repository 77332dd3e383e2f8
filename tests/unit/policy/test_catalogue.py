"""The clause catalogue says what is there."""

from unicodedata import is_normalized

import pytest

from mic_mail.config.load import settings
from mic_mail.policy.catalogue import ROWS, Standing
from mic_mail.policy.clauses import CLAUSES, UnknownClause, clause
from mic_mail.policy.facts import FactKind, Level, MailboxKind
from mic_mail.policy.states import State
from mic_mail.policy.wording import FACTS, KINDS, LEVELS, STATES


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
    assert not any(row.settings for row in ROWS if row.standing is Standing.PEOPLE)


def test_everything_has_a_name():
    """Every state, fact, kind and rank can be told to people."""
    assert set(STATES) == set(State)
    assert set(FACTS) == set(FactKind)
    assert set(KINDS) == set(MailboxKind)
    assert set(LEVELS) == set(Level)
