"""A mailbox to measure with: messages that depend on their number only, so that any two runs and any two servers hold the same.

Shapes and sizes are those of an office: most are a few KiB of Vietnamese or English text, some HTML with an inline picture,
one in six has an attachment (up to 1 MiB). 10,000 of them take about 450 MB.

    python bench/corpus.py DIRECTORY COUNT      write them as a Maildir (CRLF, flags in the names)
"""

from __future__ import annotations

import base64
import os
import random
import sys
from email.header import Header
from email.utils import formatdate
from pathlib import Path

SEED = 2016
VIETNAMESE = (
    "công văn quyết định thông báo kế hoạch báo cáo họp giao ban hồ sơ tài liệu dự án hợp đồng hóa đơn thanh toán nhân sự "
    "phòng ban đơn vị trung tâm thông tin hệ thống thư điện tử công vụ máy chủ bảo_mật mật_khẩu đề nghị trân trọng kính gửi "
    "xin ý kiến phê duyệt thời hạn tháng quý năm ngày sáng chiều Hà Nội Đà Nẵng Cần Thơ phản hồi gấp cập nhật đính kèm"
).split()
"""Syllables; those of words with "mật" stay together, which alone is a marking of secrecy and is looked at each time."""
ENGLISH = (
    "meeting invoice report project contract schedule document plan monthly quarterly review update system server password "
    "security release deployment question answer agenda budget travel order delivery please find attached regards tomorrow"
).split()
FAMILY = "Nguyễn Trần Lê Phạm Hoàng Phan Vũ Võ Đặng Bùi Đỗ Hồ Ngô Dương Lý".split()
GIVEN = "Anh Bình Châu Dũng Giang Hạnh Hùng Khánh Linh Mai Minh Nam Ngọc Phương Quân Sơn Thảo Trang Tuấn Yến".split()


def prose(chance: random.Random, octets: int, words: list[str]) -> str:
    lines, size = [], 0
    while size < octets:
        line = " ".join(chance.choice(words) for _ in range(chance.randint(6, 13))).replace("_", " ").capitalize() + "."
        lines.append(line)
        size += len(line.encode()) + 2
    return "\r\n".join(lines) + "\r\n"


def _word(text: str) -> str:
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=900).encode()


def _part(content_type: str, body: bytes, extra: str = "") -> bytes:
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: base64\r\n{extra}\r\n"
    return head.encode() + base64.encodebytes(body).replace(b"\n", b"\r\n")


def _multipart(kind: str, boundary: str, parts: list[bytes]) -> bytes:
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\nThis is a message in MIME format.\r\n'.encode()
    return head + b"".join(b"--" + boundary.encode() + b"\r\n" + p + b"\r\n" for p in parts) + f"--{boundary}--\r\n".encode()


def message(number: int) -> tuple[bytes, int, str]:
    """Message `number` with CRLF line ends, the second it arrived, and its Maildir flags."""
    chance = random.Random(f"{SEED}/{number}")
    words = VIETNAMESE if chance.random() < 0.6 else ENGLISH
    when = 1_700_000_000 + number * 7200 + chance.randint(0, 3600)
    people = [f"{chance.choice(FAMILY)} {chance.choice(GIVEN)}" for _ in range(chance.randint(2, 5))]
    addresses = [f"{_word(name)} <nguoi{chance.randint(1, 400)}@example.vn>" for name in people]
    subject = " ".join(chance.choice(words) for _ in range(chance.randint(3, 9))).capitalize()
    head = [f"Received: from mx{chance.randint(1, 9)}.example.vn by mail.bench.test with ESMTPS; {formatdate(when)}"]
    head += [f"From: {addresses[0]}", f"To: {', '.join(addresses[1:3])}"]
    if addresses[3:]:
        head.append(f"Cc: {', '.join(addresses[3:])}")
    head += [f"Subject: {_word(subject)}", f"Date: {formatdate(when)}", f"Message-ID: <{number}.{SEED}@example.vn>"]
    if number > 10 and chance.random() < 0.4:
        earlier = chance.randint(max(1, number - 50), number - 1)
        head += [f"In-Reply-To: <{earlier}.{SEED}@example.vn>", f"References: <{earlier}.{SEED}@example.vn>"]
    head.append("MIME-Version: 1.0")
    octets = min(200_000, int(chance.lognormvariate(8, 1)))
    text = _part("text/plain; charset=utf-8", prose(chance, octets, words).encode())
    shape = chance.random()
    if shape < 0.45:
        body = text
    else:
        html = ("<html><body><p>" + prose(chance, octets, words).replace("\r\n", "</p>\r\n<p>") + "</p></body></html>").encode()
        body = _multipart("alternative", f"a{number}", [text, _part("text/html; charset=utf-8", html)])
        if shape > 0.7:
            picture = chance.randbytes(min(100_000, int(chance.lognormvariate(9, 0.7))))
            body = _multipart("related", f"r{number}", [body, _part("image/png", picture, f"Content-ID: <p{number}>\r\n")])
        if shape > 0.83:
            data = chance.randbytes(min(1_000_000, int(chance.lognormvariate(11.6, 1))))
            name = f"bao-cao-{number}.pdf"
            extra = f'Content-Disposition: attachment; filename="{name}"\r\n'
            body = _multipart("mixed", f"m{number}", [body, _part(f'application/pdf; name="{name}"', data, extra)])
    flags = "".join(f for f, share in (("F", 0.05), ("R", 0.2), ("S", 0.8)) if chance.random() < share)
    return "\r\n".join(head).encode() + b"\r\n" + body, when, flags


def with_attachment(content_type: str, name: str, file: bytes) -> bytes:
    """A message of one short text and one file."""
    text = _part("text/plain; charset=utf-8", "Kính gửi các đơn vị văn bản kèm theo.\r\n".encode())
    extra = f'Content-Disposition: attachment; filename="{name}"\r\n'
    head = f"From: <a@example.net>\r\nSubject: {_word('Công văn')}\r\nDate: {formatdate(1_700_000_000)}\r\n"
    head += f"Message-ID: <{len(file)}.{SEED}@example.vn>\r\nMIME-Version: 1.0\r\n"
    return head.encode() + _multipart("mixed", "att", [text, _part(content_type, file, extra)])


def huge_text(number: int, octets: int) -> bytes:
    """A message that is one text, in base64."""
    piece = prose(random.Random(f"{SEED}/huge/{number}"), 400_000, VIETNAMESE).encode()
    text = (piece * (octets * 3 // 4 // len(piece) + 1))[: octets * 3 // 4].decode(errors="ignore").encode()
    head = f"From: <a@example.net>\r\nSubject: dai {number}\r\nMessage-ID: <huge-{number}@example.vn>\r\nMIME-Version: 1.0\r\n"
    return head.encode() + _part("text/plain; charset=utf-8", text)


def write_maildir(folder: Path, count: int, first: int = 1) -> int:
    """Write messages `first` to `first+count-1` into `folder`/cur; returns the octets written."""
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    octets = 0
    for number in range(first, first + count):
        data, when, flags = message(number)
        path = folder / "cur" / f"{when}.M{number % 1_000_000}P1Q{number}.bench,S={len(data)},W={len(data)}:2,{flags}"
        path.write_bytes(data)
        os.utime(path, (when, when))
        octets += len(data)
    return octets


if __name__ == "__main__":
    print(write_maildir(Path(sys.argv[1]), int(sys.argv[2])), "octets")
