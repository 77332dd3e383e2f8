"""Resolves message numbers, UIDs or the saved result of a command to positions in the client's view.

Standards: RFC 9051 §9 (sequence-set), RFC 5182 (`$`).
"""

from bisect import bisect_left
from collections.abc import Iterable

from mic_mail.connection.actions import Steps
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.number_set import NoSuchNumber, Partial, SequenceSet, ranges_of
from mic_mail.storage.mailstore import Account

MANY_SAVED = 2_000
"""UIDs of a saved result above which they are located in a thread: half a microsecond each."""


def resolve_messages(ctx: ImapContext, messages: SequenceSet, *, by_uid: bool) -> Steps[list[range]]:
    """Return ascending, disjoint ranges of positions.

    Unknown UIDs are ignored, an unknown message number is an error. Polls first if one is due: a UID may be new to this
    session.
    """
    yield from ctx.sync(expunge=False)
    view, saved = ctx.selected, ctx.saved
    if messages.saved:

        def positions_of_saved(account: Account | None = None) -> list[range]:
            return ranges(at for uid in saved if (at := view.position(uid)) is not None)

        return (yield from ctx.ask(positions_of_saved)) if len(saved) > MANY_SAVED else positions_of_saved()
    if by_uid:
        return messages.positions_of_uids(view.uids)
    places = messages.positions_of_numbers(view.messages)
    if places is None:
        raise NoSuchNumber
    return places


def uids_of(ctx: ImapContext, places: Iterable[range]) -> list[int]:
    assert ctx.view is not None
    uids: list[int] = []
    for place in places:
        uids += ctx.view.uids[place.start : place.stop]
    return uids


def ranges(positions: Iterable[int]) -> list[range]:
    """Return ascending positions as ranges."""
    return [range(low, high + 1) for low, high in ranges_of(positions)]


def part_of(places: list[range], partial: Partial) -> list[range]:
    """Return a part of these positions, counted from the first or from the last (RFC 9394 §3.3)."""
    wanted = partial.within(sum(map(len, places)))
    found: list[range] = []
    passed = 0
    for place in places:
        some = place[max(0, wanted.start - passed) : max(0, wanted.stop - passed)]
        if some:
            found.append(some)
        passed += len(place)
    return found


def intersect(places: list[range], positions: list[int]) -> list[int]:
    """Return the ascending `positions` that lie in `places`."""
    return [
        at for place in places for at in positions[bisect_left(positions, place.start) : bisect_left(positions, place.stop)]
    ]
