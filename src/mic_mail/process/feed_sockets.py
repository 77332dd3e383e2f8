"""The sockets of the change feed: datagrams to the other processes, and their watchlists.

A watchlist names the accounts that a process watches. A datagram is one octet for its kind and the content of that kind. It
is sent without ever waiting, and may be lost: the polls of the change feed find what was missed.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from mic_mail.process.file_traces import Traces

PREFIX = "feed."
"""The first letters of the names of the sockets."""
ACCOUNTS, DIRECTORY, CHECK_ALL, WORD, WIDE_WORD, HERE = b"a", b"d", b"!", b"w", b"W", b"h"
"""The kinds of datagrams, their first octet.

Changed accounts, a changed directory, "check all", a broadcast to this server's processes, one to those of all servers that
have the same mailboxes, a socket that is new.
"""
PAIR = struct.Struct("<QQ")
"""Account id and MODSEQ: `ACCOUNTS` is followed by any number of them."""
_WATCHLIST = "watched."
_READ_AT_ONCE = 1 << 16
"""Octets of a watchlist that are read at once: 4 us; a million take 70 (tmpfs)."""
_PAIRS_PER_DATAGRAM = 500
DATAGRAM_OCTETS = 1 + _PAIRS_PER_DATAGRAM * PAIR.size
"""Octets of the longest datagram."""


def watchlist_name(name: str) -> str:
    """Return the name in the run_dir of the watchlist of this process."""
    return _WATCHLIST + name


class Watchlist:
    """The accounts that a process watches, published to its siblings in `<run_dir>/watched.<name>`.

    The file has one octet for each account, at the offset of its id. A session sets it before its first poll, and a writer
    reads it after its commit: either the poll sees the change, or the writer sees the octet. The same file is used again after
    a restart. A process without this file is notified of every change.
    """

    def __init__(self, folder: int, name: str) -> None:
        self._folder, self._name = folder, name
        self._fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=folder)
        os.ftruncate(self._fd, 0)

    def note(self, account_id: int, *, is_watched: bool) -> None:
        if self._fd < 0:
            return
        try:
            os.pwrite(self._fd, b"\1" if is_watched else b"\0", account_id)
        except OSError:  # no space: siblings notice it when they next refresh their peers
            self.close()
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Peers:
    """The feed sockets of the other processes; datagrams are sent without ever waiting."""

    def __init__(self, run_dir: Path, own_name: str | None) -> None:
        self._folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
        self._own = own_name and PREFIX + own_name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._names: tuple[str, ...] = ()
        self._watchlists: dict[str, int] = {}
        self.undelivered: set[str] = set()
        self._traces = Traces()
        self.refresh()

    def listen(self) -> socket.socket:
        """Make the own socket, on which the others are heard from now on, and tell them of it."""
        assert self._own is not None, "who only sends has no name"
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listening.setblocking(False)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._own, dir_fd=self._folder)
        listening.bind(self.address(self._own))
        self.refresh()  # whoever came before this socket could tell nobody here
        self.send([HERE])
        return listening

    def refresh(self) -> None:
        """List the feed sockets in the run_dir again."""
        self._names = tuple(name for name in os.listdir(self._folder) if name.startswith(PREFIX) and name != self._own)
        self.undelivered.intersection_update(self._names)
        self._close_watchlists()
        for name in self._names:
            with contextlib.suppress(OSError):
                at = watchlist_name(name.removeprefix(PREFIX))
                self._watchlists[name] = os.open(at, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)

    def refresh_if_changed(self) -> None:
        """Refresh if a file was made or removed in the run_dir since the last polls."""
        has_changed = self._traces.have_changed(os.stat(self._folder).st_mtime_ns)
        if has_changed or len(self._watchlists) < len(self._names):  # one could not be opened, or a process has none
            try:
                self.refresh()
            except OSError:
                self._traces.forget()
                raise

    def watchlist(self, name: str) -> Watchlist:
        """Create the watchlist of this process under this name."""
        return Watchlist(self._folder, watchlist_name(name))

    def publish(self, changed: Mapping[int, int]) -> None:
        """Send the new MODSEQs by account to the processes that watch these accounts."""
        for name in self._names:
            pairs = [PAIR.pack(account_id, changed[account_id]) for account_id in self._watched(name, changed)]
            chunks = range(0, len(pairs), _PAIRS_PER_DATAGRAM)
            if pairs:
                self.send([ACCOUNTS + b"".join(pairs[i : i + _PAIRS_PER_DATAGRAM]) for i in chunks], [name])

    def _watched(self, name: str, accounts: Collection[int]) -> Collection[int]:
        """Return those of the accounts that the process watches; one read for all that are not far apart."""
        fd = self._watchlists.get(name)
        if fd is None or not accounts:
            return accounts
        first, last = min(accounts), max(accounts)
        try:
            if last - first >= _READ_AT_ONCE:
                return [account_id for account_id in accounts if os.pread(fd, 1, account_id) == b"\1"]
            octets = os.pread(fd, last - first + 1, first)
        except OSError:
            return accounts
        return [account_id for account_id in accounts if octets[account_id - first : account_id - first + 1] == b"\1"]

    def _close_watchlists(self) -> None:
        for fd in self._watchlists.values():
            os.close(fd)
        self._watchlists.clear()

    def address(self, name: str) -> str:
        """Return a socket path that fits into 108 octets, however deep the run_dir lies."""
        return f"/proc/self/fd/{self._folder}/{name}"

    def send(self, datagrams: Sequence[bytes], only: Iterable[str] | None = None) -> None:
        """Send to every peer, or to `only`.

        A peer whose queue is full gets a pending "check all". A peer that is gone gets nothing.
        """
        for name in self._names if only is None else tuple(only):
            due = [*datagrams, CHECK_ALL] if name in self.undelivered else datagrams
            self.undelivered.discard(name)
            try:
                for datagram in due:
                    self._socket.sendto(datagram, self.address(name))
            except BlockingIOError:
                self.undelivered.add(name)
            except OSError:  # restarting: it checks everything when it starts
                continue

    def close(self) -> None:
        """Close the files; what is sent afterwards is dropped."""
        self._names = ()
        self.undelivered.clear()
        self._close_watchlists()
        self._socket.close()
        os.close(self._folder)
