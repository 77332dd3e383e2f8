"""Authenticate CardDAV requests by HTTP Basic (RFC 7617) over TLS, with the sign-in service.

In: an Authorization header. Out: the identity, or a refusal. Programs send the password with each of dozens of requests.
A successful sign-in is cached for a while by a digest of the header, so that the log has a sign-in and not every request;
the access is checked again at each request. Bounded; belongs to the loop.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable

from mic_mail.auth.sasl import decode_base64
from mic_mail.services.authentication.identity import Answered, Peer, SignedIn
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.services.authentication.sign_in import SignInService

MOST = 2_000
REMEMBERED_SECONDS = 600.0


class Callers:
    """Cache of recent successful sign-ins."""

    def __init__(self, key: bytes, monotonic: Callable[[], float]) -> None:
        self._key = hmac.digest(key, b"carddav callers", "sha256")
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, tuple[SignedIn, float]] = OrderedDict()

    async def find(self, header: str, access: SignInService, peer: Peer) -> Answered | None:
        """Return the answer to a header; None where it names nobody."""
        pair = credentials(header)
        if pair is None:
            return None
        digest = hmac.digest(self._key, f"{peer.address}\0{header}".encode("utf-8", "surrogatepass"), "sha256")
        known = self._known.get(digest)
        if known is not None and self._monotonic() - known[1] < REMEMBERED_SECONDS:
            answer = access.recheck(known[0], peer)
            if isinstance(answer, SignedIn):
                return answer
        self._known.pop(digest, None)
        answer = await access.login(*pair, peer, "basic")
        if not isinstance(answer, Refusal):
            self._known[digest] = answer, self._monotonic()
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return answer


def credentials(header: str) -> tuple[str, str] | None:
    """Return user and password: UTF-8 (RFC 7617 §2.1), or Latin-1 from a program without it."""
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    octets = decode_base64(encoded.strip().encode("ascii", "replace"))
    if octets is None:
        return None
    try:
        pair = octets.decode()
    except UnicodeDecodeError:
        pair = octets.decode("latin-1")
    user, colon, password = pair.partition(":")
    return (user, password) if colon and user and password else None
