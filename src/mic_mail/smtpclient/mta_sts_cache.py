"""Cache the MTA-STS policies of domains (RFC 8461 §3.3, §5.1).

They are looked up by DNS, fetched by HTTPS, and stored on disk as long as they are valid. In: a domain. Out: the policy in
force, or None. A policy once fetched stays in force until it expires, whatever becomes of its record, its server or this
process: an attacker who can disturb those for an hour must not be able to read the mail. It is fetched again when the record
has another id, and each day while it is used, so that it does not expire.
    sts/tmp/DOMAIN    while it is written       sts/live/DOMAIN    the policy, its id, when it was fetched; durable

Certificates are checked by the wall clock: while that is not settled, neither success nor failure of a fetch is remembered.

One process writes. A file that cannot be read is no policy, and is replaced by the next. Bound to an event loop.
"""

import asyncio
import json
import os
import re
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mic_mail.domain_name import NotAName
from mic_mail.durable_files import make_durable, write_durably
from mic_mail.log.error_fields import described, failure
from mic_mail.net import https_fetch
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver
from mic_mail.net.https_fetch import FetchBounds, NotFetched
from mic_mail.process.runtime import Runtime
from mic_mail.smtpclient import mta_sts
from mic_mail.smtpclient.mta_sts import Mode, NotAPolicy, StsPolicy
from mic_mail.smtpclient.mx import MOST_ADDRESSES

FORMAT = 1
HTTPS_PORT = 443
FETCH_SECONDS = 60.0
MOST = 10_000
REFRESH_SECONDS = 86_400.0
LOOK_SECONDS = 900.0
"""Interval between checks for policies to fetch again."""
UNUSED_SECONDS = 30 * 86_400.0
"""A policy may expire if no mail was sent to its domain for so long."""
FAILED_SECONDS = 900.0
"""A policy that could not be fetched is not tried again sooner, unless it has another id.

§3.3 requires at least five minutes.
"""
AT_ONCE = 4
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


def cached_in(root: Path) -> Path:
    """Return the folder of the cached policies, below the folder of `Policies`."""
    return root / "live"


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Settings that tests change."""

    port: int = HTTPS_PORT
    authorities: Path | None = None
    """The trusted certificate authorities; None: those of the system."""
    seconds: float = FETCH_SECONDS
    most: int = MOST


@dataclass(frozen=True, slots=True)
class _Kept:
    policy: StsPolicy
    policy_id: str
    fetched_at_us: int

    def ends_at_us(self) -> int:
        return self.fetched_at_us + self.policy.max_age_seconds * 1_000_000


@dataclass(slots=True)
class _Failures:
    """Recent failures to fetch."""

    until: dict[tuple[str, str], float] = field(default_factory=dict)

    def note(self, domain: str, policy_id: str, now: float) -> None:
        self.until = {key: until for key, until in self.until.items() if now < until}
        self.until[domain, policy_id] = now + FAILED_SECONDS

    def has(self, domain: str, policy_id: str, now: float) -> bool:
        return now < self.until.get((domain, policy_id), 0.0)


class Policies:
    """The policies of one server."""

    def __init__(self, runtime: Runtime, root: Path, resolver: Resolver, settings: PolicySettings) -> None:
        self._tmp, self._live = root / "tmp", cached_in(root)
        self._resolver = resolver
        self._settings = settings
        self._executors = runtime.executors
        self._clock = runtime.clock
        self._log = runtime.log
        self._kept: dict[str, _Kept] | None = None
        self._used: dict[str, float] = {}
        self._failed = _Failures()
        self._under_way: dict[str, asyncio.Task[tuple[StsPolicy | None, bool]]] = {}
        self._reading = asyncio.Lock()

    async def ask(self, domain: str) -> tuple[StsPolicy | None, bool]:
        """Return the policy in force for a domain (in A-labels), and whether the answer is certain.

        None where there is none, or its mode is none. It is not certain where a lookup or fetch failed and nothing is cached.
        """
        if _NAME.fullmatch(domain) is None:
            return None, True
        task = self._under_way.get(domain)
        if task is None:
            task = self._under_way[domain] = asyncio.get_running_loop().create_task(self._found(domain))
            task.add_done_callback(lambda _: self._under_way.pop(domain, None))
        policy, is_certain = await asyncio.shield(task)
        return (policy if policy is not None and policy.mode is not Mode.NONE else None), is_certain

    def clock_moved(self) -> None:
        """Allow failed fetches again after the clock was set."""
        self._failed = _Failures()

    async def run(self) -> None:
        """Fetch policies in use again before they expire; until cancelled."""
        while True:
            try:
                await self.refresh()
            except OSError:  # the disk takes no writes now
                pass
            except Exception as error:  # noqa: BLE001 - an old policy is no reason to stop sending
                self._log.event("policies_not_refreshed", **failure(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def refresh(self) -> None:
        """Fetch policies again that need it.

        These are a day old, have passed half of their time, or were fetched under a clock that was since set back.
        """
        now_us, now = self._clock.steady_us(), self._clock.monotonic()
        due = [
            domain
            for domain, kept in (await self._all()).items()
            if not 0 <= now_us - kept.fetched_at_us < min(REFRESH_SECONDS, kept.policy.max_age_seconds / 2) * 1_000_000
            and now - self._used.setdefault(domain, now) < UNUSED_SECONDS
        ]
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(domain: str) -> None:
            async with gate:
                policy_id, _ = await self._announced(domain)
                if policy_id is not None and not self._failed.has(domain, policy_id, self._clock.monotonic()):
                    await self._fetched(domain, policy_id)

        await asyncio.gather(*(one(domain) for domain in due))

    # ------------------------------------------------------------ one domain

    async def _found(self, domain: str) -> tuple[StsPolicy | None, bool]:
        kept = self._in_force(await self._all(), domain)
        now = self._clock.monotonic()
        if kept is not None:
            self._used[domain] = now
        policy_id, is_certain = await self._announced(domain)
        is_new = policy_id is not None and (kept is None or kept.policy_id != policy_id)
        if policy_id is not None and is_new:
            is_certain = False
            if not self._failed.has(domain, policy_id, now) and (fresh := await self._fetched(domain, policy_id)) is not None:
                self._used[domain] = now
                return fresh, True
        return (kept.policy, True) if kept is not None else (None, is_certain)

    async def _announced(self, domain: str) -> tuple[str | None, bool]:
        """Return the id in the domain's record, and whether that is certain.

        Without an id the cached policy counts (§3.3).
        """
        try:
            return mta_sts.policy_id((await self._resolver.txt(f"_mta-sts.{domain}")).values), True
        except (NoSuchName, NotAName):
            return None, True
        except DnsUnavailable:
            return None, False

    async def _fetched(self, domain: str, policy_id: str) -> StsPolicy | None:
        name, settings, is_settled = f"mta-sts.{domain}", self._settings, self._clock.is_settled()
        try:
            addresses = (await self._resolver.addresses(name)).values[: 2 * MOST_ADDRESSES]
            context = await self._executors.io(_context, settings.authorities)
            bounds = FetchBounds(mta_sts.POLICY_OCTETS, settings.seconds)
            octets = await https_fetch.text(
                name, "/.well-known/mta-sts.txt", addresses=addresses, port=settings.port, context=context, bounds=bounds
            )
            policy = mta_sts.parse(octets)
        except (NotFetched, NotAPolicy, NoSuchName, NotAName, DnsUnavailable, OSError) as error:
            if is_settled and self._clock.is_settled():
                self._failed.note(domain, policy_id, self._clock.monotonic())
            self._log.event("tls_policy_not_fetched", domain=domain, policy=policy_id, error=described(error))
            return None
        if is_settled and self._clock.is_settled():
            await self._keep(domain, _Kept(policy, policy_id, self._clock.steady_us()))
        return policy

    # ------------------------------------------------------------ cache

    def _in_force(self, all_kept: dict[str, _Kept], domain: str) -> _Kept | None:
        kept = all_kept.get(domain)
        return kept if kept is not None and self._clock.steady_us() < kept.ends_at_us() else None

    async def _all(self) -> dict[str, _Kept]:
        async with self._reading:
            if self._kept is None:
                self._kept = await self._executors.io(self._read, self._clock.steady_us())
        return self._kept

    async def _keep(self, domain: str, kept: _Kept) -> None:
        """Cache a policy, in memory in any case: a full disk is no reason to send without it."""
        all_kept = await self._all()
        before = all_kept.get(domain)
        all_kept[domain] = kept
        now_us = self._clock.steady_us()
        gone = [name for name, each in all_kept.items() if name != domain and each.ends_at_us() <= now_us]
        for name in gone:
            del all_kept[name]
        while len(all_kept) > self._settings.most:
            first = min((name for name in all_kept if name != domain), key=lambda name: all_kept[name].ends_at_us())
            del all_kept[first]
            gone.append(first)
        for name in gone:
            self._used.pop(name, None)
        try:
            await self._executors.io(self._write, domain, kept, gone)
        except OSError as error:
            self._log.event("tls_policy_not_kept", domain=domain, error=described(error))
        if before is None or before.policy != kept.policy:
            policy = kept.policy
            self._log.event(
                "tls_policy", domain=domain, policy=kept.policy_id, mode=policy.mode, max_age=policy.max_age_seconds
            )

    def _read(self, now_us: int) -> dict[str, _Kept]:
        for directory in (self._tmp, self._live):
            directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        for name in os.listdir(self._tmp):
            (self._tmp / name).unlink(missing_ok=True)
        found: dict[str, _Kept] = {}
        for name in os.listdir(self._live):
            try:
                kept = _decoded((self._live / name).read_bytes())
            except (OSError, ValueError):
                continue
            # Fetched under a clock that was since set back: its validity begins now, and not in years.
            found[name] = replace(kept, fetched_at_us=min(kept.fetched_at_us, now_us))
        return found

    def _write(self, domain: str, kept: _Kept, gone: list[str]) -> None:
        fresh = self._tmp / domain
        write_durably(fresh, _encoded(kept), 0o640)
        os.rename(fresh, self._live / domain)
        for name in gone:
            (self._live / name).unlink(missing_ok=True)
        make_durable(self._live)


def _encoded(kept: _Kept) -> bytes:
    policy = kept.policy
    record = {
        "format": FORMAT,
        "id": kept.policy_id,
        "fetched_at_us": kept.fetched_at_us,
        "mode": policy.mode,
        "mx": policy.patterns,
        "max_age": policy.max_age_seconds,
    }
    return json.dumps(record).encode()


def _decoded(octets: bytes) -> _Kept:
    """Decode a policy file; `ValueError` for anything this class has not written."""
    try:
        record: dict[str, Any] = json.loads(octets)
        if record["format"] != FORMAT:
            raise ValueError("unknown format")
        max_age = min(int(record["max_age"]), mta_sts.LONGEST_SECONDS)
        policy = StsPolicy(Mode(record["mode"]), tuple(map(str, record["mx"])), max_age)
        return _Kept(policy, str(record["id"]), int(record["fetched_at_us"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a policy: {error}") from error


def _context(authorities: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authorities and str(authorities))
    context.hostname_checks_common_name = False
    return context
