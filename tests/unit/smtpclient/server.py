"""An SMTP server that answers as a test wants it."""

import asyncio
import ssl
from dataclasses import dataclass, field

ALL = b"250-mx.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 DSN\r\n"
HANG = b"hang"
"""For an answer: nothing is said for longer than anybody waits."""
PLAIN = b"250-mx.example\r\n250 8BITMIME\r\n"


@dataclass
class Server:
    """Answers by the verb; what it was sent, octet for octet."""

    ehlo: bytes = ALL
    greeting: bytes = b"220 mx.example ESMTP\r\n"
    answers: dict[bytes, bytes] = field(default_factory=dict)
    """By the beginning of a line; the first that fits, or a positive one. An empty one: the connection is closed."""
    context: ssl.SSLContext | None = None
    lines: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    hang_up_at: bytes = b""
    """Once, at this command."""
    closed_at: bytes = b""
    """At this command nothing is said until this is emptied."""
    connections: int = 0
    port: int = 0

    def answer(self, line: bytes) -> bytes:
        for begin, answer in self.answers.items():
            if line.startswith(begin):
                return answer
        if line.startswith(b"EHLO"):
            return self.ehlo
        return {b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n", b"STAR": b"220 go\r\n"}.get(line[:4], b"250 2.0.0 OK\r\n")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            writer.write(self.greeting)
            while line := await reader.readline():
                self.lines.append(line.rstrip(b"\r\n"))
                if line.startswith(b"BDAT"):
                    self.messages.append(await reader.readexactly(int(line.split()[1])))
                while self.closed_at and line.startswith(self.closed_at):
                    await asyncio.sleep(0.01)  # before the next look
                answer = self.answer(line)
                if self.hang_up_at and line.startswith(self.hang_up_at):
                    answer, self.hang_up_at = b"", b""
                if not answer:
                    break
                if answer == HANG:
                    await asyncio.sleep(5)
                writer.write(answer)
                if line.startswith(b"STARTTLS") and answer.startswith(b"220") and self.context is not None:
                    await writer.start_tls(self.context)
                if answer.startswith(b"354"):
                    self.messages.append(await message_of(reader))
                    final = self.answer(b"END-OF-DATA")
                    if not final:
                        break
                    writer.write(final)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


async def message_of(reader: asyncio.StreamReader) -> bytes:
    """To the line that is a dot alone; it may be the first."""
    lines = [await reader.readline()]
    while lines[-1] not in (b".\r\n", b""):
        lines.append(await reader.readline())
    return b"".join(lines)
