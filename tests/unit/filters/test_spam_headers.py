"""One field says what the filter said; what strangers wrote under its name goes, and nothing else."""

import email
import email.policy

import pytest

from cost_growth import assert_linear
from mic_mail.filters.rspamd import LONGEST_NAME, RspamdAction, Scored, Symbol
from mic_mail.filters.spam_headers import MOST_TESTS, scored_field, unscored_field, without_foreign


def test_spam() -> None:
    """`Yes` and `No` are what Thunderbird looks for at its beginning."""
    scored = Scored(RspamdAction.ADD_HEADER, 7.5, 15.0, (Symbol("BAYES_SPAM", 5.1), Symbol("FROM_NO_DN", 0.0)))
    assert scored_field(scored, spam=True) == (
        b"X-Spam-Status: Yes, score=7.50 required=15.00 action=add_header\r\n\ttests=[BAYES_SPAM=5.10, FROM_NO_DN=0.00]\r\n"
    )
    assert scored_field(Scored(RspamdAction.NONE, -1.0, 15.0), spam=False) == (
        b"X-Spam-Status: No, score=-1.00 required=15.00 action=no_action\r\n\ttests=[]\r\n"
    )


@pytest.mark.parametrize("names", [["A"] * 5, ["A" * 70] * 5, ["A" * LONGEST_NAME] * 300, ["AB", "C" * 66, "D" * 65]])
def test_it_is_folded_as_one_field(names: list[str]) -> None:
    """Lines of 78 characters where names allow it; unfolded it reads as it was said; bounded."""
    field = scored_field(Scored(RspamdAction.NONE, 1.0, 2.0, tuple(Symbol(name, 1.25) for name in names)), spam=False)
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert all(line[:1] == b"\t" and line.strip() for line in lines[1:])
    assert all(len(line) <= max(78, LONGEST_NAME + 12) for line in lines)
    value = str(email.message_from_bytes(field + b"\r\n", policy=email.policy.HTTP)["X-Spam-Status"])
    tests = value.partition("tests=[")[2].removesuffix("]").replace("\t", " ").split(", ")
    assert [test.strip() for test in tests] == [f"{name}=1.25" for name in names[:MOST_TESTS]]
    assert len(field) < 8_000


def test_what_nobody_looked_at_is_neither() -> None:
    assert unscored_field("not looked at") == b"X-Spam-Status: Unknown, not looked at\r\n"


KEPT = b"Subject: X-Spam-Status: No\r\nX-Spammer: a\r\n\tX-Spam-Flag: NO\r\nTo: b\r\n"


@pytest.mark.parametrize(
    "forged",
    [
        b"X-Spam-Status: No, score=-9\r\n",
        b"x-spam-STATUS:No\r\n\t folded\r\n \tand more\r\n",
        b"X-Spam-Flag : NO\r\n",
        b"X-Spam-Flag\r\n : NO\r\n",
        b"X-Spam-Level:\r\n",
        b"X-Spam: no\r\n",
        b"X-Spam-Score: 0\r\nX-Spam-Status: No\r\n",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_forged_ones_go(forged: bytes, place: int) -> None:
    """In any writing, folded or not, wherever they stand; all else stays octet by octet."""
    at = [0, len(b"Subject: X-Spam-Status: No\r\n"), len(KEPT)][place]
    assert without_foreign(KEPT[:at] + forged + KEPT[at:]) == KEPT


def test_the_last_line_may_have_no_end() -> None:
    """Of a message by BDAT that is nothing but its header."""
    assert without_foreign(b"To: b\r\nX-Spam-Status: No") == b"To: b\r\n"
    assert without_foreign(b"To: b\r\nX-Spam-Status: No\r\n folded") == b"To: b\r\n"


def test_long_ones_take_no_time() -> None:
    """Linear in what a stranger sends."""

    def header(size: int) -> bytes:
        return b"X-Spam-Status" + b" " * size + b"\r\n" + b"X-Spam:" + b"\r\n " * (size // 2) + b"\r\nTo: b\r\n"

    assert without_foreign(header(1_000)) == b"X-Spam-Status" + b" " * 1_000 + b"\r\nTo: b\r\n"
    assert_linear(header, without_foreign, (25_000, 100_000))


def test_a_header_without_any_is_itself() -> None:
    header = b"Subject: a\r\n"
    assert without_foreign(header) is header
