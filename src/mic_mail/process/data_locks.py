"""Data locks: no two servers use the same data.

Each folder that a server keeps for itself has a lock of its own. In: a configuration. Out: the locked descriptors, for as long
as the context lasts; `AlreadyRunning` names the holder of a lock. Each folder can lie elsewhere by a setting, a link or a
mount, so two servers that share only the queue collide on the queue. The lock is a `flock` on a file in the data itself: it
works between containers, and over NFS from Linux 2.6.12 on.

Rules:
- A lock belongs to the open file, which every child inherits: it lasts until the supervisor and all its children have ended.
- A lock file without a living holder blocks nobody. It is never removed: two servers could then hold two files of one name.
- A supervisor that was killed leaves children that drain. A start on the same machine waits for those, and for nothing else.
- A directory in a database other than SQLite has no file here, and no lock.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.i18n import dates
from mic_mail.process.privileges import Account
from mic_mail.process.startup import explaining_folders

LOCK_FILE = "server.lock"
_RETRY_SECONDS = 0.1
_LONGEST = 4096
"""The longest lock file that is read, in octets."""


class AlreadyRunning(Trouble):
    """Another server holds a lock on part of the data."""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The server that took a lock, as it wrote itself into the lock file."""

    host: str = "?"
    pid: int = 0
    since: str = ""
    """An ISO instant."""
    process: str = ""
    """Boot id, PID namespace and start time of the supervisor; together they identify a process for ever."""

    @classmethod
    def present(cls, clock: Clock) -> "LockHolder":
        """Return the holder that describes this process."""
        return cls(os.uname().nodename, os.getpid(), clock.now().isoformat(timespec="seconds"), _process_key(os.getpid()))

    @classmethod
    def read(cls, fd: int) -> "LockHolder":
        """Return the holder named in a lock file; an unknown one where the file is empty or being written."""
        try:
            record = json.loads(os.pread(fd, _LONGEST, 0))
            return cls(str(record["host"]), int(record["pid"]), str(record["since"]), str(record["process"]))
        except (ValueError, KeyError, TypeError):
            return cls()

    def write(self, fd: int) -> None:
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(asdict(self)).encode() + b"\n", 0)

    @property
    def has_ended(self) -> bool:
        """Return whether the supervisor ran under this kernel and in this PID namespace, and has ended."""
        here = _process_key(os.getpid()).rpartition("/")[0]
        return bool(here) and self.process.rpartition("/")[0] == here and _process_key(self.pid) != self.process

    def described(self) -> Text:
        try:
            since = dates.instant(datetime.fromisoformat(self.since))
        except ValueError:
            since = Text("?", "?")
        return Text(
            f"máy {self.host}, pid {self.pid or '?'}, từ {since.vi}",
            f"host {in_ascii(self.host)}, pid {self.pid or '?'}, since {since.en}",
        )


def _process_key(pid: int) -> str:
    """Return `boot/namespace/start` of a process; the last part is empty where no such process exists."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # without /proc (a sandbox) only the own process is known
        return ""
    started = ""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        started = "" if fields[0] in "ZX" else fields[19]  # proc(5): a zombie has ended; field 22 is the start time
    return f"{boot}/{namespace}/{started}"


def lock_files(config: Config) -> tuple[Path, ...]:
    """The lock files of a server, in the order in which they are taken."""
    folders = (
        config.run_dir, config.server.data_dir, config.spool_dir, config.queue_dir, config.mail_root, config.log_dir,
        config.dkim_dir,
    )  # fmt: skip
    found = [folder / LOCK_FILE for folder in folders]
    directory = config.directory_file
    if directory is not None:
        directory = directory.resolve()  # SQLite, too, keeps its own files beside the resolved path
        found.append(directory.with_name(f"{directory.name}.{LOCK_FILE}"))
    return tuple(found)


@contextlib.contextmanager
def only_server(
    config: Config,
    clock: Clock,
    *,
    owner: Account | None,
    patience: float,
    pause: Callable[[float], None],
    tell: Callable[[Text], None],
) -> Iterator[tuple[int, ...]]:
    """Hold the locks of all data while the context lasts; yield their descriptors for the children.

    Raise `AlreadyRunning` where another server holds one. Children of a killed supervisor may take `patience` seconds to drain;
    `pause` sleeps meanwhile, and `tell` is called once to say so.
    """
    holder = LockHolder.present(clock)
    until = clock.monotonic() + patience
    is_logged = False
    held: dict[tuple[int, int], int] = {}
    try:
        for path in lock_files(config):
            with explaining_folders():
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) in held:  # one folder for two purposes
                os.close(fd)
                continue
            held[status.st_dev, status.st_ino] = fd
            while not _locked(fd):
                other = LockHolder.read(fd)
                if not other.has_ended or clock.monotonic() >= until:
                    raise _in_use(path, other)
                if not is_logged:
                    tell(_waiting(path, other))
                    is_logged = True
                pause(_RETRY_SECONDS)
            if owner is not None:
                os.fchown(fd, owner.uid, owner.gid)
            holder.write(fd)
        yield tuple(held.values())
    finally:
        for fd in held.values():
            os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _what(path: Path) -> Path:
    return path.parent if path.name == LOCK_FILE else path.with_name(path.name.removesuffix(f".{LOCK_FILE}"))


def _in_use(path: Path, other: LockHolder) -> AlreadyRunning:
    what, who = _what(path), other.described()
    if other.has_ended:
        return AlreadyRunning(
            Text(
                f"Tiến trình con của một máy chủ đã dừng vẫn đang dùng {what} ({who.vi}).",
                f"Child processes of a stopped server still use {in_ascii(what)} ({who.en}).",
            ),
            remedy=Text(f"Xem: fuser {path}", f"Find them with: fuser {in_ascii(path)}"),
        )
    return AlreadyRunning(
        Text(
            f"Một máy chủ khác đang chạy và giữ {what} ({who.vi}).",
            f"Another server is already running and uses {in_ascii(what)} ({who.en}).",
        ),
        remedy=Text(
            "Dừng máy chủ đó, hoặc cấu hình thư mục riêng; xem `mic-mail status`.",
            "Stop that server, or configure a separate folder for this one; see `mic-mail status`.",
        ),
    )


def _waiting(path: Path, other: LockHolder) -> Text:
    what, who = _what(path), other.described()
    return Text(
        f"Đang chờ tiến trình con của máy chủ đã dừng ({who.vi}) trả lại {what}.",
        f"Waiting for child processes of a stopped server ({who.en}) to release {in_ascii(what)}.",
    )
