"""What a supervisor and its children say to each other, and with what a child is started.

A child is forked with a `ChildSpec` (configuration, listening sockets by number, its end of the channel). The channel is a
stream of JSON objects, one a line:

    supervisor -> child    {"do": "drain"}    {"do": "reload", "config": "..."}    {"do": "recover"}  (the housekeeper)
    child -> supervisor    {"told": "ready"}    {"told": "report", ...numbers for `status`...}

The end of the channel is the end of the supervisor; a child that reads it drains and exits. Lines are bounded by LONGEST_LINE.
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

LONGEST_LINE = 1 << 20

Message = dict[str, object]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """Everything that a child needs and cannot read for itself: it may not have the rights, or the file may have changed."""

    role: str
    """`worker`, `housekeeper`, `sender`, `indexer` or `web`."""
    name: str
    config: str
    """The configuration as JSON."""
    channel: int
    listeners: tuple[tuple[str, int], ...] = ()
    """(door, descriptor)"""
    tally: int | None = None
    """The descriptor of the page on which the workers count their connections (`net.sharing`)."""
    row: int = 0
    """This worker's on that page."""
    locks: tuple[int, ...] = ()
    """The descriptors of the data's locks (`process.data_locks`): held until the last process of a server has ended."""
    secret: str = field(default="", repr=False)
    """Random, the same for all children of one supervisor, known to nobody else and kept nowhere."""
    tee: bool = False
    """Show events on standard error, for people who watch."""

    def descriptors(self) -> tuple[int, ...]:
        """What has to be inherited."""
        tally = () if self.tally is None else (self.tally,)
        return (self.channel, *(fd for _, fd in self.listeners), *tally, *self.locks)


class Channel:
    """One end of the stream, non-blocking."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self._unread = b""
        self._unsent = b""
        """The rest of a message of which the other end has taken a part."""

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Message) -> bool:
        """Take a message to be sent, or say False: the other end is gone, or has not read what it was told before.

        Of one that was taken the rest may wait for `flush`."""
        if not self.flush():
            return False
        line = json.dumps(message).encode() + b"\n"
        try:
            self._unsent = line[self.socket.send(line) :]
        except OSError:
            return False
        return True

    def flush(self) -> bool:
        """Send what is left of the message that was taken last; whether nothing is."""
        try:
            if self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except OSError:
            return False
        return not self._unsent

    def receive(self) -> Iterator[Message | None]:
        """What has come; None when the other end has closed (or talks nonsense)."""
        while True:
            try:
                octets = self.socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                octets = b""
            if not octets or len(self._unread) > LONGEST_LINE:
                yield None
                return
            *lines, self._unread = (self._unread + octets).split(b"\n")
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    yield None
                    return
                if isinstance(message, dict):
                    yield message

    def close(self) -> None:
        self.socket.close()
