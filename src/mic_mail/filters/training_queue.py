"""What people say of messages, on its way to Rspamd: second names of their files in one folder, until they have been taught.

In: the file of a message, whose mailbox it is in, what was said of it. Out: `TrainingSample`s, oldest first. One is a file

    MICROSECONDS.MAILBOX.KEY.spam     or .ham; KEY is of the message, whatever it is called in its mailbox

A name is made or not made, so a kill leaves nothing half, and a message that is expunged meanwhile is taught all the same; a
power cut may forget the last ones. Who changes their mind has only the last word taught. Bounded: `MOST` wait, `MOST_OF_ONE` of
a mailbox; no more are taken. Blocking; times are passed in; several processes at once.
"""

import contextlib
import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mic_mail.errors import Text, Trouble

MOST = 2_000
MOST_OF_ONE = 400
"""While Rspamd is away for days, who tidies up leaves room for what others say."""
FOLDER_MODE = 0o700
_NAME = re.compile(r"(?P<at>[0-9]{1,17})\.(?P<mailbox>[0-9]{1,19})\.(?P<key>[0-9a-f]{24})\.(?P<said>spam|ham)")
_NO_LINK = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.ENOTSUP})
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One message, and what was said of it."""

    path: Path
    at_us: int
    mailbox_id: int
    key: str
    spam: bool


class Lessons:
    """All that wait, below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def note(self, mailbox_id: int, sources: Sequence[Path], *, spam: bool, now_us: int) -> int:
        """Take these messages in; how many were. One that is gone meanwhile, or whose like waits, is passed over."""
        try:
            self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            waiting = self.waiting()
            room = min(MOST - len(waiting), MOST_OF_ONE - sum(lesson.mailbox_id == mailbox_id for lesson in waiting))
            taken = 0
            for source in sources:
                if taken >= room:
                    break
                taken += self._note(mailbox_id, source, waiting, spam=spam, now_us=now_us + taken)
        except OSError as error:
            raise Trouble(Text("Không ghi được thư để học.", "What is to be learned cannot be kept.")) from error
        return taken

    def _note(self, mailbox_id: int, source: Path, waiting: Sequence[TrainingSample], *, spam: bool, now_us: int) -> bool:
        key = key_of(source.name)
        alike = [lesson for lesson in waiting if (lesson.mailbox_id, lesson.key) == (mailbox_id, key)]
        if any(lesson.spam is spam for lesson in alike):
            return False
        try:
            _link_or_copy(source, self._root / f"{now_us}.{mailbox_id}.{key}.{'spam' if spam else 'ham'}")
        except (FileNotFoundError, FileExistsError):
            return False
        for lesson in alike:
            self.forget(lesson)
        return True

    def waiting(self) -> list[TrainingSample]:
        """Oldest first; what is called otherwise is nobody's."""
        try:
            names = os.listdir(self._root)
        except FileNotFoundError:
            return []
        found = [(match, name) for name in names if (match := _NAME.fullmatch(name))]
        lessons = [
            TrainingSample(self._root / name, int(match["at"]), int(match["mailbox"]), match["key"], match["said"] == "spam")
            for match, name in found
        ]
        return sorted(lessons, key=lambda lesson: (lesson.at_us, lesson.path.name))

    def forget(self, lesson: TrainingSample) -> None:
        """It was taught, or never will be."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lesson.path)

    def sweep(self, before_seconds: float) -> None:
        """Remove copies that a kill has left half."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root) as entries:
            for entry in entries:
                if entry.name.endswith("~") and entry.stat().st_mtime < before_seconds:
                    os.unlink(entry.path)


def key_of(name: str) -> str:
    """The same for a message in all its folders, and whatever its flags: what stands before size and flags of a file's name."""
    return sha256(re.split(r"[,:]", name, maxsplit=1)[0].encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        half = Path(f"{target}~")
        with open(source, "rb") as reading, open(half, "wb", opener=_privately) as writing:
            while piece := reading.read(_PIECE):
                writing.write(piece)
        half.rename(target)


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
