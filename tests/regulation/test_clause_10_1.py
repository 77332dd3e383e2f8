"""Reg. 10.1: the numbers and the health of a running server, for who watches over it."""

import http.client
import shutil
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import MailServer, ProcessServer, config_for, read_events
from regulation.console import Console
from waiting import wait_for

pytestmark = pytest.mark.clause("10.1")
DOORS = ("smtp", "imaps", "http", "https")


def _beats(process: Mapping[str, Any]) -> int:
    """Of its loop, as it last told; its first report comes before any."""
    return sum(process.get("lag_beats", {}).values())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessServer]:
    folder = tmp_path_factory.mktemp("watched")
    made = ProcessServer(config_for(folder / "data", {"process": {"workers": 2}, "listen": {"doors": DOORS}}), folder)
    made.population.issue("dvbe")
    made.start()
    made.start_all()
    made.wait_for(lambda state: all(_beats(process) for process in state["processes"] if process["name"] != "index"))
    yield made
    made.stop()


def asked(
    ports: dict[str, int], path: str, *, door: str = "http", host: str = "127.0.0.1:9", **headers: str
) -> tuple[int, str]:
    """The status and the text of an answer."""
    if door == "http":
        client: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", ports[door], timeout=30)
    else:
        context = ssl._create_unverified_context()
        client = http.client.HTTPSConnection("127.0.0.1", ports[door], timeout=30, context=context)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client.request("GET", path, headers={"Host": host, **named})
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, text


def numbers(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Every sample, by name and labels; the format is read by its own library."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def total(found: dict[str, dict[tuple[tuple[str, str], ...], float]], event: str) -> float:
    return sum(value for labels, value in found["mic_mail_events_total"].items() if dict(labels)["event"] == event)


@pytest.mark.parametrize("door", ["http", "https"])
def test_metrics(server: ProcessServer, door: str) -> None:
    """Each process, its connections, its loop; by http and https, under whatever name a scraper knows the machine."""
    status, text = asked(server.ports, "/metrics", door=door, host="watcher.example")
    found = numbers(text)
    assert status == 200
    assert found["mic_mail_ready"] == {(): 1}
    processes = {dict(labels)["process"] for labels in found["mic_mail_process_ready"]}
    assert processes == {process["name"] for process in server.status()["processes"]}
    assert set(found["mic_mail_process_restarts_total"].values()) == {0}
    beats = found["mic_mail_loop_lag_seconds_bucket"]
    (worker, *_) = sorted(name for name in processes if name.startswith("worker"))
    of_one = [value for labels, value in beats.items() if dict(labels)["process"] == worker]
    assert of_one == sorted(of_one)
    assert of_one[-1] == found["mic_mail_loop_lag_seconds_count"][("process", worker),] > 0
    assert found["mic_mail_certificate_ends_timestamp_seconds"][()] > found["mic_mail_start_time_seconds"][()]
    assert 0 < found["mic_mail_disk_free_bytes"][("folder", "mail"),] <= found["mic_mail_disk_size_bytes"][("folder", "mail"),]
    assert found["mic_mail_spool_entries"] == {(): 0}


def test_what_happened_is_counted_as_the_log_has_it(server: ProcessServer) -> None:
    """A message that was accepted, one that was refused; nobody's name among the numbers."""
    with smtplib.SMTP("127.0.0.1", server.ports["smtp"], timeout=30) as client:
        client.sendmail("a@example.org", ["dvbe@mic.gov.vn"], b"Subject: x\r\n\r\nx\r\n")
        client.ehlo()
        client.mail("a@example.org")
        assert client.rcpt("nobody@mic.gov.vn")[0] == 550

    def is_counted(_: object) -> bool:
        found = numbers(asked(server.ports, "/metrics")[1])
        return total(found, "message_delivered") == total(found, "recipient_refused") == 1

    server.wait_for(is_counted)
    found = numbers(asked(server.ports, "/metrics")[1])
    logged = [event["event"] for event in read_events(server.config.log_dir)]
    for event in ("message_accepted", "message_delivered", "recipient_refused"):
        assert total(found, event) == logged.count(event), event
    assert "dvbe" not in asked(server.ports, "/metrics")[1]


def test_health(server: ProcessServer) -> None:
    assert asked(server.ports, "/health") == (200, '{"ready":true}')
    assert asked(server.ports, "/health", door="https") == (200, '{"ready":true}')


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "Via"])
@pytest.mark.parametrize("path", ["/metrics", "/health"])
def test_what_a_proxy_passes_on_is_no_question_from_this_machine(server: ProcessServer, path: str, header: str) -> None:
    assert asked(server.ports, path, **{header: "203.0.113.9"})[0] == 301
    assert asked(server.ports, path, door="https", **{header: "203.0.113.9"})[0] == 404


def test_from_other_networks_there_is_no_such_path(serve: Callable[..., MailServer]) -> None:
    """`web.monitor_networks` without this machine: as any path that the pages do not have."""
    one = serve({"web": {"monitor_networks": ("192.0.2.0/24",)}, "listen": {"doors": DOORS}})
    for path in ("/metrics", "/health"):
        assert asked(one.ports, path)[0] == 301
        assert asked(one.ports, path, door="https", host="localhost")[0] == 404


def test_health_of_what_does_not_serve(serve: Callable[..., MailServer]) -> None:
    """No supervisor says that all is well: a balancer has to send people elsewhere."""
    one = serve({"listen": {"doors": DOORS}})
    assert asked(one.ports, "/health") == (503, '{"ready":false}')
    assert asked(one.ports, "/metrics")[0] == 503


def test_the_same_at_the_command_line(server: ProcessServer) -> None:
    """For node_exporter's textfile collector, where no page is open."""
    command = [sys.executable, "-m", "mic_mail", "--config", str(server.file), "status", "--prometheus"]

    def told() -> tuple[object, object]:
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        return numbers(text).keys(), numbers(asked(server.ports, "/metrics")[1]).keys()

    wait_for(lambda: (pair := told())[0] == pair[1])  # each process of a server that has just started reports within a second


def test_on_another_machine_from_the_last_backup(tmp_path: Path) -> None:
    """As the manuals say it: directory, configuration, each mailbox; the second backup was made of links."""
    old, new = Console(tmp_path / "old"), Console(tmp_path / "new")
    for console in (old, new):
        console.folder.mkdir()
        console.init()
    old.done("unit", "add", "CNTT", "Vụ CNTT", "--document", "1")
    old.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
    old.json("mailbox", "issue", "--person", "1", "--document", "1")
    first, last = tmp_path / "first", tmp_path / "last"
    old.done("backup", first)
    old.done("backup", last, "--earlier", first)
    (message,) = last.rglob("cur/*")
    assert message.stat().st_nlink == 2
    shutil.rmtree(old.folder)
    shutil.rmtree(first)
    shutil.copy(last / "directory.sqlite", new.folder / "data" / "directory" / "directory.sqlite")
    addresses = [row["address"] for row in new.json("mailbox", "list")]
    assert addresses == ["dvbe@mic.gov.vn"]
    for address in addresses:
        new.done("restore", address, last)
    (back,) = (new.folder / "data" / "mail").rglob("cur/*")
    assert back.read_bytes() == message.read_bytes()
    assert new.json("mailbox", "show", "dvbe@mic.gov.vn")["states"] == ["active", "password_due"]


def test_an_earlier_backup_that_is_none(tmp_path: Path) -> None:
    console = Console(tmp_path).init()
    console.refused("backup", tmp_path / "c", "--earlier", tmp_path / "nothing", code=2)
    assert not (tmp_path / "c").exists()


def test_what_a_backup_cannot_copy_is_named(tmp_path: Path) -> None:
    """With the system's reason, as of every other trouble with a disk, and not as an error that nobody foresaw."""
    console = Console(tmp_path).init()
    console.done("unit", "add", "CNTT", "Vụ CNTT", "--document", "1")
    console.done("person", "add", "Đỗ Văn Bê", "--unit", "CNTT")
    console.json("mailbox", "issue", "--person", "1", "--document", "1")
    inventories = tmp_path / "data" / "handovers" / "mic.gov.vn" / "dvbe"
    inventories.mkdir(parents=True)
    (inventories / "1.json").symlink_to("gone")
    console.refused("--lang", "en", "backup", tmp_path / "b", says="The handover inventories cannot be backed up: ", code=3)
    assert "Unexpected" not in console.err
