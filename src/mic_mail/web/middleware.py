"""Checks that every request passes before any page, and headers that every answer gets.

In: an ASGI application. Out: the same behind checks (host, framing, scheme) and with the security headers. An unexpected
exception becomes a page with a reference; its details are in the log alone. Pure ASGI, no state.

    host            only names of this server: no link, no cookie, no redirect can be made for another one
    framing         no Transfer-Encoding: no browser sends a form so, and a single way of framing leaves no room for
                    request smuggling (RFC 9112 §11.2)
    plain http      is redirected to the https page and served nothing

Requests of monitoring from its networks bypass all this (`monitoring`), since it uses neither names nor certificates. So
do mail programs that set themselves up (`autosetup`), under names of their own. A connection ends after a chunked
request.
"""

import re
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from email.utils import format_datetime

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD_OCTETS = 16 << 10
"""Octets of the longest path, query and header fields of a request, together."""
HSTS_SECONDS = 365 * 86_400
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "strict-transport-security": f"max-age={HSTS_SECONDS}",  # RFC 6797; browsers ignore it where the certificate is not trusted
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: browsers would send `Origin: null` with every form then (Fetch, "append a request Origin header").
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-robots-tag": "noindex, nofollow",
}
KEPT_FOR_EVER = "public, max-age=31536000, immutable"
NEVER_KEPT = "no-store"

Aside = Callable[[Scope], ASGIApp | None]
"""Return the application that answers a request before any check, or None."""


_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/?#@\s]+)(?::([0-9]*))?", re.ASCII)
"""RFC 9110 §7.2: `uri-host [ ":" port ]`, the port digits alone (RFC 3986 §3.2.3)."""
MAX_PORT = 65_535


def name_of(host: str) -> str | None:
    """Return the name in a Host header, without port: lower case; IPv6 in its brackets.

    None where the field is malformed.
    """
    found = _HOST.fullmatch(host.lower())
    if found is None or (found[2] and (len(found[2]) > 5 or int(found[2]) > MAX_PORT)):
        return None
    return found[1]


class Guard:
    """The outermost ASGI application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        now: Callable[[], datetime],
        failed: Callable[[Exception, str], None],
        refuse: Callable[[Scope, int], Response],
        files: Collection[str] = (),
    ) -> None:
        """Take the callbacks: `failed` logs an exception and its path; `refuse` makes the page for a status.

        `files` are the paths of what such a page needs itself: the same for everybody, under whatever name it is asked for.
        """
        self._app = app
        self._files = frozenset(files)
        self._now = now
        self._failed = failed
        self._refuse = refuse
        self.page = ""
        self._aside: Aside = lambda scope: None
        self.names: frozenset[str] = frozenset()

    def configure(self, page: str, names: Iterable[str], aside: Aside) -> None:
        """Set the page that plain http is sent to, the names served, and the applications before all checks."""
        self.page = page
        self._aside = aside
        self.names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                self._dress(scope, message["status"], MutableHeaders(scope=message))
            await send(message)

        answer = self._aside(scope) or self._look(scope) or self._app
        try:
            await answer(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001 - an unauthenticated client learns a reference and nothing else
            self._failed(error, scope["path"])
            if not begun:
                await self._refuse(scope, 500)(scope, receive, send_guarded)

    def _look(self, scope: Scope) -> Response | None:
        """Return the answer to a request that goes no further, or None."""
        headers = Headers(scope=scope)
        if scope["scheme"] != "https":
            return self._to_https(scope["method"])
        hosts = headers.getlist("host")
        if (len(hosts) != 1 or name_of(hosts[0]) not in self.names) and scope["path"] not in self._files:
            return self._refuse(scope, 421)
        if "transfer-encoding" in headers:
            return self._refuse(scope, 411)
        target = len(scope["raw_path"]) + len(scope["query_string"])
        if target + sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD_OCTETS:
            return self._refuse(scope, 431)
        return None

    def _to_https(self, method: str) -> Response:
        if method not in ("GET", "HEAD"):  # a browser that follows must not send again what was sent in the open
            return Response("https only", 403, media_type="text/plain")
        return Response(status_code=301, headers={"location": self.page})

    def _dress(self, scope: Scope, status: int, headers: MutableHeaders) -> None:
        secure = scope["scheme"] == "https"
        for name, value in HEADERS.items():
            if secure or name != "strict-transport-security":  # RFC 6797 §7.2: not on plain http
                headers[name] = value
        headers.setdefault("cache-control", NEVER_KEPT)
        headers["date"] = format_datetime(self._now(), usegmt=True)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])  # RFC 9112 §6.1
        if status >= 400 or not secure or chunked:  # a body of a refused request may still be coming
            headers["connection"] = "close"
