"""Reg. 4.2: nothing is kept back in silence. Who it is for hears of it, the Centre decides, and what is released comes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mic_mail.quarantine.quarantine import RECORD_SECONDS, QuarantineState, Reason
from regulation.quarantine_server import MESSAGE, START, STRANGER, WHY, House

pytestmark = pytest.mark.clause("4.2", "15.5")


@pytest.fixture
def houses(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(settings: dict[str, Any] | None = None) -> House:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(House(folder, settings))
        return made[-1]

    yield make
    for house in made:
        house.server.stop()


def test_who_it_is_for_hears_of_it_once_a_day(houses: Callable[..., House]) -> None:
    """The first at once, the others of that day together on the next; each mailbox its own; nothing a stranger has worded."""
    house = houses()
    first = house.keep("dvbe", "ttlan", sender='"call 555\\" http://x/"@example.org')
    house.server.housekeep()
    house.server.housekeep()
    later = [house.keep("dvbe") for _ in range(3)]
    house.pass_(hours=3)
    (letter,) = house.letters("dvbe")
    assert first in letter
    assert "khoản 2 Điều 4" in letter
    assert "Reg. 4.2" in letter
    assert not re.search(r"http|555 |offer", letter)
    house.pass_(days=1)
    house.pass_(hours=1)
    _, second = house.letters("dvbe")
    assert all(reference in second for reference in later)
    assert first not in second
    assert len(house.letters("ttlan")) == 1
    assert [event["messages"] for event in house.events("quarantine_told")] == [1, 1, 3]


def test_a_letter_can_be_done_without(houses: Callable[..., House]) -> None:
    """`quarantine.digest = false`."""
    house = houses({"quarantine": {"digest": False}})
    house.keep()
    house.server.housekeep()
    assert house.letters("dvbe") == []


def test_what_is_released_comes_as_it_was(houses: Callable[..., House]) -> None:
    """To each recipient once, into INBOX, unchanged, with the time at which it came; the record says who decided and why."""
    house = houses({"quarantine": {"digest": False}})
    came_us = house.clock.now_us()
    reference, other = house.keep("dvbe", "ttlan"), house.keep("dvbe")
    house.pass_(days=5)
    house.console.done("quarantine", "release", reference, *WHY)
    for _ in range(3):
        house.server.housekeep()
    house.server.call(house.server.running.context.mailflow.settle())
    for name in ("dvbe", "ttlan"):
        assert house.messages(name) == [(came_us, MESSAGE)]
    assert (house.state(reference), house.state(other)) == (QuarantineState.DELIVERED, QuarantineState.HELD)
    row = house.console.json("quarantine", "show", reference)
    assert (row["state"], row["decided_because"], row["symbols"]) == ("delivered", "đã xem", ["GTUBE=15"])
    assert len(house.events("quarantined_message_delivered")) == 1
    assert not list(house.server.config.quarantine_dir.glob(f"{reference}.msg"))


def test_what_cannot_be_read_for_a_while_comes_later(houses: Callable[..., House]) -> None:
    """A disk that fails for a moment loses nothing, keeps nobody else waiting, and does not fill the log."""
    house = houses({"quarantine": {"digest": False}})
    reference, other = house.keep(), house.keep("ttlan")
    path = house.server.config.quarantine_dir / f"{reference}.msg"
    path.rename(path.with_name("away"))
    path.mkdir()  # to be opened, and not to be read
    house.console.done("quarantine", "release", reference, other, *WHY)
    for _ in range(3):
        house.server.housekeep()
    assert (house.state(reference), house.state(other)) == (QuarantineState.RELEASED, QuarantineState.DELIVERED)
    assert [event["trace"] for event in house.events("quarantine_waits")] == [reference]
    path.rmdir()
    path.with_name("away").rename(path)
    house.server.housekeep()
    house.server.call(house.server.running.context.mailflow.settle())
    assert house.state(reference) is QuarantineState.DELIVERED
    assert [octets for _, octets in house.messages("dvbe")] == [MESSAGE]


def test_what_is_dropped_comes_to_nobody(houses: Callable[..., House]) -> None:
    """On record, with its reason; decided it stays decided."""
    house = houses()
    reference = house.keep()
    house.console.done("quarantine", "drop", reference, *WHY)
    house.server.housekeep()
    house.console.refused("quarantine", "release", reference, *WHY)
    assert house.state(reference) is QuarantineState.DROPPED
    assert MESSAGE not in [octets for _, octets in house.messages("dvbe")]
    assert house.console.json("quarantine", "list") == []
    assert [row["state"] for row in house.console.json("quarantine", "list", "--all")] == ["dropped"]


def test_many_at_once(houses: Callable[..., House]) -> None:
    """One that cannot be decided does not keep the others; `--dry-run` decides nothing."""
    house = houses()
    one, two, evil = house.keep(), house.keep(), house.keep(reason=Reason.MALWARE)
    house.console.done("quarantine", "release", one, two, "--dry-run", *WHY)
    assert "2 would be delivered" in house.console.err
    house.console.done("quarantine", "drop", one, two, "--dry-run", *WHY)
    assert {house.state(one), house.state(two)} == {QuarantineState.HELD}
    house.console.refused("quarantine", "release", one, evil, "01NOBODYS", two, *WHY, says="needs a document", code=2)
    assert (house.state(one), house.state(two), house.state(evil)) == (
        QuarantineState.RELEASED,
        QuarantineState.RELEASED,
        QuarantineState.HELD,
    )
    house.console.done("quarantine", "release", evil, "--document", "7/CV", *WHY)
    house.console.refused("quarantine", "release", house.keep(), "--reason", " ", code=2)


def test_lists(houses: Callable[..., House]) -> None:
    """By recipient, sender and reason; what a message says stands nowhere (Reg. 4.3)."""
    house = houses()
    one, two = house.keep("dvbe"), house.keep("ttlan", reason=Reason.MALWARE, sender="evil@example.net")
    for words, found in (
        ((), [one, two]),
        (("--recipient", "TTLAN@mic.gov.vn"), [two]),
        (("--sender", "EVIL@example.net"), [two]),
        (("--because", "spam"), [one]),
    ):
        assert [row["id"] for row in house.console.json("quarantine", "list", *words)] == found
    house.console.run("quarantine", "show", one)
    assert "buy" not in house.console.out
    house.console.refused("quarantine", "show", "01NOBODYS", code=2)


def test_time_runs_out(houses: Callable[..., House]) -> None:
    """After `quarantine.keep` it is gone, and the log says so; later the record goes too."""
    house = houses({"quarantine": {"digest": False}})
    reference = house.keep()
    house.pass_(days=29, hours=23)
    assert house.state(reference) is QuarantineState.HELD
    house.pass_(hours=2)
    assert house.state(reference) is QuarantineState.EXPIRED
    assert not list(house.server.config.quarantine_dir.glob("*.msg"))
    (told,) = house.events("quarantined_message_expired")
    assert (told["trace"], told["sender"], told["clause"]) == (reference, STRANGER, "4.2")
    house.pass_(seconds=RECORD_SECONDS)
    assert list(house.quarantine.records()) == []


def test_a_false_time_that_is_believed_ends_nothing(houses: Callable[..., House]) -> None:
    """A clock that is ahead for more than an hour is believed, and what it says is over is kept until it is trusted."""
    house = houses({"quarantine": {"digest": False}})
    house.server.housekeep()
    kept, dropped = house.keep(), house.keep()
    house.console.done("quarantine", "drop", dropped, *WHY)
    house.clock.set_to(START + timedelta(days=30, minutes=1))
    house.server.call(house.server.running.context.clock_watcher.check())
    house.pass_(hours=2)
    assert house.clock.is_settled()
    house.clock.set_to(house.clock.now() + RECORD_SECONDS * timedelta(seconds=1))
    house.clock.accept_time(house.clock.now())
    house.server.housekeep()
    assert house.state(kept) is QuarantineState.HELD
    assert len(list(house.quarantine.records())) == 2
    house.clock.set_to(START + timedelta(hours=2))
    house.clock.accept_time(house.clock.now())
    house.pass_(days=30)
    assert house.state(kept) is QuarantineState.EXPIRED


def test_a_message_that_is_not_what_it_was(houses: Callable[..., House]) -> None:
    """Somebody has changed the file: it is not delivered, and the log says why."""
    house = houses({"quarantine": {"digest": False}})
    reference = house.keep()
    (path,) = house.server.config.quarantine_dir.glob("*.msg")
    path.write_bytes(MESSAGE + b"more")
    house.console.done("quarantine", "release", reference, *WHY)
    house.server.housekeep()
    assert house.messages("dvbe") == []
    assert [event["trace"] for event in house.events("quarantined_message_damaged")] == [reference]


def test_a_mailbox_that_is_gone_is_told_nothing(houses: Callable[..., House]) -> None:
    """Its letters are nobody's; the others get theirs."""
    house = houses()
    reference = house.keep("dvbe")
    record = house.quarantine.record(reference)
    house.quarantine.forget(record)
    house.quarantine.keep(replace(record, mailboxes=(10**6, *record.mailboxes)), MESSAGE, room_octets=1 << 30)
    house.server.housekeep()
    house.pass_(days=1)
    assert len(house.letters("dvbe")) == 1
