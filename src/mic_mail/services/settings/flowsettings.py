"""The mail flow's settings from the configuration; replaced as a whole at a reload."""

from dataclasses import dataclass

from mic_mail.process.send_counters import Amounts
from mic_mail.services.settings.ceilings import Ceilings

CEILINGS = Ceilings(Amounts(1_000, 2_000, 2 << 30), Amounts(3_000, 10_000, 8 << 30))


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """The mail flow's settings from the configuration."""

    hostname: str
    domain: str
    """The domain of `<Postmaster>`."""
    message_octets: int
    attachment_octets: int
    support: str
    separator: str = "+"
    ceilings: Ceilings = CEILINGS
    """The amounts one mailbox may send, on submission."""
    suspend_beyond: float = 2.0
    """The multiple of an hour's messages or recipients that leads to suspension; 0: never.

    Reg. 7.2.c.
    """
    bulk_senders: frozenset[str] = frozenset()
    """Addresses of mailboxes that may send `bulk_times` as much and are not suspended for it."""
    bulk_times: int = 10

    def ceilings_of(self, address: str) -> Ceilings:
        """Return the amounts that the mailbox of this address may send."""
        return self.ceilings.times(self.bulk_times) if address in self.bulk_senders else self.ceilings
