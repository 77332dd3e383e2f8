"""A smarthost that asks for a sign-in, and a queue that sends by it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from certificate_authority import Authority
from mic_mail.auth import sasl
from mic_mail.smtpclient.smarthost import Smarthost
from unit.services.queue.office import Office, offices
from unit.smtpclient.scram_keys import keys
from unit.smtpclient.server import Server

NAME, PASSWORD = "relay.example", "mật khẩu của trạm"
ZONE = {("relay.example", "A"): ["127.0.0.5"], ("one.example", "MX"): ["10 mx.one.example."]}


@dataclass
class Relay(Server):
    """A server that lets in who signs in."""

    mechanisms: str = "SCRAM-SHA-256 PLAIN LOGIN"
    password: str = PASSWORD
    implicit: bool = False
    signed_in: list[str] = field(default_factory=list)
    secured: bool = False
    refusal: bytes = b"535 5.7.8 no\r\n"
    more: bytes = b""
    """Offered under TLS as well."""
    longest_auth: int = 0

    def answer(self, line: bytes) -> bytes:
        given = super().answer(line)
        if line.startswith(b"EHLO") and given is self.ehlo:
            auth = f"250-AUTH {self.mechanisms}\r\n".encode() if self.secured and self.mechanisms else b""
            tls = b"" if self.secured or self.context is None else b"250-STARTTLS\r\n"
            more = self.more if self.secured else b""
            return b"250-relay.example\r\n" + tls + auth + more + b"250 PIPELINING\r\n"
        return given

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.secured = self.implicit
        own, inside = self, reader

        class Reading:
            """Its lines, of which STARTTLS and AUTH are dealt with here."""

            async def readline(self) -> bytes:
                line = await inside.readline()
                if line.startswith(b"STARTTLS") and own.answer(line).startswith(b"220"):
                    own.secured = True
                if not line.startswith(b"AUTH") or own.answer(line) != b"250 2.0.0 OK\r\n":
                    return line
                own.lines.append(b"AUTH " + line.split()[1])
                own.longest_auth = max(own.longest_auth, len(line))
                writer.write(await own.exchange(line, inside, writer))
                return await self.readline()

            def __getattr__(self, name: str) -> Any:
                return getattr(inside, name)

        await super().serve(Reading(), writer)  # type: ignore[arg-type]

    async def exchange(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        words = line.split()
        assert self.secured, "never in the open"
        assert words[1].decode() in self.mechanisms
        server = sasl.begin(words[1].decode(), nonce=lambda: "server")
        assert server is not None
        step = server.step(base64.b64decode(words[2]) if len(words) > 2 else None)
        while True:
            match step:
                case sasl.Challenge():
                    writer.write(b"334 " + base64.b64encode(step.data) + b"\r\n")
                    step = server.step(base64.b64decode(await reader.readline()))
                case sasl.NeedKeys():
                    step = server.keys(keys(self.password))
                case sasl.CheckPassword() if step.password != self.password:
                    return self.refusal
                case sasl.Failed():
                    return self.refusal
                case _:
                    self.signed_in.append(step.user)
                    return b"235 2.7.0 in\r\n"


@asynccontextmanager
async def relaying(folder: Path, relay: Server | None, authority: Authority, **how: Any) -> AsyncIterator[Office]:
    """An office whose smarthost is `relay`, with a login unless `how` says otherwise."""
    listening, port = None, 9
    if relay is not None:
        context = relay.context if getattr(relay, "implicit", False) else None
        listening = await asyncio.start_server(relay.serve, "127.0.0.5", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    smarthost = replace(Smarthost(NAME, port, "ours", secret, authority.file), **how)
    async with offices(folder, {}, ZONE) as office:
        office.smarthost = smarthost
        yield office
    if listening is not None:
        listening.close()


def events(office: Office, name: str) -> list[dict[str, Any]]:
    office.log.close()
    lines = [line for path in sorted((office.folder / "log").rglob("*.jsonl")) for line in path.read_text().splitlines()]
    return [found for line in lines if (found := json.loads(line))["event"] == name]
