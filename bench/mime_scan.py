"""Scanning and rendering in figures: `python bench/mime_scan.py`.

Each row is the best of several runs in CPU time, so that other work on the machine does not count: microseconds a message, MB/s
over its octets, and peak memory where it is large.
"""

import itertools
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import corpus
from messages.hard import HEAD, HTML, PDF, PLAIN, SENTENCE, crlf, lines_of_base64, multipart, part, uuencoded
from mic_mail.mime.headers import cut
from mic_mail.mime.imap_structure import answers, answers_of
from mic_mail.mime.part_table import Sections
from mic_mail.mime.scanner import Scanner

TRACE = (
    b"Return-Path: <dvbe@mic.gov.vn>\r\nReceived: from mail.example.org (mail.example.org [192.0.2.1])\r\n"
    b"\tby mx.mic.gov.vn with ESMTPS id 01J9ZK3\r\n\tfor <ttlan@mic.gov.vn>; Tue, 24 Nov 2026 10:00:00 +0700\r\n"
    b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=x;\r\n h=from:to:subject;\r\n b="
    + b"A"
    * 70
    + b"\r\n"
    b"User-Agent: Mozilla Thunderbird\r\nX-Spam: no\r\n"
)
THUNDERBIRD = frozenset(
    b"from to cc bcc subject date message-id priority x-priority references".split()
    + b"newsgroups in-reply-to content-type reply-to received".split()
)
CHUNK = 65_536


def filled(head: bytes, size: int) -> bytes:
    """A text message of `size` octets."""
    line = crlf(SENTENCE[:70] + "\n")
    return (head + line * (size // len(line) + 1))[:size]


def stream(message: bytes) -> None:
    """As a door feeds it."""
    scanner = Scanner()
    for start in range(0, len(message), CHUNK):
        scanner.feed(message[start : start + CHUNK])
    answers(scanner.finish())


def row(name: str, octets: int, work: Callable[[], object], repeat: int, runs: int = 9) -> None:
    """Time `work`, `repeat` times a run."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        for _ in range(repeat):
            work()
        times.append((time.process_time() - start) / repeat)
    seconds = min(times)
    print(f"{name:<44} {octets:>10} octets {seconds * 1e6:>10.1f} us {octets / seconds / 1e6:>8.0f} MB/s", flush=True)


def peak_kib(message: bytes) -> float:
    """What the scanner allocates at most, while a message streams through it."""
    chunks = [message[start : start + CHUNK] for start in range(0, len(message), CHUNK)]
    tracemalloc.start()
    scanner = Scanner()
    for chunk in chunks:
        scanner.feed(chunk)
    answers(scanner.finish())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1024


def main() -> None:
    """All rows."""
    text = part("text/plain; charset=utf-8", b"", "8bit")
    small = {
        "text, 1 KiB": filled(TRACE + HEAD + text, 1024),
        "text, 4 KiB": filled(TRACE + HEAD + text, 4096),
        "base64 text, 4 KiB": TRACE
        + HEAD
        + part("text/plain; charset=utf-8", lines_of_base64(SENTENCE.encode() * 22), "base64"),
        "text, 100 KiB": filled(TRACE + HEAD + text, 102_400),
        "alternative": TRACE + HEAD + multipart("=_1", PLAIN, HTML, subtype="alternative"),
        "alternative and a file of 4 KiB": TRACE
        + HEAD
        + multipart("=_0", multipart("=_1", PLAIN, HTML, subtype="alternative"), PDF),
        "attached message": TRACE + HEAD + multipart("=_0", PLAIN, part("message/rfc822", TRACE + HEAD + PLAIN)),
    }
    for name, message in small.items():
        row(f"answers_of: {name}", len(message), lambda message=message: answers_of(message), 500)
    office = [corpus.message(number)[0] for number in range(1, 301)]
    turns = itertools.cycle(office)
    row("answers_of: the corpus, mean", sum(map(len, office)) // len(office), lambda: answers_of(next(turns)), len(office))
    found = answers_of(small["text, 4 KiB"])
    row("cut: Thunderbird's fields", len(found.header), lambda: cut(found.header, THUNDERBIRD), 5000)
    row("Sections: open and locate", len(found.parts), lambda: Sections(found.parts).locate((1,)), 5000)
    file = os.urandom(20 * 1024 * 1024)
    body = file * 2
    large = {
        "base64 file of 20 MiB": multipart("=_0", PLAIN, part("application/pdf", lines_of_base64(file), "base64")),
        "base64 in bare LF": multipart("=_0", PLAIN, part("application/pdf", lines_of_base64(file), "base64")).replace(
            b"\r\n", b"\n"
        ),
        "text of 27 MiB": filled(text, 27 << 20),
        "quoted-printable text of 27 MiB": part(
            "text/plain", crlf("K=C3=ADnh g=E1=BB=ADi c=C3=A1c =C4=91=C6=A1n v=E1=BB=8B =3D=\n" * 540_000), "quoted-printable"
        ),
        "binary of 27 MiB": part("application/pdf", body[: 27 << 20], "binary"),
        "uuencode of 20 MiB in text": part("text/plain", uuencoded(file)),
        "1,000 parts of 27 KiB": multipart("=_0", *[part("application/pdf", lines_of_base64(file[:20_000]), "base64")] * 990),
        "40 open multiparts over 27 MiB of text": b"",
    }
    deep = filled(text, 27 << 20)
    for level in range(38):
        deep = multipart(f"=_{level}x", deep)
    large["40 open multiparts over 27 MiB of text"] = deep
    large["990 parts of an octet below 60 open multiparts"] = (
        b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (depth, depth) for depth in range(60))
        + b"--b59\r\n\r\nx\r\n" * 990
    )
    for name, rest in large.items():
        message = TRACE + HEAD + rest
        row(f"stream: {name}", len(message), lambda message=message: stream(message), 1, runs=3)
        print(f"{'':<44} {peak_kib(message):>10.0f} KiB at most")


if __name__ == "__main__":
    main()
