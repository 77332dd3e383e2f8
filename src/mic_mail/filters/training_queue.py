"""The training queue: messages that people marked as spam or ham, until Rspamd has learned them.

They are second links to the message files in one folder; copies, where a message is no file. In: the file of a message or its
octets, its mailbox, the verdict. Out: `TrainingSample`s, oldest first. One is a file

    MICROSECONDS.MAILBOX.KEY.spam     or .ham; KEY identifies the message, whatever its file in the mailbox is called

A link is made or not made, so a kill leaves nothing partial, and a message that is expunged meanwhile is learned all the
same; a power cut may lose the last ones. If a user changes their mind, only the last verdict is learned. Bounded: `MOST`
in all, `MOST_OF_ONE` of a mailbox; no more are taken. Blocking; times are passed in; several processes may use it.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from mic_mail.errors import Text, Trouble

MOST = 2_000
MOST_OF_ONE = 400
"""Bound on samples of one mailbox: one user who tidies up leaves space for others."""
FOLDER_MODE = 0o700
_NAME = re.compile(r"(?P<at>[0-9]{1,17})\.(?P<mailbox>[0-9]{1,19})\.(?P<key>[0-9a-f]{24})\.(?P<verdict>spam|ham)")
_NO_LINK = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP})
_PIECE = 1 << 20

Pieces = Callable[[], Iterator[bytes]]
"""Yields the octets of a message."""
Place = Callable[[Path], None]
"""Makes a message's file at a path."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One message and its verdict."""

    path: Path
    at_us: int
    mailbox_id: int
    key: str
    spam: bool


class TrainingQueue:
    """All waiting samples below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def note(self, mailbox_id: int, sources: Sequence[Path], *, spam: bool, now_us: int) -> int:
        """Add messages, and return how many; those gone, or waiting with the same verdict, are skipped."""
        placing = [(source.name, partial(_link_or_copy, source)) for source in sources]
        return self._note_all(mailbox_id, placing, spam=spam, now_us=now_us)

    def note_as(self, name: str, mailbox_id: int, source: Path, *, spam: bool, now_us: int) -> int:
        """Add one message by another name than that of its file, as `note`."""
        return self._note_all(mailbox_id, [(name, partial(_link_or_copy, source))], spam=spam, now_us=now_us)

    def note_copies(self, mailbox_id: int, messages: Sequence[tuple[str, Pieces]], *, spam: bool, now_us: int) -> int:
        """Add copies of messages by their names, and return how many, as `note`.

        One whose octets raise FileNotFoundError is gone.
        """
        placing = [(name, partial(_copy, pieces)) for name, pieces in messages]
        return self._note_all(mailbox_id, placing, spam=spam, now_us=now_us)

    def _note_all(self, mailbox_id: int, placing: Sequence[tuple[str, Place]], *, spam: bool, now_us: int) -> int:
        try:
            self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            waiting = self.waiting()
            room = min(MOST - len(waiting), MOST_OF_ONE - sum(sample.mailbox_id == mailbox_id for sample in waiting))
            taken = 0
            for name, place in placing:
                if taken >= room:
                    break
                taken += self._note(mailbox_id, name, place, waiting, spam=spam, now_us=now_us + taken)
        except OSError as error:
            raise Trouble(Text("Không ghi được thư để học.", "The training sample cannot be stored.")) from error
        return taken

    def _note(
        self, mailbox_id: int, name: str, place: Place, waiting: Sequence[TrainingSample], *, spam: bool, now_us: int
    ) -> bool:
        key = key_of(name)
        alike = [sample for sample in waiting if (sample.mailbox_id, sample.key) == (mailbox_id, key)]
        if any(sample.spam is spam for sample in alike):
            return False
        try:
            place(self._root / f"{now_us}.{mailbox_id}.{key}.{'spam' if spam else 'ham'}")
        except (FileNotFoundError, FileExistsError):
            return False
        for sample in alike:
            self.forget(sample)
        return True

    def waiting(self) -> list[TrainingSample]:
        """Return the samples, oldest first; files with other names are ignored."""
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return []
        found = [(match, name) for name in names if (match := _NAME.fullmatch(name))]
        samples = [
            TrainingSample(self._root / name, int(match["at"]), int(match["mailbox"]), match["key"], match["verdict"] == "spam")
            for match, name in found
        ]
        return sorted(samples, key=lambda sample: (sample.at_us, sample.path.name))

    def forget(self, sample: TrainingSample) -> None:
        """Remove a sample that was learned, or never will be."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(sample.path)

    def sweep(self, before_seconds: float) -> None:
        """Remove copies that a kill has left incomplete."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name.endswith("~") and entry.stat().st_mtime < before_seconds:
                    os.unlink(entry.path)


def key_of(name: str) -> str:
    """Return a message's key, the same in all folders: from its file name before size and flags."""
    return sha256(re.split(r"[,:]", name, maxsplit=1)[0].encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        with open(source, "rb") as reading:
            _copy(lambda: iter(lambda: reading.read(_PIECE), b""), target)


def _copy(pieces: Pieces, target: Path) -> None:
    half = Path(f"{target}~")
    try:
        with open(half, "wb", opener=_privately) as writing:
            writing.writelines(pieces())
    except FileNotFoundError:  # it has gone
        half.unlink(missing_ok=True)
        raise
    half.rename(target)


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
