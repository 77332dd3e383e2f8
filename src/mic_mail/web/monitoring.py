"""Monitoring: `/metrics` (Prometheus) and `/health`, for the configured networks alone.

In: requests by http or https, under any host name. Out: the numbers as text; 200 or 503 for a health check. To all other
clients these paths do not exist: the request goes the way of all others. The output names no person and no mailbox (Reg.
10.1).
"""

from http import HTTPStatus

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mic_mail.config.model import Config
from mic_mail.errors import Trouble
from mic_mail.net.cidr import Networks
from mic_mail.process import metrics
from mic_mail.process.executors import Executors
from mic_mail.process.status import read
from mic_mail.web.http import STATE_PEER

METRICS, HEALTH = "/metrics", "/health"
_PASSED_ON = frozenset({b"forwarded", b"x-forwarded-for", b"via"})
"""Header fields of a proxy: a request with one of these has an unknown origin."""


class Monitor:
    """An ASGI application for these two paths; belongs to the loop."""

    def __init__(self, config: Config, executors: Executors) -> None:
        self._config = config
        self._executors = executors
        self._networks = Networks(config.web.monitor_networks)

    def aside(self, scope: Scope) -> ASGIApp | None:
        """Return this application if the request is for it and comes from a permitted network."""
        return self if self._is_asked(scope) else None

    def _is_asked(self, scope: Scope) -> bool:
        if scope["path"] not in (METRICS, HEALTH) or scope["method"] not in ("GET", "HEAD"):
            return False
        if not _PASSED_ON.isdisjoint(name for name, _ in scope["headers"]):
            return False
        return scope["state"][STATE_PEER].peer.address in self._networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (await self._answer(scope["path"]))(scope, receive, send)

    async def _answer(self, path: str) -> Response:
        try:
            snapshot = await self._executors.io(read, self._config.run_dir)
        except Trouble:
            snapshot = None
        if path == METRICS and snapshot is not None:
            text = await self._executors.io(metrics.exposition, snapshot, self._config)
            return Response(text, media_type=metrics.CONTENT_TYPE)
        ready = snapshot is not None and snapshot.get("ready") is True and snapshot.get("draining") is not True
        return JSONResponse({"ready": ready}, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)
