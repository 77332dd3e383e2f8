"""Describe the peer of a transport and the protection of the connection."""

import asyncio
import ssl

from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.net.tls import TlsFront
from mic_mail.services.authentication.identity import Peer, TlsInfo


def describe(
    transport: asyncio.BaseTransport, client: ClientAddress | None, door: str, tls: TlsFront | None, session_id: str
) -> Peer:
    """Return the peer as it is now: TLS may begin later.

    `client` is who a load balancer has named; None: whoever is at the other end. `door` and `session_id` are the names that the
    log has for it.
    """
    address, port = (client or transport.get_extra_info("peername") or ("", 0))[:2]
    local_port = (transport.get_extra_info("sockname") or ("", 0))[1]
    return Peer(str(address), int(port), int(local_port), door, _protection(transport, tls), session_id)


def _protection(transport: asyncio.BaseTransport, tls: TlsFront | None) -> TlsInfo | None:
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    cipher = connection.cipher()
    bindings = tls.bindings(connection) if tls is not None else {}
    return TlsInfo(connection.version() or "", cipher[0] if cipher else "", bindings)
