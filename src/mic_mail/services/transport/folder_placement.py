"""The folder and the flags a message gets in one mailbox: the step between verdict and publication.

Pure: the facts about the message and the recipient come in, a `Placement` goes out. Rules run in order and the first
that returns a placement decides; without one it is INBOX. Later features (Sieve, vacation) only add rules to the list.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mic_mail.mailbox_address import ReversePath
from mic_mail.services.transport.envelope import Recipient


@dataclass(frozen=True, slots=True)
class Arrival:
    """The facts a placement rule may use; `verdict` is the checks' result, empty if there is none."""

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
"""A rule returns None if it does not apply."""

INBOX = Placement()
JUNK = Placement("Junk", keywords=("$Junk",))


def junk(arrival: Arrival) -> Placement | None:
    """Place what the checks call junk into Junk, visibly: nothing is dropped silently (Reg. 4.2)."""
    return JUNK if arrival.verdict == "junk" else None


RULES: tuple[Rule, ...] = (junk,)


def place(arrival: Arrival, rules: Sequence[Rule] = RULES) -> Placement:
    """Return the placement of `arrival` in its mailbox."""
    for rule in rules:
        placement = rule(arrival)
        if placement is not None:
            return placement
    return INBOX
