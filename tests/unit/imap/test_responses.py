"""Answers octet for octet, and that nothing from outside can break out of its string or line."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.imap import responses as r
from mic_mail.imap.capability import TABLE, OfferConditions, capabilities, enable
from mic_mail.imap.connection_state import ConnectionState
from mic_mail.imap.parser.lexer import Cursor

ANSWERS: list[tuple[bytes, bytes]] = [
    (r.ok(b"a", "Done."), b"a OK Done.\r\n"),
    (r.no(b"a", "Too large", b"TOOBIG"), b"a NO [TOOBIG] Too large\r\n"),
    (r.bad(b"*", b""), b"* BAD .\r\n"),
    (r.ok(b"a", "[ALERT] not a code"), b"a OK  [ALERT] not a code\r\n"),
    (r.bye("a\r\nb"), b"* BYE a b\r\n"),
    (r.continuation(), b"+ OK\r\n"),
    (r.challenge(b""), b"+ \r\n"),
    (r.string(b'a"b\\'), b'"a\\"b\\\\"'),
    (r.string(b"a\r\nb"), b"{4}\r\na\r\nb"),
    (r.string("é".encode()), b"{2}\r\n\xc3\xa9"),
    (r.string("é".encode(), utf8=True), b'"\xc3\xa9"'),
    (r.string(b"\xe9", utf8=True), b"{1}\r\n\xe9"),
    (r.string(b"x" * 1025), b"{1025}\r\n" + b"x" * 1025),
    (r.nstring(None), b"NIL"),
    (r.nstring(b"NIL"), b'"NIL"'),
    (r.literal8(b"\0"), b"~{1}\r\n\0"),
    (r.mailbox_name("NIL"), b'"NIL"'),
    (r.mailbox_name("Công"), b'"C&APQ-ng"'),
    (r.mailbox_name("Công", utf8=True), b'"C\xc3\xb4ng"'),
    (r.date_time(0), b'"01-Jan-1970 07:00:00 +0700"'),
    (r.date_time(837596665_000_000, -450), b'"17-Jul-1996 02:14:25 -0730"'),
    (r.append_uid(38505, [3955]), b"APPENDUID 38505 3955"),  # RFC 4315 §3
    (r.append_uid(38505, [7, 8, 9]), b"APPENDUID 38505 7:9"),
    (r.copy_uid(38505, [304, 319, 320], [3956, 3957, 3958]), b"COPYUID 38505 304,319:320 3956:3958"),  # RFC 4315 §3
    (r.modified([7, 9]), b"MODIFIED 7,9"),  # RFC 7162 §3.1.3
    (r.mailbox_id("F2212ea87"), b"MAILBOXID (F2212ea87)"),  # RFC 8474 §4
    (r.in_progress(b"A001", 454, 1000), b'INPROGRESS ("A001" 454 1000)'),  # RFC 9585 §4
    (r.in_progress(b"A001"), b'INPROGRESS ("A001" NIL NIL)'),
    (r.in_progress(b"A001", 5), b'INPROGRESS ("A001" 5 NIL)'),
    (r.capability([b"IMAP4rev1", b"IDLE"]), b"* CAPABILITY IMAP4rev1 IDLE\r\n"),
    (r.enabled([]), b"* ENABLED\r\n"),  # RFC 5161 §3.2
    (r.enabled(["CONDSTORE"]), b"* ENABLED CONDSTORE\r\n"),
    (r.identification(None), b"* ID NIL\r\n"),
    (r.identification({"name": "mic-mail", "x": None}), b'* ID ("name" "mic-mail" "x" NIL)\r\n'),
    (r.namespace([""], [], [], utf8=False), b'* NAMESPACE (("" "/")) NIL NIL\r\n'),  # RFC 2342 §5
    (r.namespace([""], ["Users/"], ["A", "B"], utf8=False),
     b'* NAMESPACE (("" "/")) (("Users/" "/")) (("A" "/")("B" "/"))\r\n'),
    (r.listed(b"LIST", "Sent", ("\\HasNoChildren", "\\Sent"), utf8=False),
     b'* LIST (\\HasNoChildren \\Sent) "/" "Sent"\r\n'),
    (r.listed(b"LIST", "Foo", (), utf8=False, child_info=["SUBSCRIBED"]),
     b'* LIST () "/" "Foo" ("CHILDINFO" ("SUBSCRIBED"))\r\n'),  # RFC 5258 §5, example 8
    (r.listed(b"LIST", "New", (), utf8=False, old_name="Old"), b'* LIST () "/" "New" ("OLDNAME" ("Old"))\r\n'),
    (r.status("blurdybloop", [("MESSAGES", 231), ("MAILBOXID", "F1"), ("APPENDLIMIT", None)], utf8=False),
     b'* STATUS "blurdybloop" (MESSAGES 231 MAILBOXID (F1) APPENDLIMIT NIL)\r\n'),
    (r.exists(23), b"* 23 EXISTS\r\n"),
    (r.recent(5), b"* 5 RECENT\r\n"),
    (r.quota("", [("STORAGE", 10, 512)]), b'* QUOTA "" (STORAGE 10 512)\r\n'),  # RFC 9208 §4.2.1
    (r.quota_root("INBOX", [""], utf8=False), b'* QUOTAROOT "INBOX" ""\r\n'),
    (r.vanished(((300, 310), (405, 405)), earlier=True), b"* VANISHED (EARLIER) 300:310,405\r\n"),  # RFC 7162 §3.2.10
    (r.vanished((), earlier=True), b""),
    (r.search([]), b"* SEARCH\r\n"),
    (r.search([2, 84], 917162500), b"* SEARCH 2 84 (MODSEQ 917162500)\r\n"),  # RFC 7162 §3.1.5
    (r.search([], 5), b"* SEARCH\r\n"),
    (r.esearch(b"A282", by_uid=False, minimum=2, count=3), b'* ESEARCH (TAG "A282") MIN 2 COUNT 3\r\n'),  # RFC 4731 §3.1
    (r.esearch(b"A283", by_uid=False, found=[2, 10, 11]), b'* ESEARCH (TAG "A283") ALL 2,10:11\r\n'),
    (r.esearch(b"A285", by_uid=True, minimum=7, maximum=3800), b'* ESEARCH (TAG "A285") UID MIN 7 MAX 3800\r\n'),
    (r.esearch(b"a", by_uid=True, found=[], count=0), b'* ESEARCH (TAG "a") UID COUNT 0\r\n'),
    (r.esearch(b"a", by_uid=False, found=[1], modseq=9), b'* ESEARCH (TAG "a") ALL 1 MODSEQ 9\r\n'),
]  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), ANSWERS)
def test_answers(made: bytes, expected: bytes) -> None:
    """Each answer has exactly the octets that its RFC shows."""
    assert made == expected


@given(st.binary(max_size=60), st.booleans())
def test_a_string_is_read_as_what_it_was(octets: bytes, utf8: bool) -> None:
    """Any octets but NUL, which is 0x80 then, pass through a string unchanged, and nothing behind it is swallowed."""
    made = r.string(octets, utf8=utf8)
    if b"\0" in octets:
        assert made == b"{%d}\r\n%b" % (len(octets), octets.replace(b"\0", b"\x80"))
        return
    cursor = Cursor(made + b" next")
    assert cursor.astring() == octets
    assert cursor.data[cursor.position :] == b" next"
    if made.startswith(b'"'):
        assert not re.search(rb"[\r\n\x00]", made)
        assert utf8 or made.isascii()


@given(st.text(min_size=1), st.booleans())
def test_a_name_is_one_string(name: str, utf8: bool) -> None:
    """Whatever a folder is called, its name is one token on one line in modified UTF-7."""
    made = r.mailbox_name(name, utf8=utf8)
    if not utf8:
        assert made.startswith(b'"') or len(name) > 100
        assert not re.search(rb"[\r\n\x00]", made) or made.startswith(b"{")
    Cursor(made.replace(b"\0", b"_")).astring()


@given(st.text(), st.one_of(st.none(), st.just(b"ALERT")))
def test_a_text_stays_on_its_line(text: str, code: bytes | None) -> None:
    """No text can end its line early or pretend to be a code."""
    line = r.no(b"a", text, code)
    assert line.endswith(b"\r\n")
    assert not re.search(rb"[\r\n\x00]", line[:-2])
    assert (line[5:6] == b"[") == (code is not None)


@given(st.datetimes(datetime(1902, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_an_internaldate_is_read_as_what_it_was(instant: datetime, offset: int) -> None:
    """An INTERNALDATE that was fetched can be appended again (RFC 9051 §9, date-time)."""
    aware = instant.replace(microsecond=0, tzinfo=UTC)
    made = r.date_time(int(aware.timestamp()) * 1_000_000, offset)
    again = Cursor(made).date_time()
    assert again == aware
    assert again.tzinfo == timezone(timedelta(minutes=offset))


# ------------------------------------------------------------------ capabilities


def test_a_stranger_is_offered_what_a_stranger_can_use() -> None:
    """Before sign-in without TLS: STARTTLS and LOGINDISABLED, no password mechanisms (RFC 9051 §6.1.1, §11.1)."""
    assert b" ".join(capabilities(ConnectionState.NOT_AUTHENTICATED, OfferConditions(starttls=True, rev2=False))) == (
        b"IMAP4rev1 STARTTLS LOGINDISABLED SASL-IR LITERAL+ ID ENABLE IDLE"
    )
    tls = OfferConditions(login=True, mechanisms=("PLAIN", "SCRAM-SHA-256"), append_limit=5)
    assert b" ".join(capabilities(ConnectionState.NOT_AUTHENTICATED, tls)) == (
        b"IMAP4rev1 IMAP4rev2 SASL-IR LITERAL+ ID ENABLE IDLE AUTH=PLAIN AUTH=SCRAM-SHA-256"
    )


def test_after_sign_in() -> None:
    """After sign-in nothing of signing in is left, all else is there, the same in both states, in the order of the table."""
    offer = OfferConditions(starttls=True, login=True, mechanisms=("PLAIN",), append_limit=31457280)
    names = capabilities(ConnectionState.AUTHENTICATED, offer)
    assert names == capabilities(ConnectionState.SELECTED, offer)
    assert not {b"STARTTLS", b"LOGINDISABLED", b"SASL-IR", b"AUTH=PLAIN"} & set(names)
    assert {b"APPENDLIMIT=31457280", b"COMPRESS=DEFLATE", b"QRESYNC", b"UTF8=ACCEPT", b"OBJECTID"} <= set(names)
    order = [row.name for row in TABLE]
    shown = [name.decode().split("=3")[0].upper() for name in names]
    assert shown == sorted(shown, key=order.index)
    assert b"COMPRESS=DEFLATE" not in capabilities(ConnectionState.SELECTED, OfferConditions(compress=False))


def test_hidden_takes_with_it_what_rests_on_it() -> None:
    """An account that is not offered CONDSTORE is not offered QRESYNC, and cannot enable either."""
    names = capabilities(ConnectionState.SELECTED, OfferConditions(hidden=frozenset({"CONDSTORE"})))
    assert not {b"CONDSTORE", b"QRESYNC"} & set(names)
    assert enable(["QRESYNC", "UTF8=ACCEPT", "X-FOO"], frozenset({"CONDSTORE"})) == ("UTF8=ACCEPT",)
    assert enable(["IMAP4REV2", "CONDSTORE"], frozenset()) == ("CONDSTORE", "IMAP4rev2")
