"""Texts made to keep a worker busy: the glance at a message takes time linear in its size, whatever stands in it."""

import time

import pytest

from mic_mail.mime.html import visible_lines
from mic_mail.services.transport.secrecy import glance_at

OCTETS = 128 << 10
MOST_SECONDS = 1.5
"""Of the processor; a tenth is usual."""


def message(kind: str, content: str) -> bytes:
    head = f"From: a@b.example\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/{kind}; charset=utf-8\r\n\r\n"
    return head.encode() + content.encode() + b"\r\n"


def filled(unit: str) -> str:
    return unit * (OCTETS // len(unit.encode()))


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
    content = message("plain", filled(text))
    began = time.process_time()
    glance_at(content)
    assert time.process_time() - began < MOST_SECONDS


@pytest.mark.parametrize("unit", ['<m">', "<m'>", '<m">\n', '<mâ">', "<p>", "<m a=", "m&shy;", "а", "м"])
def test_pages(unit: str) -> None:
    """Tags that begin with the first letter of a marking, blocks without cells, Cyrillic letters without ours."""
    content = message("html", "m<b>ậ</b>t" + filled(unit))
    began = time.process_time()
    glance_at(content)
    glance_at(message("html", filled(unit)))
    assert time.process_time() - began < MOST_SECONDS


@pytest.mark.parametrize("field", ["Subject", "Keywords"])
def test_fields(field: str) -> None:
    """As many as a message has room for."""
    head = filled(f"{field}: Độ mật: Mật {'số ' * 300}%x\r\n").encode()
    began = time.process_time()
    glance_at(head + b"\r\n\r\n")
    assert time.process_time() - began < MOST_SECONDS


def test_a_title_of_the_rules_own_words() -> None:
    """The shortest mail of this kind had 174 octets."""
    began = time.process_time()
    glance_at(message("plain", "MẬT " + "số " * 30 + "%x"))
    glance_at(f"Subject: Độ mật: Mật {'số ' * 30}%x\r\n\r\n".encode())
    assert time.process_time() - began < MOST_SECONDS


@pytest.mark.parametrize("piece", ["<p>", " <p>", "<p></td>", "<td>", "\n"])
def test_no_page_takes_more_than_linear_time(piece: str) -> None:
    """A million characters, line by line: what is looked at again from each of them would take an hour."""
    visible_lines(piece * (1_000_000 // len(piece)))
