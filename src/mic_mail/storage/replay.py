"""What the journal gives back after a power loss, and what becomes of the segments of processes that were killed.

Plain files only, before any store is opened: a message whose name survived gets its content back, one whose name is lost
is put into INBOX's `cur` as one of ours with an unknown UID, where the comparison that follows under the new boot id
(reconcile.py) gives it the UID of the row that may have survived, or else the next above the mark. What was moved or expunged
since is found by its base name wherever it lies, and stays there. Idempotent: a kill anywhere in it leaves the segment, and the
next opening does the same again.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from operator import attrgetter

from mic_mail.storage.journal import FAILED, FOLDER, LOCK, Journaled, arrivals_in, locked, open_home, sync_file_system
from mic_mail.storage.maildir import MESSAGE_MODE, UNKNOWN_UID, Place, format_name, make_durable, parse_name

_CAME = re.compile(r"([0-9]+)\.M([0-9]+)P")
"""Seconds and microseconds in a base name of ours."""


def recover(mail_root: str, boot_id: str) -> int:
    """Give back what segments of earlier boots hold; how many messages were mended. One stat where there is no journal."""
    mended = 0
    for path, segment in _segments(mail_root, lambda name: not name.startswith(f"{boot_id}.")):
        mended += _replay(mail_root, segment)
        os.unlink(path)
        make_durable(os.path.dirname(path))
    return mended


def settle_left_behind(mail_root: str, boot_id: str) -> None:
    """Sync what processes of this boot have left in segments when they were killed.

    The file systems and not the messages: others are at work there, and a listing hides what they rename (maildir.names_in).
    """
    for path, segment in _segments(mail_root, lambda name: name.startswith(f"{boot_id}.") and not name.endswith(FAILED)):
        try:
            _sync_file_systems(mail_root, {arrival.home for arrival in arrivals_in(segment)})
        except OSError:
            os.rename(path, path + FAILED)
            raise
        os.unlink(path)


def _segments(mail_root: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """Paths and descriptors of those that no living process holds; the folder is locked meanwhile."""
    folder = f"{mail_root}/{FOLDER}"
    if not os.path.isdir(folder):
        return
    with locked(folder, fcntl.LOCK_EX):
        for name in sorted(os.listdir(folder)):
            if name == LOCK or not wanted(name):
                continue
            with suppress(FileNotFoundError), open(f"{folder}/{name}", "r+b") as segment:  # its process may just have ended
                try:
                    fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # its process lives
                if os.fstat(segment.fileno()).st_nlink:
                    yield segment.name, segment.fileno()


def _sync_file_systems(mail_root: str, homes: Iterable[str]) -> None:
    synced: set[int] = set()
    for home in homes:
        fd = open_home(mail_root, home)
        try:
            device = os.fstat(fd).st_dev
            if device not in synced:
                sync_file_system(fd)
                synced.add(device)
        finally:
            os.close(fd)


def _replay(mail_root: str, segment: int) -> int:
    mended = 0
    for home, arrivals in groupby(sorted(arrivals_in(segment), key=attrgetter("home")), key=attrgetter("home")):
        place = Place(f"{mail_root}/{home}")
        if os.path.isdir(f"{place.maildir}/cur"):
            mended += _replay_account(place, list(arrivals))
    return mended


def _replay_account(place: Place, arrivals: list[Journaled]) -> int:
    """What is whole was read from the disk, so only names may have to be fsynced: those that a killed replay has given."""
    mended = 0
    present = _files_by_base(place)
    for arrival in arrivals:
        lost = f"{place.cur('')}/{format_name(arrival.base, len(arrival.octets), UNKNOWN_UID, 0)}"
        for path in present.get(arrival.base, [lost]):
            if not _holds(path, arrival.octets):
                _put(place, path, arrival)
                mended += 1
    for directory in {os.path.dirname(path) for paths in present.values() for path in paths} | {place.cur("")}:
        make_durable(directory)
    return mended


def _files_by_base(place: Place) -> dict[str, list[str]]:
    """Every message of the account, expunged ones and those of deleted folders included."""
    found: dict[str, list[str]] = {}
    for directory, _, names in os.walk(place.maildir):
        if os.path.basename(directory) == "tmp":
            continue  # staged and not published, or being put here by a replay that was killed
        buried = directory == place.expunged  # there each name begins with the id of its folder (maildir.expunged_name)
        for name in names:
            found.setdefault(parse_name(name.partition(".")[2] if buried else name).base, []).append(f"{directory}/{name}")
    return found


def _holds(path: str, octets: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(octets) + 1) == octets
    except FileNotFoundError:
        return False


def _put(place: Place, path: str, arrival: Journaled) -> None:
    """The message under this name, whole or not at all; the file's time, which says the order of new UIDs, is when it came."""
    staging = f"{place.tmp}/{arrival.base}.replayed"
    with suppress(FileNotFoundError):
        os.unlink(staging)  # of a replay that was killed: nobody may open it for writing any more
    fd = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MESSAGE_MODE)
    try:
        view = memoryview(arrival.octets)
        while view:
            view = view[os.write(fd, view) :]
        if came := _CAME.match(arrival.base):
            ns = (int(came[1]) * 1_000_000 + int(came[2])) * 1000
            os.utime(fd, ns=(ns, ns))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(staging, path)
