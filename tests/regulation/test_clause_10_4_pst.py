"""Reg. 10.4: PST files are unpacked by a program apart, and large files are read in little memory."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import programs
from mic_mail.errors import Trouble
from mic_mail.services.importers.mbox import MboxSource
from mic_mail.services.importers.pst import PstSource
from mic_mail.services.importers.source import SourceWrong
from regulation.import_setup import letter
from waiting import PATIENCE_SECONDS, wait_for

pytestmark = pytest.mark.clause("10.4")


@pytest.mark.needs_tool("readpst")
def test_a_pst_is_read_by_a_program_apart(tmp_path: Path) -> None:
    """What is none is refused, and so is one that the program cannot read; nothing is left of it."""
    path, work = tmp_path / "old.pst", tmp_path / "work"
    path.write_bytes(b"no pst")
    with pytest.raises(SourceWrong, match="Not a PST"):
        PstSource(str(path), work)
    path.write_bytes(b"!BDN" + b"\0" * 5000)
    with pytest.raises(SourceWrong, match="readpst cannot read"):
        PstSource(str(path), work)
    assert list(work.iterdir()) == []


def test_a_pst_in_folders_as_readpst_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The root that Outlook calls after the file is left out, Outlook's folders come to ours; limits hold for the program."""
    program = tmp_path / "bin" / "readpst"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, random, resource, sys\n"
        "target = sys.argv[sys.argv.index('-o') + 1]\n"
        "for name, text in (('O/Inbox/1.eml', 'a'), ('O/Sent Items/1.eml', 'b'), ('O/Sent Items/2.ics', 'c')):\n"
        "    os.makedirs(os.path.dirname(f'{target}/{name}'), exist_ok=True)\n"
        "    mark = f'boundary-LibPST-iamunique-{random.randrange(10**9)}_-_-'\n"
        "    open(f'{target}/{name}', 'w').write(f'Subject: x\\n\\n--{mark}\\n{text}\\n--{mark}--\\n')\n"
        "limits = [resource.getrlimit(what)[0] for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)]\n"
        "assert all(limit != resource.RLIM_INFINITY for limit in limits), limits\n"
        "assert set(os.environ) <= {'LC_ALL', 'PATH', 'LC_CTYPE'}, os.environ\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    path = tmp_path / "old.pst"
    path.write_bytes(b"!BDN" + b"\0" * 100)
    (tmp_path / "work" / "pst-left-by-a-kill").mkdir(parents=True)
    source = PstSource(str(path), tmp_path / "work")
    assert len(list((tmp_path / "work").iterdir())) == 1
    assert [folder.name for folder in source.folders()] == ["Inbox", "Sent Items"]
    items = [item for folder in source.folders() for item in source.messages(folder, frozenset())]
    wanted = b"Subject: x\r\n\r\n--boundary-LibPST-iamunique-1_-_-\r\n%b\r\n--boundary-LibPST-iamunique-1_-_---\r\n"
    assert [item.content for item in items] == [wanted % b"a", wanted % b"b"], "the same each time, though drawn by lot"
    assert all(item.flags == {"\\Seen"} for item in items)
    source.close()
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("exits", [0, 1])
def test_a_full_disk_while_a_pst_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exits: int) -> None:
    """Is told as such, and nothing is left. What the program could not write it leaves out without a word (`exits` 0): no half
    message passes for a whole one."""
    program, disk = tmp_path / "bin" / "readpst", tmp_path / "disk"
    program.parent.mkdir()
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90m", "tmpfs", disk], capture_output=True, check=False).returncode:
        programs.lack("a file system of its own (mount, as root)")
    try:
        program.write_text(
            f"#!{sys.executable}\nimport sys\n"
            "target = sys.argv[sys.argv.index('-o') + 1]\n"
            "try:\n"
            "    for number in range(200):\n"
            "        with open(f'{target}/{number}.eml', 'wb', buffering=0) as file:\n"
            "            file.write(b'Subject: x\\n\\n' + b'x' * (1 << 19))\n"
            "except OSError: pass\n"
            f"sys.exit({exits})\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        path = tmp_path / "old.pst"
        path.write_bytes(b"!BDN" + b"\0" * 100)
        with pytest.raises(Trouble, match="no room"):
            PstSource(str(path), disk / "work")
        assert list((disk / "work").iterdir()) == []
        with (disk / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(b"x" * (1 << 16))
                ballast.flush()
        with pytest.raises(Trouble):
            PstSource(str(path), disk / "other")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_what_was_unpacked_and_cannot_be_written_again_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk is full only when messages are made lasting: trouble with a reason, and nothing is left."""
    program = tmp_path / "bin" / "readpst"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "target = sys.argv[sys.argv.index('-o') + 1]\n"
        "open(f'{target}/1.eml', 'w').write('Subject: x\\n\\n')\n"
        "os.mkdir(f'{target}/1.eml.new')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    path = tmp_path / "old.pst"
    path.write_bytes(b"!BDN" + b"\0" * 100)
    with pytest.raises(Trouble, match="Is a directory"):
        PstSource(str(path), tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_the_program_that_reads_a_pst_ends_with_who_asked(tmp_path: Path) -> None:
    """Also where that one is killed: nothing goes on filling the disk for nobody."""
    program, told = tmp_path / "bin" / "readpst", tmp_path / "told"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport os, time\n"
        f"open('{told}.new', 'w').write(str(os.getpid()))\n"
        f"os.rename('{told}.new', '{told}')\n"
        "time.sleep(60)\n"
    )
    program.chmod(0o755)
    path = tmp_path / "old.pst"
    path.write_bytes(b"!BDN" + b"\0" * 100)
    script = (
        "import sys\nfrom pathlib import Path\nfrom mic_mail.services.importers.pst import PstSource\n"
        "PstSource(sys.argv[1], Path(sys.argv[2]))\n"
    )
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    asking = subprocess.Popen([sys.executable, "-c", script, path, tmp_path / "work"], env=environment)
    wait_for(told.exists)
    reading = os.pidfd_open(int(told.read_text()))
    try:
        asking.kill()
        asking.wait()
        ended, _, _ = select.select([reading], [], [], PATIENCE_SECONDS)
        assert ended
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(reading, signal.SIGKILL)
        os.close(reading)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_large_mbox_in_little_memory(tmp_path: Path) -> None:
    """Whatever the size of the file and of one message in it; another process, so that its memory is its own."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        for number in range(300):
            file.write(b"From a@b Tue Oct  1 10:00:00 2019\n" + letter(number, 1 << 20) + b"\n")
        file.write(b"From a@b Tue Oct  1 10:00:00 2019\nSubject: huge\n\n")
        for _ in range(400):
            file.write((b"y" * 1023 + b"\n") * 1024)
    script = (
        "import re, sys\n"
        "from mic_mail.services.importers.mbox import MboxSource\n"
        "from mic_mail.services.importers.content import digest_of\n"
        "source = MboxSource(sys.argv[1])\n"
        "count = sum(bool(digest_of(item.content)) for item in source.messages(source.folders()[0], ()))\n"
        # Its own peak: what getrusage says has that of the process which started it.
        "print(count, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    count, kib = map(int, done.stdout.split())
    assert count == 301
    assert kib < 120_000
    assert len(list(MboxSource(str(path)).folders())) == 1
