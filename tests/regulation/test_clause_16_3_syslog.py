"""Reg. 16.3: security events go to collectors as RFC 5424 messages: nothing is lost, injected, or held up by one that hangs."""

import contextlib
import imaplib
import json
import os
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import config_for
from mic_mail.clock import ManualClock
from mic_mail.directory.repository import Directory
from mic_mail.log import tail
from mic_mail.log.maillog import MailLog
from mic_mail.log.syslog import BOM, LONGEST_DATAGRAM, SECURITY, Header, framed, message, visible
from mic_mail.log.tail import read_on
from mic_mail.net.syslog_transport import Collector, place
from mic_mail.services.compliance import logs
from mic_mail.services.compliance.finding import Records
from mic_mail.services.operations.syslog import Forwarding, cursor_file
from waiting import PATIENCE_SECONDS, wait_for

HEADER = Header("mail.mic.gov.vn", 10, "32473")
NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
TODAY = date(2026, 11, 26)
PASSWORD = "mat-khau-2026-dung-de-thu"

SYNTAX = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<at>\S+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) "
    rb"(?P<msgid>[!-~]{1,32}) "
    rb'(?P<data>\[mic@32473(?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*\])(?: (?P<text>\xef\xbb\xbf.*))?',
    re.DOTALL,
)
"""RFC 5424 §6, as strict as it is written."""
PARAMETER = re.compile(r' ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"')


def parsed(octets: bytes) -> dict[str, Any]:
    """A message as a strict collector reads it."""
    found = SYNTAX.fullmatch(octets)
    assert found is not None, octets
    data = {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in PARAMETER.findall(found["data"].decode())}
    return {**{key: (value or b"").decode() for key, value in found.groupdict().items()}, "data": data}


# ------------------------------------------------------------ the message


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text(max_size=40), st.text() | st.integers() | st.booleans() | st.none() | st.lists(st.text()), max_size=12
    ),
    st.sampled_from(sorted(SECURITY)),
    st.sampled_from([480, LONGEST_DATAGRAM, 8_192]),
)
def test_clause_16_3_whatever_a_stranger_chose_is_one_message(fields: dict[str, Any], event: str, most: int) -> None:
    """Its length keeps to the bound, its syntax to the RFC, and nothing in it ends a line or turns a screen round."""
    line = {**fields, "at": "2026-11-26T03:00:00.123456Z", "event": event}
    octets = message(HEADER, line, "2026-11-26.worker0.1.1.jsonl:17", "worker0.1", most=most)
    assert octets is not None
    assert len(octets) <= most
    text = octets.decode()
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)
    assert not set(text.replace("\ufeff", "", 1)) & set("\u2028\u2029\u202e\u2066\r\n\0")
    read = parsed(octets)
    assert (read["msgid"], read["host"], read["app"]) == (event, "mail.mic.gov.vn", "mic-mail")
    assert read["data"]["id"] == "2026-11-26.worker0.1.1.jsonl:17"


def test_clause_16_3_values_arrive_as_they_are() -> None:
    """Vietnamese, quotes, brackets and backslashes; a line feed as what it is."""
    name = 'Đỗ "Bê" ]\\ \n<13>1 - evil \u202e'
    octets = message(HEADER, {"at": "x", "event": "sign_in_refused", "mailbox": name, "n": 3}, "f:0", "w", most=8_192)
    assert octets is not None
    assert octets.startswith(b"<84>1 ")
    read = parsed(octets)
    assert read["data"] == {"id": "f:0", "mailbox": visible(name)}
    assert visible(name) == 'Đỗ "Bê" ]\\ \\u000a<13>1 - evil \\u202e'
    assert read["text"].encode().startswith(BOM + "Từ chối đăng nhập: mailbox=Đỗ".encode())


def test_clause_16_3_acts_are_security_events_and_deliveries_are_not() -> None:
    """Of the mail log what is in the table; of the acts all."""
    assert message(HEADER, {"event": "message_delivered", "mailbox": "x"}, "f:0", "w", most=480) is None
    assert message(HEADER, {"event": ["signed_in"]}, "f:0", "w", most=480) is None
    act = message(HEADER, {"at": "x", "act": "mailbox_suspend", "actor": "mai", "prev": "0" * 64}, "f:0", "audit", most=480)
    assert act is not None
    assert parsed(act)["data"] == {"id": "f:0", "actor": "mai"}


def test_clause_16_3_every_event_of_the_table_is_one_that_happens() -> None:
    """A name that nobody writes any more would be a hole in what is watched."""
    source = "".join(path.read_text() for path in Path("src/mic_mail").rglob("*.py") if path.name != "syslog.py")
    written = source + Path("src/mic_mail/services/operations/syslog.py").read_text()
    assert [name for name in SECURITY if f'"{name}"' not in written] == []


@pytest.mark.parametrize(
    ("text", "way", "port"),
    [
        ("unix:/dev/log", "unix", 0),
        ("udp://10.1.2.3", "udp", 514),
        ("tcp://[::1]:9", "tcp", 9),
        ("tls://siem.mic.gov.vn", "tls", 6514),
    ],
)
def test_places(text: str, way: str, port: int) -> None:
    """The ports are those of the RFCs."""
    assert (place(text).way, place(text).port) == (way, port)
    for wrong in ("http://x", "udp://", "tcp://x:0", "tcp://x:70000", "unix:dev/log", "udp://x/y"):
        with pytest.raises(ValueError, match=re.escape(wrong)):
            place(wrong)


# ------------------------------------------------------------ behind the writers


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=30), st.integers(1, 5))
def test_each_line_is_read_once_in_its_order(steps: list[tuple[int, int]], most: int) -> None:
    """Whatever is written in between, also half a line; files that are over are forgotten when they are read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cursor = tail.at_the_end(folder, TODAY)
        written: dict[str, int] = {}
        read: dict[str, list[int]] = {}
        for file, count in [*steps, *((n, 0) for n in range(3))] * 2:
            segment = f"2026-11-26.worker{file}.1.1.jsonl"
            with (folder / segment).open("ab") as out:
                for _ in range(count):
                    out.write(b'{"k":%d}\n' % written.setdefault(segment, 0))
                    written[segment] += 1
            batch = read_on(folder, cursor, TODAY, most_lines=most)
            assert len(batch.lines) <= most
            for line in batch.lines:
                read.setdefault(line.name, []).append(int(str(line.fields["k"])))
            cursor = batch.cursor
            tail.save(folder / "cursor", cursor)
            assert tail.load(folder / "cursor") == cursor
        while (batch := read_on(folder, cursor, TODAY)).lines:
            for line in batch.lines:
                read.setdefault(line.name, []).append(int(str(line.fields["k"])))
            cursor = batch.cursor
        assert read == {segment: list(range(count)) for segment, count in written.items() if count}
        later = read_on(folder, cursor, date(2026, 11, 29)).cursor
        assert later.offsets == {}


def test_what_was_taken_away_unread_is_said(tmp_path: Path) -> None:
    """How much of it is known; half a line is none, damaged ones are passed over."""
    segment = tmp_path / "2026-11-26.worker0.1.1.jsonl"
    cursor = tail.at_the_end(tmp_path, TODAY)
    segment.write_bytes(b'{"a":1}\nnonsense\n[1]\n{"a":2}\n{"a":')
    batch = read_on(tmp_path, cursor, TODAY, most_lines=1)
    assert [line.fields for line in batch.lines] == [{"a": 1}]
    assert batch.missed_octets == 0
    rest = read_on(tmp_path, batch.cursor, TODAY)
    assert [line.fields for line in rest.lines] == [{"a": 2}]
    segment.unlink()
    assert read_on(tmp_path, batch.cursor, TODAY).missed_octets == len(b'nonsense\n[1]\n{"a":2}\n{"a":')


def test_a_clock_that_runs_back_loses_nothing(tmp_path: Path) -> None:
    """What is written under an earlier day is read, if need be twice; so is what came while nobody read for days."""
    cursor = tail.at_the_end(tmp_path, TODAY)
    (tmp_path / "2026-11-20.worker0.9.1.jsonl").write_bytes(b'{"a":1}\n')
    back = read_on(tmp_path, cursor, date(2026, 11, 20)).cursor
    assert [line.fields for line in read_on(tmp_path, back, date(2026, 11, 20)).lines] == [{"a": 1}]
    for day in (26, 27, 28):
        (tmp_path / f"2026-11-{day}.worker0.1.1.jsonl").write_bytes(b'{"day":%d}\n' % day)
    first = read_on(tmp_path, cursor, date(2026, 11, 30), most_lines=1)
    rest = read_on(tmp_path, first.cursor, date(2026, 11, 30))
    assert [line.fields["day"] for line in (*first.lines, *rest.lines)] == [26, 27, 28]


# ------------------------------------------------------------ collectors


class Listener:
    """A collector on a plain socket that takes octet-counted messages, until it is told to take none."""

    def __init__(
        self,
        port: int = 0,
        context: ssl.SSLContext | None = None,
        *,
        reads: bool = True,
        pace: tuple[int, float] | None = None,
    ) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        if not reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.port = self.socket.getsockname()[1]
        self.messages: list[dict[str, Any]] = []
        self._context = context
        self._reads = reads or pace is not None
        self._pace = pace
        """At most so many octets, and the seconds after each look."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self._open.append(connection)
                if self._reads:
                    threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            buffer = b""
            most, rest = self._pace or (65_536, 0)
            while piece := connection.recv(most):
                time.sleep(rest)  # as slow as the test wants it
                buffer += piece
                while (head := buffer.partition(b" "))[1] and len(head[2]) >= int(head[0]):
                    self.messages.append(parsed(head[2][: int(head[0])]))
                    buffer = head[2][int(head[0]) :]

    def close(self) -> None:
        for each in (self.socket, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def named(self, msgid: str) -> list[dict[str, Any]]:
        return [each for each in list(self.messages) if each["msgid"] == msgid]


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


def fill(folder: Path, count: int) -> None:
    log = MailLog(folder, "worker0", clock=ManualClock(NOW))
    for number in range(count):
        log.event("sign_in_refused", mailbox=f"m{number}@mic.gov.vn", note="x" * 400)
    log.close()


def forwarding(folder: Path, where: str, cursor: str = "cursor", ca: Path | None = None, patience: float = 20) -> Forwarding:
    clock = ManualClock(NOW)
    log = MailLog(folder / "own", "housekeeper", clock=clock)
    made = Forwarding(Collector(place(where), ca, patience=patience), HEADER, folder, folder / cursor, clock=clock, log=log)
    tail.save(folder / cursor, tail.Cursor(TODAY))
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
    assert tail.load(tmp_path / "cursor") == tail.Cursor(TODAY)
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


def told_of(folder: Path, forward: Forwarding) -> list[str]:
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
    assert told_of(tmp_path, forward) == ["syslog_cursor_lost"]


def test_clause_16_3_a_full_disk_makes_no_flood(tmp_path: Path, listen: Any) -> None:
    """Where the cursor cannot be put down each message goes once all the same; told once, and not as the collector's fault."""
    tail.save(tmp_path / "cursor", tail.Cursor(TODAY))
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
    assert told_of(tmp_path, forward) == ["syslog_cursor_not_kept"]
    assert bare(tmp_path, f"tcp://127.0.0.1:{collector.port}").pass_on() == 0


@pytest.mark.slow
def test_clause_16_3_a_slow_line_gets_everything_once(tmp_path: Path, listen: Any) -> None:
    """It takes what was sent, and not all of it within anybody's patience: each message comes, and none over and over."""
    fill(tmp_path, 2_000)
    tail.save(tmp_path / "cursor", tail.Cursor(TODAY))
    slow = Listener(reads=False, pace=(16_384, 0.02))
    passed, limit = 0, time.monotonic() + PATIENCE_SECONDS
    forward = bare(tmp_path, f"tcp://127.0.0.1:{slow.port}")
    while passed < 2_000 and time.monotonic() < limit:
        passed += forward.pass_on()
    assert (passed, len(arrive(slow, 2_000))) == (2_000, 2_000)
    assert told_of(tmp_path, forward) == []
    forward.close()
    slow.close()


def test_clause_16_3_a_name_that_cannot_be_is_a_collector_that_is_not_there(tmp_path: Path) -> None:
    """Told once, and no defect of the housekeeper's."""
    fill(tmp_path, 1)
    for number, name in enumerate(("a..b", "x" * 70, ".x")):
        folder = tmp_path / str(number)
        fill(folder, 1)
        tail.save(folder / "cursor", tail.Cursor(TODAY))
        forward = bare(folder, f"tcp://{name}:9")
        assert forward.pass_on() == 0
        assert told_of(folder, forward) == ["syslog_unreachable"]


def test_no_process_s_lines_wait_for_another_s(tmp_path: Path) -> None:
    """One that writes more than a batch holds leaves room for the others'; that there is more is known."""
    cursor = tail.at_the_end(tmp_path, TODAY)
    (tmp_path / "2026-11-26.worker0.1.1.jsonl").write_bytes(b'{"a":1}\n' * 100)
    (tmp_path / "2026-11-26.worker1.1.1.jsonl").write_bytes(b'{"b":1}\n')
    batch = read_on(tmp_path, cursor, TODAY, most_lines=10)
    assert {"b": 1} in [line.fields for line in batch.lines]
    assert batch.is_full
    long = tmp_path / "2026-11-26.worker2.1.1.jsonl"
    long.write_bytes(b'{"c":"%s"}\n' % (b"x" * 60_000) * 20)
    read = [line for line in read_on(tmp_path, cursor, TODAY).lines if line.name == long.name]
    assert len(read) < 20
    assert read_on(tmp_path, cursor, TODAY).is_full


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
        tail.save(cursor_file(config, name), tail.Cursor(TODAY))
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
