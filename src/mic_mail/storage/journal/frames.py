"""What a segment of the journal holds: frames, each a message or what has departed, in blocks that are written once.

In: what the journal (journal.py) is told, or the octets of a segment. Out: octets, or the frames that are whole and of the
segment's turn. A frame that counts no more has another magic.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mic_mail.storage.maildir.maildir import parse_name

BLOCK_OCTETS = 4096
"""Each wave begins a block, so that a power loss in the middle of a write can tear only what was not promised."""
_FRAME = struct.Struct(">4s8sII")
"""Magic, turn of the segment, octets of what follows and CRC-32 of both: home, NUL, base name or berth, NUL, message; or home,
NUL, what has departed."""
_MAGIC, _DEPARTED, _VOID = b"micJ", b"micX", b"micR"
TURN_OCTETS = 8
CLEAR = bytes(_FRAME.size)
"""Written where the first frame begins: a segment that holds nothing."""


@dataclass(frozen=True, slots=True)
class MessageLocation:
    """Where a message is about to lie, that had its UID before it was written down here."""

    mailbox_id: str
    """Of the folder, which may have another name and directory when it is looked for."""
    name: str
    """The whole file name: size, UID and flags too."""
    received_us: int
    """INTERNALDATE, the file's time."""


@dataclass(frozen=True, slots=True)
class Journaled:
    """A staged message: whose it is (the account's folder below the mail root), its base name, its octets."""

    home: str
    base: str
    octets: bytes
    berth: MessageLocation | None = None
    """None: INBOX, under a UID that the journal does not know."""
    at: int = field(default=-1, compare=False)
    """Where in its segment."""

    def head(self) -> bytes:
        where = self.base if self.berth is None else f"{self.berth.mailbox_id}/{self.berth.received_us}/{self.berth.name}"
        return b"%b\0%b\0" % (os.fsencode(self.home), os.fsencode(where))

    @classmethod
    def at_location(cls, home: str, berth: MessageLocation, octets: bytes) -> "Journaled":
        return cls(home, parse_name(berth.name).base, octets, berth)

    @classmethod
    def of(cls, frame: bytes, at: int) -> "Journaled":
        """The opposite of `head` and octets; neither a base name nor a mailbox id has a "/" in it."""
        home, where, octets = frame.split(b"\0", 2)
        mailbox_id, _, rest = os.fsdecode(where).partition("/")
        if not rest:
            return cls(os.fsdecode(home), mailbox_id, octets, None, at)
        received_us, _, name = rest.partition("/")
        return cls(os.fsdecode(home), parse_name(name).base, octets, MessageLocation(mailbox_id, name, int(received_us)), at)


@dataclass(frozen=True, slots=True)
class ExpungedFrame:
    """A message that was expunged, whose file may lie in its folder again after a power loss."""

    home: str
    mailbox_id: str
    """Of the folder."""
    name: str
    """Its file there."""
    buried: str
    """Its file in `.expunged/`."""
    at: int = field(default=-1, compare=False)
    """Where in its segment."""

    @property
    def octets(self) -> bytes:
        return b""

    def head(self) -> bytes:
        return b"%b\0%b" % (os.fsencode(self.home), os.fsencode(f"{self.mailbox_id}/{self.name}/{self.buried}"))

    @classmethod
    def of(cls, frame: bytes, at: int) -> "ExpungedFrame":
        """The opposite of `head`; neither a mailbox id nor a name has a "/" in it."""
        home, what = frame.split(b"\0")
        mailbox_id, name, buried = os.fsdecode(what).split("/")
        return cls(os.fsdecode(home), mailbox_id, name, buried, at)


Frame = Journaled | ExpungedFrame


def octets_of(frames: Sequence[Frame]) -> int:
    """How much of a segment they take, but for what fills their last block."""
    return sum(_FRAME.size + len(each.head()) + len(each.octets) for each in frames)


def block_of(frames: Sequence[Frame], turn: bytes) -> tuple[bytes, list[int]]:
    """The blocks to write, and where in them each frame begins."""
    pieces: list[bytes] = []
    places: list[int] = []
    at = 0
    for frame in frames:
        head = frame.head()
        crc = zlib.crc32(frame.octets, zlib.crc32(head, zlib.crc32(turn)))
        magic = _MAGIC if isinstance(frame, Journaled) else _DEPARTED
        pieces += (_FRAME.pack(magic, turn, len(head) + len(frame.octets), crc), head, frame.octets)
        places.append(at)
        at += _FRAME.size + len(head) + len(frame.octets)
    pieces.append(bytes(-at % BLOCK_OCTETS))
    return b"".join(pieces), places


def arrivals_in(segment: str | int) -> Iterator[Journaled]:
    """The messages of a segment, path or descriptor, that are whole and of its turn, in order."""
    return (frame for frame in frames_in(segment) if isinstance(frame, Journaled))


def frames_in(segment: str | int) -> Iterator[Frame]:
    """The same with what was expunged."""
    with open(segment, "rb", closefd=isinstance(segment, str)) as file:
        file.seek(0)
        octets = file.read()
    if not octets.startswith((_MAGIC, _DEPARTED, _VOID)):
        return
    turn = octets[len(_MAGIC) : len(_MAGIC) + TURN_OCTETS]
    beginning = re.compile(b"(?:%b|%b)%b" % (_MAGIC, _DEPARTED, re.escape(turn)), re.DOTALL)
    found = beginning.search(octets)
    while found is not None and (at := found.start()) <= len(octets) - _FRAME.size:
        magic, turn, length, crc = _FRAME.unpack_from(octets, at)
        frame = octets[at + _FRAME.size : at + _FRAME.size + length]
        if len(frame) == length and zlib.crc32(frame, zlib.crc32(turn)) == crc:
            yield Journaled.of(frame, at) if magic == _MAGIC else ExpungedFrame.of(frame, at)
            at += length
        found = beginning.search(octets, at + 1)  # in the next block, where a wave ends or is torn


def void(segment: int, places: Sequence[int]) -> None:
    """The frames that begin there are not to be given back. Takes no new room on the disk; nothing is synced."""
    for at in places:
        os.pwrite(segment, _VOID, at)


def mark_replayed(segment: int, frames: Sequence[Frame]) -> None:
    """Others have to stay in the segment, and these must not be given back once more."""
    void(segment, [frame.at for frame in frames])
    os.fdatasync(segment)
