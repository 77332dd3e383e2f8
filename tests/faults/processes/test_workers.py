"""Workers and the housekeeper: killed, hanging, busy, each on its core; the others go on."""

import imaplib
import os
import re
import signal
import smtplib
import socket
import threading
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest

from faults.process_servers import Make
from faults.processes.conftest import ADDRESS, GUESSED, WOKEN, Sender, kill_and_wait, message, sign_in, stored
from harness import ProcessServer
from waiting import wait_for

pytestmark = pytest.mark.slow


def test_children_share_their_pages(serve_processes: Make) -> None:
    """What all load is in memory once, also in a child in a dead one's place; each has its name."""
    server = serve_processes({"process": {"workers": 1}})
    server.start()
    kill_and_wait(server, server.workers()[0])
    for child in server.start_all()["processes"]:
        memory = Path(f"/proc/{child['pid']}/smaps_rollup").read_text()
        found = dict(re.findall(r"^(Private|Shared)_Dirty:\s+(\d+)", memory, re.MULTILINE))
        assert int(found["Private"]) < int(found["Shared"]), child["name"]
        assert Path(f"/proc/{child['pid']}/comm").read_text() == f"mic-{child['name']}\n"


def test_a_signal_that_means_nothing_ends_no_process(server: ProcessServer) -> None:
    """SIGUSR1 and SIGUSR2, which are orders to other servers."""
    assert server.process is not None
    pids = [server.process.pid, *(child["pid"] for child in server.start_all()["processes"])]
    for pid in pids:
        ignored = re.search(r"^SigIgn:\s+([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert ignored is not None
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            assert int(ignored[1], 16) >> (number - 1) & 1, Path(f"/proc/{pid}/comm").read_text()
            os.kill(pid, number)
    assert [server.process.pid, *(child["pid"] for child in server.status()["processes"])] == pids


@pytest.mark.timeout(300)
def test_killed_workers_cost_their_connections_and_nothing_else(server: ProcessServer) -> None:
    """Workers killed under load, again and again: what was acknowledged is there once, UIDs in the order of sending."""
    senders = [Sender(server, f"s{number}") for number in range(4)]
    for sender in senders:
        sender.start()
    for round_number in range(10):
        wanted = sum(len(sender.acknowledged) for sender in senders) + 20
        wait_for(lambda wanted=wanted: sum(len(sender.acknowledged) for sender in senders) >= wanted)
        kill_and_wait(server, server.workers()[round_number % 2])
    for sender in senders:
        sender.ending.set()
    for sender in senders:
        sender.join(60)
    there = stored(server)
    names = [name for _, name in there]
    assert len(names) == len(set(names))
    for sender in senders:
        assert set(sender.acknowledged) <= set(names)
        mine = [name for name in names if name in set(sender.acknowledged)]
        assert mine == sender.acknowledged
    assert sum(sender.cuts for sender in senders) >= 10  # they did lose connections
    died = [event for event in server.events() if event["event"] == "process_died"]
    assert len(died) == 10


def test_the_other_worker_goes_on(server: ProcessServer) -> None:
    """Sessions of a worker that was not killed do not notice, and a new worker takes connections again."""
    clients: list[imaplib.IMAP4_SSL] = []
    while min(server.connected("imap", len(clients)), default=0) == 0:  # on a busy machine one may be late again and again
        assert len(clients) < 200
        clients += [sign_in(server) for _ in range(4)]
    kill_and_wait(server, server.workers()[0])
    alive = sum(goes_on(client) for client in clients)
    ends = [event for event in server.events() if event["event"] in ("process_died", "process_hung", "session_cut")]
    assert 0 < alive < len(clients), (alive, len(clients), ends, server.status())
    for _ in range(8):
        assert sign_in(server).noop()[0] == "OK"


def goes_on(client: imaplib.IMAP4_SSL) -> bool:
    """Whether it is answered, asked from a thread of its own: in Python 3.13 the error that one connection left with OpenSSL is
    raised at the next one of the same thread."""
    answered: list[str] = []

    def ask() -> None:
        with suppress(OSError, imaplib.IMAP4.abort):
            answered.append(client.noop()[0])

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    return answered == ["OK"]


def test_connections_are_spread_over_the_workers(server: ProcessServer) -> None:
    """Whoever has fewest takes the next. On a busy machine one may be late again and again: it catches up in the end."""
    clients = [socket.create_connection((server.host, server.ports["pop3"])) for _ in range(40)]
    while max(counts := server.connected("pop3", len(clients))) > min(counts) * 10 // 9 + 1:
        assert len(clients) < 800, counts
        for _ in range(4):
            clients.append(socket.create_connection((server.host, server.ports["pop3"])))
            assert clients[-1].recv(3) == b"+OK"
    for client in clients:
        client.close()


def test_a_worker_that_hangs_delays_no_connection_for_the_others(server: ProcessServer) -> None:
    """It has the fewest connections and takes none: the other greets all while it hangs, and both again when it goes on."""
    hung = server.workers()[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        clients = [smtplib.SMTP(server.host, server.ports["smtp"], timeout=10) for _ in range(20)]
    finally:
        os.kill(hung, signal.SIGCONT)
    wait_for(
        lambda: all(one["connections"]["smtp"] for one in server.status()["processes"] if one["pid"] == hung),
        meanwhile=lambda: clients.append(smtplib.SMTP(server.host, server.ports["smtp"], timeout=10)),
    )
    for client in clients:
        client.close()


def test_a_guesser_gets_no_more_tries_from_two_workers_than_from_one(server: ProcessServer) -> None:
    """Connections alternate between the workers; ten different wrong passwords are counted once each, in both."""
    answers = []
    for guess in range(14):
        with smtplib.SMTP("localhost", server.ports["submission"], timeout=30) as client:
            client.starttls(context=server.tls())
            client.ehlo()
            answers.append(client.docmd("AUTH PLAIN", b64encode(f"\0{GUESSED}\0wrong {guess}".encode()).decode())[0])
    assert answers == [535] * 10 + [421] * 4


def test_a_delivery_wakes_an_idle_session_of_another_worker(server: ProcessServer) -> None:
    """The change feed crosses processes: every one of many IDLE sessions hears of one delivery."""
    clients = [sign_in(server, WOKEN) for _ in range(8)]
    for client in clients:
        client.select()
        client.send(b"X IDLE\r\n")
        assert client.readline().startswith(b"+")
    with smtplib.SMTP(server.host, server.ports["smtp"], timeout=30) as sender:
        sender.sendmail("a@example.org", [WOKEN], message("wake up"))
    for client in clients:
        client.sock.settimeout(10)
        assert b"1 EXISTS" in client.readline()


def test_the_housekeeper_is_started_again(server: ProcessServer) -> None:
    """Its death is logged and costs nobody anything."""
    [pid] = [one["pid"] for one in server.status()["processes"] if one["name"] == "house"]
    kill_and_wait(server, pid)
    [died] = [event for event in server.events() if event["event"] == "process_died"]
    assert (died["process"], died["exit_code"]) == ("house", -signal.SIGKILL)


def test_what_a_killed_worker_had_acknowledged_to_several_is_delivered_at_once(serve_processes: Make) -> None:
    """The spool entries of a dead worker are taken up when it is reaped, not at the housekeeper's next round a minute later."""
    server = serve_processes({"process": {"workers": 1}})
    people = [f"p{number}" for number in range(20)]
    for local in (*people, "dvbe"):
        server.population.issue(local)
    server.start()
    addresses = [ADDRESS, *(f"{local}@mic.gov.vn" for local in people)]
    acknowledged: list[str] = []
    for number in range(9):
        with suppress(OSError, smtplib.SMTPException), smtplib.SMTP(server.host, server.ports["smtp"], timeout=30) as client:
            killer = threading.Timer(0.02 + 0.007 * number, server.kill_workers)
            killer.start()
            while True:
                name = f"m{number}-{len(acknowledged)}"
                client.sendmail("a@example.org", addresses, message(name))
                acknowledged.append(name)
        killer.join()
        server.wait_for(lambda state: state["ready"])
    wait_for(lambda: all(set(acknowledged) <= {name for _, name in stored(server, address)} for address in addresses))
    for local in people:
        names = [name for _, name in stored(server, f"{local}@mic.gov.vn")]
        assert len(names) == len(set(names))
        assert set(acknowledged) <= set(names)


def cores_of_threads(pid: int) -> list[set[int]]:
    """Where each thread of a process may run."""
    return [os.sched_getaffinity(int(thread.name)) for thread in Path(f"/proc/{pid}/task").iterdir()]


def test_the_loop_of_a_worker_and_its_threads_for_accounts_share_a_core(server: ProcessServer) -> None:
    """Decisions 0016, 0040, 0122: loop, publisher, cpu and io on one core, workers on different ones; others go anywhere."""
    every = os.sched_getaffinity(0)
    if len(every) < 2:
        pytest.skip("one core only: all threads share it anyway")
    kill_and_wait(server, server.workers()[0])  # the one that takes its place does as it did
    taken = []
    for pid in server.workers():
        kept = [cores for cores in cores_of_threads(pid) if cores != every]
        assert len(kept) == 3 + server.config.process.io_threads
        assert all(cores == kept[0] for cores in kept)
        taken += kept[0]
    assert len(set(taken)) == 2
    (housekeeper,) = [one["pid"] for one in server.status()["processes"] if one["name"] == "house"]
    assert all(cores == every for cores in cores_of_threads(housekeeper))


def test_workers_stay_unpinned_where_the_administrator_says_so(serve_processes: Make) -> None:
    """`process.pin_workers`: for machines that do much else beside the mail."""
    server = serve_processes({"process": {"workers": 1, "pin_workers": False}})
    server.start()
    every = os.sched_getaffinity(0)
    for process in server.start_all()["processes"]:
        assert all(cores == every for cores in cores_of_threads(process["pid"]))
