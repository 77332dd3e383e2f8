"""Logs for tests: written by the program's own classes, on a clock that the test moves."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mic_mail.clock import ManualClock
from mic_mail.log.anchor_chain import Head
from mic_mail.log.anchor_writer import AnchorWriter
from mic_mail.log.audit import Audit
from mic_mail.log.files import digest
from mic_mail.log.index_loader import load_some
from mic_mail.log.maillog import MailLog
from mic_mail.log.verify import LogFinding, LogVerification, verify

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
HEADS = [Head(1, 3, "ab" * 32), Head(2, 1, "cd" * 32)]


class Logs:
    """One folder with two workers' logs, acts, anchors and an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(START)
        self.audit = Audit(folder, clock=self.clock)
        self.heads: list[str] = []
        self._open: dict[str, MailLog] = {}
        self._anchoring = AnchorWriter(folder)

    def log(self, process: str = "worker0") -> MailLog:
        if process not in self._open:
            self._open[process] = MailLog(self.folder, process, clock=self.clock, threaded=False)
        return self._open[process]

    def message(self, number: int, process: str = "worker0") -> None:
        """The events of one message, and a second later."""
        log = self.log(process)
        who, to = f"m{number % 7}@mic.gov.vn", f"M{number % 5}@mic.gov.vn"
        log.event("signed_in", mailbox=who, door="submissions", mechanism="PLAIN", peer="10.0.0.1", session=f"S{number:05}")
        session, trace = f"S{number:05}", f"T{number:05}"
        log.event("message_accepted", trace=trace, message_id=f"Id.{number}@pc", sender=who, recipients=[to], session=session)
        log.event("message_delivered", trace=trace, mailbox=to.lower(), recipient=to, folder="INBOX", uid=number)
        self.clock.move_to(self.clock.now() + timedelta(seconds=1))

    def day(self, messages: int = 20) -> None:
        """A day's traffic and an act; then the next day."""
        begun = self.clock.now()
        for number in range(messages):
            self.message(number + 1000 * begun.day, f"worker{number % 2}")
        self.audit.record(actor="an", act="mailbox_suspend", subject="m1@mic.gov.vn", reason="thử")
        self.clock.move_to(begun + timedelta(days=1))

    def anchor(self) -> int:
        """What the housekeeper does every hour; how many records that made. The log tells of each."""
        made, more = [], True
        while more:
            anchor, more = self._anchoring.anchor(self.clock.now(), HEADS)
            made += [anchor] if anchor is not None else []
        for anchor in made:
            self.heads.append(digest(anchor.encode()))
            self.log("house").event("log_anchored", number=anchor.number, head=self.heads[-1], kind=anchor.kind)
        return len(made)

    def load(self, most_octets: int = 1 << 20) -> None:
        while load_some(self.folder, most_octets=most_octets).more:
            pass

    def close(self) -> None:
        for log in self._open.values():
            log.close()
        self._open.clear()

    def segments(self, day: str = "") -> list[Path]:
        return sorted(self.folder.glob(f"{day}*.worker*.jsonl"))

    def verify(self, months: int = 12, head: str | None = None) -> LogVerification:
        return verify(self.folder, months=months, now=self.clock.now(), noted_head=head)

    def faults(self, head: str | None = None) -> list[LogFinding]:
        return [finding for finding in self.verify(head=head).findings if finding.is_fault]

    def lines(self) -> Iterator[dict[str, object]]:
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n")[:-1]:
                yield json.loads(line)


def made(folder: Path, days: int = 3) -> Logs:
    """Some days that are over and closed, and a day that is not, all loaded."""
    logs = Logs(folder)
    for _ in range(days):
        logs.day()
        logs.anchor()
    logs.day(6)
    logs.clock.move_to(logs.clock.now() - timedelta(hours=20))
    logs.load()
    logs.close()
    return logs


def copy(logs: Logs, folder: Path) -> Logs:
    """Another folder with the same log, at the same moment: made logs cost half a second each."""
    shutil.copytree(logs.folder, folder)
    other = Logs(folder)
    other.clock.move_to(logs.clock.now())
    other.heads = list(logs.heads)
    return other
