"""The result of examining a message, as a value that passes between processes. Pure.

It never holds text of the message. A finding is a degree, a kind of place and the format; an unread document is a reason and
its format.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.policy.secrecy.degrees import RANK, Degree, Marking, MarkingPlace


class Unread(StrEnum):
    """The reason for which something was not read."""

    ENCRYPTED = "encrypted"
    DAMAGED = "damaged"
    OVER_BOUNDS = "over-bounds"
    """Too large, too deep, too many parts: unpacked, not as received."""
    TOO_SLOW = "too-slow"
    UNKNOWN_ARCHIVE = "unknown-archive"
    """RAR, 7z and similar: there is no maintained library for them."""
    CRASHED = "crashed"
    """The worker process crashed on it."""
    UNAVAILABLE = "unavailable"
    """No worker process was available, or none in time."""


@dataclass(frozen=True, slots=True)
class FoundMarking:
    """One marking and the format that it was found in (`message`, `text`, `docx` ...)."""

    marking: Marking
    format: str

    @property
    def where(self) -> str:
        """The place for logs: `stamp/docx`."""
        return f"{self.marking.place}/{self.format}"


@dataclass(frozen=True, slots=True)
class Missed:
    """Something that was not read."""

    reason: Unread
    format: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything found and missed in one message."""

    found: tuple[FoundMarking, ...] = ()
    missed: tuple[Missed, ...] = ()

    @property
    def worst(self) -> FoundMarking | None:
        """The marking of the highest degree, the first of several."""
        return max(self.found, key=lambda found: RANK[found.marking.degree], default=None)

    def encode(self) -> bytes:
        found = [[one.marking.degree, one.marking.place, one.format] for one in self.found]
        return json.dumps([found, [[one.reason, one.format] for one in self.missed]]).encode()

    @classmethod
    def decode(cls, octets: bytes) -> "Findings":
        """Decode findings; `ValueError` for anything that `encode` has not written."""
        try:
            found, missed = json.loads(octets)
            return cls(
                tuple(FoundMarking(Marking(Degree(degree), MarkingPlace(place)), str(form)) for degree, place, form in found),
                tuple(Missed(Unread(reason), str(form)) for reason, form in missed),
            )
        except TypeError as error:
            raise ValueError("not findings") from error


NOTHING = Findings()
