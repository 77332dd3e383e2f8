"""Format of a journal segment: frames, each an arrival or an expunge, in blocks written once.

In: what the journal (journal.py) is to hold, or the octets of a segment. Out: octets, or the frames that are whole and have the
segment's *turn* (a random token of each time that the segment is filled). A revoked frame has another magic.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mic_mail.storage.message_names import parse_name

BLOCK_OCTETS = 4096
"""Block size. Each batch begins a block, so a torn write can only damage unpromised frames."""
_FRAME = struct.Struct(">4s8sII")
"""Magic, turn of the segment, length of what follows, and CRC-32 of turn and content.

The content is home, NUL, base name or location, NUL, message; or home, NUL, the expunged file.
"""
_MAGIC, _DEPARTED, _VOID = b"micJ", b"micX", b"micR"
TURN_OCTETS = 8
CLEAR = bytes(_FRAME.size)
"""Written where the first frame begins: marks an empty segment."""


@dataclass(frozen=True, slots=True)
class MessageLocation:
    """The target location of a message that had its UID before it was written to the journal."""

    mailbox_id: str
    """Id of the folder, which may have another name and directory at replay."""
    name: str
    """The whole file name, with size, UID and flags."""
    received_us: int
    """INTERNALDATE, the file's time."""


@dataclass(frozen=True, slots=True)
class Journaled:
    """A staged message: its account (folder below the mail root), base name and octets."""

    home: str
    base: str
    octets: bytes
    location: MessageLocation | None = None
    """None: INBOX, under a UID that the journal does not know."""
    at: int = field(default=-1, compare=False)
    """Offset in its segment."""

    def head(self) -> bytes:
        to = self.location
        where = self.base if to is None else f"{to.mailbox_id}/{to.received_us}/{to.name}"
        return b"%b\0%b\0" % (os.fsencode(self.home), os.fsencode(where))

    @classmethod
    def at_location(cls, home: str, location: MessageLocation, octets: bytes) -> "Journaled":
        return cls(home, parse_name(location.name).base, octets, location)

    @classmethod
    def of(cls, frame: bytes, at: int) -> "Journaled":
        """Parse `head` and octets; neither a base name nor a mailbox id contains "/"."""
        home, where, octets = frame.split(b"\0", 2)
        mailbox_id, _, rest = os.fsdecode(where).partition("/")
        if not rest:
            return cls(os.fsdecode(home), mailbox_id, octets, None, at)
        received_us, _, name = rest.partition("/")
        return cls(os.fsdecode(home), parse_name(name).base, octets, MessageLocation(mailbox_id, name, int(received_us)), at)


@dataclass(frozen=True, slots=True)
class ExpungedFrame:
    """An expunged message, whose file may lie in its folder again after a power loss."""

    home: str
    mailbox_id: str
    """Id of the folder."""
    name: str
    """File name in the folder."""
    expunged_as: str
    """File name in `.expunged/`."""
    at: int = field(default=-1, compare=False)
    """Offset in its segment."""

    @property
    def octets(self) -> bytes:
        return b""

    def head(self) -> bytes:
        return b"%b\0%b" % (os.fsencode(self.home), os.fsencode(f"{self.mailbox_id}/{self.name}/{self.expunged_as}"))

    @classmethod
    def of(cls, frame: bytes, at: int) -> "ExpungedFrame":
        """Parse `head`; neither a mailbox id nor a name contains "/"."""
        home, what = frame.split(b"\0")
        mailbox_id, name, expunged_as = os.fsdecode(what).split("/")
        return cls(os.fsdecode(home), mailbox_id, name, expunged_as, at)


Frame = Journaled | ExpungedFrame


def octets_of(frames: Sequence[Frame]) -> int:
    """Return the octets that the frames take in a segment, without the padding of their last block."""
    return sum(_FRAME.size + len(each.head()) + len(each.octets) for each in frames)


def block_of(frames: Sequence[Frame], turn: bytes) -> tuple[list[bytes], int, list[int]]:
    """Return the pieces of the blocks to write, their octets, and the offset of each frame in them.

    They are not joined: of messages of 100 KiB that is a copy of half a megabyte, in memory that the kernel has to clear.
    """
    pieces: list[bytes] = []
    places: list[int] = []
    at = 0
    for frame in frames:
        head = frame.head()
        crc = zlib.crc32(frame.octets, zlib.crc32(head, zlib.crc32(turn)))
        magic = _MAGIC if isinstance(frame, Journaled) else _DEPARTED
        pieces += (_FRAME.pack(magic, turn, len(head) + len(frame.octets), crc) + head, frame.octets)
        places.append(at)
        at += _FRAME.size + len(head) + len(frame.octets)
    padding = -at % BLOCK_OCTETS
    pieces.append(bytes(padding))
    return pieces, at + padding, places


def frames_in(segment: str | int) -> Iterator[Frame]:
    """Yield the whole frames of the segment's turn, in order. `segment`: path or descriptor."""
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
        found = beginning.search(octets, at + 1)  # in the next block, where a batch ends or is torn


def void(segment: int, places: Sequence[int]) -> None:
    """Mark the frames at these offsets, without sync or new space, so that no replay restores them."""
    for at in places:
        os.pwrite(segment, _VOID, at)


def mark_replayed(segment: int, frames: Sequence[Frame]) -> None:
    """Mark replayed frames durably, so that they are not restored again while others stay."""
    void(segment, [frame.at for frame in frames])
    os.fdatasync(segment)
