"""Giving up root, and the folders that have to be there before."""

import json
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import mic_mail
from mic_mail.errors import BadInput, Trouble
from mic_mail.process.privileges import Account, account, acting_as, make_folders, must_enter

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up root")

CHILD = """
import json, os, pwd, sys
from mic_mail.process.privileges import Account, become
nobody = pwd.getpwnam("nobody")
become(Account(nobody.pw_uid, nobody.pw_gid, "nobody"))
try:
    os.seteuid(0)
    back = True
except PermissionError:
    back = False
print(json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), back, os.umask(0)]))
"""


@needs_root
def test_root_is_given_up_for_ever() -> None:
    """Real, effective and saved ids are the account's, no group of root stays, and there is no way back."""
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    uids, gids, groups, back, umask = json.loads(done.stdout)
    assert set(uids) == {nobody.pw_uid}
    assert set(gids) == {nobody.pw_gid}
    assert (groups, back, umask) == ([], False, 0o077)


def test_no_core_is_left() -> None:
    """What a process dies with are passwords and keys: whatever the shell or systemd allows, nothing of it is written down."""
    child = """
import os, resource, signal
from mic_mail.process.privileges import become
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
become(None)
assert os.fork() or os.kill(os.getpid(), signal.SIGSEGV)
print(os.WCOREDUMP(os.wait()[1]), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True, cwd=place)
    assert done.stdout.split() == ["False", "0"]


@needs_root
def test_folders_are_made_for_the_account_and_what_is_there_stays() -> None:
    """Private to the account from the start; an existing folder is not taken from its owner."""
    with tempfile.TemporaryDirectory() as place:
        there = Path(place) / "there"
        there.mkdir()
        there.chmod(0o755)  # whatever the umask
        nobody = pwd.getpwnam("nobody")
        make_folders([there / "new" / "deep", there], Account(nobody.pw_uid, nobody.pw_gid, "nobody"))
        for path in (there / "new", there / "new" / "deep"):
            assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (nobody.pw_uid, 0o700)
        assert (there.stat().st_uid, there.stat().st_mode & 0o777) == (0, 0o755)


@needs_root
def test_an_account_that_does_not_exist_is_told_before_anything_happens() -> None:
    """With the command that makes it."""
    with pytest.raises(BadInput) as caught:
        account("nobody-of-that-name", "")
    assert caught.value.remedy is not None


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("arguments", [("init", "--yes", "--user", "nobody"), ("serve",), ("unit", "list")])
def test_an_account_that_cannot_read_the_program_is_told_before_anything_happens(arguments: tuple[str, ...]) -> None:
    """Where it lies, and what to do, in both languages; no data, no configuration, no process."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        closed, data, file = Path(place) / "closed", Path(place) / "data", Path(place) / "mic-mail.toml"
        closed.mkdir(mode=0o700)
        (closed / "mic_mail").symlink_to(Path(mic_mail.__file__).parent)
        if arguments[0] == "init":
            arguments = (*arguments, "--data-dir", str(data))
        else:
            file.write_text(f'[server]\ndata_dir = "{data}"\nuser = "nobody"\n')
        before = sorted(os.listdir(place))
        for lang, words in (("vi", "không đọc được"), ("en", "cannot read")):
            done = subprocess.run(
                [sys.executable, "-m", "mic_mail", "--lang", lang, "--config", str(file), *arguments],
                env={**os.environ, "PYTHONPATH": str(closed), "PYTHONIOENCODING": "utf-8"},
                capture_output=True,
                check=False,
                cwd="/",
                encoding="utf-8",
            )
            assert (done.returncode, f"nobody {words} {closed}" in done.stderr) == (2, True), done.stderr
            assert "/opt/mic-mail" in done.stderr
        assert sorted(os.listdir(place)) == before


@needs_root
def test_a_folder_that_the_account_cannot_enter_is_named() -> None:
    """The one on the way that is closed to it; what is missing below an open one is nobody's trouble."""
    nobody = pwd.getpwnam("nobody")
    owner = Account(nobody.pw_uid, nobody.pw_gid, "nobody")
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        closed = Path(place) / "closed"
        closed.mkdir(mode=0o700)
        must_enter(owner, [Path(place) / "new" / "deep", Path(place)])
        must_enter(None, [closed / "data"])
        with pytest.raises(Trouble, match=f"cannot enter {closed}"):
            must_enter(owner, [Path(place), closed / "data" / "deep"])
        assert os.listdir(place) == ["closed"]


@needs_root
def test_to_act_as_the_account_ends() -> None:
    """No group of root's is kept meanwhile, and all of root is back afterwards."""
    nobody = pwd.getpwnam("nobody")
    before = os.getresuid(), os.getresgid(), os.getgroups()
    with pytest.raises(FileNotFoundError), acting_as(Account(nobody.pw_uid, nobody.pw_gid, "nobody")):
        os.stat(f"/{os.geteuid()}-{os.getegid()}-{os.getgroups()}")
    with acting_as(Account(nobody.pw_uid, nobody.pw_gid, "nobody")):
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (nobody.pw_uid, nobody.pw_gid, [])
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


def test_without_a_name_the_account_stays() -> None:
    """Also when not started by root."""
    assert account("", "") is None
