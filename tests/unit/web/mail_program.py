"""A mail program beside the browser."""

import imaplib

from harness import MailServer


def imap(server: MailServer, local: str, password: str) -> imaplib.IMAP4_SSL:
    """A mail program that signs in."""
    client = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
    client.authenticate("PLAIN", lambda _: f"\0{local}@mic.gov.vn\0{password}".encode())
    return client
