"""Which passwords may protect a mailbox (Reg. 10.2, 15.2; rules of our own)."""

import random

import pytest

from cost_growth import calls_of
from mic_mail.auth import password_hash
from mic_mail.auth.password_hash import WeakPassword
from mic_mail.auth.password_policy import MOST_WORK, _looked_at, check_strength

ADDRESS = "dvbe@mic.gov.vn"
NAMES = ("Đỗ Văn Bê",)


@pytest.mark.parametrize(
    "weak",
    [
        "short", "1234567890", "Password123", "aaaaaaaaaaaa", "abababababab", "dvbe@mic.gov.vn", "DVBE@MIC.GOV.VN",
        "mic.gov.vn", "matkhau123", "x" * 2000, "nul\0inside it", "\u0007bell bell",
    ],
)  # fmt: skip
def test_weak_passwords(weak: str) -> None:
    """Too short, too common, too near the address, or unusable: refused with a reason."""
    with pytest.raises(WeakPassword):
        check_strength(weak, ADDRESS)


@pytest.mark.parametrize("good", ["demo-mic-2026", "ngựa pin kẹp ghim", "Tr0ub4dor&3x", "con mèo trèo cây cau"])
def test_good_passwords(good: str) -> None:
    """No kinds of letters are asked for; Vietnamese sentences are welcome."""
    check_strength(good, ADDRESS)


def test_generated_passwords_are_strong_and_different() -> None:
    """A first password passes the rules, is legible on paper, and never comes twice."""
    made = {password_hash.generate() for _ in range(50)}
    assert len(made) == 50
    for password in made:
        check_strength(password, ADDRESS)
        assert not set(password) & set("lo01I")


@pytest.mark.parametrize(
    "near",
    ["Đỗ Văn Bê 1985", "dovanbe-2026-x7", "DO VAN BE 99", "xin chào dvbe 2026", "qzDvBe77#!kl"],
)
def test_neither_address_nor_name_stands_in_it(near: str) -> None:
    """With or without diacritics, spaces and case."""
    with pytest.raises(WeakPassword, match="neither the address nor the name"):
        check_strength(near, ADDRESS, names=NAMES)


@pytest.mark.parametrize(
    "common",
    ["Matkhau@2026", "Mật khẩu@2026", "P@ssw0rd2026", "Vietnam@123456", "Admin@12345", "qwertyuiop12", "right password"],
)
def test_what_everybody_tries_first_is_refused(common: str) -> None:
    """In English and in Vietnamese, with the usual disguises."""
    with pytest.raises(WeakPassword, match="too easy"):
        check_strength(common, ADDRESS, names=NAMES)


def test_a_short_name_forbids_nothing() -> None:
    """A unit called `IT` must not shut out every password with these letters."""
    check_strength("con mèo trèo cây cau it", "it@mic.gov.vn", names=("IT",))


def test_the_longest_password_is_looked_at_in_no_time_that_grows() -> None:
    """All octets that are allowed; what is beyond the part looked at does not make it weaker."""
    check_strength(" ".join(f"chữ{number * number}" for number in range(60)), ADDRESS)


MOST_CALLS = 1.2
"""For each unit of `MOST_WORK`; 0.9 is the most that was counted, and 1.5 to 3.4 where all of a password is looked at."""
SIGNS = "4@8({[<369!1|0$5+7%2"
"""All that zxcvbn takes for letters in disguise."""


@pytest.mark.parametrize(
    "dear", [SIGNS * 4, "".join(random.Random(1).choices(SIGNS, k=72)), "1|7i!l+t4@({[<69" * 5, "p4@ssw0rd$5!1|7+2%{[<(x" * 3]
)
def test_no_password_takes_seconds(dear: str) -> None:
    """Signs that may each be one of several letters, all of them, as long as it goes: looked at as far as `MOST_WORK` goes."""
    check_strength("con mèo trèo cây cau", ADDRESS)  # loads the words
    assert calls_of(lambda: check_strength(dear, ADDRESS)) < MOST_CALLS * MOST_WORK


@pytest.mark.parametrize(
    ("password", "all_of_it"),
    [
        ("con mèo trèo cây cau, 4 con vịt xiêm bơi ngang 1 cái ao 5 chuồng nuôi 7", True),
        ("Hà Nội mùa 3 vắng những cơn mưa, cái rét 1 đêm 0 độ!", True),
        ("a" * 100, True),
        (SIGNS * 4, False),
        ("(8*[!x4$@2|e{<9+6%7&5", False),
    ],
)
def test_how_much_is_looked_at(password: str, all_of_it: bool) -> None:
    """Sentences as far as ever; of signs in disguise at least so many as are strong whatever they are."""
    seen = _looked_at(password)
    assert seen == min(len(password), 72) if all_of_it else 13 < seen < len(password)
    if password != "a" * 100:
        check_strength(password, ADDRESS)
