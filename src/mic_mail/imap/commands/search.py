"""SEARCH, SORT and THREAD in the selected mailbox.

In: commands. Out: steps. `search_run` finds, `folder_order` and `threading` order, `search_response` writes, `search_context`
follows.
Standards: RFC 9051 §6.4.4, RFC 5256 §3, RFC 5267, RFC 6203, RFC 6855 §3.
"""

from collections.abc import Generator, Sequence

from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap.commands import fuzzy, search_context
from mic_mail.imap.commands.search_response import SearchResult, format_response, kept
from mic_mail.imap.commands.search_run import Progress, find
from mic_mail.imap.commands.sort_order import order_of
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.number_set import SequenceSet, ranges_of
from mic_mail.imap.parser.search import Search
from mic_mail.imap.parser.search_keys import CHARSETS, And, InSet, ModSeq, nodes
from mic_mail.imap.parser.sort import Criterion, Sort, SortKey, Thread, ThreadAlgorithm
from mic_mail.imap.replies import Reply, bad, refuse
from mic_mail.imap.selected import folder_order, threading
from mic_mail.imap.selected.folder_order import FolderOrder, KeptThreads, Scores
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.mailstore import Account

LONG_ANSWER = 2000
"""Results above which a response is made in an executor."""


def search(ctx: ImapContext, command: Search) -> Steps[Reply]:
    view, saved = ctx.selected, ctx.saved
    refused = yield from begin(ctx, command)
    if refused is not None:
        return refused
    found = yield from find_scored(ctx, command, view, saved)
    return (yield from answer(ctx, command, found))


def sort(ctx: ImapContext, command: Sort) -> Steps[Reply]:
    view, saved = ctx.selected, ctx.saved
    refused = yield from begin(ctx, command)
    if refused is not None:
        return refused
    by_relevancy, progress = any(each.key is SortKey.RELEVANCY for each in command.criteria), Progress(ctx, ctx.tag)
    found = yield from find_scored(ctx, command, view, saved, progress, scored=by_relevancy)
    order = yield from order_of(ctx, view, progress)

    def work(account: Account) -> list[int]:
        if by_relevancy:
            assert found.scores is not None
            return _sorted_by_relevancy(order, view, command.criteria, found.positions, found.scores)
        return order.pick(found.positions, command.criteria, view.sizes)

    positions = yield from ctx.ask(work, view.place)
    return (yield from answer(ctx, command, found._replace(positions=positions)))


def _sorted_by_relevancy(
    order: FolderOrder, view: View, criteria: Sequence[Criterion], found: Sequence[int], scores: Scores
) -> list[int]:
    """Sort by relevancy, the highest score first (RFC 6203 §6)."""
    columns = [
        ([-scores.get(at, 0) for at in range(view.messages)], each.reverse)
        if each.key is SortKey.RELEVANCY
        else (order.column(each.key, view.sizes), each.reverse)
        for each in criteria
    ]
    return folder_order.sort(found, columns)


def thread(ctx: ImapContext, command: Thread) -> Steps[Reply]:
    """Handle THREAD and UID THREAD; the threads of the whole mailbox and of the last other search are kept."""
    view, saved = ctx.selected, ctx.saved
    refused = yield from begin(ctx, command)
    if refused is not None:
        return refused
    progress = Progress(ctx, ctx.tag)
    found = yield from find_scored(ctx, command, view, saved, progress)
    order = yield from order_of(ctx, view, progress)
    positions = found.positions
    kept = KeptThreads(command.algorithm, by_uid=command.by_uid, whole=len(positions) == view.messages)
    known = order.threads_of(kept, positions)
    if known is None:
        job = _thread(command, view, order, positions)
        while known is None:
            known = yield from ctx.ask(lambda account: next(job), view.place)
            yield from ctx.yield_output()
        order.keep_threads(kept, positions, known)
    ctx.write(known)
    return Reply("Threaded.")


def _thread(command: Thread, view: View, order: FolderOrder, positions: Sequence[int]) -> Generator[bytes | None, None, None]:
    """Yield None for each slice of work, and at the end the THREAD response."""
    messages = threading.Messages()
    for start in range(0, len(positions), threading.SLICE_MESSAGES):
        messages.extend(order.thread_keys(positions[start : start + threading.SLICE_MESSAGES]))
        yield from threading.pause(messages)
    places = {at: place for place, at in enumerate(positions)}
    messages.by_date.extend([places[at] for at in order.pick(positions, (Criterion(SortKey.DATE),), view.sizes)])
    yield from threading.pause(messages)
    if command.algorithm is ThreadAlgorithm.ORDEREDSUBJECT:
        forest = threading.ordered_subject(messages)
    else:
        forest = yield from threading.references(messages, by_subject=command.algorithm is ThreadAlgorithm.REFERENCES)
    yield from threading.pause(messages)
    yield threading.write(forest, [view.uids[at] for at in positions] if command.by_uid else [at + 1 for at in positions])


# ------------------------------------------------------------------ shared by these commands


def begin(ctx: ImapContext, command: Search) -> Steps[Reply | None]:
    """Prepare a search: check that it is allowed, and poll the selected mailbox."""
    if command.foreign_charset and Enabled.UTF8 in ctx.enabled:  # RFC 6855 §3; the name UTF-8 is harmless and allowed
        return bad("No charset may be given after ENABLE UTF8=ACCEPT.")
    returns = command.returns or frozenset()
    if "UPDATE" in returns and ctx.view is not None and ctx.tag in ctx.view.contexts:
        return bad("Tag reuse: another search is followed under it.")  # RFC 5267 §4.3
    if "SAVE" in returns:
        ctx.saved = ()  # remains so if the command ends in NO (RFC 5182 §2.1)
    if command.key is None:
        return refuse(
            Text("Không biết bộ mã ký tự đó.", "Unknown charset."), b"BADCHARSET (%b)" % b" ".join(CHARSETS)
        )  # RFC 9051 §6.4.4
    if asks_modseq(command):
        ctx.use_condstore()
    yield from ctx.sync(expunge=False)
    return None


def asks_modseq(command: Search) -> bool:
    """Return whether MODSEQ is among the keys (RFC 7162 §3.1.5)."""
    return command.key is not None and any(isinstance(key, ModSeq) for key in nodes(command.key))


def find_scored(
    ctx: ImapContext,
    command: Search,
    view: View,
    saved: Sequence[int],
    progress: Progress | None = None,
    *,
    scored: bool = False,
) -> Steps[SearchResult]:
    """Return the matches of a command in a mailbox, `$` being `saved`.

    Relevancy is included if requested (RFC 6203 §4).
    """
    progress, key = progress or Progress(ctx, ctx.tag), command.key
    assert key is not None
    positions = yield from find(ctx, view, fuzzy.widened(key), saved, progress=progress)
    found = SearchResult(positions, saved, asks_modseq(command))
    if not scored and "RELEVANCY" not in (command.returns or ()):
        return found
    among = InSet(SequenceSet(ranges_of(view.uids[at] for at in positions)), by_uid=True)
    tiers: list[list[int]] = []
    for tier in fuzzy.tiers(key):
        tiers.append((yield from find(ctx, view, And((among, tier)), saved, progress=progress)))  # noqa: PERF401 - it yields
    return found._replace(scores=fuzzy.scores(positions, tiers))


def answer(ctx: ImapContext, command: Search, found: SearchResult, *, mailbox: bytes | None = None) -> Steps[Reply]:
    """Write the result for the selected mailbox, save it for SAVE, follow it for UPDATE.

    `mailbox` is its name for ESEARCH, ready to send.
    """
    view, rev2, returns = ctx.view, Enabled.REV2 in ctx.enabled, command.returns or frozenset()
    assert view is not None

    def make(account: Account | None = None) -> tuple[bytes, tuple[int, ...]]:
        saved = tuple(view.uids[at] for at in kept(command, found.positions)) if "SAVE" in returns else ()
        return format_response(view, ctx.tag, command, found, rev2=rev2, mailbox=mailbox), saved

    lines, saved = (yield from ctx.ask(make, view.place)) if len(found.positions) > LONG_ANSWER else make()
    if "SAVE" in returns:
        ctx.saved = saved
    ctx.write(lines)
    if "UPDATE" not in returns:
        return Reply("Searched.")
    if search_context.follow(view, ctx.tag, command, found, mailbox=mailbox):
        return Reply("Searched; updates will be sent.")
    ctx.write_no_update(ctx.tag, Text("Không theo dõi được kết quả của lần tìm này.", "This search does not support UPDATE."))
    return Reply("Searched; no updates will be sent.")
