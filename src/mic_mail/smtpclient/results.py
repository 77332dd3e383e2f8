"""The outcomes of a delivery attempt: for one recipient, or for a server that cannot be used now.

Pure values; `smtpclient.client` and `smtpclient.routing` make them.
"""

from dataclasses import dataclass
from enum import StrEnum

from mic_mail.errors import Text, Trouble, in_ascii
from mic_mail.smtpclient.replies import Reply


class Step(StrEnum):
    """The step at which a connection failed."""

    CONNECT = "connect"
    GREETING = "greeting"
    HELLO = "hello"
    TLS = "tls"
    AUTH = "auth"
    TALK = "talk"
    END = "end"
    """After the whole message was sent: whether it was accepted is unknown."""


class PeerTrouble(Trouble):
    """The connection is unusable: try the next address, the next host, or later.

    The text is for logs and reports; the peer's own words are given as `str` and stay as they are.
    `lasting` is the status (RFC 3463) for a message that requires protection which this server cannot give: not a transient
    failure, but a property of that server (RFC 8689 §4.2.1).
    """

    def __init__(self, step: Step, text: Text | str, *, lasting: str | None = None) -> None:
        super().__init__(in_ascii(text) if isinstance(text, str) else text)
        self.step = step
        self.lasting = lasting

    def beside(self, earlier: "PeerTrouble | None") -> "PeerTrouble":
        """Choose which of two troubles with servers of one domain to report: a transient before a lasting one."""
        return earlier if earlier is not None and self.lasting is not None and earlier.lasting is None else self


class RecipientResult(StrEnum):
    """The outcome for one recipient."""

    DELIVERED = "delivered"
    """The other server accepted it and is responsible for it from now on."""
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """The server's reply for one recipient, at RCPT or at the end of the message."""

    outcome: RecipientResult
    status: str
    """Enhanced status code (RFC 3463)."""
    text: Text | str
    """The other server's words, or a sentence of this one."""
    reply: Reply | None = None

    @property
    def is_one_too_many(self) -> bool:
        """True if only the number of recipients was refused.

        Another transaction may take the rest (RFC 5321 §4.5.3.1.10).
        """
        reply = self.reply
        if self.outcome is not RecipientResult.DEFERRED or reply is None:
            return False
        return (reply.code, reply.enhanced) in ((452, "4.5.3"), (452, None), (552, None))
