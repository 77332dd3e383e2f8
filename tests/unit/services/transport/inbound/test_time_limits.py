"""Whoever has sent a message waits ten minutes for the answer (RFC 5321 §4.5.3.2.6), and sends it again after that."""

from mic_mail.config.model import Config
from mic_mail.services.transport.inbound.client_lookups import PATIENCE_SECONDS
from mic_mail.services.transport.inbound.origin_check import MOST_LARGE

SENDERS_PATIENCE = 600.0
SLOWEST_READING = 1.8
"""Seconds for 25 MB in eight forms (decision 0078)."""


def longest(section: str, name: str = "seconds") -> float:
    """What the configuration allows at most."""
    bounds = type(getattr(Config(), section)).model_fields[name].bounds
    (most,) = (each.le for each in bounds if each.le is not None)
    assert isinstance(most, float | int)
    return most


def test_all_checks_at_their_longest_are_over_before_the_sender_gives_up() -> None:
    """Turns of the network and of all, the queue of the thread before and after the questions, the questions, and what daemons
    are asked, each as long as its setting may be."""
    waiting = 2 * PATIENCE_SECONDS + 2 * MOST_LARGE * SLOWEST_READING
    asking = sum(map(longest, ("inbound", "rspamd", "malware", "secrecy")))
    assert waiting + asking < SENDERS_PATIENCE
