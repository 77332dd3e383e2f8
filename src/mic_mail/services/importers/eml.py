"""Files with one message each as a source: `.eml` in folders, also those of our exports.

A message's key is its content. Where there is a manifest, as `content export` and `mailbox export` write it, its folder
names, flags and arrival times apply, messages that it marks expunged are left out, and a file whose digest differs is
skipped, since it was altered. Without a manifest a folder of files is a folder of the mailbox, and files at the top are
INBOX.
"""

import json
import os
import stat
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest

from mic_mail.errors import Text
from mic_mail.services.importers import files
from mic_mail.services.importers.flags import of_header
from mic_mail.services.importers.source import Chunks, FolderClosed, Skip, Source, SourceFolder, SourceMessage, SourceWrong

MANIFEST = "manifest.json"
_MOST_MANIFEST = 256 << 20
_DEEPEST = 50
_HEADER_OCTETS = 64 << 10


@dataclass(frozen=True, slots=True)
class _ManifestEntry:
    """A manifest's record of a file."""

    folder: str
    sha256: str
    arrived_at: str | None
    expunged: bool
    flags: frozenset[str] | None
    """None: the manifest does not record them."""


@dataclass(frozen=True, slots=True)
class _Files:
    paths: tuple[str, ...]
    """Paths below the source."""
    closed: tuple[FolderClosed, ...] = ()
    """Unreadable folders, each with its reason."""


class EmlSource(Source):
    """One folder of message files."""

    def __init__(self, path: str, *, identity: str = "", seen: bool = True) -> None:
        """`seen`: messages of unknown state count as read; `identity`: replaces the path."""
        self._path = os.path.realpath(path)
        files.must_be_readable(self._path, folder=True)
        self.identity = identity or f"eml:{files.text_of(self._path)}"
        self._default_flags = frozenset({"\\Seen"}) if seen else frozenset[str]()
        self._recorded = _manifest(self._path)
        self._folders = self._look()

    def folders(self) -> Sequence[SourceFolder]:
        return self._folders

    def _look(self) -> list[SourceFolder]:
        found: dict[tuple[str, ...], list[str]] = {}
        closed: dict[tuple[str, ...], FolderClosed] = {}
        for levels, path in _below(self._path, "", (), _DEEPEST):
            if isinstance(path, FolderClosed):
                closed[levels] = path
                found.setdefault(levels, [])
                continue
            recorded = self._recorded.get(path)
            own = tuple(recorded.folder.split("/")) if recorded is not None else levels
            found.setdefault(() if own == ("INBOX",) else own, []).append(path)
        return [
            SourceFolder(levels, _Files(tuple(paths), (closed[levels],) if levels in closed else ()), count=len(paths))
            for levels, paths in sorted(found.items())
        ]

    def messages(self, folder: SourceFolder, known: Container[str]) -> Iterator[SourceMessage]:
        """Yield messages by file name; at the end `FolderClosed` where others cannot be read."""
        assert isinstance(folder.place, _Files)
        for path in folder.place.paths:
            yield self._item(path)
        for why in folder.place.closed:
            raise why

    def _item(self, path: str) -> SourceMessage:
        recorded, name = self._recorded.get(path), files.text_of(path)
        if recorded is not None and recorded.expunged:
            return SourceMessage(skip=Skip.DELETED, name=name)
        try:
            found = files.read(self._path, f"{self._path}/{path}")
        except FileNotFoundError:
            found = Skip.GONE
        if isinstance(found, Skip):
            return SourceMessage(skip=found, name=name)
        try:
            if recorded is not None and recorded.sha256 != _raw_digest(self._path, path):
                return SourceMessage(skip=Skip.ALTERED, name=name)
        except OSError:  # it was there a moment ago
            return SourceMessage(skip=Skip.GONE, name=name)
        flags = recorded.flags if recorded is not None else None
        if flags is None:
            flags, _ = of_header(_beginning(found.content))
        return SourceMessage(None, found.content, self._default_flags if flags is None else flags, _instant(recorded))


def _below(root: str, path: str, above: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], str | FolderClosed]]:
    try:
        found = files.entries(f"{root}/{path}")
    except FolderClosed as closed:
        yield above, closed
        return
    for entry in found:
        below = f"{path}/{entry.name}" if path else entry.name
        if files.is_folder(entry):
            if depth and not entry.name.startswith("."):
                yield from _below(root, below, (*above, files.text_of(entry.name)), depth - 1)
        elif entry.name.lower().endswith(".eml"):
            yield above, below


def _beginning(content: bytes | Chunks) -> bytes:
    start = content if isinstance(content, bytes) else next(content(), b"")
    header, _, _ = start[:_HEADER_OCTETS].partition(b"\r\n\r\n")
    return header + b"\r\n"


def _raw_digest(root: str, path: str) -> str:
    with open(files.open_below(root, f"{root}/{path}"), "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _instant(recorded: _ManifestEntry | None) -> int | None:
    if recorded is None or recorded.arrived_at is None:
        return None
    try:
        return int(datetime.fromisoformat(recorded.arrived_at).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None


def _manifest(root: str) -> Mapping[str, _ManifestEntry]:
    """Return the manifest by file name; empty where there is none."""
    try:
        with open(files.open_below(root, f"{root}/{MANIFEST}"), "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size > _MOST_MANIFEST or not stat.S_ISREG(found.st_mode):
                raise ValueError
            messages = json.load(file)["messages"]
        return {
            str(each["file"]): _ManifestEntry(
                str(each["folder"]),
                str(each["sha256"]),
                str(each.get("arrived_at") or "") or None,
                each.get("expunged_at") is not None,
                frozenset(each["flags"].split()) if isinstance(each.get("flags"), str) else None,
            )
            for each in messages
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceWrong(
            Text(f"Không đọc được {MANIFEST} của nguồn.", "The source's manifest cannot be read."),
            remedy=Text(
                "Sao lại nguồn, hoặc bỏ tệp này nếu nó không phải của mic-mail.", "Copy the source again, or remove that file."
            ),
        ) from error
