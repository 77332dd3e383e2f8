"""A mailbox's second factor: set with a code of the device, verified at the web page, removed.

See docs/decisions/0083.

In: a mailbox, the typed code. Out: whether it is a current, unused code or a recovery code; facts. Blocking: executors
and commands only. Never: decide whether an attempt is allowed, which `access` asks the throttle; put a secret or a code
in a log or a fact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from mic_mail.auth import totp
from mic_mail.auth.password_hash import BadSecret, load_secret
from mic_mail.config.auth import Auth
from mic_mail.config.model import Config
from mic_mail.directory.second_factors import Factor, mailbox_holder
from mic_mail.errors import BadInput, Text
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.credentials.app_passwords import ENDS, ONE_DAY, living
from mic_mail.policy.credentials.second_factor import CLAUSE, second_factor
from mic_mail.policy.facts import Fact, FactKind
from mic_mail.services.mailboxes.credentials import must_still_be
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed
from mic_mail.services.use_cases import UseCases

KEY = "second-factor.key"
MOST_WRONG = 100
"""Wrong codes since the last right one, at most (NIST SP 800-63B §5.2.2)."""

MOST_A_DAY = 10
"""Second factors that may be set within a day: facts are permanent."""


class CodeResult(Enum):
    RIGHT = "right"
    RECOVERY = "recovery"
    WRONG = "wrong"
    CLOSED = "closed"
    """Too many codes were wrong: none is checked any more."""
    UNREADABLE = "unreadable"
    """The secret cannot be decrypted with this server's key."""


class WrongCode(BadInput):
    """The code given to set a factor does not belong to its secret."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A factor that was set, and its recovery codes, shown once."""

    fact: Fact
    recovery: tuple[str, ...] = field(repr=False)


def key_path(config: Config) -> Path:
    return config.server.data_dir / KEY


def asked_factor(auth: Auth, facts: Sequence[Fact]) -> Fact | None:
    """Return the second factor of a mailbox, where the setting requires it."""
    return None if auth.second_factor == "off" else second_factor(facts)


class SecondFactors(UseCases):
    def of(self, mailbox_id: int) -> Factor | None:
        """Return the mailbox's factor, by its facts."""
        fact = second_factor(self._directory.facts(mailbox_id))
        factor = self._directory.second_factors.of(mailbox_holder(mailbox_id)) if fact is not None else None
        return factor if fact is not None and factor is not None and factor.number == fact.seq else None

    def enrol(self, mailbox_id: int, confirmed_version: int, secret: bytes, code: str, origin: ActContext) -> Enrolled:
        """Set this factor if `code` is one of its device; app passwords remain valid.

        `confirmed_version`: of the password with which the person asks. Raises `WrongCode`; `NotAllowed` where there is a
        factor already; `Superseded` where that password is no longer current, and where anything was recorded meanwhile.
        """
        entry, now = self._directory.entry(mailbox_id), self._clock.steady_now()
        must_still_be(entry, confirmed_version)
        facts = entry.facts
        if second_factor(facts) is not None:
            raise NotAllowed(
                Text("Hộp thư đã bật xác thực hai bước.", "The mailbox already has a second factor."), clause=CLAUSE
            )
        if sum(fact.kind is FactKind.SECOND_FACTOR_SET and fact.clocked_at > now - ONE_DAY for fact in facts) >= MOST_A_DAY:
            raise NotAllowed(
                Text(
                    "Hôm nay đã đặt quá nhiều lần; đề nghị đặt vào ngày mai.",
                    "The second factor was set up too often today; try again tomorrow.",
                ),
                clause=CLAUSE,
            )
        step = must_fit(secret, code, now.timestamp())
        holder = mailbox_holder(mailbox_id)
        recovery = totp.recovery_codes()
        digests = [digest for each in recovery if (digest := totp.recovery_digest(holder, each)) is not None]
        draft = origin.draft(FactKind.SECOND_FACTOR_SET, now)
        sealed = totp.seal(load_secret(key_path(self._config)), secret, holder)
        fact = self._directory.second_factors.set_of_mailbox(
            mailbox_id, draft, sealed, step, recovery=digests, after=facts[-1].seq
        )
        return Enrolled(fact, tuple(recovery))

    def remove(self, mailbox_id: int, origin: ActContext, *, ends_apps: bool) -> Fact:
        """Remove the factor; with `ends_apps` also end all app passwords, which are on the lost device."""
        facts, now = self._directory.facts(mailbox_id), self._clock.steady_now()
        if second_factor(facts) is None:
            raise NotAllowed(Text("Hộp thư chưa bật xác thực hai bước.", "The mailbox has no second factor."), clause=CLAUSE)
        ends = {ENDS: True} if ends_apps and living(facts, now) else {}
        draft = origin.draft(FactKind.SECOND_FACTOR_REMOVED, now, **ends)
        return self._directory.second_factors.remove_of_mailbox(mailbox_id, draft, after=facts[-1].seq)

    def check(self, mailbox_id: int, typed: str) -> CodeResult:
        """Return the result of checking `typed`; a right code is consumed."""
        factor = self.of(mailbox_id)
        if factor is None:
            return CodeResult.WRONG
        factors, now = self._directory.second_factors, self._clock.steady_now()
        # 80 bits need no attempt counter (NIST SP 800-63B §5.1.2.2). Recovery codes work after too many wrong device codes.
        digest = totp.recovery_digest(factor.holder, typed)
        if digest is not None:
            return CodeResult.RECOVERY if factors.take_recovery(factor.holder, digest, now) else CodeResult.WRONG
        if factor.wrong >= MOST_WRONG:
            return CodeResult.CLOSED
        try:
            taken = taken_step(factor, load_secret(key_path(self._config)), typed, now.timestamp(), factors.take)
        except (totp.SealBroken, BadSecret):
            return CodeResult.UNREADABLE
        if taken:
            return CodeResult.RIGHT
        factors.was_wrong(factor.holder)
        return CodeResult.CLOSED if factor.wrong + 1 >= MOST_WRONG else CodeResult.WRONG


def must_fit(secret: bytes, code: str, unix_seconds: float) -> int:
    """Return the time step of a code that shows that the device has the secret; `WrongCode`."""
    step = totp.step_of(secret, code, unix_seconds)
    if step is None:
        raise WrongCode(
            Text("Mã không đúng; đề nghị kiểm tra giờ của thiết bị.", "The code is wrong; check the clock of the device.")
        )
    return step


def taken_step(factor: Factor, key: bytes, typed: str, unix_seconds: float, take: Callable[[str, int, int], bool]) -> bool:
    """Return whether `typed` is a current code, and consume it by `take`; `totp.SealBroken`."""
    step = totp.step_of(totp.unseal(key, factor.sealed, factor.holder), typed, unix_seconds)
    return step is not None and take(factor.holder, factor.number, step)
