"""From what is known of a message's origin to what is done with it. Pure: the order of the rules is this file.

In: an `ActContext`, what the message shows as its author, the settings. Out: a `PolicyAction`, of the first rule that has an
opinion.

    sealer      a mailing list or forwarder that is trusted by name has sealed it (ARC)      passes
    report      a bounce from outside in the name of our MAILER-DAEMON or postmaster         Junk
    own-domain  From, or the envelope, is ours, and nothing vouches for that                 `own_domain`
    dmarc       the author's domain disowns it                                               `dmarc`
    partial     only signatures vouch for it that leave out what anybody may have added (`l=`)  Junk, unless `dmarc` is `none`
    name        beside the author's address stands one of ours, as a name                    Junk, unless it is `none`
    author      whose it is cannot be read in one way                                        `no_author`
    unsettled   the DNS did not answer what would have counted                               `unsettled`
    spf         the envelope's domain disowns the machine, and DMARC says nothing            `spf_fail`

What comes with a null reverse-path (a bounce, RFC 5321 §6.1) and names nobody at all passes: mailers that write no From or
an empty one must still be heard. What the DNS did not answer is held against a message by `unsettled` alone, but for one in our
own name: that goes to Junk, as who is slow on purpose must not come to be believed one of us.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mic_mail.mailauth.arc import Arc
from mic_mail.mailauth.dmarc import Dmarc, Policy, is_aligned
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Spf
from mic_mail.services.transport.envelope import Cause

REPORTERS = frozenset({"mailer-daemon", "postmaster"})
"""In whose name mail servers report."""


class Act(StrEnum):
    """What is done."""

    PASS = "pass"  # noqa: S105 - an act
    JUNK = "junk"
    REFUSE = "refuse"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings (`config.inbound`)."""

    own_domains: frozenset[str] = frozenset()
    """As the DNS has them."""
    own_domain: Literal["refuse", "junk", "none"] = "refuse"
    dmarc: Literal["obey", "junk", "none"] = "obey"
    no_author: Literal["refuse", "junk", "none"] = "junk"
    spf_fail: Literal["junk", "none"] = "junk"
    unsettled: Literal["pass", "later"] = "pass"
    trusted_sealers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class VisibleOrigin:
    """What the envelope and the header show of whom it is from."""

    sender_domain: str = ""
    """As the DNS has it; '' of a null reverse-path."""
    local_part: str = ""
    """Of the one author, in lower case; '' where there is not one."""
    names_somebody: bool = True
    """Whether an address stands in any From."""
    names_ours: bool = False
    """Whether one of ours does, however From is to be read."""
    has_our_name: bool = False
    """Whether one of ours stands in what programs show in place of the author's address: a name, a comment."""
    is_null: bool = False
    """The reverse-path."""


@dataclass(frozen=True, slots=True)
class PolicyAction:
    act: Act
    rule: str = ""
    cause: Cause | None = None
    """Of a refusal, for good or for now."""
    domain: str = ""
    """Whom it is about."""


Rule = Callable[[Origin, VisibleOrigin, Rules], PolicyAction | None]


def decide(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction:
    """What is done with a message."""
    for rule in RULES:
        ruling = rule(origin, shown, rules)
        if ruling is not None:
            return ruling
    return PolicyAction(Act.PASS)


def sealer(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """RFC 8617 §7.2.1: whoever is trusted to have looked at it before it changed it. Its word is not for what anybody may have
    added since: a second From above the sealed one, text behind the part of the body that is covered."""
    arc = origin.arc
    is_trusted = arc.result is Arc.PASS and bool(arc.sealers) and arc.sealers[-1] in rules.trusted_sealers
    is_whole = origin.dmarc.result is not Dmarc.PERMERROR and not arc.unsigned_octets
    return PolicyAction(Act.PASS, "sealer", domain=arc.sealers[-1]) if is_trusted and is_whole else None


def report(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """Accepted, since nobody refuses a bounce in the name of its own postmaster; but anybody may have written it."""
    dmarc = origin.dmarc
    is_one = shown.is_null and shown.local_part in REPORTERS and dmarc.domain in rules.own_domains and not dmarc.is_vouched
    return PolicyAction(Act.JUNK, "report", domain=dmarc.domain) if is_one and rules.own_domain != "none" else None


def own_domain(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """Nobody outside is one of us, unless our SPF or a signature of ours says so."""
    if rules.own_domain == "none":
        return None
    dmarc, spf = origin.dmarc, origin.mail_from
    forged, is_unanswered = "", False
    if dmarc.domain in rules.own_domains and not dmarc.is_vouched:
        forged, is_unanswered = dmarc.domain, dmarc.is_unanswered
    elif dmarc.result is Dmarc.PERMERROR and shown.names_ours:
        forged = min(rules.own_domains)
    elif shown.sender_domain in rules.own_domains and spf.result is not Spf.PASS:
        is_signed = any(is_aligned(each, shown.sender_domain) for each in origin.signers)
        forged, is_unanswered = "" if is_signed else shown.sender_domain, spf.result is Spf.TEMPERROR
    if not forged:
        return None
    if is_unanswered and rules.unsettled == "later":
        return _unsettled(rules, forged)
    return _by("junk" if is_unanswered else rules.own_domain, "own-domain", Cause.FORGED, forged)


def partial(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """RFC 6376 §8.2: what stands behind the signed part may be somebody else's, and programs show it as well."""
    asked = origin.dmarc
    if rules.dmarc == "none" or asked.spf_aligned or not asked.dkim_aligned:
        return None
    signatures = [each for each in origin.dkim if each.counts and is_aligned(each.domain, asked.domain)]
    is_partial = all(each.unsigned_octets for each in signatures)
    return PolicyAction(Act.JUNK, "partial", domain=asked.domain) if signatures and is_partial else None


def name(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """ "dvbe@mic.gov.vn" <somebody@elsewhere.example>: most programs show the first alone. Lists that name their authors so are
    told apart by nothing but their seal, so it is not refused."""
    is_shown = shown.has_our_name and origin.dmarc.domain not in rules.own_domains
    return PolicyAction(Act.JUNK, "name", domain=origin.dmarc.domain) if is_shown and rules.own_domain != "none" else None


def dmarc(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """RFC 7489 §6.6.2 step 6."""
    asked = origin.dmarc
    if rules.dmarc == "none" or asked.result is not Dmarc.FAIL or asked.disposition is Policy.NONE:
        return None
    is_refused = asked.disposition is Policy.REJECT and rules.dmarc == "obey"
    return _by("refuse" if is_refused else "junk", "dmarc", Cause.NOT_OF_AUTHOR, asked.domain)


def author(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """RFC 7489 §6.6.1 leaves it to the receiver; nobody vouches for it, and programs may show whom they like."""
    if rules.no_author == "none" or origin.dmarc.result is not Dmarc.PERMERROR:
        return None
    if shown.is_null and not shown.names_somebody:
        return None
    return _by(rules.no_author, "author", Cause.NO_VALID_AUTHOR, "")


def unsettled(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """Not where somebody vouches for it all the same."""
    return _unsettled(rules, origin.dmarc.domain) if origin.is_unsettled and not origin.dmarc.is_vouched else None


def spf(origin: Origin, shown: VisibleOrigin, rules: Rules) -> PolicyAction | None:
    """RFC 7208 §8.4. Where a signature of the author's domain holds, somebody forwarded it. Bounces are nobody's domain."""
    asked = origin.dmarc
    is_disowned = origin.mail_from.result is Spf.FAIL and asked.result is Dmarc.NONE and not asked.is_vouched
    if rules.spf_fail == "none" or shown.is_null or not is_disowned:
        return None
    return PolicyAction(Act.JUNK, "spf", domain=origin.mail_from.domain)


def _by(setting: str, rule: str, cause: Cause, domain: str) -> PolicyAction:
    return PolicyAction(Act.REFUSE, rule, cause, domain) if setting == "refuse" else PolicyAction(Act.JUNK, rule, domain=domain)


def _unsettled(rules: Rules, domain: str) -> PolicyAction:
    if rules.unsettled == "later":
        return PolicyAction(Act.LATER, "unsettled", Cause.NOT_JUDGED, domain)
    return PolicyAction(Act.PASS, "unsettled", domain=domain)


RULES: Sequence[Rule] = (sealer, report, own_domain, dmarc, partial, name, author, unsettled, spf)
