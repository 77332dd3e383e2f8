"""How long the judge of markings takes over lines and titles made of the words of its own rules: strangers write them, and the
event loop waits (decision 0053)."""

import pytest

from cost_growth import assert_linear
from mic_mail.policy.secrecy.markings import MAX_LINE, in_text
from mic_mail.policy.secrecy.titles import MAX_TITLE, in_file_name, in_title

pytestmark = pytest.mark.slow

LINES = (MAX_LINE // 4, MAX_LINE)
TITLES = (MAX_TITLE // 4, MAX_TITLE)
"""One that can be read in exponentially many ways takes hours."""
WORDS = (
    "số ", "số", "số:", "bản ", "bản số ", "bản thứ số ", "tờ số ", "trang 1 ", "1/", "khẩn ", "hỏa tốc hẹn giờ ",
    "cấm sao chụp ", "không được in sao ", "a ", "a, ngày ", "Hà Nội, ngày 3 ", "độc lập - tự do - hạnh phúc ",
    "tài liệu thu hồi ", "mật ", "MẬT;", "độ mật: ", "thường\t", "1\ta", "/a", "-", ".", " ", "\t", "(", "”", "x",
)  # fmt: skip
HEADS = ("MẬT ", "MẬT", "Độ mật: Mật ", "Độ mật", "Số", "1\t", "x")


def judge_all(texts: list[str]) -> None:
    for text in texts:
        in_text(text)


def pumped(head: str, unit: str, end: str, size: int) -> str:
    return head + unit * ((size - len(head) - len(end)) // len(unit)) + end


@pytest.mark.parametrize("word", WORDS)
def test_no_line_takes_long(word: str) -> None:
    """Each word of a line that may be a stamp or a field, and each two, again and again up to an end that is no such thing."""

    def lines(size: int) -> list[str]:
        return [pumped(head, word + other, "%x", size) for other in ("", *WORDS) for head in HEADS[:3]]

    assert_linear(lines, judge_all, LINES)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("end", ["%x", "MẬT x", "\tMẬT", "MẬT"])
def test_no_line_takes_long_wherever_its_degree_stands(word: str, end: str) -> None:
    """Behind the words, or before them, or both."""

    def lines(size: int) -> list[str]:
        found = [pumped(head, word, end, size) for head in HEADS]
        return [*found, *(f"{line}\nMẬT\n" * 3 for line in found)]

    assert_linear(lines, judge_all, LINES)


@pytest.mark.parametrize("line", ["độ mật{}x", "dấu{}x mật", "{}x\nmật\nmật", "độ mật{}: x", "dấu\t{}: x mật"])
@pytest.mark.parametrize("blank", ["\t", " ", "\t ", " \t", ".", "\u00a0"])
def test_no_message_of_such_lines_takes_long(line: str, blank: str) -> None:
    """Of longer lines, and of more of them: the event loop looks at many (`services/transport/secrecy`)."""

    def text(size: int, count: int) -> str:
        return f"{line.format(blank * ((size - len(line)) // len(blank)))}\n" * count

    assert_linear(lambda size: text(size, 10), in_text, LINES)
    assert_linear(lambda count: text(MAX_LINE, count), in_text, (10, 40))


@pytest.mark.parametrize("word", WORDS)
def test_no_title_takes_long(word: str) -> None:
    """Nor the name of a file."""

    def titles(size: int) -> list[str]:
        return [
            pumped(front, word, end, size)
            for head in HEADS
            for front in (head, f"[{head}")
            for end in ("%x", " MẬT x", "] - MẬT")
        ]

    def judge(texts: list[str]) -> None:
        for text in texts:
            in_title(text)
            in_file_name(text)

    assert_linear(titles, judge, TITLES)
