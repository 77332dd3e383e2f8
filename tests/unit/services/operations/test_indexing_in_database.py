"""Rounds of an indexer whose mailboxes lie in PostgreSQL: another server is at work, or the database is away."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.log.maillog import MailLog
from mic_mail.mime.imap_structure import answers_of
from mic_mail.services.operations.indexing import ROUND_SECONDS, Indexing
from mic_mail.storage.database_ground.indexing import LEASE_SECONDS
from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.index.postgresql.creation import create
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import AccountRef
from postgresql_server import PostgresqlServer, postgresql_server
from unit.storage.grounds import DatabaseRoot

pytestmark = pytest.mark.needs_tool("postgres")


@dataclass
class Mailbox:
    """What the indexer has to know of one."""

    mailbox_id: int
    home: str
    address: str


MAILBOXES = [Mailbox(number, f"mic.gov.vn/u{number}", f"u{number}@mic.gov.vn") for number in range(1, 6)]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server() as server:
        with closing(Database(server.connection_string)) as database:
            create(database)
        yield server


class Rounds:
    """An indexer, its clock and its log."""

    def __init__(self, server: PostgresqlServer, folder: Path) -> None:
        self.clock = ManualClock(datetime(2026, 12, 1, 9, tzinfo=UTC))
        self._string, self._folder = server.connection_string, folder
        self.store = self.another(folder / "changes")
        self.log = MailLog(folder / "log", "index", clock=self.clock)
        self.indexing = Indexing(self.store, lambda: MAILBOXES, self._run, self.log, self.clock)  # type: ignore[arg-type, return-value]

    def another(self, changes: Path) -> DatabaseMailStore:
        return DatabaseMailStore(Database(self._string), clock=self.clock, host="h", changes=changes)

    async def _run(self, call: Callable[[], int]) -> int:
        return call()

    def deliver(self, mailbox: Mailbox) -> None:
        octets = b"Subject: x\r\n\r\nhoa don\r\n"
        account = self.store.account(AccountRef.of(mailbox))
        staged = account.stage()
        staged.write(octets)
        account.publish(account.folder("INBOX").folder_id, [Delivery(staged, answers_of(octets))])

    def logged(self) -> dict[str, int]:
        """How many events of each name there are."""
        self.log.flush()
        return self.log.counted()

    def go_on(self, seconds: float = ROUND_SECONDS) -> bool:
        """A round; return whether another one has to follow in any case."""
        self.clock.move_to(self.clock.now() + timedelta(seconds=seconds))
        return asyncio.run(self.indexing.run_once())


@pytest.fixture
def rounds(server: PostgresqlServer, tmp_path: Path) -> Iterator[Rounds]:
    DatabaseRoot(server.connection_string, tmp_path).clear()
    rounds = Rounds(server, tmp_path)
    yield rounds
    rounds.log.close()
    rounds.store.close()


def test_only_mailboxes_that_changed_are_visited(rounds: Rounds, server: PostgresqlServer) -> None:
    """Nothing is asked about the others, and none of them is made."""
    rounds.deliver(MAILBOXES[1])
    assert not rounds.go_on()
    assert rounds.indexing.indexed == 1
    assert server.psql("SELECT account_id FROM account; SELECT account_id FROM search_visit") == "2\n2\n"


def test_a_mailbox_that_another_server_has_is_left_for_the_next_round(rounds: Rounds, tmp_path: Path) -> None:
    """Without a word in the log; where that server died, it is visited after some time."""
    rounds.deliver(MAILBOXES[1])

    def meanwhile() -> bool:
        assert rounds.go_on()
        return False

    with closing(rounds.another(tmp_path / "elsewhere")) as other:
        assert other.account(AccountRef.of(MAILBOXES[1])).index_text(Visited(), meanwhile) == 0
    assert rounds.logged() == {}
    assert rounds.indexing.indexed == 0
    assert not rounds.go_on()
    assert rounds.indexing.indexed == 1
    rounds.deliver(MAILBOXES[1])
    with pytest.raises(KeyboardInterrupt), closing(rounds.another(tmp_path / "elsewhere")) as other:
        other.account(AccountRef.of(MAILBOXES[1])).index_text(Visited(), _die)
    rounds.go_on()
    assert not rounds.go_on(LEASE_SECONDS)
    assert rounds.indexing.indexed == 2


def _die() -> bool:
    raise KeyboardInterrupt


def test_a_database_that_is_away_is_logged_once(rounds: Rounds, server: PostgresqlServer) -> None:
    """However many mailboxes there are and however long it takes; then the indexer goes on."""
    for mailbox in MAILBOXES:
        rounds.deliver(mailbox)
    server.stop()
    for _ in range(10):
        assert rounds.go_on()
    assert rounds.logged() == {"duty_failed": 1}
    server.start()
    while rounds.go_on():
        pass
    assert rounds.indexing.indexed == len(MAILBOXES)
