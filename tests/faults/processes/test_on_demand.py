"""Processes that run on demand (docs/decisions/0120): the sender is there while something is queued, the indexer while mail
changes, the web process from the first connection on."""

import os
import signal
from typing import Any

import pytest

from clients.outgoing import PASSWORD, ZONE, elsewhere, letter, submit
from clients.test_queue_commands import LATER
from dns_server import name_server
from faults.process_servers import Make
from faults.processes.conftest import ADDRESS, message, sign_in
from faults.test_indexer import TEST
from harness import ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.queue.local_queue import LocalQueue
from mic_mail.queue.notifications import notify_decided
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from waiting import wait_for

AT_ONCE = """\
import mic_mail.app.indexer as indexer
import mic_mail.app.scheduled_jobs as jobs
from mic_mail.cli.entrypoint import run
jobs.SENDER_IDLE_SECONDS, jobs.IDLE_LOOK_SECONDS = 0.0, 0.1
indexer.IDLE_SECONDS, indexer.MAILBOX_SECONDS, indexer.IDLE_LOOK_SECONDS = 0.0, 0.0, 0.1
run()
"""
"""The program, whose sender and indexer end as soon as they have looked twice and found nothing."""


def process(server: ProcessServer, name: str) -> dict[str, Any]:
    return next(one for one in server.status()["processes"] if one["name"] == name)


def rests(server: ProcessServer, name: str) -> bool:
    found = process(server, name)
    return found["ready"] and found["pid"] is None and found.get("resting") is True


def idle_ends(server: ProcessServer, name: str) -> int:
    return sum(each["event"] == "process_idle" and each["process"] == name for each in server.events())


@pytest.mark.slow
def test_the_sender_is_there_while_something_is_queued(serve_processes: Make) -> None:
    """It starts with the first message, ends after it, and starts again; a deferred message keeps it, also where it is killed
    in between."""
    with elsewhere() as (other, port), name_server(ZONE) as names:
        server = serve_processes({"dns": {"nameservers": (names.place,)}, "sending": {"port": port}, "process": {"workers": 1}})
        server.program = ["-c", AT_ONCE]
        server.population.issue("dvbe", password=PASSWORD)
        server.start()
        assert rests(server, "sender")
        for number in (1, 2):
            submit(server, letter("b@one.example", subject=f"m{number}."))  # type: ignore[arg-type]
            wait_for(lambda number=number: len(other.messages) == number)  # type: ignore[misc]
            wait_for(lambda: rests(server, "sender"))
        assert idle_ends(server, "sender") == 2
        assert process(server, "sender")["queued"] == 0
        other.answers.update(LATER)
        queue = LocalQueue(server.config.queue_dir)
        submit(server, letter("a@one.example", subject="m3."))  # type: ignore[arg-type]
        wait_for(lambda: any(entry.state.recipients[0].attempts for entry in queue.entries()))
        pid = process(server, "sender")["pid"]
        os.kill(pid, signal.SIGKILL)
        server.wait_for(
            lambda state: any(one["name"] == "sender" and one["pid"] not in (None, pid) for one in state["processes"])
        )
        server.wait_for(lambda state: any(one.get("queued") == 1 for one in state["processes"]))
        assert idle_ends(server, "sender") == 2
        other.answers.clear()
        for entry in queue.entries():
            entry.retry()
        notify_decided(server.config.run_dir)
        wait_for(lambda: len(other.messages) == 3)
        wait_for(lambda: rests(server, "sender"))
        queue.close()
        assert server.terminate() == 0


def test_what_a_dead_server_left_in_the_queue_leaves_after_the_start(serve_processes: Make) -> None:
    """The sender starts with the server where the queue is not empty."""
    with elsewhere(dict(LATER)) as (other, port), name_server(ZONE) as names:
        server = serve_processes({"dns": {"nameservers": (names.place,)}, "sending": {"port": port}, "process": {"workers": 1}})
        server.population.issue("dvbe", password=PASSWORD)
        server.start()
        submit(server, letter("a@one.example"))  # type: ignore[arg-type]
        queue = LocalQueue(server.config.queue_dir)
        wait_for(lambda: any(entry.state.recipients[0].attempts for entry in queue.entries()))
        server.kill()
        other.answers.clear()
        for entry in queue.entries():
            entry.retry()
        queue.close()
        server.start()
        wait_for(lambda: b"Subject" in b"".join(other.messages))


def indexed(server: ProcessServer) -> list[bool]:
    """Of each message in INBOX, whether the search file knows it."""
    mailbox = server.population.directory.mailbox(ADDRESS)
    store = LocalMailStore(server.config.mail_root, clock=SystemClock(), host="h")
    account = store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    view = account.view(account.folder("INBOX").folder_id)
    known = account.look_up_text(view.info.folder_id, view.uids, bytes([1]) * len(view.uids), TEST).known
    store.close()
    return list(map(bool, known))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_indexer_is_there_while_mail_changes(serve_processes: Make) -> None:
    """It ends when all is indexed; mail that comes meanwhile starts the next, also after a kill -9."""
    server = serve_processes({"process": {"workers": 1}})
    server.program = ["-c", AT_ONCE]
    server.population.issue(ADDRESS.partition("@")[0])
    server.start()
    wait_for(lambda: rests(server, "index"))
    client = sign_in(server)
    for count, name in enumerate(("one", "two"), 1):
        client.append("INBOX", "", None, message(name))  # type: ignore[arg-type]  # the stubs know no None
        wait_for(lambda count=count: rests(server, "index") and indexed(server) == [True] * count)  # type: ignore[misc]
    client.append("INBOX", "", None, message("three"))  # type: ignore[arg-type]
    os.kill(wait_for(lambda: process(server, "index")["pid"]), signal.SIGKILL)
    wait_for(lambda: rests(server, "index") and indexed(server) == [True] * 3)
    assert process(server, "index")["restarts"] == 1
