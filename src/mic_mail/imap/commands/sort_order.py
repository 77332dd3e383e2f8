"""The sort order of a view's messages, updated in slices from the store's sort keys.

See `folder_order` and `storage.reads.sort_keys`.
"""

from collections.abc import Callable

from mic_mail.connection.actions import Steps
from mic_mail.imap.commands.search_run import Progress
from mic_mail.imap.context import ImapContext
from mic_mail.imap.selected.folder_order import FolderOrder, StoredSortValues
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.mailstore import Account

SLICE_MESSAGES = 1000
"""Messages whose sort keys the store makes in one call: 30 ms, with other threads in between."""
INDEXED_MESSAGES = 5000
"""Messages looked up in `search.sqlite` in one call: 20 ms, since each call walks all its keys."""
INDEXED_FROM = 64
"""Messages from which a lookup there is faster than making the keys."""


def order_of(ctx: ImapContext, view: View, progress: Progress | None = None) -> Steps[FolderOrder]:
    """Return the folder's order at this state, shared by all sessions.

    Read only what none has read before.
    """
    prior = ctx.cache.orders.get(view.key)
    if prior is not None and prior.uids == view.uids:
        return prior
    lacking = list(view.uids) if prior is None else prior.lacking(view.uids)
    stored = StoredSortValues()
    if len(lacking) >= INDEXED_FROM:
        lacking = yield from _indexed(ctx, view, lacking, stored)

    def ask_for(some: list[int]) -> Callable[[Account], None]:
        return lambda account: stored.take(account.orderings(view.folder_id, some))

    for start in range(0, len(lacking), SLICE_MESSAGES):
        yield from ctx.ask(ask_for(lacking[start : start + SLICE_MESSAGES]), view.place)
        if progress is not None and start + SLICE_MESSAGES < len(lacking):
            progress.report(start + SLICE_MESSAGES, len(lacking))
        yield from ctx.yield_output()
    order = yield from ctx.ask(lambda account: FolderOrder.build(view.uids, prior, stored), view.place)
    ctx.cache.orders.put(view.key, order, order.octets)
    return order


def _indexed(ctx: ImapContext, view: View, lacking: list[int], stored: StoredSortValues) -> Steps[list[int]]:
    """Take the sort keys that the index has, and return the UIDs that it lacks."""
    left: list[int] = []

    def ask_for(some: list[int]) -> Callable[[Account], None]:
        def work(account: Account) -> None:
            stored.take(account.indexed_orderings(view.folder_id, some))
            left.extend([uid for uid in some if uid not in stored.values])

        return work

    for start in range(0, len(lacking), INDEXED_MESSAGES):
        yield from ctx.ask(ask_for(lacking[start : start + INDEXED_MESSAGES]), view.place)
        yield from ctx.yield_output()
    return left
