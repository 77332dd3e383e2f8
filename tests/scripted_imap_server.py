"""An IMAP server that answers each line as a test tells it to."""

import socket
import threading
from collections.abc import Callable, Iterator

Answer = Callable[[str, str], bytes | Iterator[bytes] | None]
"""Tag and command to octets, or to pieces of them; None ends the connection."""


class ScriptedServer:
    """A server on loopback that answers each line as it is told to."""

    def __init__(self, answer: Answer, greeting: bytes = b"* OK hello\r\n") -> None:
        self._answer = answer
        self._greeting = greeting
        self.connections = 0
        self.lines: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with peer, peer.makefile("rb") as lines:
            try:
                peer.sendall(self._greeting)
                for line in lines:
                    text = line.decode(errors="replace").rstrip("\r\n")
                    self.lines.append(text)
                    tag, _, command = text.partition(" ")
                    told = self._answer(tag, command)
                    if told is None:
                        return
                    for piece in (told,) if isinstance(told, bytes) else told:
                        peer.sendall(piece)
            except OSError:
                return

    def stop(self) -> None:
        self._listener.close()


def answer_honestly(tag: str, command: str) -> bytes:
    """A mailbox with INBOX and three messages."""
    word = command.upper()
    done = f"{tag} OK done\r\n".encode()
    if word == "CAPABILITY":
        return b"* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN\r\n" + done
    if word.startswith("LIST"):
        return b'* LIST () "/" INBOX\r\n' + done
    if word.startswith("EXAMINE"):
        return b"* 3 EXISTS\r\n* OK [UIDVALIDITY 5] x\r\n" + done
    if word.startswith("UID SEARCH"):
        return b"* SEARCH 3 1 2\r\n" + done
    if word.startswith("UID FETCH") and "BODY" in word:
        return b"".join(b"* %d FETCH (UID %d BODY[] {12}\r\nSubject: %d\r\n)\r\n" % (n, n, n) for n in (1, 2, 3)) + done
    if word.startswith("UID FETCH"):
        return b"".join(b"* %d FETCH (UID %d FLAGS (\\Seen) RFC822.SIZE 12)\r\n" % (n, n) for n in (1, 2, 3)) + done
    return done
