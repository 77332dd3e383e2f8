"""An Outlook data file (PST, OST) as a source, unpacked by `readpst` of pst-utils and read by `eml`.

The format is Microsoft's, large, and the files are foreign, so a separate program reads it (decision 0070): without our
environment, with limits on memory, processor time and disk output, into its own folder that is removed at the end. It
ends with the thread that started it. It builds messages anew from Outlook's properties: they have no original octets.
Its random values and those from the clock are made constant here, since a message that differs each time would be
imported twice. Contacts and calendars are left out.
"""

import contextlib
import ctypes
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mic_mail.errors import Text, Trouble
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.services.importers import files
from mic_mail.services.importers.eml import EmlSource
from mic_mail.services.importers.source import Source, SourceFolder, SourceMessage, SourceWrong

PROGRAM = "readpst"
MEMORY_OCTETS = 2 << 30
SECONDS_EACH_GIB = 3_600
_WRITES_TIMES = 4
"""The limit of output by the file's size: base 64 adds a third, and bodies come as text and HTML."""
_SPARE_OCTETS = 64 << 20
_SPARE_FILES = 1_000
_LOOKS_EACH_SECONDS = 0.1
"""The interval of the checks for free space."""
_MAGIC = b"!BDN"
_PREFIX = "pst-"
_DRAWN = re.compile(rb"(?<=boundary-LibPST-iamunique-)\d+(?=_-_-)|(?<=name=\"i)\d+(?=\.ics\")|^DTSTAMP:\d{8}T\d{6}Z")
_LINE_OCTETS = 1 << 16
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


class PstSource(Source):
    """One PST."""

    def __init__(self, path: str, work: Path, *, seen: bool = True) -> None:
        """Unpack the whole file below the folder `work`, which takes about the file's size there."""
        self._path = os.path.realpath(path)
        self.identity = f"pst:{files.text_of(self._path)}"
        files.must_be_readable(self._path, folder=False)
        with open(self._path, "rb") as file:
            if file.read(4) != _MAGIC:
                raise SourceWrong(Text(f"“{path}” không phải tệp PST hoặc OST.", "Not a PST or OST file."))
        program = shutil.which(PROGRAM)
        if program is None:
            raise Trouble(
                Text("Chưa cài readpst.", "readpst is not installed."),
                remedy=Text("Cài gói pst-utils của Debian: apt install pst-utils", "Install Debian's package: pst-utils"),
            )
        try:
            work.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_left(work)
            self._work = tempfile.mkdtemp(prefix=_PREFIX, dir=work)
        except OSError as error:
            raise _no_work(error) from error
        self._lock = os.open(self._work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            _unpack(program, self._path, self._work)
            try:
                for folder, _, names in os.walk(self._work):
                    for name in names:
                        _make_lasting(f"{folder}/{name}")
            except OSError as error:
                raise _no_work(error) from error
            self._messages = EmlSource(self._work, identity=self.identity, seen=seen)
        except BaseException:
            self.close()
            raise

    def folders(self) -> Sequence[SourceFolder]:
        """Return the folders without the root, as "Outlook Data File"."""
        found = self._messages.folders()
        roots = {folder.levels[0] for folder in found if folder.levels}
        if len(roots) != 1 or any(not folder.levels for folder in found):
            return found
        return [replace(folder, levels=folder.levels[1:]) for folder in found]

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        return self._messages.messages(folder, known)

    def close(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


def _remove_left(work: Path) -> None:
    """Remove the unpacked files of killed runs, which no process has locked any more."""
    for left in work.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            fd = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(fd)


def _make_lasting(path: str) -> None:
    """Make unpacked messages reproducible: random values are numbered in order."""
    numbers: dict[bytes, bytes] = {}
    fresh = f"{path}.new"
    with open(path, "rb") as old, open(fresh, "wb") as new:
        while line := old.readline(_LINE_OCTETS):
            new.write(_DRAWN.sub(lambda match: _lasting(match[0], numbers), line))
    os.replace(fresh, path)


def _lasting(drawn: bytes, numbers: dict[bytes, bytes]) -> bytes:
    return b"DTSTAMP:19700101T000000Z" if drawn.startswith(b"D") else numbers.setdefault(drawn, b"%d" % (len(numbers) + 1))


def _require_space(target: str, octets: int) -> None:
    """Raise `Trouble` where space runs short: readpst silently omits what it cannot write."""
    found = os.statvfs(target)
    if found.f_bavail * found.f_frsize < octets or (found.f_files and found.f_favail < _SPARE_FILES):
        raise Trouble(Text("Không đủ chỗ trên đĩa để đọc tệp PST.", "The disk has no room to unpack the PST."))


def _unpack(program: str, path: str, target: str) -> None:
    size = os.stat(path).st_size
    seconds = 60 + SECONDS_EACH_GIB * size // (1 << 30)
    most = _WRITES_TIMES * size + _SPARE_OCTETS
    _require_space(target, 2 * size + _SPARE_OCTETS)

    parent = os.getpid()

    def confine() -> None:
        _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the parent ended before the signal could be requested
            os._exit(1)
        for what, limit in (
            (resource.RLIMIT_AS, MEMORY_OCTETS),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, most),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 256),
        ):
            resource.setrlimit(what, (limit, limit))
        os.umask(0o077)

    # -e: a file for each message; -t e: mail only; -j 0: one process, so that the limits apply to it; -8: Unicode bodies.
    command = [program, "-e", "-t", "e", "-j", "0", "-8", "-q", "-o", target, path]
    running = subprocess.Popen(  # noqa: S603 - a program of the system, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        cwd=target,
        preexec_fn=confine,  # noqa: PLW1509 - limits of the child alone; no other thread of ours runs yet
    )
    try:
        code = _ended(running, target, time.monotonic() + 2 * seconds)
    finally:
        running.kill()
        running.wait()
    if code != 0:
        raise SourceWrong(
            Text(
                f"readpst không đọc được tệp này (mã {code}).",
                f"readpst cannot read this file (code {code}).",
            ),
            remedy=Text(
                "Mở bằng Outlook và xuất ra tệp PST mới, không đặt mật khẩu.",
                "Open it in Outlook and export it to a new PST, without a password.",
            ),
        )


def _ended(running: "subprocess.Popen[bytes]", target: str, until: float) -> int:
    """Return the exit code; `Trouble` before the disk is full, `SourceWrong` where it takes too long."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = running.wait(_LOOKS_EACH_SECONDS)
            _require_space(target, _SPARE_OCTETS)
            return code
        _require_space(target, _SPARE_OCTETS)
        if time.monotonic() > until:
            raise SourceWrong(Text("readpst chạy quá lâu với tệp này.", "readpst took too long for this file."))


def _no_work(error: OSError) -> Trouble:
    why = system_reason(error)
    return Trouble(Text(f"Không ghi được tệp tạm: {why.vi}.", f"Unpacked files cannot be written: {why.en}."))
