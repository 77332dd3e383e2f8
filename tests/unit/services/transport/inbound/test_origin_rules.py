"""From an origin to an act: every rule, every setting, and the order among them."""

from dataclasses import replace

import pytest

from mic_mail.mailauth.arc import Arc, ArcResult
from mic_mail.mailauth.dkim_header import Dkim
from mic_mail.mailauth.dkim_verify import DkimResult
from mic_mail.mailauth.dmarc import Dmarc, DmarcPolicy, DmarcResult
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Identity, Spf, SpfResult
from mic_mail.services.transport.envelope import Cause, InboundAction
from mic_mail.services.transport.inbound.origin_rules import OriginRules, VisibleOrigin, decide

OURS = "mic.gov.vn"
RULES = OriginRules(own_domains=frozenset({OURS, "more.example"}), trusted_sealers=frozenset({"lists.example"}))
FOREIGN = VisibleOrigin(sender_domain="one.example", local_part="lan")
OF_OURS = VisibleOrigin(sender_domain="one.example", local_part="dvbe", names_ours=True)
NULL = VisibleOrigin(local_part="mailer-daemon", is_null=True)


def spf(result: Spf, domain: str = "one.example") -> SpfResult:
    return SpfResult(result, Identity.MAIL_FROM, domain)


def origin(
    dmarc: Dmarc,
    domain: str = "one.example",
    *,
    asks: DmarcPolicy = DmarcPolicy.NONE,
    envelope: SpfResult | None = None,
    signed: tuple[DkimResult, ...] = (),
    sealers: tuple[str, ...] = (),
    **more: bool,
) -> Origin:
    chain = ArcResult(Arc.PASS, sealers=sealers) if sealers else ArcResult(Arc.NONE)
    result = DmarcResult(dmarc, domain, domain, asks, asks, **more)
    return Origin(envelope or spf(Spf.NONE), None, signed, result, chain)


def signature(domain: str, result: Dkim = Dkim.PASS, *, unsigned: int = 0) -> DkimResult:
    return DkimResult(result, domain, unsigned_octets=unsigned)


PART = signature("one.example", unsigned=9)


FAIL, NONE, PASSED, PERMERROR, TEMPERROR = Dmarc.FAIL, Dmarc.NONE, Dmarc.PASS, Dmarc.PERMERROR, Dmarc.TEMPERROR

TABLE = {
    "nothing known": (origin(NONE), FOREIGN, InboundAction.PASS, ""),
    "passed": (origin(PASSED, asks=DmarcPolicy.REJECT, spf_aligned=True), FOREIGN, InboundAction.PASS, ""),
    # DMARC
    "disowned, to be refused": (origin(FAIL, asks=DmarcPolicy.REJECT), FOREIGN, InboundAction.REFUSE, "dmarc"),
    "disowned, to be put aside": (origin(FAIL, asks=DmarcPolicy.QUARANTINE), FOREIGN, InboundAction.JUNK, "dmarc"),
    "disowned, to be watched": (origin(FAIL), FOREIGN, InboundAction.PASS, ""),
    "disowned, and the envelope too": (origin(FAIL, envelope=spf(Spf.FAIL)), FOREIGN, InboundAction.PASS, ""),
    # what a signature leaves out
    "signed in part": (origin(PASSED, signed=(PART,), dkim_aligned=True), FOREIGN, InboundAction.JUNK, "partial"),
    "signed in part, without DMARC": (origin(NONE, signed=(PART,), dkim_aligned=True), FOREIGN, InboundAction.JUNK, "partial"),
    "signed in part, and from its machine": (
        origin(PASSED, signed=(PART,), dkim_aligned=True, spf_aligned=True), FOREIGN, InboundAction.PASS, "",
    ),
    "signed in part, and whole": (
        origin(PASSED, signed=(PART, signature("one.example")), dkim_aligned=True), FOREIGN, InboundAction.PASS, "",
    ),
    "signed in part by others, and whole": (
        origin(PASSED, signed=(signature("x.example", unsigned=9), signature("one.example")), dkim_aligned=True),
        FOREIGN, InboundAction.PASS, "",
    ),
    # our own domain
    "ours, nothing known": (origin(NONE, OURS), OF_OURS, InboundAction.REFUSE, "own-domain"),
    "ours, a further one": (origin(NONE, "more.example"), OF_OURS, InboundAction.REFUSE, "own-domain"),
    "ours, disowned": (origin(FAIL, OURS, asks=DmarcPolicy.NONE), OF_OURS, InboundAction.REFUSE, "own-domain"),
    "ours, by SPF, without DMARC": (origin(NONE, OURS, spf_aligned=True), OF_OURS, InboundAction.PASS, ""),
    "ours, by DKIM, without DMARC": (origin(NONE, OURS, dkim_aligned=True), OF_OURS, InboundAction.PASS, ""),
    "ours, passed": (origin(PASSED, OURS, dkim_aligned=True), OF_OURS, InboundAction.PASS, ""),
    "a domain below ours": (origin(NONE, f"x.{OURS}"), FOREIGN, InboundAction.PASS, ""),
    "the envelope is ours": (origin(NONE), replace(FOREIGN, sender_domain=OURS), InboundAction.REFUSE, "own-domain"),
    "the envelope is ours, by SPF": (
        origin(NONE, envelope=spf(Spf.PASS, OURS)), replace(FOREIGN, sender_domain=OURS), InboundAction.PASS, "",
    ),
    "the envelope is ours, passed on with our signature": (
        origin(NONE, envelope=spf(Spf.FAIL, OURS), signed=(signature(OURS),)),
        replace(FOREIGN, sender_domain=OURS), InboundAction.JUNK, "spf",
    ),
    "both are ours, passed on with our signature": (
        origin(PASSED, OURS, envelope=spf(Spf.FAIL, OURS), signed=(signature(OURS),), dkim_aligned=True),
        replace(OF_OURS, sender_domain=OURS), InboundAction.PASS, "",
    ),
    "the envelope is ours, a signature of ours that fails": (
        origin(NONE, signed=(signature(OURS, Dkim.FAIL),)), replace(FOREIGN, sender_domain=OURS),
        InboundAction.REFUSE, "own-domain",
    ),
    "the envelope is ours, disowned author": (
        origin(FAIL, asks=DmarcPolicy.QUARANTINE), replace(FOREIGN, sender_domain=OURS), InboundAction.REFUSE, "own-domain",
    ),
    "several From, one of them ours": (origin(PERMERROR, ""), OF_OURS, InboundAction.REFUSE, "own-domain"),
    "ours, and our DNS is silent": (origin(TEMPERROR, OURS, is_unanswered=True), OF_OURS, InboundAction.JUNK, "own-domain"),
    "the envelope is ours, and our DNS is silent": (
        origin(NONE, envelope=spf(Spf.TEMPERROR, OURS)), replace(FOREIGN, sender_domain=OURS), InboundAction.JUNK, "own-domain",
    ),
    "ours, and the DNS of the envelope is silent": (
        origin(NONE, OURS, envelope=spf(Spf.TEMPERROR)), OF_OURS, InboundAction.REFUSE, "own-domain",
    ),
    "ours in the name of another author": (origin(PASSED), replace(FOREIGN, has_our_name=True), InboundAction.JUNK, "name"),
    "ours in the name of one of us": (
        origin(PASSED, OURS, spf_aligned=True), replace(OF_OURS, has_our_name=True), InboundAction.PASS, "",
    ),
    "ours in the name of an author who is disowned": (
        origin(FAIL, asks=DmarcPolicy.REJECT), replace(FOREIGN, has_our_name=True), InboundAction.REFUSE, "dmarc",
    ),
    # bounces
    "a bounce of another server": (origin(NONE), NULL, InboundAction.PASS, ""),
    "a bounce of another server that says it is our postmaster": (
        origin(FAIL, OURS, asks=DmarcPolicy.REJECT), NULL, InboundAction.JUNK, "report",
    ),
    "a bounce that says it is the minister": (
        origin(NONE, OURS), replace(NULL, local_part="minister"), InboundAction.REFUSE, "own-domain",
    ),
    "mail that says it is our postmaster": (
        origin(NONE, OURS), replace(OF_OURS, local_part="postmaster"), InboundAction.REFUSE, "own-domain",
    ),
    "our own bounce, passed on": (origin(PASSED, OURS, dkim_aligned=True), NULL, InboundAction.PASS, ""),
    "a bounce without From": (
        origin(PERMERROR, ""), VisibleOrigin(is_null=True, names_somebody=False), InboundAction.PASS, "",
    ),
    "a bounce of a name in HELO that is disowned": (origin(NONE, envelope=spf(Spf.FAIL)), NULL, InboundAction.PASS, ""),
    # no author
    "no author": (origin(PERMERROR, ""), FOREIGN, InboundAction.JUNK, "author"),
    "a bounce of several authors": (origin(PERMERROR, ""), VisibleOrigin(is_null=True), InboundAction.JUNK, "author"),
    # the DNS
    "the policy is not known": (origin(TEMPERROR, is_unanswered=True), FOREIGN, InboundAction.PASS, "unsettled"),
    "no policy, SPF is not known": (origin(NONE, envelope=spf(Spf.TEMPERROR)), FOREIGN, InboundAction.PASS, "unsettled"),
    "the policy is not known, the author signed": (
        origin(TEMPERROR, is_unanswered=True, dkim_aligned=True), FOREIGN, InboundAction.PASS, "",
    ),
    # SPF
    "the envelope is disowned": (origin(NONE, envelope=spf(Spf.FAIL)), FOREIGN, InboundAction.JUNK, "spf"),
    "the envelope is doubted": (origin(NONE, envelope=spf(Spf.SOFTFAIL)), FOREIGN, InboundAction.PASS, ""),
    "the envelope is disowned, the author signed": (
        origin(NONE, envelope=spf(Spf.FAIL), dkim_aligned=True), FOREIGN, InboundAction.PASS, "",
    ),
    # ARC
    "disowned, by a list that is trusted": (
        origin(FAIL, asks=DmarcPolicy.REJECT, sealers=("x.example", "lists.example")), FOREIGN, InboundAction.PASS, "sealer",
    ),
    "ours, by a list that is trusted": (origin(NONE, OURS, sealers=("lists.example",)), OF_OURS, InboundAction.PASS, "sealer"),
    "several authors, one of them put in front of what a list has sealed": (
        origin(PERMERROR, "", sealers=("lists.example",)), OF_OURS, InboundAction.REFUSE, "own-domain",
    ),
    "sealed in part, by a list that is trusted": (
        replace(
            origin(FAIL, asks=DmarcPolicy.REJECT), arc=ArcResult(Arc.PASS, sealers=("lists.example",), unsigned_octets=9)
        ), FOREIGN, InboundAction.REFUSE, "dmarc",
    ),
    "disowned, sealed by others behind the list": (
        origin(FAIL, asks=DmarcPolicy.REJECT, sealers=("lists.example", "x.example")), FOREIGN, InboundAction.REFUSE, "dmarc",
    ),
}  # fmt: skip


@pytest.mark.clause("10.2")
@pytest.mark.parametrize("name", TABLE)
def test_by_the_defaults(name: str) -> None:
    """What is done with no setting changed, and by which rule."""
    known, shown, act, rule = TABLE[name]
    ruling = decide(known, shown, RULES)
    assert (ruling.act, ruling.rule) == (act, rule)
    assert (ruling.cause is not None) == (act in (InboundAction.REFUSE, InboundAction.LATER))


@pytest.mark.parametrize(
    ("name", "setting", "act", "rule"),
    [
        ("disowned, to be refused", {"dmarc": "junk"}, InboundAction.JUNK, "dmarc"),
        ("disowned, to be put aside", {"dmarc": "junk"}, InboundAction.JUNK, "dmarc"),
        ("disowned, to be watched", {"dmarc": "junk"}, InboundAction.PASS, ""),
        ("disowned, to be refused", {"dmarc": "none"}, InboundAction.PASS, ""),
        ("signed in part", {"dmarc": "none"}, InboundAction.PASS, ""),
        ("ours, nothing known", {"own_domain": "junk"}, InboundAction.JUNK, "own-domain"),
        ("ours, nothing known", {"own_domain": "none"}, InboundAction.PASS, ""),
        ("ours, disowned", {"own_domain": "none"}, InboundAction.PASS, ""),
        ("ours in the name of another author", {"own_domain": "none"}, InboundAction.PASS, ""),
        ("the envelope is ours", {"own_domain": "none"}, InboundAction.PASS, ""),
        ("a bounce of another server that says it is our postmaster", {"own_domain": "none"}, InboundAction.REFUSE, "dmarc"),
        ("several From, one of them ours", {"own_domain": "none"}, InboundAction.JUNK, "author"),
        ("no author", {"no_author": "refuse"}, InboundAction.REFUSE, "author"),
        ("no author", {"no_author": "none"}, InboundAction.PASS, ""),
        ("a bounce without From", {"no_author": "refuse"}, InboundAction.PASS, ""),
        ("the policy is not known", {"unsettled": "later"}, InboundAction.LATER, "unsettled"),
        ("ours, and our DNS is silent", {"unsettled": "later"}, InboundAction.LATER, "unsettled"),
        ("the envelope is disowned", {"spf_fail": "none"}, InboundAction.PASS, ""),
        ("ours, by a list that is trusted", {"trusted_sealers": frozenset()}, InboundAction.REFUSE, "own-domain"),
    ],
)
def test_by_settings(name: str, setting: dict[str, str], act: InboundAction, rule: str) -> None:
    known, shown, _, _ = TABLE[name]
    ruling = decide(known, shown, replace(RULES, **setting))  # type: ignore[arg-type]  # of one name each
    assert (ruling.act, ruling.rule) == (act, rule)


def test_causes() -> None:
    """RFC 7372 has a code of its own for what SPF and DKIM both leave without a voucher."""
    causes = {name: decide(known, shown, RULES).cause for name, (known, shown, _, _) in TABLE.items()}
    assert causes["disowned, to be refused"] is Cause.NOT_OF_AUTHOR
    assert causes["ours, nothing known"] is Cause.FORGED
    known, shown, _, _ = TABLE["the policy is not known"]
    assert decide(known, shown, replace(RULES, unsettled="later")).cause is Cause.NOT_JUDGED
