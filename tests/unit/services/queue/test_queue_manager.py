"""What waits in the queue is sent: real name servers, real servers on addresses of their own, each failing in its way."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from addresses import parsed
from harness import read_events
from mic_mail.queue.recipient_log import Standing
from mic_mail.services.queue.delivery_log import FinishedRecipients
from mic_mail.smtpclient.tls_requirements import TlsRequirements
from unit.services.queue.office import HEAD, MESSAGE, OPEN, STUFFED, ZONE, offices
from unit.smtpclient.server import PLAIN, Server
from waiting import stays_on_loop, wait_on_loop


async def test_messages_leave(tmp_path: Path) -> None:
    """By the best exchanger, without Return-Path, one message for all recipients of a domain; then nothing is left."""
    one, two = Server(OPEN), Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.2": one, "127.0.0.4": two}, ZONE) as office:
        office.put("A", "b@one.example", "c@ONE.example", "d@two.example")
        async with office.sending() as senders:
            await office.until()
            office.put("B", "b@one.example")
            await senders.poll()
            await office.until()
            assert senders.transactions == {"new": 2, "kept": 1}
    assert one.messages == [STUFFED] * 2
    assert two.messages == [STUFFED]
    sent = {(e["trace"], e["recipient"]): e for e in read_events(tmp_path / "log") if e["event"] == "message_sent"}
    assert [each["nth_on_connection"] for each in sent.values()] == [1, 1, 1, 2]
    assert [line for line in one.lines if line.startswith(b"RCPT")] == [
        b"RCPT TO:<b@one.example>", b"RCPT TO:<c@one.example>", b"RCPT TO:<b@one.example>",
    ]  # fmt: skip
    assert one.connections == 1, "the connection was kept"
    assert office.told == []


async def test_connections_from_before_the_clock_was_set(tmp_path: Path) -> None:
    """They serve no other message, whether they were idle then or in use: certificates were looked at by another time."""
    one = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.2": one}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@one.example")
        await senders.poll()
        await office.until()
        senders.clock_moved()
        office.put("B", "b@one.example")
        await senders.poll()
        await office.until()
        assert senders.transactions == {"new": 2, "kept": 0}
        connections, terms = senders._connections, TlsRequirements("mx1.one.example")
        peer = connections.take_idle("127.0.0.2", terms)
        assert peer is not None
        senders.clock_moved()
        await connections.give_back("127.0.0.2", terms, peer)
        assert connections.take_idle("127.0.0.2", terms) is None
    assert one.messages == [STUFFED] * 2


async def test_the_next_exchanger_where_the_first_is_of_no_use(tmp_path: Path) -> None:
    """Not there; busy; closes; says nothing of sense. The message is there once."""
    for number, first in enumerate(
        (None, Server(greeting=b"421 busy\r\n"), Server(answers={b"MAIL": b""}), Server(greeting=b"x\r\n"))
    ):
        second = Server()
        servers = {"127.0.0.3": second, **({"127.0.0.2": first} if first is not None else {})}
        async with offices(tmp_path / str(number), servers, ZONE) as office:
            office.put("A", "b@one.example")
            async with office.sending():
                await office.until()
        assert second.messages == [STUFFED]


async def test_what_was_perhaps_taken_is_not_given_to_another(tmp_path: Path) -> None:
    """The connection ends after the whole message was sent: later again, not elsewhere at once."""
    first, second = Server(answers={b"END": b""}), Server()
    async with offices(tmp_path, {"127.0.0.2": first, "127.0.0.3": second}, ZONE) as office:
        office.put("A", "b@one.example")
        async with office.sending():
            await office.tried("A")
    assert second.messages == []
    assert office.queue.names() == ["A"]


async def test_what_was_not_sent_to_its_end_is_given_to_another(tmp_path: Path) -> None:
    """The connection ends in the midst of the message: nobody has taken it, and the next exchanger is asked at once."""

    class Deaf(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(self.greeting)
            while not (line := await reader.readline()).startswith(b"From"):
                writer.write(self.answer(line))
            writer.transport.abort()

    second = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.2": Deaf(OPEN), "127.0.0.3": second}, ZONE) as office:
        whole = MESSAGE + (b"x" * 998 + b"\r\n") * 20_000
        (office.folder / "message").write_bytes(HEAD + whole)
        office.put("A", "b@one.example")
        async with office.sending():
            await office.until()
    assert [len(message) for message in second.messages] == [len(whole) + len("..\r\n")]


@pytest.mark.parametrize(
    ("content", "offer", "mail"),
    [
        (MESSAGE, b"250-mx\r\n250 8BITMIME\r\n", b"MAIL FROM:<a@mic.gov.vn>"),
        (MESSAGE + b"\xc3\xaa\r\n" * 99_999, b"250-mx\r\n250 8BITMIME\r\n", b"MAIL FROM:<a@mic.gov.vn> BODY=8BITMIME"),
        (MESSAGE + b"x\r\n" * 99_999 + b"\xc3\xaa", b"250-mx\r\n250 8BITMIME\r\n", b"MAIL FROM:<a@mic.gov.vn> BODY=8BITMIME"),
        (MESSAGE + b"\xc3\xaa", b"250 mx\r\n", b"MAIL FROM:<a@mic.gov.vn>"),
    ],
    ids=["seven", "eight", "eight late", "eight and not offered"],
)
async def test_eight_bits_that_nobody_has_declared(tmp_path: Path, content: bytes, offer: bytes, mail: bytes) -> None:
    """Many programs say nothing of them: the next server hears it from us (RFC 6152 §3)."""
    server = Server(offer)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        (office.folder / "message").write_bytes(HEAD + content)
        office.put("A", "b@two.example")
        async with office.sending():
            await office.until()
    assert [line for line in server.lines if line.startswith(b"MAIL")] == [mail]
    assert server.messages[0].startswith(STUFFED[:-3])


@pytest.mark.parametrize(
    ("sender", "to", "content", "status"),
    [
        ("a@mic.gov.vn", "b@two.example", MESSAGE, None),
        ("a@bộ.vn", "b@bê.example", MESSAGE, None),
        ("a@mic.gov.vn", "b@two.example", MESSAGE + b"\xc3\xaa", "5.6.7"),
        ("bê@mic.gov.vn", "b@two.example", MESSAGE, "5.6.7"),
        ("a@mic.gov.vn", "bê@two.example", MESSAGE, "5.6.7"),
    ],
)
async def test_smtputf8_that_is_not_needed(tmp_path: Path, sender: str, to: str, content: bytes, status: str | None) -> None:
    """Programs ask for it with every message; what holds none of it goes to who does not know it (RFC 6531 §3.2)."""
    server = Server(PLAIN)
    zone = {**ZONE, ("xn--b-dga.example", "A"): ["127.0.0.4"]}
    async with offices(tmp_path, {"127.0.0.4": server}, zone) as office:
        (office.folder / "message").write_bytes(HEAD + content)
        office.put("A", to, sender=parsed(sender), smtputf8=True)
        async with office.sending():
            await office.until()
    assert len(server.messages) == (status is None)
    assert all(line.isascii() for line in server.lines)
    reasons = [told.entry.state.recipients[0].reason[:5] for told in office.told]
    assert reasons == ([status] if status is not None else [])


async def test_a_kept_connection_that_has_gone(tmp_path: Path) -> None:
    """The server hung up meanwhile, which is heard of when the next message begins; a new connection, and no deferral."""
    server = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        await senders.poll()
        await office.until()
        server.hang_up_at = b"MAIL"
        office.put("B", "b@two.example")
        await senders.poll()
        await office.until()
    assert server.messages == [STUFFED] * 2
    assert server.connections == 2


@pytest.mark.parametrize("more", [b"250 2.0.0 ok\r\n", b"421 4.4.2 idle for too long\r\n", b"2"])
async def test_a_server_that_says_more_than_it_was_asked(tmp_path: Path, more: bytes) -> None:
    """Its next words would be taken for answers to what comes next: the connection serves no other message."""
    server = Server(OPEN, answers={b"END": b"250 2.0.0 ok\r\n" + more})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        for entry_id in ("A", "B"):
            office.put(entry_id, "b@two.example")
            await senders.poll()
            await office.until()
    assert server.messages == [STUFFED] * 2
    assert server.connections == 2


async def test_each_recipient_has_its_own_fate(tmp_path: Path) -> None:
    """Delivered, failed, deferred; who failed is told of when the entry ends, and the rest waits."""
    server = Server(answers={b"RCPT TO:<bad": b"550 5.1.1 who\r\n", b"RCPT TO:<late": b"450 4.2.1 later\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "good@two.example", "bad@two.example", "late@two.example")
        await senders.poll()
        await office.tried("A")
        entry = office.queue.read("A")
        assert entry is not None
        assert [each.standing for each in entry.state.recipients] == [Standing.DELIVERED, Standing.FAILED, Standing.OPEN]
        assert entry.state.recipients[1].reason == "5.1.1 550 5.1.1 who"
        assert office.told == []
        server.answers = {}
        entry.retry()
        await senders.apply_decisions("A")
        await office.until()
        (told,) = office.told
        assert told.ended == (1,)
    assert len(server.messages) == 2
    assert [line for line in server.lines if line.startswith(b"RCPT")][-1] == b"RCPT TO:<late@two.example>"


@pytest.mark.parametrize(
    ("address", "status"), [("b@null.example", "5.1.10"), ("b@gone.example", "5.1.2"), (f"b@{'a' * 64}.example", "5.1.2")]
)
async def test_no_way(tmp_path: Path, address: str, status: str) -> None:
    async with offices(tmp_path, {}, ZONE) as office:
        office.put("A", address)
        async with office.sending():
            await office.until()
    (told,) = office.told
    assert told.ended == (0,)
    assert told.entry.state.recipients[0].reason.startswith(status)


async def test_too_late(tmp_path: Path) -> None:
    """Five days after it was accepted nothing is deferred any more; four hours after, the sender hears of it, once."""
    async with offices(tmp_path, {}, ZONE) as office, office.sending() as senders:
        office.put("OLD", "b@two.example", age=6 * 86_400)
        office.put("LATE", "b@one.example", age=5 * 3_600)
        await senders.poll()
        await office.tried("LATE")
        await office.until("LATE")
        for attempts in (2, 3):
            entry = office.queue.read("LATE")
            assert entry is not None
            entry.retry()
            await senders.apply_decisions("LATE")
            await office.tried("LATE", attempts)
    by_name = {told.entry.entry_id: told for told in office.told}
    assert len(office.told) == 2
    assert (by_name["OLD"].ended, by_name["OLD"].late) == ((0,), ())
    assert by_name["OLD"].entry.state.recipients[0].reason.startswith("5.4.7")
    assert (by_name["LATE"].ended, by_name["LATE"].late) == ((), (0,))


async def test_each_domain_has_its_own_time(tmp_path: Path) -> None:
    """One that waits for hours keeps none of the others, whoever has begun anew or decided something meanwhile."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.2": server, "127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example")
        entry = office.taken_up("A")
        now_us = office.clock.now_us()
        entry.tried([0], Standing.OPEN, "4.0.0 later", next_try_us=now_us + 4 * 3_600_000_000)
        entry.tried([1], Standing.OPEN, "4.4.1 nobody", next_try_us=now_us + 1)
        assert entry.state.next_try_us == now_us + 1

        def standings() -> tuple[Standing, ...]:
            again = office.queue.read("A")
            assert again is not None
            return tuple(each.standing for each in again.state.recipients)

        async with office.sending() as senders:
            await wait_on_loop(lambda: standings()[1] is Standing.DELIVERED)
            senders.on_message("A")
            await stays_on_loop(lambda: standings() == (Standing.OPEN, Standing.DELIVERED))


@pytest.mark.parametrize(
    ("age", "tries"),
    [(0, 0), (5 * 3_600, 0), (6 * 86_400, 0), (6 * 86_400, 3)],
    ids=["early", "late", "stood still", "too late"],
)
async def test_what_something_in_this_server_is_in_the_way_of(tmp_path: Path, age: int, tries: int) -> None:
    """A message that cannot be read: that counts as a try, and its sender hears that it is late, and of its end; but one that
    was hardly tried, since the server stood still, is not given up for the first trouble."""
    async with offices(tmp_path, {"127.0.0.4": Server(PLAIN)}, ZONE) as office:
        office.put("A", "b@two.example", age=age)
        for _ in range(tries):
            office.queue.read("A").tried([0], Standing.OPEN, "4.4.1 nobody", next_try_us=0)
        os.unlink(office.queue._live / "A.msg")
        (office.queue._live / "A.msg").symlink_to("/proc/self/mem")
        async with office.sending():
            await office.tried("A") if age < 86_400 else None
            await office.reported(int(age > 0))
        reports = [(told.ended, told.late, told.entry.state.recipients[0].reason[:5]) for told in office.told]
        assert reports == ([((0,), (), "5.3.0")] if tries else [((), (0,), "4.3.0")] if age else [])
    assert read_events(tmp_path / "log")[0]["event"] == "sending_failed"


async def test_two_domains_are_late_at_once(tmp_path: Path) -> None:
    """The sender hears of it once, though he is being told for the one when the other is put off."""
    servers = {address: Server(PLAIN, answers={b"RCPT": b"451 4.3.0 later\r\n"}) for address in ("127.0.0.2", "127.0.0.4")}
    async with offices(tmp_path, servers, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example", age=5 * 3_600)
        report = office.report

        async def slowly(told: FinishedRecipients) -> None:
            await asyncio.sleep(0.5)  # the other domain is put off meanwhile
            await report(told)

        office.report = slowly  # type: ignore[method-assign]
        senders = office.senders()
        running = asyncio.create_task(senders.run())
        await office.tried("A")
        await senders.end()
        await running
    assert [told.ended for told in office.told] == [()]


async def test_one_that_cannot_be_read(tmp_path: Path) -> None:
    """The log says so once, and what came behind it goes on; whoever brings its files back sees it sent."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        office.put("B", "b@two.example")
        envelope = office.queue._live / "A.env"
        whole = envelope.read_bytes()
        envelope.write_bytes(whole[:20])
        async with office.sending() as senders:
            for _ in range(3):
                await senders.poll()
            await office.until("A")
            assert server.messages == [STUFFED]
            envelope.write_bytes(whole)
            await senders.poll()
            await office.until()
    events = [event for event in read_events(tmp_path / "log") if event["event"] == "queue_entry_damaged"]
    assert [event["trace"] for event in events] == ["A"]
    assert server.messages == [STUFFED] * 2


async def test_what_an_earlier_process_left(tmp_path: Path) -> None:
    """Killed between two domains: the first has it once."""
    one, two = Server(), Server()
    async with offices(tmp_path, {"127.0.0.2": one, "127.0.0.4": two}, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example")
        entry = office.taken_up("A")
        entry.tried([0], Standing.DELIVERED, "2.0.0 ok", next_try_us=0)
        async with office.sending():
            await office.until()
    assert (one.messages, two.messages) == ([], [STUFFED])


async def test_a_message_that_cannot_be_read(tmp_path: Path) -> None:
    """In the middle of it: the server gets no end of it, and the connection serves no other message."""
    server = Server(OPEN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        (office.folder / "message").write_bytes(HEAD + MESSAGE + b"x\r\n" * 70_000)
        office.put("A", "b@two.example")
        senders = office.senders()
        pieces = senders._attempt._delivery._chunks

        async def broken(message: Any) -> AsyncGenerator[bytes]:
            async for piece in pieces(message):
                yield piece
                raise OSError(5, "Input/output error")

        senders._attempt._delivery._chunks = broken  # type: ignore[method-assign]  # a disk that fails under a file that is open
        running = asyncio.create_task(senders.run())
        await wait_on_loop(lambda: server.messages)
        await senders.end()
        await running
    assert len(server.messages) == 1, "it began"
    assert all(not message.endswith(b".\r\n") for message in server.messages)
    assert office.queue.names() == ["A"]


async def test_a_long_message_is_sent_whole_once_more(tmp_path: Path) -> None:
    """A second transaction, to a recipient that was one too many, has the message from its beginning."""
    server = Server(OPEN)
    usual, begun = server.answer, [0]

    def answer(line: bytes) -> bytes:
        begun[0] += line.startswith(b"MAIL")
        is_second = line.startswith(b"RCPT TO:<c") and begun[0] == 1
        return b"452 4.5.3 too many\r\n" if is_second else usual(line)

    server.answer = answer  # type: ignore[method-assign]
    long = MESSAGE + b"x\r\n" * 70_000
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        (office.folder / "message").write_bytes(HEAD + long)
        office.put("A", "b@two.example", "c@two.example")
        async with office.sending():
            await office.until()
    assert server.messages == [long.replace(b"\r\n.", b"\r\n..") + b".\r\n"] * 2


async def test_a_short_message_changes_threads_twice(tmp_path: Path, executor_calls: list[Any]) -> None:
    """For what was decided, its signature and its content, and for its result: a change costs more than what is done there."""
    counts = []
    for messages in (10, 20):
        async with offices(tmp_path / str(messages), {"127.0.0.4": Server(OPEN)}, ZONE) as office:
            for number in range(messages):
                office.put(f"{number:02}", "b@two.example")
            executor_calls.clear()
            async with office.sending():
                await office.until()
            counts.append(len(executor_calls))
    assert counts[1] - counts[0] == 2 * 10


async def test_many_messages_to_many_domains_of_which_some_are_dead(tmp_path: Path) -> None:
    """Two hundred to twenty, a quarter dead: all of the living have theirs, and the dead are asked a few times only."""
    live = Server()
    zone = {(f"d{n}.example", "A"): ["127.0.0.4" if n % 4 else "127.0.0.9"] for n in range(20)}
    async with offices(tmp_path, {"127.0.0.4": live}, zone) as office:
        for number in range(200):
            office.put(f"M{number:03}", f"b@d{number % 20}.example")
        async with office.sending() as senders:
            await office.until(*(f"M{number:03}" for number in range(200) if number % 20 % 4 == 0))
            await wait_on_loop(lambda: senders.under_way == 0)
        left = [entry.state.recipients[0].attempts for entry in office.queue.entries()]
    assert len(live.messages) == 150
    assert len(left) == 50
    assert sum(left) <= 5 * 6, "each dead destination was asked a few times, not for each message"
