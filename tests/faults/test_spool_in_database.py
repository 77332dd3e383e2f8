"""Two servers with one spool in PostgreSQL: each mailbox gets what was acknowledged once, whichever server is killed."""

import os
import re
import signal
import smtplib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import psycopg
import pytest

from clients.outgoing import PASSWORD, letter
from faults.process_servers import Make
from harness import ProcessServer
from postgresql_server import PostgresqlServer, postgresql_server
from queue_grounds import rows
from waiting import wait_for

pytestmark = [pytest.mark.timeout(400), pytest.mark.needs_tool("postgres")]

PEOPLE = ("ttlan", "htnam", "pqkhanh")
FOLLOWED_SECONDS = 60.0
"""What a dead process held is followed after 15 to 20 s."""
_SUBJECT = re.compile(rb"^Subject: (\S+)\r$", re.MULTILINE)


@pytest.fixture
def database() -> Iterator[PostgresqlServer]:
    with postgresql_server(fsync="on", max_connections="100") as server:
        yield server


@pytest.fixture
def nodes(database: PostgresqlServer, serve_processes: Make) -> list[ProcessServer]:
    settings = {
        "storage": {"database": f"postgresql://test@/postgres?host={database.folder}"},
        "process": {"workers": 1},
        "limits": {"recipients_per_hour": 1_000_000, "recipients_per_day": 1_000_000, "messages_per_day": 1_000_000},
    }
    nodes = [serve_processes(settings) for _ in range(2)]
    nodes[0].population.issue("dvbe", password=PASSWORD)
    for person in PEOPLE:
        nodes[0].population.issue(person)
    return nodes


def submit(server: ProcessServer, stop: Event, prefix: str, acknowledged: list[str]) -> None:
    """Submit messages for all of them, one after the other; keep the subjects of those that were acknowledged."""
    with (
        suppress(OSError, smtplib.SMTPException),
        smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=60) as client,
    ):
        client.login("dvbe", PASSWORD)
        number = 0
        while not stop.is_set():
            number += 1
            client.send_message(letter(*(f"{person}@mic.gov.vn" for person in PEOPLE), subject=f"{prefix}{number}"))
            acknowledged.append(f"{prefix}{number}")


def delivered(database: PostgresqlServer) -> Counter[tuple[int, str]]:
    """How often each mailbox has each message."""
    found = rows(
        database,
        "SELECT mailbox_id, octets FROM message JOIN generation USING (account_id) JOIN body USING (account_id, email_pk)"
        " WHERE piece = 0",
    )
    return Counter((mailbox, subject[1].decode()) for mailbox, octets in found if (subject := _SUBJECT.search(octets)))


def waiting(database: PostgresqlServer) -> list[str]:
    return [name for (name,) in rows(database, "SELECT entry_id FROM spool_entry")]


@contextmanager
def busy(database: PostgresqlServer, mailbox_id: int) -> Iterator[None]:
    """Hold a mailbox, as a writer that does not end."""
    with psycopg.connect(database.connection_string) as driver:
        account = "SELECT account_id FROM generation WHERE mailbox_id = %s"
        driver.execute(f"SELECT 1 FROM account WHERE account_id IN ({account}) FOR UPDATE", (mailbox_id,))
        yield
        driver.rollback()


@pytest.mark.slow
def test_what_a_killed_server_had_accepted_for_several_mailboxes(
    database: PostgresqlServer, nodes: list[ProcessServer]
) -> None:
    """One of the three cannot take anything while it is killed; the other server goes on with that one alone."""
    first, second = nodes
    for node in nodes:
        node.start()
    acknowledged: list[str] = []
    stop = Event()
    author = Thread(target=submit, args=(first, stop, "before", acknowledged))
    author.start()
    wait_for(lambda: acknowledged)
    stop.set()
    author.join(60)
    wait_for(lambda: not waiting(database))
    held = max(mailbox for mailbox, _ in delivered(database))
    stop.clear()
    with busy(database, held):
        author = Thread(target=submit, args=(first, stop, "during", acknowledged))
        author.start()
        wait_for(lambda: len(acknowledged) >= 20)
        wait_for(lambda: len([1 for mailbox, _ in delivered(database) if mailbox != held]) >= 20)
        first.kill()
        stop.set()
        author.join(60)
        assert waiting(database)
    wait_for(lambda: not waiting(database), seconds=FOLLOWED_SECONDS)
    found = delivered(database)
    mailboxes = {mailbox for mailbox, _ in found}
    assert len(mailboxes) == 3
    assert {(mailbox, subject) for mailbox in mailboxes for subject in acknowledged} <= found.keys()
    assert set(found.values()) == {1}
    taken_up = [event for event in second.events() if event["event"] == "message_taken_up"]
    assert taken_up, "the other server has gone on"


@pytest.mark.slow
def test_mail_for_several_mailboxes_while_workers_and_servers_die(
    database: PostgresqlServer, nodes: list[ProcessServer]
) -> None:
    """Nothing that was acknowledged is lost, and no mailbox has anything twice."""
    for node in nodes:
        node.start()
    acknowledged: list[str] = []
    for round_number in range(4):
        victim = nodes[round_number % 2]
        stop, before = Event(), len(acknowledged)
        authors = [
            Thread(target=submit, args=(node, stop, f"r{round_number}a{number}-", acknowledged))
            for number, node in enumerate(nodes * 2)
        ]
        for author in authors:
            author.start()
        wait_for(lambda before=before: len(acknowledged) >= before + 40)
        if round_number < 2:
            os.kill(victim.workers()[0], signal.SIGKILL)
        else:
            victim.kill()
        stop.set()
        for author in authors:
            author.join(60)
        wait_for(lambda: not waiting(database), seconds=FOLLOWED_SECONDS)
        found = delivered(database)
        mailboxes = {mailbox for mailbox, _ in found}
        assert {(mailbox, subject) for mailbox in mailboxes for subject in acknowledged} <= found.keys()
        assert set(found.values()) == {1}
        if round_number == 2:
            victim.start()
