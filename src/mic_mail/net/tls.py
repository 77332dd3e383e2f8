"""TLS: contexts, certificates, and channel bindings for SCRAM.

The listeners hold a `TlsFront`; each handshake begins with its `context`, and the SNI callback replaces that by the context of
the certificate for the name. `reload` reads the files again and swaps: existing sessions keep their certificates, new ones get
the new certificates, and an unusable pair is refused while everything stays as it was.

TLS 1.2 and 1.3 only (RFC 8996), no compression, no renegotiation. Session tickets belong to one process, so that a session is
resumed there and negotiated anew elsewhere (docs/decisions/0086). Blocking (small files); never before exec.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import os
import ssl
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.net.tls_reader import PLACE_OCTETS, TlsReader

SELF_SIGNED_DAYS = 825
MODERN = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Cipher suites for TLS 1.2: forward secrecy and authenticated encryption. All of TLS 1.3 have both."""
COMPATIBLE = f"{MODERN}:ECDHE+AES:!SHA1:!AESCCM"
"""Adds CBC with SHA-256 or SHA-384, for Windows up to Server 2012 R2 with an RSA certificate."""
_MINIMA = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class BadCertificate(BadInput):
    """Certificate and key cannot be read or do not belong together."""


def end_point_binding(certificate: x509.Certificate) -> bytes | None:
    """Return tls-server-end-point (RFC 5929 §4.1), a digest of the certificate.

    The hash is that of its signature (SHA-256 for MD5, SHA-1). None where the signature has no single hash (Ed25519): the
    binding is undefined and -PLUS must not be offered.
    """
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate.public_bytes(serialization.Encoding.DER)).digest()


@dataclass(frozen=True, slots=True)
class Served:
    """A certificate in use."""

    certificate: Path
    names: tuple[str, ...]
    """Names that it is used for, lower case, A-labels; `*.example` for one label more."""
    ends_at: datetime


class TlsFront:
    """The server's side of TLS for one kind of listeners in one process."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        more: Iterable[tuple[Path, Path]] = (),
        minimum: str = "1.2",
        suites: str = MODERN,
    ) -> None:
        """Use the first pair for clients with no SNI or an unknown name; each of `more` for its own names."""
        self._minimum = minimum
        self._suites = suites
        self._end_points: WeakKeyDictionary[ssl.SSLContext, bytes | None] = WeakKeyDictionary()
        self._place = memoryview(bytearray(PLACE_OCTETS))
        self.reload(certificate, key, more=more)

    def reload(
        self, certificate: Path, key: Path, *, more: Iterable[tuple[Path, Path]] = (), suites: str | None = None
    ) -> None:
        """Use these files for handshakes from now on, or raise `BadCertificate` and change nothing."""
        suites = suites or self._suites
        # One more context of the first pair: sessions are resumed by the context that a handshake begins with. A client that
        # resumes a session from before a reload has seen another certificate, and would bind SCRAM to that one.
        (front, _), *read = [self._read(*pair, suites) for pair in ((certificate, key), (certificate, key), *more)]
        by_name: dict[str, ssl.SSLContext] = {}
        for context, served in read:
            for name in served.names:
                by_name.setdefault(name, context)
        self._suites, self._default, self._by_name = suites, read[0][0], by_name
        self.served = tuple(served for _, served in read)
        front.sni_callback = self._choose
        self.context = front

    @property
    def ends_at(self) -> datetime:
        """The end of validity of the first certificate to expire."""
        return min(served.ends_at for served in self.served)

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        handshake.context = self._certificate_for(name)

    def _certificate_for(self, name: str | None) -> ssl.SSLContext:
        """Find the context by exact name, then by wildcard for its first label (RFC 6066 §3, RFC 9525 §6.3)."""
        name = (name or "").lower().removesuffix(".")
        exact = self._by_name.get(name)
        return exact or self._by_name.get(f"*.{name.partition('.')[2]}") or self._default

    def reader(self, protocol: asyncio.Protocol) -> TlsReader:
        """Return the protocol that a TLS transport gets in place of `protocol`; for one loop."""
        return TlsReader(self._place, protocol)

    def bindings(self, session: ssl.SSLObject | ssl.SSLSocket) -> Mapping[str, bytes]:
        """Return the channel bindings of a session for SCRAM-SHA-256-PLUS, by type.

        `tls-server-end-point` wherever the certificate has one; `tls-unique` up to TLS 1.2 (RFC 5929 §3: it is not defined for
        TLS 1.3, RFC 8446 App. C.5). `tls-exporter` (RFC 9266) would need a key exporter, which Python's `ssl` lacks. A resumed
        session shows no certificate: which one the client saw is certain only if there is only one.
        """
        found = {}
        end_point = self._end_points.get(session.context)
        if end_point is not None and (len(self.served) == 1 or not session.session_reused):
            found["tls-server-end-point"] = end_point
        if session.version() == "TLSv1.2" and (unique := session.get_channel_binding("tls-unique")):
            found["tls-unique"] = unique
        return found

    def ends_within(self, now: datetime, days: int) -> bool:
        """Return whether a certificate will have expired in `days`."""
        return self.ends_at <= now + timedelta(days=days)

    def _read(self, certificate: Path, key: Path, suites: str) -> tuple[ssl.SSLContext, Served]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _MINIMA[self._minimum]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(suites)
        context.num_tickets = 1
        try:
            leaf = x509.load_pem_x509_certificate(octets := certificate.read_bytes())
            context.load_cert_chain(certificate, key, password=_no_password)
            if certificate.read_bytes() != octets:
                raise ValueError("the certificate was replaced while it was read")
        except (OSError, ValueError) as error:
            raise BadCertificate(
                Text(
                    f"Không dùng được chứng thư số {certificate} và khóa {key}.",
                    in_ascii(f"Certificate {certificate} and key {key} cannot be used."),
                ),
                remedy=Text(
                    "Hai tệp phải là PEM, thuộc về nhau, và tài khoản của máy chủ phải đọc được.",
                    "Both files must be PEM, match each other, and be readable by the server's account.",
                ),
            ) from error
        self._end_points[context] = end_point_binding(leaf)
        return context, Served(certificate, names_of(leaf), leaf.not_valid_after_utc)


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names of a certificate: those in subjectAltName only (RFC 9525 §6.1).

    Wildcards count only as a whole first label before at least two others.
    """
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    names = (name.lower().removesuffix(".") for name in found.get_values_for_type(x509.DNSName))
    return tuple(dict.fromkeys(name for name in names if name and (not name.count("*") or _is_wildcard(name))))


def _is_wildcard(name: str) -> bool:
    star, _, rest = name.partition(".")
    return star == "*" and "*" not in rest and "." in rest


def key_is_open(key: Path) -> bool:
    """Return whether others than owner and group may read the key, or others than its owner write it."""
    return bool(key.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP))


def _no_password() -> str:
    """Refuse an encrypted key, instead of a prompt on the terminal."""
    raise ValueError("the private key is encrypted")


def self_signed(names: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """Create certificate and key (PEM), valid from yesterday, for names and addresses."""
    names = list(dict.fromkeys(names))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    key_usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def _general_name(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


def write_pair(certificate: Path, key: Path, pair: tuple[bytes, bytes]) -> None:
    """Write certificate and key, each whole or not at all; the key is readable by its owner only."""
    for path, octets, mode in ((key, pair[1], 0o600), (certificate, pair[0], 0o644)):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        fresh = path.with_name(path.name + ".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
