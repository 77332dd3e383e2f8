"""The arguments of MAIL, RCPT, BDAT and EHLO."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addresses import Spelling, parsed, spellings
from mic_mail.mailbox_address import NULL_PATH
from mic_mail.mime.original_recipient import decode_xtext
from mic_mail.smtp.grammar import (
    ArgumentFault,
    Chunk,
    parse_bdat,
    parse_helo,
    parse_mail,
    parse_rcpt,
)


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"FROM:<>", ""),
        (b"FROM: <dvbe@mic.gov.vn>", "dvbe@mic.gov.vn"),
        (b"from:<dvbe@mic.gov.vn>  ", "dvbe@mic.gov.vn"),
        (b"FROM:<dvbe@MIC.gov.VN>", "dvbe@mic.gov.vn"),
        (b'FROM:<"dvbe"@mic.gov.vn>', "dvbe@mic.gov.vn"),
        (b'FROM:<"d vbe"@mic.gov.vn>', '"d vbe"@mic.gov.vn'),
        (b'FROM:<"a\\"\\\\b"@x>', '"a\\"\\\\b"@x'),
        (b'FROM:<"a@evil.example"@mic.gov.vn>', '"a@evil.example"@mic.gov.vn'),
        (b"FROM:<@relay.example,@[127.0.0.1]:a@b.example>", "a@b.example"),
        (b"FROM:<a@[IPv6:::1]>", "a@[IPv6:::1]"),
        (b"FROM:<a@[ipv6:FE80::1]>", "a@[IPv6:fe80::1]"),
        (b"FROM:<my_host@pc_1.example>", "my_host@pc_1.example"),
        (b"FROM:<a!b%c@mic.gov.vn>", "a!b%c@mic.gov.vn"),
        (b"FROM:<bounce+tag=user=example.org@lists.example>", "bounce+tag=user=example.org@lists.example"),
    ],
)
def test_sender_addresses_are_read_as_the_standard_writes_them(argument: bytes, address: str) -> None:
    """RFC 5321 §4.1.2: quotes that say nothing fall away, routes are ignored, a space after the colon is Outlook's."""
    assert str(parse_mail(argument)[0]) == address


@pytest.mark.parametrize(
    "argument",
    [
        b"FROM:a@b.example", b"FROM:<a@b.example", b"FROM:<<a@b.example>>", b"FROM:<a@b.example>>", b"FROM:<a@b.example>x",
        b"FROM:a@b.example>", b"FROM:<a@b.example.>", b"FROM:<a@.b>", b"FROM:<a..b@c>", b"FROM:<.a@b>", b"FROM:<a.@b>",
        b"FROM:<a@b@c>", b"FROM:<a>", b"FROM:<@b>", b"FROM:<a@>", b"FROM:< a@b>", b"FROM:<a@b >", b"FROM:<a@b\x00c>",
        b"FROM:<a\x01b@c>", b'FROM:<"a"b@c>', b'FROM:<"a@c>', b"FROM:<a(comment)@b>", b"FROM:<a@[1.2.3]>",
        b"FROM:<a@[1.2.3.256]>", b"FROM:<a@-b.example>", b"FROM:<a@b-.example>", b'FROM:<""@b>', b"FROM:<Postmaster>",
        b"FROM:<" + b"a" * 257 + b"@b>", b"FROM:<a@" + b"b." * 130 + b"c>", b"FROM:", b"FROM:<a@b>,<c@d>",
    ],
)  # fmt: skip
def test_sender_addresses_that_can_be_read_in_two_ways_are_refused(argument: bytes) -> None:
    """No guessing: unclosed, doubled or commented brackets, empty labels and controls are 501 5.1.7."""
    with pytest.raises(ArgumentFault) as caught:
        parse_mail(argument)
    assert caught.value.name == "bad-sender"


def test_the_null_path_is_a_sender_and_never_a_recipient() -> None:
    """RFC 5321 §4.5.5: `<>` sends reports; nothing can be sent to it."""
    assert parse_mail(b"FROM:<>")[0] is NULL_PATH
    with pytest.raises(ArgumentFault, match="bad-recipient"):
        parse_rcpt(b"TO:<>", smtputf8=False)


def test_postmaster_needs_no_domain() -> None:
    """RFC 5321 §4.5.1: `RCPT TO:<Postmaster>` in any case, and nobody else without a domain."""
    assert parse_rcpt(b"TO:<PostMaster>", smtputf8=False)[0] is None
    with pytest.raises(ArgumentFault, match="bad-recipient"):
        parse_rcpt(b"TO:<dvbe>", smtputf8=False)


@pytest.mark.clause("13.1")
def test_letters_beyond_ascii_need_smtputf8() -> None:
    """RFC 6531 §3.5: 553 5.6.7 without the parameter; with it the address is NFC."""
    address = "đỗ@ví-dụ.vn"
    with pytest.raises(ArgumentFault, match="needs-smtputf8"):
        parse_mail(f"FROM:<{address}>".encode())
    assert parse_mail(f"FROM:<{address}> SMTPUTF8".encode())[0] == parsed(address)
    with pytest.raises(ArgumentFault, match="needs-smtputf8"):
        parse_rcpt(f"TO:<{address}>".encode(), smtputf8=False)
    decomposed = "đo\u0302\u0303@ví-dụ.vn"
    assert parse_rcpt(f"TO:<{decomposed}>".encode(), smtputf8=True)[0] == parsed(address)


def test_octets_that_are_no_utf8_are_a_syntax_error() -> None:
    """A Latin-1 address is not an address; it is not repaired."""
    with pytest.raises(ArgumentFault, match="syntax"):
        parse_mail(b"FROM:<\xe9@b> SMTPUTF8")


def test_all_mail_parameters_together() -> None:
    """SIZE, BODY, SMTPUTF8, AUTH, RET, ENVID in any order and case; ENVID keeps its case."""
    _, parameters = parse_mail(
        b"FROM:<a@b> size=123 BODY=8bitmime requiretls SMTPUTF8 AUTH=e+3Dmc2@example.com RET=hdrs ENVID=QQ+2B1z"
    )
    assert (parameters.size, parameters.body, parameters.smtputf8) == (123, "8BITMIME", True)
    assert parameters.requires_tls
    assert (parameters.auth, parameters.ret, parameters.envid) == ("e=mc2@example.com", "HDRS", "QQ+2B1z")
    assert parse_mail(b"FROM:<a@b> AUTH=<>")[1].auth == ""


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (b"SIZE", "bad-parameter"), (b"SIZE=", "bad-parameter"), (b"SIZE=-1", "bad-parameter"), (b"SIZE=1e3", "bad-parameter"),
        (b"SIZE=" + b"9" * 21, "bad-parameter"), (b"SIZE=1 SIZE=1", "bad-parameter"), (b"BODY=9BIT", "bad-parameter"),
        (b"BODY", "bad-parameter"), (b"SMTPUTF8=yes", "bad-parameter"), (b"RET=ALL", "bad-parameter"),
        (b"ENVID=", "bad-parameter"), (b"ENVID=a+0Ab", "bad-parameter"), (b"ENVID=a+zz", "bad-parameter"),
        (b"ENVID=" + b"a" * 101, "bad-parameter"), (b"AUTH=a", "bad-parameter"), (b"=x", "bad-parameter"),
        (b"MT-PRIORITY=3", "unknown-parameter"), (b"X", "unknown-parameter"), (b"NOTIFY=NEVER", "unknown-parameter"),
    ],
)  # fmt: skip
def test_wrong_mail_parameters_are_named(parameters: bytes, name: str) -> None:
    """501 5.5.4 for one that cannot be read, 555 5.5.4 for one that is not known (RFC 5321 §4.1.1.11)."""
    with pytest.raises(ArgumentFault) as caught:
        parse_mail(b"FROM:<a@b> " + parameters)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("ORCPT=x400;/S=a/", "ORCPT"), ("ORCPT=rfc822;a=b@c", "ORCPT"), ("=x", "=x"), ("chữ=x", r"ch\u1eef"), (">X", ">X"),
        ("é" * 90, r"\xe9" * 10),
    ],
)  # fmt: skip
def test_a_parameter_that_is_none_is_named(parameters: str, named: str) -> None:
    """The reply says which word it was, in ASCII and short."""
    with pytest.raises(ArgumentFault) as caught:
        parse_rcpt(f"TO:<a@b> {parameters}".encode(), smtputf8=True)
    assert (caught.value.name, caught.value.detail) == ("bad-parameter", named)


def test_delivery_report_parameters_of_a_recipient() -> None:
    """RFC 3461 §4: NOTIFY as a set, ORCPT as it came; NEVER stands alone."""
    _, parameters = parse_rcpt(b"TO:<a@b> NOTIFY=SUCCESS,delay ORCPT=rfc822;Bob+40ENSI@x", smtputf8=False)
    assert parameters.notify == {"SUCCESS", "DELAY"}
    assert str(parameters.orcpt) == "rfc822;Bob+40ENSI@x"
    assert str(parse_rcpt("TO:<a@b> ORCPT=utf-8;đ\\x{1EBF}@x".encode(), smtputf8=True)[1].orcpt) == "utf-8;đ\\x{1EBF}@x"
    for wrong in (
        b"NOTIFY=NEVER,DELAY",
        b"NOTIFY=",
        b"NOTIFY=SUCCESS,SUCCESS",
        b"ORCPT=x",
        b"ORCPT=rfc822;a=b",
        b"ORCPT=a;b+0D",
    ):
        with pytest.raises(ArgumentFault, match="bad-parameter"):
            parse_rcpt(b"TO:<a@b> " + wrong, smtputf8=False)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_xtext_comes_back_as_it_went(text: str) -> None:
    """RFC 3461 §4: printable ASCII, in which all but "!" to "~" without "+" and "=" is written as "+" and two digits."""
    written = "".join(char if "!" <= char <= "~" and char not in "+=" else f"+{ord(char):02X}" for char in text)
    assert decode_xtext(written) == text


def test_chunk_sizes() -> None:
    """RFC 3030 §2: a decimal number and perhaps LAST."""
    assert parse_bdat(b"100") == Chunk(100, last=False)
    assert parse_bdat(b"0 last") == Chunk(0, last=True)
    for wrong in (b"", b"LAST", b"-1", b"1 2", b"1 LASTS", b"0x10", b"9" * 20):
        with pytest.raises(ArgumentFault):
            parse_bdat(wrong)


def test_the_name_in_ehlo_is_made_fit_for_a_header() -> None:
    """RFC 5321 §4.1.4: mail is not refused for it; what a trace header cannot carry becomes `?`."""
    assert parse_helo(b" pc_1.mic.local ") == "pc_1.mic.local"
    assert parse_helo(b"[192.0.2.1]") == "[192.0.2.1]"
    assert parse_helo("máy (1)\\".encode()) == "m?y??1??"
    for wrong in (b"", b"  ", b"a" * 256):
        with pytest.raises(ArgumentFault, match="bad-helo"):
            parse_helo(wrong)


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_are_an_address_or_a_fault(octets: bytes, utf8: bool) -> None:
    """Nothing but `ArgumentFault` comes out of the grammar, and what it accepts has no control characters."""
    for parse in (
        lambda: parse_mail(octets),
        lambda: parse_mail(b"FROM:<" + octets),
        lambda: parse_rcpt(b"TO:<" + octets, smtputf8=utf8),
    ):
        try:
            path, _ = parse()
        except ArgumentFault:
            continue
        assert all(char >= " " and char != "\x7f" for char in str(path))


@given(spellings(), st.sampled_from([" SIZE=7", " NOTIFY=NEVER", ""]))
def test_any_spelling_of_an_address_is_read(spelling: Spelling, rest: str) -> None:
    """RFC 5321 §4.1.2, RFC 6531 §3.3: whatever the grammar has, and the parameters behind it are the client's."""
    if rest != " NOTIFY=NEVER":
        path, _ = parse_mail(f"FROM:<{spelling.text}>{rest} SMTPUTF8".encode())
        assert path == spelling.address
    if rest != " SIZE=7":
        address, parameters = parse_rcpt(f"TO:<{spelling.text}>{rest}".encode(), smtputf8=True)
        assert (address, parameters.notify) == (spelling.address, {"NEVER"} if rest else frozenset())
