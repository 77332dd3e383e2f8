"""The files of an account: their paths and their listing.

    <home>/account.lock              flock of all writers, and what the present one is about to do (intent_record.py)
    <home>/index.sqlite              the index (schema.py)
    <home>/search.sqlite             the text of the messages, packed (fulltext/file.py); rebuilt when missing
    <home>/hold, <home>/frozen       nothing is destroyed, or even expunged, while it is there (legal_hold.py)
    <home>/Maildir/                  INBOX: cur new tmp .mic-folder; also .mic-account, .expunged/
    <home>/Maildir/.Sub.Folder/      a folder (folder_names.py): cur new tmp .mic-folder maildirfolder
    <home>/Maildir/.expunged/        <mailbox id>.<name> of each expunged message, <mailbox id>/ of each deleted folder

The names of messages are in message_names.py. Only system calls here, no rules about when: those are in publish.py.
"""

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mic_mail.storage.maildir.folder_names import EXPUNGED, OWN_PREFIX, is_text
from mic_mail.storage.message_names import UNKNOWN_UID, parse_name

MESSAGE_MODE = 0o440
FOLDER_MODE = 0o700


class NameSource:
    """Unique base names: time, process, counter and host (Maildir's own recipe)."""

    def __init__(self, host: str) -> None:
        self._host = re.sub(r"[^A-Za-z0-9.-]", "-", host)[:64].strip(".") or "localhost"
        self._count = itertools.count(1)

    def base(self, now_us: int) -> str:
        return f"{now_us // 1_000_000}.M{now_us % 1_000_000}P{os.getpid()}Q{next(self._count)}.{self._host}"


@dataclass(frozen=True, slots=True)
class AccountPaths:
    """The paths of one account."""

    home: str

    @property
    def maildir(self) -> str:
        return f"{self.home}/Maildir"

    @property
    def index(self) -> str:
        return f"{self.home}/index.sqlite"

    @property
    def search(self) -> str:
        return f"{self.home}/search.sqlite"

    @property
    def lock(self) -> str:
        return f"{self.home}/account.lock"

    def mark(self, name: str) -> str:
        """Return the path of a mark (`legal_hold.Mark`)."""
        return f"{self.home}/{name}"

    @property
    def tmp(self) -> str:
        return f"{self.home}/Maildir/tmp"

    @property
    def expunged(self) -> str:
        return f"{self.home}/Maildir/{EXPUNGED}"

    def folder(self, directory: str) -> str:
        return f"{self.home}/Maildir/{directory}" if directory else self.maildir

    def cur(self, directory: str) -> str:
        return f"{self.folder(directory)}/cur"

    def new(self, directory: str) -> str:
        return f"{self.folder(directory)}/new"

    def directories(self) -> Iterator[str]:
        """Yield all directories that are folders, INBOX's "" first. A directory without `cur` is none."""
        if os.path.isdir(f"{self.maildir}/cur"):
            yield ""
        with os.scandir(self.maildir) as entries:
            names = sorted(
                entry.name for entry in entries if entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            )
        for name in names:
            if name != EXPUNGED and not name.startswith(OWN_PREFIX) and os.path.isdir(f"{self.maildir}/{name}/cur"):
                yield name


def is_directory(path: str) -> bool:
    """Return whether a directory is there; OSError where that is unknown."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def make_folder_tree(path: str) -> None:
    """Make the three directories of a Maildir folder; existing ones stay."""
    for part in ("cur", "new", "tmp"):
        os.makedirs(f"{path}/{part}", mode=FOLDER_MODE, exist_ok=True)


def make_tmp(paths: AccountPaths) -> None:
    """Make `tmp/`, which another tool may have removed; never the Maildir itself."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(paths.tmp, mode=FOLDER_MODE)


def names_in(path: str) -> set[str]:
    """Return the message files of a `cur` or `new`. Absence proves nothing: concurrent renames hide files."""
    return _entries(path)[0]


def others_in(path: str) -> set[str]:
    """Return the entries of a `cur` or `new` that are not regular files, hence no messages."""
    return _entries(path)[1]


def _entries(path: str) -> tuple[set[str], set[str]]:
    files: set[str] = set()
    others: set[str] = set()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (files if entry.is_file(follow_symlinks=False) else others).add(entry.name)
    except FileNotFoundError:
        pass
    return files, others


def locate(cur: str, names: Iterable[str]) -> dict[str, str]:
    """Return the present name of each of these files; missing ones are left out. Under the lock only.

    The account's lock has to be held. Another tool may have renamed a file to set its flags. It is gone only if its own name
    fails and two full listings lack its base name: during renames a listing hides existing files (181 of 182 scans of 20,000
    files did). A name that is not UTF-8 cannot be in the index: a file with such a name is a foreign one.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    for name in names:
        if os.path.lexists(f"{cur}/{name}"):
            found[name] = name
        else:
            missing.append(name)
    for _ in range(2):
        if not missing:
            break
        by_base: dict[tuple[str, int], str] = {}
        for present in filter(is_text, names_in(cur)):
            parsed = parse_name(present)
            by_base[parsed.base, parsed.uid] = present
        for name in missing:
            parsed = parse_name(name)
            for uid in (parsed.uid, 0, UNKNOWN_UID):
                if (now := by_base.get((parsed.base, uid))) is not None:
                    found[name] = now
                    break
        missing = [name for name in missing if name not in found]
    return found
