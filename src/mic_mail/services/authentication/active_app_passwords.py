"""The app passwords that are active now, from the directory in memory and the mailbox's facts.

Computed once for each state of a mailbox's record; a sign-in then compares a handful of instants. Belongs to the event
loop.
"""

from collections.abc import Iterator
from datetime import datetime

from mic_mail.clock import Clock
from mic_mail.directory.snapshot import Entry
from mic_mail.policy.credentials.app_passwords import AppPassword, app_passwords
from mic_mail.policy.credentials.verifiers import AppCredential

Apps = tuple[tuple[AppCredential, AppPassword], ...]


class ActiveAppPasswords:
    """The active app passwords of all mailboxes of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.are_open = True
        """App passwords are enabled on this server (`auth.app_passwords`)."""
        self._known: dict[int, tuple[Entry, Apps]] = {}

    def active(self, entry: Entry, now: datetime | None = None) -> tuple[AppCredential, ...]:
        """Return the mailbox's app passwords that are active at `now`.

        Without `now`: those that are active by at least one reading of an unsettled clock (`Clock.readings`).
        """
        apps = self._of(entry)
        if not apps:  # as of most mailboxes: the clock is not read
            return ()
        readings = (now,) if now is not None else self._clock.readings()
        return tuple(credential for credential, app in apps if any(map(app.lives, readings)))

    def is_active(self, entry: Entry, number: int, now: datetime | None = None) -> bool:
        """Return whether the app password is active, as `living` counts."""
        return any(each.number == number for each in self.active(entry, now))

    def is_surely_active(self, entry: Entry, number: int) -> bool:
        """Return whether the app password is active by every instant that may be the present one."""
        return all(self.is_active(entry, number, now) for now in self._clock.readings())

    def opens(self, entry: Entry, number: int, door: str) -> bool:
        """Return whether the app password was made for this listener."""
        return any(app.number == number and app.opens(door) for _, app in self._of(entry))

    def ends(self, entry: Entry, now: datetime) -> Iterator[datetime]:
        """Yield the instants after `now` at which an app password ends by the clock alone."""
        return (app.ended_at for _, app in self._of(entry) if app.ended_at is not None and app.lives(now))

    def _of(self, entry: Entry) -> Apps:
        if not entry.app_passwords or not self.are_open:
            return ()
        known = self._known.get(entry.mailbox_id)
        if known is None or known[0] is not entry:
            by_number = {app.number: app for app in app_passwords(entry.facts)}
            found = tuple((each, by_number[each.number]) for each in entry.app_passwords if each.number in by_number)
            known = self._known[entry.mailbox_id] = entry, found
        return known[1]
