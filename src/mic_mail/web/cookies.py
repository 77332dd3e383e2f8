"""The cookies of the pages: read from requests, set in answers.

In: a request, an answer. Out: the value of one cookie, if it is one of ours; all others are skipped. Starlette would
unquote every cookie, for which Python 3.11 takes time quadratic in the backslashes (CVE-2024-7592); none of our values
has quotes.
"""

import re

from starlette.requests import Request
from starlette.responses import Response

SESSION = "__Host-mic-mail"
FORM = "__Host-mic-mail-form"
LANGUAGE = "__Host-mic-mail-lang"
"""With this prefix a browser accepts a cookie over TLS and from this host alone (RFC 6265bis §4.1.3)."""
_OURS = re.compile(r"(?:^|;)[ \t]*(__Host-mic-mail(?:-form|-lang)?)=([A-Za-z0-9_-]{1,64})(?=[ \t]*(?:;|$))")
"""Our cookies, with a token or a language."""


def get(request: Request, name: str) -> str:
    """Return the value of a cookie; empty where there is none."""
    held: list[tuple[str, str]] = _OURS.findall(";".join(request.headers.getlist("cookie")))
    return dict(held).get(name, "")


def put(response: Response, name: str, value: str, *, max_age: int | None = None) -> None:
    """Set a cookie, until the browser is closed or for `max_age` seconds."""
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="strict")


def drop(response: Response, name: str) -> None:
    """Remove a cookie."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="strict")
