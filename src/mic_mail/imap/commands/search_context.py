"""CONTEXT: followed searches and their updates (RFC 5267 §4.3, RFC 5465 §7).

New and changed messages are matched by the code that answers a search, over these messages only, in slices. That happens
after the view has caught up and before the tagged response, or immediately in IDLE.

Not followed, with NOUPDATE (§4.3.1): more than MAX_CONTEXTS; SORT by RELEVANCY, where each new message moves the others; text
together with keys whose result changes by itself (OLDER, YOUNGER, `*`), since each poll would have to read all text.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import TypeVar

from mic_mail.connection.actions import Steps
from mic_mail.connection.session_core import CloseConnection
from mic_mail.imap.commands import fuzzy
from mic_mail.imap.commands.fetch import send_unasked
from mic_mail.imap.commands.message_set import ranges
from mic_mail.imap.commands.search_match import text_keys
from mic_mail.imap.commands.search_response import SearchResult
from mic_mail.imap.commands.search_run import find
from mic_mail.imap.commands.sort_order import order_of
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.number_set import SequenceSet, ranges_of
from mic_mail.imap.parser.search import Search
from mic_mail.imap.parser.search_keys import Age, And, InSet, Not, Or, SearchKey, nodes
from mic_mail.imap.parser.sort import CancelUpdate, Sort, SortKey
from mic_mail.imap.replies import Reply
from mic_mail.imap.selected.followed_searches import MAX_CONTEXTS, Context
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.imap.selected.sequence_numbers import OutOfStep
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.mailstore import Account

T = TypeVar("T")

MANY_MESSAGES = 1000
"""Messages above which work is moved from the loop to an executor."""


def follow(view: View, tag: bytes, command: Search, found: SearchResult, *, mailbox: bytes | None) -> bool:
    """Follow a search that was just answered; return False if that is not possible."""
    assert command.key is not None
    criteria = command.criteria if isinstance(command, Sort) else ()
    key = fixed(fuzzy.widened(command.key), view, found.saved)
    moves = any(isinstance(leaf, Age) or (isinstance(leaf, InSet) and leaf.messages.has_star) for leaf in nodes(key))
    by_relevancy = any(each.key is SortKey.RELEVANCY for each in criteria)
    if len(view.contexts) >= MAX_CONTEXTS or by_relevancy or (moves and text_keys(key)):
        return False
    view.contexts.add(
        Context(
            tag,
            key,
            criteria,
            command.by_uid,
            None if mailbox is None else (mailbox, view.uidvalidity),
            command.update_items,
            moves,
            array("I", [view.uids[at] for at in found.positions]),
        )
    )
    return True


def fixed(key: SearchKey, view: View, saved: Sequence[int]) -> SearchKey:
    """Return the tree with message numbers and `$` replaced by the UIDs that they mean now."""
    match key:
        case InSet(messages, by_uid):
            if messages.saved:
                uids: Sequence[int] = saved
            elif not by_uid:
                uids = [view.uids[at] for place in messages.positions_within(view.messages) for at in place]
            else:
                return key
            return InSet(SequenceSet(ranges_of(uids)), by_uid=True)
        case And(keys):
            return And(tuple(fixed(each, view, saved) for each in keys))
        case Or(keys):
            return Or(tuple(fixed(each, view, saved) for each in keys))
        case Not(inner):
            return Not(fixed(inner, view, saved))
        case _:
            return key


def is_reported(ctx: ImapContext, view: View, *, expunge: bool) -> bool:
    """Return whether the client knows all of the selected mailbox, so that `send_selected_changes` would do nothing."""
    return ctx.is_synced and not view.has_updates(expunge=expunge) and not view.contexts.due


def send_selected_changes(ctx: ImapContext, last: bytes, *, expunge: bool) -> Steps[None]:
    """Report changes of the selected mailbox, between a command's work and `last`, its tagged line.

    A failure here does not undo the work: if the store cannot answer now, it is asked again with the next command. If the
    session has to end here, `last` is sent first.
    """
    try:
        yield from ctx.sync(expunge=expunge)
        yield from send_search_updates(ctx)
    except Unavailable as error:
        if ctx.severed:
            raise CloseConnection(error.text) from error
    except (CloseConnection, OutOfStep):
        ctx.write(last)
        raise


def send_search_updates(ctx: ImapContext) -> Steps[None]:
    """Send ADDTO and REMOVEFROM for what has changed since the last poll, after the view's own responses."""
    view = ctx.view
    if view is None or not view.contexts.due:
        return
    changed = frozenset(view.contexts.changed)

    def look() -> View:
        known = [at for uid in sorted(changed) if (at := view.position(uid)) is not None and not view.is_expunged(uid)]
        return view.excerpt(known)

    some = yield from _aside(ctx, view, look, len(changed))
    for context in view.contexts:
        yield from _update(ctx, view, context, some)
    view.contexts.settle(changed)


def _update(ctx: ImapContext, view: View, context: Context, some: View) -> Steps[None]:
    """Match `some` messages for one context, or all of them where it depends on time or on `*`."""
    looked_at = view if context.moves else some
    places = yield from find(ctx, looked_at, context.key)

    def compare() -> tuple[set[int], set[int]]:
        matching = {uid for at in places if not view.is_expunged(uid := looked_at.uids[at])}
        listed = set(context.uids)
        lacking = listed.difference(matching)
        return lacking if context.moves else lacking.intersection(some.uids), matching.difference(listed)

    gone, new = yield from _aside(ctx, view, compare, len(places) + len(context.uids))
    if not gone and not new:
        return
    if context.items:
        arrived = ranges(sorted(at for uid in new & view.contexts.arrived if (at := view.position(uid)) is not None))
        yield from send_unasked(ctx, view, context.items, arrived)  # after EXISTS and before ADDTO (RFC 5465 §7)
    order = (yield from order_of(ctx, view)) if context.criteria and new else None

    def work(account: Account) -> bytes:
        removed = context.without(gone)
        uids = sorted([*context.uids, *new])
        if order is not None:
            positions = [at for uid in uids if (at := view.position(uid)) is not None]
            uids = [view.uids[at] for at in order.pick(positions, context.criteria, view.sizes)]
        return context.format_update(removed, context.become(uids), view.position)

    ctx.write((yield from ctx.ask(work, view.place)))


def _aside(ctx: ImapContext, view: View, run: Callable[[], T], messages: int) -> Steps[T]:
    """Run this in an executor for many messages: each takes up to 4 us of the loop."""
    return (yield from ctx.ask(lambda account: run(), view.place)) if messages > MANY_MESSAGES else run()


def cancel_update(ctx: ImapContext, command: CancelUpdate) -> Reply:
    """Handle CANCELUPDATE (RFC 5267 §4.3.5); unknown tags are ignored."""
    for tag in command.tags:
        ctx.selected.contexts.cancel(tag)
    return Reply("No further updates.")
