"""NOTIFY as a value (RFC 5465): what a client wants to hear of without asking, compiled from its event groups.

Several groups may speak of one mailbox (§6): what they name adds up, so `NONE` adds nothing. SELECTED is apart from all others:
it alone decides about the messages of the selected mailbox, and names and subscriptions are never its affair (§3.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import ClassVar

from mic_mail.imap.parser.commands import Command
from mic_mail.imap.parser.fetch_items import FetchItem
from mic_mail.storage.types import DELIMITER


class Events(Flag):
    """What can be told. MessageNew and MessageExpunge are one: they MUST be asked for together (RFC 5465 §5)."""

    NOTHING = 0
    MESSAGES = auto()
    FLAGS = auto()
    NAMES = auto()
    SUBSCRIPTIONS = auto()
    METADATA = auto()
    SERVER_METADATA = auto()


@dataclass(frozen=True, slots=True)
class Watch:
    """What a NOTIFY SET asks for; without arguments it is NOTIFY NONE."""

    selected: Events = Events.NOTHING
    delayed: bool = False
    """SELECTED-DELAYED: EXPUNGE waits for a command that allows it (§6.1.2)."""
    items: tuple[FetchItem, ...] = ()
    """What is fetched of each new message of the selected mailbox."""
    personal: Events = Events.NOTHING
    subscribed: Events = Events.NOTHING
    mailboxes: Mapping[str, Events] = field(default_factory=dict)
    subtrees: Mapping[str, Events] = field(default_factory=dict)

    @property
    def all_others(self) -> Events:
        """Everything that is asked for of any mailbox but the selected one."""
        events = self.personal | self.subscribed
        for named in (self.mailboxes, self.subtrees):
            for more in set(named.values()):
                events |= more
        return events

    def of(self, name: str, *, subscribed: bool, personal: bool = True) -> Events:
        """What is asked for of the mailbox of this name, however many groups there are; `personal`: it is one of the own."""
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
    """RFC 5465 §3.1. With `status` the state of each other mailbox is told before the answer."""

    verb: ClassVar[str] = "NOTIFY"
    watch: Watch
    status: bool = False
    none: bool = False
