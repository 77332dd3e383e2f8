"""Names, reasons and documents that hold line ends, fields and what terminals obey: in letters, and in what commands print.

An official pastes what somebody has written to the Centre. It stays words: of a letter's header, of its body, of one line.
"""

import csv
import email
import email.policy
import io
import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from mic_mail.clock import SystemClock
from mic_mail.errors import Text
from mic_mail.i18n.notices.catalogue import CATALOGUE
from mic_mail.i18n.notices.notice import Notice
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.local_mailstore import LocalMailStore
from regulation.lifecycle_commands import ADDRESS, LifecycleConsole

EVIL = (
    "x\r\nBcc: evil@example.org\r\n\r\n.\r\nMAIL FROM:<>\x1b]0;owned\x07\x1b[2J\x9b31m\u2028Y: z\u202egnp.exe\x00\x7f\x85W: v"
)
SHOWN_BY_NOBODY = set("\r\x00\x07\x1b\x7f\x85\x9b\u2028\u202e")
"""What a terminal, a mail program or a log reader takes for more than a letter."""


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> LifecycleConsole:
    """After an official has pasted it wherever a command takes words."""
    made = LifecycleConsole(tmp_path_factory.mktemp("commands"))
    made.codes = [made.run(*command) for command in COMMANDS]  # type: ignore[attr-defined]  # of this test alone
    return made


COMMANDS: list[tuple[str, ...]] = [
    ("unit", "add", "BC" + EVIL, "Vụ " + EVIL, "--document", EVIL),
    ("unit", "add", "VP", "=1+1 " + EVIL, "--document", EVIL),
    ("person", "add", "Trần Thị " + EVIL, "--unit", "CNTT", "--position", EVIL, "--document", EVIL),
    ("person", "add", "Trần Thị Lan", "--unit", "CNTT", "--position", EVIL, "--document", EVIL),
    ("mailbox", "issue", "--person", "2", "--document", EVIL, "--reason", EVIL),
    ("mailbox", "issue", "--person", "3", "--document", EVIL, "--reason", EVIL),
    ("mailbox", "issue", "--group", "Nhóm " + EVIL, "--sponsor", "CNTT", "--document", EVIL, "--reason", EVIL),
    ("mailbox", "suspend", ADDRESS, "--cause", "c", "--reason", EVIL, "--document", EVIL),
    ("mailbox", "restore", ADDRESS, "--asked-by", EVIL, "--reason", EVIL, "--document", EVIL),
    ("mailbox", "lock-sending", ADDRESS, "--reason", EVIL, "--document", EVIL),
    ("mailbox", "unlock-sending", ADDRESS, "--reason", EVIL, "--document", EVIL),
    ("mailbox", "quota", ADDRESS, "2 GiB", "--reason", EVIL, "--document", EVIL),
    ("incident", "open", "phishing", EVIL, "--told-by", EVIL, "--document", EVIL, "--mailbox", ADDRESS),
    ("request", "add", "problem", "--unit", "CNTT", "--asked-by", EVIL, "--document", EVIL, "--name", EVIL),
]


def test_they_were_taken_or_refused(console: LifecycleConsole) -> None:
    """By a rule or as a mistake, never as trouble; most are taken."""
    assert set(console.codes) <= {0, 1, 2}  # type: ignore[attr-defined]
    assert console.codes.count(0) >= 6  # type: ignore[attr-defined]


@pytest.mark.parametrize("row", CATALOGUE.values(), ids=lambda row: str(row.name))
def test_no_letter_has_another_field_or_line(console: LifecycleConsole, row: Notice[Any]) -> None:
    """Each notice with these words for all that it is told: its header is ours, and its body is text (RFC 5322 §2.2)."""
    store = LocalMailStore(console.config.mail_root, clock=SystemClock(), host="test")
    notices = Notices(store, console.config, SystemClock())
    letter = row.write(**pasted(row))
    octets = notices.compose(EVIL, ADDRESS, letter, in_reply_to=EVIL)
    store.close()
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert not {"bcc", "y", "w"} & {name.lower() for name in message}, octets
    assert not message.defects
    for name, value in message.items():
        assert not SHOWN_BY_NOBODY - {"\u202e"} & set(str(value)), (name, value)
    assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
    assert not SHOWN_BY_NOBODY - {"\r", "\u202e"} & set(message.get_content())


def pasted(row: Notice[Any]) -> dict[str, object]:
    """The samples, with these words wherever other people's words may stand: addresses here and numbers are our own."""
    words = dict(row.samples)
    for name, sample in row.samples.items():
        try:
            row.write(**{**row.samples, name: evil(sample)})
        except (AssertionError, KeyError):  # the English half of a sentence is ASCII; a rule is one of those that there are
            continue
        words[name] = evil(sample)
    return words


def evil(sample: object) -> object:
    match sample:
        case Text():
            return Text(EVIL, EVIL)
        case StrEnum():
            return sample
        case str():
            return EVIL
        case list() | tuple():
            return [evil(each) for each in sample]
        case _:
            return sample


@pytest.mark.parametrize(
    "command",
    [
        ("mailbox", "list"), ("mailbox", "show", ADDRESS), ("mailbox", "explain", ADDRESS), ("person", "list"),
        ("unit", "list"), ("request", "list"), ("incident", "list"), ("log", "search"), ("mailbox", "due"),
        ("regulation", "list"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_terminal_obeys_nothing(console: LifecycleConsole, command: tuple[str, ...]) -> None:
    """And with --json everything is one document."""
    for more in ((), ("--json",)):
        console.done(*command, *more)
        assert not SHOWN_BY_NOBODY & set(console.out + console.err), console.out
        if more and console.out.strip():
            json.loads(console.out)


def test_the_log_is_lines(console: LifecycleConsole) -> None:
    for path in console.config.log_dir.glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            assert isinstance(json.loads(line), dict)


def test_a_table_runs_nothing(console: LifecycleConsole, tmp_path: Path) -> None:
    """The address book as CSV, vCard and LDIF: fields, not formulas, and no line more."""
    target = tmp_path / "book.csv"
    console.done("directory", "export", "--format", "csv", "--out", target)
    rows = list(csv.reader(io.StringIO(target.read_text("utf-8-sig"), newline="")))
    assert len(rows) >= 3
    assert all(len(row) == len(rows[0]) for row in rows)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    for form, begins in (("vcard", "BEGIN:"), ("ldif", "dn:")):
        text = console.done("directory", "export", "--format", form)
        assert text.count(f"\n{begins}") + 1 >= 3
        assert "\nBcc" not in text
        assert "\nMAIL" not in text
