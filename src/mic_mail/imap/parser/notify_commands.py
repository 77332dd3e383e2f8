"""NOTIFY as a value (RFC 5465): the watched events, compiled from the event groups.

Several groups may name one mailbox (§6): their events add up, so `NONE` adds nothing. SELECTED is apart from all others: only
it decides about the messages of the selected mailbox, and it never covers names and subscriptions (§3.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import ClassVar

from mic_mail.imap.parser.commands import Command
from mic_mail.imap.parser.fetch_items import FetchItem
from mic_mail.storage.types import DELIMITER


class Events(Flag):
    """Watched events; MessageNew and MessageExpunge are one: they MUST go together (RFC 5465 §5)."""

    NOTHING = 0
    MESSAGES = auto()
    FLAGS = auto()
    NAMES = auto()
    SUBSCRIPTIONS = auto()
    METADATA = auto()
    SERVER_METADATA = auto()


@dataclass(frozen=True, slots=True)
class Watch:
    """The events of a NOTIFY SET; without arguments, NOTIFY NONE."""

    selected: Events = Events.NOTHING
    delayed: bool = False
    """SELECTED-DELAYED: EXPUNGE waits for a command that allows it (§6.1.2)."""
    items: tuple[FetchItem, ...] = ()
    """Items to fetch of each new message of the selected mailbox."""
    personal: Events = Events.NOTHING
    subscribed: Events = Events.NOTHING
    mailboxes: Mapping[str, Events] = field(default_factory=dict)
    subtrees: Mapping[str, Events] = field(default_factory=dict)

    @property
    def all_others(self) -> Events:
        """All events that are watched in any mailbox but the selected one."""
        events = self.personal | self.subscribed
        for named in (self.mailboxes, self.subtrees):
            for more in set(named.values()):
                events |= more
        return events

    def of(self, name: str, *, subscribed: bool, personal: bool = True) -> Events:
        """Return the events watched in a mailbox, over all groups; `personal`: it is one of the own."""
        events = (self.personal if personal else Events.NOTHING) | self.mailboxes.get(name, Events.NOTHING)
        if subscribed:
            events |= self.subscribed
        if self.subtrees:
            cut = len(name)
            while cut > 0:
                events |= self.subtrees.get(name[:cut], Events.NOTHING)
                cut = name.rfind(DELIMITER, 0, cut)
        return events


@dataclass(frozen=True, slots=True)
class Notify(Command):
    """NOTIFY (RFC 5465 §3.1); with `status` the STATUS of each other mailbox precedes the tagged line."""

    verb: ClassVar[str] = "NOTIFY"
    watch: Watch
    status: bool = False
    none: bool = False
