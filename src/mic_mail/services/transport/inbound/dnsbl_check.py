"""Checks of a client on a DNS blocklist (RFC 5782): refused at RCPT, or its mail to Junk.

A refused client still reaches postmaster (RFC 5321 §4.5.1) and abuse (RFC 2142).
"""

from mic_mail.services.transport.check import MaybeRefusal, RcptCommand, ReceivedMessage
from mic_mail.services.transport.envelope import JUNK, Cause, CheckResult, Refusal
from mic_mail.services.transport.inbound.client_lookups import ClientLookups

ALWAYS_REACHED = frozenset({"postmaster", "abuse"})
"""Local parts that a listed client may write to, to ask why."""


def refuse_listed(rcpt: RcptCommand) -> MaybeRefusal:
    """Refuse a recipient to a client on a list that refuses."""
    if rcpt.lookups is None or rcpt.address.local_part.lower() in ALWAYS_REACHED:
        return None
    return _refuse_listed(rcpt, rcpt.lookups)


async def _refuse_listed(rcpt: RcptCommand, lookups: ClientLookups) -> Refusal | None:
    zone = await lookups.refusing_list()
    return Refusal(Cause.LISTED, rcpt.trace_id, {"address": rcpt.client.peer.address, "zone": zone}) if zone else None


async def check(arrived: ReceivedMessage) -> CheckResult:
    """Return the verdict on a message by the lists that its client is on."""
    lookups = arrived.envelope.lookups
    if lookups is None:
        return CheckResult()
    found = await lookups.listings()
    lists = {"lists": list(found.zones), "lists_unanswered": list(found.unanswered)}
    is_junk = any(zone in lookups.owner.putting_aside for zone in found.zones)
    return CheckResult(
        verdict=JUNK if is_junk else "",
        rule="list" if is_junk else "",
        log_fields={name: zones for name, zones in lists.items() if zones},
    )
