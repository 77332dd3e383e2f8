"""How long the judge of markings takes over lines and titles made of the words of its own rules: strangers write them, and the
event loop waits (decision 0053)."""

import time
from collections.abc import Callable

import pytest

from mic_mail.policy.markings import MAX_LINE, MAX_TITLE, in_file_name, in_text, in_title

MOST_SECONDS = 0.1
"""For one line or title; a hundredth is usual. One that can be read in exponentially many ways takes hours."""
WORDS = (
    "số ", "số", "số:", "bản ", "bản số ", "bản thứ số ", "tờ số ", "trang 1 ", "1/", "khẩn ", "hỏa tốc hẹn giờ ",
    "cấm sao chụp ", "không được in sao ", "a ", "a, ngày ", "Hà Nội, ngày 3 ", "độc lập - tự do - hạnh phúc ",
    "tài liệu thu hồi ", "mật ", "MẬT;", "độ mật: ", "thường\t", "1\ta", "/a", "-", ".", " ", "\t", "(", "”", "x",
)  # fmt: skip
HEADS = ("MẬT ", "MẬT", "Độ mật: Mật ", "Độ mật", "Số", "1\t", "x")


def seconds_of(judge: Callable[[str], object], text: str) -> float:
    """Of the processor, the better of two: somebody may have collected garbage."""
    taken = []
    for _ in range(2):
        began = time.process_time()
        judge(text)
        taken.append(time.process_time() - began)
        if taken[-1] < MOST_SECONDS:
            break
    return min(taken)


def pumped(head: str, unit: str, end: str, size: int) -> str:
    return head + unit * ((size - len(head) - len(end)) // len(unit)) + end


@pytest.mark.parametrize("word", WORDS)
def test_no_line_takes_long(word: str) -> None:
    """Each word of a line that may be a stamp or a field, and each two, again and again up to an end that is no such thing."""
    for other in ("", *WORDS):
        for head in HEADS[:3]:
            line = pumped(head, word + other, "%x", MAX_LINE)
            assert seconds_of(in_text, line) < MOST_SECONDS, (head, word + other)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("end", ["%x", "MẬT x", "\tMẬT", "MẬT"])
def test_no_line_takes_long_wherever_its_degree_stands(word: str, end: str) -> None:
    """Behind the words, or before them, or both."""
    for head in HEADS:
        for text in (pumped(head, word, end, MAX_LINE), f"{pumped(head, word, end, MAX_LINE)}\nMẬT\n" * 3):
            assert seconds_of(in_text, text) < MOST_SECONDS * 6, (head, word)


@pytest.mark.parametrize("line", ["độ mật{}x", "dấu{}x mật", "{}x\nmật\nmật", "độ mật{}: x", "dấu\t{}: x mật"])
@pytest.mark.parametrize("blank", ["\t", " ", "\t ", " \t", ".", "\u00a0"])
def test_no_message_of_such_lines_takes_long(line: str, blank: str) -> None:
    """As many lines as the event loop looks at (`services/transport/secrecy`), each of which may cost a part of it."""
    one = line.format(blank * ((MAX_LINE - len(line)) // len(blank)))
    assert seconds_of(in_text, f"{one}\n" * 40) < MOST_SECONDS


@pytest.mark.parametrize("word", WORDS)
def test_no_title_takes_long(word: str) -> None:
    """Nor the name of a file."""
    for head in HEADS:
        for end in ("%x", " MẬT x", "] - MẬT"):
            for text in (pumped(head, word, end, MAX_TITLE), pumped(f"[{head}", word, end, 80)):
                assert seconds_of(in_title, text) < MOST_SECONDS, (head, word, end)
                assert seconds_of(in_file_name, text) < MOST_SECONDS, (head, word, end)
