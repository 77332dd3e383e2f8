"""Questions for the state: answered with fresh reports, and never late because of one child."""

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from mic_mail.process.control_channel import Channel, Message
from mic_mail.process.status_questions import MOST_QUESTIONS, StatusQuestions
from mic_mail.process.supervised_child import ANSWER_SECONDS, SupervisedChild


def is_whole(asking: socket.socket) -> bool:
    """What has arrived, and stays to be read again, is the state."""
    return asking.recv(64, socket.MSG_PEEK) == b'{"pid": 7}'


class Desk:
    """Questions, the clients that were answered, and children whose ends of the channels are read here."""

    def __init__(self) -> None:
        self.questions = StatusQuestions(lambda: {"pid": 7})
        self._asking: dict[socket.socket, socket.socket] = {}
        self._ends: list[socket.socket] = []
        self.read: dict[str, Channel] = {}

    def child(self, name: str, *, ready: bool = True) -> SupervisedChild:
        ours, theirs = socket.socketpair()
        self._ends += [ours, theirs]
        self.read[name] = Channel(theirs)
        return SupervisedChild("worker", name, channel=Channel(ours), ready=ready)

    def client(self) -> socket.socket:
        """The supervisor's end of a connection that asks."""
        ours, theirs = socket.socketpair()
        self._asking[ours] = theirs
        return ours

    @property
    def answered(self) -> list[socket.socket]:
        """The clients that have the whole state, after which the connection ends."""
        return [ours for ours, theirs in self._asking.items() if select.select([theirs], [], [], 0)[0] and is_whole(theirs)]

    def asked(self, child: SupervisedChild) -> list[Message]:
        """What the child was sent since it was last read."""
        return [message for message in self.read[child.name].receive() if message is not None]

    def report(self, child: SupervisedChild, question: object, now: float) -> None:
        child.has_reported({"kind": "report", "question": question, "connections": 7}, now)
        self.questions.has_reported(child, question)

    def close(self) -> None:
        for end in [*self._ends, *self._asking.keys(), *self._asking.values()]:
            end.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def test_a_client_is_answered_when_all_have_reported(desk: Desk) -> None:
    """Each ready child is asked once, and no other; nothing is due any more after the answer."""
    one, two, starting = desk.child("worker0"), desk.child("worker1"), desk.child("web", ready=False)
    client = desk.client()
    desk.questions.ask(client, [one, two, starting], 100.0)
    assert [desk.asked(each) for each in (one, two, starting)] == [[{"do": "report", "question": 1}]] * 2 + [[]]
    assert desk.questions.due() == 100.0 + ANSWER_SECONDS
    desk.report(one, 1, 100.1)
    assert not desk.answered
    desk.report(two, 1, 100.2)
    assert desk.answered == [client]
    assert desk.questions.due() is None


def test_without_children_to_ask_the_answer_comes_at_once(desk: Desk) -> None:
    """At the start nobody is ready; one that drains reports no more."""
    leaving = desk.child("worker0")
    leaving.is_leaving = True
    desk.questions.ask(desk.client(), [desk.child("worker1", ready=False), leaving], 100.0)
    assert len(desk.answered) == 1


def test_a_report_answers_no_later_question(desk: Desk) -> None:
    """It may have been made before that question; nor does a report that nobody has asked for."""
    child = desk.child("worker0")
    first, second = desk.client(), desk.client()
    desk.questions.ask(first, [child], 100.0)
    desk.questions.ask(second, [child], 100.1)
    desk.report(child, None, 100.2)
    assert not desk.answered
    desk.report(child, 1, 100.2)
    assert desk.answered == [first]
    desk.report(child, 2, 100.3)
    assert desk.answered == [first, second]


def test_a_child_that_does_not_answer_delays_one_answer_only(desk: Desk) -> None:
    """It is shown with its last report and the age of that, and is neither awaited nor asked until it is heard of again."""
    child = desk.child("worker0")
    child.has_reported({"kind": "report", "connections": 7}, 90.0)
    desk.questions.ask(desk.client(), [child], 100.0)
    desk.asked(child)
    desk.questions.end_overdue(100.0 + ANSWER_SECONDS / 2)
    assert not desk.answered
    assert "silent_seconds" not in child.status(100.5)
    desk.questions.end_overdue(100.0 + ANSWER_SECONDS)
    assert len(desk.answered) == 1
    assert child.status(101.0)["silent_seconds"] == 11.0
    assert child.status(101.0)["connections"] == 7
    desk.questions.ask(desk.client(), [child], 105.0)
    assert len(desk.answered) == 2
    assert desk.asked(child) == []
    desk.report(child, 1, 106.0)
    assert "silent_seconds" not in child.status(106.0)
    desk.questions.ask(desk.client(), [child], 106.0)
    assert len(desk.answered) == 2
    assert len(desk.asked(child)) == 1


def test_nobody_waits_for_a_child_that_has_ended(desk: Desk) -> None:
    """Nor does the one that takes its place owe what it was asked."""
    child = desk.child("worker0")
    desk.questions.ask(desk.client(), [child], 100.0)
    desk.questions.has_ended(child)
    assert len(desk.answered) == 1
    process, channel = child.process, child.channel
    assert channel is not None
    child.started_at = 200.0
    child.has_started(process, channel)  # type: ignore[arg-type]  # no process is needed here
    assert "silent_seconds" not in child.status(200.0)


def test_many_clients_at_once_do_not_add_up(desk: Desk) -> None:
    """Whoever comes while many wait is answered from the last reports."""
    child = desk.child("worker0")
    for _ in range(MOST_QUESTIONS):
        desk.questions.ask(desk.client(), [child], 100.0)
    assert not desk.answered
    desk.questions.ask(desk.client(), [child], 100.0)
    assert len(desk.answered) == 1
    assert len(desk.asked(child)) == MOST_QUESTIONS


def test_an_order_for_a_full_channel_is_owed(desk: Desk) -> None:
    """It is sent when the child reads again, whether or not the child says anything."""
    child = desk.child("worker0")
    filler = "x" * 60_000
    while not child.has_pending_orders:
        child.send({"do": "reload", "config": filler})
    child.send({"do": "drain"})
    found: list[Message] = []
    for _ in range(100):
        found += desk.asked(child)
        child.send_pending()
    assert not child.has_pending_orders
    assert found[-2:] == [{"do": "reload", "config": filler}, {"do": "drain"}]


def test_a_successor_gets_no_order_of_its_predecessor(desk: Desk) -> None:
    """One that was to drain for a replacement, and whose channel was full, has ended."""
    child = desk.child("worker0", ready=False)
    for order in ("drain", "report", "recover"):
        child.order({"do": order})
    process: Any = None
    assert child.channel is not None
    child.has_started(process, child.channel)
    child.ready = True
    child.send_pending()
    assert desk.asked(child) == [{"do": "recover"}]
