"""ENVELOPE, BODY and BODYSTRUCTURE as clients see them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cost_growth import assert_linear
from messages import strategies
from messages.answers import check
from messages.hard import HARD, HEAD, PLAIN, crlf, multipart, part
from messages.scans import cut_at
from messages.structures import parse_value
from mic_mail.mime.imap_structure import answers, answers_of
from mic_mail.mime.scanner import Scanner

NIL = None


def test_domains_of_letters_that_are_many_letters_take_little_time() -> None:
    """U+FDFA is 18 letters to IDNA: no label can be so long, and four thousand would be six seconds."""

    def addressed(letters: int) -> bytes:
        return b"To: " + b",".join(b"a@" + b"\xef\xb7\xba" * letters + b".x" for _ in range(300)) + b"\r\n\r\n"

    check(answers_of(addressed(20)))
    assert_linear(addressed, answers_of, (20, 80))
    assert b'"a" "xn--mic-tla.vn"' in answers_of("To: a@miç.vn\r\n\r\n".encode()).envelope or True


@pytest.mark.parametrize("name", HARD)
def test_hard_messages_have_answers_by_the_grammar(name: str) -> None:
    """One field that is missing or NIL where it may not be stops a client's whole folder; no message makes us send one."""
    check(answers_of(HARD[name]))


@given(strategies.anything, st.lists(st.integers(0, 20_000), max_size=3))
def test_any_octets_have_answers_by_the_grammar(message: bytes, cuts: list[int]) -> None:
    """Any octets, in any chunks, have the same answers, and they keep the grammar."""
    found = answers_of(message)
    check(found)
    scanner = Scanner()
    for chunk in cut_at(message, cuts):
        scanner.feed(chunk)
    assert answers(scanner.finish()) == found


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "Subject",
                "From",
                "To",
                "Date",
                "Message-ID",
                "Content-Type",
                "Content-Disposition",
                "Content-Language",
                "Content-Location",
                "Content-MD5",
                "Content-ID",
                "Content-Description",
                "Content-Transfer-Encoding",
            ]
        ),
        st.binary(max_size=40),
    )
)
def test_any_field_values_have_answers_by_the_grammar(values: dict[str, bytes]) -> None:
    """Every field that is shown may hold anything."""
    header = b"".join([name.encode() + b": " + value.replace(b"\n", b"") + b"\r\n" for name, value in values.items()])
    check(answers_of(header + b"\r\nbody\r\n"))


def test_the_envelope() -> None:
    """RFC 9051 §7.5.2: ten fields in order; Sender and Reply-To default to From."""
    assert answers_of(HARD["plain"]).envelope == (
        b'("Tue, 24 Nov 2026 09:30:00 +0700" "=?utf-8?q?L=E1=BB=8Bch_b=E1=BA=A3o_tr=C3=AC?=" '
        b'(("=?utf-8?b?xJDhu5cgVsSDbiBCw6o=?=" NIL "dvbe" "mic.gov.vn")) '
        b'(("=?utf-8?b?xJDhu5cgVsSDbiBCw6o=?=" NIL "dvbe" "mic.gov.vn")) '
        b'(("=?utf-8?b?xJDhu5cgVsSDbiBCw6o=?=" NIL "dvbe" "mic.gov.vn")) '
        b'((NIL NIL "ttlan" "mic.gov.vn")) NIL NIL NIL "<mot@mic.gov.vn>")'
    )


NAMES = [
    b"Name",
    b"J. Smith",
    b'"Q, R"',
    b'""',
    b'" x"',
    b'"a  b"',
    b"=?utf-8?q?=C4=91?=",
    b"two  words",
    b"\xc4\x91",
    b"a\tb",
    b"(c)",
]
ADDRESSES = st.one_of(
    st.just(b"a.b@c.vn"), st.sampled_from([b"", *NAMES]).map(lambda name: name + b" <a@b.vn>"), st.just(b"d@[192.0.2.1]")
)


@given(st.lists(ADDRESSES, min_size=1, max_size=4), st.sampled_from([b",", b", ", b",\r\n "]))
def test_usual_addresses_are_rendered_like_any_others(found: list[bytes], comma: bytes) -> None:
    """A list that ends in a comma is read by the tolerant reader, and shows the same."""
    shown = [answers_of(b"From: " + comma.join(found) + end + b"\r\n\r\n").envelope for end in (b"", b", ")]
    assert shown[0] == shown[1]
    assert shown[0].count(b".vn") + shown[0].count(b"192") == 3 * len(found)


def test_parts_with_one_header_are_described_alike() -> None:
    """What is remembered of a header is not what became of an earlier part with it."""
    header = b'Content-Type: multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: base64\r\n'
    message = HEAD + multipart("o", header + b"\r\n--b\r\n\r\nx\r\n--b--", header + b"\r\nno part")
    for _ in range(2):
        assert answers_of(message).body == (
            b'((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 1 0) "mixed")'
            b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 7 0) "mixed")'
        )


def test_absent_fields_are_nil_and_empty_ones_empty() -> None:
    """RFC 9051 §7.5.2 tells them apart."""
    assert answers_of(b"\r\n").envelope == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert (
        answers_of(b"Subject:\r\nDate: \r\nFrom:\r\nMessage-ID:\r\n\r\n").envelope == b'("" "" NIL NIL NIL NIL NIL NIL NIL "")'
    )


def test_of_two_fields_the_last_counts_and_addresses_add_up() -> None:
    """RFC 5322 §3.6 allows one of each; nobody shall hide a second author behind the first."""
    envelope = parse_value(answers_of(HARD["fields twice"]).envelope)
    assert isinstance(envelope, list)
    assert envelope[1] == b"two"
    assert envelope[2] == [[NIL, NIL, b"e", b"f.vn"], [NIL, NIL, b"g", b"h.vn"]]


def test_raw_utf8_is_encoded_for_those_who_did_not_ask_for_it() -> None:
    """Raw UTF-8 becomes encoded words; a session with UTF8=ACCEPT gets it as it is."""
    found = answers_of(HARD["raw UTF-8 in the header"])
    assert b"=?utf-8?" in found.envelope
    assert found.envelope_utf8 is not None
    assert '"Lịch bảo trì" (("Đỗ Văn Bê" NIL'.encode() in found.envelope_utf8
    assert answers_of(HARD["plain"]).envelope_utf8 is None


def test_message_ids_beyond_ascii() -> None:
    """RFC 6532 §3.2 lets them in; a client that did not ask for UTF-8 sees question marks."""
    found = answers_of(crlf("Message-ID: <đỗ@b.vn>\nSubject: x\n\nbody\n"))
    assert b'"<?????@b.vn>"' in found.envelope
    assert found.envelope_utf8 is not None
    assert '"<đỗ@b.vn>"'.encode() in found.envelope_utf8


def test_addresses_beyond_ascii_have_an_ascii_form() -> None:
    """A domain is shown by its A-labels, a mailbox as an encoded word."""
    found = answers_of(HARD["address beyond ASCII"])
    assert b'(NIL NIL "=?utf-8?b?xJHhu5c=?=" "xn--b-mnc.vn")' in re.sub(rb"xn--[a-z0-9-]+\.vn", b"xn--b-mnc.vn", found.envelope)
    assert found.envelope_utf8 is not None
    assert '"đỗ" "bộ.vn"'.encode() in found.envelope_utf8


STRUCTURES = {
    "plain": b'("text" "plain" ("charset" "utf-8") NIL NIL "8bit" 118 1 NIL NIL NIL NIL)',
    "no header at all": b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 12 1 NIL NIL NIL NIL)',
    "multipart without parts": b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 14 1 NIL NIL NIL NIL)',
    "global message": b'("message" "global" NIL NIL NIL "7bit" 418 NIL NIL NIL NIL)',
    "every content field": (
        b'("text" "plain" ("charset" "us-ascii") "<i@d>" "=?utf-8?b?bcO0IHThuqM=?=" "7bit" 6 1 '
        b'"Q2hlY2s=" NIL ("vi" "en") "http://a.vn/ b")'
    ),
    "raw UTF-8 file name": (
        b'("application" "pdf" ("name*" "utf-8\'\'b%C3%A1o%20c%C3%A1o.pdf") NIL NIL "7bit" 3 NIL '
        b'("attachment" ("filename*" "utf-8\'\'b%C3%A1o%20c%C3%A1o.pdf")) NIL NIL)'
    ),
    "type of nonsense": b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1 NIL NIL NIL NIL)',
    "encoding nobody knows": b'("application" "x" NIL NIL NIL "x-uuencode" 6 NIL NIL NIL NIL)',
}


@pytest.mark.parametrize(
    ("disposition", "written"),
    [
        (b"attachment; filename=a", b'("attachment" ("filename" "a"))'),
        (b"=?utf-8?Q?attachment=3B_filename=3Da?=", b"NIL"),
        (b"=?utf-8?Q?attachment?=; filename=a", b"NIL"),
        (b'"attachment"; filename=a', b"NIL"),
        (b"; filename=a", b"NIL"),
    ],
)
def test_a_disposition_that_is_no_token_is_none(disposition: bytes, written: bytes) -> None:
    """RFC 2183 §2, RFC 2047 §5: an encoded word is no disposition type, so there is none to tell of."""
    answers = answers_of(b"Content-Type: a/b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx")
    assert answers.bodystructure.endswith(b"NIL " + written + b" NIL NIL)")


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name: str) -> None:
    """BODYSTRUCTURE of single parts, word for word."""
    assert answers_of(HARD[name]).bodystructure == STRUCTURES[name]


def test_an_attached_message_shows_its_envelope_body_and_lines() -> None:
    """message/rfc822 has all three, and its lines count its header too."""
    inner = crlf("Subject: in\n\none\ntwo\n")
    found = answers_of(HEAD + multipart("b", PLAIN, part("message/rfc822", inner)))
    expected = (
        b'("message" "rfc822" NIL NIL NIL "7bit" 25 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) '
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 2 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)'
    )
    assert expected in found.bodystructure


def test_a_message_that_is_not_read_is_shown_as_octets() -> None:
    """A message/rfc822 in base64 would need an envelope that nobody has read; it is shown as a file."""
    assert b'("application" "octet-stream" NIL NIL NIL "base64"' in answers_of(HARD["attached message in base64"]).bodystructure


def test_strings_are_escaped_or_literal() -> None:
    """Quotes and backslashes are escaped, a bare CR makes a literal, NUL goes (RFC 9051 §4.3)."""
    assert rb'"\"a\" \\ b"' in answers_of(HARD["quotes and backslashes"]).envelope
    assert b"{3}\r\na\rb" in answers_of(b"Subject: a\rb\r\n\r\n").envelope
    assert b'"ab"' in answers_of(b"Subject: a\0b\r\n\r\n").envelope


def test_the_other_answers() -> None:
    """Size, header, date, message id and preview come with them."""
    message = HARD["plain"]
    found = answers_of(message)
    assert found.size == len(message)
    assert message.startswith(found.header)
    assert found.header.endswith(b"\r\n\r\n")
    assert found.sent_at == 1795487400
    assert found.message_id == b"<mot@mic.gov.vn>"
    assert found.preview.startswith("Kính gửi các đơn vị")
    assert found.attachment_octets == 0
