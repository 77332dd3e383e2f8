"""The eviction of connections in one process.

It joins `net.eviction` to the networks that sign-in knows, and to the log.
"""

from collections.abc import Callable

from mic_mail.log.maillog import MailLog
from mic_mail.net.connection_balancer import ConnectionCounts
from mic_mail.net.eviction import Evictor
from mic_mail.services.authentication.sign_in import SignInService


def open_evictor(
    access: SignInService, log: MailLog, tally: ConnectionCounts, ask: Callable[[], None] = lambda: None
) -> Evictor:
    """Return the evictor of this process; the log has the address of each connection that was dropped."""

    def dropped(address: str) -> None:
        log.event("connection_cut", reason="no-room", peer=address)

    return Evictor(tally, is_known=access.is_home, ask=ask, dropped=dropped)


def record_eviction() -> bool:
    """Allow the connection: eviction was done before the handshake (`Admission.begin_handshake`)."""
    return True
