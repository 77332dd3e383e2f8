"""Documents with a marking of secrecy do not leave (Reg. 4.1): one question, asked on every way out, and about what comes in.

In: a message in memory or as a file, and on which way it is. Out: nothing, it may pass; or a `Stop`, with the reference under
which the log knows it. What is refused on submission is held, so that two people can make good a mistake (`outbound.held`);
what comes from outside is accepted and flagged to the Centre. Everything is an event (Reg. 4.2); never a word of the message.
What nobody could read in time does not leave: its sender tries again. Readers for mail from inside are apart from those for
mail from outside, so that no stranger takes one away (decision 0095).

Every way out calls `Secrecy.check`: submission and reception (`mailflow`), APPEND and REPLACE into Sent (`imap.changing`), and
whatever is built later (redirects, the web). Three steps, the dear ones for few messages only:

    is_clear    one pass over the octets of plain text: most mail ends here
    glance      fields, names and texts, in the loop while the message is small, else in the cpu lane
    readers     a process of its own that opens documents, within bounds of time and memory
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.errors import MicMailError, Refused, Trouble
from mic_mail.i18n import messages
from mic_mail.ids import trace_id
from mic_mail.log.error_fields import described
from mic_mail.log.maillog import MailLog
from mic_mail.mime.imap_structure import Answers, answers_of
from mic_mail.net.connection_limits import network_of
from mic_mail.process import sandbox
from mic_mail.process.executors import Executors
from mic_mail.process.protection import Protection
from mic_mail.quarantine.held_messages import Held, Record, State
from mic_mail.queue.spool import SpoolEnvelope
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import Bounds, CannotRead
from mic_mail.textextract.messages import extract_cheap_parts
from mic_mail.textextract.prefilter import is_clear
from mic_mail.textextract.result import NOTHING, Found, Unread, Verdict
from mic_mail.textextract.worker_pool import Readers

CLAUSE = "4.1"
NICE_INSIDE, NICE_OUTSIDE = 5, 10
"""Of the readers: those that people wait for come first."""
INLINE_OCTETS = 16 << 10
"""A message that is no larger is glanced at in the loop: 0.2 ms, and a hop to a lane costs 0.1. One that is made to take long
takes 20 to 30."""


class Way(StrEnum):
    """Where a message comes from and goes to."""

    SUBMISSION = "submission"
    INBOUND = "inbound"
    APPEND = "append-to-sent"


@dataclass(frozen=True, slots=True)
class Passage:
    """One message on its way."""

    way: Way
    trace_id: str
    sender: str
    recipients: tuple[str, ...] = ()
    login: str | None = None
    """The address of who has signed in."""
    peer: str | None = None
    session: str | None = None
    slip: Callable[[], SpoolEnvelope] | None = None
    """The envelope with which a mistaken refusal would be made good; None: there is nothing to hold."""


class Why(StrEnum):
    """Reasons of a `Stop`."""

    MARKED = "marked"
    UNREADABLE = "unreadable"
    """Encrypted, damaged or of an unknown kind, and the setting refuses that."""
    OVER_BOUNDS = "over-bounds"
    """More than is looked into, whatever the setting says: it would be a way round the check."""
    NOT_READ_NOW = "not-read-now"
    """No reader, none in time, or one that died: it may be otherwise the next time."""


_NOT_READ_NOW = frozenset({Unread.UNAVAILABLE, Unread.TOO_SLOW, Unread.CRASHED})


@dataclass(frozen=True, slots=True)
class Stop:
    """The message does not pass."""

    trace_id: str
    why: Why


class Checked(NamedTuple):
    """The answer, and what the scan of the message gave where there was one."""

    stop: Stop | None
    answers: Answers | None = None


class Secrecy:
    """The check of one process; belongs to the event loop."""

    def __init__(self, config: Config, *, lanes: Executors, log: MailLog, clock: Clock) -> None:
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._held = Held(config.held_dir)
        self._settings = config.secrecy
        self._support = config.support
        bounds, most = bounds_of(config), config.secrecy.readers
        self._readers_inside = Readers(bounds, lanes, most=most, nice=NICE_INSIDE, started=self._reader_started)
        self._readers_outside = Readers(bounds, lanes, most=most, nice=NICE_OUTSIDE, started=self._reader_started)
        self._protection = sandbox.available()
        self._protection_logged: Protection | None = None

    def configure(self, config: Config) -> None:
        """Take over what a reload has changed; readers of the old bounds are let go."""
        self._settings = config.secrecy
        self._support = config.support
        for readers in (self._readers_inside, self._readers_outside):
            readers.bounds = bounds_of(config)
            readers.renew()

    async def close(self) -> None:
        await self._readers_inside.close()
        await self._readers_outside.close()

    def report(self) -> dict[str, object]:
        """For `mic-mail status`: how readers of documents are closed in, as the last one said, or as this machine allows."""
        return {"readers": self._protection.log_fields()}

    def _reader_started(self, protection: Protection) -> None:
        """The log has it once, and again where it has changed."""
        self._protection = protection
        if protection != self._protection_logged:
            self._protection_logged = protection
            event = "reader_unprotected" if protection.missing else "reader_protected"
            self._log.event(event, **protection.log_fields())

    # ------------------------------------------------------------ the question

    async def check(self, passage: Passage, source: bytes | Path) -> Checked:
        """May this message pass? Waits for `secrecy.seconds`, or a little more; never raises for anything in the message."""
        if isinstance(source, bytes) and is_clear(source):
            return Checked(None)
        verdict, answers = await self._look(passage, source)
        return Checked(await self._judge(passage, source, verdict), answers)

    def refusal(self, stop: Stop) -> MicMailError:
        """Wording 10, for doors that have no words of their own; `Trouble` where trying again helps."""
        error = Trouble if stop.why is Why.NOT_READ_NOW else Refused
        turn = messages.where_to_turn(self._support, stop.trace_id)
        return error(messages.joined(_TEXTS[stop.why](), turn), clause=CLAUSE)

    def new_reference(self) -> str:
        return trace_id(self._clock.now_us())

    # ------------------------------------------------------------ looking

    async def _look(self, passage: Passage, source: bytes | Path) -> tuple[Verdict, Answers | None]:
        if not isinstance(source, bytes):
            return await self._read(passage, source), None
        if len(source) <= INLINE_OCTETS:
            glanced = visible_content(source)
        else:
            glanced = await self._lanes.cpu(visible_content, source)
        if glanced.verdict.found or not glanced.has_more:
            return glanced.verdict, glanced.answers
        return await self._read(passage, source), glanced.answers

    async def _read(self, passage: Passage, source: bytes | Path) -> Verdict:
        """By a reader of documents: mailboxes take turns at those for mail from inside, networks at the others."""
        if passage.way is Way.INBOUND:
            return await self._readers_outside.extract(source, network_of(passage.peer or ""))
        return await self._readers_inside.extract(source, passage.login or "")

    # ------------------------------------------------------------ judging

    async def _judge(self, passage: Passage, source: bytes | Path, verdict: Verdict) -> Stop | None:
        if verdict.missed:
            self._log_event(
                "message_not_inspected",
                passage,
                reasons=sorted({f"{missed.reason}/{missed.format}" for missed in verdict.missed}),
            )
        found = verdict.worst
        if found is None:
            why = None if passage.way is Way.INBOUND else self._why_unread(verdict)
            return Stop(passage.trace_id, why) if why is not None else None
        where = sorted({one.where for one in verdict.found})
        if passage.way is Way.INBOUND and self._settings.inbound == "flag":
            await self._flag(passage, source, found, where)
            return None
        held = await self._hold(passage, source, found, where)
        self._log_event("marked_message_refused", passage, degree=found.marking.degree, where=where, **held)
        return Stop(passage.trace_id, Why.MARKED)

    def _why_unread(self, verdict: Verdict) -> Why | None:
        """Why a message from inside does not leave that was not read as a whole. What lasts comes before what passes."""
        reasons = {missed.reason for missed in verdict.missed}
        if Unread.OVER_BOUNDS in reasons:
            return Why.OVER_BOUNDS
        if reasons and self._settings.unreadable == "refuse" and not reasons <= _NOT_READ_NOW:
            return Why.UNREADABLE
        return Why.NOT_READ_NOW if reasons & _NOT_READ_NOW else None

    async def _hold(self, passage: Passage, source: bytes | Path, found: Found, where: list[str]) -> dict[str, object]:
        """Keep what was going out, so that a mistake can be made good. Where that fails it is refused all the same."""
        if passage.slip is None or not self._settings.hold:
            record = await self._lanes.io(_measured, self._record(passage, found, where, State.HELD), source)
            return {"held": False, "digest": record.digest, "octets": record.octets}
        record = replace(self._record(passage, found, where, State.HELD), slip=passage.slip().encode().decode())
        try:
            record = await self._lanes.io(lambda: self._held.keep(record, source, room_octets=self._settings.hold_space))
        except (MicMailError, OSError) as error:
            self._log_event("message_not_held", passage, error=described(error))
            return {"held": False}
        return {"held": True, "digest": record.digest, "octets": record.octets}

    async def _flag(self, passage: Passage, source: bytes | Path, found: Found, where: list[str]) -> None:
        """Put on record what came in marked; the housekeeper tells the Centre, once."""
        record = await self._lanes.io(_measured, self._record(passage, found, where, State.FLAGGED), source)
        try:
            await self._lanes.io(self._held.flag, record)
        except (MicMailError, OSError) as error:
            self._log_event("message_not_flagged", passage, error=described(error))
        self._log_event("marked_message_flagged", passage, degree=found.marking.degree, where=where, digest=record.digest)

    def _record(self, passage: Passage, found: Found, where: list[str], state: State) -> Record:
        now_us = self._clock.steady_us()
        return Record(
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
        self._log.event(
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


_TEXTS = {
    Why.MARKED: messages.marked_secret,
    Why.UNREADABLE: messages.not_inspected,
    Why.OVER_BOUNDS: messages.too_much_to_inspect,
    Why.NOT_READ_NOW: messages.not_inspected_now,
}

FLAG_SECONDS = 30 * 86_400.0
"""How long a record is kept where nothing is held."""


class VisibleContent(NamedTuple):
    """What a message shows without a document being opened."""

    verdict: Verdict
    has_more: bool
    answers: Answers


def visible_content(octets: bytes) -> VisibleContent:
    """Fields, names of files and texts of a message."""
    answers = answers_of(octets)
    look = Look(_GLANCE, time.monotonic, _nobody)
    try:
        has_more = extract_cheap_parts(look, octets, answers.parts)
    except (CannotRead, RecursionError):
        return VisibleContent(NOTHING, True, answers)
    return VisibleContent(look.verdict, has_more, answers)


_GLANCE = Bounds(seconds=1.0, parts=200, work=1 << 40, hints=2_000)
"""What a glance may cost, 10 ms for so many hints; a message that needs more is looked at by whoever opens documents."""


def _nobody(look: Look, content: bytes, name: str, kind: str) -> None:
    raise AssertionError("a glance opens no document")


def _measured(record: Record, source: bytes | Path) -> Record:
    octets = source if isinstance(source, bytes) else source.read_bytes()
    return replace(record, octets=len(octets), digest=digest_of(octets))


def digest_of(octets: bytes) -> str:
    """SHA-256 of a message, as logs and records name it."""
    from hashlib import sha256

    return sha256(octets).hexdigest()


def bounds_of(config: Config) -> Bounds:
    """How much of a message is looked into."""
    secrecy = config.secrecy
    return Bounds(
        seconds=secrecy.seconds,
        memory_octets=secrecy.memory,
        unpacked_octets=secrecy.unpacked,
        part_octets=min(secrecy.unpacked, Bounds().part_octets),
        depth=secrecy.depth,
        parts=secrecy.parts,
    )
