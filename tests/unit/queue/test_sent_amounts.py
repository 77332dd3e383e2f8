"""What a mailbox has sent over all nodes of a database: no limit is passed, and nothing is forgotten with a node."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from mic_mail.process.send_counters import Amounts
from mic_mail.queue.sent_amounts import SentAmounts
from mic_mail.services.abuse.send_limits import Ceilings, SendLimits
from mic_mail.services.abuse.shared_counters import SharedCounters
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.postgresql.database import Database
from postgresql_server import PostgresqlServer
from queue_grounds import rows

NOW = 1_764_000_000.0
PLENTY = Amounts(1_000_000, 1_000_000, 1 << 50)


@contextmanager
def counters(server: PostgresqlServer) -> Iterator[SharedCounters]:
    """The counters of one process."""
    with closing(SharedCounters(SentAmounts(Database(server.connection_string), closes=True))) as counts:
        yield counts


def send(counts: SharedCounters, recipients: int, limit: Amounts, now: float = NOW, octets: int = 10) -> bool:
    """Send a message as a submission does; return whether it was accepted."""
    limits, ceilings = SendLimits(counts), Ceilings(limit, PLENTY)
    for _ in range(recipients):
        if limits.take(1, Amounts(recipients=1), ceilings, now) is not None:
            return False
    return limits.take_with_others(1, Amounts(1, 0, octets), recipients, ceilings, now) is None


def test_of_two_nodes_one_knows_what_the_other_has_sent(database: PostgresqlServer) -> None:
    with counters(database) as first, counters(database) as second:
        limit = Amounts(99, 5, 999)
        assert send(first, 3, limit)
        assert not send(second, 3, limit), "it had not asked before"
        assert second.read(1, NOW).hour.total() == Amounts(1, 3, 10), "what did not fit was given back"
        ceilings = Ceilings(limit, PLENTY)
        assert SendLimits(second).full(1, Amounts(recipients=3), ceilings, NOW), "it knows now, before the message comes"
        assert send(second, 2, limit)
        assert not send(first, 1, limit)
        assert first.read(1, NOW).hour.total() == Amounts(2, 5, 20)
        assert send(second, 3, limit, NOW + 3_900), "an hour later"


@pytest.mark.parametrize("limit", [Amounts(30, 999, 9999), Amounts(999, 60, 9999), Amounts(999, 999, 300)])
def test_nodes_together_never_pass_a_limit(database: PostgresqlServer, limit: Amounts) -> None:
    """Eight at once, in slots that differ as their clocks do; in the end the limit is reached."""
    accepted: list[int] = []

    def flood(number: int) -> None:
        with counters(database) as counts:
            accepted.extend(send(counts, 2, limit, NOW + number % 2 * 300) for _ in range(20))

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with counters(database) as counts:
        while send(counts, 2, limit, NOW):
            accepted.append(True)
        total = counts.read(1, NOW).hour.total()
    assert sum(accepted) == 30
    assert (total.messages, total.octets) == (30, 300)
    assert total.recipients == 60


def test_what_was_named_and_not_sent_counts_soon(database: PostgresqlServer) -> None:
    """Refusals, too; after a process has ended they are still known."""
    with counters(database) as counts:
        assert SendLimits(counts).take(1, Amounts(recipients=4), Ceilings(PLENTY, PLENTY), NOW) is None
        SendLimits(counts).refused(1, 1, 7, NOW)
        assert counts.has_counted()
        counts.exchange_all(NOW)
        assert not counts.has_counted()
    with counters(database) as other:
        other.exchange(1, NOW)
        sums = other.sums(1, NOW)
        assert sums.hour.total() == Amounts(recipients=4)
        assert sums.refused == Amounts(1, 7)
        assert other.sums(1, NOW + 86_400 + 3_600).day.total() == Amounts()
        other.exchange(1, NOW + 2 * 86_400)
    assert rows(database, "SELECT * FROM sent_amount") == []


def test_a_mailbox_that_sends_no_more_is_forgotten(database: PostgresqlServer) -> None:
    with counters(database) as counts:
        assert send(counts, 1, PLENTY)
        counts.exchange_all(NOW + 10)
        assert list(counts._mailboxes) == [1]
        counts.exchange_all(NOW + 4_000)
        assert not counts._mailboxes


def test_what_was_counted_while_the_database_was_away(database: PostgresqlServer) -> None:
    """The message is refused, and its count given back; what else was counted is passed on later."""
    nowhere = Database("host=127.0.0.1 port=1 dbname=none")
    with closing(SharedCounters(SentAmounts(nowhere, closes=True))) as counts, counters(database) as other:
        with pytest.raises(Unavailable):
            send(counts, 2, PLENTY)
        SendLimits(counts).give_back(1, Amounts(1, 0, 10), NOW)
        counts._amounts = SentAmounts(other._amounts._database)
        counts.exchange_all(NOW)
        assert other.read(1, NOW).hour.total() == Amounts(recipients=2)
    nowhere.close()
