"""FETCH: from items asked to octets on the wire, in slices.

A FETCH is compiled once into a `Plan`. Items that are ready in memory or in the index become *columns*: for a batch of messages
one sequence of values each, and all lines of the batch are one formatting, `template % row`, without an object per token. Items
that lie in the message file become *streams*, read a slice at a time; a large message is never in memory as a whole.

In: the command, the client's view, the store (in a lane). Out: lines. Items without PEEK set \\Seen (RFC 9051 §6.4.5), one
commit per group of messages, just before they are sent, and the line of the text says so.
Standards: RFC 9051 §6.4.5, §7.5.2; RFC 3516 (BINARY); RFC 7162 §3.1.4, §3.2.6 (CHANGEDSINCE, VANISHED); RFC 8970; RFC 8514;
RFC 8474.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from time import monotonic

from mic_mail.imap import responses
from mic_mail.imap.actions import SLICE_OCTETS, Steps
from mic_mail.imap.commands import fetch_plan
from mic_mail.imap.commands.fetch_plan import Batch, Plan, from_cache
from mic_mail.imap.commands.fetch_reader import Reading
from mic_mail.imap.commands.message_set import intersect, part_of, ranges, resolve_messages
from mic_mail.imap.context import ImapContext
from mic_mail.imap.enabled_extensions import Enabled
from mic_mail.imap.parser.commands import SEEN, Fetch
from mic_mail.imap.parser.fetch_items import Datum, FetchItem
from mic_mail.imap.parser.number_set import Ranges, SequenceSet, intersection, missing, ranges_of
from mic_mail.imap.replies import Reply
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import Changes

BATCH_MESSAGES = 128
"""Lines that are made in one go: half a slice of envelopes. Of 256 so much is freed at once that malloc gives it back."""
MEMORY_BATCH_MESSAGES = 2048
"""The same where nothing but memory is asked: 1 ms of the loop's time."""
SLICES_AT_ONCE = 2
"""So many are pulled in one hop for a client that takes them quickly: a hop costs 0.1 ms, as much as reading a slice. With more
the allocator gives back to the kernel what is freed in between (decision 0048)."""
PULL_SECONDS = 0.1
"""A hop that has so far made nothing that fills a slice is over: many small windows into a large part are much to decode."""
QUICK_SECONDS = 0.05
"""For what was pulled in one hop."""
SEEN_GROUP_MESSAGES = 128
SEEN_GROUP_OCTETS = 1 << 20


class Slices:
    """The answer for some messages, pulled in a lane slice by slice; none is larger than SLICE_OCTETS."""

    def __init__(self, chunks: Callable[[Account], Iterator[bytes]]) -> None:
        self._make = chunks
        self._chunks: Iterator[bytes] | None = None
        self._rest: memoryview | None = None
        """What did not fit into the last slice."""
        self._error: Exception | None = None
        self.most = 1
        """So many are pulled at a time."""
        self.ended = False
        """The slice that was pulled last was the last one: most answers are one, and a hop to learn that costs more than it."""

    def pull(self, account: Account) -> list[bytes]:
        """The next slices, perhaps none yet. What goes wrong is raised after the octets before it were given. Blocks."""
        if self._chunks is None:
            self._chunks = self._make(account)
        slices: list[bytes] = []
        until = monotonic() + PULL_SECONDS
        while len(slices) < self.most and not self.ended:
            octets = self._slice(self._chunks, until)
            if octets:
                slices.append(octets)
            if self._error is not None or monotonic() >= until:
                break
        if not slices and self._error is not None:
            raise self._error
        return slices

    def _slice(self, chunks: Iterator[bytes], until: float) -> bytes:
        """The next one; empty if nothing is left, or nothing more can be had, or not by then."""
        pieces: list[bytes | memoryview] = []
        octets = 0
        if self._rest is not None:
            pieces.append(self._rest)
            octets, self._rest = len(self._rest), None
        try:
            while octets < SLICE_OCTETS and self._error is None:
                piece = next(chunks, None)
                if piece is None:
                    self.ended = True
                    break
                if piece:
                    pieces.append(piece)
                    octets += len(piece)
                elif monotonic() >= until:
                    break
        except Exception as error:  # noqa: BLE001 - raised once what was read before it has been given
            self._error = error
        if octets > SLICE_OCTETS:
            last = memoryview(pieces[-1])
            fits = len(last) - (octets - SLICE_OCTETS)
            pieces[-1], self._rest = last[:fits], last[fits:]
        return b"".join(pieces)

    def left(self) -> bytes:
        """What was read of the answer and not given: the end of a piece."""
        rest, self._rest = self._rest, None
        return bytes(rest or b"")

    def close(self) -> None:
        """Close what is open; nobody wants the rest."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


def fetch(ctx: ImapContext, command: Fetch) -> Steps[Reply]:
    """FETCH and UID FETCH."""
    view = ctx.view
    assert view is not None
    if command.changed_since is not None or Datum.MODSEQ in command.items:
        ctx.use_condstore()
    yield from ctx.reading()
    places = yield from resolve_messages(ctx, command.messages, by_uid=command.by_uid)
    if command.partial is not None:
        places = part_of(places, command.partial)
    if command.changed_since is not None:
        places = yield from _changed_since(ctx, view, command, places)
    items = command.items
    if command.uid_implied and Enabled.UIDONLY in ctx.enabled:
        items = tuple(item for item in items if item is not Datum.UID)
    plan = fetch_plan.plan(items, view, ctx.enabled)
    if plan.from_memory:
        for batch in Batch.cut(places, MEMORY_BATCH_MESSAGES):
            ctx.write(plan.lines(view, batch))
            yield from ctx.yield_output()
        return Reply("Fetched.")
    gone = 0
    for group in _seen_groups(view, places) if plan.marks_seen and view.marks_seen else (places,):
        told = plan
        if plan.marks_seen and view.marks_seen and (yield from _mark_seen(ctx, view, group, command)):
            # In the same line, of which curl reads none but the first (RFC 9051 §6.4.5).
            told = plan if Datum.FLAGS in items else fetch_plan.plan((Datum.FLAGS, *items), view, ctx.enabled)
        gone += yield from send(ctx, told, view, group)
    return Reply("Fetched.", code=b"EXPUNGEISSUED" if gone else b"")  # OK all the same: no client can do better (RFC 5530 §3)


def send(ctx: ImapContext, plan: Plan, view: View, places: list[range]) -> Steps[int]:
    """Pull the lines of these messages through the connection; how many could not be read any more."""
    told = from_cache(plan, view, ctx.shelf.answers, places)
    if told is not None:
        ctx.write(told)
        yield from ctx.yield_output()
        return 0
    reader = Reading(plan, view, ctx.shelf.answers, places, BATCH_MESSAGES)
    slices = Slices(reader.chunks)
    pulled: deque[bytes] = deque()
    try:
        while not slices.ended:
            pulled.extend((yield from ctx.ask(slices.pull, view.place)))  # between commands too, where none is in hand
            begun = ctx.now()
            yield from ctx.yield_output()
            while pulled:
                ctx.write(pulled.popleft())
                yield from ctx.yield_output()
            slices.most = min(2 * slices.most, SLICES_AT_ONCE) if ctx.now() - begun < QUICK_SECONDS else 1
        return reader.gone
    except Exception:
        if reader.mid_line:  # a literal has been announced: nothing but its octets may follow, not even BYE
            ctx.severed = True
        else:
            ctx.say_all([*pulled, slices.left()])  # to the end of the line
        raise
    finally:
        slices.close()


def send_unasked(ctx: ImapContext, view: View, items: tuple[FetchItem, ...], places: list[range]) -> Steps[None]:
    """FETCH for messages that the client did not name (RFC 5465 §5.2, §7); nothing becomes \\Seen by it."""
    if Enabled.CONDSTORE in ctx.enabled and Datum.FLAGS in items:
        items = tuple(dict.fromkeys((*items, Datum.MODSEQ)))  # RFC 7162 §3.2.4
    if Enabled.UIDONLY in ctx.enabled:
        items = tuple(item for item in items if item is not Datum.UID) or items
    if places:
        yield from send(ctx, fetch_plan.plan(items, view, ctx.enabled), view, places)


def _seen_groups(view: View, places: Iterable[range]) -> Iterator[list[range]]:
    """Messages that are marked \\Seen together: not all 10,000 for a client that leaves after ten."""
    group: list[int] = []
    octets = 0
    for at in chain.from_iterable(places):
        if group and (len(group) >= SEEN_GROUP_MESSAGES or octets + view.sizes[at] > SEEN_GROUP_OCTETS):
            yield ranges(group)
            group, octets = [], 0
        group.append(at)
        octets += view.sizes[at]
    if group:
        yield ranges(group)


def _mark_seen(ctx: ImapContext, view: View, places: list[range], command: Fetch) -> Steps[bool]:
    """Set \\Seen on those that lack it; whether any has changed, which their lines say. On a full disk they stay unseen."""
    uids = [view.uids[at] for place in places for at in place if not view.flags[at] & SEEN]
    if not uids:
        return False
    expected = {uid: view.flags[at] | SEEN for uid in uids if (at := view.position(uid)) is not None}
    enabled = ctx.enabled

    def work(account: Account) -> list[bytes]:
        result = account.store_flags(view.folder_id, uids, "+", SEEN)
        return view.catch_up(
            view.poll(account, made=result.made),
            enabled,
            expunge=False,
            expected=expected,
            with_uid=command.by_uid,
        )

    try:
        ctx.say_all((yield from ctx.change(work)))
    except Unavailable:
        return False
    return True


def _changed_since(ctx: ImapContext, view: View, command: Fetch, places: list[range]) -> Steps[list[range]]:
    """CHANGEDSINCE: of `places` those that changed; with VANISHED also which asked UIDs are no more (RFC 7162 §3.2.6)."""
    since = command.changed_since
    assert since is not None

    def work(account: Account) -> tuple[bytes, list[range]]:
        changes = account.changes(view.folder_id, since)
        changed = [at for uid, _, _, _ in changes.changed if (at := view.position(uid)) is not None]
        told = responses.vanished(vanished_of(changes, command.messages, view), earlier=True) if command.vanished else b""
        return told, ranges(intersect(places, changed))

    told, places = yield from ctx.ask(work)
    ctx.write(told)
    return places


def vanished_of(changes: Changes, messages: SequenceSet, view: View) -> Ranges:
    """Of the UIDs that a client asks about, those that are no more; all that do not exist where the log has holes."""
    asked = intersection(messages.bounded(view.uids[-1] if view.uids else 1), ((1, view.uidnext - 1),))
    if changes.complete:
        return intersection(ranges_of(uid for uid in changes.vanished if view.position(uid) is None), asked)
    return missing(asked, view.uids)
