"""Verify a chain of ARC sets (RFC 8617 §5.2). Blocking arithmetic, no I/O; nothing is sealed here.

In: a `DigestedMessage`, the keys that `key_names` named, the time. Out: `ArcResult`. All failures are `fail` (§5.2.1), those of
the DNS too. The domain of the last seal vouches for the chain; a rule decides whether to trust it, since anybody can make
a valid chain.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from mic_mail.mailauth.arc_headers import ArcSet, Chain
from mic_mail.mailauth.dkim_dns import Keys
from mic_mail.mailauth.dkim_header import Dkim, Signature, Unusable, check_times, unsigned, verify_signature
from mic_mail.mailauth.dkim_verify import verify
from mic_mail.mailauth.message_digest import DigestedMessage

MOST_OLDER = 10
"""Most older message signatures that are tried, which is optional (§5.2 step 5)."""


class Arc(StrEnum):
    """The Chain Validation Status (§4.4)."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a status
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class ArcResult:
    """The result for one message."""

    result: Arc
    oldest_pass: int = 0
    """The lowest instance whose message signature still verifies, of those tried; 0: all (§5.2 step 5)."""
    sealers: tuple[str, ...] = ()
    """The domains of the seals, in order of instance; none where the chain is broken."""
    reason: str = ""
    """The reason in our words."""
    unsigned_octets: int = 0
    """Octets of the canonical body beyond the last set's `l=`, which an intermediary may have written."""


def key_names(message: DigestedMessage) -> list[str]:
    """Return the key names to ask the DNS for: those of seals first, and the last set first."""
    sets = message.chain.sets[::-1] if message.chain else ()
    messages = [each.message.key_name for each in sets if isinstance(each.message, Signature)]
    return messages[:1] + [each.seal.key_name for each in sets] + messages[1:]


def check_arc(message: DigestedMessage, keys: Keys, now: int) -> ArcResult:
    """Verify the chain at the time `now`, in seconds since 1970."""
    chain = message.chain
    if chain is None:
        return ArcResult(Arc.NONE)
    if chain.fault:
        return ArcResult(Arc.FAIL, reason=chain.fault)
    try:
        signature = _must_be_signed(chain.sets[-1], message, keys, now)
        _must_be_sealed(chain, keys)
    except Unusable as error:
        return ArcResult(Arc.FAIL, reason=error.reason)
    last = len(chain.sets)
    oldest = last - MOST_OLDER if last > MOST_OLDER + 1 else 0
    for number in range(last - 1, max(0, last - 1 - MOST_OLDER), -1):
        try:
            _must_be_signed(chain.sets[number - 1], message, keys, now)
        except Unusable:
            oldest = number + 1
            break
    sealers = tuple(each.seal.domain for each in chain.sets)
    return ArcResult(Arc.PASS, oldest, sealers, unsigned_octets=message.octets_beyond(signature.body))


def _must_be_signed(each: ArcSet, message: DigestedMessage, keys: Keys, now: int) -> Signature:
    if isinstance(each.message, Unusable):
        raise each.message
    check_times(each.message, now)
    verify(each.message, message, keys)
    return each.message


def _must_be_sealed(chain: Chain, keys: Keys) -> None:
    """Verify each seal (§5.1.1) over all sets up to its own, relaxed, and itself without its value."""
    hashed = hashlib.sha256()
    for each in chain.sets:
        hashed.update(each.results.canonical(True) + each.message_field.canonical(True))
        sealed = hashed.copy()
        sealed.update(unsigned(each.seal.field, True))
        found = keys.get(each.seal.key_name, Unusable(Dkim.PERMERROR, "too many keys"))
        if isinstance(found, Unusable):
            raise found
        fault = Unusable(Dkim.PERMERROR, "there is no key")
        for key in found:
            try:
                verify_signature(key, each.seal.algorithm, each.seal.signature, sealed.digest())
                break
            except Unusable as error:
                fault = error
        else:
            raise fault
        hashed.update(each.seal.field.canonical(True))
