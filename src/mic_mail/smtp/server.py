"""The SMTP door on the network: reads, writes, waits, and does what `session` says.

The only module that imports aiosmtpd. One shell serves mail servers (port 25), submission (587, STARTTLS) and submissions (465).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mic_mail.clock import Clock
from mic_mail.services.envelope import Role
from mic_mail.services.mailflow import MailFlow


@dataclass(frozen=True, slots=True)
class SmtpServices:
    """What the composition root gives the door."""

    mailflow: MailFlow
    clock: Clock
    tls: Callable[[], ssl.SSLContext | None]
    """The present certificate's context, asked for at each handshake; None: no STARTTLS."""


class SmtpServer:
    """Makes the protocol objects of one process and ends them together."""

    def __init__(self, services: SmtpServices) -> None:
        self._services = services

    def factory(self, role: Role, *, implicit_tls: bool = False) -> Callable[[], asyncio.Protocol]:
        """For `loop.create_server(factory, sock=..., ssl=...)`; with `implicit_tls` the caller passes `ssl` there."""
        raise NotImplementedError

    def drain(self) -> Awaitable[None]:
        """421 to everybody who waits; a message whose end has come is still made durable and answered."""
        raise NotImplementedError
