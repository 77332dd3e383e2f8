"""Thunderbird's autoconfig, which K-9, Evolution, KMail and others read too. Pure.

In: the servers, a domain. Out: `config-v1.1.xml` (wiki.mozilla.org/Thunderbird:Autoconfiguration:ConfigFileFormat, and
draft-ietf-mailmaint-autoconfig). The program puts the address in the place of `%EMAILADDRESS%`. The answer is the same
for everybody of a domain and for requests without an address, so it does not disclose who has a mailbox.
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from mic_mail.web.autosetup.servers import AdvertisedServer, Security, Servers

MEDIA_TYPE = "text/xml"
_SOCKETS = {Security.TLS: "SSL", Security.STARTTLS: "STARTTLS"}


def document(servers: Servers, domain: str) -> str:
    """Return the whole file."""
    return "\n".join(_lines(servers, domain)) + "\n"


def _lines(servers: Servers, domain: str) -> Iterator[str]:
    name = escape(servers.ministry)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield '<clientConfig version="1.1">'
    yield f"  <emailProvider id={quoteattr(domain)}>"
    yield f"    <domain>{escape(domain)}</domain>"
    yield f"    <displayName>{name}</displayName>"
    yield f"    <displayShortName>{escape(domain)}</displayShortName>"
    for server in servers.incoming:
        yield from _server("incomingServer", server)
    for server in servers.outgoing:
        yield from _server("outgoingServer", server)
    if servers.page is not None:
        yield f"    <documentation url={quoteattr(servers.page)}>"
        yield '      <descr lang="vi">Đổi mật khẩu, tình trạng hộp thư</descr>'
        yield '      <descr lang="en">Change the password, state of the mailbox</descr>'
        yield "    </documentation>"
    yield "  </emailProvider>"
    if servers.address_book is not None:
        yield '  <addressBook type="carddav">'
        yield "    <username>%EMAILADDRESS%</username>"
        yield "    <authentication>http-basic</authentication>"
        yield f"    <serverURL>{escape(servers.address_book)}</serverURL>"
        yield "  </addressBook>"
    yield "</clientConfig>"


def _server(element: str, server: AdvertisedServer) -> Iterator[str]:
    """Write one server with `password-cleartext`, which means a plain password within TLS.

    The format's "encrypted" is CRAM-MD5, which needs passwords stored in the clear.
    """
    yield f'    <{element} type="{server.kind}">'
    yield f"      <hostname>{escape(server.host)}</hostname>"
    yield f"      <port>{server.port}</port>"
    yield f"      <socketType>{_SOCKETS[server.security]}</socketType>"
    yield "      <authentication>password-cleartext</authentication>"
    yield "      <username>%EMAILADDRESS%</username>"
    yield f"    </{element}>"
