"""A server with a quarantine, and the command line beside it."""

import email
import email.policy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from addresses import parsed
from harness import MailServer, config_for
from mic_mail.clock import ManualClock
from mic_mail.config.manual import write
from mic_mail.quarantine.quarantine import QuarantineRecord, QuarantineState, Reason
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget
from mic_mail.services.mail_store import open_quarantine
from mic_mail.storage.types import INBOX, AccountRef
from regulation.console import Console

START = datetime(2026, 11, 2, 1, tzinfo=UTC)
STRANGER = "a@example.org"
MESSAGE = b"Return-Path: <a@example.org>\r\nReceived: x\r\nFrom: a@example.org\r\nSubject: offer\r\n\r\nbuy\r\n"
WHY = ("--reason", "đã xem")


class QuarantineServer:
    """A server with two people, its command line, and what is in quarantine there."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None) -> None:
        self.clock = ManualClock(START)
        self.server = MailServer(config_for(folder / "data", settings), self.clock)
        self.people = {name: self.server.issue(name) for name in ("dvbe", "ttlan")}
        (folder / "mic-mail.toml").write_text(write(self.server.config))
        self.console = Console(folder)
        self.quarantine = open_quarantine(self.server.config, self.server.running.context.store)
        self._numbers = iter(range(10**6))

    def keep(self, *names: str, reason: Reason = Reason.SPAM, sender: str = STRANGER, octets: bytes = MESSAGE) -> str:
        """As the door does it; the reference."""
        held_id, now_us = f"01QUARANTINED{next(self._numbers)}", self.clock.now_us()
        boxes = [self.people[name] for name in names or ("dvbe",)]
        targets = tuple(SpoolTarget(box.mailbox_id, parsed(box.address)) for box in boxes)
        slip = SpoolEnvelope(
            trace_id=held_id, sender=parsed(sender), targets=targets, accepted_at_us=now_us, return_path_octets=30
        )
        record = QuarantineRecord(
            held_id, QuarantineState.HELD, reason, now_us, now_us + 30 * 86_400_000_000, sender,
            tuple(box.address for box in boxes), tuple(box.mailbox_id for box in boxes), "192.0.2.1", "reject 20/15",
            ("GTUBE=15",), "offer", sender, "1@x", slip=slip.encode().decode(),
        )  # fmt: skip
        self.quarantine.keep(record, octets, room_octets=1 << 30)
        return held_id

    def state(self, held_id: str) -> QuarantineState:
        return self.quarantine.record(held_id).state

    def messages(self, name: str, folder: str = INBOX) -> list[tuple[int, bytes]]:
        """When each came, and its octets."""
        box = self.people[name]
        account = self.server.running.context.store.account(AccountRef(box.mailbox_id, box.home))
        folder_id = account.folder(folder).folder_id
        found = []
        for uid, at_us in account.rows(folder_id, list(account.view(folder_id).uids), ("uid", "internaldate_us")):
            with account.open_message(folder_id, uid) as message:
                found.append((at_us, message.pread(0, message.size)))
        return found

    def letters(self, name: str) -> list[str]:
        """The notices about the quarantine."""
        texts = [email.message_from_bytes(octets, policy=email.policy.default) for _, octets in self.messages(name)]
        return [text.get_content() for text in texts if "quarantine" in str(text["Subject"])]

    def pass_(self, **span: float) -> None:
        self.server.move_clock_to(self.clock.now() + timedelta(**span))
        self.server.housekeep()

    def events(self, name: str) -> list[dict[str, Any]]:
        self.server.running.context.log.flush()
        return [event for event in self.server.events() if event.get("event") == name]
