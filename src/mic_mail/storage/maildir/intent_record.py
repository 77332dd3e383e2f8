"""The intent record: a lock holder's next changes of names, written to the lock's file beforehand.

A kill can fall between a rename and the COMMIT. The next holder finds the record and makes the names agree with the index: if
the record's serial is committed the change happened (*forward*: finish what follows the COMMIT), if not it did not (*back*:
undo the names in reverse order). Both are idempotent, so a kill in the middle of them is harmless too. The record needs no
fsync: after a power loss the whole index is compared with the names (epoch), and a record under another boot id is ignored.

Frame: 8 octets of length, 4 of CRC-32, then JSON. Later intents of the same change come in further frames. The CRC of each
continues the one before, and zeros end the last frame, so no frame of an older record is taken for one of this record. A frame
whose CRC fails was never completed, and names are only changed after its frame is; clearing writes zeros over the first head.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

_HEAD = 12
_CLEAR = bytes(_HEAD)
_KEEP_OCTETS = 64 << 10


@dataclass(slots=True)
class Intent:
    serial: int
    """Serial of the account's row once the change is committed."""
    boot_id: str
    renames: list[tuple[str, str]] = field(default_factory=list)
    """(from, to) of files or directories; undone by renaming back."""
    moves: list[tuple[str, str, str, str]] = field(default_factory=list)
    """Many renames from one directory to another: both directories, the old names and the new ones.

    The names are in one string each, with a slash between them: as pairs of paths, 2,000 files would take half a megabyte.
    """
    links: list[str] = field(default_factory=list)
    """New names of old content; undone by unlinking."""
    leftovers: list[str] = field(default_factory=list)
    """Files to unlink once the change is committed."""
    sidecars: list[int] = field(default_factory=list)
    """Folders (0: the account) whose sidecar may differ from the index until rewritten from it."""

    def add(self, later: "Intent") -> None:
        self.renames += later.renames
        self.moves += later.moves
        self.links += later.links
        self.leftovers += later.leftovers
        self.sidecars += later.sidecars


@dataclass(frozen=True, slots=True)
class Written:
    """The end of a record in the file, and its checksum."""

    end: int
    checksum: int


NOTHING = Written(0, 0)

_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_FIELDS = tuple(field.name for field in fields(Intent))


def move_of(source: str, target: str, names: Iterable[tuple[str, str]]) -> tuple[str, str, str, str]:
    """Return an entry of `Intent.moves` for files of `source` that get these (old, new) names in `target`."""
    old, new = zip(*names, strict=True)
    return source, target, "/".join(old), "/".join(new)


def write_intent(fd: int, intent: Intent, before: Written = NOTHING) -> Written:
    """Write a record, or append to the one that was written `before`."""
    body = _ENCODE({name: getattr(intent, name) for name in _FIELDS}).encode()
    checksum = zlib.crc32(body, before.checksum)
    frame = memoryview(len(body).to_bytes(8, "big") + checksum.to_bytes(4, "big") + body + _CLEAR)
    at = 0
    while at < len(frame):
        at += os.pwrite(fd, frame[at:], before.end + at)
    return Written(before.end + _HEAD + len(body), checksum)


def clear_intent(fd: int, written: Written = NOTHING) -> None:
    os.pwrite(fd, _CLEAR, 0)
    if written.end > _KEEP_OCTETS:
        os.ftruncate(fd, _HEAD)


def read_intent(fd: int) -> Intent | None:
    """Return the unfinished record, or None: nothing was under way, or nothing had been changed yet."""
    intent: Intent | None = None
    at = checksum = 0
    while True:
        head = os.pread(fd, _HEAD, at)
        length = int.from_bytes(head[:8], "big")
        if not length or len(head) < _HEAD or length > os.fstat(fd).st_size:
            return intent
        body = os.pread(fd, length, at + _HEAD)
        checksum = zlib.crc32(body, checksum)
        if len(body) != length or checksum.to_bytes(4, "big") != head[8:]:
            return intent
        fields = json.loads(body)
        fields["renames"] = [tuple(pair) for pair in fields["renames"]]
        fields["moves"] = [tuple(move) for move in fields.get("moves", ())]  # none in what an earlier version left
        if intent is None:
            intent = Intent(**fields)
        else:
            intent.add(Intent(**fields))
        at += _HEAD + length


def roll_back(intent: Intent) -> None:
    """Undo what was done of the change; a file whose old directory is gone waits for the next comparison."""
    for name in reversed(intent.links):
        _unlink(name)
    for old, new in reversed(intent.renames):
        _rename_back(old, new)
    for source, target, old_names, new_names in reversed(intent.moves):
        for old, new in zip(old_names.split("/"), new_names.split("/"), strict=True):
            _rename_back(f"{source}/{old}", f"{target}/{new}")


def _rename_back(old: str, new: str) -> None:
    if os.path.lexists(new) and not os.path.lexists(old):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.rename(new, old)


def roll_forward(intent: Intent) -> None:
    """Do what follows the COMMIT, except sidecars."""
    for name in intent.leftovers:
        _unlink(name)


def _unlink(name: str) -> None:
    try:
        os.unlink(name)
    except FileNotFoundError:
        pass
