"""Reg. 4.1 on the real processes: a flood of dear documents from strangers carries no marked one out past the check.

How many documents were answered with what, and how long the slowest of them waited, are printed (`-s`), and nothing is
asserted about durations.
"""

import base64
import random
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import EmailMessage

import pytest

from harness import ProcessServer
from markings.bombs import OPERATORS, pdf_of, sheet, word
from markings.documents import docx, pdf
from population import PASSWORD
from waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

STRANGERS, SENDERS, DOCUMENTS = 40, 10, 20
"""Networks outside; mailboxes inside, and what each of them submits."""
MOST_BOMBS = 60
"""Of one stranger, however long the senders inside take."""
PATIENCE_SECONDS = 120
BOMBS: dict[str, Callable[[], bytes]] = {
    "a.docx": lambda: word("<w:p><w:t>MẬT Ọ</w:t></w:p>" * 200_000),
    "a.xlsx": lambda: sheet("<row>" + "<c><v>0</v></c>" * 450_000 + "</row>"),
    "a.pdf": lambda: pdf_of(OPERATORS * 150_000),
    "b.pdf": lambda: pdf_of(OPERATORS * 625, 500),
    "c.pdf": lambda: pdf_of(OPERATORS * 6_000, 100, random.Random(1).randbytes(1_800_000)),
}
"""8 KB to 1.8 MB: each keeps a reader busy for half a second to five, until it is given up."""
ORDINARY = [f"{number}. Đề nghị các đơn vị báo cáo tình hình thực hiện nhiệm vụ trong quý." for number in range(1, 40)]


def letter(sender: str, to: str, name: str, content: bytes) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, "Gửi tài liệu"
    message.set_content("Kính gửi anh chị.\n")
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


def send(client: smtplib.SMTP, sender: str, to: str, octets: bytes) -> tuple[int, bytes]:
    """The answer to the end of the message."""
    assert client.mail(sender)[0] == 250
    assert client.rcpt(to)[0] == 250
    return client.data(octets)


class Flood:
    """Strangers, each in a network of its own, who send one bomb after the other until they are told to stop."""

    def __init__(self, server: ProcessServer) -> None:
        self._server = server
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.answered: Counter[int] = Counter()
        self._letters = [letter("a@stranger.example", "ttlan@mic.gov.vn", name, make()) for name, make in BOMBS.items()]

    def stranger(self, number: int) -> None:
        source = (f"127.0.{number}.1", 0)
        address = self._server.host, self._server.ports["smtp"]
        with smtplib.SMTP(*address, "mx.stranger.example", PATIENCE_SECONDS, source_address=source) as client:
            client.ehlo()
            for turn in range(number, number + MOST_BOMBS):
                if self._stopped.is_set():
                    return
                code, _ = send(client, "a@stranger.example", "ttlan@mic.gov.vn", self._letters[turn % len(self._letters)])
                with self._lock:
                    self.answered[code] += 1

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """All of them are sending, and what they have sent keeps the readers busy."""
        with ThreadPoolExecutor(STRANGERS) as threads:
            senders = [threads.submit(self.stranger, number) for number in range(1, STRANGERS + 1)]
            try:
                self._wait_until_busy()
                yield
            finally:
                self._stopped.set()
        for each in senders:
            each.result()

    def _wait_until_busy(self) -> None:
        wait_for(lambda: sum(self.answered.values()) >= STRANGERS, lambda: self.answered)


def submitted(server: ProcessServer, local: str, octets: bytes) -> tuple[int, str, float]:
    """In a session of its own: the code, what was said, and after how many seconds."""
    address, door = f"{local}@mic.gov.vn", ("localhost", server.ports["submissions"])
    with smtplib.SMTP_SSL(*door, "client.example", timeout=PATIENCE_SECONDS, context=server.tls()) as client:
        client.ehlo()
        secret = base64.b64encode(f"\0{address}\0{PASSWORD}".encode()).decode()
        assert client.docmd("AUTH", f"PLAIN {secret}")[0] == 235
        began = time.monotonic()
        code, said = send(client, address, "vanthu@mic.gov.vn", octets)
        return code, said.decode(), time.monotonic() - began


def marked_letters(local: str, number: int) -> list[bytes]:
    """Documents of one sender, each another one."""
    letters = []
    for each in range(DOCUMENTS):
        lines = ["BỘ THÔNG TIN VÀ TRUYỀN THÔNG", f"Số: {number * DOCUMENTS + each}/BC-BTTTT", "TỐI MẬT", *ORDINARY]
        name, content = ("bao-cao.docx", docx(lines)) if each % 2 else ("bao-cao.pdf", pdf(lines))
        letters.append(letter(f"{local}@mic.gov.vn", "vanthu@mic.gov.vn", name, content))
    return letters


def test_clause_4_1_no_flood_carries_a_marked_document_out(serve_processes: Callable[..., ProcessServer]) -> None:
    """While 40 networks send documents that take readers seconds, 200 documents marked TỐI MẬT are submitted by ten mailboxes:
    each is refused with the clause or may be tried again, and nobody gets one."""
    server = serve_processes({"process": {"workers": 2}})
    senders = {f"nguoi{number}": number for number in range(SENDERS)}
    for local in ("ttlan", "vanthu", *senders):
        server.population.issue(local, quota_octets=10 << 30)
    server.start()
    flood = Flood(server)
    letters = {local: marked_letters(local, number) for local, number in senders.items()}

    def submit_all(local: str) -> list[tuple[int, str, float]]:
        return [submitted(server, local, octets) for octets in letters[local]]

    with flood.under_way(), ThreadPoolExecutor(SENDERS) as threads:
        answers = [answer for each in threads.map(submit_all, senders) for answer in each]
    codes = Counter(code for code, _, _ in answers)
    seconds = sorted(seconds for _, _, seconds in answers)
    print(f"\ninside: {dict(codes)}, slowest {seconds[-1]:.1f} s, median {seconds[len(seconds) // 2]:.2f} s")
    print(f"strangers: {dict(flood.answered)}")
    assert len(answers) == SENDERS * DOCUMENTS
    assert set(codes) <= {550, 451}
    assert codes[550]
    for code, said, _ in answers:
        assert "4.1" in said
        assert said.startswith("5.7.1" if code == 550 else "4.7.0")
    assert not list((server.config.mail_root / "mic.gov.vn/vanthu").rglob("Maildir/cur/*"))
    reasons = Counter(
        (event["way"], reason)
        for event in server.events()
        if event.get("event") == "message_not_inspected"
        for reason in event["reasons"]
    )
    print(f"not inspected: {dict(reasons)}")
    assert reasons["inbound", "unavailable/message"], "the flood kept no reader busy"
