"""The rest of a file behind what stands in another: by the kernel, or where that cannot be, through the process."""

import errno
import os
from pathlib import Path

import pytest

from mic_mail.storage.maildir.copy_range import copy_rest

OCTETS = bytes(range(256)) * 10_000


@pytest.mark.parametrize("size", [0, 1, 4_096, len(OCTETS)])
@pytest.mark.parametrize("offset", [0, 1, 5_000])
@pytest.mark.parametrize("error", [None, errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, "nothing"])
def test_what_is_copied(
    tmp_path: Path, size: int, offset: int, error: int | str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every octet from the offset on, and none before; what stood in the target stays in front."""

    def refuse(*_: object) -> int:
        if isinstance(error, int):
            raise OSError(error, os.strerror(error))
        return 0  # as some file systems do with what they cannot copy

    if error is not None:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "source").write_bytes(OCTETS[:size])
    source = os.open(tmp_path / "source", os.O_RDONLY)
    target = os.open(tmp_path / "target", os.O_WRONLY | os.O_CREAT)
    try:
        os.write(target, b"front")
        assert copy_rest(source, offset, target) == max(0, size - offset)
        os.write(target, b"behind")
    finally:
        os.close(source)
        os.close(target)
    assert (tmp_path / "target").read_bytes() == b"front" + OCTETS[offset:size] + b"behind"


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(OCTETS)
    source, full = os.open(tmp_path / "source", os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left") as caught:
            copy_rest(source, 0, full)
        assert caught.value.errno == errno.ENOSPC
    finally:
        os.close(source)
        os.close(full)
