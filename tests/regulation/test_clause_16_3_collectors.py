"""Reg. 16.3: collectors get every security event, in order, however slow they are and whoever is killed."""

import imaplib
import json
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness import config_for
from mic_mail.clock import ManualClock
from mic_mail.directory.repository import Directory
from mic_mail.log import tail
from mic_mail.log.maillog import MailLog
from mic_mail.log.syslog import framed
from mic_mail.net.syslog_transport import Collector, place
from mic_mail.services.compliance import logs
from mic_mail.services.compliance.finding import Records
from mic_mail.services.operations.syslog import Forwarding, cursor_file
from regulation.syslog_collector import HEADER, NOW, TODAY, Listener, fill, parsed
from waiting import PATIENCE_SECONDS, wait_for

PASSWORD = "mat-khau-2026-dung-de-thu"


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def start(*args: Any, **how: Any) -> Listener:
        made.append(Listener(*args, **how))
        return made[-1]

    yield start
    for each in made:
        each.close()


def until(ready: Callable[[], object], server: Any) -> None:
    """Let the housekeeper come until something is so; the test's own patience is that of pytest."""
    wait_for(ready, meanwhile=server.housekeep)


def wrong_password(server: Any, name: str) -> None:
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls())
    with client, pytest.raises(imaplib.IMAP4.error):
        client.login(name, "sai-mat-khau")


def test_clause_16_3_a_refused_sign_in_reaches_every_collector(serve: Callable[..., Any], listen: Any, tmp_path: Path) -> None:
    """TCP, UDP and a socket of the machine; an administrative act too, with its actor."""
    stream, datagrams = listen(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    local.bind(str(tmp_path / "log"))
    places = [f"tcp://127.0.0.1:{stream.port}", f"udp://127.0.0.1:{datagrams.getsockname()[1]}", f"unix:{tmp_path / 'log'}"]
    server = serve(settings={"log": {"syslog": {"collectors": places}}})
    server.issue("dvbe", password=PASSWORD)
    server.housekeep()
    wrong_password(server, "dvbe@mic.gov.vn")
    until(lambda: stream.named("sign_in_refused"), server)
    (told,) = stream.named("sign_in_refused")
    assert told["data"]["reason"] == "wrong-credentials"
    assert told["data"]["mailbox"] == "dvbe@mic.gov.vn"
    assert "sai-mat-khau" not in str(stream.messages)
    for each in (datagrams, local):
        each.settimeout(30)
        while parsed(octets := each.recv(65_536))["msgid"] != "sign_in_refused":
            pass
        assert parsed(octets)["data"] == told["data"]
        each.close()


def test_clause_16_3_a_dead_collector_costs_nothing_and_catches_up(serve: Callable[..., Any], listen: Any) -> None:
    """What happened meanwhile comes when it is there, in order and once; the outage is told once."""
    other = listen()  # first, or it might be given the port that is free again
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    server = serve(settings={"log": {"syslog": {"collectors": [f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{other.port}"]}}})
    server.issue("dvbe", password=PASSWORD)
    server.housekeep()
    for _ in range(3):
        wrong_password(server, "dvbe@mic.gov.vn")
    until(lambda: len(other.named("sign_in_refused")) == 3, server)
    until(lambda: any(event["event"] == "syslog_unreachable" for event in server.events()), server)
    dead = listen(port)
    until(lambda: len(dead.named("sign_in_refused")) == 3, server)
    assert [each["data"]["id"] for each in dead.named("sign_in_refused")] == [
        each["data"]["id"] for each in other.named("sign_in_refused")
    ]
    until(lambda: any(event["event"] == "syslog_back" for event in server.events()), server)
    assert sum(event["event"] == "syslog_unreachable" for event in server.events()) == 1


@pytest.mark.slow
def test_clause_16_3_a_reload_waits_for_no_collector_that_hangs(
    serve: Callable[..., Any], listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names another one while the first takes the connection and nothing else: reload and rounds go on, doors answer,
    all before the patience with the first is over.

    The new one gets what happens from then on, and the first one everything when it reads again.
    """
    monkeypatch.setitem(Collector.__init__.__kwdefaults__, "patience", 20.0)
    hanging = listen(reads=False)
    places = [f"tcp://127.0.0.1:{hanging.port}"]
    server = serve(settings={"log": {"syslog": {"collectors": places}}})
    server.issue("dvbe", password=PASSWORD)
    server.housekeep()
    log = server.running.context.log
    for number in range(3_000):  # more than the kernels of both sides take
        log.event("sign_in_refused", mailbox=f"m{number}@mic.gov.vn", note="x" * 400)
    log.flush()
    server.housekeep()
    other = listen()
    both = [*places, f"tcp://127.0.0.1:{other.port}"]
    config = config_for(server.config.server.data_dir, {"log": {"syslog": {"collectors": both}}})

    async def reload() -> None:
        server.running.server.configure(config)

    server.call(reload())
    server.housekeep()
    wrong_password(server, "dvbe@mic.gov.vn")
    assert not any(event["event"] == "syslog_unreachable" for event in server.events()), "nobody waits for its patience"
    until(lambda: cursor_file(config, both[1]).exists(), server)
    wrong_password(server, "dvbe@mic.gov.vn")
    until(lambda: [each for each in other.named("sign_in_refused") if each["data"]["mailbox"] == "dvbe@mic.gov.vn"], server)
    hanging.close()
    reading = listen(hanging.port)
    until(lambda: len(reading.named("sign_in_refused")) >= 3_002, server)
    told = [each["data"]["mailbox"] for each in reading.named("sign_in_refused")]
    assert {*told} == {*(f"m{number}@mic.gov.vn" for number in range(3_000)), "dvbe@mic.gov.vn"}


def forwarding(folder: Path, where: str, cursor: str = "cursor", ca: Path | None = None, patience: float = 20) -> Forwarding:
    clock = ManualClock(NOW)
    log = MailLog(folder / "own", "housekeeper", clock=clock)
    made = Forwarding(Collector(place(where), ca, patience=patience), HEADER, folder, folder / cursor, clock=clock, log=log)
    tail.save(folder / cursor, tail.LogPosition(TODAY))
    return made


def test_clause_16_3_one_that_hangs_is_given_up_and_given_everything_later(tmp_path: Path, listen: Any) -> None:
    """It takes the connection and nothing else: the log keeps it all, the cursor stays."""
    fill(tmp_path, 3_000)  # 3 MB: more than the kernel of one that does not read takes
    hanging = listen(reads=False)
    stuck = forwarding(tmp_path, f"tcp://127.0.0.1:{hanging.port}", patience=0.3)
    stuck.pass_on()
    reached = tail.load(tmp_path / "cursor")
    assert sum(reached.offsets.values()) < sum(path.stat().st_size for path in tmp_path.glob("2026*"))  # type: ignore[union-attr]
    stuck.close()
    hanging.close()
    reading = listen()
    again = forwarding(tmp_path, f"tcp://127.0.0.1:{reading.port}")
    assert again.pass_on() == 3_000
    wait_for(lambda: len(reading.messages) >= 3_000)
    assert [each["data"]["mailbox"] for each in reading.messages] == [f"m{n}@mic.gov.vn" for n in range(3_000)]
    assert again.pass_on() == 0
    again.close()


def test_clause_16_3_what_only_this_machine_holds_has_not_gone(tmp_path: Path, listen: Any) -> None:
    """A batch that fits into our own kernel's buffer, and that the collector's has not acknowledged, comes again."""
    fill(tmp_path, 60)  # 60 kB, of which the other side takes 8
    hanging = listen(reads=False)
    stuck = forwarding(tmp_path, f"tcp://127.0.0.1:{hanging.port}", patience=0.3)
    assert stuck.pass_on() == 0
    assert tail.load(tmp_path / "cursor") == tail.LogPosition(TODAY)
    stuck.close()


def test_clause_16_3_killed_in_between_it_is_given_again_and_can_be_told_apart(tmp_path: Path, listen: Any) -> None:
    """The word that a batch went is put down behind it; `id` is the same."""
    fill(tmp_path, 5)
    collector = listen()
    for _ in range(2):  # the second one begins from the cursor of before
        once = forwarding(tmp_path, f"tcp://127.0.0.1:{collector.port}")
        assert once.pass_on() == 5
        once.close()
    wait_for(lambda: len(collector.messages) >= 10)
    ids = [each["data"]["id"] for each in collector.messages]
    assert ids[:5] == ids[5:]
    assert len(set(ids)) == 5


def bare(folder: Path, where: str, clock: ManualClock | None = None) -> Forwarding:
    """As a housekeeper makes it that was just started: from what the cursor's file says, if there is one."""
    clock = clock or ManualClock(NOW)
    log = MailLog(folder / "own", "housekeeper", clock=clock)
    return Forwarding(Collector(place(where), patience=0.5), HEADER, folder, folder / "cursor", clock=clock, log=log)


def own_events(folder: Path, forward: Forwarding) -> list[str]:
    """What it says of itself."""
    forward._log.close()
    return [json.loads(line)["event"] for path in sorted((folder / "own").glob("*.jsonl")) for line in path.open()]


def arrive(collector: Listener, count: int) -> list[dict[str, Any]]:
    wait_for(lambda: len(collector.messages) >= count)
    return collector.messages


def test_clause_16_3_from_when_it_is_named_whoever_is_killed(tmp_path: Path, listen: Any) -> None:
    """A collector that was never reached yet, and a housekeeper that is killed: what happened in between is not skipped."""
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    fill(tmp_path, 2)
    first = bare(tmp_path, f"tcp://127.0.0.1:{port}")
    assert first.pass_on() == 0
    fill(tmp_path, 3)
    assert first.pass_on() == 0
    first.close()
    collector = listen(port)
    assert bare(tmp_path, f"tcp://127.0.0.1:{port}").pass_on() == 3
    assert len(arrive(collector, 3)) == 3


@pytest.mark.parametrize(
    "kept",
    [b"", b"{", b'{"floor": "2026-11-25", "offsets": {"x": "y"}, "sizes": {}}', bytes(9)],
    ids=["empty", "half", "other", "zeros"],
)
def test_clause_16_3_a_cursor_that_says_nothing_skips_nothing(tmp_path: Path, listen: Any, kept: bytes) -> None:
    """As a power cut may leave it: the last days come again, and it is told."""
    fill(tmp_path, 3)
    (tmp_path / "cursor").write_bytes(kept)
    collector = listen()
    forward = bare(tmp_path, f"tcp://127.0.0.1:{collector.port}")
    assert forward.pass_on() == 3
    assert len(arrive(collector, 3)) == 3
    assert own_events(tmp_path, forward) == ["syslog_cursor_lost"]


def test_clause_16_3_a_full_disk_makes_no_flood(tmp_path: Path, listen: Any) -> None:
    """Where the cursor cannot be put down each message goes once all the same; told once, and not as the collector's fault."""
    tail.save(tmp_path / "cursor", tail.LogPosition(TODAY))
    (tmp_path / "cursor.new").mkdir()
    collector = listen()
    forward = bare(tmp_path, f"tcp://127.0.0.1:{collector.port}")
    for more in (2, 2, 0):
        fill(tmp_path, more)
        assert forward.pass_on() == more
    assert len(arrive(collector, 4)) == 4
    (tmp_path / "cursor.new").rmdir()
    fill(tmp_path, 1)
    assert forward.pass_on() == 1
    assert own_events(tmp_path, forward) == ["syslog_cursor_not_kept"]
    assert bare(tmp_path, f"tcp://127.0.0.1:{collector.port}").pass_on() == 0


@pytest.mark.slow
def test_clause_16_3_a_slow_line_gets_everything_once(tmp_path: Path, listen: Any) -> None:
    """It takes what was sent, and not all of it within anybody's patience: each message comes, and none over and over."""
    fill(tmp_path, 2_000)
    tail.save(tmp_path / "cursor", tail.LogPosition(TODAY))
    slow = Listener(reads=False, pace=(16_384, 0.02))
    passed, limit = 0, time.monotonic() + PATIENCE_SECONDS
    forward = bare(tmp_path, f"tcp://127.0.0.1:{slow.port}")
    while passed < 2_000 and time.monotonic() < limit:
        passed += forward.pass_on()
    assert (passed, len(arrive(slow, 2_000))) == (2_000, 2_000)
    assert own_events(tmp_path, forward) == []
    forward.close()
    slow.close()


def test_clause_16_3_a_name_that_cannot_be_is_a_collector_that_is_not_there(tmp_path: Path) -> None:
    """Told once, and no defect of the housekeeper's."""
    fill(tmp_path, 1)
    for number, name in enumerate(("a..b", "x" * 70, ".x")):
        folder = tmp_path / str(number)
        fill(folder, 1)
        tail.save(folder / "cursor", tail.LogPosition(TODAY))
        forward = bare(folder, f"tcp://{name}:9")
        assert forward.pass_on() == 0
        assert own_events(folder, forward) == ["syslog_unreachable"]


def test_clause_16_3_over_tls_only_to_the_collector_that_is_meant(tmp_path: Path, listen: Any, mail_server: Any) -> None:
    """RFC 5425: octet counting within TLS; a certificate that nobody knows gets nothing."""
    files = mail_server.config.server.data_dir / "tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "cert.pem", files / "key.pem")
    collector = listen(context=context)
    fill(tmp_path, 3)
    stranger = forwarding(tmp_path, f"tls://localhost:{collector.port}")
    assert stranger.pass_on() == 0
    known = forwarding(tmp_path, f"tls://localhost:{collector.port}", ca=files / "cert.pem")
    assert known.pass_on() == 3
    wait_for(lambda: len(collector.messages) >= 3)
    known.close()
    assert framed(b"abc") == b"3 abc"


def test_clause_16_3_the_evidence_names_a_collector_that_is_behind(tmp_path: Path, listen: Any) -> None:
    """Not at once: only when it has not moved for a quarter of an hour and there is something that it lacks."""
    reading, probe = listen(), socket.create_server(("127.0.0.1", 0))
    places = [f"tcp://127.0.0.1:{reading.port}", f"tcp://127.0.0.1:{probe.getsockname()[1]}"]
    probe.close()
    config = config_for(tmp_path / "data", {"log": {"syslog": {"collectors": places}}})
    fill(config.log_dir, 3)
    clock, own = ManualClock(datetime.now(UTC)), MailLog(tmp_path / "own", "housekeeper", clock=ManualClock(NOW))
    for name in places:
        tail.save(cursor_file(config, name), tail.LogPosition(TODAY))
        one = Forwarding(
            Collector(place(name)), HEADER, config.log_dir, cursor_file(config, name), clock=ManualClock(NOW), log=own
        )
        one.pass_on()
        one.close()

    def behind() -> list[Any]:
        records = Records(Directory(config.directory_url), config, clock)
        return [finding.count for finding in logs.collectors(records) if finding.overdue]

    assert behind() == []
    for name in places:  # as if nobody had moved on for a while
        path = cursor_file(config, name)
        os.utime(path, (path.stat().st_mtime - 3_600,) * 2)
    assert behind() == [1]
    own.close()
