"""`Segments`: where the packed text of an account's messages lies, and what searches and indexers ask of that place.

A segment holds some messages that were packed together (segment.py). It never changes: it is added, and later replaced by
another, under a number that is never reused. So cached data stays valid, and a reader needs no lock. Segments hold nothing that
the messages do not.

A message is identified by `key_of`: its base name and size, which its content keeps through COPY, MOVE, a rebuilt index, a
restore.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from mic_mail.mime.search_text import Zone
from mic_mail.storage.fulltext.segment import SIEVE_MODULUS, Flow, Packed

SIEVE_OCTETS = 2_048
"""Octets of a sieve that are read at once: one page of a file holds them."""
SIEVE_PIECES = -(-SIEVE_MODULUS // (8 * SIEVE_OCTETS))
"""All pieces of one sieve."""


class DamagedSegments(Exception):
    """The place does not hold what was written to it."""


@dataclass(frozen=True, slots=True)
class Live:
    """An existing segment."""

    segment_id: int
    octets: int
    dead_since_us: int | None
    """When it was first seen to hold a removed message."""


def key_of(email_id: str, size: int) -> int:
    """Return a message's key: 60 bits of its EMAILID, mixed with its size.

    Among a million messages of one account two are the same with a probability of 4 in ten million.
    """
    return int(email_id[1:16], 16) ^ size


class Segments(ABC):
    """One account's segments in one process; safe from several threads.

    A method that is given the number of a segment raises `KeyError` if the segment is gone.
    """

    errors: ClassVar[tuple[type[BaseException], ...]] = ()
    """What any method may raise where the place cannot be used now and the mailbox itself can."""

    @abstractmethod
    def live(self) -> list[Live]:
        """Return the present segments."""

    @abstractmethod
    def keys(self, segment_id: int) -> "array[int]":
        """Return the keys of a segment's messages, in the order of their places."""

    @abstractmethod
    def values(self, segment_id: int) -> bytes:
        """Return the blob for `segment.unpack_values`."""

    @abstractmethod
    def words(self, segment_id: int, zone: Zone) -> bytes:
        """Return the blob for `segment.Words`."""

    @abstractmethod
    def flow(self, segment_id: int, zone: Zone) -> bytes:
        """Return the blob for `segment.Flow`."""

    @abstractmethod
    def has_word(self, segment_id: int, zone: Zone, part: bytes, *, folded: bool) -> bool:
        """Return whether `part` occurs in the words of a zone (`Words.text`, `Words.folded`).

        They are read in pieces, up to the first occurrence: for a text with megabytes of different words.
        """

    @abstractmethod
    def beginnings(self, segment_id: int, zone: Zone, documents: Collection[int], words: int) -> Flow:
        """Return the flow of a zone with the first `words` words of these documents, and without the others.

        Each word of the zone has to take two octets (`Words.are_narrow`).
        """

    @abstractmethod
    def is_sieved(self, segment_id: int, zone: Zone) -> bool:
        """Return whether a zone has a sieve."""

    @abstractmethod
    def sieve_piece(self, segment_id: int, zone: Zone, number: int) -> bytes:
        """Return SIEVE_OCTETS of the sieve of a zone."""

    @abstractmethod
    def packed(self, segment_id: int, documents: int) -> Packed:
        """Return the whole segment."""

    @abstractmethod
    def add(
        self, packed: Packed | None, keys: Collection[int], *, known: Collection[int], instead_of: Collection[int] = ()
    ) -> bool:
        """Add a segment, and remove those that it replaces.

        False, and nothing has happened, unless the present segments are just those in `known`: another process was faster.
        """

    @abstractmethod
    def mark_dead(self, since: Mapping[int, int | None]) -> None:
        """Record since when segments hold removed messages."""

    @abstractmethod
    def tidy(self) -> None:
        """Give back space after additions and removals."""

    @abstractmethod
    def discard(self) -> None:
        """Discard what cannot be used any more."""
