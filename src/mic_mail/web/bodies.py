"""Bodies of requests, read within bounds."""

from starlette.requests import ClientDisconnect, Request


class BodyRefused(Exception):
    """Too long (413), or the client went away in the middle (400)."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


async def read_body(request: Request, most: int) -> bytes:
    """The whole body; no more than `most` octets of it are ever held."""
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
