"""Actions that an SMTP session requests, with the `session.Session` methods that take the result.

AskSender, AskRecipient    ask the mail flow                    sender_answered, recipient_answered
StartTls                   answer 220, drop unread input, TLS   tls_started
Authenticate               run the SASL exchange                signed_in, sign_in_refused
ReadMessage                answer 354, read up to CRLF.CRLF     message_ended
ReadChunk                  read exactly so many octets          chunk_refused, chunk_ended, message_ended
Close                      send the reply, then close
"""

from dataclasses import dataclass, field
from typing import Final

from mic_mail.mailbox_address import MailboxAddress, ReversePath
from mic_mail.smtp.grammar import MailParameters, RcptParameters
from mic_mail.smtp.replies import Reply


@dataclass(frozen=True, slots=True)
class AskSender:
    path: ReversePath
    parameters: MailParameters


@dataclass(frozen=True, slots=True)
class AskRecipient:
    address: MailboxAddress | None
    """The recipient; None for postmaster without a domain."""
    parameters: RcptParameters


@dataclass(frozen=True, slots=True)
class StartTls:
    pass


@dataclass(frozen=True, slots=True)
class Authenticate:
    mechanism: str
    initial: bytes | None = field(repr=False)
    """The initial response in Base64 as it came (RFC 4954 §4); `=` stands for an empty one."""


@dataclass(frozen=True, slots=True)
class ReadMessage:
    pass


@dataclass(frozen=True, slots=True)
class ReadChunk:
    octets: int
    last: bool
    refusal: Reply | None
    """Reply for a refused chunk; its octets are read and discarded first.

    RFC 3030 §2: the chunk is being sent already.
    """


@dataclass(frozen=True, slots=True)
class Close:
    reply: Reply
    before: Reply | None = None
    """The answer to the client's command, where `reply` announces the end of the connection."""


READ_MESSAGE: Final = ReadMessage()

Action = AskSender | AskRecipient | StartTls | Authenticate | ReadMessage | ReadChunk | Close
