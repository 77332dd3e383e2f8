"""The secrecy check: documents with a secrecy marking must not leave (Reg. 4.1).

In: a message in memory or as a file, and its direction. Out: the cause of a refusal, or None. A message refused on
submission is held, so that two people can correct a mistake (`quarantine.held_messages`); mail from outside is accepted
and flagged to the Centre. Everything is logged (Reg. 4.2), without any text of the message. A message that could not be
read in time does not leave: its sender tries again. Mail from outside has worker processes of its own, so that it
cannot occupy those for mail from inside (decision 0095).

Every way out calls `SecrecyCheck.check`: submission and the MX (`pipeline`), APPEND and REPLACE into Sent (`imap`). It has
three steps; the expensive ones run for few messages:

    is_clear         one pass over the octets of plain text: most mail ends here
    visible_content  fields, names and texts; in the loop while the message is small, else in a thread
    readers          a separate process that opens documents, within bounds of time and memory

Mail from outside that is only flagged does not wait for what takes long: its documents and its long texts are read behind the
reply (`unread_documents`, decision 0114).
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import file_digest, sha256
from pathlib import Path
from typing import NamedTuple, TypeVar

from mic_mail.config.model import Config
from mic_mail.errors import MicMailError, Refused, Trouble
from mic_mail.i18n import messages
from mic_mail.ids import trace_id
from mic_mail.log.error_fields import described
from mic_mail.mime.imap_structure import Answers, answers_of
from mic_mail.net.connection_limits import network_of
from mic_mail.process import sandbox
from mic_mail.process.executors import Executor
from mic_mail.process.fair_queue import FairQueue
from mic_mail.process.protection import Protection
from mic_mail.process.runtime import Runtime
from mic_mail.quarantine.held_messages import HeldMessages, HeldRecord, HeldState
from mic_mail.quarantine.unread_messages import UnreadMessage, UnreadMessages, UnreadRecord
from mic_mail.queue.spool import SpoolEnvelope
from mic_mail.services.transport.check import CompleteMessage, Source
from mic_mail.services.transport.delivery_worker import LocalDelivery
from mic_mail.services.transport.envelope import Cause, Envelope, Refusal
from mic_mail.services.transport.unread_documents import UnreadDocuments
from mic_mail.storage.errors import Unavailable
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import Bounds, Budget, CannotRead
from mic_mail.textextract.message_file import MessageFile, ReadFailed
from mic_mail.textextract.messages import NO_TEXTS, Octets, extract_cheap_parts, part_table
from mic_mail.textextract.prefilter import is_clear
from mic_mail.textextract.result import NOTHING, Findings, FoundMarking, Missed, Unread
from mic_mail.textextract.worker_pool import WorkerPool

T = TypeVar("T")

CLAUSE = "4.1"
NICE_INSIDE, NICE_OUTSIDE = 5, 10
"""Niceness of the worker processes: the mail that people wait for goes first."""
FLAG_SECONDS = 30 * 86_400.0
"""Retention of a record if nothing is held."""
INLINE_OCTETS = 16 << 10
"""The largest message that is scanned in the loop.

Its scan takes 0.2 ms, or 20 to 30 ms if the message is made to be slow. A hop to an executor costs 0.1 ms.
"""


TURN_SECONDS = 10.0
"""The longest wait of a message in a file for its scan. Fifty at once take half of that."""
MOST_WAITING = 1_000
"""Messages in files that wait for their scan."""
BEHIND_SECONDS = 60.0
"""The longest reading of a message behind its reply, by the clock.

On a busy machine a worker process gets little of a CPU.
"""
PATIENT_ATTEMPTS, PATIENT_SECONDS = 10, 5.0
"""Attempts to read a message behind its reply while no reader starts, and the pause between them."""
_GLANCE = Bounds(seconds=1.0, parts=200, work=1 << 40, hints=2_000, whole_octets=1 << 18)
"""Bounds of the scan of visible content, 10 ms for that many hints; a worker process reads what needs more."""
_SHORT_TEXT = 1 << 20
"""The longest text that mail from outside waits for: 6 ms."""


_NOT_READ = Findings(missed=(Missed(Unread.CRASHED, "message"),))
"""The findings of a message that ended the processes which read it."""


class Way(StrEnum):
    """The direction of a message."""

    SUBMISSION = "submission"
    INBOUND = "inbound"
    APPEND = "append-to-sent"


@dataclass(frozen=True, slots=True)
class Passage:
    """The metadata of one message under check."""

    way: Way
    trace_id: str
    sender: str
    recipients: tuple[str, ...] = ()
    login: str | None = None
    """The address of the signed-in mailbox."""
    peer: str | None = None
    session: str | None = None
    spool_envelope: Callable[[], SpoolEnvelope] | None = None
    """Returns the spool envelope with which a held message can be released; None: nothing can be held."""


_TEXTS = {
    Cause.MARKED_SECRET: messages.MARKED_SECRET,
    Cause.NOT_INSPECTED: messages.NOT_INSPECTED,
    Cause.TOO_MUCH_TO_INSPECT: messages.TOO_MUCH_TO_INSPECT,
    Cause.NOT_INSPECTED_NOW: messages.NOT_INSPECTED_NOW,
}
"""The causes of this check's refusals, with their texts."""

_NOT_READ_NOW = frozenset({Unread.UNAVAILABLE, Unread.TOO_SLOW, Unread.CRASHED})
"""No worker process, none in time, or one that died; a later attempt may succeed."""


class SecrecyResult(NamedTuple):
    """The cause of a refusal or None, and the scan of the message if there was one."""

    cause: Cause | None
    answers: Answers | None = None


class SecrecyCheck:
    """The check of one process; belongs to the event loop."""

    def __init__(self, runtime: Runtime, held: HeldMessages) -> None:
        self._runtime = runtime
        config = runtime.config()
        self._held = held
        self._settings = config.secrecy
        self._support = config.support
        bounds, most = bounds_of(config), config.secrecy.readers
        self._readers_inside = WorkerPool(bounds, runtime.executors, most=most, nice=NICE_INSIDE, started=self._reader_started)
        self._readers_outside = WorkerPool(
            bounds, runtime.executors, most=most, nice=NICE_OUTSIDE, started=self._reader_started
        )
        self._readers_behind = WorkerPool(
            bounds, runtime.executors, nice=NICE_OUTSIDE, most_seconds=BEHIND_SECONDS, started=self._reader_started
        )
        self._files_inside, self._files_outside, self._files_behind = FileScans(), FileScans(), FileScans()
        self.unread = UnreadDocuments(runtime, UnreadMessages(config.unread_dir), self._read_behind)
        self._protection = sandbox.available()
        self._protection_logged: Protection | None = None

    def apply_reload(self) -> None:
        """Apply a reloaded configuration; worker processes with the old bounds are replaced."""
        config = self._runtime.config()
        self._settings = config.secrecy
        self._support = config.support
        for readers in (self._readers_inside, self._readers_outside, self._readers_behind):
            readers.bounds = bounds_of(config)
            readers.renew()

    async def close(self) -> None:
        await self.unread.close()
        for files in (self._files_inside, self._files_outside, self._files_behind):
            files.close()
        for readers in (self._readers_inside, self._readers_outside, self._readers_behind):
            await readers.close()

    def report(self) -> dict[str, object]:
        """Report to `mic-mail status` how the worker processes are, or would be, sandboxed, and how many messages wait."""
        report = {"readers": self._protection.log_fields(), "unread": len(self.unread)}
        return report | {"unread_damaged": self.unread.damaged} if self.unread.damaged else report

    def _reader_started(self, protection: Protection) -> None:
        """Log the sandbox once, and again when it has changed."""
        self._protection = protection
        if protection != self._protection_logged:
            self._protection_logged = protection
            event = "reader_unprotected" if protection.missing else "reader_protected"
            self._runtime.log.event(event, **protection.log_fields())

    # ------------------------------------------------------------ the check

    async def check(self, passage: Passage, source: Source, answers: Answers | None = None) -> SecrecyResult:
        """Check whether a message may pass; `answers` is its scan, if it was scanned already.

        Waits for `secrecy.seconds` and `TURN_SECONDS`, or a little more; never raises for anything in the message.
        """
        if isinstance(source, bytes) and is_clear(source):
            return SecrecyResult(None)
        verdict, answers = await self._look(passage, source, answers)
        return SecrecyResult(await self._decide(passage, source, verdict), answers)

    async def check_message(
        self, message: CompleteMessage, spool_envelope: Callable[[Envelope, Sequence[LocalDelivery]], SpoolEnvelope]
    ) -> Refusal | None:
        """Check a message in transport; `spool_envelope` makes the envelope for releasing a submitted one."""
        envelope, source = message.envelope, message.source
        passage = _passage_of(envelope)
        if envelope.is_submitted:
            passage = replace(passage, spool_envelope=lambda: spool_envelope(envelope, message.deliveries))
        elif isinstance(source, Path) and self._settings.inbound == "flag" and not envelope.checked.held_for:
            glanced = await self._files_outside.scan(source, message.answers, _turn_of(passage), most_text=_SHORT_TEXT)
            message.is_unread = glanced.has_more and not glanced.verdict.found
            if message.is_unread:
                return None
            if not glanced.has_more:
                cause = await self._decide(passage, source, glanced.verdict)
                return envelope.refusal(cause) if cause is not None else None
            # it is marked: its long texts, too, count for the degree
        cause, answers = await self.check(passage, source, message.answers)
        message.answers = message.answers or answers
        return envelope.refusal(cause) if cause is not None else None

    async def leave_unread(self, message: CompleteMessage) -> UnreadMessage | None:
        """Make it durable that a message is to be read behind its reply; one for which that is not possible is read now."""
        passage, source = _passage_of(message.envelope), message.source
        assert isinstance(source, Path)
        record = UnreadRecord(passage.trace_id, passage.sender, passage.recipients, passage.peer, passage.session)
        unread = await self.unread.keep(record, source)
        if unread is None:
            await self.check(passage, source, message.answers)
        return unread

    async def _read_behind(self, record: UnreadRecord, source: Path, may_be_read: bool) -> None:
        """Read a message that was accepted, and flag it if it is marked."""
        passage = Passage(
            Way.INBOUND, record.trace_id, record.sender, record.recipients, peer=record.peer, session=record.session
        )
        verdict = await self._patiently(passage, source) if may_be_read else _NOT_READ
        self._log_missed(passage, verdict)
        if verdict.worst is not None:
            await self._flag(passage, source, verdict.worst, _places(verdict), is_tried_again=True)

    async def _patiently(self, passage: Passage, source: Path) -> Findings:
        """Read a message that nobody waits for: while no worker process can be started, try again."""
        for _ in range(PATIENT_ATTEMPTS):
            verdict, _ = await self._look(passage, source, None, is_behind=True)
            if all(missed.reason is not Unread.UNAVAILABLE for missed in verdict.missed):
                break
            await asyncio.sleep(PATIENT_SECONDS)
        return verdict

    async def check_append(self, source: Source, *, login: str, peer: str, session: str) -> MicMailError | None:
        """Return the error for a message that IMAP may not store in Sent, or None; `Trouble` if a retry helps."""
        reference = trace_id(self._runtime.clock.now_us())
        cause, _ = await self.check(Passage(Way.APPEND, reference, login, login=login, peer=peer, session=session), source)
        if cause is None:
            return None
        error = Trouble if cause is Cause.NOT_INSPECTED_NOW else Refused
        turn = messages.where_to_turn(self._support, reference)
        return error(messages.joined(_TEXTS[cause], turn), clause=CLAUSE)

    # ------------------------------------------------------------ reading

    async def _look(
        self, passage: Passage, source: Source, answers: Answers | None, *, is_behind: bool = False
    ) -> tuple[Findings, Answers | None]:
        """Read a message; what `is_behind` its reply has a turn and a worker process of its own."""
        files, readers = self._by_direction(
            passage, (self._files_inside, self._readers_inside), (self._files_outside, self._readers_outside)
        )
        if is_behind:
            files, readers = self._files_behind, self._readers_behind
        if not isinstance(source, bytes):
            glanced = await files.scan(source, answers, _turn_of(passage))
        elif len(source) <= INLINE_OCTETS:
            glanced = visible_content(source, answers)
        else:
            glanced = await self._runtime.executors.cpu(visible_content, source, answers)
        if glanced.verdict.found or not glanced.has_more:
            return glanced.verdict, glanced.answers
        return await readers.extract(source, _turn_of(passage)), glanced.answers

    def _by_direction(self, passage: Passage, inside: T, outside: T) -> T:
        return outside if passage.way is Way.INBOUND else inside

    # ------------------------------------------------------------ deciding

    async def _decide(self, passage: Passage, source: Source, verdict: Findings) -> Cause | None:
        self._log_missed(passage, verdict)
        found, where = verdict.worst, _places(verdict)
        if found is None:
            return None if passage.way is Way.INBOUND else self._why_unread(verdict)
        if passage.way is Way.INBOUND and self._settings.inbound == "flag":
            await self._flag(passage, source, found, where)
            return None
        held = await self._hold(passage, source, found, where)
        self._log_event("marked_message_refused", passage, degree=found.marking.degree, where=where, **held)
        return Cause.MARKED_SECRET

    def _log_missed(self, passage: Passage, verdict: Findings) -> None:
        if verdict.missed:
            reasons = sorted({f"{missed.reason}/{missed.format}" for missed in verdict.missed})
            self._log_event("message_not_inspected", passage, reasons=reasons)

    def _why_unread(self, verdict: Findings) -> Cause | None:
        """Return the cause that stops an outgoing message which could not be read completely, or None.

        Permanent reasons come before temporary ones. More content than is read is refused whatever the setting, as it would
        bypass the check; `secrecy.unreadable` decides on what is encrypted, damaged or of an unknown kind.
        """
        reasons = {missed.reason for missed in verdict.missed}
        if Unread.OVER_BOUNDS in reasons:
            return Cause.TOO_MUCH_TO_INSPECT
        if reasons and self._settings.unreadable == "refuse" and not reasons <= _NOT_READ_NOW:
            return Cause.NOT_INSPECTED
        return Cause.NOT_INSPECTED_NOW if reasons & _NOT_READ_NOW else None

    async def _hold(self, passage: Passage, source: Source, found: FoundMarking, where: list[str]) -> dict[str, object]:
        """Hold an outgoing message, if possible; it is refused in any case."""
        if passage.spool_envelope is None or not self._settings.hold:
            record = await self._runtime.executors.io(_measured, self._record(passage, found, where, HeldState.HELD), source)
            return {"held": False, "digest": record.digest, "octets": record.octets}
        record = replace(self._record(passage, found, where, HeldState.HELD), slip=passage.spool_envelope().encode().decode())
        try:
            record = await self._runtime.executors.io(
                lambda: self._held.keep(record, source, room_octets=self._settings.hold_space)
            )
        except (MicMailError, OSError) as error:
            self._log_event("message_not_held", passage, error=described(error))
            return {"held": False}
        return {"held": True, "digest": record.digest, "octets": record.octets}

    async def _flag(
        self, passage: Passage, source: Source, found: FoundMarking, where: list[str], *, is_tried_again: bool = False
    ) -> None:
        """Record incoming marked mail; the housekeeper notifies the Centre, once.

        Where that fails, `is_tried_again` raises the error instead of only logging it.
        """
        record = await self._runtime.executors.io(_measured, self._record(passage, found, where, HeldState.FLAGGED), source)
        try:
            await self._runtime.executors.io(self._held.flag, record)
        except (MicMailError, OSError) as error:
            if is_tried_again:
                raise
            fields = {"degree": found.marking.degree, "where": where, "digest": record.digest, "error": described(error)}
            self._log_event("message_not_flagged", passage, **fields)
            return
        self._log_event("marked_message_flagged", passage, degree=found.marking.degree, where=where, digest=record.digest)

    def _record(self, passage: Passage, found: FoundMarking, where: list[str], state: HeldState) -> HeldRecord:
        now_us = self._runtime.clock.steady_us()
        return HeldRecord(
            held_id=passage.trace_id,
            state=state,
            at_us=now_us,
            expires_at_us=now_us + int((self._settings.hold or FLAG_SECONDS) * 1_000_000),
            sender=passage.sender,
            login=passage.login,
            recipients=passage.recipients,
            octets=0,
            digest="",
            degree=found.marking.degree,
            where=tuple(where),
        )

    def _log_event(self, event: str, passage: Passage, **fields: object) -> None:
        self._runtime.log.event(
            event,
            trace=passage.trace_id,
            way=passage.way,
            clause=CLAUSE,
            sender=passage.sender,
            recipients=len(passage.recipients),
            login=passage.login,
            peer=passage.peer,
            session=passage.session,
            **fields,
        )


def _passage_of(envelope: Envelope) -> Passage:
    client = envelope.client
    return Passage(
        Way.SUBMISSION if envelope.is_submitted else Way.INBOUND,
        envelope.trace_id,
        str(envelope.sender),
        tuple(str(recipient.address) for recipient in envelope.recipients),
        login=client.signed_in.address if client.signed_in else None,
        peer=client.peer.address,
        session=client.peer.session_id,
    )


def _turn_of(passage: Passage) -> str:
    """Return in whose turn a message is read: of the mailbox, or of the network outside."""
    return network_of(passage.peer or "") if passage.way is Way.INBOUND else passage.login or ""


def _places(verdict: Findings) -> list[str]:
    return sorted({one.where for one in verdict.found})


class VisibleContent(NamedTuple):
    """The content of a message that is visible without opening a document."""

    verdict: Findings
    has_more: bool
    answers: Answers | None


def visible_content(octets: bytes, answers: Answers | None = None) -> VisibleContent:
    """Scan the header fields, file names and texts of a message, and files that are nothing but text."""
    texts: dict[int, bytes] = {}
    answers = answers or answers_of(octets, texts)
    return VisibleContent(*_glanced(octets, answers.parts, texts=texts), answers)


def visible_in_file(path: Path, answers: Answers | None, most_text: int | None = None) -> VisibleContent:
    """Scan the same of a message in a file; what the disk does not return is left to a worker process.

    A text of more octets than `most_text` is not scanned: there is more to read.
    """
    try:
        with path.open("rb", buffering=0) as file:
            octets = MessageFile(file.fileno(), os.fstat(file.fileno()).st_size)
            return VisibleContent(*_glanced(octets, answers.parts if answers else part_table(octets), most_text), answers)
    except (OSError, ReadFailed):
        return VisibleContent(NOTHING, True, answers)


class FileScans:
    """Scans messages in files one at a time, in a thread that is started for the first; sources take fair turns.

    Small messages do not wait behind them. A message whose turn does not come within `TURN_SECONDS` is left to a worker
    process.
    """

    def __init__(self) -> None:
        self._turns = FairQueue(1, MOST_WAITING)
        self._thread: Executor | None = None

    async def scan(self, path: Path, answers: Answers | None, source: str, *, most_text: int | None = None) -> VisibleContent:
        """Scan as `visible_in_file`."""
        try:
            await self._turns.take(TURN_SECONDS, source)
        except Unavailable:
            return VisibleContent(NOTHING, True, answers)
        self._thread = self._thread or Executor("secrecy-large", 1)
        try:
            return await self._thread.submit(visible_in_file, path, answers, most_text)
        finally:
            self._turns.give_back()

    def close(self) -> None:
        if self._thread is not None:
            self._thread.end()


def _glanced(
    octets: Octets, parts: bytes, most_text: int | None = None, texts: Mapping[int, bytes] = NO_TEXTS
) -> tuple[Findings, bool]:
    """Return what a glance finds, and whether there is more to read."""
    look = Look(Budget(_GLANCE, time.monotonic), _nobody)
    try:
        has_more = extract_cheap_parts(look, octets, parts, most_text, texts)
    except (CannotRead, RecursionError):
        return NOTHING, True
    return look.findings, has_more


def _nobody(look: Look, content: bytes, name: str, kind: str) -> None:
    raise AssertionError("a glance opens no document")


def _measured(record: HeldRecord, source: Source) -> HeldRecord:
    if isinstance(source, bytes):
        return replace(record, octets=len(source), digest=sha256(source).hexdigest())
    with source.open("rb", buffering=0) as file:
        return replace(record, octets=os.fstat(file.fileno()).st_size, digest=file_digest(file, "sha256").hexdigest())


def bounds_of(config: Config) -> Bounds:
    """Return the configured bounds on how much of a message is read."""
    secrecy = config.secrecy
    return Bounds(
        seconds=secrecy.seconds,
        memory_octets=secrecy.memory,
        unpacked_octets=secrecy.unpacked,
        part_octets=min(secrecy.unpacked, Bounds().part_octets),
        depth=secrecy.depth,
        parts=secrecy.parts,
    )
