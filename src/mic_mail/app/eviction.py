"""The eviction of one process: `net.eviction`, joined to what sign-in knows of networks, and to the log."""

from collections.abc import Callable

from mic_mail.log.maillog import MailLog
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.eviction import Evictor
from mic_mail.services.authentication.sign_in import SignInService


def open_evictor(
    access: SignInService, log: MailLog, tally: ConnectionCounts, ask: Callable[[], None] = lambda: None
) -> Evictor:
    """What makes room in this process; the log has each address that lost its place."""

    def dropped(address: str) -> None:
        log.event("connection_cut", reason="no-room", peer=address)

    return Evictor(tally, is_known=access.is_home, ask=ask, dropped=dropped)


def record_eviction() -> bool:
    """Before the handshake (`Admission.begin_handshake`)."""
    return True
