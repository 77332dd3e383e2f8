"""Reg. 16.3: security events become syslog messages (RFC 5424), read once from behind those who write the log."""

import re
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.log import tail
from mic_mail.log.syslog import BOM, LONGEST_DATAGRAM, SECURITY, message, visible
from mic_mail.log.tail import read_on
from mic_mail.net.syslog_transport import place
from regulation.syslog_collector import HEADER, TODAY, parsed

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
