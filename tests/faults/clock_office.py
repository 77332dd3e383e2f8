"""A server with mailboxes in several states, sessions, pages and waiting mail, whose clock jumps."""

import contextlib
import email
import http.client
import imaplib
import poplib
import re
import smtplib
import socket
import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email.policy import default
from pathlib import Path
from typing import Any

from faults.clock_witnesses import Ending, Guesses, Leaving, Page, Totals
from harness import MailServer, config_for, left_in_staging
from ldap_client import bind, codes
from mic_mail.auth.totp import STEP_SECONDS
from mic_mail.clock import ManualClock
from mic_mail.policy.calendar import local_day
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.services.authentication.sign_in import SignInService
from runtimes import runtime
from waiting import wait_for

BEGIN = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SETTINGS: dict[str, Any] = {
    "auth": {"cleartext": True},
    "listen": {"doors": ("smtp", "submission", "imap", "imaps", "pop3", "ldap", "https")},
    "sending": {"smarthost": "127.0.0.1:1", "smarthost_tls": "offered"},
}
PEOPLE = ("dvbe", "ttlan", "ndan", "idle", "leaver")
CODED = "hai"
"""Has a second factor."""
PASSWORD = "mat khau 2026 dung de thu"
DAY = 86_400


class TrueClock(ManualClock):
    """Knows what time it really is, however it is set."""

    @property
    def right(self) -> datetime:
        return BEGIN + timedelta(seconds=self.boottime())


class Office:
    """A server whose mailboxes stand shortly before and after an instant at which the clock alone changes something."""

    def __init__(self, folder: Path) -> None:
        self.clock = TrueClock(BEGIN)
        self.ending = Ending(folder, BEGIN + timedelta(days=22, hours=12))
        self.config = config_for(folder / "data", SETTINGS | self.ending.settings)
        self.server = MailServer(self.config, self.clock)
        directory = self.server.population.directory
        mailboxes = {local: self.issue(local, days=1 if local == "ndan" else 200) for local in PEOPLE}
        self.mailboxes = mailboxes
        mailboxes[CODED] = self.issue(CODED, days=200)
        self.issue("support", days=1)
        unit = self.issue("cntt", days=200, kind=MailboxKind.UNIT)
        self.server.allow(unit, mailboxes["dvbe"], "keeper")
        self.server.allow(unit, mailboxes["ttlan"], "substitute", until=local_day(BEGIN + timedelta(days=3)).isoformat())
        self.server.record(mailboxes["leaver"], Draft(FactKind.LEFT, BEGIN, "test", "", "1/QĐ", {"level": "division"}))
        for local, mailbox in (*mailboxes.items(), ("cntt", unit)):
            ago = timedelta(days=150 if local == "idle" else 1)
            directory.touch_activity(mailbox.mailbox_id, BEGIN - ago)
        self.server.refresh()
        self.server.housekeep()
        self.sessions = {local: self.imap(local) for local in ("dvbe", "ttlan", "ndan")}
        self.sessions["ttlan"].select('"Shared/cntt"')
        self.leaving = Leaving(self)
        self.totals = Totals(self, "dvbe")
        self.guesses = Guesses(self)
        self.page = Page(self, CODED, PASSWORD)

    def issue(self, local: str, days: float, kind: MailboxKind = MailboxKind.PERSONAL) -> Any:
        return self.server.issue(local, password=PASSWORD, issued_days_ago=days, kind=kind)

    def imap(self, local: str) -> imaplib.IMAP4:
        client = imaplib.IMAP4(self.server.host, self.server.ports["imap"], timeout=30)
        client.login(local, PASSWORD)
        client.select()
        return client

    # ------------------------------------------------------------ the doors

    def by_imap(self, local: str) -> bool:
        with contextlib.suppress(imaplib.IMAP4.error):
            self.imap(local).logout()
            return True
        return False

    def by_pop3(self, local: str) -> bool:
        client = poplib.POP3(self.server.host, self.server.ports["pop3"], timeout=30)
        try:
            client.user(local)
            client.pass_(PASSWORD)
        except poplib.error_proto:
            return False
        finally:
            client.close()
        return True

    def by_submission(self, local: str, to: str = "dvbe@mic.gov.vn") -> bool:
        with smtplib.SMTP(self.server.host, self.server.ports["submission"], timeout=30) as client:
            try:
                client.login(local, PASSWORD)
                client.sendmail(f"{local}@mic.gov.vn", [to], f"From: {local}@mic.gov.vn\r\nSubject: x\r\n\r\nx\r\n")
            except (smtplib.SMTPAuthenticationError, smtplib.SMTPSenderRefused):
                return False
        if local == "dvbe":
            self.totals.counted()
        return True

    def by_ldap(self, local: str) -> bool:
        with socket.create_connection((self.server.host, self.server.ports["ldap"]), timeout=30) as wire:
            wire.sendall(bind(1, local, PASSWORD))
            return codes(wire.recv(4096)) == [0]

    def by_carddav(self, local: str) -> bool:
        client = http.client.HTTPSConnection("localhost", self.server.ports["https"], context=self.server.tls(), timeout=30)
        credentials = b64encode(f"{local}@mic.gov.vn:{PASSWORD}".encode()).decode()
        client.request("PROPFIND", "/dav/", headers={"Authorization": f"Basic {credentials}", "Depth": "0"})
        status = client.getresponse().status
        client.close()
        assert status in (207, 401, 403, 503), status
        return status == 207

    @property
    def doors(self) -> tuple[Callable[[str], bool], ...]:
        return self.by_imap, self.by_pop3, self.by_submission, self.by_ldap, self.by_carddav

    def mail_comes(self, local: str) -> int:
        """What its sender is told: no mailbox is refused for good by a time that is false."""
        address, code = f"{local}@mic.gov.vn", 250
        with smtplib.SMTP(self.server.host, self.server.ports["smtp"], timeout=30) as client:
            try:
                client.sendmail("a@example.org", [address], "Subject: y\r\n\r\ny\r\n")
            except smtplib.SMTPRecipientsRefused as refused:
                code = refused.recipients[address][0]
        assert code < 500 or not self.server.call(self._anew())[address][1], (local, code)
        return code

    # ------------------------------------------------------------ what is true

    def pass_seconds(self, seconds: float) -> None:
        """Time that really passes, whatever the clock says."""
        self.server.move_clock_to(self.clock.now() + timedelta(seconds=seconds))

    def eventually(self, is_so: Callable[[], bool], nudge: Callable[[], None] = lambda: None) -> None:
        wait_for(is_so, meanwhile=nudge)

    def begin_again(self) -> None:
        """Stop the server, and start another one over its data."""
        for session in self.sessions.values():
            session.shutdown()
        self.sessions.clear()
        self.server.stop()
        self.server = MailServer(self.config, self.clock)

    def set_clock(self, instant: datetime) -> None:
        """Set the wall clock, in no time: nobody who waits waits longer, and nobody at the page is cut off."""
        witnesses = (self.guesses, self.page)
        for witness in witnesses:
            witness.before()
        self.clock.set_to(instant)
        for witness in witnesses:
            witness.after()

    def put_right(self) -> None:
        """As a time server does it: nobody is told, and no time passes."""
        self.clock.set_to(self.clock.right)

    def check(self, *, written: bool = True) -> None:
        """Everything is as it has to be under a clock that is right, once each process has noticed that.

        `written`: also what is never written again, lines of the log and letters.
        """
        wrong: list[str] = []

        def is_right() -> bool:
            wrong[:] = self._wrong(written=written)
            return not wrong

        wait_for(is_right, lambda: wrong)

    def _wrong(self, *, written: bool) -> list[str]:
        wrong = [] if self.clock.is_settled() else ["the clock is not believed"]
        fresh, present = self.server.call(self._anew()), self.server.call(answers(self.server.running.context.access))
        wrong += [f"{key}: {present.get(key)}, and anew {fresh[key]}" for key in fresh if present.get(key) != fresh[key]]
        wrong += [*(self.leaving.wrong() if written else self.leaving.wrong_at_any_time()), *self.totals.wrong()]
        wrong += self.ending.wrong(self)
        return wrong + list(self._ahead()) + (list(self._written_ahead()) if written else [])

    @property
    def _late(self) -> datetime:
        return self.clock.right + timedelta(minutes=2)

    async def _anew(self) -> dict[str, Any]:
        """What a server would say that was started now."""
        context = self.server.running.context
        fresh = SignInService(
            runtime(self.config, ManualClock(self.clock.right), executors=context.executors, log=context.log),
            directory=context.directory, snapshot=context.directory.load_snapshot(),
            decoy_key=b"x" * 32, digest_key=b"y" * 32, log_key=b"z" * 32, tell=lambda _: None,
        )  # fmt: skip
        return await answers(fresh)

    def may(self, local: str) -> tuple[bool, bool]:
        """Sign in, and send."""
        _, _, signs_in, sends, *_ = self.server.call(self._anew())[f"{local}@mic.gov.vn"]
        return signs_in, sends

    def _ahead(self) -> Iterator[str]:
        """Instants on record that are still to come."""
        late = self._late
        with contextlib.closing(sqlite3.connect(self.config.directory_dir / "directory.sqlite")) as base:
            for table, column in (("activity", "last_used_at"), ("sent_notice", "sent_at"), ("fact", "recorded_at")):
                for (value,) in base.execute(f"SELECT max({column}) FROM {table}"):
                    if value is not None and instant(value) > late:
                        yield f"{table}.{column} {value}"
            for (key,) in base.execute("SELECT key FROM sent_notice"):
                if is_early(key, local_day(self._late)):
                    yield f"a notice before its time: {key}"
            for (step,) in base.execute("SELECT max(last_step) FROM second_factor"):
                if step * STEP_SECONDS > late.timestamp():
                    yield f"a code of step {step}"

    def _written_ahead(self) -> Iterator[str]:
        for path in self.config.mail_root.glob("*/*/Maildir/**/cur/*"):
            if int(path.name.partition(".")[0]) > self._late.timestamp():
                yield f"a message: {path.name}"
        with contextlib.closing(sqlite3.connect(self.config.directory_dir / "directory.sqlite")) as base:
            for (key,) in base.execute("SELECT key FROM void_notice"):
                yield f"a notice that was taken back: {key}"
        for event in self.server.events():
            if event["at"] > self._late.isoformat():
                yield f"an event of {event['at']}"

    def notices(self, local: str) -> list[str]:
        """The English subjects of what the Centre has written into a mailbox."""
        home = self.config.mail_root / "mic.gov.vn" / local / "Maildir"
        messages = [email.message_from_bytes(path.read_bytes(), policy=default) for path in home.glob("cur/*")]
        written = [each for each in messages if each["auto-submitted"] == "auto-generated"]
        return sorted(each["subject"].partition(" / ")[2] for each in written)

    def sessions_go_on(self) -> None:
        for local, session in self.sessions.items():
            assert session.noop()[0] == "OK", local

    def stop(self) -> None:
        self.page.close()
        for session in self.sessions.values():
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                session.logout()
        self.server.stop()
        assert left_in_staging(self.config.mail_root) == []


def is_early(key: str, today: date) -> bool:
    """Whether a notice of a mailbox's life told of a day that is more days ahead than it says: kind, mailbox, day, days."""
    found = re.fullmatch(r"[a-z_]+:\d+:(\d{4}-\d\d-\d\d):(\d+)", key)
    return found is not None and date.fromisoformat(found[1]) - timedelta(days=int(found[2])) > today


def instant(value: Any) -> datetime:
    return (
        datetime.fromtimestamp(value / 1e6, UTC)
        if isinstance(value, int)
        else datetime.fromisoformat(value).replace(tzinfo=UTC)
    )


async def answers(access: SignInService) -> dict[str, Any]:
    """What is said of each mailbox, and of what each person uses beside the own."""
    found = dict[str, Any]()
    for entry in access.snapshot:
        decision, used = access.decisions.of(entry), access.last_use(entry)
        found[entry.address] = (
            sorted(decision.states), decision.receives, decision.signs_in, decision.sends,
            None if used is None else local_day(used),
            sorted((shared.address, shared.rights) for shared in access.sharing.of(entry.mailbox_id).values()),
            sorted(access.sharing.holders(entry.mailbox_id).items()),
        )  # fmt: skip
    return found
