"""Replay of the journal after a power loss, and the segments of killed processes.

Works on plain files only, before any store is opened. A message whose name survived gets its content back. One whose name is
lost gets it again in the folder where it was, if the journal knows it (`MessageLocation`): with its UID and flags, and
INTERNALDATE as the file's time. Else it is put into INBOX's `cur` as a file of ours with an unknown UID; the comparison that
follows under the new boot id (reconcile.py) gives it the UID of the row that may have survived, or else the next above the
mark. A message that was moved or expunged since is found by its base name wherever it lies, and stays there.

An expunged message whose file lies in its folder again goes back to `.expunged/`, after all restored messages are in place: a
message and its expunge may be in the segments of two processes, so none is removed before all have been replayed. Idempotent: a
kill at any point leaves the segments, and the next opening does the same again.
"""

import fcntl
import os
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import attrgetter

from mic_mail.durable_files import make_durable, write_all
from mic_mail.storage.journal.frames import ExpungedFrame, Frame, Journaled, frames_in, mark_replayed
from mic_mail.storage.journal.journal import FAILED, FOLDER, LOCK, locked
from mic_mail.storage.maildir.folder_names import EXPUNGED, encode_directory
from mic_mail.storage.maildir.maildir import FOLDER_MODE, MESSAGE_MODE, AccountPaths, make_tmp
from mic_mail.storage.maildir.sidecars import FolderSidecar
from mic_mail.storage.maildir.syncfs import note_device, sync_file_system
from mic_mail.storage.message_names import UNKNOWN_UID, format_name, parse_name
from mic_mail.storage.types import SYSTEM_FLAGS

_CAME = re.compile(r"([0-9]+)\.M([0-9]+)P")
"""Seconds and microseconds in a base name of ours."""


@dataclass(slots=True)
class Replay:
    """Result of a replay."""

    restored: int = 0
    without_mailbox: int = 0
    """Messages of mailboxes that no longer exist."""
    failed: dict[str, OSError] = field(default_factory=dict)
    """Errors by home, or by segment that could not be read.

    A home among them must not be opened before another replay, because its messages wait in a segment. The messages of an
    unreadable segment are unknown.
    """


def recover(mail_root: str, boot_id: str) -> Replay:
    """Restore what segments of earlier boots hold, whatever fails in one account or segment."""
    result = Replay()
    read: list[tuple[str, int, list[Frame]]] = []
    with _segments(mail_root, boot_id, result.failed, of_this_boot=False) as segments:
        for path, segment in segments:
            try:
                read.append((path, segment, list(frames_in(segment))))
            except OSError as error:
                result.failed[path] = error
        frames = sorted(chain.from_iterable(frames for _, _, frames in read), key=attrgetter("home"))
        failed: dict[str, OSError] = {}
        for home, group in groupby(frames, key=attrgetter("home")):
            try:
                _replay_account(AccountPaths(f"{mail_root}/{home}"), list(group), result)
            except OSError as error:
                failed[home] = error
        for path, segment, frames in read:
            failed |= _let_go(path, segment, frames, failed)
    result.failed |= {f"{mail_root}/{home}": error for home, error in failed.items()}
    return result


def settle_left_behind(mail_root: str, boot_id: str) -> None:
    """Sync what killed processes of this boot left in segments.

    It syncs the file systems and not the messages: other processes are working there, and a listing hides files that they
    rename (maildir.names_in).
    """
    failed: dict[str, OSError] = {}
    with _segments(mail_root, boot_id, failed, of_this_boot=True) as segments:
        for path, segment in segments:
            devices: dict[int, int] = {}
            try:
                for home in {frame.home for frame in frames_in(segment)}:
                    note_device(devices, mail_root, home)
                for fd in devices.values():
                    sync_file_system(fd)
                os.unlink(path)
            except OSError as error:
                failed[path] = error
                os.rename(path, path + FAILED)
            finally:
                for fd in devices.values():
                    os.close(fd)
    for trouble in failed.values():
        raise trouble


@contextmanager
def _segments(
    mail_root: str, boot_id: str, failed: dict[str, OSError], *, of_this_boot: bool
) -> Iterator[list[tuple[str, int]]]:
    """Yield paths and descriptors of segments that no living process holds, all locked meanwhile."""
    folder = f"{mail_root}/{FOLDER}"
    found: list[tuple[str, int]] = []
    if not os.path.isdir(folder):
        yield found
        return
    with locked(folder, fcntl.LOCK_EX), ExitStack() as opened:
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            if name == LOCK or name.startswith(f"{boot_id}.") is not of_this_boot or (of_this_boot and name.endswith(FAILED)):
                continue
            try:
                segment = opened.enter_context(open(path, "r+b"))
                fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (FileNotFoundError, BlockingIOError):
                continue  # its process has just ended, or is alive
            except OSError as error:
                failed[path] = error
                continue
            if os.fstat(segment.fileno()).st_nlink:
                found.append((path, segment.fileno()))
        yield found


def _let_go(path: str, segment: int, frames: list[Frame], failed: Collection[str]) -> dict[str, OSError]:
    """Remove a replayed segment, or mark its replayed frames, so that no account in use is replayed again."""
    done = [frame for frame in frames if frame.home not in failed]
    try:
        if len(done) < len(frames):
            mark_replayed(segment, done)
        else:
            os.unlink(path)
            make_durable(os.path.dirname(path))
    except OSError as error:
        return {frame.home: error for frame in done}
    return {}


def _replay_account(paths: AccountPaths, frames: list[Frame], result: Replay) -> None:
    """Restore one account's messages and expunges; of files found whole only the names have to be fsynced."""
    arrivals = [frame for frame in frames if isinstance(frame, Journaled)]
    try:
        os.stat(paths.cur(""))
    except (FileNotFoundError, NotADirectoryError):
        result.without_mailbox += len(arrivals)
        return
    make_tmp(paths)
    present = _files_by_base(paths)
    folders = _Folders(paths)
    touched = {os.path.dirname(path) for files in present.values() for path in files} | {paths.cur("")}
    for arrival in arrivals:
        for path in present.get(arrival.base) or [_lost_name(paths, arrival, folders)]:
            if not _holds(path, arrival.octets):
                _put(paths, path, arrival)
                result.restored += 1
            elif arrival.location is not None:
                _date(path, arrival.location.received_us)
            touched.add(os.path.dirname(path))
    touched |= _expunge_again(paths, [frame for frame in frames if isinstance(frame, ExpungedFrame)], folders)
    for directory in touched:
        make_durable(directory)


def _expunge_again(paths: AccountPaths, departed: list[ExpungedFrame], folders: "_Folders") -> set[str]:
    """Expunge again what lies in its folder; return all directories in which a killed replay may have done so."""
    touched: set[str] = set()
    for mailbox_id, group in groupby(sorted(departed, key=attrgetter("mailbox_id")), key=attrgetter("mailbox_id")):
        cur = folders.cur(mailbox_id)
        if cur is None:
            continue
        there = {(parsed.base, parsed.uid): name for name in os.listdir(cur) for parsed in (parse_name(name),)}
        for each in group:
            named = parse_name(each.name)
            for uid in (named.uid, UNKNOWN_UID):  # its flags may have changed the name; or the name was restored just now
                name = there.pop((named.base, uid), None)
                if name is not None:
                    os.makedirs(paths.expunged, mode=FOLDER_MODE, exist_ok=True)
                    os.rename(f"{cur}/{name}", f"{paths.expunged}/{each.expunged_as}")
        touched |= {cur, paths.expunged}
    return {directory for directory in touched if os.path.isdir(directory)}


class _Folders:
    def __init__(self, paths: AccountPaths) -> None:
        self._paths = paths
        self._by_id: dict[str, str] | None = None

    def cur(self, mailbox_id: str) -> str | None:
        """Return the `cur` of a folder, a deleted one included; None where it is gone for good."""
        if self._by_id is None:
            self._by_id = {}
            for directory in (*self._paths.directories(), *self._expunged()):
                sidecar = FolderSidecar.read(self._paths.folder(directory))
                # Where a directory was copied with its sidecar, prefer the one whose name matches the sidecar.
                if sidecar is not None and (
                    sidecar.mailbox_id not in self._by_id or directory == encode_directory(sidecar.name)
                ):
                    self._by_id[sidecar.mailbox_id] = directory
        found = self._by_id.get(mailbox_id)
        return None if found is None else self._paths.cur(found)

    def _expunged(self) -> list[str]:
        try:
            entries = sorted(os.listdir(self._paths.expunged))
        except FileNotFoundError:
            return []
        return [f"{EXPUNGED}/{entry}" for entry in entries if os.path.isdir(self._paths.cur(f"{EXPUNGED}/{entry}"))]


def _lost_name(paths: AccountPaths, arrival: Journaled, folders: _Folders) -> str:
    location, flags = arrival.location, 0
    if location is not None:
        cur = folders.cur(location.mailbox_id)
        if cur is not None:
            return f"{cur}/{location.name}"
        flags = parse_name(location.name).flags & SYSTEM_FLAGS  # keyword letters differ between folders
    return f"{paths.cur('')}/{format_name(arrival.base, len(arrival.octets), UNKNOWN_UID, flags)}"


def _date(path: str, received_us: int) -> None:
    """Set the file's time, which gives INTERNALDATE if the index is lost."""
    if os.stat(path).st_mtime_ns == received_us * 1000:
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.utime(fd, ns=(received_us * 1000, received_us * 1000))
        os.fsync(fd)
    finally:
        os.close(fd)


def _files_by_base(paths: AccountPaths) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for directory, _, names in os.walk(paths.maildir, onerror=_raise):
        if os.path.basename(directory) == "tmp":
            continue  # staged and not published, or left by a replay that was killed
        is_expunged = directory == paths.expunged  # there each name begins with the id of its folder (maildir.expunged_name)
        for name in names:
            found.setdefault(parse_name(name.partition(".")[2] if is_expunged else name).base, []).append(f"{directory}/{name}")
    return found


def _raise(error: OSError) -> None:
    """Raise: the listing has to be complete, since every message missing from it is restored."""
    raise error


def _holds(path: str, octets: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(octets) + 1) == octets
    except FileNotFoundError:
        return False


def _put(paths: AccountPaths, path: str, arrival: Journaled) -> None:
    """Write the message under this name, whole or not at all, with the time of arrival, which orders new UIDs."""
    staging = f"{paths.tmp}/{arrival.base}.replayed"
    with suppress(FileNotFoundError):
        os.unlink(staging)  # of a killed replay: nobody may open it for writing any more
    fd = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MESSAGE_MODE)
    try:
        write_all(fd, arrival.octets)
        if arrival.location is not None:
            os.utime(fd, ns=(arrival.location.received_us * 1000, arrival.location.received_us * 1000))
        elif came := _CAME.match(arrival.base):
            ns = (int(came[1]) * 1_000_000 + int(came[2])) * 1000
            os.utime(fd, ns=(ns, ns))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(staging, path)
