"""A unit's mailbox with its people for the tests of Reg. 11.4, 12.3.a to 12.3.c: a server at a moved clock, its command line.

The days are those of the last whole week but one, so that commands, which know the machine's clock alone, find them past.
"""

import imaplib
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock, SystemClock
from mic_mail.config.manual import write
from mic_mail.log.maillog import MailLog
from mic_mail.mime.imap_structure import answers_of
from mic_mail.policy.calendar import SATURDAY, WorkingDays, at_time, local_day
from mic_mail.policy.facts import MailboxKind
from mic_mail.services.operations.working_calendar import expected_year
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from regulation.console import Console
from waiting import wait_for

CNTT, DVBE, TTLAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
TODAY = local_day(SystemClock().now())


def _monday() -> date:
    """The Monday of the last whole week but one; earlier where a holiday lies in the four weeks around it."""
    calendar = WorkingDays.of(expected_year(TODAY.year + n)[0] for n in (-1, 0, 1))
    monday = TODAY - timedelta(days=TODAY.weekday() + 14)
    while any(calendar.is_rest(monday + timedelta(days=n)) != (n % 7 >= SATURDAY) for n in range(-7, 21)):
        monday -= timedelta(days=7)
    return monday


MONDAY = _monday()
SETTINGS = {"imap": {"idle_seconds": "12 h"}}


def at(day: date, clock: str) -> datetime:
    """An instant of the ministry's clock: `at(MONDAY, "07:45")`."""
    return at_time(day, time.fromisoformat(clock))


def shown(instant: str) -> str:
    """`17/11/2026 07:45` of an instant as commands print it in JSON."""
    return f"{datetime.fromisoformat(instant).astimezone(HO_CHI_MINH):%d/%m/%Y %H:%M}"


class UnitMailServer:
    """cntt@ with its keeper dvbe, and ttlan of the same unit, who is nothing yet; it is Monday, 07:00, or when it `begins`."""

    def __init__(
        self, serve: Callable[..., MailServer], folder: Path, settings: dict[str, Any] | None = None, *, begins: str = "07:00"
    ) -> None:
        self.folder = folder
        self.server = serve({**SETTINGS, **(settings or {})}, clock=ManualClock(at(MONDAY, begins)))
        self.cntt = self.server.issue("cntt", kind=MailboxKind.UNIT, name="Cục CNTT", aliases=["cuccntt"])
        self.dvbe = self.server.issue("dvbe", name="Đỗ Văn Bê")
        self.ttlan = self.server.issue("ttlan", name="Trần Thị Lan")
        self.server.allow(self.cntt, self.dvbe, "keeper")
        self._console: Console | None = None
        wait_for(self.server.events)  # the log begins on this Monday: it is written in a thread of its own

    def move_to(self, day: date, clock: str) -> None:
        """What has happened is in the log of its own day by then."""
        self.server.running.context.log.flush()
        self.server.move_clock_to(at(day, clock))

    def sign_in(self, address: str = DVBE) -> imaplib.IMAP4_SSL:
        client = imaplib.IMAP4_SSL("localhost", self.server.ports["imaps"], ssl_context=self.server.tls(), timeout=20)
        client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
        return client

    def account(self, mailbox: Any) -> Account:
        return self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))

    def put(self, mailbox: Any, octets: bytes, folder: str = "INBOX", **how: Any) -> int:
        """A message in a folder, as it would have come now; its UID."""
        account = self.account(mailbox)
        staged = account.stage()
        staged.write(octets)
        staged.finish()
        delivery = Delivery(staged, answers_of(octets), received_at_us=self.server.clock.now_us(), **how)
        published = account.publish(account.folder(folder).folder_id, [delivery])
        staged.discard()
        return published[0].uid

    def opened(self, count: int) -> list[dict[str, Any]]:
        """The openings on record once there are so many: the log is written in a thread of its own."""
        return wait_for(
            lambda: len(found := [e for e in self.server.events() if e.get("event") == "mailbox_opened"]) >= count and found
        )

    def runs_on(self) -> None:
        """The log as of a server that has run until today: some lines on each day."""
        day = MONDAY
        while day <= TODAY:
            log = MailLog(self.server.config.log_dir, "another", clock=ManualClock(at(day, "12:00")), threaded=False)
            log.event("log_anchored")
            log.close()
            day += timedelta(days=1)

    @property
    def console(self) -> Console:
        """The command line, with the machine's clock."""
        if self._console is None:
            self._console = Console(self.folder)
            (self.folder / "mic-mail.toml").write_text(write(self.server.config))
        return self._console


def letter(number: int, sender: str = "a@mof.gov.vn", to: str = CNTT, header: str = "") -> bytes:
    """A message of a person."""
    head = f"From: {sender}\r\nTo: {to}\r\nMessage-ID: <{number}@x>\r\nSubject: Thu so {number}\r\n{header}\r\n"
    return f"{head}Noi dung {number}\r\n".encode()
