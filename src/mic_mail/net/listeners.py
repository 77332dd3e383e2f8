"""The listening sockets: one for each service and address, opened once, shared by all workers.

They are opened by the process that may bind them. A socket lives as long as the supervisor: connections that arrive while no
worker is there wait in its backlog. IPv6 sockets take IPv6 only, so that either family can be refused or missing without the
other.

Not here: accepting, TLS, anything asynchronous.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mic_mail.errors import Text, Trouble, in_ascii

IMPLICIT_TLS = frozenset({"submissions", "imaps", "pop3s", "ldaps", "https"})
WEB_DOORS = frozenset({"http", "https"})
"""Services with the web pages; the others are for mail."""
_ATTEMPTS_AT_A_FREE_PORT = 20


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket."""

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
    """A port is in use, or this account may not bind it."""


def open_listeners(addresses: Iterable[str], ports: Mapping[str, int], backlog: int) -> list[Listener]:
    """Open a listener for each service and address; port 0 is a free one, the same on all addresses."""
    listeners: list[Listener] = []
    addresses = tuple(addresses)
    try:
        for door, port in ports.items():
            listeners += (Listener(door, listening) for listening in _open_listener(door, addresses, port, backlog))
    except BaseException:
        close(listeners)
        raise
    return listeners


def close(listeners: Iterable[Listener]) -> None:
    for listener in listeners:
        listener.socket.close()


def _open_listener(door: str, addresses: tuple[str, ...], port: int, backlog: int) -> list[socket.socket]:
    for attempt in range(_ATTEMPTS_AT_A_FREE_PORT):
        opened: list[socket.socket] = []
        number = port
        try:
            for address in addresses:
                listening = _open(address, number, backlog)
                if listening is not None:
                    opened.append(listening)
                    number = listening.getsockname()[1]
        except OSError as error:
            for listening in opened:
                listening.close()
            if port == 0 and error.errno == errno.EADDRINUSE and attempt < _ATTEMPTS_AT_A_FREE_PORT - 1:
                continue  # free on one address, taken on another
            raise _cannot(door, address, number, error) from error
        if opened:
            return opened
        break
    raise CannotListen(Text(f"Không có địa chỉ nào cho dịch vụ {door}.", f"The listener {door} has no address."))


def _open(address: str, port: int, backlog: int) -> socket.socket | None:
    """Open the socket of one address; None for "::" (all) on a machine without IPv6."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    try:
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.bind((address, port))
            opened.listen(backlog)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        if address == "::" and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return None
        raise
    return opened


def _cannot(door: str, address: str, port: int, error: OSError) -> CannotListen:
    remedies = {
        errno.EADDRINUSE: Text(
            "Dừng chương trình đang dùng cổng này (xem `ss -ltnp`).", "Stop the program that uses the port (see `ss -ltnp`)."
        ),
        errno.EACCES: Text(
            "Cổng dưới 1024 cần khởi động bằng root hoặc quyền CAP_NET_BIND_SERVICE.",
            "For ports below 1024, start as root or with CAP_NET_BIND_SERVICE.",
        ),
    }
    why = in_ascii(error.strerror)
    text = Text(
        f"Không mở được dịch vụ {door} tại {address} cổng {port}: {why}.",
        f"Cannot open the listener {door} at {address} port {port}: {why}.",
    )
    return CannotListen(text, remedy=remedies.get(error.errno or 0))
