"""ESEARCH: one search over several mailboxes (RFC 7377), which selects and locks none of them.

In: the command. Out: steps. Mailboxes are searched one after the other by the code of SEARCH, in slices. No limit is needed,
since the work is that of the same searches one by one. Mailboxes of units and groups are searched where they are named and
may be read (RFC 4314 §4). A mailbox that does not exist or is deleted meanwhile is skipped; so is one that may not be read
any more when its turn comes, or when its result is ready.
"""

from collections.abc import Sequence

from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.commands.mailboxes import seen_folders
from mic_mail.imap.commands.search import answer, begin, find_scored
from mic_mail.imap.commands.search_response import format_response
from mic_mail.imap.commands.search_run import Progress
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.mailbox_names import resolve
from mic_mail.imap.mailbox_names.acl_rights import NoPermission
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.sort import MultiSearch, Reach, SearchSource
from mic_mail.imap.replies import Reply, bad
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.errors import NoSuchFolder
from mic_mail.storage.types import DELIMITER, FolderInfo, at_and_above

Mailbox = tuple[FolderInfo, Place]
"""A folder under the name that its client sees, and its place."""


def multi_search(ctx: ImapContext, command: MultiSearch) -> Steps[Reply]:
    """Handle ESEARCH. The selected mailbox is searched as its client knows it, the others as they are."""
    selected, saved, returns = ctx.view, ctx.saved, command.returns or frozenset()
    if selected is None and (command.searches_selected or "UPDATE" in returns):
        return bad("No mailbox is selected.")  # RFC 7377 §2.2
    refused = yield from begin(ctx, command)
    if refused is not None:
        return refused
    mailboxes = yield from _named(ctx, command.sources)
    progress = Progress(ctx, ctx.tag)
    progress.after = sum(folder.messages for folder, _ in mailboxes)
    reply = Reply("Searched.")
    followed = False
    for folder, place in mailboxes:
        progress.after -= folder.messages
        name = responses.mailbox_name(folder.name, utf8=ctx.utf8)
        if selected is not None and _is_selected(ctx, folder, place):
            found = yield from find_scored(ctx, command, selected, saved, progress)
            reply = yield from answer(ctx, command, found, mailbox=name)
            followed = True
        else:
            yield from _elsewhere(ctx, command, (folder, place), name, progress)
        progress.before += folder.messages
        yield from ctx.yield_output()
    if "UPDATE" in returns and not followed:  # UPDATE applies to the selected mailbox, which was not searched
        text = "Chỉ theo dõi được kết quả tìm trong thư mục đang mở.", "UPDATE is supported only for the selected mailbox."
        ctx.write_no_update(ctx.tag, Text(*text))
    return reply


def _elsewhere(ctx: ImapContext, command: MultiSearch, mailbox: Mailbox, name: bytes, progress: Progress) -> Steps[None]:
    folder, place = mailbox
    try:
        ctx.place_now(place, "lr")
        fresh = yield from ctx.ask(lambda account: account.view(folder.folder_id), place)
        view = View(fresh, polled_modseq=0, account_id=ctx.account_of(place).account_id, place=place, read_only=True)
        found = yield from find_scored(ctx, command, view, (), progress)
        ctx.place_now(place, "lr")
    except (NoSuchFolder, NoPermission):
        return
    tag, rev2 = ctx.tag, Enabled.REV2 in ctx.enabled
    ctx.write((yield from ctx.ask(lambda account: format_response(view, tag, command, found, rev2=rev2, mailbox=name), place)))


# ------------------------------------------------------------------ sources


def _named(ctx: ImapContext, sources: Sequence[SearchSource]) -> Steps[list[Mailbox]]:
    """Return the readable mailboxes of these sources, each once, in LIST order.

    Others are not mentioned (§2.2).
    """
    boxes = ctx.boxes

    def choose(folders: list[FolderInfo], subscribed: list[str]) -> list[Mailbox]:
        readable = [
            (folder, place)
            for folder in folders
            if folder.selectable and "r" in (place := resolve.find(folder.name, boxes)).rights
        ]
        wanted = _Wanted(sources, subscribed)
        return [
            (folder, place)
            for folder, place in readable
            if wanted.names(folder.name, personal=place.box is None) or (wanted.selected and _is_selected(ctx, folder, place))
        ]

    return (yield from seen_folders(ctx, choose))


def _is_selected(ctx: ImapContext, folder: FolderInfo, place: Place) -> bool:
    view = ctx.view
    return view is not None and (folder.folder_id, ctx.account_of(place).account_id) == (view.folder_id, view.account_id)


class _Wanted:
    """All sources combined, so that a folder is compared once, however many they name.

    RFC 5465 §6 and RFC 7377 §2.2. Mail may be filed into any folder, so `inboxes` are all of them (RFC 5465 §6.3).
    """

    def __init__(self, sources: Sequence[SearchSource], subscribed: Sequence[str]) -> None:
        named: dict[Reach, set[str]] = {}
        for source in sources:
            named.setdefault(source.reach, set()).update(source.mailboxes)
        self.selected = Reach.SELECTED in named
        self._personal = Reach.PERSONAL in named or Reach.INBOXES in named
        self._mailboxes = named.get(Reach.MAILBOXES, set())
        if Reach.SUBSCRIBED in named:
            self._mailboxes = self._mailboxes.union(subscribed)
        self._tops = {name.rstrip(DELIMITER) for name in named.get(Reach.SUBTREE, ())}
        self._parents = {name.rstrip(DELIMITER) for name in named.get(Reach.SUBTREE_ONE, ())} - {""}

    def names(self, name: str, *, personal: bool) -> bool:
        """Return whether a mailbox is named, or is one of the own (`personal`) where those are searched."""
        if (self._personal and personal) or name in self._mailboxes:
            return True
        if name in self._parents or name.rpartition(DELIMITER)[0] in self._parents:
            return True
        return bool(self._tops) and not self._tops.isdisjoint(at_and_above(name))
