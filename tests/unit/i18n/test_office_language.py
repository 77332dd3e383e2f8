"""The Vietnamese of everything that people read: the words of an office, and none of a program."""

import ast
import email
import email.policy
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest

import mic_mail
from mic_mail.clock import ManualClock
from mic_mail.config.model import Config, Server
from mic_mail.i18n import dates
from mic_mail.i18n.notices.catalogue import CATALOGUE
from mic_mail.mailbox_address import MailboxAddress
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.notifications.notices import Notices
from mic_mail.storage.local_mailstore import LocalMailStore
from office_language import wrong_words

SOURCE = Path(mic_mail.__file__).parent
SPEAKING_CALLS = {
    "Text": 0, "say": 0, "means": 0, "Column": 1, "Commands": 0, "command": 0, "option": 1, "argument": 1, "note": 0,
}  # fmt: skip
"""Calls with a text in both languages, and where the Vietnamese stands."""


def _written(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_written(part) for part in parts)
        case ast.FormattedValue():
            return "…"
        case ast.BinOp(left=left, right=right):
            return _written(left) + _written(right)
        case _:
            return ""


def _vietnamese(path: Path) -> Iterator[tuple[int, str]]:
    """The Vietnamese side of each call that takes both languages, and of each table of settings, in a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "vi" and node.value:
            yield node.lineno, _written(node.value)
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        place = SPEAKING_CALLS.get(name)
        if place is not None and len(node.args) > place:
            yield node.lineno, _written(node.args[place])


SPEAKS = re.compile(rf"\b({'|'.join(SPEAKING_CALLS)})\(")
"""To read a module for it takes longer: that is for the test of it."""
SPEAKING = [str(path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.py")) if SPEAKS.search(path.read_text("utf-8"))]


@pytest.mark.parametrize("name", SPEAKING)
def test_no_vietnamese_text_holds_the_words_of_a_program(name: str) -> None:
    """No ISO date, placeholder, event's name or English word, and an office's term for each thing."""
    texts = list(_vietnamese(SOURCE / name))
    assert {line: wrong_words(text) for line, text in texts if wrong_words(text)} == {}


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_notice_speaks_as_an_office_does(name: str) -> None:
    """A notice, rendered, holds no ISO date, no placeholder and no event's name, and an office's terms."""
    letter = CATALOGUE[name].sample()
    for text in (letter.subject.vi, letter.body.vi):
        assert wrong_words(re.sub(r"\S+@\S+|https?://\S+", "", text)) == []
        assert unicodedata.is_normalized("NFC", text)


@pytest.mark.parametrize(
    ("kind", "greeted"),
    [(MailboxKind.PERSONAL, "Kính gửi: Ông/Bà Đỗ Văn Bê"), (MailboxKind.UNIT, "Kính gửi: Đỗ Văn Bê"), (None, "Kính gửi: Đỗ")],
)
def test_a_person_is_greeted_by_title(kind: MailboxKind | None, greeted: str, tmp_path: Path) -> None:
    """A letter to a person begins "Kính gửi: Ông/Bà ...", one to a unit names the unit alone."""
    clock = ManualClock(datetime(2026, 11, 24, 2, tzinfo=UTC))
    config = Config(server=Server(data_dir=tmp_path))
    address = MailboxAddress.parse("dvbe@mic.gov.vn")
    store = LocalMailStore(config.mail_root, clock=clock, host="test")
    octets = Notices(store, config, clock).compose("Đỗ Văn Bê", address, CATALOGUE["welcome"].sample(), kind=kind)
    store.close()
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content().startswith(greeted)


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        ("2026-11-24", "24/11/2026"),
        ("2026-11-24T02:06:00Z", "24/11/2026 09:06"),
        ("2026-11-24T09:06:00.5+07:00", "24/11/2026 09:06"),
        ("2026-13-24", "2026-13-24"),
        ("21/2026-11-24", "21/2026-11-24"),
    ],
)
def test_what_is_on_record_in_iso_is_shown_as_people_write_it(recorded: str, shown: str) -> None:
    """A day or an instant in ISO 8601 is shown in the Vietnamese form; whatever is neither stays as it is."""
    assert dates.readable(recorded) == shown
