"""Killed at any touch of the disk, a refused message that waits for a decision is neither lost nor sent twice (Reg. 4.1, 4.2).

Two stores hold such messages: `HeldMessages` those with a marking of secrecy, which two people release, and `Quarantine` those
that a check put aside. What holds for both is a test over `STORES`.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from addresses import parsed
from kills import killed_at_touch
from mic_mail.clock import SystemClock
from mic_mail.errors import MicMailError, Refused
from mic_mail.quarantine.held_messages import HeldMessages, HeldRecord, HeldState
from mic_mail.quarantine.message_store import OfficerDecision, StoreFull
from mic_mail.quarantine.quarantine import Quarantine, QuarantineRecord, QuarantineState, Reason
from mic_mail.queue.local_spool import LocalSpool
from mic_mail.queue.spool import SpoolEnvelope, SpoolTarget

ID = "01KILLED"
MESSAGE = b"Return-Path: <a@example.org>\r\nSubject: a\r\n\r\nmessage\r\n" * 1000
CAME_US = SystemClock().now_us()
RELEASED_US = CAME_US + 7
EXPIRES_US = CAME_US + 10**12
LATER_SECONDS = CAME_US / 1e6 + 10**6
"""When leftovers of a kill are old enough to be swept."""
ROOM = 1 << 30
ASKED = OfficerDecision("an", "nhầm", CAME_US)
DECIDED = OfficerDecision("binh", "đúng", RELEASED_US)


def slip(held_id: str, sender: str) -> str:
    targets = (SpoolTarget(1, parsed("ttlan@mic.gov.vn")),)
    envelope = SpoolEnvelope(trace_id=held_id, sender=parsed(sender), targets=targets, accepted_at_us=CAME_US)
    return envelope.encode().decode()


def held_record(held_id: str = ID) -> HeldRecord:
    sender = "dvbe@mic.gov.vn"
    return HeldRecord(
        held_id, HeldState.HELD, CAME_US, EXPIRES_US, sender, sender, ("ttlan@mic.gov.vn",), 0, "", "secret", ("stamp/docx",),
        slip=slip(held_id, sender),
    )  # fmt: skip


def quarantine_record(held_id: str = ID) -> QuarantineRecord:
    sender = "a@example.org"
    return QuarantineRecord(
        held_id, QuarantineState.HELD, Reason.SPAM, CAME_US, EXPIRES_US, sender, ("ttlan@mic.gov.vn",), (1,), "192.0.2.1",
        "reject 20.0/15.0", ("GTUBE=15.0",), "a\ud800", slip=slip(held_id, sender),
    )  # fmt: skip


@dataclass(frozen=True)
class Store:
    """One of the two stores, as the tests use it."""

    folder: str
    at: Callable[[Path], Any]
    record: Callable[..., Any]
    release: Callable[[Any], object]
    hand_over: Callable[[Any, Any, LocalSpool], bool]
    released: Any
    sent: Any
    """The state of a message that was handed over."""
    arrived_us: int
    """The arrival that the spool is told of, beside the release: 0, none."""

    def keep(self, place: Path) -> Any:
        return self.at(place).keep(self.record(), MESSAGE, room_octets=ROOM)

    def keep_and_release(self, place: Path) -> None:
        self.keep(place)
        self.release(self.at(place))

    def carry_out(self, place: Path) -> None:
        """Do what the housekeeper does about a released message, without its notices."""
        store, spool = self.at(place), LocalSpool(place / "spool")
        try:
            found = store.record(ID)
            if found.state is self.released:
                assert self.hand_over(store, found, spool)
                store.settled(found)
            store.sweep(LATER_SECONDS)
        finally:
            spool.close()


def release_held(held: HeldMessages) -> None:
    held.ask(ID, ASKED)
    held.release(ID, DECIDED)


STORES = {
    "held": Store(
        "held", lambda place: HeldMessages(place / "held"), held_record, release_held,
        lambda held, found, spool: held.hand_over(found, spool),
        HeldState.RELEASED, HeldState.SUBMITTED, 0,
    ),
    "quarantine": Store(
        "quarantine", lambda place: Quarantine(place / "quarantine"), quarantine_record,
        lambda quarantine: quarantine.release(ID, DECIDED),
        lambda quarantine, found, spool: quarantine.hand_over(found, spool, RELEASED_US),
        QuarantineState.RELEASED, QuarantineState.DELIVERED, CAME_US,
    ),
}  # fmt: skip
HELD, QUARANTINE = STORES.values()
each_store = pytest.mark.parametrize("store", STORES.values(), ids=STORES)


def each_kill(
    folder: Path, prepare: Callable[[Path], object], work: Callable[[Path], object], after: Callable[[Path], None]
) -> int:
    """Kill the work at each touch of the disk, on a fresh folder, and check with `after`; how many touches there are."""
    for step in range(1, 100):
        place = folder / str(step)
        place.mkdir()
        prepare(place)
        was_killed = killed_at_touch(step, lambda place=place: work(place))
        after(place)
        shutil.rmtree(place)
        if not was_killed:
            return step - 1
    raise AssertionError("it never ends")


@each_store
def test_keep(tmp_path: Path, store: Store) -> None:
    """A record always has its message, whole; without a record nothing was promised, and halves are swept."""

    def after(place: Path) -> None:
        for found in store.at(place).records():
            with store.at(place).message(found) as path:
                assert path is not None
                assert path.read_bytes() == MESSAGE
        store.at(place).sweep(LATER_SECONDS)
        if (place / store.folder).exists():
            left = {path.name for path in (place / store.folder).iterdir()} - {"lock"}
            assert left in (set(), {f"{ID}.msg", f"{ID}.json"})

    assert each_kill(tmp_path, lambda place: None, store.keep, after) > 5


@pytest.mark.slow
@each_store
def test_release(tmp_path: Path, store: Store) -> None:
    """After a kill anywhere between the decision and its end, one more round leaves one entry, whole, and nothing held."""

    def after(place: Path) -> None:
        spool = LocalSpool(place / "spool")
        for entry in spool.recover():  # the recovery of the spool comes by, too, and sweeps what nobody owns
            entry.release()
        spool.close()
        store.carry_out(place)
        store.carry_out(place)
        spool = LocalSpool(place / "spool")
        [entry] = spool.recover()
        assert entry.path.read_bytes() == MESSAGE
        assert [str(target.address) for target in entry.open_targets] == ["ttlan@mic.gov.vn"]
        # Retries and the final failure count from the release.
        assert (entry.envelope.accepted_at_us, entry.envelope.arrived_at_us) == (RELEASED_US, store.arrived_us)
        entry.release()
        spool.close()
        assert store.at(place).record(ID).state is store.sent
        assert not (place / store.folder / f"{ID}.msg").exists()

    assert each_kill(tmp_path, store.keep_and_release, store.carry_out, after) > 8


@pytest.mark.parametrize(
    ("store", "decide", "states", "with_message"),
    [
        (HELD, lambda held: held.ask(ID, ASKED), {HeldState.HELD, HeldState.ASKED}, True),
        (QUARANTINE, lambda quarantine: quarantine.release(ID, DECIDED), {QuarantineState.RELEASED}, True),
        (QUARANTINE, lambda quarantine: quarantine.drop(ID, DECIDED), {QuarantineState.DROPPED}, False),
        (QUARANTINE, lambda quarantine: quarantine.expire(ID), {QuarantineState.EXPIRED}, False),
    ],
    ids=["held-ask", "quarantine-release", "quarantine-drop", "quarantine-expire"],
)
def test_decisions(
    tmp_path: Path, store: Store, decide: Callable[[Any], object], states: set[Any], *, with_message: bool
) -> None:
    """A decision is made or not made; the message is there as long as somebody may still get it, and is swept after."""

    def after(place: Path) -> None:
        found = store.at(place).record(ID)
        undecided = store.record().state
        assert found.state in {undecided, *states}
        if found.state is undecided or with_message:
            with store.at(place).message(found) as path:
                assert path is not None
        else:
            store.at(place).sweep(LATER_SECONDS)
            assert not (place / store.folder / f"{ID}.msg").exists()

    assert each_kill(tmp_path, store.keep, lambda place: decide(store.at(place)), after) > 2


@each_store
def test_a_damaged_message_is_not_sent(tmp_path: Path, store: Store) -> None:
    """A message is sent only as it was refused; a file that no version of ours has written is left to people."""
    kept = store.keep(tmp_path)
    (tmp_path / store.folder / f"{ID}.msg").write_bytes(MESSAGE + b"x")
    with store.at(tmp_path).message(kept) as path:
        assert path is None
    spool = LocalSpool(tmp_path / "spool")
    assert not store.hand_over(store.at(tmp_path), kept, spool)
    spool.close()
    (tmp_path / store.folder / "other.json").write_text("{}")
    assert [one.held_id for one in store.at(tmp_path).records()] == [ID]
    for wrong in ("../etc/passwd", "other", "x", "", "a" * 65):
        with pytest.raises(MicMailError):
            store.at(tmp_path).record(wrong)


@each_store
def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, store: Store) -> None:
    store.at(tmp_path).keep(store.record(), MESSAGE, room_octets=len(MESSAGE))
    with pytest.raises(StoreFull):
        store.at(tmp_path).keep(store.record("01SECOND"), b"x", room_octets=len(MESSAGE))


def test_of_two_decisions_at_once_on_a_held_message_one_counts(tmp_path: Path) -> None:
    """Two people decide in the same moment: the second is refused, and a discarded secret stays no longer than it must."""
    held = HELD.at(tmp_path)
    HELD.keep(tmp_path)
    held.ask(ID, ASKED)
    held.discard(ID, OfficerDecision("chi", "đúng là mật", CAME_US))
    with pytest.raises(MicMailError):
        held.release(ID, DECIDED)
    assert not (tmp_path / HELD.folder / f"{ID}.msg").exists()


def test_a_decision_on_quarantined_mail_is_final(tmp_path: Path) -> None:
    """Neither a second person nor the clock undoes it."""
    quarantine = QUARANTINE.at(tmp_path)
    QUARANTINE.keep_and_release(tmp_path)
    for again in (
        lambda: quarantine.drop(ID, DECIDED),
        lambda: quarantine.release(ID, DECIDED),
        lambda: quarantine.expire(ID),
    ):
        with pytest.raises(Refused):
            again()
    assert quarantine.record(ID).state is QuarantineState.RELEASED


@pytest.mark.parametrize(
    "end",
    [
        lambda quarantine: quarantine.drop(ID, DECIDED),
        lambda quarantine: quarantine.expire(ID),
        lambda quarantine: quarantine.settled(quarantine.release(ID, DECIDED)),
        lambda quarantine: quarantine.lost(quarantine.release(ID, DECIDED)),
    ],
    ids=["dropped", "expired", "delivered", "lost"],
)
def test_the_message_goes_with_the_decision(tmp_path: Path, end: Callable[[Quarantine], object]) -> None:
    """A message that nobody gets any more is removed at once, without the sweep; its record stays."""
    quarantine, kept = QUARANTINE.at(tmp_path), QUARANTINE.keep(tmp_path)
    message = tmp_path / QUARANTINE.folder / f"{kept.held_id}.msg"
    assert message.exists()
    end(quarantine)
    assert not message.exists()
    assert quarantine.record(ID).held_id == ID


def test_what_cannot_be_read_now_is_not_lost(tmp_path: Path) -> None:
    """A disk that fails for a moment, or too many open files, are no reason to remove what somebody has released."""
    quarantine = QUARANTINE.at(tmp_path)
    QUARANTINE.keep(tmp_path)
    released = quarantine.release(ID, DECIDED)
    path = tmp_path / "quarantine" / f"{ID}.msg"
    path.rename(tmp_path / "away")
    path.mkdir()  # to be opened, and not to be read
    spool = LocalSpool(tmp_path / "spool")
    with pytest.raises(OSError, match="directory"):
        quarantine.hand_over(released, spool, RELEASED_US)
    path.rmdir()
    (tmp_path / "away").rename(path)
    assert quarantine.record(ID).state is QuarantineState.RELEASED
    assert quarantine.hand_over(released, spool, RELEASED_US)
    spool.close()


def test_each_mailbox_is_notified_of_a_message_once(tmp_path: Path) -> None:
    """A decision in between is not undone by that."""
    quarantine = QUARANTINE.at(tmp_path)
    QUARANTINE.keep(tmp_path)
    quarantine.drop(ID, DECIDED)
    quarantine.mark_notified(ID, 7, RELEASED_US)
    quarantine.mark_notified(ID, 7, RELEASED_US + 5)
    found = quarantine.record(ID)
    assert (found.told, found.told_at_us, found.state) == ((7,), RELEASED_US, QuarantineState.DROPPED)
    quarantine.mark_notified("01GONE", 7, RELEASED_US)
