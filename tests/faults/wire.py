"""Clients that do exactly what they are told, and notice exactly what came back: SMTP and IMAP over plain sockets.

Every wait is bounded: `Cut` is raised where the connection ended, `AssertionError` where the server did not answer in time.
Nothing is retried and nothing is interpreted beyond lines, literals and reply codes.
"""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

WAIT_SECONDS = 60.0
_LITERAL = re.compile(rb"~?\{(\d+)\+?\}\r\n$")


class Cut(Exception):
    """The connection is gone: what was in progress may have happened or not."""


class Refused(Exception):
    """The server said no; what was asked has not happened."""


class Line:
    """A connection that is read by lines."""

    def __init__(self, port: int, seconds: float = WAIT_SECONDS, *, source: str = "") -> None:
        """`source`: an address of 127.0.0.0/8 to come from."""
        self._seconds = seconds
        with self._bounded():
            self.socket = socket.create_connection(("127.0.0.1", port), seconds, (source, 0) if source else None)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._reading = self.socket.makefile("rb")

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise AssertionError(f"no answer within {self._seconds:g} s") from error
        except (OSError, ValueError) as error:
            raise Cut(str(error)) from error

    def send(self, octets: bytes) -> None:
        with self._bounded():
            self.socket.sendall(octets)

    def line(self) -> bytes:
        with self._bounded():
            line = self._reading.readline()
        if not line.endswith(b"\n"):
            raise Cut("end of the connection")
        return line

    def read(self, octets: int) -> bytes:
        with self._bounded():
            found = self._reading.read(octets)
        if len(found) < octets:
            raise Cut("end of the connection")
        return found

    def close(self) -> None:
        self._reading.close()
        self.socket.close()


class Smtp(Line):
    """An SMTP client."""

    def __init__(self, port: int, seconds: float = WAIT_SECONDS, *, source: str = "") -> None:
        super().__init__(port, seconds, source=source)
        self.expect(220)
        self.command(b"EHLO client.example", 250)

    def reply(self) -> bytes:
        """The last line of a reply."""
        while (line := self.line())[3:4] == b"-":
            pass
        return line

    def expect(self, code: int) -> bytes:
        line = self.reply()
        if line[:3] == b"421":
            raise Cut(line.decode())
        if line[:3] != b"%d" % code:
            raise Refused(line.decode())
        return line

    def command(self, octets: bytes, code: int) -> bytes:
        self.send(octets + b"\r\n")
        return self.expect(code)

    def deliver(self, recipients: Sequence[str], message: bytes) -> None:
        """One transaction by DATA; on return the final dot was answered by 250."""
        commands = [b"MAIL FROM:<sender@example.org>", *(b"RCPT TO:<%s>" % to.encode() for to in recipients)]
        self.send(b"".join(command + b"\r\n" for command in commands))
        for _ in commands:
            self.expect(250)
        self.command(b"DATA", 354)
        self.send(dotted(message))
        self.expect(250)


def dotted(message: bytes) -> bytes:
    """A message that ends in CRLF as DATA sends it (RFC 5321 §4.5.2)."""
    return (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


class Imap(Line):
    """An IMAP client. An answer is a list of untagged responses, each a list of octets: text, literal, text, literal, ..."""

    def __init__(self, port: int, user: str, password: str, seconds: float = WAIT_SECONDS) -> None:
        super().__init__(port, seconds)
        self._count = 0
        self.code = b""
        """The text of the last tagged OK."""
        self.response()
        if user:
            name, secret = user.encode(), password.encode()
            self.command(b"LOGIN {%d+}\r\n%s {%d+}\r\n%s" % (len(name), name, len(secret), secret))

    def response(self) -> list[bytes]:
        parts: list[bytes] = []
        while True:
            line = self.line()
            literal = _LITERAL.search(line)
            parts.append(line)
            if literal is None:
                return parts
            parts.append(self.read(int(literal[1])))

    def command(self, octets: bytes) -> list[list[bytes]]:
        """Run a command to its tagged OK and give what came before."""
        self._count += 1
        tag = b"T%d " % self._count
        self.send(tag + octets + b"\r\n")
        untagged: list[list[bytes]] = []
        while True:
            response = self.response()
            if response[0].startswith(tag):
                status, _, self.code = response[0][len(tag) :].partition(b" ")
                if status != b"OK":
                    raise Refused(response[0].decode())
                return untagged
            if response[0].startswith(b"* BYE"):
                raise Cut(response[0].decode())
            untagged.append(response)


def uid_set(text: bytes) -> list[int]:
    """The numbers of a sequence set without `*`, in its order."""
    numbers: list[int] = []
    for piece in text.split(b","):
        first, _, last = piece.partition(b":")
        numbers += range(int(first), int(last or first) + 1)
    return numbers
