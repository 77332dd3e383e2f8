"""A connection that has much to write leaves the loop its turns."""

import asyncio

import pytest

from mic_mail.connection.actions import Pause, Send, Step
from mic_mail.connection.connection import LARGE_OCTETS, STEPS_AT_ONCE, Connection
from mic_mail.connection.server import Server
from mic_mail.connection.session_core import Session
from unit.connection.scripted_connection import KeptOutput, Script, services


class ScriptedConnection(Connection):
    """A connection of no protocol."""

    UNREAD_SECONDS = 60.0
    steps: list[Step]

    def _new_session(self) -> Session:
        return Script(self.steps)


async def turns(*steps: Step) -> list[list[int]]:
    """The octets of each write, by the turn of the loop in which it was made."""
    connection, transport = ScriptedConnection(Server(services()), "imap"), KeptOutput()
    connection.steps = list(steps)
    connection.connection_made(transport)
    made = [[len(data) for data in transport.take()]]
    while not connection._session.is_over:
        await asyncio.sleep(0)
        made.append([len(data) for data in transport.take()])
    return made


@pytest.mark.parametrize("octets", [100, 2_000, 4_096, 20_000, 31_000, 60_000])
async def test_the_octets_of_one_turn_are_bounded(octets: int) -> None:
    """Whether replies of pipelined commands are many or large: no turn begins another write beyond LARGE_OCTETS."""
    made = await turns(*[Send(b"x" * octets)] * 100)
    assert sum(map(sum, made)) == 100 * octets
    assert max(sum(turn[:-1]) for turn in made) < LARGE_OCTETS
    assert max(map(len, made)) <= STEPS_AT_ONCE


async def test_small_replies_share_a_turn() -> None:
    """A turn costs as much as several of them."""
    made = await turns(*[Send(b"* 1 FETCH (UID 1)\r\n")] * STEPS_AT_ONCE * 3)
    assert [len(turn) for turn in made if turn] == [STEPS_AT_ONCE] * 3


async def test_a_pause_ends_the_turn() -> None:
    made = await turns(Send(b"a"), Pause(), Send(b"b"), Send(b"c"))
    assert [turn for turn in made if turn] == [[1], [1, 1]]


async def test_two_connections_take_turns() -> None:
    """The commands of one client that wait do not keep another from its replies."""
    first, second = KeptOutput(), KeptOutput()
    server = Server(services())
    connections = [ScriptedConnection(server, "imap") for _ in range(2)]
    for connection, transport in zip(connections, (first, second), strict=True):
        connection.steps = [Send(b"x" * 20_000)] * 50
        connection.connection_made(transport)
    ahead: list[int] = []
    while not all(connection._session.is_over for connection in connections):
        await asyncio.sleep(0)
        ahead.append(abs(len(first.written) - len(second.written)))
    assert len(first.written) == len(second.written) == 50
    assert max(ahead) == 0
