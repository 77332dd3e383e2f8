"""The origin of a message as one value for the log, for Authentication-Results and for rules. Pure.

Data from the message stands in it as DNS names, selectors and the characters of `b=`; `reason` is always in our words.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mic_mail.mailauth.arc import Arc, ArcResult
from mic_mail.mailauth.dkim_verify import DkimResult
from mic_mail.mailauth.dmarc import Dmarc, DmarcResult
from mic_mail.mailauth.spf import Identity, Spf, SpfResult

LONGEST_NAMES = 500
"""Characters of all names of a kind, in the log."""


@dataclass(frozen=True, slots=True)
class Origin:
    """All results for one message from outside."""

    mail_from: SpfResult
    """SPF result of MAIL FROM; where the reverse-path is null, of the name in HELO."""
    helo: SpfResult | None
    """SPF result of HELO; None where `mail_from` is the same check."""
    dkim: tuple[DkimResult, ...]
    dmarc: DmarcResult
    arc: ArcResult
    untried_signatures: int = 0
    """DKIM signatures beyond the bound."""
    fault: str = ""
    """Reason why the header could not be evaluated, in our words."""

    @property
    def signers(self) -> tuple[str, ...]:
        """Domains that vouch for the message by DKIM."""
        return tuple(dict.fromkeys(each.domain for each in self.dkim if each.counts))

    def authenticates(self, domain: str) -> bool:
        """Return whether SPF passes for `domain`, the one of MAIL FROM, in its DNS form.

        Softfail, neutral, a missing record and an unanswered question are no pass (RFC 7208 §2.6). A DKIM signature does
        not count either: it does not cover the envelope, and anybody who has the message can send it again under any
        envelope (RFC 6376 §8.6).
        """
        spf = self.mail_from
        return bool(domain) and (spf.result, spf.identity, spf.domain) == (Spf.PASS, Identity.MAIL_FROM, domain)

    @property
    def is_unsettled(self) -> bool:
        """Return whether a later try may differ: the DNS left a question unanswered that would have counted."""
        return self.dmarc.result is Dmarc.TEMPERROR or (
            self.dmarc.result is Dmarc.NONE and self.mail_from.result is Spf.TEMPERROR
        )

    def event(self) -> Mapping[str, str | int]:
        """Return the fields of a log event, bounded for any input."""
        fields: dict[str, str | int] = {
            "spf": self.mail_from.result, "spf_domain": self.mail_from.domain, "dmarc": self.dmarc.result,
            "from_domain": self.dmarc.domain, "disposition": self.dmarc.disposition, "arc": self.arc.result,
            "dkim": ",".join(f"{each.domain}={each.result}" for each in self.dkim)[:LONGEST_NAMES],
        }  # fmt: skip
        if self.helo is not None:
            fields["spf_helo"] = self.helo.result
        if self.arc.result is Arc.PASS:
            fields["sealers"] = ",".join(self.arc.sealers)[:LONGEST_NAMES]
        if self.untried_signatures:
            fields["untried_signatures"] = self.untried_signatures
        if reason := self.fault or self.dmarc.reason or self.mail_from.reason:
            fields["reason"] = reason
        return {name: text for name, text in fields.items() if text != ""}
