"""What the index keeps for SORT and THREAD (RFC 5256 §3, RFC 5957 §3), and what THREADID is made of (RFC 8474 §5.2)."""

import pytest

from mic_mail.mime.headers import fields
from mic_mail.mime.sort_keys import (
    ID_OCTETS,
    MAX_REFERENCES,
    NOTHING,
    Ordering,
    decode,
    keys,
    message_ids,
    ordering,
    thread_keys,
    thread_of,
)


def ordered(header: str) -> Ordering:
    return decode(ordering(header.replace("\n", "\r\n").encode()))


def ids(value: str) -> bytes:
    return b"".join(message_ids(value.encode()))


def test_all_keys() -> None:
    """Each key is that of the first address in its field, or of the base subject; in capitals, as the collation has it."""
    found = ordered(
        'From: "Do Van Be" <dvbe@mic.gov.vn>, x@y\nTo: ttlan@mic.gov.vn, Z <z@z>\nCc: =?utf-8?Q?L=C3=AA?= <le@mic.gov.vn>\n'
        "Subject: Re: [list] Report\nMessage-ID: <1@a>\nReferences: <2@a>\n <3@a>\n"
    )
    assert found[:6] == (b"REPORT", b"DVBE", b"TTLAN", b"LE", b"DO VAN BE", b"TTLAN@MIC.GOV.VN")
    assert found.is_reply
    assert found.message_id == ids("<1@a>")
    assert found.references == ids("<2@a> <3@a>")


@pytest.mark.parametrize(
    ("field", "mailbox", "display"),
    [
        ("", b"", b""),
        ("a@b", b"A", b"A@B"),
        ("=?utf-8?Q?=C4=90=E1=BB=97_B?= <a@b>", b"A", "ĐO\u0302\u0303 B".encode()),
        ('"" <a@b>', b"A", b"A@B"),
        ("(only a comment) a@b", b"A", b"ONLY A COMMENT"),
        ("friends: a@b, c@d;", b"FRIENDS", b"FRIENDS"),
        ("undisclosed recipients:;", b"UNDISCLOSED RECIPIENTS", b"UNDISCLOSED RECIPIENTS"),
        ("<@route:a@b>", b"A", b"A@B"),
    ],
)
def test_addresses(field: str, mailbox: bytes, display: bytes) -> None:
    """RFC 5957 §3: the name, else the address, else the mailbox, which is the name of a group; none is the empty string."""
    found = ordered(f"From: {field}\nTo: {field}\n")
    assert (found.sender, found.to) == (mailbox, mailbox)
    assert (found.display_from, found.display_to) == (display, display)


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ('<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', "<01KF8JCEOCBS0045PS@xxx.yyy.com>"),  # RFC 5256 §3
        ('<"a\\b"@c>', "<ab@c>"),
        ("< a@c >", "<a@c>"),
        ("<a@[192.0.2.1]>", "<a@[192.0.2.1]>"),
        ("text <a@c> (comment) more", "<a@c>"),
    ],
)
def test_message_ids_are_normalised(value: str, same: str) -> None:
    """Quotes make no difference."""
    assert ids(value) == ids(same) != b""


@pytest.mark.parametrize("value", ["", "a@b", "<>", "<a>", "<a@>", "<@b>", "<a@b", "<a b@c>", "a@b <joe> wrote"])
def test_what_is_no_message_id(value: str) -> None:
    """Nothing is made of what is none."""
    assert ids(value) == b""


def test_case_makes_message_ids_differ() -> None:
    """RFC 5256 §3: Message ID comparisons are case-sensitive."""
    assert ids("<a@b>") != ids("<A@b>")


@pytest.mark.parametrize(
    ("header", "references"),
    [
        ("References: <1@a> <2@a>\nIn-Reply-To: <3@a>\n", "<1@a> <2@a>"),
        ("References: nonsense\nIn-Reply-To: <3@a> <4@a>\n", "<3@a>"),
        ("In-Reply-To: message of Monday <joe@x> <4@a>\n", "<joe@x>"),
        ("In-Reply-To: your message\n", ""),
    ],
)
def test_references(header: str, references: str) -> None:
    """References, else the first valid one of In-Reply-To (RFC 5256 §3)."""
    assert ordered(header).references == ids(references)


def test_a_hundred_thousand_references() -> None:
    """The first and the last ones are kept, no more."""
    header = b"References: " + b"".join(b"<%d@a>\r\n " % number for number in range(100_000)) + b"\r\n"
    found = decode(ordering(header)).references
    assert len(found) == MAX_REFERENCES * ID_OCTETS
    assert found.startswith(ids("<0@a>"))
    assert found.endswith(ids("<99998@a> <99999@a>"))


def test_fields_that_come_twice() -> None:
    """Of a subject the last counts, of addresses the first that has any: so ENVELOPE shows them."""
    found = ordered("Subject: one\nSubject: two\nFrom:\nFrom: a@b\nFrom: c@d\n")
    assert (found.subject, found.sender) == (b"TWO", b"A")


def test_octets_that_part_the_members() -> None:
    """A NUL, also an encoded one, ends no key."""
    found = decode(ordering(b"Subject: a\0b =?utf-8?Q?c=00d?=\r\nFrom: =?utf-8?Q?e=00f?= <g\0h@i>\r\n"))
    assert found.subject == b"AB CD"
    assert b"\0" not in found.display_from + found.sender


@pytest.mark.parametrize("header", ["", "Subject: Re: a\nMessage-ID: <1@a>\nReferences: <2@a> <3@a>\n", "In-Reply-To: <4@a>\n"])
def test_keys_of_threads_are_those_of_all(header: str) -> None:
    """Also of a message that is gone."""
    for value in (ordering(header.replace("\n", "\r\n").encode()), NOTHING):
        every = decode(value)
        assert thread_keys(value) == (every.message_id, every.references, every.subject, every.is_reply)


def test_nothing() -> None:
    """A message that is gone has empty keys, which come first."""
    assert decode(NOTHING) == Ordering(b"", b"", b"", b"", b"", b"", False, b"", b"")
    assert keys([NOTHING], 5) == [b""]


@pytest.mark.parametrize(
    ("header", "thread"),
    [
        ("Message-ID: <1@a>\n", "<1@a>"),
        ("Message-ID: <2@a>\nIn-Reply-To: <1@a>\n", "<1@a>"),
        ("Message-ID: <3@a>\nIn-Reply-To: <2@a>\nReferences: <1@a> <2@a>\n", "<1@a>"),
        ("Message-ID: nonsense\n", ""),
        ("", ""),
    ],
)
def test_what_began_a_thread(header: str, thread: str) -> None:
    """The first of the References, else In-Reply-To, else the message itself."""
    assert thread_of(dict(fields(header.replace("\n", "\r\n").encode()))) == ids(thread)
