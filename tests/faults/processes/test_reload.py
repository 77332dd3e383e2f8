"""SIGHUP: what changes without a restart, and what a broken configuration leaves as it was."""

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from faults.processes.conftest import kill_and_wait, sign_in, zombie
from harness import NAMES, ProcessServer
from mic_mail.clock import SystemClock
from mic_mail.config.manual import write
from mic_mail.net.tls import self_signed, write_pair
from waiting import wait_for


def test_sighup_changes_certificate_and_settings_and_names_what_it_cannot(server: ProcessServer) -> None:
    """Running sessions stay, new ones see the new certificate; a quota is taken over, a data folder is named in the log."""
    old, whole = sign_in(server), server.file.read_text()
    write_pair(server.config.certificate, server.config.key, self_signed(NAMES, SystemClock().now()))
    quota = server.config.quota.model_copy(update={"default": 2 << 30})
    storage = server.config.storage.model_copy(update={"mail_root": Path("/elsewhere")})
    server.file.write_text(write(server.config.model_copy(update={"quota": quota, "storage": storage})))
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    workers = len(server.workers())
    wait_for(lambda: sum(event["event"] == "certificate_loaded" for event in server.events()) >= workers)
    [reloaded] = [event for event in server.events() if event["event"] == "configuration_reloaded"]
    assert reloaded["taken_over"] == ["quota.default"]
    assert reloaded["needs_restart"] == ["storage.mail_root"]
    assert sign_in(server).noop()[0] == "OK"  # trusts the new certificate only
    assert old.noop()[0] == "OK"
    server.file.write_text(whole)


def test_workers_that_die_together_do_not_take_the_supervisor_with_them(server: ProcessServer) -> None:
    """Two deaths noticed at once, while it was busy reading its configuration: both are started again."""
    whole = server.file.read_text()
    server.file.unlink()
    os.mkfifo(server.file)
    dead = set(server.workers())
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    with server.file.open("w") as file:  # from here on it reads
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: zombie(pid))
        file.write(whole)
    server.wait_for(lambda state: state["ready"] and not dead.intersection(one["pid"] for one in state["processes"]))
    assert sign_in(server).noop()[0] == "OK"
    server.file.unlink()
    server.file.write_text(whole)


def test_a_reload_reaches_a_worker_that_is_being_started(server: ProcessServer) -> None:
    """It was started with the old configuration, and was not ready when the order came: it obeys as soon as it is."""
    [pid, _] = server.workers()
    os.kill(pid, signal.SIGKILL)
    server.wait_for(lambda state: any(one["restarts"] and one["pid"] and not one["ready"] for one in state["processes"]))
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda state: state["ready"])
    workers = len(server.workers())
    wait_for(lambda: sum(event["event"] == "certificate_loaded" for event in server.events()) >= workers)


def test_a_storm_of_reloads_kills_no_worker_that_is_being_started(server: ProcessServer) -> None:
    """It does not read its orders yet, and is told the newest once."""
    assert server.process is not None
    pid = server.workers()[0]
    os.kill(pid, signal.SIGKILL)
    state = server.wait_for(lambda state: any(one["pid"] and not one["ready"] for one in state["processes"]))
    place = next(one["pid"] for one in state["processes"] if one["pid"] and not one["ready"])
    os.kill(place, signal.SIGSTOP)
    reloads = 0
    while reloads < 100:
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)  # faster than it can read its configuration
        reloads = sum(event["event"] == "configuration_reloaded" for event in server.events())
    os.kill(place, signal.SIGCONT)
    state = server.wait_for(lambda state: state["ready"])
    assert place in [one["pid"] for one in state["processes"]]
    assert not [event for event in server.events() if event["event"] == "process_hung"]


def test_a_worker_that_cannot_be_started_for_now_is_started_later(server: ProcessServer) -> None:
    """No descriptor is free when a worker has died: the other goes on, and there are two again when there is room."""
    assert server.process is not None
    pid = server.workers()[0]
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: any(event["event"] == "process_not_started" for event in server.events()))
    assert server.process.poll() is None
    assert sign_in(server).noop()[0] == "OK"
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
    server.wait_for(lambda state: state["ready"] and pid not in [one["pid"] for one in state["processes"]])


def test_a_broken_file_changes_nothing_at_sighup(server: ProcessServer) -> None:
    """The mistakes are in the log, the server runs on as it was."""
    whole = server.file.read_text()
    server.file.write_text('[quota]\ndefault = "1 MiB"\n')
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    [refused] = wait_for(lambda: [event for event in server.events() if event["event"] == "reload_refused"])
    assert "8.3.b" in str(refused["mistakes"])
    assert sign_in(server).noop()[0] == "OK"
    server.file.write_text(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (f"[smtp]\nconnections = {'9' * 5000}\n", "Exceeds the limit"),
        (
            '[tls]\ncertificate = "/nowhere/cert.pem"\nkey = "/nowhere/key.pem"\n',
            "tls.certificate: /nowhere/cert.pem cannot be read",
        ),
    ],
    ids=["a number too long", "no certificate"],
)
def test_a_file_by_which_no_worker_could_start_changes_nothing(server: ProcessServer, odd: str, told: str) -> None:
    """The supervisor lives, and a worker that dies later is started by what held before."""
    whole, before = server.file.read_text(), len(refusals(server))
    server.file.write_text(f'[server]\ndomain = "mic.gov.vn"\n{odd}')
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(refusals(server)) > before)
    server.file.write_text(whole)
    assert told in str(refusals(server)[-1]["mistakes"])
    kill_and_wait(server, server.workers()[0])
    assert sign_in(server).noop()[0] == "OK"


def refusals(server: ProcessServer) -> list[dict[str, Any]]:
    return [event for event in server.events() if event["event"] == "reload_refused"]
