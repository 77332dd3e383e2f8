"""What the mail flow takes from the configuration; replaced as a whole when that is read anew."""

from dataclasses import dataclass


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
    recipients_per_hour: int = 2_000
    """Of one mailbox, on submission."""
    runaway_recipients: int = 4_000
    """Named within an hour: then the mailbox is suspended (Reg. 7.2.c); 0: never."""
    bulk_senders: frozenset[str] = frozenset()
    """Addresses of mailboxes that are not suspended for it."""
