"""A person's own password and mailbox state, for the password page (Reg. 7.3.c, 15.2).

In: the signed-in mailbox. Out: an `OwnState` to show; a changed password with the fact that its person chose it, or a
refusal with its clause. Blocking: executors only. The present password is checked before, by `web_sign_in`. A person who
knows it has lost nothing, so Reg. 15.2 asks for no letter.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from mic_mail.config.model import Config
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import Text
from mic_mail.policy.credentials.app_passwords import ENDS, living
from mic_mail.policy.credentials.verifiers import Credential
from mic_mail.policy.facts import Draft, Fact, FactKind
from mic_mail.policy.lifecycle import Decision, MailboxState, Reason, timeline
from mic_mail.policy.states import ACCESS
from mic_mail.services.mailboxes.credentials import check_new, hashing, must_still_be, verifiers
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from mic_mail.services.settings import lifecycle_settings
from mic_mail.services.use_cases import UseCases


@dataclass(frozen=True, slots=True)
class PasswordAge:
    """The age of the password and its term. `set_at` is None for one that was migrated (Reg. 5.5)."""

    set_at: datetime | None
    days: int
    due_at: datetime | None
    """The instant from which it has to be changed; None: never."""
    is_ending: bool
    """That instant is near enough to warn the person (`auth.password_warn_days`)."""


@dataclass(frozen=True, slots=True)
class OwnState:
    """The state of the own mailbox, as shown to its person."""

    entry: Entry
    decision: Decision
    upcoming: tuple[Reason, ...]
    """The changes that the clock alone will bring, in order, up to the end of the mailbox."""
    password: PasswordAge


def own_state(
    snapshot: Snapshot, entry: Entry, decision: Decision, *, used: datetime | None, config: Config, now: datetime
) -> OwnState:
    """Compute the state from the facts, the last use and the calendar; pure."""
    settings = lifecycle_settings(config, snapshot.working_days)
    spans = timeline(entry.kind, entry.facts, last_activity=used, settings=settings)
    upcoming: list[Reason] = []
    for span in spans:
        if span.since <= now or (upcoming and upcoming[-1].state is MailboxState.RECLAIMED):
            continue
        upcoming.append(span)
    return OwnState(entry, decision, tuple(upcoming), _password_age(entry, upcoming, config, now))


def _password_age(entry: Entry, upcoming: list[Reason], config: Config, now: datetime) -> PasswordAge:
    kinds = {FactKind.PASSWORD_SET, FactKind.PASSWORD_RESET, FactKind.RESTORED, FactKind.ISSUED}
    last: Fact | None = max((fact for fact in entry.facts if fact.kind in kinds), key=_turn, default=None)
    due_at = next((span.since for span in upcoming if span.state is MailboxState.PASSWORD_DUE), None)
    first = max(config.auth.password_warn_days, default=0)
    warned_from = None if due_at is None else due_at - timedelta(days=first)
    return PasswordAge(
        set_at=last.effective_at if last else None,
        days=max(0, (now - last.effective_at).days) if last else 0,
        due_at=due_at,
        is_ending=warned_from is not None and warned_from <= now,
    )


def _turn(fact: Fact) -> tuple[datetime, int]:
    return fact.effective_at, fact.seq


class OwnPassword(UseCases):
    """Password changes by a person who knows the present password."""

    def change(self, mailbox_id: int, confirmed_version: int, password: str, *, ends_apps: bool = False) -> Credential:
        """Set a password chosen by the person, who has just proved the one of `confirmed_version`.

        App passwords stay, unless the person ends them (`ends_apps`) or the change was due.

        Raises `Superseded` where anything was recorded of the mailbox meanwhile: of several concurrent changes one is made.
        `WeakPassword` where the rules do not allow the password, `NotAllowed` where the mailbox's state does not allow the
        change.
        """
        entry = self._directory.entry(mailbox_id)
        known = entry.last_seq
        must_still_be(entry, confirmed_version)
        now = self._clock.steady_now()
        settings = self.settings()
        decision = entry.decide(now, settings)
        if not decision.changes_password:
            raise NotAllowed(
                Text("Hộp thư không được phép đổi mật khẩu lúc này.", "The mailbox may not change its password now."),
                clause=next(reason.clause for reason in decision.reasons if not ACCESS[reason.state].password_page),
            )
        check_new(self._directory, self._config, entry, password, chosen=True)
        apps = {each.number for each in living(entry.facts, now)}
        ends = bool(apps) and (ends_apps or decision.password_change_due)
        beside = () if ends else tuple(each for each in entry.app_passwords if each.number in apps)
        fact = Draft(FactKind.PASSWORD_SET, now, entry.address, data={ENDS: True} if ends else {})
        made = verifiers(password, hashing(self._config), beside=beside)
        return self._directory.set_credential(mailbox_id, made, fact, after=known)
