"""What a message says of itself in the index is bounded, whatever it is made of; what honest mail says is there as a whole."""

from collections.abc import Iterator

import pytest

from cost_growth import assert_linear
from messages.answers import check
from messages.structures import Value, parse_value
from mic_mail.mime.imap_structure import BARE_PART_OCTETS, MOST_OCTETS, Answers, answers_of, most_octets
from mic_mail.mime.scanner import MAX_PARTS

HEAD = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
MESSAGE = b"Content-Type: message/rfc822\r\n\r\n"


def of_parts(part: bytes, count: int, head: bytes = HEAD) -> bytes:
    return head + (b"--b\r\n" + part + b"\r\n") * count + b"--b--\r\n"


def enclosed(field: bytes, count: int = 480) -> bytes:
    """Messages in a message, each with this field."""
    return of_parts(MESSAGE + field + b"\r\n\r\nx", count)


def nested(field: bytes) -> bytes:
    """Messages within each other."""
    return (field + b"\r\nContent-Type: message/rfc822\r\n\r\n") * 39 + b"x"


HOSTILE = {
    "addresses": enclosed(b"From: " + b"a," * 900),
    "8-bit addresses": enclosed(b"From: " + b"\xff," * 900),
    "few addresses in many": enclosed(b"From: " + b"a," * 10, 499),
    "all lists": enclosed(b"\r\n".join(name + b": " + b"a," * 200 for name in b"From Sender Reply-To To Cc Bcc".split())),
    "groups": enclosed(b"To: " + b"a:b;" * 400),
    "comments": enclosed(b"To: " + b"(a)b," * 400),
    "domains": enclosed(b"To: " + (b"a@" + "ü.".encode() * 80 + b",") * 7),
    "subjects": enclosed(b"Subject: " + b"\xff" * 1_800),
    "descriptions": of_parts(b"Content-Description: " + b"\xff" * 1_000 + b"\r\n\r\nx", 990),
    "ids": of_parts(b"Content-ID: " + b'"' * 1_000 + b"\r\n\r\nx", 990),
    "languages": of_parts(b"Content-Language: " + b"a," * 500 + b"\r\n\r\nx", 990),
    "locations": of_parts(b"Content-Location: " + b"a" * 1_000 + b"\r\n\r\nx", 990),
    "parameters": of_parts(b"Content-Type: text/plain; x=" + b"\x80" * 1_000 + b"\r\n\r\nx", 990),
    "many parameters": of_parts(b"Content-Type: text/plain" + b";a=b" * 250 + b"\r\n\r\nx", 990),
    "more parameters than fields are kept": of_parts(b"Content-Type: a/b; x=" + b"\x80" * 30_000 + b"\r\n\r\nx", 200),
    "parameters of multiparts": of_parts(
        b"Content-Type: multipart/a; boundary=c; x=" + b"\x80" * 1_000 + b"\r\n\r\n--c\r\n\r\nx", 490
    ),
    "dispositions": of_parts(b"Content-Disposition: attachment; filename=" + b"\x80" * 1_000 + b"\r\n\r\nx", 990),
    "types": of_parts(b"Content-Type: " + b"a" * 20_000 + b"/" + b"b" * 20_000 + b"\r\n\r\nx", 200),
    "encodings": of_parts(b"Content-Transfer-Encoding: " + b"a" * 20_000 + b"\r\n\r\nx", 200),
    "addresses in depth": nested(b"From: " + b"\xff," * 15_000),
    "one list": b"From: " + b"\xff," * 125_000 + b"\r\n\r\nx",
    "one subject": b"Subject: " + b"\xff" * 250_000 + b"\r\n\r\nx",
    "domains of one message": b"From: " + (b"a@" + "ü.".encode() * 80 + b",") * 900 + b"\r\n\r\nx",
    "a small one": b"From: " + b"a," * 4_000 + b"\r\n\r\nx",
    "small ones": enclosed(b"From: " + b"a," * 100, 8),
}


def said_octets(found: Answers) -> int:
    return sum(map(len, (found.envelope, found.envelope_utf8 or b"", found.body, found.bodystructure)))


def leaves(body: Value) -> Iterator[list[Value]]:
    """The parts of a BODY that have no parts, but perhaps a message."""
    assert isinstance(body, list)
    if isinstance(body[0], list):
        for each in body:
            if isinstance(each, list):
                yield from leaves(each)
        return
    yield body


@pytest.mark.parametrize("name", HOSTILE)
def test_no_message_says_more_than_there_is_room_for(name: str) -> None:
    """Every shape, by the grammar all the same: 480 messages in one were 120 MB of index."""
    message = HOSTILE[name]
    found = answers_of(message)
    check(found)
    parts = len(found.parts) // 20
    assert parts <= MAX_PARTS
    assert said_octets(found) <= most_octets(len(message)) + BARE_PART_OCTETS * (parts + 1)


@pytest.mark.parametrize("field", [b"From: " + b"a," * 900, b"To: " + (b"a@" + "ü.".encode() * 80 + b",") * 7])
def test_many_messages_in_one_cost_as_much_as_each(field: bytes) -> None:
    """Addresses, and domains that have to be put into other letters."""
    assert_linear(lambda count: enclosed(field, count), answers_of, (60, 240))


def test_there_is_room_by_the_size_of_the_message() -> None:
    """The quota counts files: small messages may not be large ones in the index."""
    assert most_octets(1_000) < 16_384
    assert most_octets(100_000) < 500_000
    assert most_octets(1 << 30) == MOST_OCTETS


def test_without_room_the_structure_is_right_and_nobody_is_named() -> None:
    """Clients fetch by part number, and decode by the encoding that they are told."""
    part = b"Content-Type: image/png; name=" + b"\x80" * 5_000 + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"
    found = answers_of(
        HEAD + (b"--b\r\n" + MESSAGE + b"From: " + b"a," * 900 + b"\r\n\r\nx\r\n--b\r\n" + part + b"\r\n") * 300 + b"--b--\r\n"
    )
    shown = list(leaves(parse_value(found.body)))
    assert len(shown) == 600
    assert all(message[:2] == [b"message", b"rfc822"] for message in shown[::2])
    assert shown[0][7] != shown[-2][7] == [None] * 10
    assert shown[-2][8][:2] == [b"text", b"plain"]  # type: ignore[index]
    assert all((image[:2], image[5:7]) == ([b"image", b"png"], [b"base64", "4"]) for image in shown[1::2])
    assert shown[-1][2] is None


def test_an_envelope_without_room_keeps_its_subject() -> None:
    found = answers_of(b"Subject: hello\r\nFrom: " + b"a," * 4_000 + b"\r\nMessage-ID: <a@b>\r\n\r\nx")
    assert found.envelope == b'(NIL "hello" NIL NIL NIL NIL NIL NIL NIL "<a@b>")'


def test_names_of_types_are_cut_where_they_can_be_none() -> None:
    found = answers_of(b"Content-Type: " + b"a" * 200 + b"/" + b"b" * 200 + b"\r\n\r\nx")
    assert found.body == b'("%b" "%b" NIL NIL NIL "7bit" 1)' % (b"a" * 127, b"b" * 127)


RECIPIENTS = b"To: " + b",\r\n ".join(b'"Nguyen Van A %d" <nguyenvana%d@mic.gov.vn>' % (n, n) for n in range(1_000)) + b"\r\n"
RAW = b"To: " + b",\r\n ".join('"Nguyễn Văn Á %d" <a%d@mic.gov.vn>'.encode() % (n, n) for n in range(1_000)) + b"\r\n"
LETTER = (
    b'From: "An" <an%d@mic.gov.vn>\r\nTo: binh@mic.gov.vn, chi@mic.gov.vn\r\nSubject: Giao ban\r\n'
    b"Date: Mon, 1 Jan 2024 00:00:00 +0700\r\nMessage-ID: <%d@mic.gov.vn>\r\n\r\nx"
)


@pytest.mark.parametrize("field", [RECIPIENTS, RAW])
def test_a_thousand_recipients_are_all_named(field: bytes) -> None:
    """In the message itself, and once it is forwarded."""
    found = answers_of(field + b"\r\nx")
    assert found.envelope.count(b'"mic.gov.vn"') == 1_000
    assert (found.envelope_utf8 or found.envelope).count(b'"mic.gov.vn"') == 1_000
    forwarded = answers_of(of_parts(MESSAGE + field + b"\r\nx", 1))
    assert forwarded.body.count(b'"mic.gov.vn"') == forwarded.bodystructure.count(b'"mic.gov.vn"') == 1_000


@pytest.mark.parametrize("count", [1, 10, 100, 400])
def test_digests_are_shown_whole(count: int) -> None:
    """However many letters there are, and however short they are."""
    letters = b"".join(b"--b\r\n\r\n" + LETTER % (n, n) + b"\r\n" for n in range(count))
    found = answers_of(HEAD.replace(b"mixed", b"digest") + letters + b"--b--\r\n")
    for structure in (found.body, found.bodystructure):
        assert all(b'"<%d@mic.gov.vn>"' % n in structure for n in range(count))
        assert structure.count(b'"binh" "mic.gov.vn"') == count


def test_a_thousand_files_have_their_names() -> None:
    part = b"Content-Type: a/b; name=f\r\nContent-Disposition: attachment; filename=f\r\nContent-ID: <x@y>\r\n\r\nx"
    found = answers_of(of_parts(part, 990))
    assert found.bodystructure.count(b'("attachment" ("filename" "f"))') == 990
    assert answers_of(of_parts(b"\r\nx", 990)).body.count(b'("charset" "us-ascii")') == 990
