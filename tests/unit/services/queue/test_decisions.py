"""Mail that is held, retried, dropped and let go by people while the queue manager works."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mic_mail.queue.queue import QueueEntry
from mic_mail.queue.recipient_log import AdminDecision, Standing
from mic_mail.services.queue.queue_manager import QueueManager
from unit.services.queue.office import SENDER, STUFFED, ZONE, offices
from unit.smtpclient.server import PLAIN, Server
from waiting import stays_on_loop, wait_on_loop


async def test_mail_of_who_may_not_send_stays(tmp_path: Path) -> None:
    """Reg. 7.1, 7.2.c; and what a person holds."""
    server = Server()
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.stopped.add(SENDER)
        office.put("A", "b@two.example")
        async with office.sending() as senders:
            await stays_on_loop(lambda: office.queue.names() == ["A"] and server.messages == [])
            entry = office.queue.read("A")
            assert entry is not None
            entry.hold()
            office.stopped.clear()
            await senders.apply_decisions("A")
            await stays_on_loop(lambda: server.messages == [])
            entry.release()
            await senders.apply_decisions("A")
            await office.until()
    assert server.messages == [STUFFED]


@pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("by_person", [False, True], ids=["mailbox", "person"])
async def test_what_was_held_for_longer_than_it_is_tried(tmp_path: Path, by_person: bool, restarted: bool) -> None:
    """It has its whole time from then on: the first deferral does not end it, whoever sends by then."""
    server = Server(PLAIN, answers={b"RCPT": b"451 4.7.1 come again in five minutes\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example", age=6 * 86_400)
        person = office.queue.read("A")
        assert person is not None
        if by_person:
            person.hold(AdminDecision("mai", "x", office.clock.now_us() - 5 * 86_400_000_000))
        else:
            office.stopped.add(SENDER)

        async def free(senders: QueueManager | None = None) -> None:
            await asyncio.sleep(0.3)  # what is held would be tried meanwhile
            if by_person:
                person.release(AdminDecision("mai", "x", office.clock.now_us()))
            office.stopped.clear()
            if senders is not None:
                senders.on_message("A")
                await office.tried("A")

        async with office.sending() as senders:
            await free(None if restarted else senders)
        if restarted:
            async with office.sending():
                await office.tried("A")
        entry = office.queue.read("A")
        assert entry is not None
        assert [each.standing for each in entry.state.recipients] == [Standing.OPEN]
        assert entry.free_since_us > office.clock.now_us() - 60_000_000
        office.give_up_seconds = 0.0
        entry.retry()
        async with office.sending():
            await office.until()
    assert office.told[-1].entry.state.recipients[0].reason.startswith("5.4.7")


@dataclass
class Gated(Server):
    """Has the whole message and says nothing until it may."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        readline = reader.readline

        async def gated() -> bytes:
            line = await readline()
            if line == b".\r\n":
                self.reached.set()
                await self.gate.wait()
            return line

        reader.readline = gated  # type: ignore[method-assign]  # of this connection
        await super().serve(reader, writer)


@pytest.mark.parametrize("answer", [b"250 2.0.0 ok\r\n", b"451 4.3.0 later\r\n", b"554 5.7.0 no\r\n"])
async def test_what_is_dropped_while_it_is_sent(tmp_path: Path, answer: bytes) -> None:
    """The server has it already: it decides what becomes of it, and only then is the sender told, of what is so."""
    server = Gated(PLAIN, answers={b"END": answer})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.put("A", "b@two.example")
        async with office.sending() as senders:
            await server.reached.wait()
            person = office.queue.read("A")
            assert person is not None
            person.drop([0], AdminDecision("mai", "x"))
            senders.on_message("A")
            await stays_on_loop(lambda: office.queue.names() == ["A"] and office.told == [], "nothing is settled yet")
            server.gate.set()
            await office.until()
    assert server.messages == [STUFFED]
    standings = [told.entry.state.recipients[0].standing for told in office.told]
    assert standings == ([] if answer.startswith(b"250") else [Standing.DROPPED])


async def test_what_is_dropped_while_sending_is_paused(tmp_path: Path) -> None:
    """It ends, and its sender is told, at once; mail to others goes when sending goes on."""
    server = Server(PLAIN)
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office:
        office.is_paused = True
        office.put("A", "b@two.example")
        office.put("B", "b@two.example", "c@two.example")
        async with office.sending() as senders:
            for entry_id in ("A", "B"):
                person = office.queue.read(entry_id)
                assert person is not None
                person.drop([0], AdminDecision("mai", "x"))
                senders.on_message(entry_id)
            await office.until("B")
            await office.reported(2)
            assert server.connections == 0
            office.is_paused = False
            senders.wake()
            await office.until()
    assert sorted((told.entry.entry_id, told.ended) for told in office.told) == [("A", (0,)), ("B", (0,))]
    assert server.messages == [STUFFED]


async def test_a_decision_during_a_try_begins_no_second_one(tmp_path: Path) -> None:
    """Of two domains one is being sent to, the other waits: a retry of the entry does not send to the first again."""
    one, two = Server(PLAIN, answers={b"RCPT": b"450 4.2.1 later\r\n"}), Gated(PLAIN)
    async with offices(tmp_path, {"127.0.0.2": one, "127.0.0.3": one, "127.0.0.4": two}, ZONE) as office:
        office.put("A", "b@one.example", "c@two.example")
        async with office.sending() as senders:
            await two.reached.wait()

            def tried() -> int:
                entry = office.queue.read("A")
                assert entry is not None
                return entry.state.recipients[0].attempts

            await wait_on_loop(tried)
            for _ in range(3):
                before, person = tried(), office.queue.read("A")
                assert person is not None
                person.retry(AdminDecision("mai"))
                senders.on_message("A")
                await wait_on_loop(lambda before=before: tried() > before)  # type: ignore[misc]
            one.answers.clear()
            two.gate.set()
            person.retry(AdminDecision("mai"))
            senders.on_message("A")
            await office.until()
    assert two.messages == [STUFFED]
    assert one.messages[-1] == STUFFED


async def test_a_decision_that_no_word_comes_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whose log cannot be read just then: it is done with the next look all the same, and what waited waits on."""
    server = Server(PLAIN, answers={b"RCPT": b"450 4.2.1 later\r\n"})
    async with offices(tmp_path, {"127.0.0.4": server}, ZONE) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        office.put("B", "b@two.example")
        await senders.poll()
        await office.tried("A")
        await office.tried("B")
        server.answers.clear()
        for entry in office.queue.entries():
            entry.retry(AdminDecision("mai"))
        with monkeypatch.context() as patch:
            patch.setattr(QueueEntry, "refresh", lambda _entry: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            senders.on_message("A")
            await stays_on_loop(lambda: office.queue.names() == ["A", "B"])
        await senders.poll()
        await office.until()


async def test_a_retry_asks_a_destination_that_is_silent(tmp_path: Path) -> None:
    """Nobody was there and nothing is tried for minutes; somebody has put that right and says so: it goes at once."""
    async with offices(tmp_path, {"127.0.0.5": Server(PLAIN)}, ZONE) as office, office.sending() as senders:
        for number in range(4):
            office.put(f"M{number}", "b@two.example")
        await senders.poll()
        for number in range(4):
            await office.tried(f"M{number}") if number < 2 else None
        await wait_on_loop(lambda: senders.under_way == 0)
        server = Server(PLAIN)
        listening = await asyncio.start_server(server.serve, "127.0.0.4", office.port)
        for entry in office.queue.entries():
            entry.retry(AdminDecision("mai"))
        senders.on_message("")
        await office.until()
        listening.close()
    assert server.messages == [STUFFED] * 4


async def test_where_nobody_was_is_looked_up_again(tmp_path: Path) -> None:
    """The next try asks the name servers, as soon as their answers have ended: the domain has perhaps moved."""
    server = Server(PLAIN)
    zone = {**ZONE, ("two.example", "MX"): ["10 old.two.example."], ("old.two.example", "A"): ["127.0.0.9"]}
    async with offices(tmp_path, {"127.0.0.4": server}, zone) as office, office.sending() as senders:
        office.names.ttl = 0
        office.put("A", "b@two.example")
        await senders.poll()
        await office.tried("A")
        office.names.zone["two.example", "MX"] = ["10 two.example."]
        office.put("B", "b@two.example")
        await senders.poll()
        await office.until("A")
    assert server.messages == [STUFFED]


async def test_a_retry_asks_the_name_servers_again(tmp_path: Path) -> None:
    """Whoever has put another exchanger into the DNS and asks for a retry does not wait until the old answer has ended."""
    server = Server(PLAIN)
    zone = {**ZONE, ("two.example", "MX"): ["10 old.two.example."], ("old.two.example", "A"): ["127.0.0.9"]}
    async with offices(tmp_path, {"127.0.0.4": server}, zone) as office, office.sending() as senders:
        office.put("A", "b@two.example")
        await senders.poll()
        await office.tried("A")
        office.names.zone["two.example", "MX"] = ["10 two.example."]
        for entry in office.queue.entries():
            entry.retry(AdminDecision("mai"))
        senders.on_message("A")
        await office.until()
    assert server.messages == [STUFFED]
