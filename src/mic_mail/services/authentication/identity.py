"""A connection's client and its identity: values shared by listeners and services."""

from dataclasses import dataclass, field

from mic_mail.auth import sasl
from mic_mail.policy.lifecycle import Decision
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.storage.types import AccountRef


@dataclass(frozen=True, slots=True)
class TlsInfo:
    """The TLS parameters of a connection, and the channel bindings for a sign-in (RFC 5929)."""

    version: str
    cipher: str
    bindings: sasl.Bindings = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """The client of a connection and the listener it connected to (`imap`, `submission`, `smtp`, ...)."""

    address: str
    port: int
    local_port: int
    protocol: str
    tls: TlsInfo | None
    session_id: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A successful sign-in; `actor` acts in its own mailbox or in one of a unit or group."""

    mailbox_id: int
    address: str
    account: AccountRef
    decision: Decision
    actor: str
    credential_version: int
    app_password: int | None = None
    """The number of the app password that opened the session; None: the mailbox's own password did."""
    factor: int | None = None
    """Web only: the number of the second factor whose code was verified."""
    factor_change: int = 0
    """Web only: `policy.credentials.second_factor.latest_change` when the session began."""


Answered = SignedIn | Refusal
