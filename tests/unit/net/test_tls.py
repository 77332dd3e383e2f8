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

from mic_mail.net.tls import (
    COMPATIBLE,
    MODERN,
    BadCertificate,
    TlsFront,
    end_point_binding,
    key_is_open,
    self_signed,
    write_pair,
)

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


def test_a_new_certificate_is_used_after_a_reload(pair: tuple[Path, Path]) -> None:
    """SIGHUP after a renewal: handshakes get the new certificate, bindings follow."""
    front = TlsFront(*pair)
    old_client = ssl.create_default_context(cafile=str(pair[0]))
    old, old_binding = shake_hands(front, old_client)
    write_pair(*pair, self_signed(["localhost"], NOW))
    front.reload(*pair)
    new, new_binding = shake_hands(front, ssl.create_default_context(cafile=str(pair[0])))
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


# ------------------------------------------------------------ several certificates


class Hosts:
    """Certificates, each for some names, and a client that looks at none of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = ssl.create_default_context()
        self.client.check_hostname = False
        self.client.verify_mode = ssl.CERT_NONE

    def pair(self, name: str, *names: str) -> tuple[Path, Path]:
        pair = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        write_pair(*pair, self_signed(names, NOW))
        return pair


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def shown(front: TlsFront, client: ssl.SSLContext, name: str) -> tuple[str, bool]:
    """The first name of the certificate that who asks for `name` sees, and whether SCRAM would bind to that one."""
    octets, binding = shake_hands(front, client, name)
    certificate = x509.load_der_x509_certificate(octets)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)[0], binding == hashlib.sha256(octets).digest()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ("mail.mic.gov.vn", "mail.mic.gov.vn"),
        ("mail.bo.example", "mail.bo.example"),
        ("MAIL.BO.Example", "mail.bo.example"),
        ("thư.bo.example", "xn--th-ksa92x.bo.example"),
        ("pop.chung.example", "*.chung.example"),
        ("a.pop.chung.example", "mail.mic.gov.vn"),
        ("chung.example", "mail.mic.gov.vn"),
        ("exact.chung.example", "exact.chung.example"),
        ("unknown.example", "mail.mic.gov.vn"),
        ("localhost", "mail.mic.gov.vn"),
        ("127.0.0.1", "mail.mic.gov.vn"),
    ],
)
def test_the_certificate_is_that_of_the_name(hosts: Hosts, asked: str, seen: str, version: ssl.TLSVersion) -> None:
    """SNI (RFC 6066 §3): exact before wildcard, whatever the case, A-labels; else the first; SCRAM binds to the one shown."""
    a_label = "thư.bo.example".encode("idna").decode()
    front = TlsFront(
        *hosts.pair("first", "mail.mic.gov.vn", "127.0.0.1"),
        more=[
            hosts.pair("second", "mail.bo.example", a_label),
            hosts.pair("idn", a_label, "mail.bo.example"),
            hosts.pair("wild", "*.chung.example"),
            hosts.pair("exact", "exact.chung.example"),
            hosts.pair("odd", "*.*.example", "f*.odd.example", "*", "*.example"),
        ],
    )
    hosts.client.minimum_version = hosts.client.maximum_version = version
    seen = "mail.bo.example" if seen.startswith("xn--") else seen
    assert shown(front, hosts.client, asked) == (seen, True)


def test_no_name_at_all(hosts: Hosts) -> None:
    """A client without SNI sees the first."""
    front = TlsFront(*hosts.pair("first", "mail.mic.gov.vn"), more=[hosts.pair("second", "mail.bo.example")])
    assert front._certificate_for(None) is front._certificate_for("") is front._certificate_for("mail.mic.gov.vn")


def test_one_of_several_that_cannot_be_used(hosts: Hosts) -> None:
    """Nothing changes: neither the others nor the one before."""
    first, second = hosts.pair("first", "mail.mic.gov.vn"), hosts.pair("second", "mail.bo.example")
    front = TlsFront(*first, more=[second])
    third = hosts.pair("third", "third.example")
    third[1].write_text("no key")
    with pytest.raises(BadCertificate):
        front.reload(*first, more=[third])
    assert shown(front, hosts.client, "mail.bo.example") == ("mail.bo.example", True)
    assert [served.names for served in front.served] == [("mail.mic.gov.vn",), ("mail.bo.example",)]


def test_the_first_end_counts(hosts: Hosts) -> None:
    """Of several certificates the one that ends first."""
    old = hosts.folder / "old.pem", hosts.folder / "old.key"
    write_pair(*old, self_signed(["old.example"], NOW - timedelta(days=800)))
    front = TlsFront(*hosts.pair("first", "mail.mic.gov.vn"), more=[old])
    assert front.ends_within(NOW, 30)
    assert not front.ends_within(NOW, 20)


# ------------------------------------------------------------ sessions that are resumed


def again(
    front: TlsFront, client: ssl.SSLContext, name: str, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool, bool]:
    """What a client may come back with; whether it was resumed; whether both sides bind SCRAM to one certificate."""
    ours, theirs = socket.socketpair()
    found: list[bytes | None] = []

    def serve() -> None:
        with ours, front.context.wrap_socket(ours, server_side=True) as served:
            found.append(front.bindings(served).get("tls-server-end-point"))
            served.send(b"y")
            served.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    with theirs, client.wrap_socket(theirs, server_hostname=name, session=session) as wire:
        wire.recv(1)
        octets = wire.getpeercert(binary_form=True)
        assert octets is not None
        session, reused = wire.session, bool(wire.session_reused)
        wire.send(b"x")
    thread.join()
    return session, reused, found[0] in {hashlib.sha256(octets).digest(), None}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_who_comes_back_after_a_reload_binds_to_what_it_saw(hosts: Hosts, version: ssl.TLSVersion) -> None:
    """A session is resumed; not after a new certificate, of which the client has seen nothing: SCRAM-PLUS would fail."""
    front = TlsFront(*hosts.pair("one", "localhost"))
    hosts.client.minimum_version = hosts.client.maximum_version = version
    session, _, _ = again(front, hosts.client, "localhost", None)
    session, reused, agree = again(front, hosts.client, "localhost", session)
    assert (reused, agree) == (True, True)
    front.reload(*hosts.pair("two", "localhost"))
    _, reused, agree = again(front, hosts.client, "localhost", session)
    assert (reused, agree) == (False, True)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_another_name(hosts: Hosts, version: ssl.TLSVersion) -> None:
    """Whoever comes back under another name has seen the certificate of the first: nothing is bound to a wrong one."""
    front = TlsFront(*hosts.pair("first", "mail.mic.gov.vn"), more=[hosts.pair("second", "mail.bo.example")])
    hosts.client.minimum_version = hosts.client.maximum_version = version
    session, _, agree = again(front, hosts.client, "mail.mic.gov.vn", None)
    assert agree
    assert again(front, hosts.client, "mail.bo.example", session)[2]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_that_another_worker_made(hosts: Hosts, version: ssl.TLSVersion) -> None:
    """Tickets are each process's own: elsewhere the handshake is a whole one, and nothing fails."""
    pair = hosts.pair("one", "localhost")
    hosts.client.minimum_version = hosts.client.maximum_version = version
    session, _, _ = again(TlsFront(*pair), hosts.client, "localhost", None)
    assert again(TlsFront(*pair), hosts.client, "localhost", session)[1:] == (False, True)


# ------------------------------------------------------------ suites


@pytest.mark.parametrize(
    ("suite", "modern", "compatible"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True, True),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", True, True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", True, True),
        ("ECDHE-ECDSA-AES128-SHA256", False, True),
        ("ECDHE-ECDSA-AES256-SHA384", False, True),
        ("ECDHE-ECDSA-AES128-SHA", False, False),
        ("ECDHE-ECDSA-AES128-CCM", False, False),
    ],
)
def test_suites(hosts: Hosts, suite: str, modern: bool, compatible: bool) -> None:
    """Of TLS 1.2: forward secrecy always, CBC where other servers would else send in clear."""
    pair = hosts.pair("one", "localhost")
    client = ssl.create_default_context(cafile=str(pair[0]))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"{suite}:@SECLEVEL=0")
    for suites, is_spoken in ((MODERN, modern), (COMPATIBLE, compatible)):
        try:
            _shake_in_memory(TlsFront(*pair, suites=suites), client)
            spoken = True
        except ssl.SSLError:
            spoken = False
        assert spoken == is_spoken, suites


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True), (0o604, True)])
def test_a_key_that_others_can_read(pair: tuple[Path, Path], mode: int, is_open: bool) -> None:
    """The server's account and group may read it."""
    pair[1].chmod(mode)
    assert key_is_open(pair[1]) == is_open
