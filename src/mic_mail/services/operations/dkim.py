"""The life cycle of DKIM keys: a key signs only once the DNS has its record, or an operator forces it.

    add, rotate   a new key: announced          its record is to be published
    switch        announced -> signing          as soon as the DNS has it (the queue runner checks); the previous key retires
    use           announced, retired -> signing an operator forces it
    remove        announced; retired for a week -> gone

The key ring's lock orders concurrent commands; each checks again under it. Without an answer from the DNS nothing
changes: a signing key goes on. Blocking, except `switch`.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mic_mail.clock import Clock
from mic_mail.errors import BadInput, Refused, Text
from mic_mail.i18n import dates
from mic_mail.log.maillog import MailLog
from mic_mail.mailauth.dkim_header import matching_key
from mic_mail.net.dns import DnsUnavailable, NoSuchName, Resolver
from mic_mail.process.executors import Executors
from mic_mail.smtpclient.dkim_keys import (
    LEAST_BITS,
    MOST_BITS,
    Algorithm,
    Key,
    KeyFolder,
    KeyState,
    KeyUnusable,
    Ring,
    generate,
    is_selector,
    record_of,
)

RETIRED_FOR = timedelta(days=7)
"""The time for which a retired key's record stays.

Other servers retry for five days, and may verify late.
"""
SWITCH_SECONDS = 600.0
_US = timedelta(microseconds=1)


class PublishedKey(StrEnum):
    """The DNS's state of a key."""

    THIS = "this"
    NOTHING = "nothing"
    OTHER = "other"
    """Another record, or several records: then none is valid (RFC 6376 §3.6.2.2)."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class KeyParameters:
    """The parameters of a new key."""

    domain: str
    algorithm: Algorithm
    bits: int


async def published_key(resolver: Resolver, key: Key) -> PublishedKey:
    try:
        found = (await resolver.txt(key.name)).values
    except NoSuchName:
        return PublishedKey.NOTHING
    except DnsUnavailable:
        return PublishedKey.UNKNOWN
    if not found:
        return PublishedKey.NOTHING
    return PublishedKey.THIS if len(found) == 1 and matching_key(found[0], key.record) is not None else PublishedKey.OTHER


class DkimKeys:
    """The DKIM keys of one server."""

    def __init__(self, folder: KeyFolder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def all(self) -> tuple[Key, ...]:
        """Return the keys on record; raises `KeyUnusable`."""
        return self._folder.read()

    def trouble(self, key: Key) -> Text | None:
        """Return why the key's secret is unusable, or None."""
        try:
            self._folder.private(key)
        except KeyUnusable as error:
            return error.text
        return None

    def published(self) -> list[Key]:
        """Return the keys whose record has to be in the DNS: a retired one for a week."""
        return [key for key in self.all() if key.state is not KeyState.RETIRED or self.has_to_stay(key)]

    def has_to_stay(self, key: Key) -> bool:
        """Return whether mail signed by a retired key may still be in transit."""
        return self._clock.now_us() - key.since_us < RETIRED_FOR // _US

    def add(self, domains: Sequence[str], algorithm: Algorithm, bits: int, selector: str | None) -> list[Key]:
        """Make a new key for each domain, announced."""
        if algorithm is Algorithm.RSA and not LEAST_BITS <= bits <= MOST_BITS:
            raise BadInput(
                Text(
                    f"Khóa RSA phải có từ {LEAST_BITS} đến {MOST_BITS} bit (RFC 8301).",
                    f"An RSA key must have {LEAST_BITS} to {MOST_BITS} bits (RFC 8301).",
                )
            )
        if selector is not None and not is_selector(selector):
            raise BadInput(
                Text(
                    "Bộ chọn chỉ gồm a-z, 0-9, dấu nối; dài 1-63.",
                    "A selector consists of 1 to 63 characters of a-z, 0-9 and hyphens.",
                )
            )
        with self._folder.changing() as ring:
            return self._make(ring, [KeyParameters(domain, algorithm, bits) for domain in domains], selector)

    def rotate(self, domains: Collection[str]) -> list[Key]:
        """Make a new key of the same kind for each signing one, announced."""
        with self._folder.changing() as ring:
            ours = [key for key in ring.keys if key.domain in domains]
            signing = [key for key in ours if key.state is KeyState.SIGNING]
            announced = next((key for key in ours if key.state is KeyState.ANNOUNCED), None)
            if not signing and announced is not None:
                raise _waits(announced)
            if not signing:
                raise Refused(Text("Chưa có khóa nào đang ký.", "No key signs yet."), remedy=_ADD)
            return self._make(ring, [KeyParameters(key.domain, key.algorithm, key.bits) for key in signing])

    def _make(self, ring: Ring, new: Sequence[KeyParameters], selector: str | None = None) -> list[Key]:
        for each in new:
            for key in ring.keys:
                if (key.domain, key.algorithm, key.state) == (each.domain, each.algorithm, KeyState.ANNOUNCED):
                    raise _waits(key)
        now_us, made = self._clock.now_us(), []
        for each in new:
            private = generate(each.algorithm, each.bits)
            bits = each.bits if each.algorithm is Algorithm.RSA else 256
            name = _free(ring.keys, each, selector, f"{self._clock.now():%Y%m%d}")
            key = Key(each.domain, name, each.algorithm, bits, record_of(private), KeyState.ANNOUNCED, now_us, now_us)
            ring.store(key, private)
            ring.keys.append(key)
            made.append(key)
        ring.save()
        return made

    def use(self, selector: str, domains: Collection[str]) -> list[Key]:
        """Sign with these keys from now on, regardless of the DNS; the previous ones of their kind retire."""
        with self._folder.changing() as ring:
            for key in (chosen := _chosen(ring.keys, selector, domains)):
                self._folder.private(key)  # mail would wait for a key that cannot be read
            return self._sign_with(ring, [key for key in chosen if key.state is not KeyState.SIGNING])

    def remove(self, selector: str, domains: Collection[str], *, now: bool) -> list[Key]:
        """Remove keys and their secrets; `now`: also a signing one, or one that mail in transit may need."""
        with self._folder.changing() as ring:
            chosen = _chosen(ring.keys, selector, domains)
            if not now:
                for key in chosen:
                    self._must_be_free(key)
            ring.keys = [key for key in ring.keys if key not in chosen]
            ring.save()
            for key in chosen:
                ring.drop_file(key)
        return chosen

    def _must_be_free(self, key: Key) -> None:
        if key.state is KeyState.SIGNING:
            raise Refused(
                Text(f"{key.name} đang ký thư.", f"{key.name} signs mail."),
                remedy=Text(
                    "Thay khóa trước: `mic-mail dkim key rotate`.",
                    "Replace it first: `mic-mail dkim key rotate`.",
                ),
            )
        if key.state is KeyState.RETIRED and self.has_to_stay(key):
            until = datetime.fromtimestamp(key.since_us // 1_000_000, UTC) + RETIRED_FOR
            raise Refused(
                Text(
                    f"{key.name} phải giữ trong DNS đến {dates.short(until)}: thư đã ký còn đang trên đường.",
                    f"{key.name} has to stay in the DNS until {dates.short(until)}: mail signed with it is still in transit.",
                )
            )

    async def switch(self, resolver: Callable[[], Resolver], executors: Executors, log: MailLog) -> None:
        """Sign with the announced keys that the DNS has; then `KeyUnusable`, if one of them is."""
        waiting = [key for key in await executors.io(self.all) if key.state is KeyState.ANNOUNCED]
        if not waiting:
            return
        asked = resolver()
        there = [key for key in waiting if await published_key(asked, key) is PublishedKey.THIS]
        if not there:
            return
        switched, unusable = await executors.io(self._switch_to, there)
        for key in switched:
            log.event("dkim_key_signs", domain=key.domain, selector=key.selector, algorithm=key.algorithm)
        if unusable:
            raise unusable[0]

    def _switch_to(self, there: Sequence[Key]) -> tuple[list[Key], list[KeyUnusable]]:
        unusable: list[KeyUnusable] = []
        with self._folder.changing() as ring:
            left = []
            for key in (key for key in there if key in ring.keys):  # another command may have removed or used it meanwhile
                try:
                    self._folder.private(key)
                    left.append(key)
                except KeyUnusable as error:
                    unusable.append(error)
            return self._sign_with(ring, left), unusable

    def _sign_with(self, ring: Ring, chosen: Iterable[Key]) -> list[Key]:
        now_us, changed = self._clock.now_us(), []
        for key in chosen:
            for place, other in enumerate(ring.keys):
                if other == key:
                    ring.keys[place] = replace(key, state=KeyState.SIGNING, since_us=now_us)
                    changed.append(ring.keys[place])
                elif (other.domain, other.algorithm, other.state) == (key.domain, key.algorithm, KeyState.SIGNING):
                    ring.keys[place] = replace(other, state=KeyState.RETIRED, since_us=now_us)
        if changed:
            ring.save()
        return changed


_ADD = Text("Tạo khóa: `mic-mail dkim key add`.", "Create one: `mic-mail dkim key add`.")


def _waits(key: Key) -> Refused:
    return Refused(
        Text(f"{key.name} đã được tạo và còn chờ có trong DNS.", f"{key.name} already exists and waits for the DNS."),
        remedy=Text(
            f"Công bố bản ghi của nó (`mic-mail dns records`), hoặc bỏ nó: `mic-mail dkim key remove {key.selector}`.",
            f"Publish its record (`mic-mail dns records`), or remove it: `mic-mail dkim key remove {key.selector}`.",
        ),
    )


def _free(keys: Sequence[Key], parameters: KeyParameters, selector: str | None, day: str) -> str:
    taken = {key.selector for key in keys if key.domain == parameters.domain}
    if selector is not None:
        if selector in taken:
            raise Refused(
                Text(
                    f"{parameters.domain} đã có bộ chọn {selector}.",
                    f"{parameters.domain} already has the selector {selector}.",
                )
            )
        return selector
    first = f"{parameters.algorithm}{day}"
    return next(
        name for number in range(1, len(taken) + 2) if (name := f"{first}-{number}" if number > 1 else first) not in taken
    )


def _chosen(keys: Sequence[Key], selector: str, domains: Collection[str]) -> list[Key]:
    found = [key for key in keys if key.selector == selector and key.domain in domains]
    if not found:
        raise BadInput(
            Text(f"Không có khóa nào mang bộ chọn “{selector}”.", "No key with this selector."),
            remedy=Text("Xem `mic-mail dkim key list`.", "See `mic-mail dkim key list`."),
        )
    return found
