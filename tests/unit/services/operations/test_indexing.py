"""Which mailboxes a round of the indexer visits, and how many times a message is packed."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mic_mail.clock import ManualClock
from mic_mail.log.maillog import MailLog
from mic_mail.mime.imap_structure import answers_of
from mic_mail.services.operations.indexing import LONGEST_WAIT_SECONDS, ROUND_SECONDS, Indexing
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.search import writer
from mic_mail.storage.types import AccountRef

HOME = "mic.gov.vn/dvbe"


@dataclass
class Mailbox:
    """What the indexer has to know of one."""

    mailbox_id: int = 7
    home: str = HOME
    address: str = "dvbe@mic.gov.vn"


class Rounds:
    """An indexer, its clock, and one mailbox."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(datetime(2026, 12, 1, 9, tzinfo=UTC))
        self.store = LocalMailStore(folder / "mail", clock=self.clock, host="h")
        self.log = MailLog(folder / "log", "index", clock=self.clock)
        self.indexing = Indexing(self.store, lambda: [Mailbox()], self._run, self.log, self.clock)  # type: ignore[list-item]
        self.delivered = 0

    async def _run(self, call: Callable[[], int]) -> int:
        return call()

    def deliver(self) -> None:
        self.delivered += 1
        octets = b"Subject: x\r\n\r\nhoa don %d\r\n" % self.delivered
        account = self.store.account(AccountRef(7, HOME))
        staged = account.stage()
        staged.write(octets)
        staged.finish()
        account.publish(account.folder("INBOX").folder_id, [Delivery(staged, answers_of(octets))])

    def go_on(self) -> bool:
        """A round; return whether another one has to follow in any case."""
        self.clock.move_to(self.clock.now() + timedelta(seconds=ROUND_SECONDS))
        return asyncio.run(self.indexing.run_once())

    def close(self) -> None:
        self.log.close()
        self.store.close()


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Rounds]:
    rounds = Rounds(tmp_path)
    yield rounds
    rounds.close()


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of documents of each segment that is made."""
    found: list[int] = []
    pack = writer.pack

    def count(documents: Any) -> Any:
        found.append(len(documents))
        return pack(documents)

    monkeypatch.setattr(writer, "pack", count)
    return found


def test_the_first_round_visits_at_once(rounds: Rounds) -> None:
    rounds.deliver()
    assert not rounds.go_on()
    assert rounds.indexing.indexed == 1


def test_messages_that_keep_coming_are_packed_together(rounds: Rounds, packed: list[int]) -> None:
    """One segment in place of five, and no message is packed twice."""
    assert not rounds.go_on()
    for _ in range(5):
        rounds.deliver()
        assert rounds.go_on()
    assert rounds.indexing.indexed == 0
    assert not rounds.go_on()
    assert (rounds.indexing.indexed, packed) == (5, [5])


def test_a_mailbox_that_never_rests_is_visited_all_the_same(rounds: Rounds, packed: list[int]) -> None:
    assert not rounds.go_on()
    waits = int(LONGEST_WAIT_SECONDS / ROUND_SECONDS)
    for _ in range(2 * (waits + 1)):
        rounds.deliver()
        rounds.go_on()
    assert rounds.indexing.indexed == 2 * (waits + 1)
    assert packed == [waits + 1, 2 * (waits + 1)]


def test_a_round_without_a_change_ends_the_wait(rounds: Rounds) -> None:
    """A round that finds nothing new begins the wait anew."""
    assert not rounds.go_on()
    rounds.deliver()
    assert rounds.go_on()
    assert not rounds.go_on()
    rounds.deliver()
    assert rounds.go_on()
    assert rounds.indexing.indexed == 1
    assert not rounds.go_on()
    assert rounds.indexing.indexed == 2
