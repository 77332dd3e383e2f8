"""SORT and THREAD beside Dovecot's, over messages of every kind; what is read otherwise is named and left out.

docs/decisions/0026-sort-and-thread-as-dovecot.md explains each rule; MIC_MAIL_CORPUS names a folder of further messages.
"""

import imaplib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from clients.dovecot import Dovecot, dovecot
from messages.hard import HARD
from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.dates import parse_date
from mic_mail.mime.headers import fields, unfold
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from session_harness import Talk, open_store

__all__ = ["dovecot"]

pytestmark = [pytest.mark.slow, pytest.mark.needs_tool("dovecot")]

CRITERIA = (
    "ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO", "REVERSE DATE", "REVERSE SUBJECT",
    "SUBJECT REVERSE DATE", "FROM SUBJECT", "REVERSE TO REVERSE SIZE",
)  # fmt: skip
ALGORITHMS = ("REFERENCES", "ORDEREDSUBJECT", "REFS")
COMPARED = {b"subject", b"from", b"to", b"cc", b"date", b"message-id", b"references", b"in-reply-to"}
START = datetime(2026, 1, 1, tzinfo=UTC)

Header = list[tuple[bytes, bytes]]


def is_before_1970(header: Header) -> bool:
    """Dovecot takes such a date for none."""
    return any(name == b"date" and (parse_date(value) or 0) < 0 for name, value in header)


def is_in_a_charset_that_must_be_guessed(header: Header) -> bool:
    """Octets beyond ASCII that are no UTF-8, a letter cut in two, and words in charsets that one of us knows otherwise."""
    return any(not _is_utf8(value) or _GUESSED.search(value) for _, value in header)


_GUESSED = re.compile(rb"=\?(utf-7|windows-1258|ks_c_5601|x-|unknown|tcvn|viscii)|=\?utf-8\?b\?4bs\?", re.IGNORECASE)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def comes_twice(header: Header) -> bool:
    """A field that may come once (RFC 5322 §3.6): we count the one that ENVELOPE shows, Dovecot sometimes another."""
    names = [name for name, _ in header]
    return len(names) != len(set(names))


def is_no_address_list(header: Header) -> bool:
    """Addresses against the grammar: both servers guess."""
    odd = re.compile(rb"[^\x20-\x7e\x80-\xff]|[()\\;:]|\"[^\"]*\"[^<,]+<|<[^>]*[ <@][^>]*@[^>]*>|^[^<\"]*\"|<[^@>]*>|@[^>]*@")
    lists = [unfold(value) for name, value in header if name in {b"from", b"to", b"cc"}]
    return any(odd.search(value) or not all(address.host for address in parse_addresses(value)) for value in lists)


def is_no_date(header: Header) -> bool:
    """A date that only one of us can read."""
    return any(name == b"date" and parse_date(value) is None for name, value in header)


READ_OTHERWISE: Sequence[Callable[[Header], bool]] = (
    is_before_1970, is_in_a_charset_that_must_be_guessed, comes_twice, is_no_address_list, is_no_date,
)  # fmt: skip


class Both:
    """The same messages here and in a Dovecot."""

    def __init__(self, folder: Path, dovecot: Dovecot) -> None:
        self.store = open_store(folder)
        self.ctx = Talk(self.store).sign_in()
        self.peer = dovecot.session()
        self.headers: list[Header] = []

    def add(self, message: bytes) -> None:
        """One message more, a minute after the last; what Dovecot does not take is left out."""
        message = re.sub(rb"\r?\n", b"\r\n", message)
        if re.search(rb"\r(?!\n)|\0", message):
            return
        received = START + timedelta(minutes=len(self.headers))
        if self.peer.append("INBOX", None, received.strftime('"%d-%b-%Y %H:%M:%S +0000"'), message)[0] != "OK":
            return
        staged = self.ctx.account.stage()
        staged.write(message)
        staged.finish_later()
        answers = answers_of(message)
        inbox = self.ctx.account.folder("INBOX").folder_id
        self.ctx.account.publish(inbox, [Delivery(staged, answers, received_at_us=int(received.timestamp() * 1_000_000))])
        self.headers.append([(name, value) for name, value in fields(answers.header) if name in COMPARED])

    def open(self) -> None:
        self.peer.select("INBOX")
        self.ctx.say(b"a SELECT INBOX\r\n")

    def differences(self, numbers: Sequence[int], algorithms: Sequence[str]) -> Iterator[tuple[str, bytes, bytes]]:
        """Every question to which the answers differ."""
        some = ",".join(map(str, numbers))
        for word, questions in (("SORT", [f"({each})" for each in CRITERIA]), ("THREAD", algorithms)):
            for question in questions:
                told = self.ctx.say(f"x {word} {question} UTF-8 {some}\r\n".encode())
                ours = re.search(rb"^\* %b ?([^\r]*)" % word.encode(), told, re.MULTILINE)
                theirs = ask(self.peer, word, question, some)
                if ours is None or ours[1] != theirs:
                    yield f"{word} {question}", told if ours is None else ours[1], theirs

    def close(self) -> None:
        self.peer.logout()
        self.store.close()


def ask(peer: imaplib.IMAP4, word: str, question: str, some: str) -> bytes:
    status, _ = peer._simple_command(word, question, "UTF-8", some)  # type: ignore[attr-defined]  # `sort` knows no REFS
    assert status == "OK"
    _, [answer] = peer.response(word)
    return answer or b""


@pytest.fixture
def both(tmp_path: Path, dovecot: Dovecot) -> Iterator[Both]:
    pair = Both(tmp_path, dovecot)
    yield pair
    pair.close()


def compare(both: Both, algorithms: Sequence[str] = ALGORITHMS) -> None:
    both.open()
    numbers = [at for at, header in enumerate(both.headers, 1) if not any(rule(header) for rule in READ_OTHERWISE)]
    assert len(numbers) > len(both.headers) // 3, "the rules leave something to compare"
    assert list(both.differences(numbers, algorithms)) == []


def conversations(count: int, *, at_once: bool) -> Iterator[bytes]:
    """Letters that answer each other, with what programs do to subjects and references; some never came.

    `at_once`: some are sent in the same second.
    """
    rng = Random(2016)
    subjects = ["Plan", "Báo cáo tháng 5", "họp", "[list] Agenda", "agenda", "", "Đề nghị", "đề NGHỊ", "Zürich", "ôn", "on"]
    for number in range(count):
        subject = rng.choice(subjects)
        for _ in range(rng.randint(0, 2)):
            subject = rng.choice(["Re: {}", "Fwd: {}", "[x] {}", "{} (fwd)", "[Fwd: {}]", "RE: {}", "re[2]: {}"]).format(
                subject
            )
        hour, zone = rng.randint(0, 23), rng.choice(["+0700", "-0800", "+0000"])
        minute, second = (0, 0) if at_once else divmod(number, 60)
        lines = [
            f"From: {rng.choice(['An', 'Bình', 'zoe', ''])} <{rng.choice('abC')}{rng.randint(1, 3)}@mic.gov.vn>",
            f"To: {rng.choice(['x', 'Y', 'z'])}@mic.gov.vn",
            f"Subject: {subject}",
            f"Date: {rng.randint(1, 28)} Feb 2026 {hour:02}:{minute:02}:{second:02} {zone}",
        ]
        if rng.random() < 0.9:
            lines.append(f"Message-ID: <{number if rng.random() < 0.95 else number // 2}@mic>")
        if number and rng.random() < 0.6:
            refs = sorted(rng.sample(range(count), rng.randint(1, 4)))
            name = rng.choice(["References", "References", "In-Reply-To"])
            lines.append(f"{name}: {' '.join(f'<{ref}@mic>' for ref in refs)}")
        yield "\r\n".join([*lines, "", "x", ""]).encode()


@pytest.mark.parametrize("at_once", [False, True])
def test_conversations(both: Both, at_once: bool) -> None:
    """400 letters that refer to each other at random, in circles too: every order and every thread is the same.

    No text says where REFS puts threads whose newest messages were sent in the same second.
    """
    for message in conversations(400, at_once=at_once):
        both.add(message)
    compare(both, ALGORITHMS[:2] if at_once else ALGORITHMS)


def test_hard_messages(both: Both) -> None:
    """Our own hard messages."""
    for message in HARD.values():
        if message:
            both.add(message)
    compare(both)


@pytest.mark.timeout(600)
def test_corpus(both: Both) -> None:
    """All messages of the corpus."""
    folder = os.environ.get("MIC_MAIL_CORPUS")
    if not folder:
        pytest.skip("MIC_MAIL_CORPUS names no folder of messages")
    for file in sorted(Path(folder).glob("*.eml")):
        both.add(file.read_bytes())
    compare(both)
