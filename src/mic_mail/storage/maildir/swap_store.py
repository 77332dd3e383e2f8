"""Replacing a store by a restored one, and recovery from a kill in the middle of that.

    <home>.restoring-<instant>    being made; a kill leaves it, and the housekeeper drops it after a day
    <home>.replaced-<instant>     the store that was there before, until an administrator deletes it
    <home>.freed-<instant>        a reclaimed mailbox that is being deleted (delete_account.py)

The new store takes the name under which the old one will be kept, then the two change places in one step: whenever a kill
comes, a whole store lies at `home`, and none that was in use has a name that may be dropped. Where the file system has no such
step (NFS) the old one is moved first, and for a moment nothing is there; a kill then leaves both others, of one instant, and
the next opening puts the new one into its place (`finish`) before it makes anything.
"""

import contextlib
import ctypes
import errno
import os
import re
import shutil
from collections.abc import Container

from mic_mail.durable_files import make_durable

_ASIDE = re.compile(r"(?P<name>.+)\.(?P<what>restoring|replaced|freed)-(?P<instant>[0-9]{15,17})")
"""Names of stores set aside; instants are in microseconds."""
_LEFT_OVER_US = 86_400 * 1_000_000

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
if _renameat2 is not None:
    _renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)


def restoring(home: str, instant: int) -> str:
    """Return the path where a store is made that will replace `home`."""
    return f"{home}.restoring-{instant}"


def replaced(home: str, instant: int) -> str:
    return f"{home}.replaced-{instant}"


def freed(home: str, instant: int) -> str:
    return f"{home}.freed-{instant}"


def freed_beside(home: str) -> list[str]:
    """Return what a kill has left of stores that were deleted from `home`."""
    return _beside(home, "freed")


def replaced_beside(home: str) -> list[str]:
    """Return what restores have replaced at `home`, oldest first."""
    return _beside(home, "replaced")


def _beside(home: str, what: str) -> list[str]:
    parent, name = os.path.split(home)
    found = (match for match in map(_ASIDE.fullmatch, sorted(_folders(parent))) if match is not None)
    return [f"{parent}/{match[0]}" for match in found if match["what"] == what and match["name"] == name]


def set_aside(name: str) -> str | None:
    """Return the mailbox directory that a directory beside it was set aside from; None if it was not."""
    match = _ASIDE.fullmatch(name)
    return match["name"] if match else None


def replace(home: str, instant: int) -> None:
    """Put the finished `restoring` store in place of `home`'s under its lock; the old one is `replaced`."""
    new, old = restoring(home, instant), replaced(home, instant)
    os.rename(new, old)
    if not _exchange(old, home):
        os.rename(old, new)
        os.rename(home, old)
        _put(new, home)
    make_durable(os.path.dirname(home))


def finish(home: str) -> None:
    """Complete an interrupted replacement of `home` before a store is made there."""
    if os.path.isdir(home):
        return
    parent, name = os.path.split(home)
    with contextlib.suppress(FileNotFoundError):
        beside = set(os.listdir(parent))
        for match in filter(None, map(_ASIDE.fullmatch, sorted(beside))):
            if match["name"] == name and match["what"] == "restoring" and f"{name}.replaced-{match['instant']}" in beside:
                _put(f"{parent}/{match[0]}", home)
                make_durable(parent)


def _put(new: str, home: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # another opener was faster
        os.rename(new, home)


def drop_unfinished(mail_root: str, homes: Container[str], now_us: int) -> None:
    """Remove stores whose restore began more than a day ago; never one of `homes`, the mailboxes' stores."""
    for domain in _folders(mail_root):
        beside = set(_folders(f"{mail_root}/{domain}"))
        for match in filter(None, map(_ASIDE.fullmatch, beside)):
            if match["what"] != "restoring" or f"{domain}/{match[0]}" in homes:
                continue
            if f"{match['name']}.replaced-{match['instant']}" not in beside and int(match["instant"]) < now_us - _LEFT_OVER_US:
                shutil.rmtree(f"{mail_root}/{domain}/{match[0]}", ignore_errors=True)


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _exchange(one: str, other: str) -> bool:
    if _renameat2 is None:
        return False
    if _renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), one, None, other)
