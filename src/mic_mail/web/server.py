"""The https service, and the http service that redirects to it.

In: services, listening sockets with their acceptors. Out: protocols for `net.connection_limits`; numbers; a drain. `http`
holds the connections, `application` the pages. Decides nothing.
"""

import asyncio

from mic_mail.ids import trace_id
from mic_mail.net.connection_registry import Changed
from mic_mail.web.application import Application
from mic_mail.web.http import Http
from mic_mail.web.page_context import WebServices

SWEEP_SECONDS = 60.0


class WebServer(Http):
    """The pages of one process; belongs to its loop."""

    def __init__(self, services: WebServices, changed: Changed) -> None:
        self._application = Application(services)
        super().__init__(
            self._application.app,
            new_id=lambda: trace_id(services.runtime.clock.now_us()),
            changed=changed,
            request_seconds=services.runtime.config().web.request_seconds,
            measure_lag=services.measure_lag,
        )
        self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._application.sessions.sweep()

    @property
    def sessions(self) -> int:
        """The number of sessions."""
        return len(self._application.sessions)

    def configure(self, services: WebServices) -> None:
        """Apply a new configuration to new requests."""
        self._application.configure(services)
        self.request_seconds = services.runtime.config().web.request_seconds

    async def drain(self, seconds: float) -> None:
        self._sweeping.cancel()
        await super().drain(seconds)
