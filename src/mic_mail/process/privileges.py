"""Drop root for the server's account: after the ports are bound, before anything else happens.

In: the account's name and the folders that it needs. What only root can create is created here and given to the account; then
the process, and with it every child, runs as the account for ever.
"""

import contextlib
import grp
import os
import pwd
import resource
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mic_mail
from mic_mail.errors import BadInput, Text, Trouble, in_ascii

UMASK = 0o077
_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")


@dataclass(frozen=True, slots=True)
class Account:
    """The system account to switch to."""

    uid: int
    gid: int
    name: str


def account(user: str, group: str) -> Account | None:
    """Return the account of these settings; None where the process keeps its own account.

    Raise `BadInput` where there is no such account, and where it cannot read this program: the server would end at the first
    module that it needs.
    """
    if not user or os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(user)
        owner = Account(found.pw_uid, grp.getgrnam(group).gr_gid if group else found.pw_gid, user)
    except (KeyError, ValueError) as error:  # ValueError: no account can have that name
        raise BadInput(
            Text(f"Không có tài khoản hệ thống {user}:{group}.", f"No such system account: {in_ascii(user + ':' + group)}."),
            remedy=Text("Tạo bằng: useradd --system mic-mail", "Create it: useradd --system mic-mail"),
        ) from error
    closed = _closed_to(owner, _program())
    if closed is not None:
        raise BadInput(
            Text(
                f"Tài khoản {user} không đọc được {closed}, nơi cài đặt chương trình này.",
                f"The account {in_ascii(user)} cannot read {in_ascii(closed)}, where this program is installed.",
            ),
            remedy=Text(
                "Cài đặt chương trình vào nơi mọi tài khoản đọc được, ví dụ /opt/mic-mail, hoặc chọn tài khoản khác.",
                "Install it where every account can read it, such as /opt/mic-mail, or choose another account.",
            ),
        )
    return owner


def must_enter(owner: Account | None, folders: Iterable[Path]) -> None:
    """Refuse folders that `owner` cannot reach; a missing folder will be created and belong to it."""
    closed = _closed_to(owner, folders) if owner is not None else None
    if owner is not None and closed is not None:
        raise Trouble(
            Text(
                f"Tài khoản {owner.name} không vào được {closed}.",
                f"The account {in_ascii(owner.name)} cannot enter {in_ascii(closed)}.",
            ),
            remedy=Text(
                "Chọn thư mục khác, hoặc cho tài khoản đó vào thư mục này (chmod o+x, chown).",
                "Choose another folder, or let the account enter this one (chmod o+x, chown).",
            ),
        )


@contextlib.contextmanager
def acting_as(owner: Account | None) -> Iterator[None]:
    """Act as the server's account for a while, then as root again; only before there are threads."""
    if owner is None:
        yield
        return
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def _closed_to(owner: Account, paths: Iterable[Path]) -> Path | None:
    """Return the first existing folder or file on the way to `paths` that `owner` cannot enter or run."""
    with acting_as(owner):
        for path in paths:
            for step in (*reversed(path.absolute().parents), path):
                if os.access(step.parent, os.X_OK, effective_ids=True) and not step.exists():
                    break
                if not os.access(step, os.X_OK, effective_ids=True):
                    return step
    return None


def _program() -> Iterator[Path]:
    yield Path(mic_mail.__file__).parent
    yield from (Path(sysconfig.get_path(name)) for name in _LIBRARIES)
    yield Path(sys.executable)


def make_folders(folders: Iterable[Path], owner: Account | None) -> None:
    """Create the missing folders, private to `owner`; existing ones stay as they are."""
    for folder in folders:
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            if owner is not None:
                os.chown(path, owner.uid, owner.gid)


def become(owner: Account | None) -> None:
    """Give up root for ever, keep files private to the account, and disable core dumps.

    A core would contain passwords and keys. The hard limit stays: an administrator who investigates a defect can raise the soft
    limit of a process with prlimit(1).
    """
    os.umask(UMASK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if owner is not None:
        os.setgroups([])
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)


def allow_many_files() -> None:
    """Allow as many descriptors as this account may have: a connection takes one, an open index three."""
    with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid to ask; the present limit stays
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
