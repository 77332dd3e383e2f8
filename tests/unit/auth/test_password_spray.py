"""Passwords that are tried at many mailboxes."""

from mic_mail.auth.password_spray import MOST_ADDRESSES, SprayCounter

HOUR = 3_600.0


def test_one_password_at_many_addresses() -> None:
    """Each address counts once, the own one never, for as long as the window is; another password is another one."""
    sprays = SprayCounter()
    for number in range(30):
        sprays.wrong(b"spring", b"%d" % (number % 20), float(number))
    assert sprays.count(b"spring", b"me", 30.0, HOUR) == 20
    assert sprays.count(b"spring", b"7", 30.0, HOUR) == 19
    assert sprays.count(b"autumn", b"me", 30.0, HOUR) == 0
    assert sprays.count(b"spring", b"me", HOUR + 15.0, HOUR) == 14
    assert sprays.count(b"spring", b"me", 3 * HOUR, HOUR) == 0


def test_bounded() -> None:
    """Passwords that nobody else tries push out the oldest, not what is tried now; one that is tried everywhere ends."""
    sprays = SprayCounter(capacity=100)
    for number in range(5_000):
        sprays.wrong(b"random %d" % number, b"a", float(number))
        sprays.wrong(b"spring", b"%d" % (number % 50), float(number))
    assert sprays.count(b"spring", b"me", 5_000.0, 2 * HOUR) == 50
    assert len(sprays._tried) <= 100
    for number in range(3 * MOST_ADDRESSES):
        sprays.wrong(b"spring", b"%d" % number, 5_000.0)
    assert sum(map(len, sprays._tried.values())) == sprays._counted <= MOST_ADDRESSES + 100
