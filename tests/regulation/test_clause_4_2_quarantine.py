"""Reg. 4.2: nothing is kept back in silence. Who it is for hears of it, the Centre decides, and what is released comes."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mic_mail.quarantine.quarantine import RECORD_SECONDS, QuarantineState, Reason
from regulation.quarantine_server import MESSAGE, START, STRANGER, WHY, QuarantineServer

pytestmark = pytest.mark.clause("4.2", "15.5")


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[..., QuarantineServer]]:
    made: list[QuarantineServer] = []

    def make(settings: dict[str, Any] | None = None) -> QuarantineServer:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(QuarantineServer(folder, settings))
        return made[-1]

    yield make
    for site in made:
        site.server.stop()


def test_who_it_is_for_hears_of_it_once_a_day(sites: Callable[..., QuarantineServer]) -> None:
    """The first at once, the others of that day together on the next; each mailbox its own; nothing a stranger has worded."""
    site = sites()
    first = site.keep("dvbe", "ttlan", sender='"call 555\\" http://x/"@example.org')
    site.server.housekeep()
    site.server.housekeep()
    later = [site.keep("dvbe") for _ in range(3)]
    site.pass_(hours=3)
    (letter,) = site.letters("dvbe")
    assert first in letter
    assert "khoản 2 Điều 4" in letter
    assert "Reg. 4.2" in letter
    assert not re.search(r"http|555 |offer", letter)
    site.pass_(days=1)
    site.pass_(hours=1)
    _, second = site.letters("dvbe")
    assert all(reference in second for reference in later)
    assert first not in second
    assert len(site.letters("ttlan")) == 1
    assert [event["messages"] for event in site.events("quarantine_told")] == [1, 1, 3]


def test_a_letter_can_be_done_without(sites: Callable[..., QuarantineServer]) -> None:
    """`quarantine.digest = false`."""
    site = sites({"quarantine": {"digest": False}})
    site.keep()
    site.server.housekeep()
    assert site.letters("dvbe") == []


def test_what_is_released_comes_as_it_was(sites: Callable[..., QuarantineServer]) -> None:
    """To each recipient once, into INBOX, unchanged, with the time at which it came; the record says who decided and why."""
    site = sites({"quarantine": {"digest": False}})
    came_us = site.clock.now_us()
    reference, other = site.keep("dvbe", "ttlan"), site.keep("dvbe")
    site.pass_(days=5)
    site.console.done("quarantine", "release", reference, *WHY)
    for _ in range(3):
        site.server.housekeep()
    site.server.call(site.server.running.context.mailflow.settle())
    for name in ("dvbe", "ttlan"):
        assert site.messages(name) == [(came_us, MESSAGE)]
    assert (site.state(reference), site.state(other)) == (QuarantineState.DELIVERED, QuarantineState.HELD)
    row = site.console.json("quarantine", "show", reference)
    assert (row["state"], row["decided_because"], row["symbols"]) == ("delivered", "đã xem", ["GTUBE=15"])
    assert len(site.events("quarantined_message_delivered")) == 1
    assert not list(site.server.config.quarantine_dir.glob(f"{reference}.msg"))


def test_what_cannot_be_read_for_a_while_comes_later(sites: Callable[..., QuarantineServer]) -> None:
    """A disk that fails for a moment loses nothing, keeps nobody else waiting, and does not fill the log."""
    site = sites({"quarantine": {"digest": False}})
    reference, other = site.keep(), site.keep("ttlan")
    path = site.server.config.quarantine_dir / f"{reference}.msg"
    path.rename(path.with_name("away"))
    path.mkdir()  # to be opened, and not to be read
    site.console.done("quarantine", "release", reference, other, *WHY)
    for _ in range(3):
        site.server.housekeep()
    assert (site.state(reference), site.state(other)) == (QuarantineState.RELEASED, QuarantineState.DELIVERED)
    assert [event["trace"] for event in site.events("quarantine_waits")] == [reference]
    path.rmdir()
    path.with_name("away").rename(path)
    site.server.housekeep()
    site.server.call(site.server.running.context.mailflow.settle())
    assert site.state(reference) is QuarantineState.DELIVERED
    assert [octets for _, octets in site.messages("dvbe")] == [MESSAGE]


def test_what_is_dropped_comes_to_nobody(sites: Callable[..., QuarantineServer]) -> None:
    """On record, with its reason; decided it stays decided."""
    site = sites()
    reference = site.keep()
    site.console.done("quarantine", "drop", reference, *WHY)
    site.server.housekeep()
    site.console.refused("quarantine", "release", reference, *WHY)
    assert site.state(reference) is QuarantineState.DROPPED
    assert MESSAGE not in [octets for _, octets in site.messages("dvbe")]
    assert site.console.json("quarantine", "list") == []
    assert [row["state"] for row in site.console.json("quarantine", "list", "--all")] == ["dropped"]


def test_many_at_once(sites: Callable[..., QuarantineServer]) -> None:
    """One that cannot be decided does not keep the others; `--dry-run` decides nothing."""
    site = sites()
    one, two, evil = site.keep(), site.keep(), site.keep(reason=Reason.MALWARE)
    site.console.done("quarantine", "release", one, two, "--dry-run", *WHY)
    assert "2 would be delivered" in site.console.err
    site.console.done("quarantine", "drop", one, two, "--dry-run", *WHY)
    assert {site.state(one), site.state(two)} == {QuarantineState.HELD}
    site.console.refused("quarantine", "release", one, evil, "01NOBODYS", two, *WHY, says="needs a document", code=2)
    assert (site.state(one), site.state(two), site.state(evil)) == (
        QuarantineState.RELEASED,
        QuarantineState.RELEASED,
        QuarantineState.HELD,
    )
    site.console.done("quarantine", "release", evil, "--document", "7/CV", *WHY)
    site.console.refused("quarantine", "release", site.keep(), "--reason", " ", code=2)


def test_lists(sites: Callable[..., QuarantineServer]) -> None:
    """By recipient, sender and reason; what a message says stands nowhere (Reg. 4.3)."""
    site = sites()
    one, two = site.keep("dvbe"), site.keep("ttlan", reason=Reason.MALWARE, sender="evil@example.net")
    for words, found in (
        ((), [one, two]),
        (("--recipient", "TTLAN@mic.gov.vn"), [two]),
        (("--sender", "EVIL@example.net"), [two]),
        (("--because", "spam"), [one]),
    ):
        assert [row["id"] for row in site.console.json("quarantine", "list", *words)] == found
    site.console.run("quarantine", "show", one)
    assert "buy" not in site.console.out
    site.console.refused("quarantine", "show", "01NOBODYS", code=2)


def test_time_runs_out(sites: Callable[..., QuarantineServer]) -> None:
    """After `quarantine.keep` it is gone, and the log says so; later the record goes too."""
    site = sites({"quarantine": {"digest": False}})
    reference = site.keep()
    site.pass_(days=29, hours=23)
    assert site.state(reference) is QuarantineState.HELD
    site.pass_(hours=2)
    assert site.state(reference) is QuarantineState.EXPIRED
    assert not list(site.server.config.quarantine_dir.glob("*.msg"))
    (told,) = site.events("quarantined_message_expired")
    assert (told["trace"], told["sender"], told["clause"]) == (reference, STRANGER, "4.2")
    site.pass_(seconds=RECORD_SECONDS)
    assert list(site.quarantine.records()) == []


def test_a_false_time_that_is_believed_ends_nothing(sites: Callable[..., QuarantineServer]) -> None:
    """A clock that is ahead for more than an hour is believed, and what it says is over is kept until it is trusted."""
    site = sites({"quarantine": {"digest": False}})
    site.server.housekeep()
    kept, dropped = site.keep(), site.keep()
    site.console.done("quarantine", "drop", dropped, *WHY)
    site.clock.set_to(START + timedelta(days=30, minutes=1))
    site.server.call(site.server.running.context.clock_watcher.check())
    site.pass_(hours=2)
    assert site.clock.is_settled()
    site.clock.set_to(site.clock.now() + RECORD_SECONDS * timedelta(seconds=1))
    site.clock.accept_time(site.clock.now())
    site.server.housekeep()
    assert site.state(kept) is QuarantineState.HELD
    assert len(list(site.quarantine.records())) == 2
    site.clock.set_to(START + timedelta(hours=2))
    site.clock.accept_time(site.clock.now())
    site.pass_(days=30)
    assert site.state(kept) is QuarantineState.EXPIRED


def test_a_message_that_is_not_what_it_was(sites: Callable[..., QuarantineServer]) -> None:
    """Somebody has changed the file: it is not delivered, and the log says why."""
    site = sites({"quarantine": {"digest": False}})
    reference = site.keep()
    (path,) = site.server.config.quarantine_dir.glob("*.msg")
    path.write_bytes(MESSAGE + b"more")
    site.console.done("quarantine", "release", reference, *WHY)
    site.server.housekeep()
    assert site.messages("dvbe") == []
    assert [event["trace"] for event in site.events("quarantined_message_damaged")] == [reference]


def test_a_mailbox_that_is_gone_is_told_nothing(sites: Callable[..., QuarantineServer]) -> None:
    """Its letters are nobody's; the others get theirs."""
    site = sites()
    reference = site.keep("dvbe")
    record = site.quarantine.record(reference)
    site.quarantine.forget(record)
    site.quarantine.keep(replace(record, mailboxes=(10**6, *record.mailboxes)), MESSAGE, room_octets=1 << 30)
    site.server.housekeep()
    site.pass_(days=1)
    assert len(site.letters("dvbe")) == 1
