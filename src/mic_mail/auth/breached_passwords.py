"""Look up passwords in a list of breached ones: a local file of any size, provided by the operator.

In: a password. Out: whether a line matches. A line is a password in UTF-8, or the SHA-1 of one in hex, with or without a count
(`HASH:count`, as Have I Been Pwned distributes them); the first line decides which. A sorted file (by octets, `LC_ALL=C sort`)
is searched by bisection, some 30 short reads in 40 GB; an unsorted one is loaded into memory as 8 octets a line, if it is
small. Blocking: executors and commands only. Only the identity of the file is cached; replacing it needs no reload.
"""

import hashlib
import itertools
import os
import re
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from mic_mail.auth.sasl import saslprep
from mic_mail.errors import Text, Trouble, in_ascii

SMALL_OCTETS: Final = 4 << 20
"""Half a million lines: 0.5 s and 4 MB in memory, once."""
BLOCK_OCTETS: Final = 4_096
LONGEST_LINE: Final = 65_536
SAMPLES: Final = 200
_HASH: Final = re.compile(rb"[0-9A-Fa-f]{40}(?::[0-9]+)?")
_DIGITS: Final = 40


class BadList(Trouble):
    """The file cannot be used."""


@dataclass(frozen=True, slots=True)
class _Form:
    """The format of a file."""

    is_hashed: bool
    table: "array[int] | None"
    """The lines of a small unsorted file, as the first 8 octets of their SHA-1."""


def is_leaked(path: Path, password: str) -> bool:
    """Return whether the list holds this password, as typed or as prepared for sign-in; raise `BadList`."""
    octets = {form.encode("utf-8", "surrogatepass") for form in _forms(password) if form}
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.fstat(fd)
            form = _form(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
            return any(_holds(fd, found.st_size, form, wanted) for wanted in octets)
        finally:
            os.close(fd)
    except OSError as error:
        raise _unreadable(path, error.strerror or "?") from error


def check(path: Path) -> None:
    """Raise `BadList` if the file cannot be used, for `config check`."""
    is_leaked(path, "mic-mail")


def _forms(password: str) -> set[str]:
    return {password, unicodedata.normalize("NFC", password), saslprep(password) or ""}


def _holds(fd: int, size: int, form: _Form, password: bytes) -> bool:
    sha1 = hashlib.sha1(password, usedforsecurity=False)
    if form.table is not None:
        number = int.from_bytes(sha1.digest()[:8])
        place = bisect_left(form.table, number)
        return place < len(form.table) and form.table[place] == number
    if b"\n" in password or b"\r" in password:
        return False
    wanted = sha1.hexdigest().upper().encode() if form.is_hashed else password
    return _search(fd, size, wanted, is_hashed=form.is_hashed)


def _key(line: bytes, *, is_hashed: bool) -> bytes:
    return line[:_DIGITS].upper() if is_hashed else line


def _search(fd: int, size: int, wanted: bytes, *, is_hashed: bool) -> bool:
    """Search by bisection: the line, if present, begins in [low, high)."""
    low, high = 0, size
    while high - low > BLOCK_OCTETS:
        middle = (low + high) // 2
        start = _line_after(fd, middle, size)
        if start >= high or _key(_line_at(fd, start), is_hashed=is_hashed) > wanted:
            high = middle + 1
        else:
            low = start
    while low < high:
        line = _line_at(fd, low)
        if _key(line, is_hashed=is_hashed) == wanted:
            return True
        low = _line_after(fd, low, size)
    return False


def _line_after(fd: int, at: int, size: int) -> int:
    """Return the offset of the line after the one that contains `at`."""
    read = 0
    while read < LONGEST_LINE:
        octets = os.pread(fd, BLOCK_OCTETS, at + read)
        if not octets:
            return size
        place = octets.find(b"\n")
        if place >= 0:
            return at + read + place + 1
        read += len(octets)
    raise OSError(0, "a line without an end")


def _line_at(fd: int, start: int) -> bytes:
    octets = os.pread(fd, 256, start)
    while b"\n" not in octets and (more := os.pread(fd, BLOCK_OCTETS, start + len(octets))):
        octets += more
        if len(octets) > LONGEST_LINE:
            raise OSError(0, "a line without an end")
    return octets.partition(b"\n")[0].removesuffix(b"\r")


# ------------------------------------------------------------ format of the file


@lru_cache(maxsize=2)
def _form(path: Path, device: int, inode: int, size: int, changed: int) -> _Form:
    """Detect the format once; the numbers identify the unchanged file."""
    with path.open("rb", buffering=0) as file:
        fd = file.fileno()
        is_hashed = _HASH.fullmatch(_line_at(fd, 0)) is not None
        if size > SMALL_OCTETS:
            keys = [_key(_line_at(fd, start), is_hashed=is_hashed) for start in _places(fd, size)]
            if any(later < earlier for earlier, later in itertools.pairwise(keys)):
                raise _unsorted(path)
            return _Form(is_hashed, None)
        lines = [line.removesuffix(b"\r") for line in os.pread(fd, size, 0).split(b"\n")]
    if any(len(line) > LONGEST_LINE for line in lines):
        raise OSError(0, "a line without an end")
    keys = [_key(line, is_hashed=is_hashed) for line in lines if line]
    if all(earlier <= later for earlier, later in itertools.pairwise(keys)):
        return _Form(is_hashed, None)
    return _Form(is_hashed, array("Q", sorted(_number(key, is_hashed=is_hashed) for key in keys)))


def _number(key: bytes, *, is_hashed: bool) -> int:
    if not is_hashed:
        return int.from_bytes(hashlib.sha1(key, usedforsecurity=False).digest()[:8])
    try:
        return int(key[:16], 16)
    except ValueError:
        return 0


def _places(fd: int, size: int) -> Iterator[int]:
    """Yield the offsets of some lines from all over the file."""
    for number in range(SAMPLES):
        start = 0 if number == 0 else _line_after(fd, size * number // SAMPLES, size)
        if start < size:
            yield start


def _unsorted(path: Path) -> BadList:
    return BadList(
        Text(
            f"{path} không được sắp xếp, nên không tra được; chỉ tệp nhỏ mới được phép.",
            in_ascii(f"{path} is not sorted, and cannot be searched; only a small file may be so."),
        ),
        remedy=Text(f"Sắp xếp bằng: LC_ALL=C sort -u -o {path} {path}", in_ascii(f"LC_ALL=C sort -u -o {path} {path}")),
    )


def _unreadable(path: Path, why: str) -> BadList:
    return BadList(
        Text(
            f"Không đọc được danh sách mật khẩu bị lộ {path}: {why}.",
            in_ascii(f"{path} (leaked passwords) cannot be read: {why}."),
        ),
        remedy=Text(
            "Tệp gồm các dòng, mỗi dòng một mật khẩu hoặc SHA-1; tài khoản của máy chủ phải đọc được.",
            "Each line must be a password or its SHA-1, and the server's account must be able to read the file.",
        ),
    )
