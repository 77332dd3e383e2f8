"""App passwords: a separate password for each device or program of a mailbox (docs/decisions/0082).

In: a mailbox, a name, the actor. Out: a generated password, shown once and stored as verifiers; the facts that it was
added or revoked; the list of all that were added, with the last use of each. Blocking (PBKDF2): executors and commands
only. Never: check the present password, which `access` does; put a password in a log or in a fact.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from mic_mail.auth import app_passwords
from mic_mail.directory.app_passwords import LastUse
from mic_mail.directory.snapshot import Entry
from mic_mail.errors import BadInput, Text, in_ascii
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials import app_passwords as policy
from mic_mail.policy.credentials.app_passwords import CLAUSE, LONGEST_NAME, MOST_A_DAY, NUMBER, AppPassword, AppPasswordScope
from mic_mail.policy.credentials.verifiers import AppCredential
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.policy.naming.transliteration import one_line
from mic_mail.policy.states import ACCESS
from mic_mail.services.mailboxes.credentials import hashing, must_still_be
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from mic_mail.services.use_cases import UseCases


@dataclass(frozen=True, slots=True)
class Added:
    """A new app password. `password` is shown to the caller only and cannot be recovered later."""

    fact: Fact
    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """An app password that was ever added, and its last use."""

    app: AppPassword
    use: LastUse | None


class AppPasswords(UseCases):
    def listed(self, mailbox_id: int) -> list[Listed]:
        uses = self._directory.app_passwords.uses(mailbox_id)
        found = policy.app_passwords(self._directory.facts(mailbox_id))
        return [Listed(app, uses.get(app.number)) for app in found]

    def add(
        self,
        mailbox_id: int,
        name: str,
        doors: Collection[AppPasswordScope],
        origin: ActContext,
        *,
        confirmed_version: int | None = None,
    ) -> Added:
        """Add an app password for `doors`, or for all listeners where that is empty.

        Refused where the mailbox may not be used or has reached its limit. `confirmed_version`: of the password with which
        the person asks; None: the Centre asks. Raises `Superseded` where that version is no longer current, and where
        anything was recorded of the mailbox meanwhile.
        """
        now = self._clock.steady_now()
        entry = self._directory.entry(mailbox_id)
        if confirmed_version is not None:
            must_still_be(entry, confirmed_version)
        called = self._called(name, entry, now)
        self._must_be_usable(entry, now)
        self._require_slot(entry, now)
        scope = {"doors": " ".join(sorted(doors))} if doors else {}
        draft = origin.draft(FactKind.APP_PASSWORD_ADDED, now, name=called, **scope)
        password = app_passwords.generate()
        made = self._verifiers(password, entry, now)
        fact = self._directory.app_passwords.add(mailbox_id, draft, made, after=entry.facts[-1].seq)
        return Added(fact, called, password)

    def revoke(self, mailbox_id: int, numbers: Collection[int] | None, origin: ActContext) -> list[AppPassword]:
        """Revoke these app passwords (None: all) and return those that were still active."""
        now = self._clock.steady_now()
        facts = self._directory.facts(mailbox_id)
        known = policy.app_passwords(facts)
        if numbers is not None and (unknown := sorted(set(numbers) - {app.number for app in known})):
            which = unknown[0]
            raise BadInput(Text(f"Không có mật khẩu ứng dụng số {which}.", f"No such app password: {which}."))
        ending = [app for app in known if app.lives(now) and (numbers is None or app.number in numbers)]
        drafts = [origin.draft(FactKind.APP_PASSWORD_REVOKED, now, **{NUMBER: app.number}) for app in ending]
        if drafts:
            self._directory.app_passwords.revoke(mailbox_id, drafts, [app.number for app in ending], after=facts[-1].seq)
        return ending

    def _called(self, name: str, entry: Entry, now: datetime) -> str:
        called = one_line(name)
        if not called or len(called) > LONGEST_NAME:
            raise BadInput(
                Text(
                    f"Mật khẩu ứng dụng cần có tên, nhiều nhất {LONGEST_NAME} ký tự.",
                    f"An app password needs a name of at most {LONGEST_NAME} characters.",
                )
            )
        if any(app.name.casefold() == called.casefold() for app in policy.living(entry.facts, now)):
            raise BadInput(
                Text(f"Đã có mật khẩu ứng dụng tên “{called}”.", f"An app password named '{in_ascii(called)}' already exists."),
                remedy=Text("Chọn tên khác, hoặc thu hồi mật khẩu cũ.", "Choose another name, or revoke the old one."),
            )
        return called

    def _must_be_usable(self, entry: Entry, now: datetime) -> None:
        settings = self.settings()
        decision = entry.decide(now, settings)
        if not decision.signs_in:
            raise NotAllowed(
                Text(
                    "Hộp thư hiện không được sử dụng, nên không tạo được mật khẩu ứng dụng.",
                    "The mailbox may not be used now, so no app password can be created.",
                ),
                clause=next(reason.clause for reason in decision.reasons if not ACCESS[reason.state].signs_in),
            )
        if entry.credential is None:
            raise NotAllowed(Text("Hộp thư chưa có mật khẩu.", "The mailbox has no password yet."), clause=CLAUSE)

    def _require_slot(self, entry: Entry, now: datetime) -> None:
        most = self._config.auth.app_passwords
        if len(policy.living(entry.facts, now)) >= most:
            raise NotAllowed(
                Text(
                    f"Mỗi hộp thư có nhiều nhất {most} mật khẩu ứng dụng; đề nghị thu hồi mật khẩu không còn dùng.",
                    f"A mailbox has at most {most} app passwords; revoke those that are not in use.",
                ),
                clause=CLAUSE,
            )
        if policy.added_within_a_day(entry.facts, now) >= MOST_A_DAY:
            raise NotAllowed(
                Text(
                    "Hôm nay đã tạo quá nhiều mật khẩu ứng dụng; đề nghị tạo vào ngày mai.",
                    "Too many app passwords were created today; create the next one tomorrow.",
                ),
                clause=CLAUSE,
            )

    def _verifiers(self, password: str, entry: Entry, now: datetime) -> AppCredential:
        alive = {app.number for app in policy.living(entry.facts, now)}
        beside = [each.scram for each in entry.app_passwords if each.number in alive]
        own = entry.credential.scram if entry.credential is not None else None
        known = own or (beside[0] if beside else None)
        salt, iterations = (known.salt, known.iterations) if known else (None, hashing(self._config).scram_iterations)
        return app_passwords.make(password, salt, iterations)
