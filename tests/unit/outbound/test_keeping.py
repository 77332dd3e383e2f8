"""Records of what is kept back: which of them are read again."""

from pathlib import Path

from mic_mail.outbound.held import Word
from mic_mail.outbound.quarantine import Quarantine, Reason, Record, State


def record(number: int) -> Record:
    return Record(
        f"ID{number:04}", State.HELD, Reason.SPAM, number, 10**15, "a@x.example", ("b@mic.gov.vn",), (1,), "192.0.2.1", ""
    )


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    """Somebody looks at all of them every few seconds; a change that another process makes is seen all the same."""
    mine, another = Quarantine(tmp_path), Quarantine(tmp_path)
    for number in range(3):
        another.keep(record(number), b"x", room_octets=100)
    first = list(mine.records())
    assert [one.held_id for one in first] == ["ID0000", "ID0001", "ID0002"]
    another.release("ID0001", Word("an", "x", 7))
    another.forget(first[2])
    (tmp_path / "half.json").write_text("{")
    again = list(mine.records())
    assert [one.state for one in again] == [State.HELD, State.RELEASED]
    assert again[0] is first[0]
    assert list(Quarantine(tmp_path / "none").records()) == []
