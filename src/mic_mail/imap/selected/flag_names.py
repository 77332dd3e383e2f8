"""Flags and keywords of a folder as octets: from bits of the index to the names that a client reads.

Pure.
"""

from functools import lru_cache

from mic_mail.imap.parser.command import SYSTEM_FLAGS
from mic_mail.storage.types import KEYWORD_SHIFT

_MAX_FLAG_NAMES = 4096

assert tuple(SYSTEM_FLAGS.values()) == tuple(1 << bit for bit in range(KEYWORD_SHIFT))


class FlagNames(dict[int, bytes]):
    """Flag bits -> `\\Seen $Label1`, without parentheses; made at first use and cached per combination."""

    __slots__ = ("_recent", "all_names")

    def __init__(self, keywords: tuple[str, ...], *, recent: bool = False) -> None:
        """`recent`: the flags are those of messages that are \\Recent, which is no bit of the index."""
        super().__init__()
        self.all_names = (*SYSTEM_FLAGS, *(keyword.encode() for keyword in keywords))
        self._recent = [b"\\Recent"] if recent else []

    def __missing__(self, flags: int) -> bytes:
        text = b" ".join([*self._recent, *(name for bit, name in enumerate(self.all_names) if flags >> bit & 1)])
        if len(self) < _MAX_FLAG_NAMES:
            self[flags] = text
        return text


flag_names = lru_cache(maxsize=512)(FlagNames)
"""Return the names for a folder's keyword table; sessions with the same table share them."""
