"""Transports to syslog collectors: a local socket, UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425).

In: complete messages. Out: they have reached the collector's machine when `send` returns, as far as the transport can tell: a
stream waits until the peer's kernel has acknowledged every octet; a lost datagram is lost, as with UDP. Anything else is an
`OSError`. Each step has a deadline; blocking, for a thread of its own.
"""

import contextlib
import fcntl
import re
import socket
import ssl
import struct
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE_SECONDS = 3.0
"""Timeout for a connection, a piece sent, one more octet acknowledged: slow is not dead."""
_PIECE = 1 << 16
_LOOK_SECONDS = 0.01
_WAYS = {"udp": 514, "tcp": 601, "tls": 6514}
_PLACE = re.compile(
    r"(?P<way>udp|tcp|tls)://(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class CollectorAddress:
    """The address of a collector."""

    way: str
    """unix, udp, tcp or tls."""
    host: str
    """For unix: the path of the socket."""
    port: int = 0

    @property
    def is_stream(self) -> bool:
        """True if messages follow one another on one connection."""
        return self.way in ("tcp", "tls")

    def __str__(self) -> str:
        return f"unix:{self.host}" if self.way == "unix" else f"{self.way}://{self.host}:{self.port}"


def place(text: str) -> CollectorAddress:
    """Parse `unix:/dev/log`, `udp://192.0.2.1`, `tcp://[2001:db8::1]:601`, `tls://siem.mic.gov.vn`.

    Raises `ValueError`.
    """
    if text.startswith("unix:/"):
        return CollectorAddress("unix", text.removeprefix("unix:"))
    found = _PLACE.fullmatch(text)
    port = int(found["port"] or _WAYS[found["way"]]) if found else 0
    if found is None or not 0 < port < 65_536:
        raise ValueError(text)
    return CollectorAddress(found["way"], found["six"] or found["host"], port)


class Collector:
    """One collector; connected when there is something to send."""

    def __init__(self, where: CollectorAddress, ca: Path | None = None, *, patience: float = PATIENCE_SECONDS) -> None:
        self.where = where
        self._ca = ca
        self._patience = patience
        self._socket: socket.socket | None = None

    def send(self, messages: Sequence[bytes]) -> None:
        """Send all messages in order; after an `OSError` it is unknown how many arrived."""
        try:
            connection = self._socket = self._socket or self._connect()
            if self.where.is_stream:
                self._must_be_open(connection)
                octets = memoryview(b"".join(messages))
                for start in range(0, len(octets), _PIECE):
                    connection.sendall(octets[start : start + _PIECE])
                _wait_until_acknowledged(connection, self._patience)
            else:
                for message in messages:
                    connection.send(message)
        except OSError:
            self.close()
            raise
        except ValueError as error:  # a name that is invalid in DNS or in a certificate
            self.close()
            raise OSError(str(error)) from error

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        where = self.where
        if where.way == "unix":
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            connection.settimeout(self._patience)
            connection.connect(where.host)
            return connection
        if where.way == "udp":
            family, kind, protocol, _, address = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_DGRAM)[0]
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(self._patience)
            connection.connect(address)
            return connection
        connection = socket.create_connection((where.host, where.port), self._patience)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if where.way == "tcp":
            return connection
        context = ssl.create_default_context(cafile=str(self._ca) if self._ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            return context.wrap_socket(connection, server_hostname=where.host)
        except OSError:
            connection.close()
            raise

    def _must_be_open(self, connection: socket.socket) -> None:
        """Check for an end of stream: the collector may have closed, and the next batch would be lost."""
        connection.settimeout(0)
        try:
            if connection.recv(1) == b"":
                raise ConnectionResetError("closed by the collector")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            connection.settimeout(self._patience)


def _wait_until_acknowledged(connection: socket.socket, seconds: float) -> None:
    """Wait until the socket's send queue (SIOCOUTQ) is empty: the peer's kernel has everything.

    Fails after `seconds` without progress.
    """
    ends, least = time.monotonic() + seconds, _queued(connection)
    while (left := _queued(connection)) > 0:
        if left < least:
            ends, least = time.monotonic() + seconds, left
        elif time.monotonic() > ends:
            raise TimeoutError("the collector does not take what was sent")
        time.sleep(_LOOK_SECONDS)


def _queued(connection: socket.socket) -> int:
    queued: int = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]
    return queued
