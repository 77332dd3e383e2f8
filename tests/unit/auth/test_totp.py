"""Codes of a second factor: RFC 6238's own, the window, recovery codes, the seal."""

import re

import pytest

from mic_mail.auth import totp

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_the_vectors_of_rfc_6238(seconds: int, code: str) -> None:
    """Appendix B, SHA-1, the last six digits."""
    assert totp.step_of(SECRET, code, seconds) == seconds // 30
    assert totp.code(SECRET, seconds // 30) == code


def test_one_step_before_and_after() -> None:
    """RFC 6238 §5.2: clocks differ by a little; what is further off is none."""
    now = 1_000_000
    for off in range(-4, 5):
        found = totp.step_of(SECRET, totp.code(SECRET, now + off), now * 30 + 12.5)
        assert found == (now + off if abs(off) <= 1 else None)


@pytest.mark.parametrize(
    "text", ["", "28708", "2870822", "28708a", "２８７０８２", "+28708", "-28708", "28_082", "287 082\x00"]
)
def test_what_is_no_code(text: str) -> None:
    """Six digits of ASCII and nothing else; blanks between them are how people read them out."""
    assert totp.step_of(SECRET, text, 59) is None
    assert totp.step_of(SECRET, " 287 082 ", 59) == 1


def test_what_an_authenticator_reads() -> None:
    """The URI names issuer and account, escaped; the secret is base32 without padding."""
    made = totp.uri(SECRET, "dvbe@mic.gov.vn", "mail.mic.gov.vn & co")
    assert made == (
        "otpauth://totp/mail.mic.gov.vn%20%26%20co%3Advbe%40mic.gov.vn?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        "&issuer=mail.mic.gov.vn%20%26%20co&algorithm=SHA1&digits=6&period=30"
    )
    assert totp.typed(SECRET) == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
    assert len(totp.make_secret()) == 20


def test_recovery_codes() -> None:
    """Ten different ones; known in any case and without hyphens, and only as their holder's."""
    codes = totp.recovery_codes()
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"(?:[a-z2-9]{4}-){3}[a-z2-9]{4}", code) for code in codes)
    digest = totp.recovery_digest("mailbox/1", codes[0])
    assert digest is not None
    assert totp.recovery_digest("mailbox/1", codes[0].replace("-", "  ").upper()) == digest
    assert totp.recovery_digest("mailbox/2", codes[0]) != digest
    assert totp.recovery_digest("mailbox/1", codes[0][:-1]) is None
    assert totp.recovery_digest("mailbox/1", "l" * 16) is None


def test_the_seal() -> None:
    """Opens with its key and for its holder alone; one octet changed, cut or moved to another row is told."""
    key = bytes(32)
    sealed = totp.seal(key, SECRET, "mailbox/1")
    assert SECRET not in sealed
    assert totp.seal(key, SECRET, "mailbox/1") != sealed
    assert totp.unseal(key, sealed, "mailbox/1") == SECRET
    for other, octets, holder in (
        (bytes(31) + b"1", sealed, "mailbox/1"),
        (key, sealed, "mailbox/2"),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), "mailbox/1"),
        (key, sealed[:5], "mailbox/1"),
        (key, b"", "mailbox/1"),
    ):
        with pytest.raises(totp.SealBroken):
            totp.unseal(other, octets, holder)
