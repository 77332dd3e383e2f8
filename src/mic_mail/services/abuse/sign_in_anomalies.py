"""The detection of sign-ins that look like a stolen password, from the mail log (Reg. 7.2.c).

An anomaly (`anomaly.*`) is an event; a notice to the mailbox and one to the Centre, once a day for each mailbox and
rule; with `anomaly.suspend` a suspension, for the one rule that is strong enough.

The state and the position in the log are one file, replaced whole: after a kill the same lines are read again from the
same state. The consequences of an anomaly have keys, so repeating them changes nothing.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import MicMailError
from mic_mail.file_trace import trace_of
from mic_mail.i18n.notices import centre, mailbox
from mic_mail.log import tail
from mic_mail.log.error_fields import failure
from mic_mail.log.tail import LogPosition, TailLine
from mic_mail.net.cidr import Networks
from mic_mail.policy.calendar import local_day
from mic_mail.policy.credentials.anomalies import NOBODY, Anomaly, AnomalyDetector, AnomalyLimits, Attempt, network_of
from mic_mail.process.runtime import Runtime
from mic_mail.services.abuse.auto_suspend import AutoSuspend
from mic_mail.services.abuse.breached_password_check import LEAKED, SPRAYED
from mic_mail.services.notifications.lifecycle_notices import AGAIN, LifeNotices

FILE = "sign-ins.json"
BATCHES = 20
"""Batches of 2,000 lines in one run."""
SAVED_EVERY = timedelta(minutes=5)
_WRONG = "wrong-credentials"
_PROOF = "proof"
_COUNTED = frozenset({"password", "user", _PROOF})
"""Details of a refusal whose password was not tried just before; unknown for a SCRAM proof."""
TRIGGER = "sign-in-anomaly"
WHY = "đăng nhập bất thường"


@dataclass(slots=True)
class _State:
    """The contents of the file."""

    cursor: LogPosition
    watch: AnomalyDetector


class SignInWatch:
    """The housekeeper's job for sign-in anomalies. Belongs to the event loop."""

    def __init__(self, runtime: Runtime, directory: Directory, notices: LifeNotices, suspending: AutoSuspend) -> None:
        self._runtime = runtime
        self._directory = directory
        self._notices = notices
        self._suspending = suspending
        self._state: _State | None = None
        self._saved_at: datetime | None = None
        self._exposed: dict[str, str] = {}
        """Mailboxes whose password others know, and how that was found; notices are pending."""
        self._retry_at: dict[Anomaly, datetime] = {}
        """Anomalies whose notice failed, with the next attempt."""
        self._is_behind = False
        """Set where the last run has left lines unread."""
        self._lock = asyncio.Lock()

    def trace(self) -> object:
        """Return what changes when a line is added to the log of these days."""
        folder = self._runtime.config().log_dir
        names = () if self._state is None else sorted(self._state.cursor.offsets)
        return (trace_of(folder), *(trace_of(folder / name) for name in names))

    async def run_once(self) -> bool:
        """Read the log and act; return whether lines, an anomaly or a notice are left for the next run."""
        async with self._lock:
            config, now = self._runtime.config(), self._runtime.clock.now()
            found = await self._runtime.executors.io(self._read_on, config)
            state = self._state
            assert state is not None
            for anomaly in found:
                if self._retry_at.get(anomaly, now) > now:
                    state.watch.again(anomaly)
                    continue
                try:
                    await self._act(anomaly, config)
                    self._retry_at.pop(anomaly, None)
                except Exception as error:  # noqa: BLE001 - one mailbox that cannot take it must not delay the others'
                    self._runtime.log.event("notice_failed", notice=TRIGGER, mailbox=anomaly.mailbox, **failure(error))
                    self._retry_at[anomaly] = now + AGAIN
                    state.watch.again(anomaly)
            await self._notify_exposed(config)
            if found or self._is_old(self._runtime.clock.now()):
                await self._runtime.executors.io(self._save, config)
            return self._is_behind or state.watch.is_waiting or bool(self._exposed)

    # ------------------------------------------------------------ the log, in a thread

    def _read_on(self, config: Config) -> list[Anomaly]:
        now = self._runtime.clock.now()
        today = now.astimezone(UTC).date()
        limits = _limits(config)
        state = self._state = self._state or self._load(config, today, limits)
        state.watch.limits = limits
        exempt = Networks(config.limits.exempt_networks)
        attempts: list[Attempt] = []
        for _ in range(BATCHES):
            batch = tail.read_on(config.log_dir, state.cursor, today)
            state.cursor, self._is_behind = batch.cursor, batch.is_full
            attempts += _attempts(batch.lines, exempt)
            self._exposed.update(_exposed(batch.lines))
            if not batch.is_full:
                break
        for attempt in sorted(attempts, key=lambda each: each.at):  # each process has written its own
            state.watch.take(attempt)
        return state.watch.due(now)

    def _load(self, config: Config, today: date, limits: AnomalyLimits) -> _State:
        try:
            saved = json.loads(_file(config).read_bytes())
            return _State(tail.decoded(saved["cursor"]), AnomalyDetector.of(saved["watch"], limits))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return _State(tail.at_the_end(config.log_dir, today), AnomalyDetector(limits))

    def _is_old(self, now: datetime) -> bool:
        """Return whether the state was last saved an interval ago; the clock may have been set back."""
        return self._saved_at is None or abs(now - self._saved_at) >= SAVED_EVERY

    def _save(self, config: Config) -> None:
        """Save the state: after a finding, and at intervals."""
        now, state = self._runtime.clock.now(), self._state
        if state is None:
            return
        state.watch.forget(now)
        saved = {"cursor": tail.encoded(state.cursor), "watch": state.watch.kept()}
        path = _file(config)
        fresh = path.with_suffix(".new")
        self._saved_at = now  # on a full disk it is retried at the next interval, and the watch goes on
        try:
            fresh.write_text(json.dumps(saved, ensure_ascii=False))
            fresh.chmod(0o600)
            fresh.replace(path)
        except OSError as error:
            self._runtime.log.event("sign_in_watch_not_kept", **failure(error))

    # ------------------------------------------------------------ consequences

    async def _act(self, anomaly: Anomaly, config: Config) -> None:
        entry = self._runtime.snapshot().resolve(anomaly.mailbox)
        if entry is None:
            return
        key = f"sign-in:{entry.mailbox_id}:{anomaly.rule}:{local_day(anomaly.at).isoformat()}"
        suspends = config.anomaly.suspend and anomaly.rule.is_strong
        rule, at, network, count = anomaly.rule, anomaly.at, anomaly.network, anomaly.count
        once = f"{key}:{anomaly.at.isoformat()}"  # the notices come once a day; a mailbox may have been restored in between
        if not await self._runtime.executors.io(self._directory.sent.known, [once]):
            if suspends and not await self._suspending.suspend(entry.mailbox_id, TRIGGER, WHY):
                raise NotSuspended  # no notice claims a suspension; the anomaly is retried
            self._runtime.log.event(
                "sign_in_anomaly", mailbox=entry.address, clause="7.2.c", rule=rule.value, network=network, count=count,
                signed_in_at=at, suspended=suspends,
            )  # fmt: skip
            await self._runtime.executors.io(self._directory.sent.put, [once], self._runtime.clock.steady_now())
        await self._notices.notify_owner(f"{key}:owner", entry, mailbox.sign_in_anomaly(entry.address, at, network))
        letter = centre.sign_in_anomaly_found(entry.address, at, network, rule.value, count, suspended=suspends)
        await self._notices.notify_centre(f"{key}:centre", letter)

    async def _notify_exposed(self, config: Config) -> None:
        """Notify each owner once for each known password, and the Centre once a day."""
        today, exposed = local_day(self._runtime.clock.now()), dict(self._exposed)
        for address, how in exposed.items():
            entry = self._runtime.snapshot().resolve(address)
            if entry is not None and entry.credential is not None:
                key = f"exposed:{entry.mailbox_id}:{entry.credential.version}"
                letter = mailbox.password_exposed(entry.address, self._notices.renew, sprayed=how == SPRAYED)
                try:
                    await self._notices.notify_owner(key, entry, letter)
                except Exception as error:  # noqa: BLE001 - as above: retried in the next run
                    self._runtime.log.event("notice_failed", notice="password_exposed", mailbox=address, **failure(error))
                    continue
            del self._exposed[address]
        if exposed:
            counts = [sum(how == each for how in exposed.values()) for each in (LEAKED, SPRAYED)]
            try:
                await self._notices.notify_centre(f"exposed:{today.isoformat()}", centre.passwords_exposed(today, *counts))
            except MicMailError as error:
                self._runtime.log.event("notice_failed", notice="passwords_exposed", mailbox=config.support, **failure(error))


class NotSuspended(MicMailError):
    """The suspension could not be recorded."""

    def __init__(self) -> None:
        super().__init__("the mailbox could not be suspended")


def _attempts(lines: Iterable[TailLine], exempt: Networks) -> Iterable[Attempt]:
    for line in lines:
        fields = line.fields
        ok = fields.get("event") == "signed_in"
        wrong = fields.get("reason") == _WRONG and fields.get("detail") in _COUNTED
        if not ok and not (fields.get("event") == "sign_in_refused" and wrong):
            continue
        peer, mailbox_name = fields.get("peer"), fields.get("mailbox")
        network = network_of(peer) if isinstance(peer, str) else None
        if network is None or not isinstance(mailbox_name, str) or str(peer) in exempt:
            continue
        if mailbox_name.startswith(NOBODY):
            mailbox_name = f"{mailbox_name} {fields.get('name_mark', '')}"
        at, differs = datetime.fromisoformat(str(fields["at"])), fields.get("detail") != _PROOF
        yield Attempt(at, mailbox_name, network, ok, differs)


def _exposed(lines: Iterable[TailLine]) -> Iterable[tuple[str, str]]:
    """Yield exposed passwords, except of suspended mailboxes, whose notices follow from the fact."""
    for line in lines:
        fields = line.fields
        if fields.get("event") == "password_exposed" and fields.get("action") != "suspend":
            yield str(fields.get("mailbox")), str(fields.get("detail"))


def _limits(config: Config) -> AnomalyLimits:
    anomaly = config.anomaly
    return AnomalyLimits(timedelta(seconds=anomaly.window), anomaly.sprayed, anomaly.guesses, anomaly.networks)


def _file(config: Config) -> Path:
    return config.state_dir / FILE
