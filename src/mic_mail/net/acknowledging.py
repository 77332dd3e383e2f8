"""Telling a client at once that its octets have arrived, where nothing is answered yet.

A client that writes a message and then its last line in two pieces (Python's imaplib, many others) has its second piece held
back by its kernel until the first one is acknowledged (Nagle, RFC 9293 §3.7.4), and ours would wait 40 ms for an answer that
could carry the acknowledgement (RFC 9293 §3.8.6.3). So a door that goes on waiting without having answered calls this.
"""

import asyncio
import contextlib
import socket


def acknowledge(transport: asyncio.BaseTransport) -> None:
    """Send the acknowledgement that is owed, if any; holds until the next answer is written. Costs one system call."""
    with contextlib.suppress(OSError, AttributeError):  # the connection is gone
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
