"""The store of held messages, each with its record: for secrecy refusals and for the quarantine.

In: records (frozen dataclasses), messages in memory or as files. Out: records that survive `kill -9`, in a place of records
(`record_files`, or `record_rows` in a database). A message is stored while its record is there, and is in a state that has one.
Blocking; no clock.
"""

import contextlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.two_persons import Hand
from mic_mail.quarantine.record_files import RecordFiles
from mic_mail.quarantine.record_place import Mark, RecordChange, RecordPlace, StoreFull, chunks
from mic_mail.queue.spool import Spool, SpoolEnvelope

FORMAT = 1
SMALLEST_OCTETS = 64 << 10
"""The least space a message counts for when the number of messages is bounded; 2 GiB allow 32,768."""
ALWAYS_KEPT = 1_000
"""The least bound on the number of messages, however small the space is."""
_ID = re.compile(r"[A-Za-z0-9-]{6,64}")


@dataclass(frozen=True, slots=True)
class OfficerDecision:
    """The person who made a decision, the reason and the time."""

    actor: str
    reason: str
    at_us: int
    document: str | None = None
    login: str = ""
    """The login name of the person on the machine."""
    full_name: str = ""
    person_id: int | None = None

    @property
    def hand(self) -> Hand:
        """The person."""
        return Hand(self.actor, self.login, self.full_name, self.person_id)


class StoredRecord(Protocol):
    """A record: a frozen dataclass of plain values, tuples of them, enums or `OfficerDecision`s."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def held_id(self) -> str: ...
    @property
    def state(self) -> StrEnum: ...
    @property
    def at_us(self) -> int: ...
    @property
    def octets(self) -> int: ...
    @property
    def digest(self) -> str: ...


R = TypeVar("R", bound=StoredRecord)


# ------------------------------------------------------------ records


def encoded(record: StoredRecord) -> bytes:
    """Encode a record."""
    return json.dumps({"format": FORMAT, **asdict(record)}, ensure_ascii=False).encode("utf-8", "replace")


def decoded(make: Callable[..., R], octets: bytes, **enums: type[StrEnum]) -> R:
    """Decode a record; `enums` by field. Raises `ValueError` for one that no version of ours has written."""
    try:
        record: dict[str, Any] = json.loads(octets)
        if record.pop("format") != FORMAT:
            raise ValueError("unknown format")
        fields = {name: _field(value) for name, value in record.items()}
        return make(**fields | {name: enum(fields[name]) for name, enum in enums.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record: {error}") from error


def _field(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return OfficerDecision(**value) if isinstance(value, dict) else value


# ------------------------------------------------------------ the store


class MessageStore(ABC, Generic[R]):
    """All records of one kind; several processes may use it."""

    def __init__(self, place: Path | RecordPlace, decode: Callable[[bytes], R], with_message: Collection[StrEnum]) -> None:
        """`place` is a folder, or another place of records.

        `decode` raises `ValueError` for foreign content; in the states `with_message` the message is stored.
        """
        self.place = RecordFiles(place) if isinstance(place, Path) else place
        self._decode = decode
        self._with_message = with_message
        self._seen: dict[str, tuple[Mark, R]] = {}
        """The records as they were last read."""

    def close(self) -> None:
        self.place.close()

    @abstractmethod
    def _unknown(self, held_id: str) -> BadInput:
        """Return the error for an id that has no record."""

    # ------------------------------------------------------------ writing

    def keep(self, record: R, source: bytes | Path, *, room_octets: int) -> R:
        """Store a message durably and return its record with size and digest; raises `StoreFull`."""
        self.place.prepare()
        self._require_space(source, room_octets)
        kept = record

        def describe(size: int, digest: str) -> bytes:
            nonlocal kept
            kept = replace(record, octets=size, digest=digest)
            return encoded(kept)

        with self.place.changing(record.held_id) as change:
            change.add(source, describe)
        return kept

    def _require_space(self, source: bytes | Path, room_octets: int) -> None:
        """Raise `StoreFull` if the message is one too many, by octets or, since all records are read, by number."""
        number, octets = self.place.used()
        most = max(ALWAYS_KEPT, room_octets // SMALLEST_OCTETS)
        if octets + _size(source) > room_octets or number >= most:
            raise StoreFull(Text("Hết chỗ giữ thư.", "No room to store another message."))

    def _put(self, change: RecordChange, record: R) -> None:
        change.write(encoded(record), has_message=record.state in self._with_message)

    # ------------------------------------------------------------ reading

    def records(self) -> Iterator[R]:
        """Yield every readable record, oldest first; unreadable ones are left to administrators.

        An unchanged record is not read again: there are thousands, and they are listed every few seconds (0.03 s for
        5,000 instead of 0.3 s).
        """
        seen = {}
        for held_id, mark, read in self.place.each():
            before = self._seen.get(held_id)
            with contextlib.suppress(ValueError, OSError):
                seen[held_id] = before if before is not None and before[0] == mark else (mark, self._decode(read()))
        self._seen = seen
        yield from sorted((record for _, record in seen.values()), key=lambda record: (record.at_us, record.held_id))

    def record(self, held_id: str) -> R:
        """Return a record; raises `BadInput` if there is none with this id."""
        return self._decoded(held_id, self.place.read(held_id) if _ID.fullmatch(held_id) else None)

    def _decoded(self, held_id: str, octets: bytes | None) -> R:
        if octets is not None:
            with contextlib.suppress(ValueError):
                return self._decode(octets)
        raise self._unknown(held_id)

    def _found(self, change: RecordChange) -> R | None:
        octets = change.read()
        with contextlib.suppress(ValueError):
            return None if octets is None else self._decode(octets)
        return None

    @contextmanager
    def message(self, record: R) -> Iterator[Path | None]:
        """Return the file of the message; None if it is gone or altered, OSError if it cannot be read now."""
        with self.place.message(record.held_id) as path:
            digest, is_whole = sha256(), False
            with contextlib.suppress(FileNotFoundError):
                for piece in chunks(path):
                    digest.update(piece)
                is_whole = digest.hexdigest() == record.digest
            yield path if is_whole else None

    # ------------------------------------------------------------ release

    def _into_spool(self, record: R, spool: Spool, slip: SpoolEnvelope) -> bool:
        """Put the message into the spool under the record's id, once; False if it is not what came.

        Raises OSError if it cannot be read now.
        """
        if spool.has(record.held_id):
            return True
        with self.message(record) as path:
            if path is None:
                return False
            draft = spool.draft(record.held_id)
            try:
                for piece in chunks(path):
                    draft.write(piece)
                draft.commit(slip).release()
            finally:
                draft.discard()
        return True

    # ------------------------------------------------------------ removing

    def forget(self, record: R) -> None:
        """Remove a record whose time is over."""
        self.place.forget(record.held_id)

    def sweep(self, now_seconds: float) -> None:
        """Remove the leftovers of a kill: partial files, messages without a record, or whose state has none."""
        self.place.sweep(
            now_seconds, lambda: {record.held_id for record in self.records() if record.state not in self._with_message}
        )


def _size(source: bytes | Path) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size
