"""TLS: contexts, certificates, and what SCRAM binds to.

`TlsFront` is what the doors hold. Its `context` never changes, so a listening socket keeps it; at each handshake the SNI
callback puts the newest certificate in its place. `reload` reads the files again and swaps: running sessions keep what they
shook hands with, new ones get the new certificate, and a pair that cannot be used is refused while the old one stays.

TLS 1.2 and 1.3 only (RFC 8996), no compression, no renegotiation. Blocking (two small files); never before exec.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.net.reading import PLACE_OCTETS, TlsReader

SELF_SIGNED_DAYS = 825
_MINIMA = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class BadCertificate(BadInput):
    """Certificate and key cannot be read or do not belong together."""


def end_point_binding(certificate: x509.Certificate) -> bytes | None:
    """tls-server-end-point (RFC 5929 §4.1): digest of the certificate by the hash of its signature (SHA-256 for MD5, SHA-1).

    None where the signature has no single hash (Ed25519): the binding is undefined and -PLUS must not be offered.
    """
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate.public_bytes(serialization.Encoding.DER)).digest()


class TlsFront:
    """The server's side of TLS for all doors of one process."""

    def __init__(self, certificate: Path, key: Path, *, minimum: str = "1.2") -> None:
        self._minimum = minimum
        self._end_points: WeakKeyDictionary[ssl.SSLContext, bytes | None] = WeakKeyDictionary()
        self._current, self.ends_at = self._read(certificate, key)
        self.context, _ = self._read(certificate, key)
        self.context.sni_callback = self._choose
        self._place = memoryview(bytearray(PLACE_OCTETS))

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        handshake.context = self._current

    def reader(self, protocol: asyncio.Protocol) -> TlsReader:
        """What a TLS transport gets in place of `protocol`; for the doors of one loop."""
        return TlsReader(self._place, protocol)

    def reload(self, certificate: Path, key: Path) -> None:
        """Use these files for handshakes from now on, or raise `BadCertificate` and change nothing."""
        self._current, self.ends_at = self._read(certificate, key)

    def bindings(self, session: ssl.SSLObject | ssl.SSLSocket) -> Mapping[str, bytes]:
        """What SCRAM-SHA-256-PLUS can bind to in a session: the octets of each type of channel binding that we have.

        `tls-server-end-point` wherever the certificate has one; `tls-unique` up to TLS 1.2 (RFC 5929 §3: it is not defined for
        TLS 1.3, RFC 8446 App. C.5). `tls-exporter` (RFC 9266) would need a key exporter, which Python's `ssl` has not.
        """
        found = {}
        end_point = self._end_points.get(session.context)
        if end_point is not None:
            found["tls-server-end-point"] = end_point
        if session.version() == "TLSv1.2" and (unique := session.get_channel_binding("tls-unique")):
            found["tls-unique"] = unique
        return found

    def ends_within(self, now: datetime, days: int) -> bool:
        """Whether the certificate will have ended in `days`."""
        return self.ends_at <= now + timedelta(days=days)

    def _read(self, certificate: Path, key: Path) -> tuple[ssl.SSLContext, datetime]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = _MINIMA[self._minimum]
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.num_tickets = 1
        try:
            leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            raise BadCertificate(
                Text(
                    f"Không dùng được chứng thư {certificate} và khóa {key}.",
                    in_ascii(f"Certificate {certificate} and key {key} cannot be used."),
                ),
                remedy=Text(
                    "Hai tệp phải là PEM, thuộc về nhau, và tài khoản của máy chủ phải đọc được.",
                    "Both must be PEM, belong together, and be readable by the server's account.",
                ),
            ) from error
        self._end_points[context] = end_point_binding(leaf)
        return context, leaf.not_valid_after_utc


def _no_password() -> str:
    """An encrypted key is an error, not a question on the terminal."""
    raise ValueError("the private key is encrypted")


def self_signed(names: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """Certificate and key (PEM) for host names and addresses, valid from yesterday: what `init` and `demo` begin with."""
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
    """Put certificate and key in their places, each whole or not at all; the key is readable by its owner only."""
    for path, octets, mode in ((key, pair[1], 0o600), (certificate, pair[0], 0o644)):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        fresh = path.with_name(path.name + ".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
