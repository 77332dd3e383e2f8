"""Certificates: made, swapped under running listeners, bound to by SCRAM."""

import hashlib
import socket
import ssl
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from mic_mail.net.tls import BadCertificate, TlsFront, end_point_binding, self_signed, write_pair

NOW = datetime.now(UTC)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key on disk."""
    certificate, key = tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem"
    write_pair(certificate, key, self_signed(["mail.mic.gov.vn", "localhost", "127.0.0.1"], NOW))
    return certificate, key


def shake_hands(front: TlsFront, client: ssl.SSLContext, name: str = "localhost") -> tuple[bytes, bytes | None]:
    """The certificate that a client sees, and the tls-server-end-point of the server."""
    certificate, bindings, _ = meet(front, client, name)
    return certificate, bindings.get("tls-server-end-point")


def meet(front: TlsFront, client: ssl.SSLContext, name: str = "localhost") -> tuple[bytes, Mapping[str, bytes], bytes | None]:
    """The certificate that a client sees, what the server would bind SCRAM to, and the client's tls-unique."""
    ours, theirs = socket.socketpair()
    bindings: list[Mapping[str, bytes]] = []

    def serve() -> None:
        with ours, front.context.wrap_socket(ours, server_side=True) as session:
            bindings.append(front.bindings(session))
            session.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with theirs, client.wrap_socket(theirs, server_hostname=name) as session:
        certificate = session.getpeercert(binary_form=True)
        unique = session.get_channel_binding("tls-unique")
        session.send(b"x")
    thread.join()
    assert certificate is not None
    return certificate, bindings[0], unique


def test_what_can_be_bound_to_by_version(pair: tuple[Path, Path]) -> None:
    """tls-unique in TLS 1.2, as the client computes it (RFC 5929 §3); never in TLS 1.3, where it is not defined (RFC 8446)."""
    client = ssl.create_default_context(cafile=str(pair[0]))
    _, bindings, _ = meet(TlsFront(*pair), client)
    assert set(bindings) == {"tls-server-end-point"}
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    _, bindings, unique = meet(TlsFront(*pair), client)
    assert set(bindings) == {"tls-server-end-point", "tls-unique"}
    assert bindings["tls-unique"] == unique


@pytest.mark.parametrize("name", ["localhost", "mail.mic.gov.vn", "127.0.0.1"])
def test_a_self_signed_certificate_holds_for_its_names(pair: tuple[Path, Path], name: str) -> None:
    """A client that trusts it checks host names and addresses with success."""
    certificate, _ = shake_hands(TlsFront(*pair), ssl.create_default_context(cafile=str(pair[0])), name)
    assert certificate == x509.load_pem_x509_certificate(pair[0].read_bytes()).public_bytes(Encoding.DER)


def test_the_key_is_for_its_owner_only(pair: tuple[Path, Path]) -> None:
    """Mode 0600 from the first instant."""
    assert pair[1].stat().st_mode & 0o777 == 0o600


def test_a_new_certificate_is_used_without_a_new_context(pair: tuple[Path, Path]) -> None:
    """SIGHUP after a renewal: listeners keep their context, handshakes get the new certificate, bindings follow."""
    front = TlsFront(*pair)
    context = front.context
    old_client = ssl.create_default_context(cafile=str(pair[0]))
    old, old_binding = shake_hands(front, old_client)
    write_pair(*pair, self_signed(["localhost"], NOW))
    front.reload(*pair)
    new, new_binding = shake_hands(front, ssl.create_default_context(cafile=str(pair[0])))
    assert front.context is context
    assert new != old
    assert (old_binding, new_binding) == (hashlib.sha256(old).digest(), hashlib.sha256(new).digest())
    with pytest.raises(ssl.SSLError):
        _shake_in_memory(front, old_client)


def _shake_in_memory(front: TlsFront, client: ssl.SSLContext) -> None:
    """A handshake whose error comes to the caller."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    server_in, server_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = front.context.wrap_bio(server_in, server_out, server_side=True)
    for _ in range(4):
        for side in (session, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
        server_in.write(outgoing.read())
        incoming.write(server_out.read())


def test_a_pair_that_does_not_belong_together_changes_nothing(pair: tuple[Path, Path]) -> None:
    """The old certificate goes on being served."""
    front = TlsFront(*pair)
    client = ssl.create_default_context(cafile=str(pair[0]))
    before, _ = shake_hands(front, client)
    other = pair[0].with_name("other.pem")
    write_pair(pair[0].with_name("x.pem"), other, self_signed(["localhost"], NOW))
    for certificate, key in ((pair[0], other), (other, pair[1]), (pair[0], pair[0].with_name("none.pem"))):
        with pytest.raises(BadCertificate):
            front.reload(certificate, key)
    assert shake_hands(front, client)[0] == before


def test_old_versions_of_tls_are_refused(pair: tuple[Path, Path]) -> None:
    """TLS 1.1 and older are not spoken (RFC 8996)."""
    front = TlsFront(*pair)
    assert front.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert TlsFront(*pair, minimum="1.3").context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_the_end_is_known(pair: tuple[Path, Path]) -> None:
    """A certificate that ends soon is told of in time."""
    front = TlsFront(*pair)
    assert not front.ends_within(NOW, 21)
    assert front.ends_within(NOW + timedelta(days=820), 21)


def signed(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, algorithm: hashes.HashAlgorithm | None
) -> x509.Certificate:
    """A bare certificate with a signature of some kind."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    return builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1)).sign(key, algorithm)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("algorithm", "digest"), [(hashes.SHA256(), "sha256"), (hashes.SHA384(), "sha384"), (hashes.SHA512(), "sha512")]
)
def test_the_binding_is_the_digest_by_the_signatures_hash(algorithm: hashes.HashAlgorithm, digest: str) -> None:
    """RFC 5929 §4.1."""
    certificate = signed(ec.generate_private_key(ec.SECP384R1()), algorithm)
    assert end_point_binding(certificate) == hashlib.new(digest, certificate.public_bytes(Encoding.DER)).digest()


def test_a_signature_without_a_single_hash_has_no_binding() -> None:
    """RFC 5929 §4.1: undefined, so -PLUS is not offered."""
    assert end_point_binding(signed(ed25519.Ed25519PrivateKey.generate(), None)) is None
