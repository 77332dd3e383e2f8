"""Origin rules: map a message's origin to an action. Pure; this file defines their order.

In: an `Origin`, what the message shows as its author, the settings. Out: the `PolicyAction` of the first rule that
applies.

    sealer      a mailing list or forwarder that is trusted by name has sealed it (ARC)         passes
    report      a bounce from outside in the name of our MAILER-DAEMON or postmaster            Junk
    own-domain  From, or the envelope, is ours, and nothing authenticates it                    `own_domain`
    dmarc       the author's domain disowns it                                                  `dmarc`
    partial     only signatures authenticate it that leave out an appended part (`l=`)          Junk, unless `dmarc` is `none`
    name        the display name beside the author's address is one of our addresses            Junk, unless it is `none`
    author      the author is ambiguous                                                         `no_author`
    unsettled   the DNS did not answer a lookup that would have counted                         `unsettled`
    spf         the envelope's domain disowns the client, and DMARC says nothing                `spf_fail`

A message with a null reverse-path (a bounce, RFC 5321 §6.1) that names no author at all passes: mailers that write no
From or an empty one must still get through. Missing DNS answers count against a message only by `unsettled`, except for
one in our own name: it goes to Junk, as a deliberately slow DNS must not make a sender trusted as one of us.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from mic_mail.mailauth.arc import Arc
from mic_mail.mailauth.dmarc import Dmarc, DmarcPolicy, is_aligned
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Spf
from mic_mail.services.transport.envelope import Cause, InboundAction

REPORTERS = frozenset({"mailer-daemon", "postmaster"})
"""Local parts that mail servers send reports from."""


@dataclass(frozen=True, slots=True)
class OriginRules:
    """The settings (`config.inbound`)."""

    own_domains: frozenset[str] = frozenset()
    """The local domains in their DNS form."""
    own_domain: Literal["refuse", "junk", "none"] = "refuse"
    dmarc: Literal["obey", "junk", "none"] = "obey"
    no_author: Literal["refuse", "junk", "none"] = "junk"
    spf_fail: Literal["junk", "none"] = "junk"
    unsettled: Literal["pass", "later"] = "pass"
    trusted_sealers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class VisibleOrigin:
    """The origin as the envelope and the header show it."""

    sender_domain: str = ""
    """The domain of the reverse-path in its DNS form; '' if that is null."""
    local_part: str = ""
    """The local part of the single author in lower case; '' if there is not exactly one."""
    names_somebody: bool = True
    """Set if any From field contains an address."""
    names_ours: bool = False
    """Set if any From field may contain an address of ours, however it is read."""
    has_our_name: bool = False
    """Set if an address of ours is in a name or comment that programs show instead of the author's."""
    is_null: bool = False
    """Set if the reverse-path is null."""


@dataclass(frozen=True, slots=True)
class PolicyAction:
    act: InboundAction
    rule: str = ""
    cause: Cause | None = None
    """The cause of a refusal, permanent or temporary."""
    domain: str = ""
    """The domain that the action is about."""


Rule = Callable[[Origin, VisibleOrigin, OriginRules], PolicyAction | None]


def decide(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction:
    """Return the action for a message."""
    for rule in RULES:
        action = rule(origin, visible, rules)
        if action is not None:
            return action
    return PolicyAction(InboundAction.PASS)


def sealer(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Accept a message sealed by a trusted sealer (RFC 8617 §7.2.1), which checked it before changing it.

    The seal does not cover what may have been added since: a second From above the sealed one, or text after the signed
    part of the body.
    """
    arc = origin.arc
    is_trusted = arc.result is Arc.PASS and bool(arc.sealers) and arc.sealers[-1] in rules.trusted_sealers
    is_whole = origin.dmarc.result is not Dmarc.PERMERROR and not arc.unsigned_octets
    return PolicyAction(InboundAction.PASS, "sealer", domain=arc.sealers[-1]) if is_trusted and is_whole else None


def report(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Put a bounce in the name of our own postmaster into Junk: anybody may have written it."""
    dmarc = origin.dmarc
    is_one = visible.is_null and visible.local_part in REPORTERS and dmarc.domain in rules.own_domains and not dmarc.is_vouched
    return PolicyAction(InboundAction.JUNK, "report", domain=dmarc.domain) if is_one and rules.own_domain != "none" else None


def own_domain(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Apply `own_domain` to mail from outside that uses our domains.

    It is forged unless our SPF or a signature of ours passes.
    """
    if rules.own_domain == "none":
        return None
    dmarc, spf = origin.dmarc, origin.mail_from
    forged, is_unanswered = "", False
    if dmarc.domain in rules.own_domains and not dmarc.is_vouched:
        forged, is_unanswered = dmarc.domain, dmarc.is_unanswered
    elif dmarc.result is Dmarc.PERMERROR and visible.names_ours:
        forged = min(rules.own_domains)
    elif visible.sender_domain in rules.own_domains and spf.result is not Spf.PASS:
        is_signed = any(is_aligned(each, visible.sender_domain) for each in origin.signers)
        forged, is_unanswered = "" if is_signed else visible.sender_domain, spf.result is Spf.TEMPERROR
    if not forged:
        return None
    if is_unanswered and rules.unsettled == "later":
        return _unsettled(rules, forged)
    return _by("junk" if is_unanswered else rules.own_domain, "own-domain", Cause.FORGED, forged)


def partial(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Put a message into Junk if its signatures leave out part of the body.

    What follows the signed part may come from somebody else, and programs show it as well (RFC 6376 §8.2).
    """
    verdict = origin.dmarc
    if rules.dmarc == "none" or verdict.spf_aligned or not verdict.dkim_aligned:
        return None
    signatures = [each for each in origin.dkim if each.counts and is_aligned(each.domain, verdict.domain)]
    is_partial = all(each.unsigned_octets for each in signatures)
    return PolicyAction(InboundAction.JUNK, "partial", domain=verdict.domain) if signatures and is_partial else None


def name(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Put a message into Junk whose display name is an address of ours.

    In "dvbe@mic.gov.vn" <somebody@elsewhere.example> most programs show only the first. Mailing lists that name their
    authors so can be told apart only by their seal, so the message is not refused.
    """
    is_shown = visible.has_our_name and origin.dmarc.domain not in rules.own_domains
    return (
        PolicyAction(InboundAction.JUNK, "name", domain=origin.dmarc.domain)
        if is_shown and rules.own_domain != "none"
        else None
    )


def dmarc(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Apply the DMARC policy of the author's domain (RFC 7489 §6.6.2 step 6)."""
    verdict = origin.dmarc
    if rules.dmarc == "none" or verdict.result is not Dmarc.FAIL or verdict.disposition is DmarcPolicy.NONE:
        return None
    is_refused = verdict.disposition is DmarcPolicy.REJECT and rules.dmarc == "obey"
    return _by("refuse" if is_refused else "junk", "dmarc", Cause.NOT_OF_AUTHOR, verdict.domain)


def author(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Apply `no_author` to a message without a valid author, which RFC 7489 §6.6.1 leaves to the receiver.

    Nothing authenticates it, and programs may show any author.
    """
    if rules.no_author == "none" or origin.dmarc.result is not Dmarc.PERMERROR:
        return None
    if visible.is_null and not visible.names_somebody:
        return None
    return _by(rules.no_author, "author", Cause.NO_VALID_AUTHOR, "")


def unsettled(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Apply `unsettled` unless the author's domain authenticates the message all the same."""
    return _unsettled(rules, origin.dmarc.domain) if origin.is_unsettled and not origin.dmarc.is_vouched else None


def spf(origin: Origin, visible: VisibleOrigin, rules: OriginRules) -> PolicyAction | None:
    """Put a message into Junk if SPF fails and DMARC says nothing (RFC 7208 §8.4).

    If a signature of the author's domain is valid, the message was forwarded. A bounce has no sender domain.
    """
    verdict = origin.dmarc
    is_disowned = origin.mail_from.result is Spf.FAIL and verdict.result is Dmarc.NONE and not verdict.is_vouched
    if rules.spf_fail == "none" or visible.is_null or not is_disowned:
        return None
    return PolicyAction(InboundAction.JUNK, "spf", domain=origin.mail_from.domain)


def _by(setting: str, rule: str, cause: Cause, domain: str) -> PolicyAction:
    return (
        PolicyAction(InboundAction.REFUSE, rule, cause, domain)
        if setting == "refuse"
        else PolicyAction(InboundAction.JUNK, rule, domain=domain)
    )


def _unsettled(rules: OriginRules, domain: str) -> PolicyAction:
    if rules.unsettled == "later":
        return PolicyAction(InboundAction.LATER, "unsettled", Cause.NOT_JUDGED, domain)
    return PolicyAction(InboundAction.PASS, "unsettled", domain=domain)


RULES: Sequence[Rule] = (sealer, report, own_domain, dmarc, partial, name, author, unsettled, spf)
