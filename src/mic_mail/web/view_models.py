"""View models: a mailbox's state as text and rows for the templates.

In: an `OwnState` (from `services.authentication.own_password`), the octets in use (None: not known), the configuration.
Out: a `MailboxPage`, for the template. Pure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.config.model import Config
from mic_mail.errors import Text
from mic_mail.i18n import messages, pages
from mic_mail.policy.credentials.app_passwords import AppPassword
from mic_mail.policy.labels import scopes_named, state_names
from mic_mail.policy.lifecycle import Decision, MailboxState, Reason
from mic_mail.services.authentication.app_passwords import Listed
from mic_mail.services.authentication.delegated_mailboxes import DelegatedMailbox
from mic_mail.services.authentication.own_password import OwnState, PasswordAge
from mic_mail.services.authentication.refusals import RefusalKind
from mic_mail.web.autosetup.servers import Servers

STATUS = {
    RefusalKind.TOO_MANY: 429,
    RefusalKind.UNAVAILABLE: 503,
}
"""HTTP status of a refused sign-in.

All others are 403: a 401 would have to name an authentication scheme of HTTP (RFC 9110 §15.5.2).
"""


@dataclass(frozen=True, slots=True)
class Coming:
    """One change that time will bring."""

    at: datetime
    text: Text
    clause: str


@dataclass(frozen=True, slots=True)
class Space:
    """The mailbox's use of its quota; `percent` may pass 100."""

    used: int
    of: int
    percent: int
    text: Text
    is_nearly_full: bool


@dataclass(frozen=True, slots=True)
class Program:
    """One server's settings for a mail program."""

    what: Text
    where: str


@dataclass(frozen=True, slots=True)
class AppPasswordRow:
    """One app password, with the token of the form that revokes it."""

    app: AppPassword
    doors: Text
    used: Text
    ended: Text | None
    """The event that ended it."""
    token: str


def app_password_row(listed: Listed, token: str) -> AppPasswordRow:
    """Return an app password as a row for its person."""
    app, use = listed.app, listed.use
    used = pages.APP_NEVER_USED if use is None else pages.app_password_used(use.at, use.door, use.network)
    return AppPasswordRow(app, scopes_named(app.doors), used, app.ended_by.kind.label if app.ended_by else None, token)


def program_settings(servers: Servers) -> tuple[Program, ...]:
    """Return the best server of each kind, and the address book."""
    best = filter(None, map(servers.best, pages.PROGRAM_KINDS))
    found = [
        Program(pages.PROGRAM_KINDS[one.kind], f"{one.host}:{one.port} ({'SSL/TLS' if one.security == 'tls' else 'STARTTLS'})")
        for one in best
    ]
    if servers.address_book is not None:
        found.append(Program(pages.BOOK, servers.address_book))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class MailboxPage:
    """Everything on the page of the own mailbox."""

    name: str
    kind: Text
    states: Text
    is_restricted: bool
    why: Text
    reasons: Sequence[Reason]
    coming: tuple[Coming, ...]
    space: Space | None
    password_set: Text
    password_lasts: Text
    warning: Text | None


@dataclass(frozen=True, slots=True)
class DelegatedMailboxRow:
    """A unit's or group's mailbox that the person uses: a row, nothing of its content."""

    address: str
    name: str
    part: Text
    term: Text
    state: Text
    is_restricted: bool
    space: Text


def delegated_mailbox_row(kept: DelegatedMailbox) -> DelegatedMailboxRow:
    """Return the row in words."""
    entry, decision = kept.entry, kept.decision
    state = (
        pages.BEING_HANDED_OVER if kept.is_handed_over else state_names(decision.states) if decision else pages.STATE_UNKNOWN
    )
    percent = 100 * kept.used // entry.quota_octets if kept.used is not None and entry.quota_octets else 0
    return DelegatedMailboxRow(
        address=entry.address,
        name=entry.display_name,
        part=kept.part.label,
        term=pages.NO_TERM if kept.until is None else pages.term_until(kept.until),
        state=state,
        is_restricted=kept.is_handed_over or decision is None or not decision.sends,
        space=pages.QUOTA_UNKNOWN if kept.used is None else pages.quota(kept.used, entry.quota_octets, percent),
    )


def state_text(state: OwnState, used: int | None, config: Config) -> MailboxPage:
    """Return the page's values in words."""
    entry, decision = state.entry, state.decision
    return MailboxPage(
        name=entry.display_name,
        kind=entry.kind.label,
        states=state_names(decision.states),
        is_restricted=not decision.sends,
        why=_why(entry.address, decision, state.upcoming),
        reasons=decision.reasons,
        coming=tuple(_coming(entry.address, state.upcoming)),
        space=None if used is None else _space(used, entry.quota_octets, config),
        password_set=_set(state.password),
        password_lasts=pages.PASSWORD_LASTS
        if state.password.due_at is None
        else pages.password_lasts_until(state.password.due_at),
        warning=pages.password_ending(state.password.due_at) if state.password.due_at and state.password.is_ending else None,
    )


def _why(address: str, decision: Decision, upcoming: tuple[Reason, ...]) -> Text:
    reason = decision.reason(MailboxState.SEND_LOCKED)
    if reason is None:
        return pages.IN_ORDER
    reclaimed_at = next((one.since for one in upcoming if one.state is MailboxState.RECLAIMED), None)
    return messages.send_locked(address, reason.since, reason.clause, reclaimed_at)


def _coming(address: str, upcoming: tuple[Reason, ...]) -> Iterator[Coming]:
    for reason in upcoming:
        at = reason.since
        match reason.state:
            case MailboxState.PASSWORD_DUE:
                yield Coming(at, pages.will_be_due(at), reason.clause)
            case MailboxState.SUSPENDED:
                yield Coming(at, pages.will_be_suspended(at), reason.clause)
            case MailboxState.SEND_LOCKED:
                yield Coming(at, pages.will_be_locked(at), reason.clause)
            case MailboxState.RECLAIMED:
                yield Coming(at, pages.will_be_reclaimed(address, at), reason.clause)
            case MailboxState.ACTIVE | MailboxState.NOT_ISSUED:  # no rule brings these about with time
                continue


def _space(used: int, of: int, config: Config) -> Space:
    percent = 100 * used // of if of else 0
    return Space(used, of, percent, pages.quota(used, of, percent), percent >= config.quota.warn_percent[0])


def _set(age: PasswordAge) -> Text:
    return pages.PASSWORD_TAKEN_OVER if age.set_at is None else pages.password_set(age.set_at, age.days)
