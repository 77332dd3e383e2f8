"""A mailbox's second factor: set by its person with a code of the device, asked for at the page, removed (docs/decisions/0083).

In: a mailbox, what was typed. Out: whether it is a code of now that nobody has used, or a recovery code; facts. Blocking: lanes
and commands only. Never: whether it may be tried, which `access` asks the throttle; a secret or a code in a log or a fact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from mic_mail.auth import totp
from mic_mail.auth.password_hash import BadSecret, load_secret
from mic_mail.clock import Clock
from mic_mail.config.auth import Auth
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.second_factors import Factor, mailbox_holder
from mic_mail.errors import BadInput, Text
from mic_mail.policy.app_passwords import ENDS, ONE_DAY, living
from mic_mail.policy.facts import Detail, Draft, Fact, FactKind
from mic_mail.policy.second_factor import CLAUSE, second_factor
from mic_mail.services.mailboxes.credentials import ActContext, must_still_be
from mic_mail.services.mailboxes.lifecycle_actions import NotAllowed

KEY = "second-factor.key"
MOST_WRONG = 100
"""Codes of the device since the last right one (NIST SP 800-63B §5.2.2); who guesses has the password."""

MOST_A_DAY = 10
"""How often one may be set within a day: facts stay for ever."""


class Checked(Enum):
    """What became of a code."""

    RIGHT = "right"
    RECOVERY = "recovery"
    WRONG = "wrong"
    CLOSED = "closed"
    """Too many were wrong: none is looked at any more."""
    UNREADABLE = "unreadable"
    """The secret cannot be read with this server's key."""


class WrongCode(BadInput):
    """The code that should set a factor is none of its secret."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A factor that was set, and its recovery codes, told once."""

    fact: Fact
    recovery: tuple[str, ...] = field(repr=False)


def key_path(config: Config) -> Path:
    """Where the key lies under which secrets are sealed."""
    return config.server.data_dir / KEY


def asked_factor(auth: Auth, facts: Sequence[Fact]) -> Fact | None:
    """The second factor of a mailbox, where the setting asks for it."""
    return None if auth.second_factor == "off" else second_factor(facts)


class SecondFactors:
    """The use cases of one directory."""

    def __init__(self, directory: Directory, config: Config, clock: Clock) -> None:
        self._directory = directory
        self._config = config
        self._clock = clock

    def of(self, mailbox_id: int) -> Factor | None:
        """The factor that the mailbox has, by its facts."""
        fact = second_factor(self._directory.facts(mailbox_id))
        factor = self._directory.second_factors.of(mailbox_holder(mailbox_id)) if fact is not None else None
        return factor if fact is not None and factor is not None and factor.number == fact.seq else None

    def enrol(self, mailbox_id: int, confirmed_version: int, secret: bytes, code: str, origin: ActContext) -> Enrolled:
        """The mailbox has this factor from now on, if `code` is one of its device; app passwords go on.

        `confirmed_version`: of the password by which its person asks. `WrongCode`; `NotAllowed` where there is one already;
        `Superseded` where that is not the mailbox's password any more, and where anything was recorded meanwhile.
        """
        entry, now = self._directory.entry(mailbox_id), self._clock.steady_now()
        must_still_be(entry, confirmed_version)
        facts = entry.facts
        if second_factor(facts) is not None:
            raise NotAllowed(
                Text("Hộp thư đã bật xác thực hai bước.", "The mailbox has a second factor already."), clause=CLAUSE
            )
        if sum(fact.kind is FactKind.SECOND_FACTOR_SET and fact.clocked_at > now - ONE_DAY for fact in facts) >= MOST_A_DAY:
            raise NotAllowed(
                Text("Hôm nay đã đặt quá nhiều lần; đề nghị đặt vào ngày mai.", "It was set too often today; try tomorrow."),
                clause=CLAUSE,
            )
        step = must_fit(secret, code, now.timestamp())
        holder = mailbox_holder(mailbox_id)
        recovery = totp.recovery_codes()
        digests = [digest for each in recovery if (digest := totp.recovery_digest(holder, each)) is not None]
        draft = Draft(FactKind.SECOND_FACTOR_SET, now, origin.actor, origin.reason, origin.document, origin.details())
        sealed = totp.seal(load_secret(key_path(self._config)), secret, holder)
        fact = self._directory.second_factors.set_of_mailbox(mailbox_id, draft, sealed, step, digests, after=facts[-1].seq)
        return Enrolled(fact, tuple(recovery))

    def remove(self, mailbox_id: int, origin: ActContext, *, ends_apps: bool) -> Fact:
        """The mailbox has none any more; with `ends_apps` no app password either (they are on the device that was lost)."""
        facts, now = self._directory.facts(mailbox_id), self._clock.steady_now()
        if second_factor(facts) is None:
            raise NotAllowed(Text("Hộp thư chưa bật xác thực hai bước.", "The mailbox has no second factor."), clause=CLAUSE)
        data: dict[str, Detail] = origin.details()
        if ends_apps and living(facts, now):
            data[ENDS] = True
        draft = Draft(FactKind.SECOND_FACTOR_REMOVED, now, origin.actor, origin.reason, origin.document, data)
        return self._directory.second_factors.remove_of_mailbox(mailbox_id, draft, after=facts[-1].seq)

    def check(self, mailbox_id: int, typed: str) -> Checked:
        """What `typed` is, used up by that if it is right."""
        factor = self.of(mailbox_id)
        if factor is None:
            return Checked.WRONG
        factors, now = self._directory.second_factors, self._clock.steady_now()
        # 80 bits need no count of their own (NIST SP 800-63B §5.1.2.2), and stay open where too many codes were wrong.
        digest = totp.recovery_digest(factor.holder, typed)
        if digest is not None:
            return Checked.RECOVERY if factors.take_recovery(factor.holder, digest, now) else Checked.WRONG
        if factor.wrong >= MOST_WRONG:
            return Checked.CLOSED
        try:
            taken = taken_step(factor, load_secret(key_path(self._config)), typed, now.timestamp(), factors.take)
        except (totp.SealBroken, BadSecret):
            return Checked.UNREADABLE
        if taken:
            return Checked.RIGHT
        factors.was_wrong(factor.holder)
        return Checked.CLOSED if factor.wrong + 1 >= MOST_WRONG else Checked.WRONG


def must_fit(secret: bytes, code: str, unix_seconds: float) -> int:
    """The step of a code that shows that the device has the secret; `WrongCode`."""
    step = totp.step_of(secret, code, unix_seconds)
    if step is None:
        raise WrongCode(
            Text("Mã không đúng; đề nghị kiểm tra giờ của thiết bị.", "The code is wrong; check the clock of the device.")
        )
    return step


def taken_step(factor: Factor, key: bytes, typed: str, unix_seconds: float, take: Callable[[str, int, int], bool]) -> bool:
    """Whether `typed` is a code of the factor now, and used up by `take` here and now. Raises `totp.SealBroken`."""
    step = totp.step_of(totp.unseal(key, factor.sealed, factor.holder), typed, unix_seconds)
    return step is not None and take(factor.holder, factor.number, step)
