"""Check a certificate against the TLSA records of its server (DANE for SMTP, RFC 7672). Pure.

In: validated records, the chain that a server presented, its names. Out: nothing, or `NotAuthentic` with the reason. Usages 2
(DANE-TA) and 3 (DANE-EE) count; 0 and 1 make a record unusable here (RFC 7672 §3.1.3), as do unknown selectors and digests.
Where no record is usable TLS is still required, but without authentication (§2.2).

    3 1 1 DIGEST   the server's own key: names and dates of the certificate do not count (§3.1.1)
    2 0 1 DIGEST   a trust anchor in the chain of the server's certificate: signatures, dates and name count (§3.1.2)
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256, sha512

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import DNSName, verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.net.dns import Tlsa

DANE_TA, DANE_EE = 2, 3
_WHOLE, _KEY = 0, 1
_EXACT, _SHA256, _SHA512 = 0, 1, 2
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)
"""Errors of the library for broken or unsupported certificates and keys."""


class NotAuthentic(Trouble):
    """The server is not authentic: a wrong certificate, or an attacker in between."""


def usable(records: Sequence[Tlsa]) -> tuple[Tlsa, ...]:
    """Return the records that a mail server can be authenticated by."""
    return tuple(
        record
        for record in records
        if record.usage in (DANE_TA, DANE_EE)
        and record.selector in (_WHOLE, _KEY)
        and (record.matching == _EXACT or len(record.data) == {_SHA256: 32, _SHA512: 64}.get(record.matching))
    )


def check(records: Sequence[Tlsa], chain: Sequence[bytes], names: Collection[str], now: datetime) -> None:
    """Check the chain; raise `NotAuthentic`.

    `chain` is DER as presented, the server's own first; a certificate under a trust anchor has to hold one of `names`.
    """
    if not chain:
        raise NotAuthentic(Text("máy chủ không xuất trình chứng thư số", "the server presented no certificate"))
    try:
        shown = [x509.load_der_x509_certificate(octets) for octets in chain]
    except _UNREADABLE as error:
        reason = in_ascii(error)
        raise NotAuthentic(
            Text(f"không đọc được chứng thư số: {reason}", f"the certificate cannot be read: {reason}")
        ) from error
    if any(record.usage == DANE_EE and _fits(record, shown[0]) for record in records):
        return
    anchors = [
        certificate
        for certificate in shown
        if any(record.usage == DANE_TA and _fits(record, certificate) for record in records)
    ]
    why = Text("không bản ghi TLSA nào khớp chứng thư số của máy chủ", "no TLSA record matches the server's certificate")
    for anchor in anchors:
        for name in names:
            try:
                _vouched_for(shown, anchor, name, now)
            except (verification.VerificationError, *_UNREADABLE) as error:
                reason = in_ascii(error)
                why = Text(f"có bản ghi TLSA khớp, nhưng: {reason}", f"a TLSA record matches, but: {reason}")
            else:
                return
    raise NotAuthentic(why)


def _fits(record: Tlsa, certificate: x509.Certificate) -> bool:
    """Return whether a record matches (RFC 6698 §2.1).

    A key that cannot be read matches none, as it may belong to an unrelated certificate of the chain.
    """
    if record.selector == _WHOLE:
        octets = certificate.public_bytes(serialization.Encoding.DER)
    else:
        der, spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        try:
            octets = certificate.public_key().public_bytes(der, spki)
        except _UNREADABLE:
            return False
    if record.matching == _SHA256:
        octets = sha256(octets).digest()
    elif record.matching == _SHA512:
        octets = sha512(octets).digest()
    return octets == record.data


def _vouched_for(shown: Sequence[x509.Certificate], anchor: x509.Certificate, name: str, now: datetime) -> None:
    policy = verification.PolicyBuilder().store(verification.Store([anchor])).time(now)
    policy = policy.extension_policies(ca_policy=_AUTHORITY, ee_policy=_SERVER)
    policy.build_server_verifier(DNSName(name)).verify(shown[0], list(shown[1:]))


def _key_signs_certificates(_policy: object, _certificate: object, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("a key that may sign no certificates has signed one")


def _key_serves(_policy: object, _certificate: object, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not (usage.digital_signature or usage.key_encipherment or usage.key_agreement):
        raise ValueError("the key is for no TLS server")


def _is_for_servers(_policy: object, _certificate: object, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is not None and ExtendedKeyUsageOID.SERVER_AUTH not in usage:
        raise ValueError("the certificate is for no servers")


_ANY_WAY = verification.Criticality.AGNOSTIC
_AUTHORITY = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _ANY_WAY, None)
    .may_be_present(x509.KeyUsage, _ANY_WAY, _key_signs_certificates)
    .may_be_present(x509.ExtendedKeyUsage, _ANY_WAY, _is_for_servers)
)
_SERVER = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.SubjectAlternativeName, _ANY_WAY, None)
    .may_be_present(x509.KeyUsage, _ANY_WAY, _key_serves)
    .may_be_present(x509.ExtendedKeyUsage, _ANY_WAY, _is_for_servers)
)
"""The requirements of RFC 5280 §6.1 on a chain, and no more.

Private authorities lack much of what browsers require of public ones.
"""
