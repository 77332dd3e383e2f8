"""One SASL exchange on a connection (RFC 4422) between client, mechanism and `SignInService`.

In: decoded responses, one a step. Out: a `sasl.Challenge` each, and at the end the result of the sign-in, which is logged by
then. The mechanism is `auth.sasl`; identity and permission are decided by `sign_in.SignInService`.
"""

from mic_mail.auth import sasl
from mic_mail.services.authentication.identity import Answered, Peer
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.services.authentication.sign_in import SignInService


class SaslExchange:
    """One SASL exchange on one connection.

    Call `step` with each decoded response until the result is no `sasl.Challenge`. A mechanism that is not offered here is
    refused at the first step.
    """

    def __init__(self, access: SignInService, mechanism: str, peer: Peer) -> None:
        self._access = access
        self._exchange = access.mechanism(mechanism, peer)
        self._mechanism = mechanism.upper()[:20]
        self._peer = peer
        self._user = ""
        self._has_keys = False

    async def step(self, response: bytes | None) -> sasl.Challenge | Answered:
        """Continue with the client's response (decoded from base64); None where there was no initial response."""
        if self._exchange is None:
            return self._end(self._access.bad_mechanism(self._peer))
        if self._has_keys and isinstance(wait := await self._access.scram_keys(self._user, self._peer), Refusal):
            return self._end(wait)  # other connections may have used up the attempts while this exchange was open
        step = self._exchange.step(response)
        if isinstance(step, sasl.NeedKeys):
            self._user = step.user
            found = await self._access.scram_keys(step.user, self._peer)
            if isinstance(found, Refusal):
                return self._end(found)
            self._has_keys = True
            step = self._exchange.keys(*found)
        match step:
            case sasl.Challenge():
                return step
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
