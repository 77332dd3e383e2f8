"""Certificates beside TLSA records: an authority of the test's own, and everything that can be wrong with a chain."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256, sha512

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mic_mail.net.dns import Tlsa
from mic_mail.smtpclient.dane import NotAuthentic, check, usable

NOW = datetime(2026, 11, 26, tzinfo=UTC)
HOST = "mx.example"
DER = serialization.Encoding.DER


@dataclass(frozen=True)
class Made:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)

    @property
    def spki(self) -> bytes:
        return self.key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def made(
    name: str, issuer: Made | None = None, *, until: datetime = NOW + timedelta(days=90), is_authority: bool = False
) -> Made:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer or Made(None, key)  # type: ignore[arg-type]  # of a root only its key is asked for
    public = signer.key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=9))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    )
    if is_authority:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    else:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return Made(builder.sign(signer.key, hashes.SHA256()), key)


ROOT = made("root", is_authority=True)
MIDDLE = made("middle", ROOT, is_authority=True)
LEAF = made(HOST, MIDDLE)
CHAIN = [LEAF.der, MIDDLE.der, ROOT.der]
ALONE = made(HOST)


@pytest.mark.parametrize(
    "record",
    [
        Tlsa(3, 1, 1, sha256(LEAF.spki).digest()),
        Tlsa(3, 0, 1, sha256(LEAF.der).digest()),
        Tlsa(3, 1, 2, sha512(LEAF.spki).digest()),
        Tlsa(3, 1, 0, LEAF.spki),
        Tlsa(3, 0, 0, LEAF.der),
        Tlsa(2, 0, 1, sha256(ROOT.der).digest()),
        Tlsa(2, 1, 1, sha256(MIDDLE.spki).digest()),
        Tlsa(2, 1, 2, sha512(ROOT.spki).digest()),
    ],
    ids=lambda record: f"{record.usage} {record.selector} {record.matching}",  # the keys are made anew each time
)
def test_records_that_fit(record: Tlsa) -> None:
    """Also among others that do not: a key is changed by adding the record of the next one first (RFC 7671 §8.1)."""
    assert usable([record]) == (record,)
    check([record], CHAIN, [HOST], NOW)
    check([Tlsa(3, 1, 1, b"\0" * 32), record], CHAIN, ["other.example", HOST], NOW)


def test_the_own_key_needs_neither_name_nor_date() -> None:
    """RFC 7672 §3.1.1: a certificate that has run out, of another name, by nobody."""
    old = made("elsewhere.example", until=NOW - timedelta(days=1))
    check([Tlsa(3, 1, 1, sha256(old.spki).digest())], [old.der], [HOST], NOW)


@pytest.mark.parametrize(
    ("record", "chain", "names", "why"),
    [
        (Tlsa(3, 1, 1, sha256(ALONE.spki).digest()), CHAIN, [HOST], "no TLSA record matches"),
        (Tlsa(3, 1, 1, sha256(MIDDLE.spki).digest()), CHAIN, [HOST], "no TLSA record matches"),
        (Tlsa(3, 0, 1, sha256(LEAF.spki).digest()), CHAIN, [HOST], "no TLSA record matches"),
        (Tlsa(2, 0, 1, sha256(ROOT.der).digest()), CHAIN, ["other.example"], "a TLSA record matches, but"),
        (Tlsa(2, 0, 1, sha256(ROOT.der).digest()), [ALONE.der, MIDDLE.der, ROOT.der], [HOST], "a TLSA record matches, but"),
        (Tlsa(2, 0, 1, sha256(ROOT.der).digest()), [LEAF.der, ROOT.der], [HOST], "a TLSA record matches, but"),
        (Tlsa(2, 0, 1, sha256(ROOT.der).digest()), [LEAF.der, MIDDLE.der], [HOST], "no TLSA record matches"),
        (Tlsa(3, 1, 1, sha256(LEAF.spki).digest()), [], [HOST], "no certificate"),
        (Tlsa(3, 1, 1, sha256(LEAF.spki).digest()), [b"x"], [HOST], "cannot be read"),
    ],
)
def test_who_is_not_authentic(record: Tlsa, chain: list[bytes], names: list[str], why: str) -> None:
    with pytest.raises(NotAuthentic, match=why):
        check([record], chain, names, NOW)


def test_a_certificate_that_is_vouched_for_and_has_run_out() -> None:
    old = made(HOST, MIDDLE, until=NOW - timedelta(days=1))
    with pytest.raises(NotAuthentic, match="matches, but"):
        check([Tlsa(2, 0, 1, sha256(ROOT.der).digest())], [old.der, *CHAIN[1:]], [HOST], NOW)


AUTHORITY = x509.BasicConstraints(True, None)
NO_AUTHORITY = x509.BasicConstraints(False, None)
NAMED = x509.SubjectAlternativeName([x509.DNSName(HOST)])
OF_CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SIGNS_LETTERS = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
SIGNS_CERTIFICATES = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
OTHERS_NAMES = x509.NameConstraints([x509.DNSName("other.example")], None)
Bare = tuple[x509.ExtensionType, ...]


def by_a_private_authority(root: Bare, leaf: Bare, *, days: int = 90, forged: bool = False) -> tuple[list[bytes], Tlsa]:
    """What a server shows, and the record of its authority: with these extensions and no others, none critical."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("private", HOST)]

    def signed(number: int, extensions: Bare, by: ec.EllipticCurvePrivateKey, until: datetime) -> bytes:
        builder = x509.CertificateBuilder(names[0], names[number], keys[number].public_key(), number + 1)
        builder = builder.not_valid_before(NOW - timedelta(days=9)).not_valid_after(until)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(by, hashes.SHA256()).public_bytes(DER)

    own = signed(1, leaf, keys[1] if forged else keys[0], NOW + timedelta(days=days))
    vouching = signed(0, root, keys[0], NOW + timedelta(days=900))
    return [own, vouching], Tlsa(2, 0, 1, sha256(vouching).digest())


@pytest.mark.parametrize(
    ("root", "leaf"),
    [((AUTHORITY,), (NAMED,)), ((AUTHORITY, SIGNS_CERTIFICATES), (NAMED, SIGNS_LETTERS)), ((AUTHORITY,), (NAMED, AUTHORITY))],
    ids=["bare", "usage", "an authority as server"],
)
def test_a_private_authority_need_not_be_as_public_ones_are(root: Bare, leaf: Bare) -> None:
    """Without key identifiers, usages, anything critical (RFC 5280 §6.1 asks for none): OpenSSL takes them, so others do."""
    chain, record = by_a_private_authority(root, leaf)
    check([record], chain, [HOST], NOW)


@pytest.mark.parametrize(
    ("root", "leaf"),
    [
        ((NO_AUTHORITY,), (NAMED,)),
        ((), (NAMED,)),
        ((AUTHORITY, SIGNS_LETTERS), (NAMED,)),
        ((AUTHORITY, OF_CLIENTS), (NAMED,)),
        ((AUTHORITY, OTHERS_NAMES), (NAMED,)),
        ((AUTHORITY,), (NAMED, OF_CLIENTS)),
        ((AUTHORITY,), (NAMED, SIGNS_CERTIFICATES)),
        ((AUTHORITY,), (x509.SubjectAlternativeName([x509.DNSName("other.example")]),)),
        ((AUTHORITY,), ()),
    ],
    ids=[
        "no authority", "not said to be one", "its key is for letters", "an authority for clients", "for others' names",
        "for a client", "a key for certificates", "another name", "no name",
    ],
)  # fmt: skip
def test_what_no_private_authority_may_vouch_for(root: Bare, leaf: Bare) -> None:
    chain, record = by_a_private_authority(root, leaf)
    with pytest.raises(NotAuthentic, match="matches, but"):
        check([record], chain, [HOST], NOW)


def test_what_a_private_authority_has_not_signed_or_no_longer_vouches_for() -> None:
    for days, forged in ((-1, False), (90, True)):
        chain, record = by_a_private_authority((AUTHORITY,), (NAMED,), days=days, forged=forged)
        with pytest.raises(NotAuthentic, match="matches, but"):
            check([record], chain, [HOST], NOW)


@pytest.mark.parametrize(
    "record",
    [
        Tlsa(0, 1, 1, b"\0" * 32),
        Tlsa(1, 1, 1, b"\0" * 32),
        Tlsa(3, 2, 1, b"\0" * 32),
        Tlsa(3, 1, 3, b"\0" * 32),
        Tlsa(3, 1, 1, b"x"),
    ],
    ids=str,
)
def test_records_of_no_use(record: Tlsa) -> None:
    assert usable([record]) == ()


def test_a_key_that_cannot_be_read() -> None:
    """In a chain it fits nothing, and no other certificate pays for it; the server's own is refused."""
    point = LEAF.spki[-64:]
    broken = LEAF.der.replace(point, bytes(64))
    assert broken != LEAF.der
    with pytest.raises(ValueError, match="key"):
        x509.load_der_x509_certificate(broken).public_key()
    by_root = [Tlsa(2, 1, 1, sha256(ROOT.spki).digest())]
    check(by_root, [*CHAIN[:2], broken, ROOT.der], [HOST], NOW)
    for record in (*by_root, Tlsa(3, 1, 1, sha256(LEAF.spki).digest())):
        with pytest.raises(NotAuthentic):
            check([record], [broken, *CHAIN[1:]], [HOST], NOW)


def test_a_certificate_of_no_known_version() -> None:
    """Version 7: the library's error for it is of no common kind."""
    strange = LEAF.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x06", 1)
    with pytest.raises(NotAuthentic):
        check([Tlsa(3, 1, 1, sha256(LEAF.spki).digest())], [strange], [HOST], NOW)
