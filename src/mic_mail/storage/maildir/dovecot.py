"""The metadata of a Dovecot Maildir, so that its users keep their UIDs, keywords and subscriptions.

Reads `dovecot-uidlist` (versions 1 and 3), `dovecot-keywords` and `subscriptions` (versions 1 and 2). Bounded, never raises: an
unreadable file counts as missing, and the messages then get new UIDs under a new UIDVALIDITY.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from mic_mail.storage.canonical_name import is_displayable
from mic_mail.storage.maildir.folder_names import decode_level
from mic_mail.storage.types import DELIMITER, MAX_KEYWORDS

_MAX_OCTETS = 256 << 20
_UIDLIST_3 = re.compile(r"3 (.*)")
_UIDLIST_1 = re.compile(r"1 ([0-9]{1,10}) ([0-9]{1,10})")
_PLACE = re.compile(r"[0-9]{1,3}")
_MAX_UID = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class UidList:
    uidvalidity: int
    uidnext: int
    uids: Mapping[str, int] = field(default_factory=dict)
    """UIDs by the file name up to its colon."""

    def uid_of(self, file_name: str) -> int:
        return self.uids.get(file_name.partition(":")[0], 0)


def read_uidlist(folder_path: str) -> UidList | None:
    lines = _lines(f"{folder_path}/dovecot-uidlist")
    if not lines:
        return None
    header = lines[0]
    if match := _UIDLIST_1.fullmatch(header):
        uidvalidity, uidnext = int(match[1]), int(match[2])
    elif match := _UIDLIST_3.fullmatch(header):
        words = {word[0]: word[1:] for word in match[1].split(" ") if word}
        uidvalidity, uidnext = _number(words.get("V", "")), _number(words.get("N", ""))
    else:
        return None
    if not uidvalidity:
        return None
    uids: dict[str, int] = {}
    for line in lines[1:]:
        uid_text, _, rest = line.partition(" ")
        # Version 3: "<uid> [<key><value> ...] :<name>"; version 1: "<uid> <name>".
        name = rest.partition(":")[2] if header.startswith("3") else rest
        uid = _number(uid_text)
        if uid and name:
            uids[name.partition(":")[0]] = uid
    return UidList(uidvalidity, max([uidnext, 1, *(uid + 1 for uid in uids.values())]), uids)


def read_keywords(folder_path: str) -> tuple[str, ...]:
    """Return keywords in the order of their letters; gaps are filled with names that no client sets."""
    names: dict[int, str] = {}
    for line in _lines(f"{folder_path}/dovecot-keywords"):
        number, _, name = line.partition(" ")
        if _PLACE.fullmatch(number) and int(number) < MAX_KEYWORDS and name and name.isascii() and name.isprintable():
            names[int(number)] = name
    return tuple(names.get(place, f"unused-{place}") for place in range(max(names, default=-1) + 1))


def read_subscriptions(maildir_path: str) -> list[str]:
    lines = _lines(f"{maildir_path}/subscriptions")
    if lines[:1] == ["V\t2"]:
        split = [[decode_level(level) or level for level in line.split("\t")] for line in lines[1:] if line]
    else:
        split = [[decode_level(level) or level for level in line.split(".")] for line in lines if line]
    return [name for levels in split if is_displayable(name := DELIMITER.join(levels))]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _MAX_UID else 0


def _lines(path: str) -> list[str]:
    """Return the lines of a regular file, else none: a pipe would block, a link may lead to another user's data."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return []
            return file.read(_MAX_OCTETS).decode(errors="surrogateescape").splitlines()
    except OSError:
        return []
