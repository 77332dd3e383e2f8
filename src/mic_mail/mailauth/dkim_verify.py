"""Verify all DKIM signatures of a message (RFC 6376 §6.1). Blocking arithmetic, no I/O.

In: a `DigestedMessage`, the keys that `key_names` named, the time. Out: a `DkimResult` for each signature that was tried, in
order.
"""

from dataclasses import dataclass

from mic_mail.mailauth.dkim_dns import Keys
from mic_mail.mailauth.dkim_header import (  # fmt: skip
    Dkim,
    PublicKey,
    Signature,
    Unusable,
    check_times,
    signed_digest,
    tags,
    verify_signature,
)
from mic_mail.mailauth.message_digest import DigestedMessage


@dataclass(frozen=True, slots=True)
class DkimResult:
    """The result for one signature; domain, selector and algorithm are '' where they are not legible."""

    result: Dkim
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    begins: str = ""
    """The first eight characters of `b=` (RFC 6008)."""
    reason: str = ""
    """The reason in our words."""
    unsigned_octets: int = 0
    """Octets of the canonical body beyond `l=`: an intermediary may have written them (RFC 6376 §8.2)."""
    is_testing: bool = False
    """True with `t=y`: the signature counts as absent (RFC 6376 §3.6.1)."""

    @property
    def counts(self) -> bool:
        """Return whether the signature vouches for the message."""
        return self.result is Dkim.PASS and not self.is_testing


def key_names(message: DigestedMessage) -> list[str]:
    """Return the key names to ask the DNS for."""
    return [one.key_name for one in message.signatures if isinstance(one, Signature)]


def check_dkim(message: DigestedMessage, keys: Keys, now: int) -> tuple[DkimResult, ...]:
    """Verify all signatures at the time `now`, in seconds since 1970.

    The result is empty where there is no signature or no header.
    """
    return tuple(
        DkimResult(one.result, reason=one.reason) if isinstance(one, Unusable) else _check(one, message, keys, now)
        for one in message.signatures
    )


def _check(signature: Signature, message: DigestedMessage, keys: Keys, now: int) -> DkimResult:
    result, reason, is_testing = Dkim.PASS, "", False
    try:
        check_times(signature, now)
        is_testing = verify(signature, message, keys).is_testing
    except Unusable as error:
        result, reason = error.result, error.reason
    return DkimResult(
        result, signature.domain, signature.selector, signature.algorithm, tags(signature.field.value)["b"][:8], reason,
        message.octets_beyond(signature.body), is_testing,
    )  # fmt: skip


def verify(signature: Signature, message: DigestedMessage, keys: Keys) -> PublicKey:
    """Return the key that made the signature; raises `Unusable`."""
    found = keys.get(signature.key_name, Unusable(Dkim.PERMERROR, "too many keys"))
    if isinstance(found, Unusable):
        raise found
    digest = message.digest(signature.body)
    if digest is None:
        raise Unusable(Dkim.PERMERROR, "too many lengths of the body")
    if signature.body.limit is not None and signature.body.limit > digest.octets:
        raise Unusable(Dkim.PERMERROR, "the body is shorter than l=")
    if digest.digest() != signature.body_digest:
        raise Unusable(Dkim.FAIL, "the body has been changed")
    signed = signed_digest(signature, message.by_name)
    fault = Unusable(Dkim.PERMERROR, "there is no key")
    for key in found:
        try:
            if key.is_strict and signature.identity != signature.domain:
                raise Unusable(Dkim.PERMERROR, "i= differs from d=, which the key (t=s) forbids")
            verify_signature(key, signature.algorithm, signature.signature, signed)
        except Unusable as error:
            fault = error
        else:
            return key
    raise fault
