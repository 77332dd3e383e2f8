"""Killed anywhere, a held message is neither lost nor sent twice (Reg. 4.1, 4.2): at every call that touches the disk, once."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from addresses import parsed
from mic_mail.clock import SystemClock
from mic_mail.errors import MicMailError
from mic_mail.quarantine.held_messages import Held, HeldRecord, HeldState
from mic_mail.quarantine.message_store import OfficerDecision, StoreFull
from mic_mail.queue.spool import Spool, SpoolEnvelope, SpoolTarget

ID = "01KILLED"
MESSAGE = b"Return-Path: <dvbe@mic.gov.vn>\r\nSubject: a\r\n\r\nmessage\r\n" * 1000
TOUCHES = frozenset({"open", "os.rename", "os.remove", "os.mkdir"})
NOW_US = SystemClock().now_us()
RELEASED_US = NOW_US + 7
ROOM = 1 << 30


def record() -> HeldRecord:
    slip = SpoolEnvelope(
        trace_id=ID,
        sender=parsed("dvbe@mic.gov.vn"),
        targets=(SpoolTarget(1, parsed("ttlan@mic.gov.vn")),),
        accepted_at_us=NOW_US,
    )
    return HeldRecord(
        ID, HeldState.HELD, NOW_US, NOW_US + 10**12, "dvbe@mic.gov.vn", "dvbe@mic.gov.vn", ("ttlan@mic.gov.vn",), 0, "",
        "secret", ("stamp/docx",), slip=slip.encode().decode(),
    )  # fmt: skip


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that dies at its so-manieth touch of the disk; False if it came to its end before."""
    pid = os.fork()
    if pid == 0:
        touches = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal touches
            if event in TOUCHES:
                touches += 1
                if touches == step:
                    os._exit(9)

        sys.addaudithook(hook)
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9), code
    return code == 9


def each_kill(
    folder: Path, prepare: Callable[[Path], object], work: Callable[[Path], object], after: Callable[[Path], None]
) -> int:
    """Kill the work at each step on a fresh folder, then see what `after` finds."""
    for step in range(1, 100):
        place = folder / str(step)
        place.mkdir()
        prepare(place)
        was_killed = killed_at(step, lambda place=place: work(place))
        after(place)
        shutil.rmtree(place)
        if not was_killed:
            return step - 1
    raise AssertionError("it never ends")


def submit(place: Path) -> None:
    """What the housekeeper does about a released one, without its notices."""
    held, spool = Held(place / "held"), Spool(place / "spool")
    try:
        found = held.record(ID)
        if found.state is HeldState.RELEASED:
            assert held.hand_over(found, spool)
            held.settled(found)
        held.sweep(NOW_US / 1e6 + 10**6)
    finally:
        spool.close()


def released(place: Path) -> None:
    held = Held(place / "held")
    held.keep(record(), MESSAGE, room_octets=ROOM)
    held.ask(ID, OfficerDecision("an", "nhầm", NOW_US))
    held.release(ID, OfficerDecision("binh", "đúng", RELEASED_US))


def test_keep(tmp_path: Path) -> None:
    """A record always has its message, whole; halves go with the sweep."""

    def after(place: Path) -> None:
        held = Held(place / "held")
        for found in held.records():
            path = held.message(found)
            assert path is not None
            assert path.read_bytes() == MESSAGE
        if (place / "held").exists():
            names = {path.name for path in (place / "held").iterdir()}
            held.sweep(NOW_US / 1e6 + 10**6)
            left = {path.name for path in (place / "held").iterdir()} - {"lock"}
            assert left in (set(), {f"{ID}.msg", f"{ID}.json"}), names

    assert (
        each_kill(
            tmp_path, lambda place: None, lambda place: Held(place / "held").keep(record(), MESSAGE, room_octets=ROOM), after
        )
        > 5
    )


def test_release(tmp_path: Path) -> None:
    """After a kill anywhere between the decision and its end, one more round leaves one entry, whole, and no held message."""

    def after(place: Path) -> None:
        spool = Spool(place / "spool")
        for entry in spool.recover():  # the duty of the spool comes by, too, and sweeps what nobody owns
            entry.release()
        spool.close()
        submit(place)
        submit(place)
        spool = Spool(place / "spool")
        [entry] = spool.recover()
        assert entry.path.read_bytes() == MESSAGE
        assert [str(target.address) for target in entry.open_targets] == ["ttlan@mic.gov.vn"]
        assert entry.envelope.accepted_at_us == RELEASED_US, "what is given up when counts from then"
        entry.release()
        spool.close()
        assert Held(place / "held").record(ID).state is HeldState.SUBMITTED
        assert not (place / "held" / f"{ID}.msg").exists()

    assert each_kill(tmp_path, released, submit, after) > 8


def test_decisions(tmp_path: Path) -> None:
    """A decision is made or not made; the record is never half."""

    def after(place: Path) -> None:
        assert Held(place / "held").record(ID).state in (HeldState.HELD, HeldState.ASKED)

    def prepare(place: Path) -> None:
        Held(place / "held").keep(record(), MESSAGE, room_octets=ROOM)

    assert (
        each_kill(tmp_path, prepare, lambda place: Held(place / "held").ask(ID, OfficerDecision("an", "nhầm", NOW_US)), after)
        > 2
    )


def test_damaged(tmp_path: Path) -> None:
    """What is not what was refused is not sent; what no version of ours has written is left to people."""
    held = Held(tmp_path)
    kept = held.keep(record(), MESSAGE, room_octets=ROOM)
    (tmp_path / f"{ID}.msg").write_bytes(MESSAGE + b"x")
    assert held.message(kept) is None
    (tmp_path / "other.json").write_text("{}")
    assert [one.held_id for one in held.records()] == [ID]
    for wrong in ("../etc/passwd", "other", "x", ""):
        with pytest.raises(MicMailError):
            held.record(wrong)


def test_room(tmp_path: Path) -> None:
    """No more than there is room for."""
    held = Held(tmp_path)
    held.keep(record(), MESSAGE, room_octets=len(MESSAGE))
    with pytest.raises(StoreFull):
        held.keep(record(), b"x", room_octets=len(MESSAGE))


def test_two_at_once(tmp_path: Path) -> None:
    """Two people decide in the same moment: one of them has, the other hears so."""
    held = Held(tmp_path)
    held.keep(record(), MESSAGE, room_octets=ROOM)
    held.ask(ID, OfficerDecision("an", "nhầm", NOW_US))
    held.discard(ID, OfficerDecision("chi", "đúng là mật", NOW_US))
    with pytest.raises(MicMailError):
        held.release(ID, OfficerDecision("binh", "nhầm", NOW_US))
    assert not held.path(held.record(ID)).exists(), "a secret that nobody wants stays no longer than it must"
