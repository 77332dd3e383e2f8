"""Killed at any touch of the disk, a message in quarantine is neither lost nor delivered twice (Reg. 4.2)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from addresses import parsed
from faults.test_held_message_kills import each_kill
from mic_mail.clock import SystemClock
from mic_mail.errors import MicMailError, Refused
from mic_mail.quarantine.message_store import OfficerDecision, StoreFull
from mic_mail.quarantine.quarantine import Quarantine, QuarantineRecord, QuarantineState, Reason
from mic_mail.queue.spool import Spool, SpoolEnvelope, SpoolTarget

ID = "01KILLED"
MESSAGE = b"Return-Path: <a@example.org>\r\nSubject: a\r\n\r\nmessage\r\n" * 1000
CAME_US = SystemClock().now_us()
RELEASED_US = CAME_US + 7
ROOM = 1 << 30
WORD = OfficerDecision("an", "nhầm", RELEASED_US)


def record(held_id: str = ID) -> QuarantineRecord:
    slip = SpoolEnvelope(
        trace_id=held_id,
        sender=parsed("a@example.org"),
        targets=(SpoolTarget(1, parsed("ttlan@mic.gov.vn")),),
        accepted_at_us=CAME_US,
    )
    return QuarantineRecord(
        held_id, QuarantineState.HELD, Reason.SPAM, CAME_US, CAME_US + 10**12, "a@example.org", ("ttlan@mic.gov.vn",), (1,),
        "192.0.2.1", "reject 20.0/15.0", ("GTUBE=15.0",), "a\ud800", slip=slip.encode().decode(),
    )  # fmt: skip


def at(place: Path) -> Quarantine:
    return Quarantine(place / "quarantine")


def keep(place: Path) -> QuarantineRecord:
    return at(place).keep(record(), MESSAGE, room_octets=ROOM)


def deliver(place: Path) -> None:
    """What the housekeeper does about a released one, without its notices."""
    quarantine, spool = at(place), Spool(place / "spool")
    try:
        found = quarantine.record(ID)
        if found.state is QuarantineState.RELEASED:
            assert quarantine.hand_over(found, spool, RELEASED_US)
            quarantine.settled(found)
        quarantine.sweep(CAME_US / 1e6 + 10**6)
    finally:
        spool.close()


def test_keep(tmp_path: Path) -> None:
    """A record always has its message, whole; without a record the sender has heard no promise, and halves are swept."""

    def after(place: Path) -> None:
        for found in at(place).records():
            path = at(place).message(found)
            assert path is not None
            assert path.read_bytes() == MESSAGE
        at(place).sweep(CAME_US / 1e6 + 10**6)
        if (place / "quarantine").exists():
            left = {path.name for path in (place / "quarantine").iterdir()} - {"lock"}
            assert left in (set(), {f"{ID}.msg", f"{ID}.json"})

    assert each_kill(tmp_path, lambda place: None, keep, after) > 5


def test_release(tmp_path: Path) -> None:
    """After a kill anywhere between the decision and its end one more round leaves one entry, whole, and nothing kept."""

    def prepare(place: Path) -> None:
        keep(place)
        at(place).release(ID, WORD)

    def after(place: Path) -> None:
        spool = Spool(place / "spool")
        for entry in spool.recover():  # the duty of the spool comes by, too, and sweeps what nobody owns
            entry.release()
        spool.close()
        deliver(place)
        deliver(place)
        spool = Spool(place / "spool")
        [entry] = spool.recover()
        assert entry.path.read_bytes() == MESSAGE
        assert [str(target.address) for target in entry.open_targets] == ["ttlan@mic.gov.vn"]
        assert (entry.envelope.accepted_at_us, entry.envelope.arrived_at_us) == (RELEASED_US, CAME_US)
        entry.release()
        spool.close()
        assert at(place).record(ID).state is QuarantineState.DELIVERED
        assert not (place / "quarantine" / f"{ID}.msg").exists()

    assert each_kill(tmp_path, prepare, deliver, after) > 8


@pytest.mark.parametrize(
    ("decide", "state"),
    [
        (lambda quarantine: quarantine.release(ID, WORD), QuarantineState.RELEASED),
        (lambda quarantine: quarantine.drop(ID, WORD), QuarantineState.DROPPED),
        (lambda quarantine: quarantine.expire(ID), QuarantineState.EXPIRED),
    ],
)
def test_decisions(tmp_path: Path, decide: Callable[[Quarantine], object], state: QuarantineState) -> None:
    """A decision is made or not made; the message is there as long as somebody may still get it, and is swept after."""

    def after(place: Path) -> None:
        found = at(place).record(ID)
        assert found.state in {QuarantineState.HELD, state}
        if found.state in {QuarantineState.HELD, QuarantineState.RELEASED}:
            assert at(place).message(found) is not None
        else:
            at(place).sweep(CAME_US / 1e6 + 10**6)
            assert not (place / "quarantine" / f"{ID}.msg").exists()

    assert each_kill(tmp_path, keep, lambda place: decide(at(place)), after) > 2


def test_what_is_decided_stays_decided(tmp_path: Path) -> None:
    """Two people at once: one of them has decided, the other hears so; nor does the clock undo it."""
    keep(tmp_path)
    at(tmp_path).release(ID, WORD)
    for again in (lambda: at(tmp_path).drop(ID, WORD), lambda: at(tmp_path).release(ID, WORD), lambda: at(tmp_path).expire(ID)):
        with pytest.raises(Refused):
            again()
    assert at(tmp_path).record(ID).state is QuarantineState.RELEASED


@pytest.mark.parametrize(
    "end",
    [
        lambda quarantine: quarantine.drop(ID, WORD),
        lambda quarantine: quarantine.expire(ID),
        lambda quarantine: quarantine.settled(quarantine.release(ID, WORD)),
        lambda quarantine: quarantine.lost(quarantine.release(ID, WORD)),
    ],
)
def test_the_message_goes_with_the_decision(tmp_path: Path, end: Callable[[Quarantine], object]) -> None:
    """Nobody waits for the sweep: what nobody gets any more is not there any more."""
    kept = keep(tmp_path)
    assert at(tmp_path).path(kept).exists()
    end(at(tmp_path))
    assert not at(tmp_path).path(kept).exists()
    assert at(tmp_path).record(ID).held_id == ID


def test_damaged(tmp_path: Path) -> None:
    """What is not what came is not delivered; what no version of ours has written is left to people."""
    kept = keep(tmp_path)
    (tmp_path / "quarantine" / f"{ID}.msg").write_bytes(MESSAGE + b"x")
    assert at(tmp_path).message(kept) is None
    spool = Spool(tmp_path / "spool")
    assert not at(tmp_path).hand_over(kept, spool, RELEASED_US)
    spool.close()
    (tmp_path / "quarantine" / "other.json").write_text("{}")
    assert [one.held_id for one in at(tmp_path).records()] == [ID]
    for wrong in ("../etc/passwd", "other", "x", "", "a" * 65):
        with pytest.raises(MicMailError):
            at(tmp_path).record(wrong)


def test_what_cannot_be_read_now_is_not_lost(tmp_path: Path) -> None:
    """A disk that fails for a moment, or too many open files, are no reason to remove what somebody has released."""
    keep(tmp_path)
    released = at(tmp_path).release(ID, WORD)
    path = tmp_path / "quarantine" / f"{ID}.msg"
    path.rename(tmp_path / "away")
    path.mkdir()  # to be opened, and not to be read
    spool = Spool(tmp_path / "spool")
    with pytest.raises(OSError, match="directory"):
        at(tmp_path).hand_over(released, spool, RELEASED_US)
    path.rmdir()
    (tmp_path / "away").rename(path)
    assert at(tmp_path).record(ID).state is QuarantineState.RELEASED
    assert at(tmp_path).hand_over(released, spool, RELEASED_US)
    spool.close()


def test_room(tmp_path: Path) -> None:
    at(tmp_path).keep(record(), MESSAGE, room_octets=len(MESSAGE))
    with pytest.raises(StoreFull):
        at(tmp_path).keep(record("01SECOND"), b"x", room_octets=len(MESSAGE))


def test_told(tmp_path: Path) -> None:
    """Each mailbox is told of a message once; a decision in between is not undone by that."""
    keep(tmp_path)
    at(tmp_path).drop(ID, WORD)
    at(tmp_path).mark_notified(ID, 7, RELEASED_US)
    at(tmp_path).mark_notified(ID, 7, RELEASED_US + 5)
    found = at(tmp_path).record(ID)
    assert (found.told, found.told_at_us, found.state) == ((7,), RELEASED_US, QuarantineState.DROPPED)
    at(tmp_path).mark_notified("01GONE", 7, RELEASED_US)
