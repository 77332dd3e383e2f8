"""The services that the composition root gives to every protocol."""

from collections.abc import Callable
from dataclasses import dataclass

from mic_mail.net.tls import TlsFront
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.storage.mailstore import MailStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """A protocol derives its own class, with what it needs besides."""

    runtime: Runtime
    access: SignInService
    store: MailStore
    tls: TlsFront
    sessions_per_mailbox: int = 64
    note: Callable[[str], None] = lambda label: None
    """Called with each piece of work as it begins, so that a long pause of the loop can be logged with it."""
    measure_lag: Callable[[], None] = lambda: None
    """Called where input arrives (`process.loop_lag`)."""
