"""Two servers with one queue in PostgreSQL: what one has accepted, any of them sends, whatever is killed or stopped."""

import contextlib
import json
import os
import re
import signal
import smtplib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from clients.outgoing import OFFER, PASSWORD, ZONE, elsewhere, letter
from dns_server import name_server
from faults.process_servers import Make
from harness import ProcessServer
from postgresql_server import PostgresqlServer, postgresql_server
from queue_grounds import rows
from unit.smtpclient.server import Server
from waiting import wait_for

pytestmark = pytest.mark.timeout(400)

FOLLOWED_SECONDS = 60.0
"""A dead node is followed after 15 to 20 s."""
_SUBJECT = re.compile(rb"^Subject: (\S+)\r$", re.MULTILINE)


@dataclass
class Cluster:
    """Servers with one database, and another server, to which their mail goes."""

    database: PostgresqlServer
    nodes: list[ProcessServer]
    other: Server

    def subjects(self) -> Counter[str]:
        """What has arrived there whole, and how often."""
        whole = [octets for octets in list(self.other.messages) if octets.endswith(b"\r\n.\r\n")]
        return Counter(found[1].decode() for octets in whole if (found := _SUBJECT.search(octets)))

    def names(self) -> list[str]:
        return [name for (name,) in rows(self.database, "SELECT entry_id FROM queue_entry WHERE ended_at IS NULL")]

    def owners(self) -> set[str | None]:
        return {owner for (owner,) in rows(self.database, "SELECT node_id FROM queue_entry WHERE ended_at IS NULL")}

    def subjects_of(self, node: str) -> set[str]:
        """The messages that a node has taken up."""
        found = rows(self.database, f"SELECT beginning FROM queue_entry WHERE node_id = '{node}'")
        return {subject[1].decode() for (octets,) in found if (subject := _SUBJECT.search(octets))}


@pytest.fixture
def cluster(serve_processes: Make) -> Iterator[Cluster]:
    with (
        postgresql_server(fsync="on", max_connections="100") as database,
        elsewhere(server=Server(OFFER)) as (other, port),
        name_server(ZONE) as names,
    ):
        settings = {
            "storage": {"database": f"postgresql://test@/postgres?host={database.folder}"},
            "dns": {"nameservers": (names.place,)},
            "sending": {"port": port},
            "process": {"workers": 1},
            "limits": {"recipients_per_hour": 1_000_000, "recipients_per_day": 1_000_000, "messages_per_day": 1_000_000},
        }
        cluster = Cluster(database, [serve_processes(settings) for _ in range(2)], other)
        cluster.nodes[0].population.issue("dvbe", password=PASSWORD)
        yield cluster
        other.closed_at = b""


class Author(threading.Thread):
    """Somebody who submits messages at a server until they are stopped; what was not acknowledged gets another subject."""

    def __init__(self, server: ProcessServer, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.server = server
        self.acknowledged: list[str] = []
        self.refused: set[int] = set()
        self.ending = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ending.is_set():
            with (
                contextlib.suppress(OSError, smtplib.SMTPException),
                smtplib.SMTP_SSL(
                    "localhost", self.server.ports["submissions"], context=self.server.tls(), timeout=60
                ) as client,
            ):
                client.login("dvbe", PASSWORD)
                while not self.ending.is_set():
                    number += 1
                    self._submit(client, f"{self.name}-{number}")

    def _submit(self, client: smtplib.SMTP_SSL, subject: str) -> None:
        try:
            client.send_message(letter("a@one.example", subject=subject))
        except smtplib.SMTPResponseException as error:
            self.refused.add(error.smtp_code)
        else:
            self.acknowledged.append(subject)


def submit(server: ProcessServer, *subjects: str) -> None:
    with smtplib.SMTP_SSL("localhost", server.ports["submissions"], context=server.tls(), timeout=60) as client:
        client.login("dvbe", PASSWORD)
        for subject in subjects:
            client.send_message(letter("a@one.example", subject=subject))


def end(authors: list[Author]) -> None:
    for author in authors:
        author.ending.set()
    for author in authors:
        author.join(90)


def pids(server: ProcessServer) -> list[int]:
    return [one["pid"] for one in server.status()["processes"] if one["pid"]]


def sender_of(server: ProcessServer) -> int:
    (pid,) = [one["pid"] for one in server.status()["processes"] if one["name"] == "sender"]
    assert isinstance(pid, int)
    return pid


def queue_list(server: ProcessServer) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), "queue", "list", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    listed: list[dict[str, Any]] = json.loads(done.stdout)
    return listed


def test_what_a_killed_node_had_taken_up_another_sends(cluster: Cluster) -> None:
    """All that it had accepted arrives; twice at most the one that was being sent. Commands on any node see it all."""
    first, second = cluster.nodes
    first.start()
    cluster.other.closed_at = b"RCPT"
    wanted = [f"m{number}" for number in range(20)]
    submit(first, *wanted)
    wait_for(lambda: len(cluster.owners()) == 1 and None not in cluster.owners())
    wait_for(lambda: any(line.startswith(b"RCPT") for line in cluster.other.lines))
    assert len(queue_list(second)) == 20
    second.start()
    first.kill()
    cluster.other.closed_at = b""
    wait_for(lambda: not cluster.names(), seconds=FOLLOWED_SECONDS)
    assert set(cluster.subjects()) == set(wanted)
    assert sum(cluster.subjects().values()) <= len(wanted) + 1


@pytest.mark.slow
def test_a_node_that_stood_still_sends_nothing_of_what_others_have(cluster: Cluster) -> None:
    """Stopped for longer than its lease, then continued: it ends the attempt that it had begun, and no other, and goes on."""
    first, second = cluster.nodes
    first.start()
    cluster.other.closed_at = b"RCPT"
    wanted = [f"m{number}" for number in range(20)]
    submit(first, *wanted)
    wait_for(lambda: len(cluster.owners()) == 1 and None not in cluster.owners())
    wait_for(lambda: any(line.startswith(b"RCPT") for line in cluster.other.lines))
    second.start()
    stopped = sender_of(first)
    os.kill(stopped, signal.SIGSTOP)
    before = cluster.owners()
    wait_for(lambda: cluster.owners().isdisjoint(before | {None}), seconds=FOLLOWED_SECONDS)
    cluster.other.closed_at = b""
    wait_for(lambda: not cluster.names())
    os.kill(stopped, signal.SIGCONT)
    wait_for(lambda: any(event["event"] == "queue_lease_lost" for event in first.events()), seconds=FOLLOWED_SECONDS)
    submit(first, "last")
    wait_for(lambda: cluster.subjects()["last"])
    wait_for(lambda: not cluster.names())
    assert set(cluster.subjects()) == {*wanted, "last"}
    assert sum(cluster.subjects().values()) <= len(wanted) + 1 + 1
    assert sender_of(first) == stopped


@pytest.mark.slow
def test_mail_that_flows_while_nodes_die(cluster: Cluster) -> None:
    """What was acknowledged arrives; twice only what a node had taken up when it was killed."""
    first, second = cluster.nodes
    for node in cluster.nodes:
        node.start()
    doubtful: set[str] = set()
    for round_number in range(4):
        victim = (first, second)[round_number % 2]
        authors = [Author(node, f"r{round_number}a{number}") for number, node in enumerate([first, second] * 2)]
        for author in authors:
            author.start()
        wait_for(lambda authors=authors: all(len(author.acknowledged) >= 10 for author in authors))
        before = dict(rows(cluster.database, "SELECT node_id, lease_until FROM queue_node"))
        if round_number < 2:
            victim.kill()
        else:
            os.kill(sender_of(victim), signal.SIGKILL)
        for name in before:
            doubtful |= cluster.subjects_of(name)
        end(authors)
        wait_for(lambda: not cluster.names(), seconds=FOLLOWED_SECONDS)
        arrived = cluster.subjects()
        acknowledged = {subject for author in authors for subject in author.acknowledged}
        assert acknowledged <= arrived.keys()
        assert {subject for subject, times in arrived.items() if times > 1} <= doubtful
        if victim.process is None:
            victim.start()


@pytest.mark.slow
def test_the_database_is_stopped_and_started(cluster: Cluster) -> None:
    """Clients are told to come again, no process ends, and what was acknowledged arrives once."""
    for node in cluster.nodes:
        node.start()
    processes = [pids(node) for node in cluster.nodes]
    authors = [Author(node, f"a{number}") for number, node in enumerate(cluster.nodes)]
    for author in authors:
        author.start()
    wait_for(lambda: all(len(author.acknowledged) >= 10 for author in authors))
    cluster.database.stop()
    wait_for(lambda: all(author.refused for author in authors))
    cluster.database.start(fsync="on", max_connections="100")
    wanted = [len(author.acknowledged) + 10 for author in authors]
    wait_for(lambda: all(len(author.acknowledged) >= more for author, more in zip(authors, wanted, strict=True)))
    end(authors)
    wait_for(lambda: not cluster.names(), seconds=FOLLOWED_SECONDS)
    arrived = cluster.subjects()
    assert {subject for author in authors for subject in author.acknowledged} <= arrived.keys()
    assert [subject for subject, times in arrived.items() if times > 1] == []
    assert {code for author in authors for code in author.refused} == {451}
    assert [pids(node) for node in cluster.nodes] == processes


@pytest.mark.slow
def test_a_node_that_ends_gives_all_back_at_once(cluster: Cluster) -> None:
    """The other one sends it without waiting for a lease to end."""
    first, second = cluster.nodes
    first.start()
    cluster.other.answers[b"RCPT"] = b"451 4.2.0 later\r\n"
    submit(first, "m1")
    wait_for(lambda: cluster.owners() not in (set(), {None}))
    wait_for(lambda: any(line.startswith(b"RCPT") for line in cluster.other.lines))
    assert first.terminate() == 0
    assert (cluster.owners(), rows(cluster.database, "SELECT count(*) FROM queue_node")) == ({None}, [(0,)])
    cluster.other.answers.clear()
    second.start()
    (waiting,) = queue_list(second)
    command = [sys.executable, "-m", "mic_mail", "--config", str(second.file), "queue", "retry", waiting["id"]]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    wait_for(lambda: cluster.subjects()["m1"])
