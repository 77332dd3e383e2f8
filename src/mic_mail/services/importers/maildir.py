"""A Maildir as a source: Maildir++ (`.Du an.2024`), Thunderbird's, Dovecot's `LAYOUT=fs`.

A message's key is its base name, which stays when flags change. The owner may use the Maildir meanwhile: a file that
was renamed during the read is searched for again. `mailbox rescan` adopts a Maildir in place instead.
"""

import os
from collections.abc import Container, Iterator, Sequence

from mic_mail.errors import Text
from mic_mail.services.importers import files
from mic_mail.services.importers.flags import of_letters
from mic_mail.services.importers.source import FolderClosed, Skip, Source, SourceFolder, SourceMessage, SourceWrong
from mic_mail.storage.maildir.dovecot import read_keywords, read_subscriptions
from mic_mail.storage.maildir.folder_names import decode_level

_OWN = frozenset({"cur", "new", "tmp"})
_DEEPEST = 50


class MaildirSource(Source):
    """One Maildir."""

    def __init__(self, path: str) -> None:
        self._path = os.path.realpath(path)
        self.identity = f"maildir:{files.text_of(self._path)}"
        files.must_be_readable(self._path, folder=True)
        if not _is_maildir(self._path):
            raise SourceWrong(
                Text(f"“{path}” không phải Maildir: không có thư mục cur và new.", "Not a Maildir: cur and new are missing.")
            )

    def folders(self) -> Sequence[SourceFolder]:
        """Return the folders, INBOX first, then by name; links are not followed."""
        subscribed = set(read_subscriptions(self._path))
        found = [SourceFolder((), self._path, count=_count(self._path))]
        for levels, path in self._below(self._path, (), _DEEPEST):
            name = "/".join(levels)
            found.append(SourceFolder(levels, path, subscribed=not subscribed or name in subscribed, count=_count(path)))
        return found

    def _below(self, path: str, above: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], str]]:
        for entry in files.entries(path):
            if entry.name in _OWN or not files.is_folder(entry) or depth == 0:
                continue
            if entry.name.startswith("."):  # Maildir++: the whole name in one
                levels = (*above, *(_text(level) or "_" for level in entry.name[1:].split(".")))
            else:
                levels = (*above, _text(entry.name))
            if _is_maildir(entry.path) or not _is_open(entry.path):
                yield levels, entry.path
            if not entry.name.startswith(".") and _is_open(entry.path):
                yield from self._below(entry.path, levels, depth - 1)

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        """Yield messages by base name, in the same order at each pass; `FolderClosed` if unreadable."""
        path = str(folder.place)
        keywords = read_keywords(path)
        for base, name in sorted(_listed(path).items()):
            key = f"{folder.name}\0{base}"
            flags = of_letters(name.partition(":2,")[2].partition(",")[0], keywords)
            if key in known:
                yield SourceMessage(key, None, flags)
                continue
            try:
                found = files.read(self._path, f"{path}/{name}")
            except FileNotFoundError:
                try:
                    again = _listed(path).get(base)
                    found = Skip.GONE if again is None else files.read(self._path, f"{path}/{again}")
                except (FileNotFoundError, FolderClosed):
                    found = Skip.GONE
            if isinstance(found, Skip):
                yield SourceMessage(key, skip=found, name=files.text_of(name))
            else:
                yield SourceMessage(key, found.content, flags, found.changed_at_us)


def _is_maildir(path: str) -> bool:
    """Return whether the folder has `cur` or `new`; copying programs may leave out an empty one."""
    return any(os.path.isdir(f"{path}/{name}") and not os.path.islink(f"{path}/{name}") for name in ("cur", "new"))


def _is_open(path: str) -> bool:
    return os.access(path, os.R_OK | os.X_OK, effective_ids=True)


def _count(path: str) -> int | None:
    try:
        return len(_listed(path))
    except FolderClosed:
        return None


def _listed(path: str) -> dict[str, str]:
    """Map base names to names below the folder; a message moved from `new` to `cur` keeps its base."""
    found: dict[str, str] = {}
    if not _is_open(path):
        files.entries(f"{path}/cur")  # raises the reason
    for place in ("new", "cur"):
        for entry in files.entries(f"{path}/{place}"):
            if not entry.name.startswith("."):
                found[entry.name.partition(":")[0]] = f"{place}/{entry.name}"
    return found


def _text(level: str) -> str:
    return decode_level(level) or files.text_of(level)
