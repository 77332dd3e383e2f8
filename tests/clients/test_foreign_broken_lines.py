"""Lines to and from real servers that break at any octet, in any way: no message is lost, none is cut, few come twice."""

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import programs
from mic_mail.queue.queue import EntryEnded
from peers.broken_line import BACK, CLOSE, HANG, RESET, THERE, BadLine, Fault
from peers.messages import PASSWORD, Inbox, message
from peers.neighbours import EACH, Neighbours, neighbours
from unit.services.queue.office import HEAD, Office
from waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LINES = {"postfix": "127.0.0.41", "exim": "127.0.0.42", "opensmtpd": "127.0.0.43"}
BODY = "Một dòng.\r\n.\r\n" * 400
TALK = [Fault(way, octets, how) for octets in (1, 30, 70, 200, 500) for way in (THERE, BACK) for how in (CLOSE, RESET)]
"""In greeting, EHLO, STARTTLS, the handshake."""
PLACES = [
    (THERE, 900),
    (THERE, 1_500),
    (THERE, 2_500),
    (THERE, 6_000),
    (BACK, 900),
    (BACK, 1_400),
    (BACK, 1_800),
    (BACK, 2_000),
]
MAIL = [Fault(way, octets, how) for way, octets in PLACES for how in (CLOSE, RESET, HANG)]
"""In the envelope, the message, at its end."""


@pytest.fixture(scope="module")
def near() -> Iterator[Neighbours]:
    with neighbours(with_us=False) as near:
        yield near


@pytest.mark.parametrize("name", EACH)
async def test_a_line_to_them(near: Neighbours, tmp_path: Path, name: str) -> None:
    """A message for each fault, in a connection of its own; after a retry over good lines everything is there, whole."""
    other, faults = near[name], TALK + MAIL
    line = BadLine(LINES[name], near.port)
    office = Office(tmp_path, near.names, near.port, seconds=3.0)
    for number in range(len(faults)):
        domain = f"l{number}.{name}.example"
        near.names.zone[domain, "MX"] = [f"10 mx.{domain}."]
        near.names.zone[f"mx.{domain}", "A"] = [LINES[name]]
        (office.folder / "message").write_bytes(HEAD + message(f"line-{name}-{number}.", BODY))
        office.put(f"E{number}", f"b@{domain}", body="8BITMIME")
        (office.folder / "message").unlink()
    line.faults.extend(faults)
    with line.running((other.place.address, near.port)):
        async with office.sending() as senders:
            limit = time.monotonic() + 120
            while office.queue.names() and time.monotonic() < limit:
                for entry in office.queue.entries():
                    with contextlib.suppress(EntryEnded):
                        entry.retry()
                senders.on_message("")
                await asyncio.sleep(0.5)  # before it is asked for again
            assert office.queue.names() == []
    office.log.close()
    assert line.broken > len(faults) / 3
    found = wait_for(lambda: (got := arrived(other.stored(), f"line-{name}-")) and len(got) == len(faults) and got, "all of it")
    whole = (message("", BODY).partition(b"Message-ID")[2].partition(b"\r\n")[2]).replace(b"\r\n", b"\n")
    assert all(octets.endswith(whole) for octets in other.stored_with(f"line-{name}-".encode())), "none is cut"
    assert sum(found.values()) <= len(faults) + len(MAIL), "twice only where its end was not heard"


def arrived(stored: list[bytes], mark: str) -> Counter[str]:
    pattern = re.compile(rb"\nSubject: " + mark.encode() + rb"(\d+)\.")
    return Counter(found[1].decode() for octets in stored if (found := pattern.search(octets)) is not None)


def test_lines_to_us() -> None:
    """The same the other way round: Postfix, Exim and OpenSMTPD bring theirs again, and we have each, whole."""
    with ExitStack() as stack:
        near = stack.enter_context(neighbours(through=(line := BadLine("127.0.0.1"))))
        if not near.others:
            programs.lack("Postfix, Exim and OpenSMTPD")
        near.ours.issue("dvbe", password=PASSWORD)
        inbox, count = Inbox(near.ours, "dvbe"), 12
        line.faults.extend([fault for fault in (TALK + MAIL)[::2] if fault.how != HANG])
        for number in range(count):
            for name, other in near.others.items():
                sender = f"a@{name}.example"
                other.submit(sender, ["dvbe@mic.gov.vn"], message(f"came-{name}-{number}.", BODY, sender))
                other.flush()

        def all_have_come() -> bool:
            for other in near.others.values():
                other.flush()
            time.sleep(0.5)  # before they are asked for again
            return not line.faults

        wait_for(all_have_come, "faults")

        def all_of_it() -> bool:
            for other in near.others.values():
                other.flush()
            time.sleep(1)  # before they are asked for again
            return all(len(arrived(inbox.read(), f"came-{name}-")) == count for name in near.others)

        wait_for(all_of_it, "all of it", seconds=150)
        wait_for(lambda: not any(other.queued() for other in near.others.values()), "their queues are empty")
        assert all(octets.endswith(BODY.encode()) for octets in inbox.having("Subject: came-")), "none is cut"
        assert line.broken > 10
        twice = sum(sum(arrived(inbox.read(), f"came-{name}-").values()) - count for name in near.others)
        assert twice <= line.broken
