"""The base subject (RFC 5256 §2.1) and the collation (RFC 5051) that SORT and THREAD compare by."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.mime.base_subject import base_subject
from mic_mail.mime.collation import MAX_KEY, casemap, sort_key

LONG = 60 << 10


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("", "", False),
        ("Report", "Report", False),
        ("  Report\t of \r\n\tMay  ", "Report of May", False),
        ("Re: Report", "Report", True),
        ("re:Report", "Report", True),
        ("RE : Report", "Report", True),
        ("Fw: Report", "Report", True),
        ("FWD: Report", "Report", True),
        ("Re: Fwd: re: Report", "Report", True),
        ("Re[2]: Report", "Report", True),
        ("Re [list] : Report", "Report", True),
        ("Report (fwd)", "Report", True),
        ("Report (FWD) (fwd) ", "Report", True),
        ("(fwd)", "", True),
        ("[list] Report", "Report", False),
        ("[list][other] Re: [third] Report", "Report", True),
        ("[list]", "[list]", False),
        ("[list] [other]", "[other]", False),
        ("Re: [list]", "[list]", True),
        ("Re:", "", True),
        ("[fwd: Report]", "Report", True),
        ("[Fwd: [list] Re: Report] (fwd)", "Report", True),
        ("[fwd: [fwd: Report]]", "Report", True),
        ("[fwd: Report", "[fwd: Report", False),
        ("Report]", "Report]", False),
        ("[fwd:]", "", True),
        ("Answer: Report", "Answer: Report", False),
        ("Re Report", "Re Report", False),
        ("refwd: Report", "refwd: Report", False),
        ("[a [b] Report", "[a [b] Report", False),
        ("[] Report", "Report", False),
        ("Trả lời: Re: Báo cáo", "Trả lời: Re: Báo cáo", False),  # RFC 5256 §7: translated tokens stay
        ("Re: Báo cáo", "Báo cáo", True),
    ],
    ids=str,
)
def test_base_subjects(subject: str, base: str, is_reply: bool) -> None:
    """What marks replies, forwards and lists is taken off, in front and behind, again and again, and nothing else."""
    assert base_subject(subject) == (base, is_reply)


@pytest.mark.parametrize(
    "subject",
    [
        "[x] " * (LONG // 4),
        "Re: " + "[x] " * (LONG // 4) + "y",
        "Re: " * (LONG // 4),
        "[x]Re" * (LONG // 5),
        "Re[x" * (LONG // 4),
        "[" * LONG,
        "[fwd:" * (LONG // 6) + "]" * (LONG // 6),
        "(fwd)" * (LONG // 5),
        " \t" * (LONG // 2),
        "[fwd:[x] " * (LONG // 10) + "]" * (LONG // 10),
    ],
    ids=lambda subject: subject[:12],
)
@pytest.mark.timeout(5)
def test_hostile_subjects_take_no_longer_than_their_length(subject: str) -> None:
    """60 KiB of what the rules take off are done in milliseconds: quadratic work would take minutes."""
    for _ in range(20):
        base_subject(subject)


PIECES = st.lists(st.sampled_from(["re", "fw", "fwd", "[", "]", ":", " ", "\t", "(fwd)", "[fwd:", "a", "ẽ"]), max_size=14)


@given(PIECES.map("".join))
def test_the_rules_as_they_are_written(subject: str) -> None:
    """The result is that of the RFC's six steps, done literally; done again they change nothing."""
    base = base_subject(subject).text
    assert base == literal_base_subject(subject)
    assert base_subject(base).text == base


def literal_base_subject(subject: str) -> str:
    """RFC 5256 §2.1, step by step, without a thought for time."""
    blob = r"\[[^\[\]]*\][ \t]*"
    text = re.sub(r"[ \t\r\n]+", " ", subject)
    while True:
        while (shorter := re.sub(r"(\(fwd\)|[ \t])$", "", text, flags=re.IGNORECASE)) != text:  # (2)
            text = shorter
        while True:
            start = text
            text = re.sub(rf"^((?:{blob})*(?:re|fwd?)[ \t]*(?:{blob})?:|[ \t])", "", text, count=1, flags=re.IGNORECASE)  # (3)
            found = re.match(blob, text)
            if found and text[found.end() :]:  # (4)
                text = text[found.end() :]
            if text == start:  # (5)
                break
        if not (text.lower().startswith("[fwd:") and text.endswith("]")):  # (6)
            return text
        text = text[5:-1]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("report", "REPORT", True),
        ("Đường", "đường", True),
        ("Đ", "D", False),
        ("ế", "e\u0302\u0301", True),
        ("Ế", "e\u0302\u0301", True),
        ("ô", "o", False),
        ("ﬁ", "fi", True),
        ("ａ", "A", True),
        ("ß", "SS", False),  # RFC 5051 looks into UnicodeData.txt only
        ("각", "\u1100\u1161\u11a8", False),
        ("ǆ", "Ǆ", True),
        ("σ", "ς", True),
    ],
)
def test_casemap(one: str, other: str, equal: bool) -> None:
    """Letters that differ in case or in the way they are composed are equal; a letter and one with a mark are not."""
    assert (casemap(one) == casemap(other)) is equal


def test_a_letter_is_a_part_of_the_same_with_a_mark() -> None:
    """RFC 5051: the substring operation works on decomposed letters."""
    assert casemap("kho") in casemap("Không")
    assert casemap("ô") in casemap("ố")


@given(st.text(max_size=40))
def test_casemap_is_done_once(text: str) -> None:
    """What was mapped is not mapped to anything else."""
    assert casemap(casemap(text)) == casemap(text)


@given(st.text(max_size=30), st.text(max_size=30))
def test_sort_keys_order_as_the_collation(one: str, other: str) -> None:
    """Keys compare as the octets of the mapped texts do (i;octet)."""
    mapped = [casemap(text).encode("utf-8", "surrogatepass") for text in (one, other)]
    assert (sort_key(one) < sort_key(other)) == (mapped[0] < mapped[1])


def test_long_keys_are_bounded_and_stay_apart() -> None:
    """Beyond MAX_KEY the hash of the whole keeps what differs apart."""
    one, other = "a" * LONG + "b", "a" * LONG + "c"
    assert sort_key(one) != sort_key(other)
    assert len(sort_key(one)) <= MAX_KEY + 8
    assert sort_key(one) == sort_key(one.upper())
