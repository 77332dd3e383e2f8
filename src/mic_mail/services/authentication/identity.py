"""Who is at the other end of a connection, and as whom they have signed in: the values that doors, sign-in and use cases share.

A door describes its client as a `SmtpClient`; `access.Access` answers it with `SignedIn`, a `Refusal`, or, in the midst of a
SASL exchange, a `Challenge`. Values only: nothing is decided here.
"""

from dataclasses import dataclass, field

from mic_mail.auth import sasl
from mic_mail.policy.lifecycle import Decision
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.storage.types import AccountRef


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """What protects a connection, and what a sign-in can be bound to (RFC 5929)."""

    version: str
    cipher: str
    bindings: sasl.Bindings = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection and the door that it came to (`imap`, `submission`, `smtp`, ...)."""

    address: str
    port: int
    local_port: int
    protocol: str
    tls: TlsInfo | None
    session_id: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """Bytes for the client (not yet base64)."""

    data: bytes


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody is in. `actor` is who acts, in the own mailbox or in one of a unit or group (`SignInService.sharing`)."""

    mailbox_id: int
    address: str
    account: AccountRef
    decision: Decision
    actor: str
    credential_version: int
    app_password: int | None = None
    """The number of the app password that opened the session; None: the mailbox's own did."""
    factor: int | None = None
    """At the page: the number of the second factor of which a code was shown."""
    factor_change: int = 0
    """At the page: the newest change of the second factor when the session began (`policy.secondfactor.latest_change`)."""


Answered = SignedIn | Refusal
"""How a sign-in ends."""
