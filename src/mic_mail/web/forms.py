"""Forms: their bodies, read within bounds, and the tokens that prove that a form is ours.

In: a request. Out: its fields; `BadForm` with a status where it is none; a handler that refuses what they say raises
`FormRefused`. A form's token is an HMAC over its purpose and the browser's secret (the session's, or the cookie of the
sign-in form): a page of another site knows neither, and a token of another session or from before the sign-in is not
valid. Besides, a browser states where a form was sent from (`Origin`, `Sec-Fetch-Site`), and cookies are
SameSite=Strict: each of the three would be enough.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from mic_mail.directory.records import Superseded
from mic_mail.errors import BadInput, MicMailError, Text, Trouble
from mic_mail.i18n import messages, pages
from mic_mail.web.request_body import BodyRefused, read_body

BODY_OCTETS = 16 << 10
"""Octets of a body: three passwords of the longest kind, percent-encoded, and the rest."""
FIELDS = 8
CONTENT_TYPE = "application/x-www-form-urlencoded"


class BadForm(Exception):
    """Raised for a body that is no form of ours; `status` and `text` answer it."""

    def __init__(self, status: int, text: Text) -> None:
        self.status = status
        self.text = text
        super().__init__(text.en)


class FormRefused(Exception):
    """Raised to show a form again with the reason; `at` is the field that it belongs to."""

    def __init__(self, status: int, text: Text, at: str = "") -> None:
        self.status = status
        self.text = text
        self.at = at
        super().__init__(text.en)

    @classmethod
    def of(cls, error: MicMailError, at: str = "") -> "FormRefused":
        """Return the refusal of an act that raised `error`; `at` is the field that wrong input was in."""
        if isinstance(error, Trouble):
            return cls(503, messages.UNAVAILABLE)
        if isinstance(error, BadInput):
            return cls(422, error.text, at)
        return cls(409 if isinstance(error, Superseded) else 403, error.text)


async def read(request: Request) -> Mapping[str, str]:
    """Return the fields of a form, the last one of each name."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != CONTENT_TYPE:
        raise BadForm(415, pages.UNREADABLE)
    try:
        body = await read_body(request, BODY_OCTETS)
    except BodyRefused as refused:
        raise BadForm(refused.status, pages.TOO_LARGE if refused.status == 413 else pages.UNREADABLE) from None
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:  # not ASCII, no UTF-8 behind the percent signs, too many fields
        raise BadForm(400, pages.UNREADABLE) from None
    return dict(pairs)


def is_from_here(request: Request) -> bool:
    """Return whether the browser says that the form was on a page of this host.

    Old browsers do not say; the token makes up for that.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    own = f"https://{request.headers.get('host', '')}"
    return (origin is None or origin.lower() == own.lower()) and site in (None, "same-origin", "none")


class Tokens:
    """Form tokens under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, b"web forms", "sha256")

    def mint(self, secret: str, purpose: str) -> str:
        """Return the token of a form."""
        mark = hmac.digest(self._key, f"{purpose}\0{secret}".encode("utf-8", "surrogatepass"), "sha256")
        return urlsafe_b64encode(mark).decode().rstrip("=")

    def fits(self, token: str, secret: str, purpose: str) -> bool:
        """Return whether a token is that of this form."""
        return bool(secret) and hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.mint(secret, purpose).encode())
