"""What the mail flow takes from the configuration; replaced as a whole when that is read anew."""

from dataclasses import dataclass

from mic_mail.process.send_counters import Amounts
from mic_mail.services.settings.ceilings import Ceilings

CEILINGS = Ceilings(Amounts(1_000, 2_000, 2 << 30), Amounts(3_000, 10_000, 8 << 30))


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """What the mail flow takes from the configuration."""

    hostname: str
    domain: str
    """That of `<Postmaster>`."""
    message_octets: int
    attachment_octets: int
    support: str
    separator: str = "+"
    ceilings: Ceilings = CEILINGS
    """What one mailbox may send, on submission."""
    suspend_beyond: float = 2.0
    """Who goes on to so many times the messages or recipients of an hour is suspended (Reg. 7.2.c); 0: never."""
    bulk_senders: frozenset[str] = frozenset()
    """Addresses of mailboxes that may send `bulk_times` as much and are not suspended for it."""
    bulk_times: int = 10

    def ceilings_of(self, address: str) -> Ceilings:
        """What the mailbox of this address may send."""
        return self.ceilings.times(self.bulk_times) if address in self.bulk_senders else self.ceilings
