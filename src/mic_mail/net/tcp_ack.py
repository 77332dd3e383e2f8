"""What TCP acknowledges: telling a client at once that its octets have arrived, hearing how many of ours did, and dropping
those that did not.

A client that writes a message and then its last line in two pieces (Python's imaplib, many others) has its second piece held
back by its kernel until the first one is acknowledged (Nagle, RFC 9293 §3.7.4), and ours would wait 40 ms for an answer that
could carry the acknowledgement (RFC 9293 §3.8.6.3). So a door that goes on waiting without having answered calls `acknowledge`.

Whether a client reads is not seen at our buffers: the kernel's hold up to 4 MB (`net.ipv4.tcp_wmem`), and it asks for more
only when a third of that is free, which takes a client at 10 KB/s minutes. What the other end has acknowledged
(`acknowledged`) grows with every window that it opens.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios

_BYTES_ACKED = struct.Struct("=120xQ")
"""`tcpi_bytes_acked` in `struct tcp_info` of linux/tcp.h (RFC 4898 tcpEStatsAppHCThruOctetsAcked), since Linux 4.1."""


def acknowledge(transport: asyncio.BaseTransport) -> None:
    """Send the acknowledgement that is owed, if any; holds until the next answer is written. Costs one system call."""
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def acknowledged(transport: asyncio.BaseTransport) -> int:
    """How many octets of ours the other end has taken, of TLS too; 0 where nobody knows. Costs one system call."""
    with contextlib.suppress(OSError, AttributeError, struct.error):  # the connection is gone
        told = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
        return int(_BYTES_ACKED.unpack(told)[0])
    return 0


def outstanding(transport: asyncio.Transport) -> int:
    """Return how many octets of ours the other end has not acknowledged, in our buffers and the kernel's (SIOCOUTQ, tcp(7))."""
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        told = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return transport.get_write_buffer_size() + int.from_bytes(told, sys.byteorder)
    return 0


def reset(transport: asyncio.Transport) -> None:
    """End the connection at once and throw away what the other end has not taken, in the kernel's buffers too (SO_LINGER 0)."""
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
