"""What people say of messages waits on the disk until it is trained: bounded, once for each message, the last word alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mic_mail.filters import training_queue
from mic_mail.filters.training_queue import TrainingQueue, key_of


def message(folder: Path, name: str, octets: bytes = b"Subject: x\r\n\r\n") -> Path:
    path = folder / name
    path.write_bytes(octets)
    return path


@pytest.fixture
def kept(tmp_path: Path) -> TrainingQueue:
    return TrainingQueue(tmp_path / "lessons")


def test_a_message_is_taught_also_when_it_is_gone(kept: TrainingQueue, tmp_path: Path) -> None:
    """It has a second name from the moment at which it was moved."""
    path = message(tmp_path, "1.M1P1Q1.host,S=14,U=1:2,S", b"octets")
    assert kept.note(7, [path], spam=True, now_us=5) == 1
    path.unlink()
    [sample] = kept.waiting()
    assert (sample.mailbox_id, sample.spam, sample.at_us, sample.path.read_bytes()) == (7, True, 5, b"octets")
    kept.forget(sample)
    kept.forget(sample)
    assert kept.waiting() == []


def test_the_last_word_counts(kept: TrainingQueue, tmp_path: Path) -> None:
    """Said twice it is trained once; taken back, only the other is; other mailboxes have a word of their own."""
    path = message(tmp_path, "1.M1P1Q1.host,S=14,U=1:2,")
    assert kept.note(7, [path], spam=True, now_us=5) == 1
    renamed = path.rename(tmp_path / "1.M1P1Q1.host,S=14,U=9:2,S")
    assert kept.note(7, [renamed], spam=True, now_us=6) == 0
    assert kept.note(8, [renamed], spam=True, now_us=7) == 1
    assert kept.note(7, [renamed], spam=False, now_us=8) == 1
    assert [(sample.mailbox_id, sample.spam) for sample in kept.waiting()] == [(8, True), (7, False)]


def test_what_is_gone_is_passed_over(kept: TrainingQueue, tmp_path: Path) -> None:
    one = message(tmp_path, "2.x")
    assert kept.note(7, [tmp_path / "1.gone", one], spam=False, now_us=5) == 1


def test_what_is_no_file_is_copied(kept: TrainingQueue) -> None:
    """It is known again by its name; one that has gone while it was read leaves nothing."""

    def gone() -> Iterator[bytes]:
        yield b"half"
        raise FileNotFoundError

    messages = [("M1", lambda: iter([b"Subject: ", b"x"])), ("M2", gone)]
    assert kept.note_copies(7, messages, spam=True, now_us=5) == 1
    assert kept.note_copies(7, messages, spam=True, now_us=6) == 0
    assert [sample.path.read_bytes() for sample in kept.waiting()] == [b"Subject: x"]
    assert len(list(kept.waiting()[0].path.parent.iterdir())) == 1


def test_no_more_than_so_many_wait(kept: TrainingQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody fills the disk by moving mail about."""
    monkeypatch.setattr(training_queue, "MOST", 5)
    paths = [message(tmp_path, f"{number}.x") for number in range(20)]
    assert kept.note(7, paths[:3], spam=True, now_us=5) == 3
    assert kept.note(7, paths, spam=True, now_us=50) == 2
    assert len(kept.waiting()) == 5


def test_nobody_keeps_others_from_saying_something(
    kept: TrainingQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_queue, "MOST_OF_ONE", 5)
    paths = [message(tmp_path, f"{number}.x") for number in range(20)]
    assert kept.note(7, paths, spam=True, now_us=5) == 5
    assert kept.note(7, paths[10:], spam=True, now_us=50) == 0
    assert kept.note(8, paths, spam=False, now_us=500) == 5


def test_names_that_are_nobodys_are_left_alone(kept: TrainingQueue, tmp_path: Path) -> None:
    assert kept.waiting() == []
    kept.note(7, [message(tmp_path, "1.x")], spam=True, now_us=5)
    for name in ("x", "1.2.spam", "1.2.zz.ham", f"1.-2.{'0' * 24}.ham", f"1.2.{'0' * 24}.spam~"):
        (tmp_path / "lessons" / name).write_bytes(b"")
    assert len(kept.waiting()) == 1
    kept.sweep(0)
    assert len(os.listdir(tmp_path / "lessons")) == 6
    kept.sweep(1e12)
    assert len(os.listdir(tmp_path / "lessons")) == 5


def test_where_nothing_can_be_linked_it_is_copied(kept: TrainingQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mailboxes may lie on another file system."""

    def no_link(*names: object) -> None:
        raise OSError(18, "another device")

    monkeypatch.setattr(os, "link", no_link)
    assert kept.note(7, [message(tmp_path, "1.x", b"octets" * 1000)], spam=True, now_us=5) == 1
    [sample] = kept.waiting()
    assert sample.path.read_bytes() == b"octets" * 1000
    assert sample.path.stat().st_mode & 0o777 == 0o600


def test_a_message_is_known_by_what_never_changes_of_its_name() -> None:
    assert key_of("1.M1P1Q1.host,S=14,U=1:2,S") == key_of("1.M1P1Q1.host:2,") == key_of("1.M1P1Q1.host")
    assert key_of("1.M1P1Q1.host") != key_of("1.M1P1Q2.host")
