"""A snapshot of INBOX at sign-in, this session's marks in it, and its long responses, piece by piece.

Message numbers mean the same messages until the end (RFC 1939 §4), and nothing is locked. The lists are the store's
shared arrays; a session adds one octet a message. Messages that others expunge meanwhile can be read while their
tombstones last, and stay in every list. A unique-id is `UIDVALIDITY.UID`: it outlives sessions, index and mail program.

Functions that take an `Account` block and run in an executor; each call of `pull` costs a slice of memory and no more.
"""

from collections.abc import Callable, Generator
from contextlib import closing

from mic_mail.errors import Refused, Text, Trouble
from mic_mail.mime.dot_stuffing import END, Stuffing
from mic_mail.pop3.top import Top
from mic_mail.storage.mailstore import Account
from mic_mail.storage.store import OpenMessage
from mic_mail.storage.types import INBOX, SEEN, FolderView

LINES_AT_ONCE = 4096
"""Lines of a listing made at a time; about 1 ms."""
SLICE_OCTETS = 256 << 10
TOP_SLICE_OCTETS = 32 << 10
"""Octets of a read for TOP: a header is small, and at most the rest of a slice is read in vain."""
_LINE_OCTETS = 80
REMOVED_AT_ONCE = 1_000
"""Messages removed at a time, so that deliveries have their turn while a full mailbox is emptied."""


class NoSuchNumber(Refused):
    """Raised where no message has that number, or it is marked as deleted."""

    def __init__(self) -> None:
        super().__init__(Text("Không có thư số đó.", "No such message."))


class Rebuilt(Trouble):
    """Raised where INBOX has another UIDVALIDITY than at sign-in: its UIDs may mean other messages."""

    def __init__(self) -> None:
        super().__init__(
            Text("Hộp thư đã được dựng lại; đề nghị kết nối lại.", "The mailbox was rebuilt; please connect again.")
        )


class Maildrop:
    """The messages of one session; numbers begin at 1, places at 0."""

    __slots__ = ("_all_octets", "_deleted", "_removed_to", "_retrieved", "_spared", "_view", "messages", "octets")

    def __init__(self, view: FolderView) -> None:
        self._view = view
        self._deleted = bytearray(len(view.uids))
        self._removed_to = 0
        self._retrieved: set[int] = set()  # without `\Seen` yet, and to stay
        self._spared: set[int] = set()  # the same, but marked as deleted: RSET may restore them
        self._all_octets = sum(view.sizes)
        self.messages = len(view.uids)
        """Number of messages not marked as deleted."""
        self.octets = self._all_octets
        """Octets of the messages not marked as deleted."""

    @classmethod
    def open(cls, account: Account) -> "Maildrop":
        """Return a snapshot of the present INBOX. Blocks."""
        return cls(account.view(account.folder(INBOX).folder_id))

    def __len__(self) -> int:
        return len(self._deleted)

    def place(self, number: int) -> int:
        """Return the place of a message; `NoSuchNumber` if it is deleted or does not exist."""
        if not 0 < number <= len(self) or self._deleted[number - 1]:
            raise NoSuchNumber
        return number - 1

    def size(self, place: int) -> int:
        """Return the octets that RETR sends, without dot-stuffing and an added line end (RFC 1939 §11)."""
        return self._view.sizes[place]

    def scan(self, place: int) -> bytes:
        return b"%d %d" % (place + 1, self._view.sizes[place])

    def unique_id(self, place: int) -> bytes:
        return b"%d %d.%d" % (place + 1, self._view.info.uidvalidity, self._view.uids[place])

    # ------------------------------------------------------------ deletion and flags

    def delete(self, place: int) -> None:
        """Mark a message as deleted: for this session now, for everybody at QUIT."""
        self._deleted[place] = 1
        self.messages -= 1
        self.octets -= self._view.sizes[place]
        if place in self._retrieved:
            self._retrieved.remove(place)
            self._spared.add(place)

    def is_deleted(self, place: int) -> bool:
        return bool(self._deleted[place])

    def reset(self) -> None:
        self._deleted = bytearray(len(self))
        self.messages, self.octets = len(self), self._all_octets
        self._retrieved |= self._spared
        self._spared.clear()

    def remove(self, account: Account) -> list[int]:
        """Expunge the next marked messages and return the removed UIDs. Blocks, writes.

        A message that others expunged or moved first is gone from INBOX already.
        """
        uids: list[int] = []
        while len(uids) < REMOVED_AT_ONCE and (place := self._deleted.find(1, self._removed_to)) >= 0:
            uids.append(self._view.uids[place])
            self._removed_to = place + 1
        self._check(account)
        return account.remove(self._view.info.folder_id, uids).uids

    @property
    def has_marked(self) -> bool:
        """True while a message is marked as deleted that `remove` has not handled."""
        return self._deleted.find(1, self._removed_to) >= 0

    def retrieved(self, place: int) -> int:
        """Note that the client has the whole message; return how many wait for `\\Seen`."""
        if not self._view.flags[place] & SEEN:
            self._retrieved.add(place)
        return len(self._retrieved)

    @property
    def has_unmarked(self) -> bool:
        """True while a retrieved message waits for `mark_seen`."""
        return bool(self._retrieved)

    def mark_seen(self, account: Account) -> None:
        """Set `\\Seen` on retrieved messages that stay. Blocks, writes."""
        uids = [self._view.uids[place] for place in sorted(self._retrieved)]
        self._retrieved.clear()
        self._check(account)
        account.store_flags(self._view.info.folder_id, uids, "+", SEEN)

    # ------------------------------------------------------------ the store

    def open_message(self, account: Account, place: int) -> OpenMessage:
        """Open the file of a message; raises `NoSuchMessage`. Blocks."""
        self._check(account)
        return account.open_message(self._view.info.folder_id, self._view.uids[place])

    def _check(self, account: Account) -> None:
        if account.folder(INBOX).uidvalidity != self._view.info.uidvalidity:
            raise Rebuilt


class LongAnswer:
    """The lines of a multi-line response, made in an executor as the client takes them."""

    def __init__(self, make: Callable[[Account], Generator[bytes, None, None]]) -> None:
        self._make = make
        self._pieces: Generator[bytes, None, None] | None = None
        self.over = False
        """True once the last piece was pulled, with the line that ends the response."""

    def pull(self, account: Account) -> bytes:
        """Return the next slice; the first call raises if there is nothing to send. Blocks."""
        if self._pieces is None:
            self._pieces = self._make(account)
        pulled: list[bytes] = []
        octets = 0
        while octets < SLICE_OCTETS and not self.over:
            piece = next(self._pieces, None)
            self.over = piece is None
            pulled.append(piece or b"")
            octets += len(pulled[-1])
        return b"".join(pulled)

    def close(self) -> None:
        """Release what is open: the rest is not needed."""
        if self._pieces is not None:
            self._pieces.close()


def listing(maildrop: Maildrop, *, unique_ids: bool) -> LongAnswer:
    """Return the response to LIST or UIDL of all messages."""
    line = maildrop.unique_id if unique_ids else maildrop.scan

    def pieces(account: Account) -> Generator[bytes, None, None]:
        for start in range(0, len(maildrop), LINES_AT_ONCE):
            places = range(start, min(start + LINES_AT_ONCE, len(maildrop)))
            yield b"".join([line(place) + b"\r\n" for place in places if not maildrop.is_deleted(place)])
        yield END

    return LongAnswer(pieces)


def message(maildrop: Maildrop, place: int, lines: int | None = None) -> LongAnswer:
    """Return the response to RETR, or to TOP where `lines` is the number of body lines."""

    def pieces(account: Account) -> Generator[bytes, None, None]:
        top = None if lines is None else Top(lines)
        size_at_once = SLICE_OCTETS if lines is None else min(SLICE_OCTETS, TOP_SLICE_OCTETS + lines * _LINE_OCTETS)
        stuffing, offset = Stuffing(), 0
        with closing(maildrop.open_message(account, place)) as file:
            while offset < file.size and not (top is not None and top.over):
                octets = file.pread(offset, size_at_once)
                if not octets:
                    raise Trouble("The message is shorter on disk than it was.")
                if top is not None:
                    octets = octets[: top.take(octets)]
                offset += len(octets)
                yield stuffing.feed(octets)
        yield stuffing.end()

    return LongAnswer(pieces)
