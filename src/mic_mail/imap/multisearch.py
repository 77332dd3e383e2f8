"""ESEARCH: one search over several mailboxes (RFC 7377). None of them is selected by it, and none is locked.

In: the command. Out: steps. Mailboxes are searched one after the other by the code of SEARCH, in slices; no limit is needed,
since the work is that of the same searches one by one. A mailbox that is not there, or goes meanwhile, is passed over.
"""

from collections.abc import Callable, Sequence

from mic_mail.imap import responses
from mic_mail.imap.actions import Steps
from mic_mail.imap.conversation import Conversation, Reply, bad, refuse
from mic_mail.imap.grammar.searchcommands import MultiSearch, Reach, Source
from mic_mail.imap.search import Progress
from mic_mail.imap.searching import answer, begin, find_scored
from mic_mail.imap.telling import tell
from mic_mail.imap.view import Enabled, View
from mic_mail.storage.errors import NoSuchFolder
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import DELIMITER, FolderInfo


def multi_search(talk: Conversation, command: MultiSearch) -> Steps[Reply]:
    """ESEARCH. The selected mailbox is searched as its client knows it, the others as they are."""
    selected, saved, returns = talk.view, talk.saved, command.returns or frozenset()
    if selected is None and (command.searches_selected or "UPDATE" in returns):
        return bad("No mailbox is selected.")  # RFC 7377 §2.2
    refused = yield from begin(talk, command)
    if refused is not None:
        return refused
    selected_id = None if selected is None else selected.folder_id
    folders = yield from talk.ask(lambda account: named(account, command.sources, selected_id))
    progress = Progress(talk, command.tag)
    progress.after = sum(folder.messages for folder in folders)
    reply = Reply("Searched.")
    followed = False
    for folder in folders:
        progress.after -= folder.messages
        name = responses.mailbox_name(folder.name, utf8=talk.utf8)
        if selected is not None and folder.folder_id == selected.folder_id:
            found = yield from find_scored(talk, command, selected, saved, progress)
            reply = yield from answer(talk, command, found, mailbox=name)
            followed = True
        else:
            yield from _elsewhere(talk, command, folder, name, progress)
        progress.before += folder.messages
        yield from talk.breathe()
    if "UPDATE" in returns and not followed:  # it applies to the selected mailbox, which was not asked for
        talk.say(talk.line(b"*", refuse("Only the selected mailbox can be followed.", responses.no_update(command.tag))))
    return reply


def _elsewhere(talk: Conversation, command: MultiSearch, folder: FolderInfo, name: bytes, progress: Progress) -> Steps[None]:
    """One mailbox that is not selected."""
    assert talk.signed_in is not None
    try:
        fresh = yield from talk.ask(lambda account: account.view(folder.folder_id))
        view = View(fresh, looked=0, account_id=talk.signed_in.account.account_id, read_only=True)
        found = yield from find_scored(talk, command, view, (), progress)
    except NoSuchFolder:
        return
    rev2 = Enabled.REV2 in talk.enabled
    talk.say((yield from talk.ask(lambda account: tell(view, command, found, rev2=rev2, mailbox=name))))


# ------------------------------------------------------------------ which mailboxes


def named(account: Account, sources: Sequence[Source], selected: int | None) -> list[FolderInfo]:
    """The mailboxes of these sources that can be searched, each once, by name. Blocks."""
    folders = [folder for folder in account.folders() if folder.selectable]
    found: set[int] = set()
    for source in sources:
        belongs = _belonging(account, source, selected)
        found.update(folder.folder_id for folder in folders if belongs(folder))
    return [folder for folder in folders if folder.folder_id in found]


def _belonging(account: Account, source: Source, selected: int | None) -> Callable[[FolderInfo], bool]:
    """RFC 5465 §6 and RFC 7377 §2.2. Mail may be filed into any folder, so `inboxes` are all of them (RFC 5465 §6.3)."""
    match source.reach:
        case Reach.SELECTED:
            return lambda folder: folder.folder_id == selected
        case Reach.PERSONAL | Reach.INBOXES:
            return lambda folder: True
        case Reach.SUBSCRIBED:
            subscribed = frozenset(account.subscriptions())
            return lambda folder: folder.name in subscribed
        case Reach.MAILBOXES:
            return lambda folder: folder.name in source.mailboxes
        case Reach.SUBTREE:
            return lambda folder: any(_is_below(folder.name, top) for top in source.mailboxes)
        case Reach.SUBTREE_ONE:
            return lambda folder: any(_is_below(folder.name, top, levels=1) for top in source.mailboxes)


def _is_below(name: str, top: str, levels: int | None = None) -> bool:
    """Whether it is `top` or stands below, at most so many levels."""
    top = top.rstrip(DELIMITER)
    if name == top:
        return True
    rest = name.removeprefix(top + DELIMITER)
    return rest != name and (levels is None or rest.count(DELIMITER) < levels)
