"""Mail that waits to leave: durable entries, each with what became of every recipient so far.

In: a message with its envelope. Out: an `Entry` that survives `kill -9` at any step, and its end once every recipient is
settled. An entry is two files that carry its id, and a third once something has happened:

    tmp/ID.msg    another name of the message          live/ID.msg   the message, durable, read-only, as it lies in the house
    tmp/ID.env    the envelope while it is written     live/ID.env   the envelope, never written again: with it the entry exists
                                                       live/ID.log   what happened, a line each, only ever appended

Legal orders (each step may be the last before a kill):

    accept     tmp/ID.env made and locked -> tmp/ID.msg linked -> tmp/ID.env written -> fsync -> live/ID.msg -> live/ID.env
               -> fsync of live/ -> unlocked
    take       tmp/ID.env made and locked -> live/ID.msg linked -> an envelope from elsewhere becomes live/ID.env -> fsync of
               live/ -> tmp/ID.env removed
    progress   a line is appended to live/ID.log, by one write; those of people are fsynced
    end        live/ID.env removed, or moved to ended/ID -> live/ID.log, live/ID.msg removed

    found after a kill                       means                              what is done
    tmp/ID.*                                 never acknowledged, or taken       removed, unless its writer lives (flock)
    live/ID.msg, ID.log without ID.env       accept before, or end after it     removed, likewise
    live/ID.env without ID.msg               nothing that we have done          left to people: `Damaged`
    a last line of ID.log without its end    a write that was cut               passed over
    all                                      the entry                          read, its log replayed
    ended/ID                                 sent, while the spool has it       not put again; removed once the spool has not

What was delivered and not yet written down when the power went is sent twice, as with every mail server: so lines of progress
are not fsynced. One process sends; workers add, commands append what people decide and leave the entry's name in said/, since
a hint (`outbound.news`) may be lost. Blocking; instants are passed in.
"""

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

from mic_mail.errors import Refused, Text
from mic_mail.mailbox_address import MailboxAddress, parse_reverse_path
from mic_mail.mime.original_recipient import OriginalRecipient
from mic_mail.queue.binary_domains import BinaryDomains
from mic_mail.queue.esmtp_options import Transaction, addressed, as_json
from mic_mail.queue.files import trouble, unlink, write_all
from mic_mail.queue.recipient_log import NOBODY, AdminDecision, Hold, Standing, State

FORMAT: Final = 1
MESSAGE: Final = ".msg"
ENVELOPE: Final = ".env"
LOG: Final = ".log"


class Ended(Refused):
    """Nobody waits for it any more: nothing can be decided of it."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One address elsewhere."""

    address: MailboxAddress
    notify: tuple[str, ...] = ()
    orcpt: OriginalRecipient | None = None

    @property
    def domain(self) -> str:
        return self.address.domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope(Transaction):
    """What an entry keeps of the transaction in which it came."""

    recipients: tuple[Recipient, ...]

    def encode(self) -> bytes:
        return as_json(self, version=FORMAT).encode("utf-8", "surrogateescape")

    @classmethod
    def decode(cls, octets: bytes) -> "Envelope":
        """`ValueError` for what no version of ours has written."""
        try:
            told: dict[str, Any] = json.loads(octets.decode("utf-8", "surrogateescape"))
            if told.pop("format") != FORMAT:
                raise ValueError("unknown format")
            recipients = tuple(Recipient(**addressed(each)) for each in told.pop("recipients"))
            return cls(sender=parse_reverse_path(told.pop("sender")), recipients=recipients, **told)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an envelope: {error}") from error


class Queue:
    """All entries below one directory."""

    def __init__(self, root: Path, *, comes_again: Callable[[str], bool] = lambda _: False) -> None:
        """`comes_again`: whether somebody may put this entry once more, who was perhaps killed before he knew that it is here;
        asked by the process that sends."""
        self._tmp, self._live, self._said, self._ended = root / "tmp", root / "live", root / "said", root / "ended"
        self._comes_again = comes_again
        for directory in (self._tmp, self._live, self._said, self._ended):
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._live_fd = os.open(self._live, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.binary_domains = BinaryDomains(root / "binarymime")

    def close(self) -> None:
        os.close(self._live_fd)

    def has(self, entry_id: str) -> bool:
        return (self._live / (entry_id + ENVELOPE)).exists()

    def had(self, entry_id: str) -> bool:
        """It is here, or was, as whoever put it does not know yet. In this order: an end moves it from one to the other."""
        return self.has(entry_id) or (self._ended / entry_id).exists()

    def put(self, entry_id: str, message: Path, envelope: Envelope) -> None:
        """Make the entry of a message that lies durable in a file of this file system; of one that is or was here nothing.

        When this returns it will be sent, or its sender told. `SpoolUnavailable` leaves nothing behind.
        """
        if self.had(entry_id):
            return
        fresh, written = self._tmp / (entry_id + MESSAGE), self._tmp / (entry_id + ENVELOPE)
        fd = -1
        try:
            fd = self._claim(entry_id, fcntl.LOCK_EX)
            if self.had(entry_id):  # somebody was quicker: what is open here may be the envelope in its place
                if _is(fd, written):
                    unlink(written)
                return
            unlink(fresh)
            os.link(message, fresh)
            os.ftruncate(fd, 0)
            write_all(fd, envelope.encode())
            os.fsync(fd)
            os.rename(fresh, self._live / fresh.name)
            os.rename(written, self._live / written.name)
            os.fsync(self._live_fd)
        except OSError as error:
            for path in (self._live / written.name, written, fresh, self._live / fresh.name):
                unlink(path)
            raise trouble(error) from error
        finally:
            if fd >= 0:
                os.close(fd)

    def take(self, entry_id: str, message: Path, envelope: Path) -> bool:
        """Make an entry of two durable files; the envelope is moved, so it is made once however often that is tried, also
        after the entry has ended. False: it was made before. `SpoolUnavailable` leaves the envelope where it was."""
        fd = -1
        try:
            fd = self._claim(entry_id, fcntl.LOCK_EX)
            if not envelope.exists():
                return False
            unlink(self._live / (entry_id + MESSAGE))
            os.link(message, self._live / (entry_id + MESSAGE))
            os.rename(envelope, self._live / (entry_id + ENVELOPE))
            os.fsync(self._live_fd)
        except OSError as error:
            raise trouble(error) from error
        finally:
            if fd >= 0:
                if _is(fd, self._tmp / (entry_id + ENVELOPE)):
                    unlink(self._tmp / (entry_id + ENVELOPE))
                os.close(fd)
        return True

    def _claim(self, entry_id: str, how: int) -> int:
        """The locked file of an envelope in tmp/: whoever has it alone touches what lies there by this id.

        One that was removed, or became an entry, while somebody waited for it is none; of the second `has` tells.
        """
        while True:
            fd = os.open(self._tmp / (entry_id + ENVELOPE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                fcntl.flock(fd, how)
            except BaseException:
                os.close(fd)
                raise
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)

    def names(self) -> list[str]:
        """The ids of all entries, in their order."""
        return sorted(name.removesuffix(ENVELOPE) for name in os.listdir(self._live) if name.endswith(ENVELOPE))

    def decided(self) -> list[str]:
        """The entries of which people have decided something since this was last asked; for the one process that sends."""
        names = sorted(os.listdir(self._said))
        for name in names:  # before they are looked at: what is decided from now on leaves its name again
            unlink(self._said / name)
        return names

    def entries(self) -> Iterator["Entry"]:
        """Every entry, in the order of their ids. One that cannot be read is left to people, and out."""
        for entry_id in self.names():
            entry = self.read(entry_id)
            if entry is not None:
                yield entry

    def read(self, entry_id: str) -> "Entry | None":
        """One entry as it stands; None where there is none, or none that makes sense."""
        found = self.look_at(entry_id)
        return found if isinstance(found, Entry) else None

    def look_at(self, entry_id: str) -> "Entry | Damaged | None":
        """One entry as it stands, or why it cannot be read; None where there is none."""
        try:
            envelope = Envelope.decode((self._live / (entry_id + ENVELOPE)).read_bytes())
            state = self._replayed(entry_id, len(envelope.recipients))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return Damaged(entry_id, f"{entry_id}{ENVELOPE}: {error}")
        if (self._live / (entry_id + MESSAGE)).exists():
            return Entry(self, entry_id, envelope, state)
        return Damaged(entry_id, f"{entry_id}{MESSAGE} is gone") if self.has(entry_id) else None

    def _replayed(self, entry_id: str, recipients: int) -> State:
        state = State.fresh(recipients)
        try:
            log = (self._live / (entry_id + LOG)).read_bytes()
        except FileNotFoundError:
            return state
        for line in log.split(b"\n")[:-1]:
            try:
                state = state.after(json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError):
                continue  # half of a line, before somebody else's
        return state

    def sweep(self) -> None:
        """Remove what a kill has left; for the one process that sends, as it begins."""
        begun = {os.path.splitext(name)[0] for name in os.listdir(self._tmp)}
        ended = {stem for stem, _ in map(os.path.splitext, os.listdir(self._live)) if not self.has(stem)}
        for entry_id in begun | ended:
            self._sweep(entry_id)

    def forget_ended(self) -> None:
        """Of what ended before its spool's entry; for the one process that sends, now and then."""
        for name in os.listdir(self._ended):
            if not self._comes_again(name):
                unlink(self._ended / name)

    def _sweep(self, entry_id: str) -> None:
        try:
            fd = self._claim(entry_id, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody alive is making it
            return
        try:
            written = self._tmp / (entry_id + ENVELOPE)
            if not self.has(entry_id):
                unlink(self._live / (entry_id + MESSAGE))
                unlink(self._live / (entry_id + LOG))
            if _is(fd, written):  # else it has just become an entry
                unlink(self._tmp / (entry_id + MESSAGE))
                unlink(written)
        finally:
            os.close(fd)


def _is(fd: int, path: Path) -> bool:
    """Whether what is open is what lies there."""
    try:
        return os.stat(path).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class Damaged:
    """An entry that cannot be read: it is never tried, and stays until somebody has looked at its files."""

    entry_id: str
    why: str


@dataclass(slots=True)
class Entry:
    """One message that waits, and what became of it."""

    queue: Queue
    entry_id: str
    envelope: Envelope
    state: State
    has_ended: bool = False
    """By this process."""
    _unwritten: list[bytes] = field(default_factory=list)
    """Lines that the disk has not taken: they count here all the same, and are written before the next one. What another server
    has must not be sent again and again because the disk is full."""
    _turn: Lock = field(default_factory=Lock, repr=False)
    """Whoever reads the log anew or appends to it in this process: else a line could be read as not said yet."""

    @property
    def path(self) -> Path:
        """The message file."""
        return self.queue._live / (self.entry_id + MESSAGE)

    @property
    def free_since_us(self) -> int:
        """When it was accepted, or was held last."""
        return max(self.envelope.accepted_at_us, self.state.free_since_us)

    @property
    def octets(self) -> int:
        """Of the message as it leaves the house; `Ended` where whoever sends was quicker."""
        try:
            return self.path.stat().st_size - self.envelope.return_path_octets
        except FileNotFoundError as error:
            raise self._ended() from error

    def _ended(self) -> Ended:
        return Ended(Text(f"Thư {self.entry_id} đã kết thúc.", f"{self.entry_id} has ended meanwhile."))

    def beginning(self, octets: int) -> bytes:
        """So much of the message as it leaves the house."""
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.envelope.return_path_octets)
            return file.read(octets)

    def tried(
        self, places: Sequence[int], standing: Standing, reason: str, *, next_try_us: int, server: str | None = None
    ) -> None:
        """A try is over for these recipients: settled, or OPEN and due again at `next_try_us`; `server`: who said why."""
        self._append(_try(places, standing, reason, next_try_us, server))

    def delivered_to_the_last(self, places: Sequence[int], reason: str, server: str | None) -> bool:
        """These have it, and with them everybody: the entry ends, without a log of it. False: somebody waits still, or has
        to be told of something, and nothing has happened."""
        if set(self.state.open) - set(places) or self.state.untold:
            return False
        with self._turn:
            self._keep(_try(places, Standing.DELIVERED, reason, 0, server))
        self.end()
        return True

    def warned(self) -> None:
        """The sender was told that it is late."""
        self._append({"did": "warned"})

    def sender_notified(self, places: Sequence[int]) -> None:
        """The sender was told of the end of these."""
        self._append({"did": "told", "places": list(places)})

    def kept_back(self, is_so: bool, at_us: int) -> None:
        """Its mailbox may not send, or may again."""
        self._append({"did": "kept", "is_so": is_so, "at_us": at_us})

    def hold(self, hold: Hold, said: AdminDecision = NOBODY) -> None:
        """Let it wait, or not any more."""
        self._decide({"did": "hold", "hold": hold}, said)

    def retry(self, said: AdminDecision = NOBODY) -> None:
        """Let it be tried at once unless it is held."""
        self._decide({"did": "retry"}, said, sync=False)

    def drop(self, places: Sequence[int], said: AdminDecision) -> None:
        """These recipients get nothing; whoever sends tells the sender so, and why."""
        self._decide({"did": "drop", "places": list(places)}, said)

    def refresh(self) -> bool:
        """See what others have appended; False: the entry has ended, and its state is what it was."""
        with self._turn:
            state = self.queue._replayed(self.entry_id, len(self.envelope.recipients))
            if not self.queue.has(self.entry_id):  # asked afterwards: its log goes after its envelope
                return False
            for line in self._unwritten:
                state = state.after(json.loads(line))
            self.state = state
            return True

    def end(self) -> None:
        """Nobody waits for it any more."""
        queue, live = self.queue, self.queue._live
        if queue._comes_again(self.entry_id):
            with suppress(FileNotFoundError):  # ended before
                os.rename(live / (self.entry_id + ENVELOPE), queue._ended / self.entry_id)
        for ending in (ENVELOPE, LOG, MESSAGE):
            unlink(live / (self.entry_id + ending))
        self.has_ended = True

    def _decide(self, line: dict[str, object], said: AdminDecision, *, sync: bool = True) -> None:
        """`Ended` where whoever sends was quicker."""
        self._append({**line, "said": asdict(said)}, sync=sync)
        if not self.queue.has(self.entry_id):
            unlink(self.queue._live / (self.entry_id + LOG))
            raise self._ended()
        with suppress(OSError):  # it is said; without its name there it counts from the next try on
            os.close(os.open(self.queue._said / self.entry_id, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640))

    def _append(self, line: dict[str, object], *, sync: bool = False) -> None:
        """`SpoolUnavailable` where it could not be written; `state` has it all the same."""
        with self._turn:
            self._keep(line)
            try:
                self._write_down(sync=sync)
            except OSError as error:
                raise trouble(error) from error

    def _keep(self, line: dict[str, object]) -> None:
        """It counts from now on."""
        self._unwritten.append(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        self.state = self.state.after(json.loads(self._unwritten[-1]))

    def _write_down(self, *, sync: bool) -> None:
        fd = os.open(self.queue._live / (self.entry_id + LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            while self._unwritten:
                octets = self._unwritten[0]
                # Behind a line that was cut a new one begins.
                if os.write(fd, octets if _ends_with_a_line(fd) else b"\n" + octets) < len(octets):
                    raise OSError(errno.ENOSPC, "the line was cut")
                del self._unwritten[0]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)


def _try(places: Sequence[int], standing: Standing, reason: str, next_try_us: int, server: str | None) -> dict[str, object]:
    return {
        "did": "try",
        "places": list(places),
        "standing": standing,
        "reason": reason,
        "server": server,
        "next_try_us": next_try_us,
    }


def _ends_with_a_line(fd: int) -> bool:
    size = os.fstat(fd).st_size
    if size == 0:
        return True
    with open(f"/proc/self/fd/{fd}", "rb") as log:
        log.seek(size - 1)
        return log.read(1) == b"\n"
