"""What a moved clock must not touch beside the states: the queue, totals, guesses, the warning of a certificate, a page
with its second factor.

Each witness knows by the time that really passed what has to be so. `before` and `after` stand around a set of the clock, in
which no time passes; `wrong` says what is not as it has to be once the clock is right again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mic_mail.auth import totp
from mic_mail.net.tls import SELF_SIGNED_DAYS, self_signed, write_pair
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import FactKind
from mic_mail.process.send_counters import SendCounters
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.services.authentication.second_factors import SecondFactors
from unit.web.conftest import Browser

if TYPE_CHECKING:
    from faults.clock_office import Office

HOUR, MINUTE = 3600.0, 60.0
WARNED_AFTER, GIVEN_UP_AFTER = 4 * HOUR, 5 * 24 * HOUR
FIRST_PAUSE, LONGEST_PAUSE = 5.5 * MINUTE, 4.4 * HOUR
SLACK = 2 * MINUTE
GUESSER = "192.0.2.9"


class Leaving:
    """Mail to a server that never answers: it waits, is late after four hours, and has failed after five days."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.submitted: dict[str, float] = {}
        self.queue = LocalQueue(office.config.queue_dir)

    def submit(self) -> None:
        before = set(self.queue.names())
        if not self.office.by_submission("dvbe", "someone@elsewhere.example"):  # who signs in is answered by the wall clock
            return
        self.office.eventually(lambda: bool(set(self.queue.names()) - before))
        for name in set(self.queue.names()) - before:
            self.submitted[name] = self.office.clock.boottime()

    def wake(self) -> None:
        """Let the sender look at its clock now instead of within 20 seconds."""
        self.office.server.call(self._wake())

    async def _wake(self) -> None:
        sending = self.office.server.running.server.sending
        assert sending is not None
        sending.configure()

    def tried(self, times: int) -> None:
        """Wait until each has been tried so often."""
        self.office.eventually(
            lambda: all(min(each.attempts for each in entry.state.recipients) >= times for entry in self.queue.entries()),
            self.wake,
        )

    def pass_and_try(self, seconds: float) -> None:
        """Let so much time pass, and wait for the tries that come due by that."""
        tries = {entry.entry_id: min(each.attempts for each in entry.state.recipients) for entry in self.queue.entries()}
        self.office.pass_seconds(seconds)
        self.office.eventually(
            lambda: all(
                min(each.attempts for each in entry.state.recipients) > tries.get(entry.entry_id, -1)
                or not entry.state.open
                or seconds < FIRST_PAUSE
                for entry in self.queue.entries()
            ),
            self.wake,
        )

    def all_are_late(self) -> bool:
        return all(entry.state.warned for entry in self.queue.entries())

    def wrong_at_any_time(self) -> Iterator[str]:
        """What is so whatever the clock says."""
        for name, since in self.submitted.items():
            lived = self.office.clock.boottime() - since
            entry = self.queue.read(name)
            if (entry is None or not entry.state.open) and lived < GIVEN_UP_AFTER - SLACK:
                yield f"{name} was given up after {lived:.0f} s"
            elif entry is not None and entry.state.warned and lived < WARNED_AFTER - SLACK:
                yield f"the sender of {name} was told of a delay after {lived:.0f} s"

    def wrong(self) -> Iterator[str]:
        """Likewise, and the instants on record, where no false time was believed when they were written."""
        yield from self.wrong_at_any_time()
        lived = self.office.clock.boottime()
        right_us = int(self.office.clock.right.timestamp() * 1_000_000)
        for name, since in self.submitted.items():
            entry = self.queue.read(name)
            if entry is None or not entry.state.open:
                continue
            if entry.state.next_try_us > right_us + (LONGEST_PAUSE + SLACK) * 1_000_000:
                yield f"{name} is tried next at {entry.state.next_try_us}"
            if abs(entry.envelope.accepted_at_us / 1e6 - (right_us / 1e6 - (lived - since))) > SLACK:
                yield f"{name} says that it was accepted at {entry.envelope.accepted_at_us}"


class Totals:
    """How much a mailbox has sent in the last hour and day."""

    def __init__(self, office: Office, local: str) -> None:
        self.office = office
        self.mailbox_id = office.mailboxes[local].mailbox_id
        self.sent: list[float] = []

    def counted(self) -> None:
        self.sent.append(self.office.clock.boottime())

    def wrong(self) -> Iterator[str]:
        lived, now = self.office.clock.boottime(), self.office.clock.right.timestamp()
        counts = SendCounters(self.office.config.sent_dir, None)
        try:
            sums = counts.sums(self.mailbox_id, now)
        finally:
            counts.close()
        for window, seconds, slot in ((sums.hour, HOUR, 5 * MINUTE), (sums.day, 24 * HOUR, HOUR)):
            least = sum(lived - at < seconds - SLACK for at in self.sent)
            most = sum(lived - at < seconds + slot + SLACK for at in self.sent)
            if not least <= window.total().messages <= most:
                yield f"{window.total().messages} messages within {seconds:.0f} s, and not {least} to {most}"


class Guesses:
    """A stranger who waits after wrong passwords."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self._before: Any = None
        for _ in range(30):
            self.guess()

    def guess(self) -> None:
        self.office.server.call(self._guess())

    async def _guess(self) -> None:
        self.office.server.running.context.access.verifier.proof_was_wrong("dvbe@mic.gov.vn", GUESSER)

    def wait(self) -> Any:
        return self.office.server.call(self.office.server.running.context.access.verifier.may_try("dvbe@mic.gov.vn", GUESSER))

    def before(self) -> None:
        self._before = self.wait()

    def after(self) -> None:
        assert self.wait() == self._before


class Ending:
    """A certificate of the doors that ends: the Centre is told 21, 7 and 1 days ahead and when it has ended, never before."""

    def __init__(self, folder: Path, ends_at: datetime) -> None:
        self.ends_at = ends_at
        self.pair = folder / "ending.pem", folder / "ending.key"
        write_pair(*self.pair, self_signed(["ending.mic.gov.vn"], ends_at - timedelta(days=SELF_SIGNED_DAYS)))

    @property
    def settings(self) -> dict[str, Any]:
        """Clients are shown another one: their clock is the machine's."""
        return {"tls": {"warn_days": 21, "more": [{"certificate": str(self.pair[0]), "key": str(self.pair[1])}]}}

    def wrong(self, office: Office, *, housekept: bool = False) -> Iterator[str]:
        """What was told before its time; and where the housekeeper has come since, what is due and was not told."""
        base = f"certificate:{self.pair[0]}:{self.ends_at.isoformat()}:"
        sent = office.server.population.directory.sent
        due = [days for days in (21, 7, 1, 0) if self.ends_at - timedelta(days=days) <= office.clock.right]
        for key in sent.beginning(base):
            days = int(key.removeprefix(base))
            if self.ends_at - timedelta(days=days) > office.clock.right + timedelta(seconds=SLACK):
                yield f"told {days} days ahead of the certificate's end, and too early"
        if housekept and due and not sent.known([f"{base}{due[-1]}"]):
            yield f"not told {due[-1]} days ahead of the certificate's end"


class Page:
    """Somebody with a second factor, at the page."""

    def __init__(self, office: Office, local: str, password: str) -> None:
        self.office = office
        self.local, self.password = local, password
        self.secret = totp.make_secret()
        directory = office.server.population.directory
        mailbox_id = office.mailboxes[local].mailbox_id
        entry = directory.entry(mailbox_id)
        assert entry.credential is not None
        factors = SecondFactors(directory, office.config, office.clock)
        factors.enrol(mailbox_id, entry.credential.version, self.secret, self.code(), ActContext("test"))
        assert any(fact.kind is FactKind.SECOND_FACTOR_SET for fact in directory.facts(mailbox_id))
        office.server.refresh()
        self.browser = Browser(office.server)
        self._before = 0
        self.sign_in()

    def code(self, by: Callable[[], datetime] | None = None) -> str:
        """What the device shows, whose clock is right or that of `by`."""
        now = self.office.clock.right if by is None else by()
        return totp.code(self.secret, int(now.timestamp() // totp.STEP_SECONDS))

    def sign_in(self, by: Callable[[], datetime] | None = None) -> bool:
        """As a person does, with a code that is new; False: the mailbox may not sign in."""
        self.office.pass_seconds(totp.STEP_SECONDS + 1)
        self.browser.close()
        self.browser = Browser(self.office.server)
        if self.browser.sign_in(self.local, self.password).headers.get("location") != "/code":
            return False
        self.browser.get("/code")
        answer = self.browser.post("/code", {"code": self.code(by)})
        assert answer.headers.get("location") == "/mailbox", answer.text
        self.browser.get("/mailbox")
        return True

    def before(self) -> None:
        self.browser.get("/mailbox")  # tells, once, that the session has ended where it has
        self._before = self.browser.get("/mailbox").status_code

    def after(self) -> None:
        answer = self.browser.get("/mailbox")
        assert answer.status_code == self._before, (answer.status_code, answer.text)

    def close(self) -> None:
        self.browser.close()
