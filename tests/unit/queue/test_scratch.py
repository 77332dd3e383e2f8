"""The octets of a message that nobody has promised to keep: in a file without a name."""

import errno
import os
from pathlib import Path

import pytest

from mic_mail.queue.local_spool import LocalSpool


@pytest.mark.parametrize("has_nameless", [True, False])
def test_nothing_has_a_name(tmp_path: Path, has_nameless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file system knows no files without: so nothing is left by whoever is killed."""
    spool, real = LocalSpool(tmp_path), os.open

    def refusing(path: object, flags: int, *more: object, **named: object) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no")
        return real(path, flags, *more, **named)  # type: ignore[arg-type]  # as it was called

    if not has_nameless:
        monkeypatch.setattr(os, "open", refusing)
    scratch = spool.scratch()
    scratch.write(b"one ")
    scratch.write(b"two")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert Path(scratch.path).read_bytes() == b"one two"
    assert scratch.size == 7
    scratch.finish()
    scratch.discard()
    scratch.discard()
    spool.close()
