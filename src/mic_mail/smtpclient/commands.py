"""Build the SMTP commands for one message from the server's extensions. Pure.

In: the extensions of its EHLO, an envelope. Out: command lines; `CannotSend` where the message cannot be expressed in what
this server understands, with the status of the bounce. Nothing is converted: the octets of a message are its sender's.

    SMTPUTF8     needed for an address or header beyond ASCII (RFC 6531 §3.4); without it a domain goes as its A-labels
    8BITMIME     declared where the message has 8-bit content (RFC 6152); where it is not offered that content is sent all the
                 same, as servers have done and accepted for decades, and as nothing else leaves the message unchanged
    BINARYMIME   needed, with CHUNKING, where the message has no lines, or has lines that DATA cannot carry (RFC 3030)
    REQUIRETLS   sent for a message that needs it (RFC 8689 §4.2.1)
    DSN          ENVID, RET, NOTIFY, ORCPT are passed on where supported (RFC 3461 §5.2); else this server reports
    SIZE         declared; a message that is certainly too large is not sent (RFC 1870 §6)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mic_mail.domain_name import NotAName
from mic_mail.errors import Refused, Text, in_ascii
from mic_mail.mailbox_address import MailboxAddress, NotAnAddress, ReversePath
from mic_mail.queue.esmtp_options import REQUIRETLS
from mic_mail.queue.queue import QueueRecipient
from mic_mail.smtpclient.replies import Reply

LONGEST_LINE = 512
"""Octets of a command without parameters that extensions added (RFC 5321 §4.5.3.1.4)."""
BINARYMIME = "BINARYMIME"


class CannotSend(Refused):
    """This server cannot take this message; `status` is the enhanced code of the bounce (RFC 3463)."""

    def __init__(self, status: str, text: Text) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class EhloResponse:
    """The EHLO response of a server: its extensions, in upper case, and their parameters."""

    extensions: Mapping[str, str]

    @classmethod
    def of(cls, reply: Reply) -> "EhloResponse":
        """Parse the reply to EHLO: the first line is the name; of a repeated extension the first counts."""
        found: dict[str, str] = {}
        for line in reply.lines[1:]:
            word, _, parameters = line.partition(" ")
            found.setdefault(word.upper(), parameters.strip())
        return cls(found)

    def has(self, extension: str) -> bool:
        return extension in self.extensions

    @property
    def size_limit(self) -> int | None:
        """The largest message; None where there is no limit or none is given."""
        size = self.extensions.get("SIZE", "").split(" ", 1)[0]
        return int(size) or None if size.isascii() and size.isdecimal() and len(size) <= 20 else None


NOTHING = EhloResponse({})
"""The offer of a server that only knows HELO."""


@dataclass(frozen=True, slots=True)
class MailParameters:
    """The parameters of MAIL."""

    sender: ReversePath
    octets: int
    body: str = "7BIT"
    """7BIT, 8BITMIME or BINARYMIME."""
    smtputf8: bool = False
    """True if SMTPUTF8 is needed, perhaps for a header alone.

    Only with it is anything beyond ASCII sent.
    """
    ret: str | None = None
    envid: str | None = None
    why_binary: Text | None = None
    """The content that DATA cannot carry, where known."""
    requires_tls: bool = False
    """True if the connection meets RFC 8689 §2."""


def takes_binary(offer: EhloResponse) -> bool:
    """Return whether BODY=BINARYMIME is allowed, which requires BDAT (RFC 3030 §3)."""
    return offer.has(BINARYMIME) and offer.has("CHUNKING")


def mail(sending: MailParameters, offer: EhloResponse) -> bytes:
    """Return the MAIL command."""
    limit = offer.size_limit
    if limit is not None and sending.octets > limit:
        size = Text(
            f"Thư có {sending.octets} byte, máy chủ bên kia nhận tối đa {limit}.",
            f"The message has {sending.octets} octets; the other server accepts at most {limit}.",
        )
        raise CannotSend("5.3.4", size)
    if sending.smtputf8 and not offer.has("SMTPUTF8"):
        raise CannotSend(
            "5.6.7",
            Text(
                "Máy chủ bên kia không nhận địa chỉ hoặc tiêu đề có chữ ngoài ASCII (SMTPUTF8).",
                "The other server does not support addresses or headers beyond ASCII (SMTPUTF8).",
            ),
        )
    words = [f"MAIL FROM:<{_address(sending.sender, utf8=sending.smtputf8)}>"]
    if offer.has("SIZE"):
        words.append(f"SIZE={sending.octets}")
    if sending.body == BINARYMIME:
        if not takes_binary(offer):
            raise CannotSend("5.6.1", _takes_no_binary(sending.why_binary))
        words.append("BODY=BINARYMIME")
    elif sending.body == "8BITMIME" and offer.has("8BITMIME"):
        words.append("BODY=8BITMIME")
    if sending.smtputf8:
        words.append("SMTPUTF8")
    if sending.requires_tls and offer.has(REQUIRETLS):
        words.append(REQUIRETLS)
    if offer.has("DSN"):
        words += [f"{name}={value}" for name, value in (("RET", sending.ret), ("ENVID", sending.envid)) if value is not None]
    return _line(words)


def _takes_no_binary(why: Text | None) -> Text:
    because = Text(f" (thư có: {why.vi})", f": {why.en}") if why is not None else Text("", "")
    return Text(
        f"Máy chủ bên kia không nhận thư nhị phân{because.vi}.",
        f"The other server does not support binary messages (BINARYMIME, RFC 3030){because.en}.",
    )


def rcpt(recipient: QueueRecipient, offer: EhloResponse, *, utf8: bool) -> bytes:
    """Return the RCPT command; `utf8` means that MAIL has SMTPUTF8."""
    words = [f"RCPT TO:<{_address(recipient.address, utf8=utf8)}>"]
    if offer.has("DSN"):
        if recipient.notify:
            words.append(f"NOTIFY={','.join(recipient.notify)}")
        if recipient.orcpt is not None:
            words.append(f"ORCPT={recipient.orcpt if utf8 else recipient.orcpt.in_ascii()}")
    return _line(words)


def _address(path: ReversePath, *, utf8: bool) -> str:
    """Return the address unchanged, or with its domain in A-labels if only the domain needs it."""
    if utf8 or not isinstance(path, MailboxAddress):
        return str(path)
    try:
        return path.in_ascii()
    except NotAName as error:
        raise CannotSend("5.1.3", error.text) from error
    except NotAnAddress as error:
        raise CannotSend(
            "5.6.7",
            Text(
                f"Máy chủ bên kia không nhận địa chỉ {path}.",
                f"The other server does not support the address {in_ascii(path)} (SMTPUTF8).",
            ),
        ) from error


def _line(words: Sequence[str]) -> bytes:
    line = " ".join(words)
    assert "\r" not in line, "addresses and parameters were read by a grammar that has no line ends"
    assert "\n" not in line, "likewise"
    return f"{line}\r\n".encode()
