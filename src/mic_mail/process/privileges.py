"""From root to the account of the server: after the ports are bound, before anything else happens.

In: the account's name and the folders that it needs. What root has to make is made here and given to the account; then the
process, and with it every child, is the account for ever.
"""

import contextlib
import grp
import os
import pwd
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mic_mail.errors import BadInput, Text, in_ascii

UMASK = 0o077


@dataclass(frozen=True, slots=True)
class Account:
    """Whom to become."""

    uid: int
    gid: int
    name: str


def account(user: str, group: str) -> Account | None:
    """The account of these settings; None where the one that started the program stays."""
    if not user or os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(user)
        return Account(found.pw_uid, grp.getgrnam(group).gr_gid if group else found.pw_gid, user)
    except (KeyError, ValueError) as error:  # the latter for what no name can be
        raise BadInput(
            Text(f"Không có tài khoản hệ thống {user}:{group}.", f"No such system account: {in_ascii(user + ':' + group)}."),
            remedy=Text("Tạo bằng: useradd --system mic-mail", "Make it with: useradd --system mic-mail"),
        ) from error


def make_folders(folders: Iterable[Path], owner: Account | None) -> None:
    """Make what is missing, private to `owner`; what is there stays as it is."""
    for folder in folders:
        missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
            if owner is not None:
                os.chown(path, owner.uid, owner.gid)


def become(owner: Account | None) -> None:
    """Give up root for ever, keep files private to the account, and leave no core: passwords and keys are in it.

    The hard limit stays: who looks for a defect raises the soft one of a process by prlimit(1).
    """
    os.umask(UMASK)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if owner is not None:
        os.setgroups([])
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)


def allow_many_files() -> None:
    """As many descriptors as this account may have: a connection takes one, an open index three."""
    with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid to ask; what is there has to do then
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
