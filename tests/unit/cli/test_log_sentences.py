"""`mic-mail log` tells a sentence, in both languages, for all that the program can write into its logs."""

import re
from enum import StrEnum
from string import Formatter

import pytest

from mic_mail.cli.act_names import ACTS, DETAILS, REFUSED
from mic_mail.cli.log_codes import CODES
from mic_mail.cli.logwords import EVENTS, told
from mic_mail.services.signin.refusals import RefusalKind
from mic_mail.services.transport.envelope import Cause
from source_names import recorded_acts, written_events


def test_every_event_has_a_sentence() -> None:
    """One that is added later and has none fails here; so does a sentence that nothing writes any more."""
    assert len(written_events()) > 150
    assert written_events() - EVENTS.keys() == set()
    assert EVENTS.keys() - written_events() == set()


def test_every_act_has_a_name() -> None:
    """The same for the record; what was refused has the name of what was asked for."""
    names = recorded_acts()
    assert len(names) > 200
    bare = {name for name in names if not (name.endswith(REFUSED) and name.removesuffix(REFUSED) in names)}
    assert bare - ACTS.keys() == set()
    assert ACTS.keys() - bare == set()


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_is_told_without_its_name(name: str) -> None:
    """Whatever fields it has: no name of the program, no placeholder; both languages tell of the same fields."""
    fields = {each: "x" for side in EVENTS[name] for _, each, _, _ in Formatter().parse(side) if each}
    for given in ({}, fields, {**fields, "octets": 3_000_000, "pieces": ["a", "b"]}):
        text = told({"at": "2026-11-24T09:00:00Z", "n": 1, "event": name, **given})
        for side in (text.vi, text.en):
            assert name not in side
            assert not re.search(r"[{}]", side)
    assert text.en.isascii()
    assert len({frozenset(each for _, each, _, _ in Formatter().parse(side) if each) for side in EVENTS[name]}) == 1


@pytest.mark.parametrize("reason", [*Cause, *RefusalKind])
def test_why_is_told_in_words(reason: StrEnum) -> None:
    """Each cause for which a message or a sign-in is refused has words of its own in both languages."""
    for event in ("message_refused", "sign_in_refused"):
        text = told({"event": event, "reason": reason.value})
        assert CODES[reason.value].vi in text.vi
        assert CODES[reason.value].en in text.en


def test_yes_and_no_are_words() -> None:
    """A name that happens to be a code is no reason, and stays."""
    text = told({"event": "junk_reported", "login": "a", "messages": 1, "folder": "spam", "spam": True})
    assert "thư mục spam (thư rác: có)" in text.vi
    assert "folder spam (spam: yes)" in text.en


@pytest.mark.parametrize("name", [name + end for name in sorted(ACTS) for end in ("", REFUSED)])
def test_an_act_is_told_without_its_name(name: str) -> None:
    """Who, what, to whom; why, by which document and the like behind it, under names of this language."""
    details = dict.fromkeys(DETAILS, "z")
    text = told(
        {"at": "2026-11-24T09:00:00Z", "act": name, "actor": "mai", "subject": "dvbe@mic.gov.vn", "prev": "0", **details}
    )
    for side in (text.vi, text.en):
        assert "mai" in side
        assert "dvbe@mic.gov.vn" in side
        assert not re.search(r"\w_\w|=", side), side
    assert "lý do: z; văn bản: z" in text.vi
    assert ("bị từ chối" in text.vi) == (name.endswith(REFUSED))


def test_what_nobody_foresaw_is_shown_whole() -> None:
    """A log of a later version, or a line that somebody put in: its name and its fields."""
    text = told({"event": "unheard_of", "mailbox": "a@b.vn", "count": 3})
    assert text.vi == "unheard_of: mailbox=a@b.vn, count=3"
