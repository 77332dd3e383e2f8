"""Mail from a machine that a list names as one that sends spam (RFC 5782), where the setting is that it goes to Junk.

In: a message that has arrived, and what the lists say of its client. Out: a `CheckResult`. Where the setting is that such mail
is refused, that was done at RCPT (`services.transport.mailflow`): what arrives all the same is for postmaster, who has to be
reached (RFC 5321 §4.5.1), or for abuse (RFC 2142).
"""

from mic_mail.config.model import Config
from mic_mail.services.transport.inbound.check_result import JUNK, CheckResult, ReceivedMessage

ALWAYS_REACHED = frozenset({"postmaster", "abuse"})
"""Local parts to which whoever is listed may write, to hear why."""


class Listed:
    """The check of one process. The lists themselves are asked by the enquiry."""

    def configure(self, config: Config) -> None:
        """Nothing here depends on it."""

    def close(self) -> None:
        """Nothing is open."""

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
