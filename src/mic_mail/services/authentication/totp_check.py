"""Verification of a code at the web page, after the right password.

In: the client that has shown the password, the typed code. Out: a refusal, or None for a right code, which is consumed.
Joins the verifier's limits, the use case and the log. Belongs to the event loop; the directory is asked in an executor.
"""

from mic_mail.auth.verifier import Guard, Wait
from mic_mail.errors import Trouble
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.identity import Peer, SignedIn
from mic_mail.services.authentication.refusals import Refusal, Refusals
from mic_mail.services.authentication.second_factors import KEY, Checked, SecondFactors


class _Unreadable(Exception):
    """The secret cannot be unsealed: this counts as no failed attempt."""


class Codes:
    """The code checks of one process."""

    def __init__(self, runtime: Runtime, factors: SecondFactors, guard: Guard, refusals: Refusals) -> None:
        self._runtime = runtime
        self._factors = factors
        self._guard = guard
        self._refusals = refusals

    async def refused(self, half: SignedIn, code: str, peer: Peer) -> Refusal | None:
        """Check a code; return the refusal, or None if it is right."""
        checked = Checked.WRONG

        async def look() -> bool:
            nonlocal checked
            checked = await self._runtime.executors.io(self._factors.check, half.mailbox_id, code)
            if checked is Checked.UNREADABLE:
                raise _Unreadable
            return checked in {Checked.RIGHT, Checked.RECOVERY}

        try:
            right = await self._guard.check_code(half.address, peer.address, look)
        except _Unreadable:
            self._runtime.log.event("second_factor_unreadable", mailbox=half.address, file=KEY)
            return self._refusals.unavailable("second-factor-key")
        except Trouble as trouble:
            return self._refusals.unavailable(str(trouble))
        if isinstance(right, Wait):
            return self._refusals.waiting(right)
        if checked is Checked.CLOSED:
            self._runtime.log.event("second_factor_closed", mailbox=half.address, peer=peer.address)
            return self._refusals.code_closed()
        if checked is Checked.RECOVERY:
            self._runtime.log.event("recovery_code_used", mailbox=half.address, peer=peer.address)
        return None if right else self._refusals.code_wrong()
