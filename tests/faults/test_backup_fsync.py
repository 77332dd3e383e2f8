"""When `backup` has said that it is done, a power cut takes nothing of what it copied by itself: shown by the system calls."""

import re
import subprocess
from pathlib import Path

import pytest

from regulation.console import PROGRAM
from regulation.quarantine_server import QuarantineServer

pytestmark = [pytest.mark.needs_tool("strace"), pytest.mark.slow]
_SYNCED = re.compile(r"f(?:data)?sync\(\d+<([^>]*)>\) += 0")


def test_each_file_and_each_folder(tmp_path: Path) -> None:
    """Keys, quarantine, ledgers, inventories, directory and configuration, and the folders that name them."""
    folder = tmp_path / "server"
    folder.mkdir()
    site = QuarantineServer(folder)
    try:
        data = site.server.config.server.data_dir
        site.console.json("dkim", "key", "add")
        site.keep()
        inventories = data / "handovers" / "mic.gov.vn" / "dvbe"
        inventories.mkdir(parents=True)
        (inventories / "1.json").write_text("{}")
        target = tmp_path / "backups" / "1"
        trace = tmp_path / "trace"
        strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
        words = [*strace, str(PROGRAM), "--config", str(folder / "mic-mail.toml"), "backup", str(target)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        site.server.stop()
    synced = set(_SYNCED.findall(trace.read_text()))
    parts = [target / name for name in ("keys", "quarantine", "handovers")]
    files = [path for part in parts for path in part.rglob("*") if path.is_file() and path.parent.name != "dkim"]
    assert {path.parent.name for path in files} == {"keys", "quarantine", "dvbe"}
    files += [target / "directory.sqlite", target / "mic-mail.toml"]
    assert [path for path in files if str(path) not in synced] == []
    assert any(re.search(r"/keys/dkim/\.new-\d+$", path) for path in synced), "written under another name, then renamed"
    folders = [path for part in parts for path in (part, *part.rglob("*")) if path.is_dir()]
    folders += [target, target.parent, tmp_path, target / "mic.gov.vn"]
    assert [path for path in folders if str(path) not in synced] == []
