"""Of two servers of one directory one does what concerns all mailboxes, and the other goes on where it dies."""

import email
import email.policy
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from faults.process_servers import Make
from harness import ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.directory.records import MailboxRecord
from mic_mail.policy.calendar import add_months, local_day, start_of
from mic_mail.policy.facts import Draft, FactKind
from mic_mail.services.mail_store import open_mail_store
from mic_mail.storage.types import INBOX, AccountRef
from postgresql_server import PostgresqlServer, postgresql_server
from waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.needs_tool("postgres")]
LEAVERS = 30
DUTY = (
    f"SELECT client_port FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND objid = {0x6D6D6474}"
)


@pytest.fixture
def database() -> Iterator[PostgresqlServer]:
    with postgresql_server(max_connections="100", fsync="on") as server:
        yield server


@pytest.fixture
def nodes(serve_processes: Make, database: PostgresqlServer) -> list[ProcessServer]:
    url = f"postgresql://test@/postgres?host={database.folder}"
    return [serve_processes({"process": {"workers": 1}, "storage": {"database": url}}) for _ in range(2)]


def _warned(server: ProcessServer, mailbox: MailboxRecord) -> int:
    """How many warnings of the reclamation lie in a mailbox."""
    with closing(open_mail_store(server.config, SystemClock())) as store:
        account = store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        view = account.view(account.folder(INBOX).folder_id)
        headers = [row[0] for row in account.rows(view.info.folder_id, view.uids, ["header"])]
    subjects = [email.message_from_bytes(header, policy=email.policy.default)["Subject"] for header in headers]
    return sum("reclaimed" in subject for subject in subjects)


def test_every_warning_comes_once_whoever_dies(nodes: list[ProcessServer], database: PostgresqlServer) -> None:
    """The node that sends the warnings is killed amidst them, then the one that goes on."""
    population, now = nodes[0].population, SystemClock().now()
    leavers = [population.issue(f"ra{number}") for number in range(LEAVERS)]
    left = start_of(add_months(local_day(now), -6)) + timedelta(days=10)
    for mailbox in leavers:
        population.record(mailbox, Draft(FactKind.LEFT, left, "test", data={"level": "division"}))

    def sent() -> int:
        return int(database.psql("SELECT count(*) FROM directory.sent_notice WHERE key LIKE 'reclaim_coming:%'"))

    for node in nodes:
        node.start()
    one, other = nodes
    wait_for(lambda: sent() >= LEAVERS // 4, sent)
    one.kill()
    wait_for(lambda: sent() >= LEAVERS // 2, sent)
    other.kill()
    one.start()
    wait_for(lambda: sent() == LEAVERS, sent)
    assert [_warned(nodes[0], mailbox) for mailbox in leavers] == [1] * LEAVERS
    assert len(database.psql(DUTY).split("\n")) == 2  # one line
