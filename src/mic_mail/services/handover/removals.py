"""The removals of messages from a unit's mailbox, by the mail log.

The log remembers what the index has forgotten. In: the log's folder, a mailbox, a beginning. Out: the last removal of a
folder and UID. IMAP and POP3 log the mailbox, folder, UIDs and person of each removal in a mailbox that several people
use (Reg. 12.3.a).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from mic_mail.clock import instant_of
from mic_mail.directory.instants import to_microseconds
from mic_mail.log.query import Query
from mic_mail.log.search import FoundLine, LogSearch
from mic_mail.storage.types import DELIMITER

_MOST = 100_000
"""The limit of events read; beyond it, single expunges are known by their tombstones."""
_TAKEN = ("messages_expunged", "message_replaced", "folder_deleted")
_MOVED = ("messages_moved",)
_RENAMED = ("folder_renamed",)


@dataclass(frozen=True, slots=True)
class RemovalAct:
    """One act that removed messages from a folder."""

    at: datetime
    actor: str
    folder: str
    uids: tuple[tuple[int, int], ...]
    """Ranges, both ends included; none: the whole folder."""
    to: str = ""
    """The messages' new folder, or the folder's new name."""


class _Acts:
    def __init__(self, acts: Sequence[RemovalAct]) -> None:
        self._whole: dict[str, RemovalAct] = {}
        self._single: dict[tuple[str, int], RemovalAct] = {}
        for act in sorted(acts, key=lambda each: each.at):
            if not act.uids:
                self._whole[act.folder] = act
            for low, high in act.uids:  # expunged messages only: each has at most one entry
                self._single.update(dict.fromkeys(((act.folder, uid) for uid in range(low, high + 1)), act))

    def of(self, folder: str, uid: int) -> RemovalAct | None:
        return self._single.get((folder, uid)) or self._whole.get(folder)


class Removals:
    """The log's removals of one mailbox; read at first use."""

    def __init__(self, log_dir: Path, mailbox: str, since: datetime) -> None:
        self._log_dir = log_dir
        self._mailbox = mailbox
        self._since = since

    def of(self, folder: str, uid: int) -> RemovalAct | None:
        """Return the newest removal of this message, under any later name of the folder."""
        return self._found(self._taken, folder, uid)

    def moved(self, folder: str, uid: int) -> RemovalAct | None:
        """Return the newest move of this message; the log does not have its new UID."""
        return self._found(self._moved, folder, uid)

    def _found(self, acts: _Acts, folder: str, uid: int) -> RemovalAct | None:
        return next((act for name in self._names(folder) if (act := acts.of(name, uid)) is not None), None)

    def _names(self, folder: str) -> list[str]:
        """Return the names of a folder over time, in order."""
        names = [folder]
        for renamed in self._renamed:
            if names[-1] == renamed.folder or names[-1].startswith(renamed.folder + DELIMITER):
                names.append(renamed.to + names[-1][len(renamed.folder) :])
        return names

    @cached_property
    def _taken(self) -> _Acts:
        return _Acts(self._read(_TAKEN))

    @cached_property
    def _moved(self) -> _Acts:
        return _Acts(self._read(_MOVED))

    @cached_property
    def _renamed(self) -> list[RemovalAct]:
        return sorted(self._read(_RENAMED), key=lambda each: each.at)

    def _read(self, events: Sequence[str]) -> list[RemovalAct]:
        since_us = to_microseconds(self._since)
        found: list[RemovalAct] = []
        for event in events:
            query = Query(mailbox=self._mailbox, event=event, since_us=since_us)
            found += [_removal(each) for each in LogSearch(self._log_dir).newest(query, _MOST)]
        return found


def _removal(found: FoundLine) -> RemovalAct:
    fields = found.fields
    uids = fields.get("uid") if fields.get("event") == "message_replaced" else fields.get("uids")
    return RemovalAct(
        at=instant_of(found.at_us),
        actor=str(fields.get("actor") or fields.get("mailbox") or ""),
        folder=str(fields.get("folder") or ""),
        uids=_ranges(str(uids)) if uids else (),
        to=str(fields.get("to") or ""),
    )


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Parse an IMAP set such as `1:5,7`."""
    found = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        if low.isdecimal() and (high or low).isdecimal():
            found.append((int(low), int(high or low)))
    return tuple(found)
