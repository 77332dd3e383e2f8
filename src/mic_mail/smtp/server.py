"""The SMTP server: it creates the connections of one process and ends them together.

One implementation serves mail servers (25), submission (587, STARTTLS) and submissions (465, TLS from the first octet).
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mic_mail.net.connection_registry import Changed, OpenConnections
from mic_mail.net.proxy_protocol import ClientAddress
from mic_mail.services.transport.envelope import Role
from mic_mail.smtp.connection import SmtpConnection, SmtpServices
from mic_mail.smtp.connection_handler import SmtpHandler
from mic_mail.smtp.session import ListenerProfile

__all__ = ["SmtpServer", "SmtpServices"]

ROLES: Final = {"smtp": Role.MX, "submission": Role.SUBMISSION, "submissions": Role.SUBMISSION}


class SmtpServer:
    """Create the connections of one process and end them together."""

    def __init__(self, services: SmtpServices, changed: Changed = lambda by, strangers: None) -> None:
        """Take the services; `changed` is called when a connection begins, ends, or signs in."""
        self.services = services
        self.open: OpenConnections[SmtpConnection] = OpenConnections(changed)
        self.draining = False
        self._doors = {role: self._listener_profile(role) for role in Role}

    def _listener_profile(self, role: Role) -> ListenerProfile:
        services = self.services
        return ListenerProfile(
            hostname=services.hostname,
            support=services.support,
            role=role,
            limits=services.limits,
            # A message that may have to be relayed cannot be accepted in a form that few servers take (RFC 3030 §3).
            binarymime=services.binarymime and role is Role.MX,
            # A confirmation to the sender that an unauthenticated client names would be backscatter.
            confirms=services.confirms or role is Role.SUBMISSION,
            quota_is_final=services.quota_is_final,
        )

    def configure(self, services: SmtpServices) -> None:
        """Apply new settings (SIGHUP); open connections keep those of their greeting."""
        self.services = services
        self._doors = {role: self._listener_profile(role) for role in Role}

    def factory(self, *, door: str, implicit_tls: bool = False) -> Callable[[ClientAddress | None], asyncio.Protocol]:
        """Return the factory of a listener's protocols; `door` is a name of `ROLES`."""
        role = ROLES[door]
        return lambda client: SmtpConnection(self.services, self.open, self._doors[role], door, self._serve, client=client)

    async def _serve(self, connection: SmtpConnection) -> None:
        await SmtpHandler(connection, lambda: self.draining).run()

    async def drain(self, seconds: float) -> None:
        """Send 421 to all clients between messages; a message in transfer may end within `seconds`."""
        self.draining = True
        for connection in self.open:
            connection.drain()
        if not await self.open.all_closed(seconds):
            for connection in self.open:
                connection.expire("shutdown")
