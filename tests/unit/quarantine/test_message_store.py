"""Records of what is kept back: which of them are read again."""

from pathlib import Path

import pytest

from mic_mail.quarantine import message_store
from mic_mail.quarantine.held_messages import OfficerDecision
from mic_mail.quarantine.message_store import StoreFull
from mic_mail.quarantine.quarantine import Quarantine, QuarantineRecord, QuarantineState, Reason


def record(number: int) -> QuarantineRecord:
    return QuarantineRecord(
        f"ID{number:04}",
        QuarantineState.HELD,
        Reason.SPAM,
        number,
        10**15,
        "a@x.example",
        ("b@mic.gov.vn",),
        (1,),
        "192.0.2.1",
        "",
    )


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    """Somebody looks at all of them every few seconds; a change that another process makes is seen all the same."""
    mine, another = Quarantine(tmp_path), Quarantine(tmp_path)
    for number in range(3):
        another.keep(record(number), b"x", room_octets=100)
    first = list(mine.records())
    assert [one.held_id for one in first] == ["ID0000", "ID0001", "ID0002"]
    another.release("ID0001", OfficerDecision("an", "x", 7))
    another.forget(first[2])
    (tmp_path / "half.json").write_text("{")
    again = list(mine.records())
    assert [one.state for one in again] == [QuarantineState.HELD, QuarantineState.RELEASED]
    assert again[0] is first[0]
    assert list(Quarantine(tmp_path / "none").records()) == []


def test_small_ones_are_not_without_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who sends a million messages of some words has a million files made, and looked through every few seconds."""
    monkeypatch.setattr(message_store, "ALWAYS_KEPT", 2)
    quarantine = Quarantine(tmp_path)
    for number in range(2):
        quarantine.keep(record(number), b"x", room_octets=100)
    with pytest.raises(StoreFull):
        quarantine.keep(record(2), b"x", room_octets=100)
    quarantine.keep(record(2), b"x", room_octets=3 * message_store.SMALLEST_OCTETS)
    with pytest.raises(StoreFull):
        quarantine.keep(record(3), b"x", room_octets=3 * message_store.SMALLEST_OCTETS)
