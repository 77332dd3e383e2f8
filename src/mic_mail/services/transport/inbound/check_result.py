"""What a check says of a message from another server, and what it is asked about. Plain values.

A check contributes; what a check before it has decided stands unless the later one is stricter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mic_mail.config.model import Config
from mic_mail.services.transport.envelope import Envelope, Refusal

JUNK = "junk"
"""The verdict by which a message is filed in Junk (`services.transport.filing`)."""
Source = bytes | Path
"""A message as it came: no line of ours in front, nothing taken away. A path is good in this process alone, and until the
message is accepted or refused."""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that is complete and not acknowledged."""

    envelope: Envelope
    source: Source
    header: bytes
    """As it came, without the empty line."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Of one check, or of several together."""

    refusal: Refusal | None = None
    """It is not taken, for good or for now."""
    verdict: str = ""
    """`JUNK`, or nothing."""
    held_for: str = ""
    """Why it goes to the quarantine in place of its mailboxes; nothing: it does not."""
    said: str = ""
    """What the check said that wants it held, in few words."""
    symbols: tuple[str, ...] = ()
    """Of the filter, with their scores."""
    rule: str = ""
    """The name of what had an opinion, for the log; nothing: nothing speaks for or against it."""
    authenticates_sender: bool = False
    """SPF or DKIM passes for the domain of MAIL FROM, so reports may go there."""
    fields: bytes = b""
    """Whole lines to be put in front, CRLF and all."""
    told: Mapping[str, object] = field(default_factory=dict)
    """What the log says of it."""

    @property
    def _severity(self) -> int:
        """What becomes of the message by it: taken as any other, into Junk, held, not taken."""
        return 3 if self.refusal is not None else 2 if self.held_for else 1 if self.verdict else 0

    def and_then(self, later: "CheckResult") -> "CheckResult":
        """Both: the fields of the earlier one come first; the first refusal, verdict and reason count, and the rule of who was
        stricter."""
        by_strictness = (later, self) if later._severity > self._severity else (self, later)
        return CheckResult(
            self.refusal or later.refusal,
            self.verdict or later.verdict,
            self.held_for or later.held_for,
            self.said or later.said,
            self.symbols or later.symbols,
            next((one.rule for one in by_strictness if one.rule), ""),
            self.authenticates_sender or later.authenticates_sender,
            self.fields + later.fields,
            {**self.told, **later.told},
        )


class Check(Protocol):
    """One room. Belongs to the loop; never takes longer than its settings say."""

    async def judge(self, arrived: ReceivedMessage) -> CheckResult: ...
    def configure(self, config: Config) -> None:
        """A reload: what is under way is judged as it began."""
        ...

    def close(self) -> None:
        """Nothing is judged any more."""
        ...
