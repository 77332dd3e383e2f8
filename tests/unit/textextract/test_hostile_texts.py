"""Texts made to keep a worker busy: the glance at a message takes time linear in its size, whatever stands in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cost_growth import assert_linear, calls_of
from mic_mail.mime.html import visible_lines
from mic_mail.mime.imap_structure import answers_of
from mic_mail.policy.secrecy.markings import in_text
from mic_mail.services.transport.secrecy import visible_content
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.result import NOTHING
from mic_mail.textextract.worker import look_into

SIZES = (32 << 10, 128 << 10)
"""In octets."""


def message(kind: str, content: str) -> bytes:
    head = f"From: a@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n"
    return head.encode() + content.encode() + b"\r\n"


def filled(unit: str, octets: int) -> str:
    return unit * (octets // len(unit.encode()))


def line(head: str, unit: str, end: str) -> str:
    return head + unit * ((395 - len(head) - len(end)) // len(unit)) + end + "\r\n"


@pytest.mark.parametrize(
    "text",
    [
        line("MẬT ", "số ", "%x"),
        line("MẬT ", "bản ", "%x"),
        line("MẬT ", "cấm sao chụp ", "%x"),
        line("MẬT ", "số a, ngày ", "%x"),
        line("Độ mật: Mật ", "số ", "%x"),
        line("Độ mật: Mật ", ".", "%x"),
        line("Độ mật: Mật ", " ", "%x"),
        line("số", " ", "MẬT x"),
        line("số/1", "-", "MẬT x"),
        line("x", "-", "MẬT x"),
        "MẬT\t1\r\n" + line("thường", "\t", "x"),
    ],
    ids=repr,
)
def test_lines_of_a_plain_text(text: str) -> None:
    """Lines that the rules can read in many ways and that are no markings in the end."""
    assert_linear(lambda octets: message("plain", filled(text, octets)), visible_content, SIZES)


LINES = [
    "MẬT", "TỐI MẬT", "TUYỆT MẬT", "mật", "Mật", "x", "BẢO", "KHẨU", "mật ong", "Độ mật: Mật", "Độ mật:", "Kính gửi: x",
    "1\tMẬT", "2\tMẬT", "THƯỜNG\t7", "MẬT\t3", "[MẬT]", "Số: 5/BC (Mật)", "☒ Mật", "CẤM SAO CHỤP MẬT", "HỎA TỐC MẬT",
]  # fmt: skip


@pytest.mark.parametrize("line", ["MẬT", "mật", "x\r\nMẬT", "1\tMẬT", "MẬT\tx\ty", "mật ong\r\nMẬT"])
def test_a_glance_at_a_text_of_nothing_but_markings_is_short(line: str) -> None:
    """However long it is: 1.9 MB of them took 2.4 s of a worker. Whoever opens documents reads it in another process."""
    lines = 30_000
    text = message("plain", f"{line}\r\n" * lines)
    assert visible_content(text) == (NOTHING, True, answers_of(text))
    assert calls_of(lambda: visible_content(text)) < lines


@given(st.lists(st.sampled_from(LINES), min_size=1, max_size=6), st.lists(st.sampled_from(LINES), max_size=3))
@settings(max_examples=30)
def test_whoever_reads_more_of_it_finds_what_a_glance_would_have_found(lines: list[str], ends: list[str]) -> None:
    """By as many hints as a glance takes, and by more."""
    once = message("plain", "\r\n".join([*lines, *ends]))
    assert look_into(once, Bounds()) == visible_content(once).verdict
    text = "\n".join([*lines * 2_001, *ends])
    found = look_into(message("plain", text), Bounds()).found
    assert [one.marking for one in found] == [one for one in [in_text(text)] if one]


@pytest.mark.parametrize("line", ["MẬT {}", "{} mật", "số {}/BC MẬT", "{}\tMẬT", "Độ mật: Mật {}"])
def test_a_text_of_different_lines_is_judged_in_linear_time(line: str) -> None:
    """No two of them alike, which is as many as there is room for."""
    assert_linear(lambda count: "\n".join(line.format(number) for number in range(count)), in_text, (500, 2_000))


@pytest.mark.parametrize("unit", ['<m">', "<m'>", '<m">\n', '<mâ">', "<p>", "<m a=", "m&shy;", "а", "м"])
def test_pages(unit: str) -> None:
    """Tags that begin with the first letter of a marking, blocks without cells, Cyrillic letters without ours."""
    for head in ("m<b>ậ</b>t", ""):
        assert_linear(lambda octets, head=head: message("html", head + filled(unit, octets)), visible_content, SIZES)


@pytest.mark.parametrize("field", ["Subject", "Keywords"])
def test_fields(field: str) -> None:
    """As many as a message has room for."""
    line = f"{field}: Độ mật: Mật {'số ' * 300}%x\r\n"
    assert_linear(lambda octets: filled(line, octets).encode() + b"\r\n", visible_content, SIZES)


def test_a_title_of_the_rules_own_words() -> None:
    """The shortest mail of this kind had 174 octets."""
    assert_linear(lambda words: message("plain", "MẬT " + "số " * words + "%x"), visible_content, (8, 32))
    assert_linear(lambda words: f"Subject: Độ mật: Mật {'số ' * words}%x\r\n\r\n".encode(), visible_content, (8, 32))


@pytest.mark.parametrize("piece", ["<p>", " <p>", "<p></td>", "<td>", "\n"])
def test_no_page_takes_more_than_linear_time(piece: str) -> None:
    """A million characters, line by line: what is looked at again from each of them would take an hour."""
    visible_lines(piece * (1_000_000 // len(piece)))
