"""Header text for people, and back."""

import codecs
import encodings
import subprocess
import sys
import unicodedata
from encodings.aliases import aliases

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mic_mail.mime.encoded_words import (
    _NOT_TEXT,
    _codec,
    compose_letters,
    decode_as_written,
    decode_beginning_as_written,
    decode_octets,
    decode_text,
    encode_words,
)

NAME = "Đỗ Văn Bê"

DECODED = {
    b"plain": "plain",
    b"=?utf-8?q?=C4=90=E1=BB=97?=": "Đỗ",
    b"=?UTF-8?B?xJDhu5c=?=": "Đỗ",
    b"=?utf-8?B?xJDhu5c?=": "Đỗ",
    b"=?utf-8*vi?q?=C4=90?=": "Đ",
    b"a =?utf-8?q?b?= c": "a b c",
    b"=?utf-8?q?a?=  =?utf-8?q?b?=": "ab",
    b"=?utf-8?q?a?=\r\n\t=?utf-8?q?b?=": "ab",
    b"=?utf-8?q?a_b?=": "a b",
    b"=?utf-8?q?a b?=": "a b",
    b"=?utf-8?B?4bs?= =?utf-8?B?hQ==?=": "ễ",
    b"=?utf-8?q?=E1=BB?==?utf-8?q?=85?=": "ễ",
    b"=?viscii?q?=D0=AE?=": "Đệ",
    b"=?windows-1258?q?=D0=D2?=": "Đ\u0309",
    b"=?windows-1258?q?=EA=D2?=": "ể",
    b"=?x-nobody-knows?q?=C4=90?=": "Đ",
    b"=?base64?q?a?=": "a",
    b"=?idna?q?a?=": "a",
    b"=?utf-8?x?a?=": "=?utf-8?x?a?=",
    b"=?utf-8?q?a": "=?utf-8?q?a",
    NAME.encode(): NAME,
    unicodedata.normalize("NFD", NAME).encode(): NAME,
    "Lịch bảo".encode()[:-1]: "Lịch bả",
    "Lịch bảo trì".encode()[:-1]: "Lịch bảo tr\ufffd",
    "Trần".encode("cp1258", "replace"): "Tr?n",
    b"caf\xe9": "café",
    b"a=?utf-8?q?=CC=81?= =?windows-1258?q?o=EC?=": "áó",
}


@pytest.mark.parametrize("value", DECODED, ids=repr)
def test_decoding(value: bytes) -> None:
    """Encoded words in every state, raw UTF-8, legacy pages; always in NFC."""
    assert decode_text(value) == unicodedata.normalize("NFC", DECODED[value])


@pytest.mark.parametrize("name", ["viscii", "tcvn"])
def test_vietnamese_tables_hold_every_letter(name: str) -> None:
    """Every letter of Vietnamese is in VISCII and in TCVN 5712, once or twice."""
    text = decode_octets(bytes(range(256)), name)
    letters = "aăâeêioôơuưy"
    for mark in ("", "\u0300", "\u0309", "\u0303", "\u0301", "\u0323"):
        for letter in letters + "đ":
            wanted = unicodedata.normalize("NFC", letter + mark) if letter != "đ" else "đ"
            assert wanted in text


def test_tables_agree_with_iconv() -> None:
    """The tables are those of the C library."""
    for ours, theirs in (("viscii", "VISCII"), ("tcvn", "TCVN")):
        for octet in range(128, 256):
            try:
                converted = subprocess.run(
                    ["iconv", "-f", theirs, "-t", "utf-8"], input=bytes([octet]), capture_output=True, check=True
                )
            except (OSError, subprocess.CalledProcessError):
                pytest.skip("no iconv with Vietnamese charsets here")
            assert decode_octets(bytes([octet]), ours) == unicodedata.normalize("NFC", converted.stdout.decode())


@given(st.text())
def test_encoding_and_decoding_give_the_text_back(text: str) -> None:
    """Any text survives as encoded words of at most 75 octets, in ASCII; white space at the ends of plain text may go."""
    text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())
    words = encode_words(text)
    assert words.isascii()
    if words.startswith(b"=?"):
        assert all(len(word) <= 75 for word in words.split(b" "))
        assert decode_text(words) == text
    else:
        assert decode_text(words) == text.strip(" \t")


def test_a_word_without_a_charset_is_shown() -> None:
    """A language alone names none (RFC 2231 §5); nobody hides a word by that."""
    assert decode_text(b"a =?*en?q?xyz?= b") == "a xyz b"
    assert decode_text(b"=?utf-8?q?abc?= =?*vi?q?xyz?= =?utf-8?q?abc?=") == "abcxyzabc"


@given(
    st.binary(max_size=60),
    st.sampled_from(["", "utf-8", "viscii", "cp1258", "utf-16", "gb2312", "x", "iso-2022-jp", "hz", "\0"]),
)
def test_any_octets_are_text(value: bytes, charset: str) -> None:
    """No octets and no charset are too strange to be shown."""
    decode_text(value)
    decode_octets(value, charset)
    decode_text(b"=?" + charset.encode() + b"?b?" + value + b"?= =?utf-8?q?" + value + b"?=")


@example("x" * 255 + "e\u0302\u0323")
@given(
    st.lists(st.sampled_from(["a", "ê", "e\u0302", "\u0323", "\u0301", " ", "đ", "한", "x" * 250, "e\u0302 " * 100])).map(
        "".join
    )
)
def test_long_text_is_composed_too(text: str) -> None:
    """Text is in NFC however long it is, wherever its blocks are cut."""
    assert compose_letters(text) == unicodedata.normalize("NFC", text)


_OCTETS = st.lists(
    st.sampled_from(
        [b"a", b" ", "ê".encode(), "e\u0302".encode(), "\u0323".encode(), "\u0338".encode(), b"\xff", b"\xe1\xbb", b">"]
    )
).map(b"".join)


@given(
    _OCTETS, _OCTETS, st.sampled_from(["", "utf-8", "us-ascii", "iso-8859-1", "cp1258", "viscii", "utf-16", "iso-2022-jp", "x"])
)
@example(b"a>", "\u0338".encode(), "utf-8")
@example(b"a\xe1\xbb", b"\x87", "utf-8")
@example(b"ab", b"\xff", "")
@example(b"abc", b"d", "utf-16")
def test_a_text_begins_as_its_beginning_says(beginning: bytes, rest: bytes, charset: str) -> None:
    """What is read of the first octets stands whatever follows: characters cut in two, marks, octets that change the guess."""
    assert decode_as_written(beginning + rest, charset).startswith(decode_beginning_as_written(beginning, charset))


def test_names_of_charsets_that_nobody_knows_are_not_kept() -> None:
    """Python keeps each that it is asked for; one subject can have 18,000."""
    before = len(encodings._cache)
    subject = b" ".join(b"=?x-%05d?q?a?=" % number for number in range(2_000))
    assert decode_text(subject) == "a" * 2_000
    assert len(encodings._cache) == before


def test_charsets_that_python_knows_are_known() -> None:
    """By each of their names, in other writings too."""
    for name in {*aliases, *aliases.values()}:
        for spelt in (name, name.upper(), name.replace("_", "-"), name.replace("_", " ")):
            try:
                known = codecs.lookup(spelt)
            except LookupError:
                continue
            found = _codec(spelt)
            assert (
                found is not None
                or not known._is_text_encoding
                or known.name in ("idna", "punycode", "utf-7")
                or (known.name.replace("-", "_") in _NOT_TEXT)
            ), spelt


@pytest.mark.skipif(sys.flags.optimize > 0, reason="asserts are off")
def test_odd_codecs_are_not_charsets() -> None:
    """Codecs that are not charsets of mail, or slow on hostile input, decode nothing."""
    for name in ("idna", "punycode", "unicode_escape", "rot13", "zlib", "utf-7", "base64"):
        assert decode_octets(b"+AGE-\\u0061xn--a", name) == "+AGE-\\u0061xn--a"
