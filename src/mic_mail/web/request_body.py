"""Request bodies, read within bounds; answers that are long, or decided early."""

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SLICE_OCTETS = 64 << 10


class Sliced(Response):
    """An answer that may be long: the next slice is sent when the client has taken the one before.

    In one piece all of it would count as sent at once, and a slow reader would be cut off for asking nothing. `over` is
    called when the answer is sent or the connection is gone.
    """

    over: Callable[[], None] = staticmethod(lambda: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for at in range(0, len(self.body), SLICE_OCTETS):
                await send({"type": "http.response.body", "body": self.body[at : at + SLICE_OCTETS], "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.over()


class ResponseReady(Exception):
    """Raised when the answer to a request is decided."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class BodyRefused(Exception):
    """Raised for a body that is too long (413), or whose client went away in the middle (400)."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


async def read_body(request: Request, most: int) -> bytes:
    """Return the whole body; at most `most` octets of it are ever held."""
    declared = request.headers.get("content-length", "0")  # h11 lets only digits in
    if len(declared) > 10 or int(declared) > most:
        raise BodyRefused(413)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise BodyRefused(413)
    except ClientDisconnect:
        raise BodyRefused(400) from None
    return bytes(body)
