"""The text index of mailboxes in PostgreSQL (docs/decisions/0140): who fills it, and what is left of a letter."""

import imaplib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest

from faults.process_servers import Make
from faults.processes.conftest import sign_in
from harness import STAYING, ProcessServer
from mailboxes_in_database import new_database
from mic_mail.clock import ManualClock, SystemClock
from mic_mail.storage.database_ground.mailstore import DatabaseMailStore
from mic_mail.storage.index.postgresql.database import Database
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import AccountRef
from waiting import wait_for

WORDS, NAME = "tuyetmat", "kế hoạch.pdf"
WAITING = "SELECT count(*) FROM pg_locks JOIN pg_class ON oid = relation WHERE relname = 'search_zone' AND NOT granted"


@pytest.fixture
def url() -> str:
    return new_database()


@pytest.fixture
def ask(url: str) -> Iterator[Callable[[str], int]]:
    """Asks the database for a number."""
    with psycopg.connect(url, autocommit=True) as driver:

        def number(query: str) -> int:
            row = driver.execute(query.encode()).fetchone()
            assert row is not None
            return int(row[0])

        yield number


def started(serve_processes: Make, url: str) -> ProcessServer:
    server = serve_processes({"process": {"workers": 2}, "storage": {"database": url}})
    server.program = ["-c", STAYING]
    if not server.population.directory.is_taken("dvbe@mic.gov.vn"):
        server.population.issue("dvbe")
    server.start()
    return server


def letter(number: int) -> bytes:
    message = EmailMessage()
    message["From"], message["Subject"] = "a@example.org", f"thư {number}"
    message.set_content(f"{WORDS}{number} xin chào\n")
    message.add_attachment(b"%PDF-1.4 ...", maintype="application", subtype="pdf", filename=NAME)
    return message.as_bytes().replace(b"\n", b"\r\n")


def append(client: imaplib.IMAP4_SSL, *numbers: int) -> None:
    for number in numbers:
        assert client.append("INBOX", "", "", letter(number))[0] == "OK"


def found(server: ProcessServer, value: str) -> list[int]:
    """What SEARCH TEXT finds on a connection of its own."""
    client = sign_in(server)
    client.select(readonly=True)
    client.literal = value.encode()
    word, [numbers] = client.search("UTF-8", "TEXT")
    client.logout()
    assert word == "OK"
    return list(map(int, numbers.split()))


KNOWN = "SELECT coalesce(sum(length(messages)) / 8, 0) FROM search_segment"
"""The messages that the index knows."""
WITH_WORDS = f"SELECT count(*) FROM search_zone WHERE position('{WORDS}'::bytea IN words) > 0"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_letter_is_found_whatever_is_killed_and_leaves_nothing(
    serve_processes: Make, url: str, ask: Callable[[str], int]
) -> None:
    """By the name of an attachment and by its words; the server is killed while it adds the text."""
    server = started(serve_processes, url)
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE search_zone IN EXCLUSIVE MODE")
        append(sign_in(server), 1, 2, 3)
        wait_for(lambda: ask(WAITING) > 0)
        assert found(server, "ke hoach") == [1, 2, 3]
        server.kill()
        wait_for(lambda: ask(WAITING) == 0)
    assert ask(KNOWN) == ask(WITH_WORDS) == 0
    with psycopg.connect(url) as driver:
        driver.execute("UPDATE search_visit SET until_us = 0")  # as if the time of the dead one were over
    server.start()
    wait_for(lambda: ask(KNOWN) == 3)
    for value, uids in (("ke hoach", [1, 2, 3]), ("KẾ HOẠCH.PDF", [1, 2, 3]), (f"{WORDS}2 xin", [2]), ("kê hoạch", [])):
        assert found(server, value) == uids

    client = sign_in(server)
    client.select()
    client.store("1:2", "+FLAGS", "(\\Deleted)")
    client.expunge()
    assert found(server, WORDS) == [1]
    assert ask(f"SELECT count(*) FROM search_zone WHERE position('{WORDS}2'::bytea IN words) > 0") == 1
    _let_go(server, url)
    assert ask(KNOWN) == 1
    for number, rows in ((1, 0), (2, 0), (3, 1)):
        assert ask(f"SELECT count(*) FROM search_zone WHERE position('{WORDS}{number}'::bytea IN words) > 0") == rows
    assert found(server, WORDS) == [1]


def _let_go(server: ProcessServer, url: str) -> None:
    """What housekeeper and indexer do when the retention of expunged messages is over."""
    mailbox = server.population.directory.mailbox("dvbe@mic.gov.vn")
    clock = ManualClock(SystemClock().now() + timedelta(days=400))
    changes = Path(server.file.parent / "changes")
    with closing(DatabaseMailStore(Database(url), clock=clock, host="h", changes=changes)) as store:
        account = store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
        account.sweep()
        account.index_text(Visited())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_servers_index_every_message_once(serve_processes: Make, url: str, ask: Callable[[str], int]) -> None:
    """Each indexes what it got, but for what the other finds at its start, which may be there already. What came at both at
    once is indexed once, too, and one whose indexer dies goes on with the next."""
    servers = [started(serve_processes, url) for _ in range(2)]
    clients = list(map(sign_in, servers))
    total = 0
    for server, client in zip(servers, clients, strict=True):
        begun = server.indexed()
        while server.indexed() == begun:
            append(client, total)
            total += 1
            wait_for(lambda total=total: ask(KNOWN) == total)
            wait_for(lambda total=total: sum(each.indexed() for each in servers) == total)
    for number in range(total, total + 20):
        append(clients[number % 2], number)
    wait_for(lambda: ask(KNOWN) == total + 20)
    wait_for(lambda: sum(each.indexed() for each in servers) == total + 20)
    [killed] = [one["pid"] for one in servers[1].status()["processes"] if one["name"] == "index"]
    append(clients[1], total + 20)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: ask(KNOWN) == total + 21)
    assert [found(server, f"{WORDS}{total + 20}") for server in servers] == [[total + 21]] * 2
