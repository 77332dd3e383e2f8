"""A mail program whose owner files messages, so that the content filter learns."""

import imaplib
from typing import Any

from harness import MailServer
from population import PASSWORD

OWNER = "dvbe@mic.gov.vn"


class Program:
    """A mail program with a message of its own for each test."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.imap = imaplib.IMAP4_SSL("localhost", server.ports["imaps"], ssl_context=server.tls(), timeout=20)
        signing_in = f"\0{OWNER}\0{PASSWORD}".encode()
        self.imap.authenticate("PLAIN", lambda _: signing_in)

    def put(self, folder: str, *subjects: str, flags: str = "") -> None:
        for subject in subjects:
            self.do("APPEND", folder, flags, f"Subject: {subject}\r\n\r\nx\r\n".encode())
        self.imap.select(folder)

    def do(self, command: str, *arguments: Any) -> None:
        if command == "APPEND":
            folder, flags, octets = arguments
            answer = self.imap.append(folder, flags, None, octets)
        else:
            answer = self.imap.uid(command, *arguments)
        assert answer[0] == "OK", answer
