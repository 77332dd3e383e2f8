"""One connection to an IMAP server as a source: aioimaplib's protocol, with our own reader.

TLS, tags, states and the order of commands are aioimaplib's. Its reader is not used (decision 0070): it recurses once
for each line, scans all lines of a FETCH again at each new one, and has no bound. This one scans each octet once, and
bounds lines and literals. A canary test names the parts of aioimaplib that are used.
"""

import asyncio
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass, field

from aioimaplib import aioimaplib

from mic_mail.errors import Text
from mic_mail.services.importers.source import SourceFailed

MAX_LINE = 16 << 20
"""The answer to UID SEARCH ALL is one line: two million messages."""
MAX_LITERAL = 32 << 20
MAX_ANSWER = 40 << 20
"""The limit of one command's answer, unless its caller sets a smaller one."""
_EACH_OCTETS = 100
"""The memory of one line or literal beside its octets: a server may send millions of empty ones."""
_SILENCES = 10
"""The maximum time of one answer, as a multiple of the allowed silence.

It ends the wait for a server that sends an octet now and then.
"""
_LITERAL = re.compile(rb"\{(\d{1,19})\+?\}\Z")


class Lost(SourceFailed):
    """The connection ended, or the server is silent: a new one may go on."""


class NotNow(Lost):
    """The server refuses a sign-in for now (RFC 5530)."""


class Overlong(SourceFailed):
    """The server sends more than any answer needs."""

    def __init__(self) -> None:
        super().__init__(Text("Máy chủ nguồn gửi quá nhiều dữ liệu trong một trả lời.", "The source server sends too much."))


@dataclass(frozen=True, slots=True)
class ImapResponse:
    """The answer to a command."""

    result: str
    """OK, NO or BAD."""
    text: str
    untagged: list[list[bytes]] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return self.result == "OK"


class ImapCommand(aioimaplib.Command):  # type: ignore[misc]  # aioimaplib has no types
    """A command whose untagged responses are collected whole."""

    def __init__(
        self, name: str, tag: str, *args: str, prefix: str = "", timeout: float, replies: list[bytes] | None = None
    ) -> None:
        super().__init__(name, tag, *args, prefix=prefix or None, timeout=timeout)
        self.untagged: list[list[bytes]] = []
        self.replies = list(replies or ())
        """The reply to each "+" continuation."""
        self._octets = 0
        self._until = self._loop.time() + _SILENCES * timeout
        self.most = MAX_ANSWER
        """The limit in octets of all untagged responses together."""

    def add(self, parts: list[bytes], octets: int) -> None:
        """Collect one untagged response; `octets`: the memory it takes."""
        self._octets += octets
        if self._octets > self.most:
            raise Overlong
        self.untagged.append(parts)

    def on_data(self) -> None:
        """Reset the silence timer after data from the server."""
        if self._loop.time() > self._until:
            raise _silent()
        self._reset_timer()

    def fail(self, error: Exception) -> None:
        self._exception = error
        self._timer.cancel()
        self._event.set()


class Wire(aioimaplib.IMAP4ClientProtocol):  # type: ignore[misc]  # aioimaplib has no types
    """The protocol of one connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        super().__init__(loop)
        self._seconds = seconds
        self._buffer = bytearray()
        self._searched = 0
        self._parts: list[bytes] = []
        self._octets = 0
        self._literal: bytearray | None = None
        self._literal_left = 0
        self._running: ImapCommand | None = None
        self._greeting: asyncio.Future[bytes] = loop.create_future()
        self.lost: Exception | None = None

    # ------------------------------------------------------------ responses

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            if self._running is not None:
                self._running.on_data()
            while self._step():
                pass
        except Exception as error:  # noqa: BLE001 - a foreign server's octets: any error ends the connection
            self._fail(error if isinstance(error, SourceFailed) else _nonsense(error))
            self.transport.abort()

    def _step(self) -> bool:
        """Process one line or one literal; False: more data is needed."""
        if self._literal is not None:
            taken = self._buffer[: self._literal_left]
            del self._buffer[: self._literal_left]
            self._literal += taken
            self._literal_left -= len(taken)
            if self._literal_left:
                return False
            self._keep(bytes(self._literal))
            self._literal = None
            return True
        at = self._buffer.find(b"\r\n", self._searched)
        if at < 0:
            self._searched = max(0, len(self._buffer) - 1)
            if len(self._buffer) > MAX_LINE:
                raise Overlong
            return False
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 2]
        self._searched = 0
        self._keep(line)
        if (match := _LITERAL.search(line)) is not None:
            self._literal_left = int(match[1])
            if self._literal_left > MAX_LITERAL:
                raise Overlong
            self._literal = bytearray()
            return True
        parts, octets, self._parts, self._octets = self._parts, self._octets, [], 0
        self._respond(parts, octets)
        return True

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self._octets += len(part) + _EACH_OCTETS
        if self._octets > (MAX_ANSWER if self._running is None else self._running.most):
            raise Overlong

    def _respond(self, parts: list[bytes], octets: int) -> None:
        line = parts[0]
        if not self._greeting.done():
            self._greeting.set_result(line)
        elif line.startswith(b"* "):
            if line[2:5].upper() == b"BYE" and self.state != aioimaplib.LOGOUT:
                self.lost = Lost(Text("Máy chủ nguồn ngắt kết nối.", "The source server closed the session (BYE)."))
            if self._running is not None:
                self._running.add(parts, octets)
        elif line.startswith(b"+"):
            if self._running is not None and self._running.replies:
                self.transport.write(self._running.replies.pop(0))
        elif aioimaplib.tagged_status_response_re.match(line):
            self._response_done(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Lost(Text("Mất kết nối với máy chủ nguồn.", "The connection to the source server was lost.")))

    def _fail(self, error: Exception) -> None:
        self.lost = self.lost or error
        if not self._greeting.done():
            self._greeting.set_exception(self.lost)
            self._greeting.exception()  # perhaps nobody waits any more
        if self._running is not None:
            self._running.fail(self.lost)

    # ------------------------------------------------------------ commands

    async def greet(self) -> None:
        """Wait for the greeting, and read the server's capabilities."""
        line = await asyncio.wait_for(asyncio.shield(self._greeting), self._seconds)
        if line[:9].upper() == b"* PREAUTH":
            self.state = aioimaplib.AUTH
        elif line[:4].upper() == b"* OK":
            self.state = aioimaplib.NONAUTH
        else:
            raise Lost(Text("Máy chủ nguồn không nhận kết nối.", "The source server refuses the connection."))
        await self.learn()

    async def learn(self) -> None:
        """Ask for the capabilities; a sign-in may change them."""
        answer = await self.ask("CAPABILITY")
        self.capabilities = {
            word.decode("ascii", "replace").upper()
            for parts in answer.untagged
            if parts[0][2:12].upper() == b"CAPABILITY"
            for word in parts[0].split()[2:]
        }

    async def ask(
        self, name: str, *args: str, prefix: str = "", replies: list[bytes] | None = None, most: int | None = None
    ) -> ImapResponse:
        """Send a command and wait for its end; one at a time.

        `most`: the limit of the answer in octets. Raises `Lost`, `Overlong`.
        """
        if self.lost is not None:
            raise self.lost
        command = ImapCommand(name, self.new_tag(), *args, prefix=prefix, timeout=self._seconds, replies=replies)
        if most is not None:
            command.most = min(most, MAX_ANSWER)
        self._running = command
        try:
            response = await self.execute(command)
        except aioimaplib.CommandTimeout as silence:
            self.lost = _silent()
            raise self.lost from silence
        except aioimaplib.AioImapException as error:
            raise _nonsense(error) from error
        finally:
            self._running = None
        text = bytes(response.lines[-1]) if response.lines else b""
        return ImapResponse(response.result.upper(), text.decode("utf-8", "replace"), command.untagged)

    async def sign_in(self, user: str, secret: str, *, token: bool = False, admin: str | None = None) -> ImapResponse:
        """Sign in by password, as `admin` in the user's name, or by a token, unless PREAUTH was greeted."""
        if self.state == aioimaplib.AUTH:
            return ImapResponse("OK", "")
        if token:
            answer = await self._authenticate("XOAUTH2", f"user={user}\1auth=Bearer {secret}\1\1".encode())
        elif admin is not None:
            answer = await self._authenticate("PLAIN", f"{user}\0{admin}\0{secret}".encode())
        elif "AUTH=PLAIN" in self.capabilities:
            answer = await self._authenticate("PLAIN", f"\0{user}\0{secret}".encode())
        else:
            answer = await self.ask("LOGIN", aioimaplib.quoted(user), aioimaplib.quoted(secret))
        if answer.is_ok:
            self.state = aioimaplib.AUTH
            await self.learn()
        return answer

    async def _authenticate(self, mechanism: str, response: bytes) -> ImapResponse:
        encoded = b64encode(response)
        if "SASL-IR" in self.capabilities:
            return await self.ask("AUTHENTICATE", mechanism, encoded.decode(), replies=[b"\r\n"])
        return await self.ask("AUTHENTICATE", mechanism, replies=[encoded + b"\r\n", b"\r\n"])

    async def examine(self, name: str) -> ImapResponse:
        answer = await self.ask("EXAMINE", aioimaplib.quoted(name))
        if answer.is_ok:
            self.state = aioimaplib.SELECTED
        return answer


async def connect(host: str, port: int, context: ssl.SSLContext | None, seconds: float) -> Wire:
    """Return a connection after its greeting; OSError and `ssl.SSLError` where there is none."""
    loop = asyncio.get_running_loop()
    wire = Wire(loop, seconds)
    await asyncio.wait_for(loop.create_connection(lambda: wire, host, port, ssl=context), seconds)
    try:
        await wire.greet()
    except BaseException:
        wire.transport.abort()
        raise
    return wire


def _silent() -> Lost:
    return Lost(Text("Máy chủ nguồn không trả lời.", "The source server does not respond."))


def _nonsense(error: Exception) -> SourceFailed:
    return SourceFailed(
        Text("Máy chủ nguồn trả lời sai giao thức.", f"The source server does not speak IMAP: {type(error).__name__}.")
    )
