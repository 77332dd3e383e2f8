"""The cookies of the pages: what a browser has of ours, and what it is given.

In: a request, an answer. Out: the value of one cookie, if it is such as is set here; what else a browser has is passed over.
Starlette would take every cookie out of its quotes, for which Python 3.11 takes time that is quadratic in the backslashes
(CVE-2024-7592); no value of ours has quotes.
"""

import re

from starlette.requests import Request
from starlette.responses import Response

SESSION = "__Host-mic-mail"
FORM = "__Host-mic-mail-form"
LANGUAGE = "__Host-mic-mail-lang"
"""By its prefix a browser takes such a cookie over TLS, and from this host alone (RFC 6265bis §4.1.3)."""
_OURS = re.compile(r"(?:^|;)[ \t]*(__Host-mic-mail(?:-form|-lang)?)=([A-Za-z0-9_-]{1,64})(?=[ \t]*(?:;|$))")
"""With a token, or a language."""


def get(request: Request, name: str) -> str:
    """The value of a cookie; empty where there is none."""
    held: list[tuple[str, str]] = _OURS.findall(";".join(request.headers.getlist("cookie")))
    return dict(held).get(name, "")


def put(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    """Give the browser a cookie, until it is closed or for so many seconds."""
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="strict")


def drop(response: Response, name: str) -> None:
    """Take it away."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="strict")
