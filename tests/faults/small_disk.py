"""A small file system of its own, and a ballast on it that takes the room away and gives it back. Mounting needs root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import programs


class Disk:
    """A mounted file system of 48 MiB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free(self) -> int:
        """Octets that a server may still fill."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def leave(self, octets: int) -> None:
        """Let only so much be free."""
        for piece in (1 << 16, 1 << 12):
            with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(piece))
        with self._ballast.open("rb+") as file:
            file.truncate(max(0, self._ballast.stat().st_size - octets))

    def give_back(self) -> None:
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, kind: str = "tmpfs") -> Iterator[Disk]:
    """Mount one of a kind (tmpfs, ext4) below a folder; the test is skipped where that cannot be done."""
    path, image = folder / "small", folder / "image"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(path)]
    if kind == "ext4":
        image.touch()
        os.truncate(image, 48 << 20)
        subprocess.run([programs.need("mkfs.ext4"), "-q", "-b", "4096", "-m", "0", str(image)], check=True)
        mount = ["mount", "-o", "loop", str(image), str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        programs.lack("a file system of its own (mount, as root)")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)
