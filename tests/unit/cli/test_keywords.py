"""Choices among codes take the keywords of the form: Vietnamese, with and without marks, in any case, and the codes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any
from unicodedata import normalize

import pytest

from mic_mail.cli.nouns import commands
from mic_mail.i18n.keywords import keyword, normalized
from mic_mail.i18n.labels import LabelledEnum
from mic_mail.i18n.spoken import unaccented
from mic_mail.policy.keywords import spellings

SAME_EVERYWHERE = {"Algorithm", "SuspensionCause", "Format", "Language"}
"""Choices whose codes are names of standards, letters of the regulation's points, or both languages' own."""


def _choices() -> Iterator[tuple[str, Any, list[Enum]]]:
    """Each choice of each command: where, the parameter, its codes."""
    for words, command in commands():
        for parameter in command.params:
            if codes := [each for each in parameter.type_descriptor.choices or () if isinstance(each, Enum)]:
                yield f"{words} {parameter.opts[0]}", parameter, codes


def _spellings(code: Enum) -> set[str]:
    known = set(spellings(code))
    return {
        changed
        for each in known
        for changed in (each, each.upper(), unaccented(each), keyword(each), normalize("NFD", each), f" {each} ")
    }


def test_every_choice_takes_the_keywords_of_the_form() -> None:
    """However it is written; and no keyword means two codes of one choice."""
    found = list(_choices())
    assert len(found) > 20
    for where, parameter, codes in found:
        for code in codes:
            for spelling in _spellings(code):
                typed: Any = [spelling] if parameter.multiple else spelling
                assert parameter.process_value(None, typed) in (code, [code]), (where, spelling)
        meant = [normalized(each) for code in codes for each in {normalized(one) for one in _spellings(code)}]
        assert len(meant) == len(set(meant)), where


def test_every_code_of_a_choice_has_a_name() -> None:
    """One that is added later and has none fails here."""
    for where, _, codes in _choices():
        if type(codes[0]).__name__ not in SAME_EVERYWHERE:
            assert all(isinstance(code, LabelledEnum) and code.label.vi and code.label.en for code in codes), where


HELP = """
import json
from mic_mail.cli import output
from mic_mail.i18n.language import Language
output.settle(Language.VI)
from unit.cli.test_keywords import _choices
print(json.dumps([
    (where, type(codes[0]).__name__, parameter.display_type(None), [code.value for code in codes], parameter.help)
    for where, parameter, codes in _choices()
]))
"""


@pytest.mark.slow
def test_vietnamese_help_offers_vietnamese_keywords() -> None:
    """And no code of the program: what a person copies from the help is taken."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": here}
    )
    shown = json.loads(done.stdout)
    assert len(shown) > 20
    for where, kind, offered, codes, help_text in shown:
        if kind in SAME_EVERYWHERE | {"AppPasswordScope"}:
            continue
        words = offered.strip("<>").split("|")
        assert len(words) == len(codes), where
        assert not set(words) & (set(codes) - {"fax"}), (where, offered)
        assert not set(help_text.replace(".", " ").replace(":", " ").split()) & (set(codes) - {"fax"}), (where, help_text)


@pytest.mark.parametrize("word", ["", " ", "-", "…", "không-có", "cấp mới,thuyên chuyển"])
def test_what_is_no_keyword_means_nothing(word: str) -> None:
    """Punctuation alone is none, and two are not one."""
    from mic_mail.policy.keywords import code_of
    from mic_mail.policy.requests import RequestKind

    assert code_of(RequestKind, word) is None
