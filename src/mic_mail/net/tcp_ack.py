"""TCP acknowledgements: send them immediately, count those received, reset unacknowledged connections.

A client that writes a message and then its last line in two pieces (Python's imaplib, many others) has its second piece held
back by its kernel until the first one is acknowledged (Nagle, RFC 9293 §3.7.4), and this host's kernel would wait 40 ms for a
reply that could carry the acknowledgement (RFC 9293 §3.8.6.3). So a service that keeps waiting without having replied calls
`acknowledge`.

The server's own buffers do not show whether a client reads: the kernel's hold up to 4 MB (`net.ipv4.tcp_wmem`), and it asks
for more only when a third of that is free, which takes a client at 10 KB/s minutes. The octets acknowledged by the peer
(`acknowledged`) grow with every window that it opens.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios

_LAST_OCTETS = 4096
"""Unacknowledged octets up to which the kernel holds them all.

This process keeps what does not fit into its larger buffer.
"""
_BYTES_ACKED = struct.Struct("=120xQ")
"""`tcpi_bytes_acked` in `struct tcp_info` of linux/tcp.h, since Linux 4.1 (RFC 4898)."""


def acknowledge(transport: asyncio.BaseTransport) -> None:
    """Send the pending acknowledgement, if any; in effect until the next write. Costs one system call."""
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def acknowledged(transport: asyncio.BaseTransport) -> int:
    """Return the octets sent that the peer has acknowledged, including TLS; 0 if unknown."""
    with contextlib.suppress(OSError, AttributeError, struct.error):  # the connection is gone
        info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
        return int(_BYTES_ACKED.unpack(info)[0])
    return 0


def outstanding(transport: asyncio.Transport) -> int:
    """Return the octets sent that the peer has not acknowledged.

    They are in this process's buffers and the kernel's (SIOCOUTQ, tcp(7)).
    """
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        queued = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)
    return 0


def is_sent(transport: asyncio.Transport) -> bool:
    """Return whether the kernel has all octets that were written, and few are unacknowledged; true if unknown."""
    return outstanding(transport) <= _LAST_OCTETS


def reset(transport: asyncio.Transport) -> None:
    """Reset the connection, discarding unacknowledged octets, in the kernel's buffers too (SO_LINGER 0)."""
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
