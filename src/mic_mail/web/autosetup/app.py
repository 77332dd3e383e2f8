"""Setup of mail programs: the paths that each program asks (Reg. 8.1).

    /mail/config-v1.1.xml                             Thunderbird and its like, at autoconfig.DOMAIN
    /.well-known/autoconfig/mail/config-v1.1.xml      the same, at DOMAIN itself
    /autodiscover/autodiscover.xml                    Outlook, version 1 (POST), at autodiscover.DOMAIN; in any case of
    letters
    /autodiscover/autodiscover.json[/v1.0/ADDRESS]    Outlook, version 2: where version 1 is

These paths are answered under any host name: no answer sets a cookie or discloses who has a mailbox. Requests by plain
http are redirected to the same path under the server's own name, for which there is a certificate.
"""

from collections.abc import Callable, Container
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.domain_name import NotAName, to_ascii
from mic_mail.web.autosetup import autoconfig, autodiscover
from mic_mail.web.autosetup.servers import servers
from mic_mail.web.request_body import BodyRefused, read_body

AUTOCONFIG = frozenset({"/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"})
AUTODISCOVER = "/autodiscover/autodiscover.xml"
AUTODISCOVER_JSON = "/autodiscover/autodiscover.json"


class AutoSetup:
    """An ASGI application for these paths."""

    def __init__(self, config: Config, clock: Clock, domains: Callable[[], Container[str]], page: str) -> None:
        """Take the configuration; `page`: the address of the pages, whose certificate browsers trust."""
        self._servers = servers(config)
        self._clock = clock
        self._domains = domains
        self._home = config.server.domain
        self._origin = page.rstrip("/")

    def aside(self, scope: Scope) -> ASGIApp | None:
        """Return this application if the request is for it."""
        path = scope["path"].lower()
        is_ours = path in AUTOCONFIG or path == AUTODISCOVER or path.startswith(AUTODISCOVER_JSON)
        return self if is_ours and scope["method"] in ("GET", "HEAD", "POST") else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except BodyRefused as refused:
            response = Response(status_code=refused.status)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.url.path.lower()
        if request.scope["scheme"] != "https":
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"{self._origin}{path}{query}", 302)
        if path in AUTOCONFIG:
            return self._autoconfig(request)
        if path == AUTODISCOVER:
            return await self._autodiscover(request)
        return self._where(request)

    def _autoconfig(self, request: Request) -> Response:
        """Return the autoconfig file of the domain of the address, or else of the host that was asked.

        Where neither is named it is that of the server's first domain.
        """
        address = request.query_params.get("emailaddress", "")
        host = request.headers.get("host", "").partition(":")[0].lower().removeprefix("autoconfig.")
        named = address.rpartition("@")[2] if "@" in address else host
        domain = self._ours(named) or (None if "@" in address else self._home)
        if domain is None:
            return Response(status_code=404)
        return Response(autoconfig.document(self._servers, domain), media_type=autoconfig.MEDIA_TYPE)

    async def _autodiscover(self, request: Request) -> Response:
        try:
            body = await read_body(request, autodiscover.BODY_OCTETS) if request.method == "POST" else b""
            address = autodiscover.address_asked(body)
            if self._ours(address.rpartition("@")[2]) is None:
                raise autodiscover.NotAsked(autodiscover.NO_PROVIDER)
        except autodiscover.NotAsked as reason:
            return Response(autodiscover.error(reason.code, self._clock.now()), media_type=autodiscover.MEDIA_TYPE)
        return Response(autodiscover.settings(self._servers, address), media_type=autodiscover.MEDIA_TYPE)

    def _where(self, request: Request) -> Response:
        """Return the JSON of version 2. Programs name the address in the path or as `Email=`."""
        asked = {name.lower(): value for name, value in request.query_params.items()}
        address = asked.get("email") or unquote(request.url.path.rpartition("/")[2])
        if self._ours(address.rpartition("@")[2]) is None:
            return Response(status_code=404)
        status, body = autodiscover.redirection(asked.get("protocol", ""), f"{self._origin}{AUTODISCOVER}")
        return JSONResponse(body, status)

    def _ours(self, domain: str) -> str | None:
        try:
            name = to_ascii(domain)
        except NotAName:
            return None
        return name if name in self._domains() else None
