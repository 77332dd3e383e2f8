"""The mail log: complete, ordered, and silent about secrets; the audit log; the tee."""

import errno
import io
import json
import os
import shutil
import threading
from datetime import UTC, date, datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.clock import ManualClock
from mic_mail.errors import Trouble
from mic_mail.log.audit import Audit
from mic_mail.log.files import GENESIS
from mic_mail.log.maillog import HIDDEN, LONGEST_TEXT, OWN_FIELDS, MailLog, encode, plain, stamp
from mic_mail.log.tee import Tee

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Cause(StrEnum):
    FULL = "đầy"


class Level(IntEnum):
    HIGH = 3


class Odd(Enum):
    LIST = ("a", None)


class Label(str):
    """A text that is no plain `str`."""

    __slots__ = ()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from([Cause.FULL, Level.HIGH, Odd.LIST, Label("x"), Label("x" * 3000), object(), date(2026, 11, 24), START])
    | st.integers(LONGEST_TEXT - 1, LONGEST_TEXT + 2).map("ế".__mul__)
    | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.sampled_from(["k", "token", "ế", 7]), inner, max_size=3)
    ),
    max_leaves=6,
)


def lines(folder: Path) -> list[dict[str, object]]:
    """All events on disk, segment by segment."""
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def test_every_event_of_every_thread_is_on_disk_after_close(tmp_path: Path) -> None:
    """Nothing is lost and the lines of a segment are numbered without a gap."""
    log = MailLog(tmp_path, "worker0", clock=ManualClock(START))

    def write(thread: int) -> None:
        for number in range(500):
            log.event("tested", thread=thread, number=number)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = lines(tmp_path)
    assert [line["n"] for line in found] == list(range(2000))
    for thread in range(4):
        assert [line["number"] for line in found if line["thread"] == thread] == list(range(500))


def test_an_event_is_written_without_a_close(tmp_path: Path) -> None:
    """The writer does not wait for more events to come."""
    log = MailLog(tmp_path, "worker0", clock=ManualClock(START))
    log.event("tested")
    while not lines(tmp_path):
        pass
    assert lines(tmp_path) == [{"at": "2026-11-24T09:00:00.000000Z", "n": 0, "event": "tested"}]
    log.close()


@pytest.mark.parametrize("name", ["password", "secret", "authorization", "initial_response", "credential", "token", "argon2"])
def test_a_field_that_names_a_secret_is_hidden(name: str) -> None:
    """Whatever a careless caller passes, also inside a mapping."""
    line = encode(0, 0, "tested", {name: "mật-khẩu", "inner": {name: "mật-khẩu"}}).decode()
    assert "mật-khẩu" not in line
    assert line.count(HIDDEN) == 2


@given(st.integers(0, 1 << 52), st.dictionaries(st.sampled_from(["mailbox", "secret", "at", "n", 'x"\n', "ế"]), VALUES))
def test_the_short_way_writes_what_the_long_way_says(at_us: int, fields: dict[str, object]) -> None:
    """A line is the JSON of the event's own fields and of the `plain` form of all others, whichever way it was made."""
    record = {"at": stamp(at_us), "n": 7, "event": "tested"}
    record |= {key: plain(key, value) for key, value in fields.items() if key not in OWN_FIELDS}
    expected = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"
    assert encode(at_us, 7, "tested", fields) == expected


def test_a_field_that_cannot_be_written_costs_neither_event_nor_log(tmp_path: Path) -> None:
    """A list that holds itself and a number beyond all bounds are left out; the event is told, and those after it too."""
    endless: list[object] = []
    endless.append(endless)
    stream = io.StringIO()
    log = MailLog(tmp_path, "worker0", clock=ManualClock(START), tee=Tee(stream, "worker0", colour=False))
    log.event("first", endless=endless)
    log.event("second", number=1 << 20_000)
    log.event("third")
    log.close()
    told = [{key: value for key, value in line.items() if key not in ("at", "n")} for line in lines(tmp_path)]
    assert told == [{"event": "first", "fields": HIDDEN}, {"event": "second", "number": HIDDEN}, {"event": "third"}]
    assert stream.getvalue().count("\n") == 3


def test_an_object_is_never_formatted() -> None:
    """Only plain values are shown: the repr of a credential, an exception or a request may hold anything."""

    class Holder:
        def __repr__(self) -> str:
            return "password=hunter2"

        __str__ = __repr__

    line = encode(0, 0, "tested", {"value": Holder(), "list": [Holder(), b"\xff\x00ok"], "error": ValueError("hunter2")})
    assert b"hunter2" not in line
    assert json.loads(line)["list"] == [HIDDEN, "\udcff\x00ok"]


@pytest.mark.clause("16.3")
def test_an_event_is_one_line_whatever_is_in_it() -> None:
    """Line ends and terminal controls from the network cannot make lines of their own."""
    line = encode(0, 0, "tested", {"helo": 'a\r\nb\x1b[2J\u2028"\x00', "at": "forged", "long": "x" * 100_000})
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert len(line) < 5_000
    assert json.loads(line)["at"] == "1970-01-01T00:00:00.000000Z"


def test_a_new_day_and_a_full_segment_begin_a_new_file(tmp_path: Path) -> None:
    """Segments are named by UTC day, process and number."""
    clock = ManualClock(START)
    log = MailLog(tmp_path, "worker0", clock=clock, segment_octets=200, threaded=False)
    log.event("first", text="x" * 200)
    log.event("second")
    clock.move_to(datetime(2026, 11, 25, tzinfo=UTC))
    log.event("third")
    log.close()
    pid = os.getpid()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"2026-11-24.worker0.{pid}.1.jsonl",
        f"2026-11-24.worker0.{pid}.2.jsonl",
        f"2026-11-25.worker0.{pid}.3.jsonl",
    ]
    assert [line["n"] for line in lines(tmp_path)] == [0, 0, 0]


def test_two_logs_of_one_process_never_share_a_segment(tmp_path: Path) -> None:
    """Nor does a process whose number another had that day: lines are counted from 0 in each file."""
    first = MailLog(tmp_path, "worker0", clock=ManualClock(START), threaded=False)
    second = MailLog(tmp_path, "worker0", clock=ManualClock(START), threaded=False)
    for number in range(2):
        first.event("of_the_first", number=number)
        second.event("of_the_second", number=number)
    first.close()
    second.close()
    assert [(line["n"], line["event"]) for line in lines(tmp_path)] == [
        (0, "of_the_first"),
        (1, "of_the_first"),
        (0, "of_the_second"),
        (1, "of_the_second"),
    ]


def test_a_full_disk_loses_nothing_that_fits_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way leaves no half line, and the events are written when there is room again."""
    log = MailLog(tmp_path, "worker0", clock=ManualClock(START), threaded=False)
    log.event("first")
    real = os.write
    full = True

    def write(fd: int, octets: bytes) -> int:
        if not full:
            return real(fd, octets)
        real(fd, bytes(octets[:10]))
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", write)
    log.event("second")
    full = False
    log.event("third")
    log.close()
    assert [(line["n"], line["event"]) for line in lines(tmp_path)] == [(0, "first"), (1, "second"), (2, "third")]


@pytest.mark.parametrize("whole_folder", [False, True])
def test_events_after_a_removal_are_on_disk(tmp_path: Path, whole_folder: bool) -> None:
    """Somebody deletes the segment that is being written, or the folder with it: what happens from then on is in a new one."""
    folder = tmp_path / "log"
    log = MailLog(folder, "worker0", clock=ManualClock(START), threaded=False)
    log.event("first")
    if whole_folder:
        shutil.rmtree(folder)
    else:
        next(folder.iterdir()).unlink()
    log.event("second")
    log.event("third")
    log.close()
    assert [(line["n"], line["event"]) for line in lines(folder)] == [(0, "second"), (1, "third")]


def test_the_tee_shows_one_line_an_event_in_local_time() -> None:
    """For people: the ministry's clock, no controls, nothing that is empty."""
    stream = io.StringIO()
    fields = {
        "mailbox": "dvbe@mic.gov.vn",
        "octets": 12345,
        "x": None,
        "s": "a\nb c",
        "to": ["a@x", "b@x"],
        "doors": {"smtp": 25, "x": "\x1b"},
    }
    Tee(stream, "worker0", colour=False).show([(int(START.timestamp() * 1_000_000), "message_delivered", fields)])
    shown = 'mailbox=dvbe@mic.gov.vn octets=12345 s="a\ufffdb c" to=a@x,b@x doors=smtp:25,x:\ufffd'
    assert stream.getvalue() == f"16:00:00 worker0   message_delivered      {shown}\n"


def test_a_closed_terminal_does_not_end_the_log(tmp_path: Path) -> None:
    """Whoever watched has gone; the file goes on."""
    stream = io.StringIO()
    log = MailLog(tmp_path, "worker0", clock=ManualClock(START), tee=Tee(stream, "worker0"), threaded=False)
    stream.close()
    log.event("first")
    log.event("second")
    log.close()
    assert len(lines(tmp_path)) == 2


def test_an_act_is_on_record_with_everything_that_explains_it(tmp_path: Path) -> None:
    """Who, what, to whom, why, by which document; details without secrets."""
    audit = Audit(tmp_path / "log", clock=ManualClock(START))
    audit.record(
        actor="root", act="suspend", subject="dvbe@mic.gov.vn", reason="vi phạm", document="12/KL", password="x", cause="b"
    )
    assert list(audit.acts()) == [
        {
            "at": "2026-11-24T09:00:00.000000Z",
            "actor": "root",
            "act": "suspend",
            "subject": "dvbe@mic.gov.vn",
            "reason": "vi phạm",
            "document": "12/KL",
            "password": HIDDEN,
            "cause": "b",
            "prev": GENESIS,
        }
    ]


def test_a_line_that_a_crash_cut_off_hurts_no_other(tmp_path: Path) -> None:
    """The next act begins a line of its own."""
    audit = Audit(tmp_path, clock=ManualClock(START))
    audit.record(actor="a", act="first", subject="x")
    [path] = tmp_path.glob("audit-*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"at":"2026')
    audit.record(actor="a", act="second", subject="x")
    assert [act["act"] for act in audit.acts()] == ["first", "second"]


def test_an_act_that_cannot_be_recorded_is_trouble(tmp_path: Path) -> None:
    """What is not on record must not happen."""
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(Trouble):
        Audit(blocked / "log", clock=ManualClock(START)).record(actor="a", act="b", subject="c")
