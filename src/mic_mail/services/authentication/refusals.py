"""The reasons for which a sign-in or a command of an open session is refused, with their texts.

In: the finding of `access`: a policy decision, a limit, a failed exchange. Out: a `Refusal`, whose sentence ends with
the support contact and the reference under which the log has it. Nothing is decided here.
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
from mic_mail.policy.lifecycle import Decision, MailboxState
from mic_mail.policy.unit_mail.delegation import RESTORED_CLAUSE


class RefusalKind(StrEnum):
    """The kind of a refusal, which a listener maps to its protocol's code."""

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
    """The password is right, but of a kind that this listener does not accept."""


MAY_BE_STALE = {
    RefusalKind.WRONG_CREDENTIALS,
    RefusalKind.SUSPENDED,
    RefusalKind.PASSWORD_DUE,
    RefusalKind.RECLAIMED,
    RefusalKind.SEND_LOCKED,
    RefusalKind.NOT_HERE,
}
"""Refusals that a very recent change in the directory may have lifted."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal and its reason.

    `text` is complete: sentence, clause, support contact, reference. `detail` is for the log only.
    """

    kind: RefusalKind
    text: Text
    clause: str | None
    ref: str
    detail: str = ""


class Refusals:
    """The refusals of one configuration; each call makes one, with its own reference."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock

    def _refusal(self, kind: RefusalKind, text: Text, *, clause: str | None = None, detail: str = "") -> Refusal:
        ref = trace_id(self._clock.now_us())
        return Refusal(kind, messages.joined(text, messages.where_to_turn(self._config.support, ref)), clause, ref, detail)

    def wrong_credentials(self, detail: str) -> Refusal:
        """Refuse a wrong name or password, in the same words for both; `detail` is for the log."""
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.WRONG_CREDENTIALS, detail=detail)

    def password_changed(self) -> Refusal:
        """End an open session whose password was changed."""
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.PASSWORD_CHANGED, detail="credential-changed")

    def app_password_ended(self) -> Refusal:
        """End an open session, or refuse a new one, whose app password has ended."""
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.APP_PASSWORD_ENDED, detail="app-password-ended")

    def app_password_elsewhere(self) -> Refusal:
        """Refuse a right app password that was made for other listeners."""
        return self._refusal(RefusalKind.NOT_HERE, messages.APP_PASSWORD_ELSEWHERE, detail="app-password-door")

    def app_password_needed(self) -> Refusal:
        """Refuse the right own password: the mailbox has a second factor, which this listener cannot ask for."""
        text = messages.app_password_needed(self._config.password_page)
        return self._refusal(RefusalKind.NOT_HERE, text, detail="second-factor")

    def code_wrong(self) -> Refusal:
        return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.CODE_WRONG, detail="code")

    def code_closed(self) -> Refusal:
        """Refuse the code unchecked: too many were wrong."""
        return self._refusal(RefusalKind.NOT_HERE, messages.CODE_CLOSED, clause="15.2", detail="code-closed")

    def waiting(self, wait: Wait) -> Refusal:
        return self._refusal(RefusalKind.TOO_MANY, messages.too_many(wait.seconds), detail=wait.rule)

    def unavailable(self, detail: str) -> Refusal:
        return self._refusal(RefusalKind.UNAVAILABLE, messages.UNAVAILABLE, detail=detail)

    def tls_required(self) -> Refusal:
        return self._refusal(RefusalKind.TLS_REQUIRED, messages.TLS_REQUIRED)

    def bad_mechanism(self) -> Refusal:
        return self._refusal(RefusalKind.BAD_MECHANISM, messages.BAD_MECHANISM)

    def failed_exchange(self, failure: sasl.Failure) -> Refusal:
        """Return the refusal for a failed exchange; a wrong proof counts as a wrong password."""
        if failure is sasl.Failure.WRONG_PROOF:
            return self.wrong_credentials("proof")
        if failure is sasl.Failure.BINDING_TYPE:
            return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.CHANNEL_BINDING_TYPE, detail=failure.value)
        if failure in {sasl.Failure.CHANNEL_BINDING, sasl.Failure.DOWNGRADE}:
            # A man in the middle or a deceived client, not a syntax error.
            return self._refusal(RefusalKind.WRONG_CREDENTIALS, messages.CHANNEL_BINDING, detail=failure.value)
        return self._refusal(RefusalKind.MALFORMED, messages.MALFORMED_SIGN_IN, detail=failure.value)

    def grant_ended(self, address: str) -> Refusal:
        """End the access of an open session to a mailbox that is not its own; the log gets its address."""
        return self._refusal(RefusalKind.NOT_AUTHORISED, messages.grant_ended(address), clause="12.3", detail=address)

    def of_state(self, decision: Decision, address: str) -> Refusal | None:
        """Return the refusal by the mailbox's state, or None; a reclamation goes before a suspension."""
        if decision.signs_in:
            return None
        if refusal := self._closed(decision, address):
            return refusal
        if reason := decision.reason(MailboxState.PASSWORD_DUE):
            return self._refusal(RefusalKind.PASSWORD_DUE, self._password_due(reason.clause), clause=reason.clause)
        return self.wrong_credentials("not-issued")

    def of_page(self, decision: Decision, address: str) -> Refusal | None:
        """Return the refusal at the password page, in the words of the mail services, or None."""
        return None if decision.changes_password else self.of_state(decision, address)

    def of_shared(self, decision: Decision, address: str) -> Refusal | None:
        """Return the refusal by the state of a unit's or group's mailbox for a person with a grant, or None.

        A password that is due is the mailbox's, not the person's: it keeps nobody out except after a restore (Reg. 7.3.c).
        """
        if refusal := self._closed(decision, address, detail=address):
            return refusal
        reason = decision.reason(MailboxState.PASSWORD_DUE)
        if reason is None or reason.clause != RESTORED_CLAUSE:
            return None
        text = messages.shared_password_due(address)
        return self._refusal(RefusalKind.PASSWORD_DUE, text, clause=reason.clause, detail=address)

    def _closed(self, decision: Decision, address: str, detail: str = "") -> Refusal | None:
        for state in (MailboxState.RECLAIMED, MailboxState.SUSPENDED):
            if reason := decision.reason(state):
                reclaimed = state is MailboxState.RECLAIMED
                kind = RefusalKind.RECLAIMED if reclaimed else RefusalKind.SUSPENDED
                words = messages.reclaimed if reclaimed else messages.suspended
                text = words(address, reason.since, reason.clause)
                return self._refusal(kind, text, clause=reason.clause, detail=detail)
        return None

    def _password_due(self, clause_id: str) -> Text:
        page = self._config.password_page
        return messages.password_due(page, clause_id) if page else messages.password_due_at_centre(clause_id)

    def of_sending(self, decision: Decision, address: str) -> Refusal:
        """Return the refusal for a mailbox that may sign in but not send."""
        reason = decision.reason(MailboxState.SEND_LOCKED)
        assert reason is not None, "nothing else lets a mailbox sign in and not send"
        text = messages.send_locked(address, reason.since, reason.clause, decision.reclaimed_at)
        return self._refusal(RefusalKind.SEND_LOCKED, text, clause=reason.clause)
