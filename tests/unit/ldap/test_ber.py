"""BER as LDAP restricts it: whatever comes, an answer or `BadBer`, in time and memory linear in what came."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ldap_client import ask, bind, number, search, text, tlv, written
from mic_mail.ldap import ber, dn, filters, requests
from mic_mail.ldap.ber import BadBer, BerReader
from mic_mail.ldap.filters import TooLarge

numbers = st.integers(0, (1 << 31) - 1)


@given(numbers)
def test_numbers_come_back(value: int) -> None:
    """In the fewest octets."""
    octets = ber.integer(value)
    assert octets == number(value)
    assert BerReader(octets).integer() == value


@given(st.binary(max_size=70_000))
def test_strings_come_back(octets: bytes) -> None:
    """Of any length."""
    reader = BerReader(ber.string(octets) + ber.boolean(True))
    assert (reader.octets(), reader.boolean(), reader.more) == (octets, True, False)


@given(
    st.lists(st.sampled_from([bind(), search(), search(3, "(&(cn=a*b*c)(!(mail>=x)))", "cn"), ask(4, b"\x42\0")]), max_size=4)
)
def test_messages_are_found_at_any_split(messages: list[bytes]) -> None:
    """One octet at a time gives what all at once gives, and nothing before it is whole."""
    buffer, found = bytearray(), []
    for octet in b"".join(messages):
        buffer.append(octet)
        if length := ber.message_octets(buffer, 1 << 16):
            assert length == len(buffer)
            found.append(bytes(buffer))
            buffer.clear()
    assert found == messages
    assert not buffer


@pytest.mark.parametrize(
    "octets",
    [
        b"\x31\x00",  # no sequence
        b"\x30\x80\x02\x01\x01\x00\x00",  # indefinite length (RFC 4511 §5.1)
        b"\x30\x84\x7f\xff\xff\xff",  # 2 GiB
        b"\x30\x85\0\0\0\0\1",
        b"\x30\xff",
        b"\x30\x82\xff\xff" + bytes(10),
        b"\x3f\x81\x00",
    ],
)
def test_lengths_are_not_believed(octets: bytes) -> None:
    """What claims to be longer than a request may be is refused before it is waited for, at the cost of its head."""
    with pytest.raises(BadBer):
        ber.message_octets(bytearray(octets), 1 << 15)


def nested(depth: int, innermost: bytes = b"\x87\x02cn", tag: int = 0xA2) -> bytes:
    octets = innermost
    for _ in range(depth):
        octets = tlv(tag, octets)
    return octets


def test_deep_filters_are_refused() -> None:
    """Thirty-two levels are read; deeper ones, up to as many as a message can hold, are refused without going down."""
    assert filters.read(BerReader(nested(31)))
    for depth in (33, 1_000, 16_000):
        with pytest.raises(TooLarge):
            filters.read(BerReader(nested(depth)))


def test_wide_filters_are_refused() -> None:
    """So are many items, also as pieces of one substring."""
    many = tlv(0xA1, b"\x87\x02cn" * 300)
    pieces = tlv(0xA4, text("cn"), tlv(0x30, b"\x81\x01a" * 300))
    for octets in (many, pieces):
        with pytest.raises(TooLarge):
            filters.read(BerReader(octets))


@pytest.mark.parametrize("item", ["(cn={})", "(cn>={})", "(cn<={})", "(cn~={})", "(cn=a*{}*)", "(cn:2.5.13.2:={})"])
def test_values_that_nothing_has_are_refused(item: str) -> None:
    """Four kilobytes are read; more would only cost time."""
    assert filters.read(BerReader(written(item.format("a" * 4096))))
    with pytest.raises(TooLarge):
        filters.read(BerReader(written(item.format("a" * 4097))))


def parsed(octets: bytes) -> object:
    """As far as it can be understood."""
    try:
        request = requests.envelope(octets)
        reading = {requests.BIND: requests.bind, requests.SEARCH: requests.search, requests.COMPARE: requests.compare}
        reading[requests.EXTENDED] = requests.extended  # type: ignore[assignment]
        return reading[request.tag](request.body) if request.tag in reading else request
    except (BadBer, TooLarge) as error:
        return type(error)


@given(st.binary(max_size=300))
def test_anything_is_understood_or_refused(octets: bytes) -> None:
    """No other exception."""
    parsed(octets)


@given(st.data())
def test_damaged_requests_are_understood_or_refused(data: st.DataObject) -> None:
    """Likewise of real requests with any octets changed, put in or left out."""
    octets = bytearray(data.draw(st.sampled_from([bind(), search(2, "(|(cn=*a*)(sn:dn:2.5.13.2:=b)(!(mail~=c)))", "cn", "*")])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    parsed(bytes(octets))


def test_a_hostile_message_costs_no_more_memory_than_its_size() -> None:
    """Sixty kilobytes of the smallest elements there are."""
    octets = ask(1, tlv(0x63, b"\x04\0" * 30_000))
    tracemalloc.start()
    try:
        for hostile in (
            octets,
            ask(1, tlv(0x60, nested(15_000))),
            search(1, nested(15_000)),
            search(1, tlv(0xA0, b"\xa0\0" * 30_000)),
        ):
            parsed(hostile)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_filter_is_what_was_written() -> None:
    """Each kind of item of RFC 4515."""
    wanted = "(&(cn=Bê)(cn=a*b*c)(sn>=a)(sn<=z)(mail=*)(ou~=x)(!(uid=y))(cn:dn:2.5.13.2:=q))"
    assert filters.read(BerReader(written(wanted))) == filters.And(
        (
            filters.Comparison("=", "cn", "Bê".encode()),
            filters.Substrings("cn", b"a", (b"b",), b"c"),
            filters.Comparison(">=", "sn", b"a"),
            filters.Comparison("<=", "sn", b"z"),
            filters.Present("mail"),
            filters.Comparison("~=", "ou", b"x"),
            filters.Not(filters.Comparison("=", "uid", b"y")),
            filters.Matches("2.5.13.2", "cn", b"q", names=True),
        )
    )


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("", ()),
        ("uid=DVBe, ou=people , dc=mic", ("uid=dvbe", "ou=people", "dc=mic")),
        ("0.9.2342.19200300.100.1.1=dvbe;OU=people", ("uid=dvbe", "ou=people")),
        ("cn=a\\,b\\2Cc\\ +sn=  x  y  ", ("cn=a,b,c+sn=x y",)),
        ("cn=\\C4\\90\\E1\\BB\\97", ("cn=đỗ",)),
        ("cn=Do\u0302\u0303", ("cn=dỗ",)),
        ("cn=", ("cn=",)),
    ],
)
def test_names_in_one_form(name: str, parts: tuple[str, ...]) -> None:
    """Names that are equal (RFC 4514, with the blanks of RFC 2253) have the same form."""
    assert dn.normal(name) == parts


@pytest.mark.parametrize(
    "name", ["x", "=x", "cn=a,", ",cn=a", "cn=a\\", "cn=\\ff", 'cn="a"', "cn=a<b", "cn=a," * 100 + "cn=a", "c" * 5000]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(dn.BadName):
        dn.normal(name)


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_not(name: str) -> None:
    """No other exception, and the form of the form is the form."""
    try:
        parts = dn.normal(name)
    except dn.BadName:
        return
    assert all("=" in part for part in parts)
