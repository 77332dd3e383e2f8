"""One SASL exchange on one connection (RFC 4422): what the client says to the mechanism, what that asks to `access`.

In: decoded responses, one a step. Out: a `Challenge` each, and at the end how the sign-in went, which the log has by then. The
mechanism itself is `auth.sasl`; who somebody is and whether they may in is decided by `access.Access`.
"""

from typing import TYPE_CHECKING

from mic_mail.auth import sasl
from mic_mail.services.authentication.identity import Answered, Challenge, Peer
from mic_mail.services.authentication.refusals import Refusal

if TYPE_CHECKING:
    from mic_mail.services.authentication.sign_in import SignInService


class SaslExchange:
    """One SASL exchange on one connection: `step` with each decoded response until it is not a `Challenge`."""

    def __init__(self, access: "SignInService", exchange: sasl.Exchange | None, mechanism: str, peer: Peer) -> None:
        self._access = access
        self._exchange = exchange
        self._mechanism = mechanism
        self._peer = peer
        self._user = ""
        self._has_keys = False

    async def step(self, response: bytes | None) -> Challenge | Answered:
        """Go on with the client's response (decoded from base64); None where there was no initial response."""
        if self._exchange is None:
            return self._end(self._access.bad_mechanism(self._peer))
        if self._has_keys and isinstance(wait := await self._access.scram_keys(self._user, self._peer), Refusal):
            return self._end(wait)  # others may have used up the tries while this exchange was open
        step = self._exchange.step(response)
        if isinstance(step, sasl.NeedKeys):
            self._user = step.user
            found = await self._access.scram_keys(step.user, self._peer)
            if isinstance(found, Refusal):
                return self._end(found)
            self._has_keys = True
            step = self._exchange.keys(*found)
        match step:
            case sasl.Challenge(data):
                return Challenge(data)
            case sasl.CheckPassword():
                return await self._access.claim(step, self._peer, self._mechanism)
            case sasl.Done():
                return self._end(await self._access.scram_proved(step, self._peer))
            case sasl.Failed():
                return self._end(self._access.scram_failed(step, self._peer))
            case sasl.NeedKeys():
                raise AssertionError("keys were given above")

    def _end(self, answer: Answered) -> Answered:
        return self._access.signins.answered(answer, self._access.address_of(self._user), self._peer, self._mechanism)
