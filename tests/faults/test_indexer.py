"""kill -9 of the indexer at any line, and what the server does without it: no search has another answer."""

import imaplib
import os
import signal
from collections.abc import Callable, Iterator
from itertools import compress
from pathlib import Path

import pytest

from harness import STAYING, ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.mime.imap_structure import answers_of
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.search.indexing import Visited
from mic_mail.storage.types import AccountRef, TextTest
from population import PASSWORD
from store_harness import Root, killed_at
from waiting import wait_for

pytestmark = pytest.mark.slow

Make = Callable[..., ProcessServer]
ADDRESS = "dvbe@mic.gov.vn"
TEST = TextTest("BODY", "hoa don")


def deliver(account: Account, numbers: range) -> None:
    deliveries = []
    for number in numbers:
        octets = f"Subject: {number}\r\n\r\n{'hoa' if number % 2 else 'don'} don {number}\r\n".encode()
        staged = account.stage()
        staged.write(octets)
        staged.finish()
        deliveries.append(Delivery(staged, answers_of(octets)))
    account.publish(account.folder("INBOX").folder_id, deliveries)


def index(root: Root) -> None:
    """As a process that has just begun."""
    store = root.store()
    store.account(AccountRef(7, "mic.gov.vn/dvbe")).index_text(Visited())
    store.close()


def found(account: Account) -> tuple[list[int], int]:
    """The UIDs that `TEST` finds, and how many messages had to be read for that."""
    view = account.view(account.folder("INBOX").folder_id)
    looked_up = account.look_up_text(view.info.folder_id, view.uids, bytes([1]) * len(view.uids), TEST)
    left = [uid for uid, is_known in zip(view.uids, looked_up.known, strict=True) if not is_known]
    read = account.find_text(view.info.folder_id, left, [TEST])
    return sorted([*compress(view.uids, looked_up.found), *(uid for uid, (hit,) in read if hit)]), len(left)


@pytest.mark.timeout(300)
def test_the_indexer_may_die_before_any_line(tmp_path: Path) -> None:
    """Thirty deaths, each a little later than the one before, with mail coming in between: the search finds what it should,
    and the next indexer goes on."""
    root = Root(tmp_path)
    root.use(lambda account: account.folders())
    deaths, delivered, line = 0, 0, 1
    while deaths < 30:
        root.use(lambda account, first=delivered: deliver(account, range(first, first + 3)))  # type: ignore[misc]
        delivered += 3
        if killed_at(line, lambda: index(root)):
            line = line // 3
        else:
            deaths += 1
            line = line * 5 // 4 + 7
        uids, _ = root.use(found)
        assert uids == [number + 1 for number in range(delivered) if number % 2]
    index(root)
    assert root.use(found) == ([number + 1 for number in range(delivered) if number % 2], 0)


@pytest.fixture
def server(serve_processes: Make) -> Iterator[ProcessServer]:
    server = serve_processes({"process": {"workers": 1}})
    server.program = ["-c", STAYING]
    server.population.issue("dvbe")
    server.start()
    yield server
    server.terminate()


def client(server: ProcessServer) -> imaplib.IMAP4_SSL:
    session = imaplib.IMAP4_SSL(server.host, server.ports["imaps"], ssl_context=server.tls(), timeout=60)
    session.authenticate("PLAIN", lambda _: f"\0{ADDRESS}\0{PASSWORD}".encode())
    return session


def indexer(server: ProcessServer) -> dict[str, object]:
    (one,) = [one for one in server.status()["processes"] if one["name"] == "index"]
    return dict(one)


def policies(server: ProcessServer) -> set[int]:
    """Of the indexer's threads; empty while there is none."""
    try:
        return {os.sched_getscheduler(int(task)) for task in os.listdir(f"/proc/{indexer(server)['pid']}/task")}
    except OSError:
        return set()


def test_an_indexer_that_dies_is_started_again(server: ProcessServer) -> None:
    """Mail that comes while there is none is found at once; the next one, too, has the lowest priority."""
    session = client(server)
    wait_for(lambda: bool(indexer(server)["ready"]))
    pid = int(str(indexer(server)["pid"]))
    os.kill(pid, signal.SIGKILL)
    for number in range(40):
        assert session.append("INBOX", "", "", f"Subject: x\r\n\r\nhoa don {number}\r\n".encode())[0] == "OK"
    session.select("INBOX")
    assert session.search(None, "BODY", '"don 3"')[1] == [b"4 31 32 33 34 35 36 37 38 39 40"]
    wait_for(lambda: indexer(server)["pid"] not in (pid, None) and os.SCHED_IDLE in policies(server))
    assert session.search(None, "BODY", '"don 3"')[1] == [b"4 31 32 33 34 35 36 37 38 39 40"]
    session.logout()


def test_mail_is_indexed_within_seconds(server: ProcessServer) -> None:
    """What came before the indexer and what comes while it runs; the answers stay the same."""
    session = client(server)
    for turn in range(1, 4):
        for number in range(10):
            assert session.append("INBOX", "", "", f"Subject: x\r\n\r\nhoa don {number}\r\n".encode())[0] == "OK"
        wait_for(lambda turn=turn: server.indexed() == 10 * turn)  # type: ignore[misc]
        session.select("INBOX")
        assert session.search(None, "BODY", '"hoa don 7"')[1] == [b" ".join(b"%d" % (10 * each + 8) for each in range(turn))]
    session.logout()


def test_a_server_without_indexer_has_no_search_files(serve_processes: Make) -> None:
    """`search.enabled = false`."""
    server = serve_processes({"process": {"workers": 1}, "search": {"enabled": False}})
    server.population.issue("dvbe")
    server.start()
    session = client(server)
    assert session.append("INBOX", "", "", "Subject: x\r\n\r\nhóa đơn\r\n".encode())[0] == "OK"
    session.select("INBOX")
    assert session.search(None, "BODY", '"hoa don"')[1] == [b"1"]
    assert [one["name"] for one in server.status()["processes"]] == ["worker0", "house", "sender"]
    assert not list(server.config.mail_root.rglob("search.sqlite*"))
    session.logout()


def test_the_indexer_waits_for_no_lock_and_holds_none(tmp_path: Path) -> None:
    """It goes its round while somebody holds the account's lock, and would go on if that were for ever."""
    root = Root(tmp_path)
    root.use(lambda account: deliver(account, range(4)))
    store = LocalMailStore(root.path, clock=SystemClock(), host="h")
    account = store.account(AccountRef(7, "mic.gov.vn/dvbe"))
    other = root.store()
    with other.store(AccountRef(7, "mic.gov.vn/dvbe")).lock.held():
        assert account.index_text(Visited()) == 4
    assert store.store(AccountRef(7, "mic.gov.vn/dvbe")).lock._fd < 0
    other.close()
    store.close()
