"""Parse and verify DKIM and ARC signatures (RFC 6376 §3.5, §6.1, RFC 8463, RFC 8301).

In: fields as they stand, a record of the DNS. Out: `Signature`, `PublicKey`, or `Unusable` with the result and the
reason; no I/O. Only SHA-256 counts: rsa-sha1 fails without being tried, and so do RSA keys of fewer than 1024 bits (RFC
8301 §3).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mic_mail.domain_name import NotAName, is_within, to_ascii
from mic_mail.mime.dkim import relaxed_field, tags_of

LEAST_RSA_BITS = 1_024
MOST_RSA_BITS = 8_192
"""Bits of an RSA key. RFC 8301 §3.2 asks for 4096; beyond this bound one signature costs too much CPU."""
MOST_RSA_EXPONENT = 65_537
"""Exponent of nearly all keys; with one as long as the key, a try takes 7 ms (RFC 8017 §3.1)."""
LONGEST_SIGNATURE = 16_384
"""Octets of one field."""
CLOCK_SKEW_SECONDS = 3_600
"""Seconds by which a signer's clock may be ahead of ours."""
_EMPTY_B = re.compile(rb"((?:\A|;)[ \t\r\n]*+b[ \t\r\n]*+=)[^;]*+")
_NUMBER = re.compile(r"[0-9]{1,76}")
_TOKEN = re.compile(r"[A-Za-z0-9\-]+(?:/[A-Za-z0-9\-]+)?")


class Dkim(StrEnum):
    """The results of RFC 8601 §2.7.1."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Unusable(ValueError):
    """Raised for a signature or key that cannot be used, with the reason in our words."""

    def __init__(self, result: Dkim, reason: str) -> None:
        self.result = result
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class HeaderField:
    """One field of a header: its name, its value, and all of it without the last CRLF."""

    name: bytes
    value: bytes
    written: bytes

    def canonical(self, is_relaxed: bool) -> bytes:
        """Return the canonical form with its CRLF (RFC 6376 §3.4.1, §3.4.2)."""
        return self._relaxed if is_relaxed else self.written + b"\r\n"

    @cached_property
    def _relaxed(self) -> bytes:
        """The relaxed form, cached: sixty signatures may cover the same 200 KB."""
        return relaxed_field(self.name, self.value) + b"\r\n"


@dataclass(frozen=True, slots=True)
class BodyForm:
    """The canonical form and length of a body that a digest covers."""

    is_relaxed: bool
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """The tags of a signature, as far as they are legible."""

    field: HeaderField
    algorithm: str
    domain: str
    """The domain in its DNS form."""
    selector: str
    names: tuple[bytes, ...]
    """Names of `h=`, in lower case."""
    is_header_relaxed: bool
    body: BodyForm
    body_digest: bytes
    signature: bytes
    identity: str
    """The domain of `i=`, behind its @; `domain` where the tag is missing."""
    signed_at: int | None = None
    expires_at: int | None = None

    @property
    def key_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


def tags(value: bytes) -> dict[str, str]:
    """Return the tags of a field; raises `Unusable`."""
    if len(value) > LONGEST_SIGNATURE:
        raise Unusable(Dkim.NEUTRAL, "too long")
    try:
        found = tags_of(value.decode("utf-8").strip(" \t\r\n"))
    except UnicodeDecodeError:
        found = None
    if not found:
        raise Unusable(Dkim.NEUTRAL, "its tags cannot be read")
    return found


def parse_signature(field: HeaderField) -> Signature:
    """Parse a DKIM-Signature; raises `Unusable`."""
    found = tags(field.value)
    if found.get("v") != "1":
        raise Unusable(Dkim.NEUTRAL, "an unknown version")
    query = found.get("q", "dns/txt").lower().split(":")
    if "dns/txt" not in query and "dns" not in query:
        raise Unusable(Dkim.NEUTRAL, "no known query method in q=")
    signature = parse_message_signature(field, found)
    _local, at, host = found.get("i", "").rpartition("@")
    if "i" not in found:
        return signature
    try:
        identity = to_ascii(host)
    except NotAName:
        identity = ""
    if not at or not is_within(identity, signature.domain):
        raise Unusable(Dkim.PERMERROR, "i= is not within d=")
    return replace(signature, identity=identity)


def parse_message_signature(field: HeaderField, found: dict[str, str]) -> Signature:
    """Parse the tags shared with ARC-Message-Signature (RFC 8617 §4.1.2); raises `Unusable`."""
    for tag in ("a", "b", "bh", "d", "h", "s"):
        if not found.get(tag):
            raise Unusable(Dkim.PERMERROR, f"no {tag}=")
    header_form, _, body_form = found.get("c", "simple/simple").lower().partition("/")
    body_form = body_form or "simple"
    if not {header_form, body_form} <= {"simple", "relaxed"}:
        raise Unusable(Dkim.NEUTRAL, "an unknown canonicalisation")
    names = tuple(name.encode("utf-8", "replace").lower() for name in found["h"].split(":"))
    if b"from" not in names:
        raise Unusable(Dkim.PERMERROR, "From is not signed")
    limit = _number(found, "l")
    signed_at, expires_at = _number(found, "t"), _number(found, "x")
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise Unusable(Dkim.NEUTRAL, "x= is not after t=")
    domain, selector = names_of_key(found)
    return Signature(
        field, algorithm_of(found), domain, selector, names, header_form == "relaxed",
        BodyForm(body_form == "relaxed", limit), decoded(found["bh"]), decoded(found["b"]), domain, signed_at, expires_at,
    )  # fmt: skip


def check_times(signature: Signature, now: int) -> None:
    """Check expiry and creation against `now`, in seconds since 1970. Raises `Unusable`."""
    if signature.expires_at is not None and now > signature.expires_at:
        raise Unusable(Dkim.FAIL, "it has expired")
    if signature.signed_at is not None and signature.signed_at > now + CLOCK_SKEW_SECONDS:
        raise Unusable(Dkim.FAIL, "t= is in the future")


def algorithm_of(found: dict[str, str]) -> str:
    """Return the algorithm of `a=`; raises `Unusable`."""
    algorithm = found["a"].lower()
    if algorithm == "rsa-sha1":
        raise Unusable(Dkim.FAIL, "rsa-sha1 is not accepted")
    if algorithm not in ("rsa-sha256", "ed25519-sha256"):
        raise Unusable(Dkim.NEUTRAL, "an unknown algorithm")
    return algorithm


def names_of_key(found: dict[str, str]) -> tuple[str, str]:
    """Return `d=` and `s=` in their DNS form; raises `Unusable`."""
    try:
        domain, selector = to_ascii(found["d"]), to_ascii(found["s"])
        to_ascii(f"{selector}._domainkey.{domain}")
    except NotAName:
        raise Unusable(Dkim.PERMERROR, "d= or s= is not a valid name") from None
    return domain, selector


def _number(found: dict[str, str], tag: str) -> int | None:
    if tag not in found:
        return None
    if not _NUMBER.fullmatch(found[tag]):
        raise Unusable(Dkim.NEUTRAL, f"{tag}= is not a number")
    return int(found[tag])


def decoded(text: str) -> bytes:
    """Decode Base64; raises `Unusable`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unusable(Dkim.NEUTRAL, "invalid Base64") from None


def signed_digest(signature: Signature, fields: Mapping[bytes, Sequence[HeaderField]]) -> bytes:
    """Return the digest that is signed (RFC 6376 §3.7).

    It covers the fields that `h=` names, the last of each name first, and the signature's own field without its value.
    `fields`: by their names, in lower case.
    """
    hashed = hashlib.sha256()
    left: dict[bytes, Iterator[HeaderField]] = {}
    for name in signature.names:
        if name not in left:
            left[name] = (field for field in reversed(fields.get(name, ())) if field is not signature.field)
        if (field := next(left[name], None)) is not None:
            hashed.update(field.canonical(signature.is_header_relaxed))
    hashed.update(unsigned(signature.field, signature.is_header_relaxed))
    return hashed.digest()


def unsigned(field: HeaderField, is_relaxed: bool) -> bytes:
    """Return a signature's field as it was before signing, without CRLF."""
    value = _EMPTY_B.sub(rb"\1", field.value, count=1)
    head = field.written[: len(field.written) - len(field.value)]
    return HeaderField(field.name, value, head + value).canonical(is_relaxed).removesuffix(b"\r\n")


# ------------------------------------------------------------ keys


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public key of a record (RFC 6376 §3.6.1)."""

    key: RSAPublicKey | Ed25519PublicKey
    is_testing: bool
    """True with `t=y`: its signatures count as absent."""
    is_strict: bool
    """True with `t=s`: `i=` and `d=` must be the same domain."""

    @property
    def bits(self) -> int:
        return self.key.key_size if isinstance(self.key, RSAPublicKey) else 256


def parse_key(record: str) -> PublicKey:
    """Parse a key record; raises `Unusable`."""
    found = tags_of(record.strip(" \t\r\n"))
    if not found or found.get("v", "DKIM1") != "DKIM1" or ("v" in found and next(iter(found)) != "v") or "p" not in found:
        raise Unusable(Dkim.PERMERROR, "its key record is invalid")
    if not found["p"]:
        raise Unusable(Dkim.PERMERROR, "its key is revoked")
    if "sha256" not in found.get("h", "sha256").lower().split(":"):
        raise Unusable(Dkim.PERMERROR, "its key is not for SHA-256")
    if {"*", "email"}.isdisjoint(found.get("s", "*").lower().split(":")):
        raise Unusable(Dkim.PERMERROR, "its key is not for mail")
    flags = found.get("t", "").lower().split(":")
    try:
        octets = base64.b64decode(found["p"].encode("ascii"), validate=True)
        kind = found.get("k", "rsa").lower()
        key = Ed25519PublicKey.from_public_bytes(octets) if kind == "ed25519" else load_der_public_key(octets)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        raise Unusable(Dkim.PERMERROR, "its key cannot be read") from None
    if (kind == "rsa") != isinstance(key, RSAPublicKey) or not isinstance(key, RSAPublicKey | Ed25519PublicKey):
        raise Unusable(Dkim.PERMERROR, "its key is of another type")
    if isinstance(key, RSAPublicKey) and key.public_numbers().e > MOST_RSA_EXPONENT:
        raise Unusable(Dkim.PERMERROR, "its key has a large exponent")
    return PublicKey(key, "y" in flags, "s" in flags)


def matching_key(found: str, wanted: str) -> PublicKey | None:
    """Return the key of the record `found`; None if it is unusable, or not the key of `wanted`."""
    try:
        published = parse_key(found)
    except Unusable:
        return None
    return published if published.key == parse_key(wanted).key else None


def verify_signature(key: PublicKey, algorithm: str, signature: bytes, digest: bytes) -> None:
    """Verify `signature` over a digest (also for Ed25519, RFC 8463 §3); raises `Unusable`."""
    try:
        if isinstance(key.key, RSAPublicKey) and algorithm == "rsa-sha256":
            if not LEAST_RSA_BITS <= key.bits <= MOST_RSA_BITS:
                raise Unusable(Dkim.FAIL, f"a key of {key.bits} bits")
            key.key.verify(signature, digest, PKCS1v15(), Prehashed(hashes.SHA256()))
        elif isinstance(key.key, Ed25519PublicKey) and algorithm == "ed25519-sha256":
            key.key.verify(signature, digest)
        else:
            raise Unusable(Dkim.PERMERROR, "its key is of another type")
    except InvalidSignature:
        raise Unusable(Dkim.FAIL, "the signature does not match") from None
