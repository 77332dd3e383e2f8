"""ORCPT: carried as it came, told as each reader understands it."""

import pytest
from hypothesis import given

from addresses import Spelling, spellings
from mic_mail.mime.original_recipient import MAX_OCTETS, NotAnOriginalRecipient, OriginalRecipient


def utf8_encoded(text: str, *, ascii_only: bool) -> str:
    """RFC 6533 §3, by somebody else's reading of it: CTLs, SP, `\\`, `+` and `=` embedded, and the rest on demand."""
    return "".join(f"\\x{{{ord(c):02X}}}" if c in " \\+=" or (ascii_only and not c.isascii()) else c for c in text)


def xtext(text: str) -> str:
    """RFC 3461 §4."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)


def written(spelling: Spelling) -> str:
    return spelling.text[:60] if spelling.address.is_ascii else spelling.text[:30]


@given(spellings())
def test_what_a_sender_named_is_told_back(spelling: Spelling) -> None:
    """Original-Recipient has the very letters (RFC 3461 §6.3, RFC 6533 §4.1); the next server has what we were given."""
    text = written(spelling)
    if text.isascii():
        carried = OriginalRecipient.parse(f"rfc822;{xtext(text)}")
        assert (str(carried), carried.in_ascii()) == (f"rfc822;{xtext(text)}",) * 2
        assert carried.in_report(utf8=False) == carried.in_report(utf8=True) == f"rfc822; {text}"
    for ascii_only in (False, True):
        encoded = utf8_encoded(text, ascii_only=ascii_only)
        carried = OriginalRecipient.parse(f"utf-8;{encoded}")
        assert str(carried) == f"utf-8;{encoded}"
        assert carried.in_report(utf8=True) == f"utf-8; {text}"
        assert carried.in_ascii() == f"utf-8;{utf8_encoded(text, ascii_only=True)}"
        assert carried.in_report(utf8=False) == f"utf-8; {utf8_encoded(text, ascii_only=True)}", "seven bits"
        assert OriginalRecipient.parse(carried.in_ascii()).address == text


@pytest.mark.parametrize(
    "text",
    [
        "", "rfc822", "rfc822;", ";a@b", "rfc822;a b", "rfc822;a=b", "rfc822;a+0Ab", "rfc822;a+zz", "rfc822;ê",
        "rfc822;a+C3+AA",
        "rfc822;a+85b", "utf-8;a\\x{A}", "utf-8;a\\x{D800}", "utf-8;a\\x{2028}", "utf-8;a\\x{110000}", "utf-8;\\",
        "utf-8;a\\x{7F}",
        "utf-8;a+85", "rfc 822;a", "rfc822;" + "a" * MAX_OCTETS, "utf-8;" + "ê" * 248,
    ],
)  # fmt: skip
def test_what_no_report_could_hold_is_refused(text: str) -> None:
    """RFC 3461 §4.2: printable ASCII once it is decoded, or RFC 6533's letters; no line of a report ends in it."""
    with pytest.raises(NotAnOriginalRecipient):
        OriginalRecipient.parse(text)
