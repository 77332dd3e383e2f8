"""A configuration profile for the Mail and Contacts of iPhone, iPad and Mac.

In: the servers, an address and its name, the certificate that is served with its key. Out: the profile, signed as CMS
SignedData (RFC 5652) so that the device shows its origin. It holds no password: the device asks for it. Its identifiers
are made of the address alone, so a second installation replaces the first.
"""

import plistlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from mic_mail.web.autosetup.servers import AdvertisedServer, Servers

MEDIA_TYPE = "application/x-apple-aspen-config"
NAME = "mic-mail.mobileconfig"


def profile(servers: Servers, address: str, name: str, domain: str) -> bytes:
    """Return the unsigned profile."""
    reversed_domain = ".".join(reversed(domain.split(".")))
    payload = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{reversed_domain}.mail",
        "PayloadUUID": _uuid(address, "profile"),
        "PayloadDisplayName": address,
        "PayloadOrganization": servers.ministry,
        "PayloadContent": list(_payloads(servers, address, name, reversed_domain)),
    }
    return plistlib.dumps(payload)


def _payloads(servers: Servers, address: str, name: str, reversed_domain: str) -> Iterator[dict[str, Any]]:
    incoming, outgoing = servers.best("imap") or servers.best("pop3"), servers.best("smtp")
    if incoming is not None and outgoing is not None:
        yield {
            "PayloadType": "com.apple.mail.managed",
            "PayloadVersion": 1,
            "PayloadIdentifier": f"{reversed_domain}.mail.account",
            "PayloadUUID": _uuid(address, "mail"),
            "PayloadDisplayName": address,
            "EmailAccountType": "EmailTypeIMAP" if incoming.kind == "imap" else "EmailTypePOP",
            "EmailAccountName": name,
            "EmailAccountDescription": address,
            "EmailAddress": address,
            **_server("Incoming", incoming, address),
            **_server("Outgoing", outgoing, address),
            "OutgoingPasswordSameAsIncomingPassword": True,
        }
    if servers.address_book is not None:
        book = urlsplit(servers.address_book)
        yield {
            "PayloadType": "com.apple.carddav.account",
            "PayloadVersion": 1,
            "PayloadIdentifier": f"{reversed_domain}.contacts",
            "PayloadUUID": _uuid(address, "contacts"),
            "PayloadDisplayName": servers.ministry,
            "CardDAVAccountDescription": servers.ministry,
            "CardDAVHostName": book.hostname,
            "CardDAVPort": book.port or 443,
            "CardDAVUseSSL": True,
            "CardDAVUsername": address,
        }


def _server(way: str, server: AdvertisedServer, address: str) -> dict[str, Any]:
    """Return one server's settings.

    `UseSSL` is for both kinds of TLS; the device tells them apart by the port.
    """
    return {
        f"{way}MailServerHostName": server.host,
        f"{way}MailServerPortNumber": server.port,
        f"{way}MailServerUseSSL": True,
        f"{way}MailServerUsername": address,
        f"{way}MailServerAuthentication": "EmailAuthPassword",
    }


def _uuid(address: str, what: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"mailto:{address}#{what}")).upper()


def signed(octets: bytes, certificate: Path, key: Path) -> bytes:
    """Return the profile within its signature. Raises OSError and ValueError. Blocking."""
    chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError("CMS here signs by RSA and EC keys alone")
    builder = pkcs7.PKCS7SignatureBuilder().set_data(octets).add_signer(chain[0], private, hashes.SHA256())
    for issuer in chain[1:]:
        builder = builder.add_certificate(issuer)
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
