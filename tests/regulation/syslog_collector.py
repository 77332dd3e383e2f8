"""A syslog collector, and lines of the log for it."""

import contextlib
import re
import socket
import ssl
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from mic_mail.clock import ManualClock
from mic_mail.log.maillog import MailLog
from mic_mail.log.syslog import Header

HEADER = Header("mail.mic.gov.vn", 10, "32473")
NOW = datetime(2026, 11, 26, 3, tzinfo=UTC)
TODAY = date(2026, 11, 26)
SYNTAX = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<at>\S+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) "
    rb"(?P<msgid>[!-~]{1,32}) "
    rb'(?P<data>\[mic@32473(?: [!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*\])(?: (?P<text>\xef\xbb\xbf.*))?',
    re.DOTALL,
)
"""RFC 5424 §6, as strict as it is written."""
PARAMETER = re.compile(r' ([!#-<>-\\^-~]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"')


def parsed(octets: bytes) -> dict[str, Any]:
    """A message as a strict collector reads it."""
    found = SYNTAX.fullmatch(octets)
    assert found is not None, octets
    data = {name: re.sub(r'\\(["\\\]])', r"\1", value) for name, value in PARAMETER.findall(found["data"].decode())}
    return {**{key: (value or b"").decode() for key, value in found.groupdict().items()}, "data": data}


# ------------------------------------------------------------ collectors


class Listener:
    """A collector on a plain socket that takes octet-counted messages, until it is told to take none."""

    def __init__(
        self,
        port: int = 0,
        context: ssl.SSLContext | None = None,
        *,
        reads: bool = True,
        pace: tuple[int, float] | None = None,
    ) -> None:
        self.socket = socket.create_server(("127.0.0.1", port))
        if not reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.port = self.socket.getsockname()[1]
        self.messages: list[dict[str, Any]] = []
        self._context = context
        self._reads = reads or pace is not None
        self._pace = pace
        """At most so many octets, and the seconds after each look."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                self._open.append(connection)
                if self._reads:
                    threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            buffer = b""
            most, rest = self._pace or (65_536, 0)
            while piece := connection.recv(most):
                time.sleep(rest)  # as slow as the test wants it
                buffer += piece
                while (head := buffer.partition(b" "))[1] and len(head[2]) >= int(head[0]):
                    self.messages.append(parsed(head[2][: int(head[0])]))
                    buffer = head[2][int(head[0]) :]

    def close(self) -> None:
        for each in (self.socket, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def named(self, msgid: str) -> list[dict[str, Any]]:
        return [each for each in list(self.messages) if each["msgid"] == msgid]


def fill(folder: Path, count: int) -> None:
    log = MailLog(folder, "worker0", clock=ManualClock(NOW))
    for number in range(count):
        log.event("sign_in_refused", mailbox=f"m{number}@mic.gov.vn", note="x" * 400)
    log.close()
