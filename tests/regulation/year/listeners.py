"""The doors of the simulated ministry's server, tried by real connections."""

import base64
import smtplib
import socket
from datetime import date
from typing import TYPE_CHECKING

from harness import MailServer

if TYPE_CHECKING:
    from regulation.year.ministry import Person


class Doors:
    """Connections of one day."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._world: smtplib.SMTP | None = None

    def __enter__(self) -> "Doors":
        return self

    def __exit__(self, *_: object) -> None:
        if self._world is not None:
            self._world.close()

    def reads(self, person: "Person") -> bool:
        """Whether the person gets in and opens INBOX; then the mailbox is used (7.2.a)."""
        return self._signs_in(person, opens=True)

    def must_be(self, person: "Person", day: date) -> None:
        """Each door says what the clauses say."""
        naive = person.naive
        met = (self._receives(person), self._signs_in(person, opens=False), self._sends(person))
        assert met == (naive.receives(), naive.signs_in(), naive.sends(day)), (day, naive)
        if naive.signs_in():
            naive.used(day)

    def _receives(self, person: "Person") -> bool:
        """What the world hears at RCPT."""
        if self._world is None:
            self._world = smtplib.SMTP("127.0.0.1", self._server.ports["smtp"], "client.example", timeout=30)
            self._world.ehlo()
        self._world.mail("a@a.example")
        code, _ = self._world.rcpt(person.naive.address)
        self._world.rset()
        return code == 250

    def _signs_in(self, person: "Person", *, opens: bool) -> bool:
        """By IMAP, everything sent at once."""
        commands = [f"a AUTHENTICATE PLAIN {_plain(person)}", *(["b SELECT INBOX"] if opens else []), "c LOGOUT", ""]
        with socket.create_connection(("127.0.0.1", self._server.ports["imap"]), timeout=30) as client:
            client.sendall("\r\n".join(commands).encode())
            answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
        assert b"\r\nc " in answer, answer
        return b"\r\na OK " in answer and (not opens or b"\r\nb OK " in answer)

    def _sends(self, person: "Person") -> bool:
        """Whether the mailbox may begin a message; none is sent."""
        with smtplib.SMTP("127.0.0.1", self._server.ports["submission"], "client.example", timeout=30) as client:
            client.ehlo()
            if client.docmd("AUTH PLAIN", _plain(person))[0] != 235:
                return False
            return client.mail(person.naive.address)[0] == 250


def _plain(person: "Person") -> str:
    return base64.b64encode(f"\0{person.naive.address}\0{person.password}".encode()).decode()
