"""Dialogues between clients and a running server, kept as text files beside this one; the folder is the protocol.

A `*.dialog` file is a script; the comments at its top say which sentence of which RFC must hold. Lines:

    # comment
    @ server {"auth": {"cleartext": true}}   settings; such a dialogue gets a server of its own
    @ people LABEL...                  more mailboxes than the one called `user`; ${LABEL} is the address, ${password} opens all
    @ units LABEL... / @ groups LABEL... their mailboxes; ${LABEL} is the address, ${LABEL_box} its name below Shared/
    @ allow LABEL WHO PART [RIGHTS]    from here on WHO may use that mailbox, as keeper, substitute or member
    @ deny LABEL WHO                   and from here on not any more
    @ seen LABEL one|each [WHO]...     from here on its \\Seen is one for all, or each person's own; WHO begins at once
    @ suspend LABEL                    the mailbox is suspended
    @ connect LABEL imap|imaps|smtp... a bare connection, whose greeting is to be expected
    @ tls LABEL                        the handshake, after the OK to STARTTLS
    @ append LABEL...                  these messages are put into the INBOX of ${user}, as they are
    @ deflate LABEL                    both directions compressed, after the OK to COMPRESS
    @ message LABEL                    lines up to `@ end`, with CRLF; <<LABEL>> is then its literal, `{n+}` to the server and
                                       `{n}` from it, <<~LABEL>> a literal8
    c> line                            the client sends this and CRLF; a connection not opened by `@ connect` is opened with TLS
                                       at the folder's door (imaps, pop3s) and signed in as ${user}
    c! octets                          the client sends exactly this; \\r \\n \\x00 \\\\ are escapes
    s> line                            the next response is exactly this (literals included, escapes as above)
    s~ expression                      the next response matches the whole expression; (?P<NAME>...) sets ${NAME}
    s+ expression                      as s~, passing over untagged responses before it
    s* expression                      a run of these lines: the next responses match them, in any order
    s-                                 the server closes the connection

Of an SMTP refusal in two languages the line in English, the last one, is the response; the other has the same codes.

`c` and `s` are the first connection; `c2`, `s2` the second, and so on. In s~ s+ s*, ${NAME} stands for its text, escaped.
"""

import contextlib
import json
import re
import socket
import ssl
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

TIMEOUT_SECONDS = 15
_IN_TWO_LANGUAGES = re.compile(rb"[45][0-9]{2}-[45]\.[0-9]+\.[0-9]+ [ -~]+\Z")
"""The first line of an SMTP refusal in ASCII: the Vietnamese one."""
_STEP = re.compile(r"([cs])(\d*)([>!~+*-])(?: (.*))?")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_MESSAGE = re.compile(r"<<(~?)(\w+)>>")
_ESCAPE = re.compile(r"\\(?:r|n|t|\\|x([0-9a-fA-F]{2}))")
_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n\Z")
_PLAIN_ESCAPES = {"\\r": "\r", "\\n": "\n", "\\t": "\t", "\\\\": "\\"}
DIRECTIVES = {"server", "people", "units", "groups", "allow", "deny", "seen", "suspend", "connect", "tls", "append", "deflate"}


@dataclass(frozen=True)
class Step:
    """One line of a dialogue."""

    line: int
    kind: str
    """`c>` `c!` `s>` `s~` `s+` `s*` `s-`, or the word behind `@`."""
    who: str
    """The connection: `1`, `2`...; unused for directives."""
    text: str


@dataclass
class Dialogue:
    """A parsed file."""

    path: Path
    about: str
    settings: Mapping[str, Any] | None = None
    people: list[str] = field(default_factory=lambda: ["user"])
    units: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    messages: dict[str, bytes] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def parse(path: Path) -> Dialogue:
    """Read a file; a line that makes no sense is an error with its place."""
    lines = path.read_text("utf-8").splitlines()
    about = " ".join(line.removeprefix("#").strip() for line in lines[: _first(lines)])
    dialogue = Dialogue(path, about)
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@ message "):
            end = lines.index("@ end", at)
            dialogue.messages[line.split()[2]] = "".join(f"{text}\r\n" for text in lines[at:end]).encode("utf-8")
            at = end + 1
            continue
        step = _step(path, at, line)
        if step.kind == "server":
            dialogue.settings = json.loads(step.text)
        elif step.kind in {"people", "units", "groups"}:
            getattr(dialogue, step.kind).extend(step.text.split())
        else:
            dialogue.steps.append(step)
    return dialogue


def _first(lines: list[str]) -> int:
    return next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))


def _step(path: Path, number: int, line: str) -> Step:
    if line.startswith("@ "):
        word, _, rest = line[2:].partition(" ")
        if word in DIRECTIVES:
            return Step(number, word, "", rest.strip())
    found = _STEP.fullmatch(line)
    if found is None or (found[1] + found[3]) not in {"c>", "c!", "s>", "s~", "s+", "s*", "s-"}:
        raise ValueError(f"{path.name}:{number}: not a line of a dialogue: {line}")
    return Step(number, found[1] + found[3], found[2] or "1", found[4] or "")


# ------------------------------------------------------------------ the running side


class Server(Protocol):
    """What a dialogue needs of a running server; `harness.MailServer` fits."""

    host: str
    ports: Mapping[str, int]

    def tls(self) -> ssl.SSLContext: ...
    def allow(self, mailbox: Any, person: Any, part: str, rights: str | None = None) -> None: ...
    def deny(self, mailbox: Any, person: Any) -> None: ...
    def keep_seen(self, mailbox: Any, *, each: bool, persons: Iterable[Any] = ()) -> None: ...
    def suspend(self, mailbox: Any) -> None: ...


class Connection:
    """A blocking client connection that reads whole responses, literals included."""

    def __init__(self, server: Server, door: str) -> None:
        self._server = server
        self._socket: socket.socket = socket.create_connection((server.host, server.ports[door]), TIMEOUT_SECONDS)
        self._held = b""
        self._deflate: Any = None
        self._inflate: Any = None
        if door.endswith("s"):
            self.start_tls()

    def start_tls(self) -> None:
        """The handshake, with the server's certificate checked."""
        self._socket = self._server.tls().wrap_socket(self._socket, server_hostname="localhost")

    def start_deflate(self) -> None:
        """RFC 4978 §3: raw deflate both ways."""
        self._deflate = zlib.compressobj(wbits=-15)
        self._inflate = zlib.decompressobj(wbits=-15)

    def deflated(self, octets: bytes, flush: int) -> bytes:
        """These octets as the next ones of the compressed stream, flushed in this way."""
        return bytes(self._deflate.compress(octets) + self._deflate.flush(flush))

    def stop_deflate(self) -> None:
        """Nothing is compressed any more."""
        self._deflate = self._inflate = None

    def send(self, octets: bytes) -> None:
        """Write, compressed if that is on."""
        if self._deflate is not None:
            octets = self._deflate.compress(octets) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self.send_raw(octets)

    def send_raw(self, octets: bytes) -> None:
        """Write exactly these octets."""
        self._socket.sendall(octets)

    def response(self) -> bytes | None:
        """The next response without its last CRLF; None where the server closed instead."""
        octets = self._line()
        while octets is not None and (literal := _LITERAL.search(octets)):
            octets += self._exactly(int(literal[1]))
            rest = self._line()
            octets = None if rest is None else octets + rest
        return None if octets is None else octets.removesuffix(b"\r\n")

    def leave(self, *, reset: bool) -> None:
        """Go without reading what is on its way: by a reset, or in TLS's own way, which the server answers."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self._socket.settimeout(0.1)
            with contextlib.suppress(OSError):
                cast("ssl.SSLSocket", self._socket).unwrap()
        self._socket.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _more(self) -> bool:
        octets = self._socket.recv(65536)
        if self._inflate is not None and octets:
            self._held += self._inflate.decompress(octets)
        else:
            self._held += octets
        return bool(octets)

    def _line(self) -> bytes | None:
        while b"\n" not in self._held:
            if not self._more():
                assert not self._held, f"the server closed within a line: {self._held!r}"
                return None
        line, _, self._held = self._held.partition(b"\n")
        return line + b"\n"

    def _exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            assert self._more(), "the server closed within a literal"
        octets, self._held = self._held[:size], self._held[size:]
        return octets


class Play:
    """One run of a dialogue; a difference raises AssertionError with the place and all that was said."""

    def __init__(
        self, dialogue: Dialogue, server: Server, variables: Mapping[str, str], mailboxes: Mapping[str, Any] | None = None
    ) -> None:
        self._dialogue = dialogue
        self._mailboxes = mailboxes or {}
        self._server = server
        self._variables = dict(variables)
        self._connections: dict[str, Connection] = {}
        self._said: list[str] = []

    def run(self) -> None:
        """Play all steps."""
        steps = self._dialogue.steps
        at = 0
        try:
            while at < len(steps):
                at += self._play(steps, at)
        except (AssertionError, OSError) as error:
            place = f"{self._dialogue.path.name}:{steps[at].line}: {error}"
            raise AssertionError("\n".join([place, *self._said[-60:]])) from error
        finally:
            for connection in self._connections.values():
                connection.close()

    def _play(self, steps: list[Step], at: int) -> int:
        """Play the step at `at`, and say how many were used."""
        step = steps[at]
        match step.kind:
            case "connect":
                label, door = step.text.split()
                self._connections[label] = Connection(self._server, door)
            case "allow":
                label, who, *how = step.text.split()
                self._server.allow(self._mailboxes[label], self._mailboxes[who], *how)
            case "deny":
                label, who = step.text.split()
                self._server.deny(self._mailboxes[label], self._mailboxes[who])
            case "seen":
                label, kept, *names = step.text.split()
                persons = [self._mailboxes[who] for who in names]
                self._server.keep_seen(self._mailboxes[label], each=kept == "each", persons=persons)
            case "suspend":
                self._server.suspend(self._mailboxes[step.text])
            case "tls":
                self._connections[step.text].start_tls()
            case "append":
                self._append(step.text.split())
            case "deflate":
                self._connections[step.text].start_deflate()
            case "c>":
                self._send(step.who, self._octets(step.text, "+") + b"\r\n")
            case "c!":
                self._send(step.who, self._octets(_unescaped(step.text), "+"))
            case "s>":
                self._exact(step)
            case "s~":
                self._match(step, self._hear(step.who))
            case "s+":
                self._await(step)
            case "s*":
                group = [step]
                while at + len(group) < len(steps) and (steps[at + len(group)].kind, steps[at + len(group)].who) == (
                    "s*",
                    step.who,
                ):
                    group.append(steps[at + len(group)])
                self._any_order(group)
                return len(group)
            case "s-":
                heard = self._hear(step.who)
                assert heard is None, f"the server did not close, but said {heard!r}"
        return 1

    # ------------------------------------------------------------------ sending and hearing

    def _at(self, who: str) -> Connection:
        label = "c" if who == "1" else f"c{who}"
        if label not in self._connections:
            sign_in = self._sign_in_by_pop3 if self._dialogue.path.parent.name == "pop3" else self._sign_in_by_imap
            self._connections[label] = sign_in()
        return self._connections[label]

    def _sign_in_by_imap(self) -> Connection:
        connection = Connection(self._server, "imaps")
        assert (connection.response() or b"").startswith(b"* OK")
        connection.send(self._octets('sign-in LOGIN "${user}" "${password}"\r\n', "+"))
        heard = connection.response() or b""
        while heard.startswith(b"* "):
            heard = connection.response() or b""
        assert heard.startswith(b"sign-in OK"), heard
        return connection

    def _sign_in_by_pop3(self) -> Connection:
        connection = Connection(self._server, "pop3s")
        connection.send(self._octets("USER ${user}\r\nPASS ${password}\r\n", ""))
        for _ in ("greeting", "USER", "PASS"):
            heard = connection.response() or b""
            assert heard.startswith(b"+OK"), heard
        return connection

    def _append(self, labels: list[str]) -> None:
        connection = self._sign_in_by_imap()
        for label in labels:
            connection.send(self._octets(f"a APPEND INBOX <<{label}>>\r\n", "+"))
            heard = connection.response() or b""
            assert heard.startswith(b"a OK"), heard
        connection.close()

    def _send(self, who: str, octets: bytes) -> None:
        self._said.append(f"  c{who} {octets!r}")
        self._at(who).send(octets)

    def _hear(self, who: str) -> bytes | None:
        heard = self._at(who).response()
        self._said.append(f"  s{who} {heard!r}")
        if heard is not None and _IN_TWO_LANGUAGES.match(heard):
            first, heard = heard, self._at(who).response()
            self._said.append(f"  s{who} {heard!r}")
            assert heard is not None, "closed within a reply"
            head = first[:3] + b" " + first[4:].split(b" ")[0]
            assert heard.startswith(head + b" "), "both languages have the same codes"
        return heard

    def _exact(self, step: Step) -> None:
        heard = self._hear(step.who)
        expected = self._octets(_unescaped(step.text), "")
        assert heard == expected, f"expected {expected!r}"

    def _await(self, step: Step) -> None:
        while True:
            heard = self._hear(step.who)
            assert heard is not None, f"closed before {step.text}"
            if self._fits(step, heard):
                return
            assert heard.startswith(b"* "), f"expected {step.text}"

    def _any_order(self, group: list[Step]) -> None:
        open_steps = list(group)
        while open_steps:
            heard = self._hear(group[0].who)
            fitting = next((step for step in open_steps if heard is not None and self._fits(step, heard)), None)
            assert fitting is not None, f"expected one of {[step.text for step in open_steps]}"
            open_steps.remove(fitting)

    def _match(self, step: Step, heard: bytes | None) -> None:
        assert heard is not None, f"closed before {step.text}"
        assert self._fits(step, heard), f"expected {step.text}"

    def _fits(self, step: Step, heard: bytes) -> bool:
        expression = _VARIABLE.sub(lambda name: re.escape(self._variables[name[1]]), step.text)
        expression = _MESSAGE.sub(
            lambda found: re.escape(self._message(found, "").decode("utf-8", "surrogateescape")), expression
        )
        found = re.fullmatch(expression, heard.decode("utf-8", "surrogateescape"), re.DOTALL)
        if found is not None:
            self._variables.update(found.groupdict())
        return found is not None

    def _octets(self, text: str, plus: str) -> bytes:
        """The text with its variables and messages, as octets; `\\xNN` escapes became U+00NN marked by a surrogate."""
        text = _VARIABLE.sub(lambda name: self._variables[name[1]], text)
        pieces = []
        at = 0
        for found in _MESSAGE.finditer(text):
            pieces += [text[at : found.start()].encode("utf-8", "surrogateescape"), self._message(found, plus)]
            at = found.end()
        return b"".join([*pieces, text[at:].encode("utf-8", "surrogateescape")])

    def _message(self, found: re.Match[str], plus: str) -> bytes:
        octets = self._dialogue.messages[found[2]]
        return f"{found[1]}{{{len(octets)}{plus}}}\r\n".encode() + octets


def _unescaped(text: str) -> str:
    """Escapes undone; octets above 127 stay octets, as surrogates."""

    def one(found: re.Match[str]) -> str:
        if found[1] is None:
            return _PLAIN_ESCAPES[found[0]]
        return bytes([int(found[1], 16)]).decode("utf-8", "surrogateescape")

    return _ESCAPE.sub(one, text)
