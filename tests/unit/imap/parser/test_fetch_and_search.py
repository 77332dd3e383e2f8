"""Items of FETCH and keys of SEARCH, as clients write them: one row per rule, the section beside it."""

from datetime import date

import pytest

from mic_mail.imap.parser.fetch import Fetch
from mic_mail.imap.parser.fetch_items import Binary, BinarySize, Datum, Preview, Section, SectionText
from mic_mail.imap.parser.number_set import SAVED_RESULT, parse_set
from mic_mail.imap.parser.search import Search
from mic_mail.imap.parser.search_keys import (
    Age,
    All,
    And,
    DateComparison,
    DateKey,
    DateOf,
    HasFlag,
    HasKeyword,
    InSet,
    ModSeq,
    Not,
    ObjectId,
    Or,
    Recent,
    Size,
)
from mic_mail.storage.types import TextTest
from unit.imap.parser.reading import ONE, REST, arguments


def fields(*names: bytes, text: SectionText = SectionText.HEADER_FIELDS, shown: bytes = b"") -> Section:
    """BODY.PEEK[HEADER.FIELDS (...)]."""
    label = b"BODY[" + text.value + b" (" + (shown or b" ".join(names)) + b")]"
    return Section((), text, label, tuple(name.lower() for name in names), peek=True)


ITEMS: list[tuple[bytes, tuple[object, ...]]] = [
    (b"FLAGS", (Datum.FLAGS,)),
    (b"fast", (Datum.FLAGS, Datum.INTERNALDATE, Datum.SIZE)),
    (b"ALL", (Datum.FLAGS, Datum.INTERNALDATE, Datum.SIZE, Datum.ENVELOPE)),
    (b"FULL", (Datum.FLAGS, Datum.INTERNALDATE, Datum.SIZE, Datum.ENVELOPE, Datum.BODY)),
    (b"(UID rfc822.size UID body bodystructure)", (Datum.UID, Datum.SIZE, Datum.BODY, Datum.BODYSTRUCTURE)),
    (b"RFC822", (Section((), SectionText.ALL, b"RFC822"),)),
    (b"(RFC822.HEADER RFC822.TEXT)",
     (Section((), SectionText.HEADER, b"RFC822.HEADER", peek=True), Section((), SectionText.TEXT, b"RFC822.TEXT"))),
    (b"BODY[]", (Section((), SectionText.ALL, b"BODY[]"),)),
    (b"body.peek[]<0.2048>", (Section((), SectionText.ALL, b"BODY[]<0>", peek=True, partial=(0, 2048)),)),
    (b"BODY[1.2.header]", (Section((1, 2), SectionText.HEADER, b"BODY[1.2.HEADER]"),)),
    (b"BODY[4.1.MIME]", (Section((4, 1), SectionText.MIME, b"BODY[4.1.MIME]"),)),
    (b"BODY[TEXT]<100.5>", (Section((), SectionText.TEXT, b"BODY[TEXT]<100>", partial=(100, 5)),)),
    (b"BODY[2]", (Section((2,), SectionText.ALL, b"BODY[2]"),)),
    (b"BODY.PEEK[HEADER.FIELDS (Date From)]", (fields(b"Date", b"From"),)),
    (b'BODY.PEEK[HEADER.FIELDS ("Date" {4+}\r\nFrom)]', (fields(b"Date", b"From"),)),
    (b'BODY.PEEK[HEADER.FIELDS ("a b")]', (fields(b"a b", shown=b'"a b"'),)),
    (b"BODY.PEEK[header.fields.not (To)]", (fields(b"To", text=SectionText.HEADER_FIELDS_NOT),)),
    (b"BINARY.PEEK[1.2]<0.10>", (Binary((1, 2), b"BINARY[1.2]<0>", peek=True, partial=(0, 10)),)),  # RFC 3516 §4.2
    (b"(BINARY[] BINARY.SIZE[3])", (Binary((), b"BINARY[]"), BinarySize((3,), b"BINARY.SIZE[3]"))),
    (b"(MODSEQ EMAILID THREADID SAVEDATE)", (Datum.MODSEQ, Datum.EMAILID, Datum.THREADID, Datum.SAVEDATE)),
    (b"(PREVIEW (LAZY) UID)", (Preview(lazy=True), Datum.UID)),  # RFC 8970 §3.2
    (b"PREVIEW", (Preview(),)),
]  # fmt: skip


@pytest.mark.parametrize(("words", "items"), ITEMS)
def test_fetch_items(words: bytes, items: tuple[object, ...]) -> None:
    """Each fetch item is known with its section, partial and the name of its answer (RFC 9051 §6.4.5)."""
    assert arguments(b"a FETCH 1 " + words) == Fetch(False, ONE, items)  # type: ignore[arg-type]


def test_fetch_completes_its_items() -> None:
    """UID FETCH answers with UID (RFC 9051 §6.4.9) and CHANGEDSINCE with MODSEQ (RFC 7162 §3.1.4.1), asked for or not."""
    found = arguments(b"a UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345 VANISHED)")
    assert found == Fetch(True, REST, (Datum.FLAGS, Datum.UID, Datum.MODSEQ), 12345, vanished=True, uid_implied=True)
    assert arguments(b"a FETCH 1 PREVIEW (CHANGEDSINCE 0)") == Fetch(False, ONE, (Preview(), Datum.MODSEQ), 0)


def header(name: str, value: str) -> TextTest:
    """The key that a field of the header contains this."""
    return TextTest("HEADER", value, name)


NOT_DELETED = Not(HasFlag(4))
KEYS: list[tuple[bytes, object]] = [
    (b"ALL", All()),
    (b"1:* NOT DELETED", And((InSet(REST, by_uid=False), NOT_DELETED))),  # iOS Mail
    (b"$ unseen", And((InSet(SAVED_RESULT, by_uid=False), Not(HasFlag(8))))),
    (b"UID 5:7", InSet(parse_set(b"5:7"), by_uid=True)),
    (b"not not answered", HasFlag(1)),
    (b"not not not answered", Not(HasFlag(1))),
    (b"NEW", And((Recent(), Not(HasFlag(8))))),
    (b"OLD", Not(Recent())),
    (b"KEYWORD $Junk UNKEYWORD a", And((HasKeyword("$Junk"), Not(HasKeyword("a"))))),
    (b"SINCE 1-Feb-1994", DateKey(DateOf.INTERNAL, DateComparison.SINCE, date(1994, 2, 1))),
    (b'before "01-feb-1994"', DateKey(DateOf.INTERNAL, DateComparison.BEFORE, date(1994, 2, 1))),
    (b"SENTON 29-Feb-2024", DateKey(DateOf.SENT, DateComparison.ON, date(2024, 2, 29))),
    (b"SAVEDSINCE 1-Jan-2026 SAVEDATESUPPORTED",
     And((DateKey(DateOf.SAVED, DateComparison.SINCE, date(2026, 1, 1)), All()))),  # RFC 8514
    (b"LARGER 10 SMALLER 9223372036854775807", And((Size(True, 10), Size(False, 2**63 - 1)))),
    (b"OLDER 3600 YOUNGER 5", And((Age(True, 3600), Age(False, 5)))),  # RFC 5032
    (b"OR FROM a TO b", Or((header("from", "a"), header("to", "b")))),
    (b"OR OR FROM a TO b OR CC c BCC d",
     Or((header("from", "a"), header("to", "b"), header("cc", "c"), header("bcc", "d")))),
    (b'HEADER Message-ID "<x@y>" SUBJECT ""', And((header("message-id", "<x@y>"), header("subject", "")))),
    (b"BODY {4+}\r\na\r\nb TEXT x", And((TextTest("BODY", "a\r\nb"), TextTest("TEXT", "x")))),
    (b"(SEEN (DRAFT FLAGGED ) )", And((HasFlag(8), And((HasFlag(16), HasFlag(2)))))),
    (b"MODSEQ 620162338", ModSeq(620162338)),
    (b'MODSEQ "/flags/\\\\draft" all 620162338', ModSeq(620162338, "/flags/\\draft")),  # RFC 7162 §3.1.5
    (b"EMAILID M6d99ac3275bb4e THREADID T1",
     And((ObjectId("email_id", "M6d99ac3275bb4e"), ObjectId("thread_id", "T1")))),  # RFC 8474 §6
    ('CHARSET utf-8 SUBJECT "văn bản"'.encode(), header("subject", "văn bản")),
    ('SUBJECT "văn"'.encode(), header("subject", "văn")),
    (b'CHARSET "ISO-8859-1" SUBJECT {1+}\r\n\xe9', header("subject", "é")),
    (b"CHARSET US-ASCII TEXT x", TextTest("TEXT", "x")),
]  # fmt: skip


@pytest.mark.parametrize(("words", "key"), KEYS)
def test_search_keys(words: bytes, key: object) -> None:
    """Each search key becomes a node of the tree (RFC 9051 §6.4.4)."""
    command = arguments(b"a UID SEARCH " + words)
    assert isinstance(command, Search)
    assert (command.by_uid, command.key, command.returns) == (True, key, None)


@pytest.mark.parametrize(
    ("words", "returns"),
    [(b"RETURN () ALL", {"ALL"}), (b"return (min MAX count save all) ALL", {"MIN", "MAX", "COUNT", "SAVE", "ALL"})],
)
def test_search_return_options(words: bytes, returns: set[str]) -> None:
    """RETURN is remembered, and empty it means ALL (RFC 4731 §3.1)."""
    assert arguments(b"a SEARCH " + words) == Search(False, All(), frozenset(returns))


def test_a_charset_other_than_utf8_is_told() -> None:
    """RFC 6855 §3 wants none after ENABLE UTF8=ACCEPT, which is for the session to say; UTF-8 by its name is the default."""
    assert arguments(b"a SEARCH CHARSET ISO-8859-1 ALL", utf8=True) == Search(False, All(), foreign_charset=True)
    assert arguments(b"a SEARCH CHARSET UTF-8 ALL", utf8=True) == Search(False, All())


def test_keys_of_an_unknown_charset_are_not_read() -> None:
    """An unknown charset is NO, not BAD (RFC 9051 §6.4.4): it is a command, whose keys may hold any octets."""
    line = b"a SEARCH RETURN (SAVE) CHARSET KOI8-R SUBJECT {1+}\r\n\xff"
    assert arguments(line) == Search(False, None, frozenset({"SAVE"}), foreign_charset=True)
