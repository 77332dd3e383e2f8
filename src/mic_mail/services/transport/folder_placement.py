"""Which folder a message goes to in one mailbox, and with which flags (the step between verdict and publishing).

Pure: what is known about the message and the recipient comes in, a `Placement` goes out. Rules run in order and the first
that has an opinion decides; the last one says INBOX. Later rooms (Junk, Sieve, vacation) add rules to the list, nothing else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mic_mail.mailbox_address import ReversePath
from mic_mail.services.transport.envelope import Recipient


@dataclass(frozen=True, slots=True)
class Arrival:
    """Everything that a filing rule may look at; `verdict` is the checks' word for the message, empty while there is none."""

    trace_id: str
    sender: ReversePath
    recipient: Recipient
    mailbox_id: int
    header: bytes
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    folder: str = "INBOX"
    flags: int = 0
    keywords: tuple[str, ...] = ()


Rule = Callable[[Arrival], Placement | None]
"""A rule answers None where it has no opinion."""

INBOX = Placement()
JUNK = Placement("Junk", keywords=("$Junk",))


def junk(arrival: Arrival) -> Placement | None:
    """What the checks call junk goes to Junk, visibly: nothing is dropped in silence (Reg. 4.2)."""
    return JUNK if arrival.verdict == "junk" else None


RULES: tuple[Rule, ...] = (junk,)


def place(arrival: Arrival, rules: Sequence[Rule] = RULES) -> Placement:
    """The placement of `arrival` in its mailbox."""
    for rule in rules:
        placement = rule(arrival)
        if placement is not None:
            return placement
    return INBOX
