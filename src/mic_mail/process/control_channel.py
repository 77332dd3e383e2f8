"""The control channel between the supervisor and a child, and the specification that starts a child.

A child is forked with a `ChildSpec` (configuration, listening sockets by number, its end of the channel). The channel is a
stream of JSON objects, one a line:

    supervisor -> child    {"do": "drain"}    {"do": "reload", "config": "..."}    {"do": "recover"}  (the housekeeper)
                           {"do": "report", "question": 7}
    child -> supervisor    {"kind": "ready"}    {"kind": "report", "question": 7, ...numbers for `status`...}
                           {"kind": "idle"}  (a child on demand: it ends for lack of work)

A child reports when it is asked. It also reports unasked when it becomes ready, when its confinement has become too narrow, and
every LIFE_SIGN_SECONDS.

When the supervisor ends, the channel closes; a child that reads the end of the stream drains and exits. Lines are bounded by
LONGEST_LINE.
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

from mic_mail.config.model import Config

LONGEST_LINE = 1 << 20
LIFE_SIGN_SECONDS = 10.0
"""A child reports so often; the first time, half as much later at most (`process.timer_grid`)."""

Message = dict[str, object]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """Everything that a child needs and might not be able to read for itself."""

    role: str
    """`worker`, `housekeeper`, `sender`, `indexer` or `web`."""
    name: str
    config: Config
    """The supervisor's own object, which a child shares: one of its own would take 2 MiB of each."""
    channel: int
    listeners: tuple[tuple[str, int], ...] = ()
    """Pairs of listener name and descriptor."""
    tally: int | None = None
    """The descriptor of the page on which the workers count their connections (`net.connection_balancer`)."""
    row: int = 0
    """The row of this worker on that page."""
    locks: tuple[int, ...] = ()
    """The descriptors of the data locks (`process.data_locks`), held until a server's last process ends."""
    secret: str = field(default="", repr=False)
    """A random secret shared by all children of one supervisor; nothing else knows it or stores it."""
    tee: bool = False
    """Write events to standard error as well, for a person who watches."""

    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptors that the child must inherit."""
        tally = () if self.tally is None else (self.tally,)
        return (self.channel, *(fd for _, fd in self.listeners), *tally, *self.locks)


class Channel:
    """One end of the stream, non-blocking."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self.socket = end
        self._unread = b""
        self._unsent = b""
        """The rest of a message that the other end has accepted only in part."""

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Return whether the other end has accepted a message only in part."""
        return bool(self._unsent)

    def send(self, message: Message) -> bool:
        """Accept a message, whose rest may wait for `flush`; False if the other end is gone or does not read."""
        if not self.flush():
            return False
        line = json.dumps(message).encode() + b"\n"
        try:
            self._unsent = line[self.socket.send(line) :]
        except OSError:
            return False
        return True

    def flush(self) -> bool:
        """Send the rest of the message that was accepted last, and return whether nothing is left."""
        try:
            if self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except OSError:
            return False
        return not self._unsent

    def receive(self) -> Iterator[Message | None]:
        """Yield the messages that have arrived; None when the other end has closed or sent invalid data."""
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
