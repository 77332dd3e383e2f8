"""The stream between a supervisor and its children, and what a child is started with."""

import socket

from mic_mail.config.model import Config
from mic_mail.process.control_channel import LONGEST_LINE, Channel, ChildSpec


def pair() -> tuple[Channel, Channel]:
    """Both ends."""
    ours, theirs = socket.socketpair()
    return Channel(ours), Channel(theirs)


def test_messages_arrive_whole_and_in_order() -> None:
    """However the stream is cut."""
    ours, theirs = pair()
    for octet in b'{"do": "drain"}\n{"do": "reload", "config": "\\u0110"}\n{"do':
        ours.socket.send(bytes([octet]))
    assert list(theirs.receive()) == [{"do": "drain"}, {"do": "reload", "config": "Đ"}]
    ours.socket.send(b'": 1}\n')
    assert list(theirs.receive()) == [{"do": 1}]


def test_the_end_of_the_other_side_is_the_last_message() -> None:
    """What was sent before is still delivered; sending to nobody says so."""
    ours, theirs = pair()
    assert ours.send({"kind": "ready"})
    ours.close()
    assert list(theirs.receive()) == [{"kind": "ready"}, None]
    assert theirs.send({"do": "drain"}) is False


def test_nonsense_and_endless_lines_are_an_end() -> None:
    """A process that talks nonsense is treated as gone, in bounded memory."""
    ours, theirs = pair()
    ours.socket.send(b"{nonsense\n")
    assert list(theirs.receive()) == [None]
    ours, theirs = pair()
    received: list[object] = []
    for _ in range(2 * LONGEST_LINE // 50_000):
        ours.socket.send(b"x" * 50_000)
        received += theirs.receive()
        if received:
            break
    assert received == [None]


def test_who_does_not_read_is_noticed() -> None:
    """The supervisor never waits for a child."""
    ours, _theirs = pair()
    while ours.send({"do": "reload", "config": "x" * 10_000}):
        pass


def test_what_was_taken_arrives_whole_in_its_order() -> None:
    """Also where the other end read nothing for a while, and a message went in parts; what was not taken does not arrive."""
    ours, theirs = pair()
    ours.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    taken: list[object] = [n for n in range(40) if ours.send({"do": "reload", "number": n, "config": "x" * 7000})]
    assert 0 < len(taken) < 40
    arrived: list[object] = []
    while "last" not in arrived:
        arrived += [message["number"] for message in theirs.receive() if message is not None]
        if "last" not in taken and ours.send({"do": "drain", "number": "last"}):
            taken.append("last")
    assert arrived == taken


def test_the_rest_of_a_message_waits_for_no_other_message() -> None:
    """What was taken in part goes on when there is room; until then nothing else does."""
    ours, theirs = pair()
    ours.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    assert ours.send({"do": "reload", "config": "x" * 200_000})
    assert not ours.flush()
    arrived: list[object] = []
    while not arrived:
        arrived += theirs.receive()
        ours.flush()
    assert arrived == [{"do": "reload", "config": "x" * 200_000}]
    assert ours.flush()


def test_a_spec_names_what_has_to_be_kept() -> None:
    """The descriptors by which a child is reached, and by which it reaches others."""
    spec = ChildSpec("worker", "worker0", Config(), 7, (("smtp", 8), ("imaps", 9)), tally=10, secret="ab")
    assert spec.descriptors() == (7, 8, 9, 10)
    assert "'ab'" not in repr(spec), "the log may hold it"
