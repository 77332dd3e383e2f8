"""IMAP on a plain socket, and the memory of the server."""

import resource

from harness import MailServer
from population import PASSWORD
from protocol.dialog import Connection


def sign_in(server: MailServer, address: str) -> Connection:
    """A connection after LOGIN."""
    connection = Connection(server, "imaps")
    connection.response()
    connection.send(f'in LOGIN {address} "{PASSWORD}"\r\n'.encode())
    assert answer(connection, b"in").startswith(b"in OK")
    return connection


def answer(connection: Connection, tag: bytes) -> bytes:
    """The tagged answer; what comes before it is passed over."""
    while (heard := connection.response()) is not None:
        if heard.startswith(tag + b" "):
            return heard
    raise AssertionError("the server closed")


def peak_mib() -> float:
    """The largest amount of memory that this process, which holds the server, has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
