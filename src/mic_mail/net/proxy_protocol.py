"""The PROXY protocol, versions 1 and 2: the header by which a load balancer names the client of a connection.

Sections named below are those of HAProxy's specification (doc/proxy-protocol.txt, 2026-04-27). In: the first octets of a
connection from a balancer that the configuration names; a header is never looked for in another, nor guessed in one (§2). Out:
the client's address. `read_header` is pure, and asks for no octet that may lie behind the header: TLS may begin there.

TLVs are skipped (§2.2): what a balancer says of its own TLS proves nothing to this server.
"""

import asyncio
import re
import socket
import struct
from collections.abc import Generator
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from mic_mail.net.cidr import parse_address

HEADER_SECONDS: Final = 5.0
"""Seconds in which the header has to arrive; §2 asks for at least 3."""
MOST_OCTETS: Final = 4096
"""The longest header of version 2. Addresses take 52 octets; the rest are TLVs, a client's certificate at most."""
MOST_LINE_OCTETS: Final = 107
"""The longest header of version 1 (§2.1)."""

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_WORD: Final = b"PROXY "
_SHORTEST: Final = len(b"PROXY UNKNOWN\r\n")
_SHORTEST_LINE: Final = {b"TCP4": len(b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), b"TCP6": len(b"PROXY TCP6 :: :: 0 0\r\n")}
_NUMBER: Final = rb"(0|[1-9][0-9]{0,4})"
_LINE: Final = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) " + _NUMBER + b" " + _NUMBER + b"\r\n")
_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN( [^\r\n]*)?\r\n")
_FIXED: Final = struct.Struct(">12sBBH")
_VERSION: Final = 2
_LOCAL, _PROXY = 0, 1
_STREAM: Final = 1
_ADDRESSES: Final = {1: struct.Struct(">4s4sHH"), 2: struct.Struct(">16s16sHH")}
"""The address block of AF_INET and AF_INET6 (§2.2)."""
_MOST_FAMILY, _MOST_TRANSPORT = 3, 2
_LARGEST_PORT: Final = 0xFFFF


class ClientAddress(NamedTuple):
    """A client, as the kernel would name it."""

    address: str
    port: int


class BadHeader(Exception):
    """A connection from a balancer does not begin with a header; `reason` is a code of the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Reading = Generator[int, bytes, ClientAddress | None]
"""Yields how many octets belong to the header at least; is sent one to so many of them."""


def read_header() -> Reading:
    """Read a header; raise `BadHeader` as soon as it can be none.

    Returns None where the addresses of the connection itself are to be used: for the balancer's own connections (health
    checks), and for clients whose address it cannot express (§2.1 UNKNOWN, §2.2 LOCAL and UNSPEC).
    """
    octets = b""
    while len(octets) < _SHORTEST:
        octets += yield _SHORTEST - len(octets)
        if not octets.startswith((_WORD[: len(octets)], SIGNATURE[: len(octets)])):
            raise BadHeader("no-proxy-header")
    return (yield from (_read_line(octets) if octets.startswith(_WORD) else _read_block(octets)))


def _read_line(octets: bytes) -> Reading:
    """Version 1 (§2.1): a line of at most 107 octets, which CRLF alone ends."""
    while b"\n" not in octets:
        wanted = 1 if octets.endswith(b"\r") else max(2, _SHORTEST_LINE.get(octets[6:10], 0) - len(octets))
        wanted = min(wanted, MOST_LINE_OCTETS - len(octets))
        if wanted == 0:
            raise BadHeader("proxy-header-too-long")
        octets += yield wanted
    if _UNKNOWN.fullmatch(octets):
        return None
    found = _LINE.fullmatch(octets)
    if found is None:
        raise BadHeader("proxy-header-malformed")
    family, *addresses, source_port, destination_port = found.groups()
    parse = IPv4Address if family == b"4" else IPv6Address
    try:
        source, _ = (parse(address.decode("ascii")) for address in addresses)
    except ValueError:
        raise BadHeader("proxy-header-malformed") from None
    if max(int(source_port), int(destination_port)) > _LARGEST_PORT:
        raise BadHeader("proxy-header-malformed")
    return _client(source, int(source_port))


def _read_block(octets: bytes) -> Reading:
    """Version 2 (§2.2): 16 octets, the last two of which say how many follow."""
    while len(octets) < _FIXED.size:
        octets += yield _FIXED.size - len(octets)
    _, version_command, family_transport, length = _FIXED.unpack(octets)
    version, command = divmod(version_command, 16)
    family, transport = divmod(family_transport, 16)
    if version != _VERSION or command not in (_LOCAL, _PROXY):
        raise BadHeader("proxy-header-malformed")
    if _FIXED.size + length > MOST_OCTETS:
        raise BadHeader("proxy-header-too-long")
    rest = b""
    while len(rest) < length:
        rest += yield length - len(rest)
    if command == _LOCAL:  # the family is ignored
        return None
    if family > _MOST_FAMILY or transport > _MOST_TRANSPORT:
        raise BadHeader("proxy-header-malformed")
    block = _ADDRESSES.get(family)
    if block is None or transport != _STREAM:
        return None
    if length < block.size:
        raise BadHeader("proxy-header-malformed")
    source, _, port, _ = block.unpack_from(rest)
    return _client(IPv4Address(source) if family == 1 else IPv6Address(source), port)


def _client(address: IPv4Address | IPv6Address, port: int) -> ClientAddress:
    """Return a client by the name that the rest of the server has for it: an IPv4-mapped address is IPv4's."""
    return ClientAddress(str(parse_address(str(address))), port)


async def receive_header(connection: socket.socket) -> ClientAddress | None:
    """Read the header from a connection, and not one octet more.

    Raises `BadHeader`, also for one that is not complete in HEADER_SECONDS, and `ConnectionError` where the connection ended
    before it, as that of a health check that only connects does. The socket does not block.
    """
    loop = asyncio.get_running_loop()
    reading = read_header()
    wanted = next(reading)
    has_begun = False
    try:
        async with asyncio.timeout(HEADER_SECONDS):
            while octets := await loop.sock_recv(connection, wanted):
                has_begun = True
                try:
                    wanted = reading.send(octets)
                except StopIteration as complete:
                    client: ClientAddress | None = complete.value
                    return client
    except TimeoutError:
        raise BadHeader("proxy-header-late") from None
    if has_begun:
        raise BadHeader("proxy-header-incomplete")
    raise ConnectionResetError
