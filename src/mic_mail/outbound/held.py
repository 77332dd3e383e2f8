"""Messages that were refused because of a marking, kept so that a mistaken refusal can be made good; and what came in marked.

In: the record of a message, and for one that was going out its octets. Out: records that survive `kill -9`, in files of this
account alone (0600) below one folder:

    ID.msg     the message as it was, trace lines in front; only of one that was going out
    ID.json    the record: the message is held while this exists
    lock       whoever changes a record holds its flock

Legal orders:

    keep       ID.msg~ written -> fsync -> ID.msg -> ID.json~ written -> fsync -> ID.json -> fsync of the folder
    change     ID.json~ written -> fsync -> over ID.json -> fsync
    forget     ID.json removed -> ID.msg removed

A message without a record that needs it was never held, or is over: `sweep` removes it. The states a record goes through:

    HELD -> ASKED (one person says why) -> RELEASED (another one agrees) -> SUBMITTED (it is in the spool)
    HELD, ASKED -> DISCARDED;   FLAGGED, of what came in: nothing is held but the record

Blocking; no clock: instants are passed in, in microseconds. Never here: what the message says.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from mic_mail.errors import BadInput, Refused, Text, Trouble, in_ascii
from mic_mail.outbound.spool import Slip, Spool

FORMAT = 1
MODE = 0o600
FOLDER_MODE = 0o700
_ID = re.compile(r"[A-Za-z0-9-]{6,64}")
_PIECE = 1 << 20
ABANDONED_SECONDS = 3_600


class State(StrEnum):
    """Where a record stands."""

    HELD = "held"
    ASKED = "asked"
    RELEASED = "released"
    SUBMITTED = "submitted"
    DISCARDED = "discarded"
    FLAGGED = "flagged"


OPEN = frozenset({State.HELD, State.ASKED})
"""Somebody can still decide about these."""
UNDECIDED = OPEN | {State.RELEASED}
"""These have their message."""


@dataclass(frozen=True, slots=True)
class Word:
    """Who said what, why and when."""

    actor: str
    reason: str
    at_us: int
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one marked message."""

    held_id: str
    state: State
    at_us: int
    expires_at_us: int
    sender: str
    login: str | None
    """Who had signed in; None for what came from outside."""
    recipients: tuple[str, ...]
    octets: int
    digest: str
    """SHA-256 of the message as it is kept."""
    degree: str
    where: tuple[str, ...]
    asked: Word | None = None
    decided: Word | None = None
    told: bool = False
    """Whoever has to know by mail has been written to."""
    slip: str = ""
    """The envelope, as the spool writes it."""

    def encode(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False).encode()

    @classmethod
    def decode(cls, octets: bytes) -> "Record":
        """`ValueError` for what no version of ours has written."""
        try:
            told: dict[str, Any] = json.loads(octets)
            if told.pop("format") != FORMAT:
                raise ValueError("unknown format")
            for name in ("asked", "decided"):
                told[name] = Word(**told[name]) if told[name] else None
            for name in ("recipients", "where"):
                told[name] = tuple(told[name])
            told["state"] = State(told["state"])
            return cls(**told)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a record: {error}") from error

    @property
    def envelope(self) -> Slip:
        """To whom it was going."""
        return Slip.decode(self.slip.encode())


class NoRoom(Trouble):
    """The messages that are held take all the room that they may."""


class Held:
    """All records below one folder; several processes at once."""

    def __init__(self, root: Path) -> None:
        self._root = root

    # ------------------------------------------------------------ keeping

    def keep(self, record: Record, source: bytes | Path, *, room_octets: int) -> Record:
        """Hold a message durably; its record gets size and digest."""
        self._make()
        if self._held_octets() + _size(source) > room_octets:
            raise NoRoom(Text("Hết chỗ giữ thư bị từ chối.", "No room for another message that was refused."))
        with self._locked():
            size, digest = self._write_message(record.held_id, source)
            record = replace(record, octets=size, digest=digest)
            self._write(record)
        return record

    def flag(self, record: Record) -> bool:
        """Keep the record of a marked message that came in; False if it is on record already."""
        self._make()
        with self._locked():
            if self._path(record.held_id).exists():
                return False
            self._write(record)
        return True

    def _held_octets(self) -> int:
        with os.scandir(self._root) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.name.endswith(".msg"))

    def _write_message(self, held_id: str, source: bytes | Path) -> tuple[int, str]:
        path = self._root / f"{held_id}.msg"
        digest, size = sha256(), 0
        fresh = f"{path}~"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        try:
            for piece in _pieces(source):
                digest.update(piece)
                size += len(piece)
                _write_all(fd, piece)
            os.fsync(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(fresh)
            raise _trouble(error) from error
        finally:
            os.close(fd)
        os.rename(fresh, path)
        return size, digest.hexdigest()

    # ------------------------------------------------------------ reading

    def records(self) -> Iterator[Record]:
        """Every record, oldest first; one that cannot be read is left to people."""
        with contextlib.suppress(FileNotFoundError):
            found = []
            for name in os.listdir(self._root):
                if name.endswith(".json"):
                    with contextlib.suppress(ValueError, OSError):
                        found.append(Record.decode((self._root / name).read_bytes()))
            yield from sorted(found, key=lambda record: (record.at_us, record.held_id))

    def record(self, held_id: str) -> Record:
        """One record; `BadInput` if there is none of that reference."""
        if _ID.fullmatch(held_id):
            with contextlib.suppress(ValueError, FileNotFoundError):
                return Record.decode(self._path(held_id).read_bytes())
        raise BadInput(
            Text(f"Không có thư nào được giữ với mã “{held_id}”.", f"No message is held under {in_ascii(held_id)}."),
            remedy=Text("Xem `mic-mail secrecy list`.", "See `mic-mail secrecy list`."),
        )

    def message(self, record: Record) -> Path | None:
        """The message as it was; None if it is gone, or is not what it was."""
        path = self._root / f"{record.held_id}.msg"
        digest = sha256()
        try:
            for piece in _pieces(path):
                digest.update(piece)
        except OSError:
            return None
        return path if digest.hexdigest() == record.digest else None

    # ------------------------------------------------------------ deciding

    def ask(self, held_id: str, word: Word) -> Record:
        """Somebody says that the refusal was a mistake."""
        return self._decide(held_id, {State.HELD}, lambda record: replace(record, state=State.ASKED, asked=word))

    def release(self, held_id: str, word: Word) -> Record:
        """Somebody else agrees: it will be submitted. Reg. 4.1, 4.3: never the one who asked, nor who had sent it."""

        def released(record: Record) -> Record:
            assert record.asked is not None
            own = {_person(record.asked.actor), _person(record.login or ""), _person((record.login or "").partition("@")[0])}
            if _person(word.actor) in own:
                raise Refused(
                    Text(
                        "Người giải tỏa phải khác người đề nghị và người gửi.",
                        "Whoever releases must be neither who asked for it nor who sent it.",
                    ),
                    clause="4.1",
                    remedy=Text("Nhờ người thứ hai có thẩm quyền.", "Have a second authorised person do it."),
                )
            return replace(record, state=State.RELEASED, decided=word)

        return self._decide(held_id, {State.ASKED}, released)

    def discard(self, held_id: str, word: Word) -> Record:
        """The refusal was right, or nobody wants it any more."""
        return self._decide(held_id, OPEN, lambda record: replace(record, state=State.DISCARDED, decided=word))

    def _decide(self, held_id: str, before: "frozenset[State] | set[State]", change: Any) -> Record:
        with self._locked():
            record = self.record(held_id)
            if record.state not in before:
                raise Refused(
                    Text(f"Thư {held_id} đang ở trạng thái “{record.state}”.", f"{held_id} is {record.state}."),
                    clause="4.1",
                    remedy=Text(
                        "Thứ tự: ask, rồi người khác release; hoặc discard.",
                        "First ask, then another one releases; or discard.",
                    ),
                )
            changed: Record = change(record)
            self._write(changed)
            return changed

    # ------------------------------------------------------------ the housekeeper

    def hand_over(self, record: Record, spool: Spool) -> bool:
        """Put a released message into the spool, under its own id and with its envelope; there already, it is left alone.

        False: what is kept is not what was refused, and is not sent.
        """
        if spool.has(record.held_id):
            return True
        path = self.message(record)
        if path is None:
            return False
        draft = spool.draft(record.held_id)
        try:
            for piece in _pieces(path):
                draft.write(piece)
            # It was refused before: what is given up and when counts from the release.
            accepted_at_us = record.decided.at_us if record.decided else record.envelope.accepted_at_us
            draft.commit(replace(record.envelope, attempts=0, next_try_us=0, accepted_at_us=accepted_at_us)).release()
        finally:
            draft.discard()
        return True

    def settled(self, record: Record) -> None:
        """What was decided has been done: the message goes, the record stays until its day."""
        with self._locked():
            state = State.SUBMITTED if record.state is State.RELEASED else record.state
            self._write(replace(record, state=state, told=True))
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._root / f"{record.held_id}.msg")

    def forget(self, record: Record) -> None:
        """Its time is over."""
        with self._locked():
            for suffix in (".json", ".msg"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._root / f"{record.held_id}{suffix}")
            self._sync()

    def sweep(self, now_seconds: float) -> None:
        """Remove what a kill has left: halves, messages without a record, and those whose record says that they are gone."""
        if not self._root.exists():
            return
        with self._locked():
            over = {record.held_id for record in self.records() if record.state not in UNDECIDED}
            for name in os.listdir(self._root):
                path, held_id = self._root / name, name.removesuffix(".msg")
                is_over = held_id != name and (held_id in over or not self._path(held_id).exists())
                if (is_over or name.endswith("~")) and path.stat().st_mtime < now_seconds - ABANDONED_SECONDS:
                    path.unlink()

    # ------------------------------------------------------------ files

    def _path(self, held_id: str) -> Path:
        return self._root / f"{held_id}.json"

    def _make(self) -> None:
        self._root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _write(self, record: Record) -> None:
        path = self._path(record.held_id)
        fd = os.open(f"{path}~", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        try:
            _write_all(fd, record.encode())
            os.fsync(fd)
        except OSError as error:
            raise _trouble(error) from error
        finally:
            os.close(fd)
        os.rename(f"{path}~", path)
        self._sync()

    def _sync(self) -> None:
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _person(actor: str) -> str:
    return " ".join(actor.split()).casefold()


def _size(source: bytes | Path) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _pieces(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb", buffering=0) as file:
        while piece := file.read(_PIECE):
            yield piece


def _write_all(fd: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(fd, view) :]


def _trouble(error: OSError) -> Trouble:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoRoom(Text("Máy chủ tạm hết chỗ.", "No room on the server."))
    return Trouble(Text("Không ghi được thư bị giữ.", "The message cannot be held."))
