"""Sign-in at the password page: other rules than at the listeners, and a code besides the password.

In: the typed credentials, the signed-in session. Out: `SignedIn` or a `Refusal`, logged like every sign-in's. Passwords
have the limits of all listeners, codes their own. Belongs to the event loop. Rules:

- A password that is due does not prevent the sign-in (Reg. 6.4.a, 7.3.c, 15.2); app passwords are not accepted.
- With a second factor, the password alone is neither a use of the mailbox nor a sign-in until the code is right.
"""

from dataclasses import replace
from datetime import datetime

from mic_mail.auth import sasl
from mic_mail.auth.verifier import Wait
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import Trouble
from mic_mail.policy.credentials.second_factor import latest_change
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Fact
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.identity import Answered, Peer, SignedIn
from mic_mail.services.authentication.refusals import Refusal
from mic_mail.services.authentication.second_factors import KEY, CodeResult, SecondFactors, asked_factor
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.storage.types import AccountRef


class _Unreadable(Exception):
    pass


class PageAccess:
    """The page's sign-in by one configuration: made again at a reload, after `access` has taken that over."""

    def __init__(self, runtime: Runtime, access: SignInService, factors: SecondFactors) -> None:
        self._runtime = runtime
        self._access = access
        self._auth = runtime.config().auth
        self._factors = factors

    # ------------------------------------------------------------ signing in

    async def enter(self, user: str, password: str, peer: Peer) -> Answered:
        """Sign in at the page like `SignInService.login`; a code follows where `asks_for_code` requires it."""
        answer = await self._access.answer(sasl.CheckPassword(user, password), peer, own=self._admit)
        if isinstance(answer, SignedIn) and self.asks_for_code(answer):
            self._runtime.log.event("second_factor_asked", mailbox=answer.address, peer=peer.address, session=peer.session_id)
            return answer
        return self._access.signins.answered(answer, self._access.address_of(user), peer, "password")

    def factor_of(self, entry: Entry) -> Fact | None:
        """Return the second factor of a mailbox, where the setting requires it."""
        return asked_factor(self._auth, entry.facts)

    def asks_for_code(self, signed_in: SignedIn) -> bool:
        """Return whether the page requires a code from a client that has shown the password."""
        factor = self._factor_now(signed_in)
        return factor is not None and factor != signed_in.factor

    def has_required_factors(self, signed_in: SignedIn) -> bool:
        """Return whether a session has the factors required now; a change of the factor ends it."""
        entry = self._access.snapshot.entry(signed_in.mailbox_id)
        changed = entry is not None and signed_in.factor_change != latest_change(entry.facts)
        return not changed and signed_in.factor == self._factor_now(signed_in)

    def _factor_now(self, signed_in: SignedIn) -> int | None:
        entry = self._access.snapshot.entry(signed_in.mailbox_id)
        factor = self.factor_of(entry) if entry is not None else None
        return factor.seq if factor is not None else None

    async def enter_code(self, half: SignedIn, code: str, peer: Peer) -> Answered:
        """Complete the sign-in with a code, after the password."""
        answer = await self.check_code(half, code, peer)
        if isinstance(answer, SignedIn):
            if answer.decision.signs_in:
                self._access.used(answer.mailbox_id)
            return self._access.signins.answered(answer, answer.address, peer, "password+code")
        self._access.signins.refused("second_factor_refused", answer, half.address, peer)
        return answer

    # ------------------------------------------------------------ open sessions

    async def check_code(self, signed_in: SignedIn, code: str, peer: Peer) -> Answered:
        """Check a code of the mailbox's second factor; a right one is consumed."""
        found = self._access.find_again(signed_in)
        if isinstance(found, Refusal):
            return found
        refusal = await self._refusal_of_code(signed_in, code, peer)
        if refusal is not None:
            return refusal
        found = self._access.find_again(signed_in)  # others may have recorded something while this waited
        if isinstance(found, Refusal):
            return found
        answer = self._admit(*found, signed_in.actor)
        factor = self.factor_of(found[0])
        return answer if isinstance(answer, Refusal) else replace(answer, factor=factor.seq if factor else None)

    async def _refusal_of_code(self, half: SignedIn, code: str, peer: Peer) -> Refusal | None:
        """Check a code under the verifier's limits; a secret that cannot be unsealed counts as no failed attempt."""
        checked, refusals = CodeResult.WRONG, self._access.refusals

        async def look() -> bool:
            nonlocal checked
            checked = await self._runtime.executors.io(self._factors.check, half.mailbox_id, code)
            if checked is CodeResult.UNREADABLE:
                raise _Unreadable
            return checked in {CodeResult.RIGHT, CodeResult.RECOVERY}

        try:
            right = await self._access.verifier.check_code(half.address, peer.address, look)
        except _Unreadable:
            self._runtime.log.event("second_factor_unreadable", mailbox=half.address, file=KEY)
            return refusals.unavailable("second-factor-key")
        except Trouble as trouble:
            return refusals.unavailable(str(trouble))
        if isinstance(right, Wait):
            return refusals.waiting(right)
        if checked is CodeResult.CLOSED:
            self._runtime.log.event("second_factor_closed", mailbox=half.address, peer=peer.address)
            return refusals.code_closed()
        if checked is CodeResult.RECOVERY:
            self._runtime.log.event("recovery_code_used", mailbox=half.address, peer=peer.address)
        return None if right else refusals.code_wrong()

    async def confirm(self, signed_in: SignedIn, password: str, peer: Peer) -> Answered:
        """Check the present password again in an open session, under a sign-in's limits."""
        claim = sasl.CheckPassword(signed_in.address, password)
        answer = await self._access.answer(claim, peer, own=self._admit)
        if isinstance(answer, Refusal):
            self._access.signins.refused("password_not_confirmed", answer, signed_in.address, peer)
        return answer

    def recheck(self, signed_in: SignedIn, peer: Peer) -> Answered:
        """Return whether a session may go on, and with which decision; called at each of its requests."""
        found = self._access.find_again(signed_in)
        now = self._runtime.clock.steady_now()  # as at the listeners: a step of the clock that is not believed ends no session
        answer = found if isinstance(found, Refusal) else self._admit(*found, signed_in.actor, now)
        if isinstance(answer, Refusal):
            return self._access.signins.cut(answer, signed_in, peer)
        return replace(answer, factor=signed_in.factor, factor_change=signed_in.factor_change)

    def _admit(self, entry: Entry, credential: Credential, actor: str, now: datetime | None = None) -> Answered:
        decision = self._access.judged(entry, self._access.refusals.of_page, now)
        if isinstance(decision, Refusal):
            return decision
        asks = self.factor_of(entry) is not None  # the code comes after this or came before it
        if decision.signs_in and not asks:  # a person who may only choose a password has not used the mailbox yet
            self._access.used(entry.mailbox_id)
        account = AccountRef.of(entry)
        return SignedIn(
            entry.mailbox_id, entry.address, account, decision, actor, credential.version,
            factor_change=latest_change(entry.facts),
        )  # fmt: skip
