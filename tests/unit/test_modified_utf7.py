"""Modified UTF-7 both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail import modified_utf7


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("INBOX", b"INBOX"),
        ("", b""),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),  # RFC 3501 §5.1.3
        ("&", b"&-"),
        ("Tom & Jerry", b"Tom &- Jerry"),
        ("&é&", b"&-&AOk-&-"),
        ("Công văn đi", b"C&APQ-ng v&AQM-n &ARE-i"),
        ("Thư 📎", b"Th&AbA- &2D3czg-"),
        ("a\tb", b"a&AAk-b"),
    ],
)
def test_examples(name: str, octets: bytes) -> None:
    """Both ways (RFC 3501 §5.1.3)."""
    assert modified_utf7.encode(name) == octets
    assert modified_utf7.decode(octets) == name


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_round_trip(name: str) -> None:
    """Every name comes back, and its form is printable ASCII."""
    octets = modified_utf7.encode(name)
    assert octets.isascii()
    assert octets.decode().isprintable()
    assert modified_utf7.decode(octets) == name


@given(st.binary(max_size=40).map(lambda octets: octets.replace(b"\n", b"&")))
def test_strict_is_one_to_one(octets: bytes) -> None:
    """What is decoded is encoded to the same octets: no name has two forms; nothing but NotModifiedUtf7 is raised."""
    try:
        name = modified_utf7.decode(octets)
    except modified_utf7.NotModifiedUtf7:
        return
    assert modified_utf7.encode(name) == octets


@pytest.mark.parametrize(
    "octets",
    [b"&", b"a&b", b"&AGE-", b"&U,BTFw-&ZeVnLIqe-", b"&U,BTFx-", b"&2D0-", b"&AOk=-", b"&AO/k-", b"\xc3\xa9", b"a\x00",
     b"&A-", b"&AOkA-"],
)  # fmt: skip
def test_refuses_other_forms(octets: bytes) -> None:
    """Superfluous shifts, shifted ASCII, stray bits, lone surrogates, padding, 8 bits: not modified UTF-7."""
    with pytest.raises(modified_utf7.NotModifiedUtf7):
        modified_utf7.decode(octets)


def test_lenient() -> None:
    """A name that is no modified UTF-7 is what it looks like; a lone surrogate cannot break an answer."""
    assert modified_utf7.decode_leniently(b"Tom & Jerry") == "Tom & Jerry"
    assert modified_utf7.decode_leniently("văn".encode()) == "văn"
    assert modified_utf7.decode(modified_utf7.encode("a\ud800b")) == "a\ufffdb"


@pytest.mark.parametrize("octets", [b"&AGE-", b"&U,BTFw-&ZeVnLIqe-", b"&AGE-b&-"])
def test_needless_shifts_are_read_where_allowed(octets: bytes) -> None:
    """Other programs write them into the names of directories and into lists of subscriptions."""
    with pytest.raises(modified_utf7.NotModifiedUtf7):
        modified_utf7.decode(octets)
    name = modified_utf7.decode(octets, strict=False)
    assert modified_utf7.decode(modified_utf7.encode(name)) == name
