"""What an SMTP session asks its shell to do, and the method of `session.Session` that hears how it went.

AskSender, AskRecipient    ask the mail flow                    sender_answered, recipient_answered
StartTls                   answer 220, drop what is unread, TLS  tls_started
Authenticate               run the SASL exchange                 signed_in, sign_in_refused
ReadMessage                answer 354, read up to CRLF.CRLF      message_ended
ReadChunk                  read exactly so many octets           chunk_refused, chunk_ended, message_ended
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
    """None: postmaster, without a domain."""
    parameters: RcptParameters


@dataclass(frozen=True, slots=True)
class StartTls:
    pass


@dataclass(frozen=True, slots=True)
class Authenticate:
    mechanism: str
    initial: bytes | None = field(repr=False)
    """Base64 as it came (RFC 4954 §4); `=` stands for an empty response."""


@dataclass(frozen=True, slots=True)
class ReadMessage:
    pass


@dataclass(frozen=True, slots=True)
class ReadChunk:
    octets: int
    last: bool
    refusal: Reply | None
    """Not None: read the octets and throw them away, then answer this (RFC 3030 §2: the chunk is on its way already)."""


@dataclass(frozen=True, slots=True)
class Close:
    reply: Reply
    before: Reply | None = None
    """The answer to what the client has said, where `reply` says that this is the end."""


READ_MESSAGE: Final = ReadMessage()

Action = AskSender | AskRecipient | StartTls | Authenticate | ReadMessage | ReadChunk | Close
