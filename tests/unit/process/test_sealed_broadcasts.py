"""Broadcasts sealed for the way to other servers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.process.sealed_broadcasts import SealedBroadcasts

KEY, MOST = b"k" * 32, 200
SEALED = SealedBroadcasts(KEY, kind=b"W", most=MOST)
WORDS = st.lists(st.binary(max_size=MOST - 1 - 12 - 16 - 2), max_size=20)


@given(WORDS)
def test_what_was_sealed_opens_in_order_within_the_length(words: list[bytes]) -> None:
    hints = list(SEALED.seal(words))
    assert all(hint.startswith(b"W") and len(hint) <= MOST for hint in hints)
    assert [word for hint in hints for word in SEALED.open(hint) or []] == words


def test_several_go_into_one_hint() -> None:
    assert len(list(SEALED.seal([b"x" * 10] * 10))) == 1


def test_what_is_too_long_does_not_fit() -> None:
    longest = b"x" * (MOST - 1 - 12 - 16 - 2)
    assert SEALED.fits(longest)
    assert not SEALED.fits(longest + b"x")


def test_nothing_is_readable() -> None:
    (hint,) = SEALED.seal([b"dvbe@mic.gov.vn"])
    assert b"dvbe" not in hint
    assert next(SEALED.seal([b"dvbe@mic.gov.vn"])) != hint, "the same is sealed in another way"


@pytest.mark.parametrize(
    "damage", [lambda hint: hint[:-1], lambda hint: hint[:8], lambda hint: hint[:1], lambda hint: hint + b"x"]
)
def test_what_is_damaged_does_not_open(damage: object) -> None:
    assert callable(damage)
    (hint,) = SEALED.seal([b"word"])
    assert SEALED.open(damage(hint)) is None
    for at in range(1, len(hint)):
        assert SEALED.open(hint[:at] + bytes([hint[at] ^ 1]) + hint[at + 1 :]) is None


def test_what_another_key_has_sealed_does_not_open() -> None:
    (hint,) = SealedBroadcasts(b"o" * 32, kind=b"W", most=MOST).seal([b"word"])
    assert SEALED.open(hint) is None
