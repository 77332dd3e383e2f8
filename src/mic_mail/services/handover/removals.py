"""Who took messages of a unit's mailbox away, as the mail log has it: what the index has forgotten the log still knows.

In: the log's folder, a mailbox, since when. Out: for a folder and UID the last removal. Doors name the mailbox, the folder, the
UIDs and the person of each removal in a mailbox that several people use (Reg. 12.3.a).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from mic_mail.log.query import Query
from mic_mail.log.search import Found, Search
from mic_mail.storage.types import DELIMITER

_MOST = 100_000
"""Events that are read; a mailbox of which more was expunged one by one is told by its tombstones."""
_TAKEN = ("messages_expunged", "message_replaced", "folder_deleted")
_MOVED = ("messages_moved",)
_RENAMED = ("folder_renamed",)


@dataclass(frozen=True, slots=True)
class Removal:
    """One act that took messages out of a folder."""

    at: datetime
    actor: str
    folder: str
    uids: tuple[tuple[int, int], ...]
    """Ranges, both ends included; none: the whole folder."""
    to: str = ""
    """Where they went, or what the folder is called since."""


class _Acts:
    """Acts by what they took, the newest of each."""

    def __init__(self, acts: Sequence[Removal]) -> None:
        self._whole: dict[str, Removal] = {}
        self._single: dict[tuple[str, int], Removal] = {}
        for act in sorted(acts, key=lambda each: each.at):
            if not act.uids:
                self._whole[act.folder] = act
            for low, high in act.uids:  # what was there: a message has an entry at most
                self._single.update(dict.fromkeys(((act.folder, uid) for uid in range(low, high + 1)), act))

    def of(self, folder: str, uid: int) -> Removal | None:
        return self._single.get((folder, uid)) or self._whole.get(folder)


class Removals:
    """What the log says of one mailbox; read when it is asked for the first time."""

    def __init__(self, log_dir: Path, mailbox: str, since: datetime) -> None:
        self._log_dir = log_dir
        self._mailbox = mailbox
        self._since = since

    def of(self, folder: str, uid: int) -> Removal | None:
        """The newest removal of this message, whatever the folder was called by then."""
        return self._found(self._taken, folder, uid)

    def moved(self, folder: str, uid: int) -> Removal | None:
        """The newest move of this message to where it has a number that the log does not say."""
        return self._found(self._moved, folder, uid)

    def _found(self, acts: _Acts, folder: str, uid: int) -> Removal | None:
        return next((act for name in self._names(folder) if (act := acts.of(name, uid)) is not None), None)

    def _names(self, folder: str) -> list[str]:
        """What a folder was called, in order."""
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
    def _renamed(self) -> list[Removal]:
        return sorted(self._read(_RENAMED), key=lambda each: each.at)

    def _read(self, events: Sequence[str]) -> list[Removal]:
        since_us = int(self._since.timestamp() * 1_000_000)
        found: list[Removal] = []
        for event in events:
            query = Query(mailbox=self._mailbox, event=event, since_us=since_us)
            found += [_removal(each) for each in Search(self._log_dir).newest(query, _MOST)]
        return found


def _removal(found: Found) -> Removal:
    fields = found.fields
    uids = fields.get("uid") if fields.get("event") == "message_replaced" else fields.get("uids")
    return Removal(
        at=datetime.fromtimestamp(found.at_us / 1_000_000, UTC),
        actor=str(fields.get("actor") or fields.get("mailbox") or ""),
        folder=str(fields.get("folder") or ""),
        uids=_ranges(str(uids)) if uids else (),
        to=str(fields.get("to") or ""),
    )


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """`1:5,7` as IMAP writes sets."""
    found = []
    for part in text.split(","):
        low, _, high = part.partition(":")
        if low.isdecimal() and (high or low).isdecimal():
            found.append((int(low), int(high or low)))
    return tuple(found)
