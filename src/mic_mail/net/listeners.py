"""The listening sockets: for every door and address as many as there are workers, made once by whoever may bind them.

Each worker gets sockets of its own (SO_REUSEPORT), so the kernel spreads connections evenly; one shared socket gave
7, 175, 250 and 368 of 800 connections to four workers. A socket lives as long as the supervisor: connections that arrive
while a worker is being restarted wait in its backlog. IPv6 sockets take IPv6 only, so both families have rows of their own.

Never here: accepting, TLS, anything asynchronous.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mic_mail.errors import Text, Trouble

IMPLICIT_TLS = frozenset({"submissions", "imaps", "https"})
_ATTEMPTS_AT_A_FREE_PORT = 20


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket of one worker."""

    door: str
    socket: socket.socket

    @property
    def implicit_tls(self) -> bool:
        """TLS from the first octet (RFC 8314)."""
        return self.door in IMPLICIT_TLS

    @property
    def port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port


class CannotListen(Trouble):
    """A port is taken, or this account may not have it."""


def open_listeners(addresses: Iterable[str], ports: Mapping[str, int], copies: int, backlog: int) -> list[list[Listener]]:
    """For each of `copies` workers one listener per door and address; port 0 means any free one, the same on all addresses."""
    workers: list[list[Listener]] = [[] for _ in range(copies)]
    addresses = tuple(addresses)
    try:
        for door, port in ports.items():
            for sockets in _open_door(door, addresses, port, copies, backlog):
                for listeners, listening in zip(workers, sockets, strict=True):
                    listeners.append(Listener(door, listening))
    except BaseException:
        close(listener for listeners in workers for listener in listeners)
        raise
    return workers


def close(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.socket.close()


def _open_door(door: str, addresses: tuple[str, ...], port: int, copies: int, backlog: int) -> list[list[socket.socket]]:
    for attempt in range(_ATTEMPTS_AT_A_FREE_PORT):
        opened: list[list[socket.socket]] = []
        number = port
        try:
            for address in addresses:
                sockets = _open(address, number, copies, backlog)
                if sockets is not None:
                    opened.append(sockets)
                    number = sockets[0].getsockname()[1]
        except OSError as error:
            _close_all(opened)
            if port == 0 and error.errno == errno.EADDRINUSE and attempt < _ATTEMPTS_AT_A_FREE_PORT - 1:
                continue  # free on one address, taken on another
            raise _cannot(door, address, number, error) from error
        if opened:
            return opened
        break
    raise CannotListen(Text(f"Không có địa chỉ nào cho cửa {door}.", f"No address for the door {door}."))


def _open(address: str, port: int, copies: int, backlog: int) -> list[socket.socket] | None:
    """The sockets of one address, or None where the machine has no such family and "::" asked for all of it."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    sockets: list[socket.socket] = []
    try:
        if port:
            # Without SO_REUSEPORT it fails if anybody listens, also a server of ours, which would share the port silently.
            _bind(family, address, port, shared=False).close()
        for _ in range(copies):
            sockets.append(_bind(family, address, port, shared=True))
            port = sockets[0].getsockname()[1]
            sockets[-1].listen(backlog)
    except OSError as error:
        _close_all([sockets])
        if address == "::" and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return None
        raise
    return sockets


def _bind(family: int, address: str, port: int, *, shared: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened


def _close_all(opened: Iterable[Iterable[socket.socket]]) -> None:
    for sockets in opened:
        for one in sockets:
            one.close()


def _cannot(door: str, address: str, port: int, error: OSError) -> CannotListen:
    remedies = {
        errno.EADDRINUSE: Text(
            "Dừng chương trình đang dùng cổng này (xem `ss -ltnp`).", "Stop the program that has it (see `ss -ltnp`)."
        ),
        errno.EACCES: Text(
            "Cổng dưới 1024 cần khởi động bằng root hoặc quyền CAP_NET_BIND_SERVICE.",
            "Ports below 1024 need a start as root or CAP_NET_BIND_SERVICE.",
        ),
    }
    why = ascii(error.strerror)[1:-1]
    text = Text(
        f"Không mở được cửa {door} tại {address} cổng {port}: {why}.", f"Cannot open {door} at {address} port {port}: {why}."
    )
    return CannotListen(text, remedy=remedies.get(error.errno or 0))
