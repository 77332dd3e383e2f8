"""Which app passwords open something now: what the directory has in memory, and what the facts say of each.

Found out once for each state of a mailbox's record; a sign-in then asks a handful of instants. Belongs to the event loop.
"""

from collections.abc import Iterator
from datetime import datetime

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import AppCredential, Entry
from mic_mail.policy.app_passwords import AppPassword, app_passwords

Apps = tuple[tuple[AppCredential, AppPassword], ...]


class LivingApps:
    """Those of all mailboxes of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.are_open = True
        """Whether there are any here (`auth.app_passwords`)."""
        self._known: dict[int, tuple[Entry, Apps]] = {}

    def living(self, entry: Entry, now: datetime | None = None) -> tuple[AppCredential, ...]:
        """Those of a mailbox that open something now, or may, while nobody knows what time it is (`Clock.readings`)."""
        readings = (now,) if now is not None else self._clock.readings()
        return tuple(credential for credential, app in self._of(entry) if any(map(app.lives, readings)))

    def lives(self, entry: Entry, number: int, now: datetime | None = None) -> bool:
        """Whether this one does."""
        return any(each.number == number for each in self.living(entry, now))

    def surely_lives(self, entry: Entry, number: int) -> bool:
        """Return whether this one opens something by every instant that may be the present one."""
        return all(self.lives(entry, number, now) for now in self._clock.readings())

    def opens(self, entry: Entry, number: int, door: str) -> bool:
        """Whether this one was made for a door."""
        return any(app.number == number and app.opens(door) for _, app in self._of(entry))

    def ends(self, entry: Entry, now: datetime) -> Iterator[datetime]:
        """The instants after `now` at which one of them ends by the clock alone."""
        return (app.ended_at for _, app in self._of(entry) if app.ended_at is not None and app.lives(now))

    def _of(self, entry: Entry) -> Apps:
        if not entry.app_passwords or not self.are_open:
            return ()
        known = self._known.get(entry.mailbox_id)
        if known is None or known[0] is not entry:
            told = {app.number: app for app in app_passwords(entry.facts)}
            found = tuple((each, told[each.number]) for each in entry.app_passwords if each.number in told)
            known = self._known[entry.mailbox_id] = entry, found
        return known[1]
