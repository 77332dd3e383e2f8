"""The address of a mailbox as a value: read once, equal to itself in every spelling, written by itself."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import Spelling, parsed, spellings, strict_path
from mic_mail.domain_name import to_ascii
from mic_mail.log.maillog import encode
from mic_mail.mailbox_address import MAX_OCTETS, NULL_PATH, MailboxAddress, NotAnAddress, parse_reverse_path


@given(spellings())
def test_an_address_is_the_same_in_every_spelling(spelling: Spelling) -> None:
    """RFC 5321 §4.1.2: quotes and quoted pairs are a way of writing; what is written again is read as the same value."""
    address = parsed(spelling.text)
    assert address == spelling.address
    assert hash(address) == hash(spelling.address)
    assert address.local_part == unicodedata.normalize("NFC", spelling.local_part)
    assert str(parsed(str(address))) == str(address), "there is one canonical form"
    assert len(str(address).encode()) <= MAX_OCTETS
    assert strict_path(f"RCPT TO:<{address}>") == (address.local_part, address.domain, [])


@given(spellings())
def test_quotes_are_as_few_as_can_be(spelling: Spelling) -> None:
    """RFC 5321 §4.1.2: the form that uses the minimum quoting possible."""
    text, address = str(spelling.address), spelling.address
    if text.startswith('"'):
        with pytest.raises(NotAnAddress):
            MailboxAddress.parse(f"{address.local_part}@{address.domain}")
        assert text.count("\\") == sum(address.local_part.count(char) * (1 if char == '"' else 2) for char in '"\\')
    else:
        assert text == f"{address.local_part}@{address.domain}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("dvbe@MIC.gov.vn", "dvbe@mic.gov.vn", True), ('"dvbe"@mic.gov.vn', "dvbe@mic.gov.vn", True),
        ('"d\\vbe"@mic.gov.vn', "dvbe@mic.gov.vn", True), ("DVBE@mic.gov.vn", "dvbe@mic.gov.vn", False),
        ("a@bộ.vn", "a@xn--b-8xm.vn", True), ("a@BỘ.vn", "a@XN--B-8XM.vn", True), ("a@[ipv6:FE80::1]", "a@[IPv6:fe80::1]",
        True),
        ("a@bộ.vn", "a@bô.vn", False), ("e\u0302@x", "ê@x", True), ('"a b"@x', '"a  b"@x', False), ("a@a.b.c", '"a@a"@b.c',
        False),
    ],
)  # fmt: skip
def test_which_addresses_are_equal(one: str, other: str, same: bool) -> None:
    """The local part letter by letter; the domain in either case and either kind of label."""
    assert (parsed(one) == parsed(other)) is same
    assert (len({parsed(one), parsed(other)}) == 1) is same


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "@b", "a@", "a@b@c", "a b@c", '"a"b@c', '"a@c', '""@c', "a@b..c", "a@.b", "a@-b", "a@b-", "a@[1.2.3.256]",
        "a@[x]",
        "a\n@b", '"a\n"@b', '"a\\\n"@b', "a@b\n", "a\u0085@b", "a\u2028@b", "a@b\u2029c", "a\ud800@b", "a" * 257 + "@b",
        "ê" * 129 + "@b", "a@" + "b." * 127 + "bc", "a@b\u037e.c", "a@b\u1fef.c", "<a@b>", "a@b ", " a@b", "a@b>",
        "a@b> NOTIFY=NEVER",
        "x" * 100_000, "a@" + "e\u0301" * 50_000,
    ],
)  # fmt: skip
def test_no_other_text_becomes_an_address(text: str) -> None:
    """Nor one that becomes another text when it is composed (U+037E is a semicolon then)."""
    with pytest.raises(NotAnAddress):
        parsed(text)
    local_part, _, domain = text.rpartition("@")
    if not set(local_part) & set(' "\\<@'):
        with pytest.raises(NotAnAddress):
            MailboxAddress(local_part, domain)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_two_texts_are_an_address_or_an_error(local_part: str, domain: str) -> None:
    """Nothing else is raised; and what could be made is read again."""
    try:
        address = MailboxAddress(local_part, domain)
    except NotAnAddress:
        return
    assert parsed(str(address)) == address
    assert not any(unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"} for char in str(address))


@given(spellings())
def test_to_who_knows_ascii_alone(spelling: Spelling) -> None:
    """RFC 6531 §3.4: the domain in A-labels, where that is all that is needed."""
    address = spelling.address
    if address.local_part.isascii():
        assert parsed(address.in_ascii()) == address
        assert address.in_ascii().isascii()
        assert address.domain.startswith("[") or parsed(address.in_ascii()).domain == to_ascii(address.domain)
    else:
        with pytest.raises(NotAnAddress):
            address.in_ascii()
    assert address.type == ("rfc822" if address.is_ascii else "utf-8")


@given(spellings())
def test_a_line_of_the_log_reads_back(spelling: Spelling) -> None:
    """One line of JSON for each event, with the address in its canonical form."""
    line = encode(0, 1, "message_sent", {"sender": NULL_PATH, "recipient": spelling.address, "recipients": [spelling.address]})
    assert line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1
    told = json.loads(line)
    assert parse_reverse_path(told["sender"]) is NULL_PATH
    assert parsed(told["recipient"]) == parsed(*told["recipients"]) == spelling.address


def test_the_null_path_is_nobody() -> None:
    """RFC 5321 §4.5.5: written as nothing; false, where an address is true."""
    assert not NULL_PATH
    assert str(NULL_PATH) == ""
    assert parsed("a@b")
