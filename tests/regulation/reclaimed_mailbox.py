"""A server at a moved clock, with a leaver whose mailbox is reclaimed, archived and freed."""

import email
import email.policy
import imaplib
import smtplib
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest

from harness import MailServer
from mic_mail.clock import HO_CHI_MINH, ManualClock
from mic_mail.directory.records import MailboxRecord
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, Fact, FactKind, MailboxKind
from mic_mail.services.mailboxes.issue import Ground, Issuing
from mic_mail.services.mailboxes.lifecycle_actions import MailboxLifecycle
from mic_mail.services.mailboxes.reclamation import Reclaiming
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import INBOX, AccountRef
from population import PASSWORD, credential

CENTRE = ActContext("quản trị", "theo đề nghị", "12/CV-CNTT")


def local(moment: str) -> datetime:
    return datetime.fromisoformat(moment).replace(tzinfo=HO_CHI_MINH).astimezone(UTC)


USED = local("2026-12-20")
"""When each mailbox is last used."""


class Ministry:
    """A server on a moved clock, with the mailboxes of the Centre, of a unit, and of someone who leaves on 31/08/2026."""

    def __init__(self, serve: Callable[..., MailServer]) -> None:
        self.clock = ManualClock(local("2026-08-30 09:00"))
        self.server = serve(clock=self.clock)
        self.support = self.server.issue("support", kind=MailboxKind.GROUP, name="Trung tâm Thông tin")
        self.unit = self.server.issue("cntt", kind=MailboxKind.UNIT, name="Vụ CNTT")
        self.leaver = self.server.issue("dvbe", name="Đỗ Văn Bê")
        self.deliver("một")
        self.server.record(self.leaver, Draft(FactKind.LEFT, self.clock.now(), "test", "", "1/QĐ", {"level": "division"}))
        self._is_used = False

    @property
    def reclaiming(self) -> Reclaiming:
        return Reclaiming(self.server.population.directory, self.store, self.server.config, self.clock)

    @property
    def store(self) -> MailStore:
        return self.server.running.context.store

    def deliver(self, subject: str, to: str = "dvbe") -> None:
        with smtplib.SMTP(self.server.host, self.server.ports["smtp"]) as client:
            client.sendmail("a@example.org", [f"{to}@mic.gov.vn"], f"Subject: {subject}\r\n\r\nx\r\n".encode())

    def until(self, moment: str) -> None:
        """The clock has come to `moment` by itself, so its mark was renewed all the time; the housekeeper looks twice."""
        if not self._is_used and local(moment) > USED:
            self._is_used = True
            self.server.move_clock_to(USED)  # an instant that lies ahead would be mended (`services.operations.false_instants`)
            for mailbox in (self.leaver, self.unit, self.support):
                self.server.population.directory.touch_activity(mailbox.mailbox_id, USED)
        self.server.move_clock_to(local(moment))
        self.clock_is_right()
        for _ in range(2):
            self.server.housekeep()
            self.server.refresh()

    def clock_is_right(self) -> None:
        (self.server.config.state_dir / "clock.mark").write_text(self.clock.now().isoformat())

    def letters(self, mailbox: Any) -> list[str]:
        """The Vietnamese subjects of what the server wrote into a mailbox, oldest first."""
        return [str(letter["Subject"]).split(" / ")[0] for letter in self.messages(mailbox) if letter["Auto-Submitted"]]

    def messages(self, mailbox: Any) -> list[EmailMessage]:
        account = self.server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view = account.view(account.folder(INBOX).folder_id)
        found = []
        for uid in view.uids:
            message = account.open_message(view.info.folder_id, uid)
            parsed = email.message_from_bytes(message.pread(0, message.size), policy=email.policy.default)
            message.close()
            assert isinstance(parsed, EmailMessage)
            found.append(parsed)
        return found

    def facts(self) -> list[FactKind]:
        return [fact.kind for fact in self.server.population.directory.facts(self.leaver.mailbox_id)]

    @property
    def home(self) -> Any:
        return self.server.config.mail_root / "mic.gov.vn/dvbe"

    @property
    def account(self) -> Account:
        return self.store.account_of(self.leaver)

    def lose_home(self) -> None:
        """In one step, as the server may still write there."""
        assert self.account.free(lambda: True)

    @property
    def archives(self) -> list[str]:
        root = self.server.config.server.data_dir / "archive/mic.gov.vn/dvbe"
        return sorted(path.name for path in root.iterdir()) if root.is_dir() else []


@pytest.fixture
def ministry(serve: Callable[..., MailServer]) -> Ministry:
    return Ministry(serve)


def issue_again(ministry: Ministry, *, bring_back: Callable[[MailboxRecord], Fact | None] | None = None) -> None:
    server = ministry.server
    issuing = Issuing(server.population.directory, server.config, ministry.clock, credential)
    ministry.server.population._past.move_to(ministry.clock.now())
    issuing.issue_again(ministry.leaver, PASSWORD, Ground(CENTRE), bring_back=bring_back)


def reclaim(ministry: Ministry) -> None:
    """The leaver's mailbox is warned of, reclaimed and archived."""
    for moment in ("2027-02-28", "2027-03-01 01:00"):
        ministry.until(moment)


def freed(ministry: Ministry) -> MailboxLifecycle:
    """The leaver's mailbox is deleted from the server."""
    reclaim(ministry)
    ministry.until("2027-04-01 01:00")
    assert ministry.facts()[-1] is FactKind.FREED
    assert not ministry.account.exists
    ministry.server.population._past.move_to(ministry.clock.now())
    return MailboxLifecycle(ministry.server.population.directory, ministry.server.config, ministry.clock)


def status(ministry: Ministry) -> bytes:
    client = imaplib.IMAP4_SSL(ministry.server.host, ministry.server.ports["imaps"], ssl_context=ministry.server.tls())
    client.authenticate("PLAIN", lambda _: f"\0dvbe@mic.gov.vn\0{PASSWORD}".encode())
    answer: bytes = client.status("INBOX", "(UIDVALIDITY)")[1][0]
    client.logout()
    return answer
