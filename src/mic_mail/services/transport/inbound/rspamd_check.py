"""Content check by Rspamd: whether a message is accepted, where it goes, and its spam header fields.

Reg. 10.2, 15.5; decision 0080. `RULES` maps Rspamd's actions; nothing is rewritten, nothing dropped. `greylist` passes:
Rspamd's own module turns it into `soft reject` while a message must wait, so a remaining `greylist` means that it has
waited, or that no greylisting is active.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mic_mail.filters.rspamd import About, NotScored, Rspamd, RspamdAction, Scored
from mic_mail.filters.spam_headers import scored_field, unscored_field
from mic_mail.log.error_fields import described
from mic_mail.process.runtime import Runtime
from mic_mail.quarantine.quarantine import Reason
from mic_mail.services.transport.check import ReceivedMessage, Source
from mic_mail.services.transport.envelope import JUNK, Cause, CheckResult, Envelope, InboundAction, Refusal
from mic_mail.services.transport.inbound.message_chunks import message_chunks
from mic_mail.storage.errors import Unavailable

HOUR = 3_600.0
MOST_IN_LOG = 30
"""Symbols in one log line."""


RULES = {
    RspamdAction.NONE: InboundAction.PASS,
    RspamdAction.GREYLIST: InboundAction.PASS,
    RspamdAction.ADD_HEADER: InboundAction.JUNK,
    RspamdAction.REWRITE_SUBJECT: InboundAction.JUNK,
    RspamdAction.SOFT_REJECT: InboundAction.LATER,
    RspamdAction.QUARANTINE: InboundAction.HOLD,
}
"""The act for each action of Rspamd.

`rspamd.reject` decides on `reject` and `discard`, since no message may vanish silently (Reg. 4.2).
"""


def act_on(action: RspamdAction, reject: str) -> InboundAction:
    """Map an action for mail from other servers."""
    return RULES.get(action) or InboundAction(reject)


def act_on_submitted(action: RspamdAction) -> InboundAction:
    """Map an action for submitted mail, which has no Junk folder to go to."""
    match act_on(action, InboundAction.REFUSE):
        case InboundAction.HOLD:
            return InboundAction.REFUSE
        case InboundAction.JUNK:
            return InboundAction.PASS
        case act:
            return act


class RspamdCheck:
    """The Rspamd check of one process; belongs to the loop."""

    def __init__(self, runtime: Runtime, *, spamming: Callable[[int, int], None]) -> None:
        """`spamming` is called with a mailbox of whose mail too much was rejected, and the number."""
        self._runtime = runtime
        self._spamming = spamming
        self._rejected: dict[int, deque[float]] = {}
        self.apply_reload()

    def apply_reload(self) -> None:
        """Apply a reloaded configuration; requests in progress finish with the old one."""
        settings = self._settings = self._runtime.config().rspamd
        self._rspamd = (
            Rspamd(settings.url, seconds=settings.seconds, connections=settings.connections) if settings.url else None
        )

    # ------------------------------------------------------------ mail from other servers

    async def check(self, arrived: ReceivedMessage) -> CheckResult:
        envelope = arrived.envelope
        try:
            scored = await self._score(envelope, arrived.source)
        except NotScored as error:
            return self._not_scored(envelope, error)
        if scored is None:
            return CheckResult()
        if isinstance(scored, int):
            return CheckResult(
                fields=unscored_field("too large to be looked at"), log_fields={"spam": "too-large", "octets": scored}
            )
        act = act_on(scored.action, self._settings.reject)
        refusals = {InboundAction.REFUSE: Cause.SPAM, InboundAction.LATER: Cause.PUT_OFF}
        return CheckResult(
            refusal=envelope.refusal(refusals[act]) if act in refusals else None,
            verdict=JUNK if act is InboundAction.JUNK else "",
            held_for=Reason.SPAM if act is InboundAction.HOLD else "",
            finding=f"{scored.action} {scored.score:g}/{scored.required:g}" if act is InboundAction.HOLD else "",
            symbols=_symbols(scored) if act is InboundAction.HOLD else (),
            rule="" if act is InboundAction.PASS else f"rspamd-{act}",
            fields=b"" if act is InboundAction.HOLD else scored_field(scored, spam=act is InboundAction.JUNK),
            log_fields=_log_fields(scored),
        )

    def _not_scored(self, envelope: Envelope, error: NotScored) -> CheckResult:
        log_fields = {"spam": "not-scored", "spam_error": described(error)}
        if self._settings.absent == "refuse":
            return CheckResult(envelope.refusal(Cause.NOT_SCORED), rule="rspamd-absent", log_fields=log_fields)
        return CheckResult(fields=unscored_field("not looked at"), log_fields=log_fields)

    # ------------------------------------------------------------ submitted mail

    async def check_submitted(self, envelope: Envelope, source: Source) -> Refusal | None:
        """Return why a submitted message is refused; too many rejections suspend its mailbox (Reg. 7.2.c)."""
        signed_in = envelope.client.signed_in
        if not self._settings.outgoing or signed_in is None:
            return None
        refusal: Refusal | None = None
        log_fields: dict[str, object]
        try:
            scored = await self._score(envelope, source)
            if not isinstance(scored, Scored):
                return None
            log_fields = _log_fields(scored)
            act = act_on_submitted(scored.action)
            if act is InboundAction.PASS:
                return None
            refusal = envelope.refusal(Cause.SPAM_SENT if act is InboundAction.REFUSE else Cause.PUT_OFF)
            if act is InboundAction.REFUSE:
                self._count(signed_in.mailbox_id)
        except NotScored as error:
            log_fields = {"spam": "not-scored", "spam_error": described(error)}
            if self._settings.absent == "refuse":
                refusal = envelope.refusal(Cause.NOT_SCORED)
        self._runtime.log.event(
            "submitted_judged",
            trace=envelope.trace_id,
            clause="7.2.c",
            action="refused" if refusal is not None else "passed",
            sender=envelope.sender,
            login=signed_in.address,
            recipients=len(envelope.recipients),
            message_id=envelope.header.message_id,
            peer=envelope.client.peer.address,
            session=envelope.client.peer.session_id,
            **log_fields,
        )
        return refusal

    def _count(self, mailbox_id: int) -> None:
        """Count a rejected message of a mailbox; rejections older than an hour are forgotten."""
        now, most = self._runtime.clock.monotonic(), self._settings.suspend_beyond
        times = self._rejected.setdefault(mailbox_id, deque())
        times.append(now)
        while times[0] <= now - HOUR or len(times) > most + 1:
            times.popleft()
        if most and len(times) > most:
            self._spamming(mailbox_id, len(times))
        for silent in [one for one, each in self._rejected.items() if each[-1] <= now - HOUR]:
            del self._rejected[silent]

    # ------------------------------------------------------------ requests

    async def _score(self, envelope: Envelope, source: Source) -> Scored | int | None:
        """Return Rspamd's result; the size of a message too large to send; None if Rspamd is not used."""
        if self._rspamd is None:
            return None
        try:
            octets = len(source) if isinstance(source, bytes) else (await self._runtime.executors.io(Path(source).stat)).st_size
        except OSError as error:
            raise NotScored(str(error)) from error
        if octets > self._settings.largest:
            return octets
        data = about(envelope, await _hostname(envelope))
        return await self._rspamd.check(data, message_chunks(self._runtime.executors, source), octets)


async def _hostname(envelope: Envelope) -> str:
    """Return the client's DNS name if it is known by now; without one Rspamd suspects every client."""
    lookups = envelope.lookups
    if lookups is not None and lookups.authenticates:
        with contextlib.suppress(Unavailable):
            return (await lookups.iprev(asyncio.get_running_loop().time())).name
    return ""


def about(envelope: Envelope, hostname: str = "") -> About:
    """Return the envelope data that Rspamd gets."""
    client = envelope.client
    return About(
        peer=client.peer.address,
        helo=client.helo,
        hostname=hostname,
        sender=str(envelope.sender),
        recipients=[str(recipient.address) for recipient in envelope.recipients],
        user=client.signed_in.address if client.signed_in is not None else "",
        queue_id=envelope.trace_id,
        tls=client.peer.tls.version if client.peer.tls else "",
    )


def _log_fields(scored: Scored) -> dict[str, object]:
    """Return the result's log fields, also used for later decisions."""
    return {
        "spam": scored.unknown_action or scored.action.value,
        "score": scored.score,
        "required": scored.required,
        "symbols": list(_symbols(scored)),
    }


def _symbols(scored: Scored) -> tuple[str, ...]:
    return tuple(f"{symbol.name}={symbol.score:g}" for symbol in scored.symbols[:MOST_IN_LOG])
