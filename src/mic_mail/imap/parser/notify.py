"""NOTIFY (RFC 5465 §8): its arguments and their parser.

The arguments hold the watched events, compiled from the event groups.
Several groups may name one mailbox (§6): their events add up, so `NONE` adds nothing. SELECTED is apart from all others: only
it decides about the messages of the selected mailbox, and it never covers names and subscriptions (§3.1).

Unsupported events are refused with NO and the list of supported ones (§3.1), whatever else the group contains. The
parentheses around a group's events, which the ABNF has but the examples of §3.1 lack, are optional.
"""

from dataclasses import dataclass, field
from enum import Flag, auto

from mic_mail.imap.parser.command import Arguments
from mic_mail.imap.parser.fetch import fetch_items
from mic_mail.imap.parser.fetch_items import Datum, FetchItem
from mic_mail.imap.parser.lexer import Cursor, Fault
from mic_mail.storage.types import at_and_above


class Events(Flag):
    """Watched events; MessageNew and MessageExpunge are one: they MUST go together (RFC 5465 §5)."""

    NOTHING = 0
    MESSAGES = auto()
    FLAGS = auto()
    NAMES = auto()
    SUBSCRIPTIONS = auto()
    METADATA = auto()
    SERVER_METADATA = auto()


@dataclass(slots=True)
class Watch:
    """The events of a NOTIFY SET; without arguments, NOTIFY NONE."""

    selected: Events = Events.NOTHING
    delayed: bool = False
    """SELECTED-DELAYED: EXPUNGE waits for a command that allows it (§6.1.2)."""
    items: tuple[FetchItem, ...] = ()
    """Items to fetch of each new message of the selected mailbox."""
    personal: Events = Events.NOTHING
    subscribed: Events = Events.NOTHING
    mailboxes: dict[str, Events] = field(default_factory=dict)
    subtrees: dict[str, Events] = field(default_factory=dict)

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
        for top in at_and_above(name) if self.subtrees else ():
            events |= self.subtrees.get(top, Events.NOTHING)
        return events


@dataclass(frozen=True, slots=True)
class Notify(Arguments):
    """NOTIFY (RFC 5465 §3.1); with `status` the STATUS of each other mailbox precedes the tagged line."""

    watch: Watch
    status: bool = False
    none: bool = False


EVENTS: dict[bytes, Events] = {
    b"MessageNew": Events.MESSAGES,
    b"MessageExpunge": Events.MESSAGES,
    b"FlagChange": Events.FLAGS,
    b"MailboxName": Events.NAMES,
    b"SubscriptionChange": Events.SUBSCRIPTIONS,
    b"MailboxMetadataChange": Events.METADATA,
    b"ServerMetadataChange": Events.SERVER_METADATA,
}
"""The supported events, as BADEVENT lists them. AnnotationChange needs ANNOTATE (RFC 5257)."""

_BY_NAME = {name.upper(): (name, event) for name, event in EVENTS.items()}
_SELECTED = {b"SELECTED", b"SELECTED-DELAYED"}
_OF_MESSAGES = {b"MessageNew", b"MessageExpunge", b"FlagChange"}
_BADEVENT = b"BADEVENT (" + b" ".join(EVENTS) + b")"


def notify(cursor: Cursor) -> Notify:
    word = cursor.word()
    if word == b"NONE":
        return Notify(Watch(), none=True)
    if word != b"SET":
        raise Fault(b"Syntax error: SET or NONE expected")
    cursor.space()
    status = False
    if not cursor.at(b"("):
        if cursor.word() != b"STATUS":
            raise Fault(b"Syntax error: event group expected")
        status = True
        cursor.space()
    watch, kinds = Watch(), set[bytes]()
    for _ in cursor.remaining():
        _read_group(cursor, watch, kinds)
    return Notify(watch, status)


def _read_group(cursor: Cursor, watch: Watch, kinds: set[bytes]) -> None:
    """Parse one group, its mailboxes and its events, and add it to what is watched; `kinds` of the groups before."""
    if not cursor.take(b"("):
        raise Fault(b"Syntax error: event group expected")
    cursor.skip_spaces()
    kind = cursor.word()
    cursor.space()
    if kind in _SELECTED:
        if kinds & _SELECTED:
            raise Fault(b"Only one SELECTED or SELECTED-DELAYED")  # RFC 5465 §6.1
        watch.selected, watch.items = _events(cursor, selected=True)
        watch.delayed = kind == b"SELECTED-DELAYED"
    elif kind in {b"MAILBOXES", b"SUBTREE"}:
        names = _names(cursor)
        cursor.space()
        events, _ = _events(cursor, selected=False)
        known = watch.mailboxes if kind == b"MAILBOXES" else watch.subtrees
        for name in names:
            known[name] = known.get(name, Events.NOTHING) | events
    elif kind == b"SUBSCRIBED":
        watch.subscribed |= _events(cursor, selected=False)[0]
    elif kind in {b"PERSONAL", b"INBOXES"}:  # filters may deliver anywhere, so both mean the same (RFC 5465 §6.3)
        watch.personal |= _events(cursor, selected=False)[0]
    else:
        raise Fault(b"Unknown mailbox filter")
    kinds.add(kind)
    cursor.skip_spaces()
    if not cursor.take(b")"):
        raise Fault(b"Syntax error in event group")


def _names(cursor: Cursor) -> list[str]:
    """Parse one mailbox or a list of them; wildcards are ordinary characters (RFC 5465 §6.6)."""
    if not cursor.at(b"("):
        return [cursor.mailbox()]
    names = [cursor.mailbox() for _ in cursor.listed()]
    if not names:
        raise Fault(b"No mailbox")
    return names


def _events(cursor: Cursor, *, selected: bool) -> tuple[Events, tuple[FetchItem, ...]]:
    """Parse the events of a group, and the items to fetch of new messages."""
    named: set[bytes] = set()
    items: tuple[FetchItem, ...] = ()
    if cursor.at(b"("):
        for _ in cursor.listed():
            items = _event(cursor, named, selected=selected) or items
        if not named:
            raise Fault(b"No event")
    else:
        items = _event(cursor, named, selected=selected)
        if named == {b"NONE"}:
            return Events.NOTHING, ()
        while not cursor.at(b")"):
            cursor.space()
            if not cursor.at(b")"):
                items = _event(cursor, named, selected=selected) or items
    events = Events.NOTHING
    for name in named:
        if name not in EVENTS:
            raise Fault(b"Event not supported", _BADEVENT, b"NO")
        events |= EVENTS[name]
    # RFC 5465 §5: each needs the other, and FlagChange needs both.
    if (named & _OF_MESSAGES) and not {b"MessageNew", b"MessageExpunge"} <= named:
        raise Fault(b"MessageNew and MessageExpunge go together, FlagChange with both")
    if selected and not named <= _OF_MESSAGES:
        raise Fault(b"Only message events of the selected mailbox")  # RFC 5465 §6.1
    return events, items


def _event(cursor: Cursor, named: set[bytes], *, selected: bool) -> tuple[FetchItem, ...]:
    """Parse one event and add it to `named` in the server's spelling.

    Return the fetch items of MessageNew.
    """
    word = cursor.word()
    name = _BY_NAME[word][0] if word in _BY_NAME else word
    named.add(name)
    if name != b"MessageNew" or not cursor.another(b"("):
        return ()
    if not selected:
        raise Fault(b"Fetch items are for the selected mailbox alone")  # RFC 5465 §8
    return tuple(dict.fromkeys((Datum.UID, *fetch_items(cursor))))
