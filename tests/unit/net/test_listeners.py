"""Listening sockets: one per door and address, on one port for all addresses, and none where somebody else listens."""

import socket

import pytest

from mic_mail.net.listeners import CannotListen, close, open_listeners


def test_each_door_gets_a_socket_for_each_address() -> None:
    """Both families are served, on the same port."""
    listeners = open_listeners(["127.0.0.1", "::1"], {"smtp": 0, "imaps": 0}, backlog=16)
    assert [listener.door for listener in listeners] == ["smtp", "smtp", "imaps", "imaps"]
    assert len({listener.port for listener in listeners if listener.door == "smtp"}) == 1
    assert {listener.socket.family for listener in listeners} == {socket.AF_INET, socket.AF_INET6}
    assert {listener.door for listener in listeners if listener.implicit_tls} == {"imaps"}
    assert not any(listener.socket.getblocking() for listener in listeners)
    close(listeners)


def test_connections_wait_for_a_worker_that_is_not_there_yet() -> None:
    """A socket queues connections from the moment it is made."""
    [listener] = open_listeners(["127.0.0.1"], {"smtp": 0}, backlog=16)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=5):
        listener.socket.setblocking(True)
        accepted, _ = listener.socket.accept()
        accepted.close()
    close([listener])


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_taken_is_refused_with_its_remedy(shared: bool) -> None:
    """Also when the other listens with SO_REUSEPORT: two servers must never share a port without knowing."""
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotListen) as caught:
            open_listeners(["127.0.0.1"], {"smtp": 0, "imap": port}, backlog=16)
    assert str(port) in caught.value.text.en
    assert caught.value.remedy is not None


def test_nothing_stays_open_when_one_door_cannot_be_opened() -> None:
    """A failed start leaves no port taken."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        with pytest.raises(CannotListen):
            open_listeners(["127.0.0.1"], {"smtp": free, "imap": taken}, backlog=16)
    [again] = open_listeners(["127.0.0.1"], {"smtp": free}, backlog=16)
    close([again])


def test_two_servers_never_share_a_port() -> None:
    """The second is refused, instead of sharing connections and mail with the first in silence."""
    first = open_listeners(["127.0.0.1"], {"smtp": 0}, backlog=16)
    with pytest.raises(CannotListen):
        open_listeners(["127.0.0.1"], {"imap": first[0].port}, backlog=16)
    close(first)
