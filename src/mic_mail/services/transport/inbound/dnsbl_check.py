"""Junk verdict for mail from a client on a DNS blocklist (RFC 5782), where so configured.

In: a message that has arrived, and the list entries of its client. Out: a `CheckResult`. If such mail is to be refused,
that was done at RCPT (`services.transport.pipeline`); what arrives all the same is for postmaster, who must be reachable
(RFC 5321 §4.5.1), or for abuse (RFC 2142).
"""

from mic_mail.config.model import Config
from mic_mail.services.transport.inbound.check_result import JUNK, CheckResult, ReceivedMessage

ALWAYS_REACHED = frozenset({"postmaster", "abuse"})
"""Local parts that a listed client may write to, to ask why."""


class Listed:
    """The blocklist check of one process; `ClientLookups` queries the lists themselves."""

    def configure(self, config: Config) -> None:
        """Do nothing: the check has no settings of its own."""

    def close(self) -> None:
        """Do nothing: the check holds no resources."""

    async def judge(self, arrived: ReceivedMessage) -> CheckResult:
        enquiry = arrived.envelope.enquiry
        if enquiry is None:
            return CheckResult()
        found = await enquiry.listings()
        told = {"lists": list(found.zones), "lists_unanswered": list(found.unanswered)}
        is_junk = any(zone in enquiry.owner.putting_aside for zone in found.zones)
        return CheckResult(
            verdict=JUNK if is_junk else "",
            rule="list" if is_junk else "",
            told={name: zones for name, zones in told.items() if zones},
        )
