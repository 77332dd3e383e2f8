"""Why a sign-in is refused, or the work of a session that is in, and in which words.

In: what `access` found out: a decision of the policy, a limit, an exchange that failed. Out: a `Refusal`, whose sentence ends
with where to turn and the reference under which the log knows it. Here nobody is let in or kept out.
"""

from dataclasses import dataclass
from enum import StrEnum

from mic_mail.auth import sasl
from mic_mail.auth.verifier import Wait
from mic_mail.clock import Clock
from mic_mail.config.model import Config
from mic_mail.errors import Text
from mic_mail.i18n import messages
from mic_mail.ids import trace_id
from mic_mail.policy.delegation import RESTORED_CLAUSE
from mic_mail.policy.lifecycle import Decision, State


class RefusalKind(StrEnum):
    """What a door maps to its code on the wire."""

    WRONG_CREDENTIALS = "wrong-credentials"
    SUSPENDED = "suspended"
    PASSWORD_DUE = "password-due"  # noqa: S105  the name of a state
    RECLAIMED = "reclaimed"
    SEND_LOCKED = "send-locked"
    TOO_MANY = "too-many"
    UNAVAILABLE = "unavailable"
    TLS_REQUIRED = "tls-required"
    BAD_MECHANISM = "bad-mechanism"
    MALFORMED = "malformed"
    NOT_AUTHORISED = "not-authorised"
    NOT_HERE = "not-here"
    """The password is right, and of a kind that does not open this door."""


MAY_BE_STALE = {
    RefusalKind.WRONG_CREDENTIALS,
    RefusalKind.SUSPENDED,
    RefusalKind.PASSWORD_DUE,
    RefusalKind.RECLAIMED,
    RefusalKind.SEND_LOCKED,
    RefusalKind.NOT_HERE,
}
"""Refusals that a change in the directory a moment ago may have lifted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """No, and why. `text` is complete: sentence, clause, where to turn, reference; `detail` is for the log alone."""

    kind: RefusalKind
    text: Text
    clause: str | None
    ref: str
    detail: str = ""


class Refusals:
    """The refusals of one configuration; each call makes one, with a reference of its own."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def _refusal(self, kind: RefusalKind, text: Text, *, clause: str | None = None, detail: str = "") -> Refusal:
        ref = trace_id(self._clock.now_us())
        return Refusal(kind, messages.joined(text, messages.where_to_turn(self._config.support, ref)), clause, ref, detail)

    # ------------------------------------------------------------ who it is

    def wrong_credentials(self, detail: str) -> Refusal:
        """A wrong name or password: in the same words, whatever was wrong; `detail` is for the log."""
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.wrong_credentials(), detail=detail)

    def password_changed(self) -> Refusal:
        """Of a session that is open."""
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.password_changed(), detail="credential-changed")

    def app_password_ended(self) -> Refusal:
        """Of a session that is open, or that begins while it ends."""
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.app_password_ended(), detail="app-password-ended")

    def app_password_elsewhere(self) -> Refusal:
        """The app password is right, and was made for other doors."""
        return self._refusal(RefusalKind.NOT_HERE, messages.app_password_elsewhere(), detail="app-password-door")

    def app_password_needed(self) -> Refusal:
        """The own password is right, and the mailbox has a second factor, which this door cannot ask for."""
        text = messages.app_password_needed(self._config.password_page)
        return self._refusal(RefusalKind.NOT_HERE, text, detail="second-factor")

    def code_wrong(self) -> Refusal:
        """The password was right and the code is not."""
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.code_wrong(), detail="code")

    def code_closed(self) -> Refusal:
        """No code is looked at any more."""
        return self._refusal(RefusalKind.NOT_HERE, messages.code_closed(), clause="15.2", detail="code-closed")

    def waiting(self, wait: Wait) -> Refusal:
        """Too many passwords were wrong."""
        return self._refusal(RefusalKind.TOO_MANY, messages.too_many(wait.seconds), detail=wait.rule)

    def unavailable(self, detail: str) -> Refusal:
        """Nobody can look at the password now."""
        return self._refusal(RefusalKind.UNAVAILABLE, messages.unavailable(), detail=detail)

    def tls_required(self) -> Refusal:
        """No password may travel on this connection as it is."""
        return self._refusal(RefusalKind.TLS_REQUIRED, messages.tls_required())

    def bad_mechanism(self) -> Refusal:
        """The mechanism is not spoken here."""
        return self._refusal(RefusalKind.BAD_MECHANISM, messages.bad_mechanism())

    def failed_exchange(self, failure: sasl.Failure) -> Refusal:
        """What the exchange says; a wrong proof is a wrong password."""
        if failure is sasl.Failure.WRONG_PROOF:
            return self.wrong_credentials("proof")
        if failure is sasl.Failure.BINDING_TYPE:
            return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.channel_binding_type(), detail=failure.value)
        if failure in {sasl.Failure.CHANNEL_BINDING, sasl.Failure.DOWNGRADE}:
            # Somebody in the middle, or a program that is deceived: not a question of syntax.
            return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.channel_binding(), detail=failure.value)
        return self._refusal(RefusalKind.MALFORMED, messages.malformed_sign_in(), detail=failure.value)

    def authority_ended(self, address: str) -> Refusal:
        """Of a session that has a mailbox open that is not its own; what the log knows besides is whose it was."""
        return self._refusal(RefusalKind.NOT_AUTHORISED, messages.authority_ended(address), clause="12.3", detail=address)

    # ------------------------------------------------------------ what the mailbox may do

    def of_state(self, decision: Decision, address: str) -> Refusal | None:
        """The state that keeps everybody out or None; a reclaim is told first, then a suspension."""
        if decision.signs_in:
            return None
        if refusal := self._closed(decision, address):
            return refusal
        if reason := decision.reason(State.PASSWORD_DUE):
            return self._refusal(RefusalKind.PASSWORD_DUE, self._password_due(reason.clause), clause=reason.clause)
        return self.wrong_credentials("not-issued")

    def of_page(self, decision: Decision, address: str) -> Refusal | None:
        """What keeps somebody out of the page where passwords are changed, or None.

        Of a mailbox that is reclaimed there is nothing to say there: whoever may have its password is a stranger by now.
        """
        if decision.changes_password:
            return None
        if decision.reason(State.RECLAIMED):
            return self.wrong_credentials("reclaimed")
        return self.of_state(decision, address)

    def of_shared(self, decision: Decision, address: str) -> Refusal | None:
        """The state of a unit's or group's mailbox that keeps out who is authorised to use it, or None.

        A password that is due is that of the mailbox, not of the person, and keeps nobody out but after a restore (Reg. 7.3.c).
        """
        if refusal := self._closed(decision, address, detail=address):
            return refusal
        reason = decision.reason(State.PASSWORD_DUE)
        if reason is None or reason.clause != RESTORED_CLAUSE:
            return None
        text = messages.shared_password_due(address)
        return self._refusal(RefusalKind.PASSWORD_DUE, text, clause=reason.clause, detail=address)

    def _closed(self, decision: Decision, address: str, detail: str = "") -> Refusal | None:
        for state in (State.RECLAIMED, State.SUSPENDED):
            if reason := decision.reason(state):
                reclaimed = state is State.RECLAIMED
                kind = RefusalKind.RECLAIMED if reclaimed else RefusalKind.SUSPENDED
                words = messages.reclaimed if reclaimed else messages.suspended
                text = words(address, reason.since, reason.clause)
                return self._refusal(kind, text, clause=reason.clause, detail=detail)
        return None

    def _password_due(self, clause_id: str) -> Text:
        page = self._config.password_page
        return messages.password_due(page, clause_id) if page else messages.password_due_at_centre(clause_id)

    def of_sending(self, decision: Decision, address: str) -> Refusal:
        """Of a mailbox that may sign in and not send."""
        reason = decision.reason(State.SEND_LOCKED)
        assert reason is not None, "nothing else lets a mailbox sign in and not send"
        text = messages.send_locked(address, reason.since, reason.clause, decision.reclaimed_at)
        return self._refusal(RefusalKind.SEND_LOCKED, text, clause=reason.clause)
