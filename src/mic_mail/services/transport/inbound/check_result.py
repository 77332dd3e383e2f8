"""The input and the result of a check on a message from another server. Plain values.

A check adds to the results before it; an earlier decision stands unless a later one is stricter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mic_mail.services.transport.envelope import Envelope, Refusal

JUNK = "junk"
"""The verdict that files a message in Junk (`services.transport.folder_placement`)."""
Source = bytes | Path
"""A message as it came: no line of ours in front, nothing removed.

A path is valid in this process alone, and until the message is accepted or refused.
"""


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message that is complete and not yet acknowledged."""

    envelope: Envelope
    source: Source
    header: bytes
    """The header as it came, without the empty line."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check, or the combined result of several."""

    refusal: Refusal | None = None
    """The refusal, permanent or temporary."""
    verdict: str = ""
    """`JUNK`, or empty."""
    held_for: str = ""
    """The reason for quarantine instead of delivery; else empty."""
    said: str = ""
    """The finding of the check that holds the message, in a few words."""
    symbols: tuple[str, ...] = ()
    """The symbols of the spam filter, with their scores."""
    rule: str = ""
    """The name of the rule that decided, for the log; empty if none applied."""
    authenticates_sender: bool = False
    """Set if SPF or DKIM passes for the domain of MAIL FROM, so that reports may go there."""
    fields: bytes = b""
    """Whole lines to put in front of the message, with CRLF."""
    told: Mapping[str, object] = field(default_factory=dict)
    """Fields for the log event."""

    @property
    def _severity(self) -> int:
        """The severity of the outcome: accepted as usual, into Junk, held, refused."""
        return 3 if self.refusal is not None else 2 if self.held_for else 1 if self.verdict else 0

    def and_then(self, later: "CheckResult") -> "CheckResult":
        """Combine two results.

        The fields of the earlier one come first. The first refusal, verdict and reason stand, and the rule of the
        stricter result.
        """
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
