"""A large message is read from its file piece by piece, and only documents are left to a worker process."""

import asyncio
import base64
import random
from pathlib import Path

import pytest

from mic_mail.mime.imap_structure import answers_of
from mic_mail.policy.secrecy.degrees import Degree
from mic_mail.services.transport import secrecy
from mic_mail.services.transport.secrecy import FileScans, visible_content, visible_in_file
from mic_mail.textextract import messages
from mic_mail.textextract.limits import Bounds
from mic_mail.textextract.message_file import MessageFile
from mic_mail.textextract.result import NOTHING
from mic_mail.textextract.worker import look_into

MEGABYTES = 3 << 20
PROSE = "Kính gửi các đơn vị: cập nhật thông tin, giữ bí mật, đổi mật khẩu.\r\n".encode()
NOISE = random.Random(1).randbytes(MEGABYTES)
MARKED = PROSE * 20_000 + "TỐI MẬT\r\n".encode() + PROSE * 20_000


def message(kind: str, content: bytes, name: str = "", subject: str = "x") -> bytes:
    disposition = f"Content-Disposition: attachment; filename={name}\r\n" if name else ""
    head = f"Subject: {subject}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n{disposition}\r\n"
    return head.encode() + base64.encodebytes(content).replace(b"\n", b"\r\n")


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The octets of each slice read from a file."""
    read: list[int] = []
    real = MessageFile.__getitem__

    def sliced(self: MessageFile, part: slice) -> bytes:
        octets = real(self, part)
        read.append(len(octets))
        return octets

    monkeypatch.setattr(MessageFile, "__getitem__", sliced)
    return read


def glance(folder: Path, octets: bytes) -> tuple[list[Degree], bool]:
    path = folder / "message"
    path.write_bytes(octets)
    verdict, has_more, _ = visible_in_file(path, None)
    return [found.marking.degree for found in verdict.found], has_more


@pytest.mark.parametrize(
    ("octets", "found", "has_more"),
    [
        (message("text/plain; charset=utf-8", PROSE * 40_000), [], False),
        (message("text/plain; charset=utf-8", NOISE), [], False),
        (message("text/plain", NOISE), [], False),
        (message("text/plain; charset=utf-8", MARKED), [Degree.SECRET], False),
        (message("application/octet-stream", NOISE, "a.bin"), [], False),
        (message("text/plain; charset=utf-8", PROSE * 40_000, "a.txt"), [], False),
        (message("application/octet-stream", MARKED, "a.log"), [Degree.SECRET], False),
        (message("image/jpeg", b"\xff\xd8\xff" + NOISE, "a.jpg"), [], False),
        (message("application/octet-stream", NOISE + b"PK\x05\x06" + bytes(18), "setup.exe"), [], True),
        (message("application/pdf", b"%PDF-1.7\n" + NOISE, "a.pdf"), [], True),
        (message("text/plain", PROSE + b"begin 644 a.doc\r\n#0V%T\r\n`\r\nend\r\n" + PROSE * 40_000), [], True),
        (message("text/html", b"<p>x</p>\r\n" * 100_000), [], True),
        (message("text/plain; charset=utf-16", "xin chào\r\n".encode("utf-16") * 50_000), [], True),
    ],
    ids=[
        *("prose", "noise", "noise-undeclared", "marked", "octets", "text-file", "marked-file", "picture", "self-extracting"),
        *("pdf", "uuencoded", "page", "wide"),
    ],
)
def test_what_needs_no_worker(octets: bytes, found: list[Degree], has_more: bool, tmp_path: Path, slices: list[int]) -> None:
    """Text, and files in which no text can be; never more than a piece of the message is in memory."""
    assert glance(tmp_path, octets) == (found, has_more)
    assert max(slices) <= 1 << 18


def test_a_worker_finds_the_same(tmp_path: Path) -> None:
    for octets in (message("text/plain; charset=utf-8", MARKED), message("application/octet-stream", MARKED, "a.log")):
        assert [found.marking.degree for found in look_into(octets, Bounds()).found] == [Degree.SECRET]
        assert glance(tmp_path, octets) == ([Degree.SECRET], False)
        assert not visible_content(octets).has_more


@pytest.mark.parametrize("letter", ["\U00010348", "\u200b", "x"])
def test_a_line_of_megabytes_is_left_to_a_worker(letter: str, tmp_path: Path) -> None:
    """To judge it takes a second in which no other thread of the mail worker could run."""
    line = f"MẬT {letter}".encode() + b"x" * MEGABYTES
    assert glance(tmp_path, message("application/octet-stream", line, "a.txt")) == ([], True)


async def test_who_sends_many_delays_others_by_one(tmp_path: Path) -> None:
    """Sources take turns."""
    scans, ended = FileScans(), []
    (tmp_path / "message").write_bytes(message("text/plain; charset=utf-8", PROSE * 10_000))

    async def scan(source: str) -> None:
        assert not (await scans.scan(tmp_path / "message", None, source)).has_more
        ended.append(source)

    await asyncio.gather(*(scan(source) for source in ("many", "many", "many", "many", "one")))
    scans.close()
    assert ended.index("one") <= 2


def test_what_a_disk_does_not_return_is_left_to_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose failure refuses the message for now: nobody knows what it holds."""
    assert visible_in_file(tmp_path / "none", None).has_more
    path = tmp_path / "message"
    path.write_bytes(message("text/plain; charset=utf-8", PROSE))

    def failing(*_: object) -> bytes:
        raise OSError("Input/output error")

    monkeypatch.setattr(secrecy.os, "pread", failing)
    assert visible_in_file(path, None).has_more


@pytest.mark.clause("4.1")
@pytest.mark.parametrize("subject", ["%PDF-1.7", "{\\rtf1", "x" * 248 + "ustar"])
def test_clause_4_1_a_message_that_looks_like_a_document_is_a_message(subject: str) -> None:
    """Its first octets are its sender's to choose."""
    octets = message("application/octet-stream", "TỐI MẬT\r\n".encode(), "a.txt", subject)
    assert [found.marking.degree for found in look_into(octets, Bounds()).found] == [Degree.SECRET]


def test_a_small_text_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For its files, its text, and as a file of its own."""
    decoded: list[int] = []
    real = messages.decode
    monkeypatch.setattr(messages, "decode", lambda raw, encoding: decoded.append(len(raw)) or real(raw, encoding))
    octets = message("text/plain; charset=utf-8", PROSE * 1_000, "a.txt")
    assert visible_content(octets) == (NOTHING, False, answers_of(octets))
    assert [size for size in decoded if size > 64] == [len(octets.partition(b"\r\n\r\n")[2])]


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=us-ascii"])
def test_a_large_text_file_is_read_once(charset: str, tmp_path: Path, slices: list[int]) -> None:
    """As a text, for files in it, and as a file of its own."""
    octets = message(f"text/plain{charset}", PROSE * 40_000, "a.txt")
    path = tmp_path / "message"
    path.write_bytes(octets)
    answers = answers_of(octets)
    assert visible_in_file(path, answers) == (NOTHING, False, answers)
    decoded, beginnings, padding = len(octets), 3 << 18, len(octets)
    assert sum(slices) < decoded + padding + beginnings


@pytest.mark.parametrize("damage", [b"", b"=QUJD", b"!"])
def test_a_text_of_a_small_message_is_decoded_once(damage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan has decoded it already; one with damage is decoded for the glance, which reads it as some programs do."""
    content = PROSE * 20 + "TỐI MẬT\r\n".encode() + PROSE
    octets = message("text/plain; charset=utf-8", content) + damage
    decoded: list[int] = []
    real = messages.decode
    monkeypatch.setattr(messages, "decode", lambda raw, encoding: decoded.append(len(raw)) or real(raw, encoding))
    verdict, has_more, answers = visible_content(octets)
    assert ([found.marking.degree for found in verdict.found], has_more) == ([Degree.SECRET], False)
    assert any(size > 64 for size in decoded) == bool(damage)
    assert visible_content(octets, answers)[:2] == (verdict, has_more)  # without what the scan has decoded
