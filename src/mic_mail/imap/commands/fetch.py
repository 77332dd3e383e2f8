"""FETCH: from requested items to octets on the wire, in slices.

A FETCH is compiled once into a `Plan`. Items that are ready in memory or in the index become *columns*: for a batch of
messages, one sequence of values each. All lines of a batch are formatted in one piece, without an object per token. Items that
are read from the message file become *streams*, read a slice at a time; a large message is never in memory as a whole.

In: the command, the client's view, the store (in an executor). Out: lines. Items without PEEK set \\Seen (RFC 9051 §6.4.5) in
one commit per group of messages, just before these are sent, and their FETCH lines report it.
Standards: RFC 9051 §6.4.5, §7.5.2; RFC 3516 (BINARY); RFC 7162 §3.1.4, §3.2.6 (CHANGEDSINCE, VANISHED); RFC 8970; RFC 8514;
RFC 8474.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from time import monotonic

from mic_mail.connection.actions import Steps
from mic_mail.imap import responses
from mic_mail.imap.actions import SLICE_OCTETS
from mic_mail.imap.commands import fetch_plan
from mic_mail.imap.commands.body_sections import Message, OctetsInMemory
from mic_mail.imap.commands.fetch_plan import Batch, Plan, from_cache
from mic_mail.imap.commands.fetch_reader import FetchReader
from mic_mail.imap.commands.message_set import intersect, part_of, ranges, resolve_messages
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.fetch import Fetch
from mic_mail.imap.parser.fetch_items import Datum, FetchItem
from mic_mail.imap.parser.number_set import Ranges, SequenceSet, intersection, missing, ranges_of
from mic_mail.imap.replies import Reply
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.answer_rows import FEW_MESSAGES
from mic_mail.storage.mailstore import Account
from mic_mail.storage.message_names import name_with_flags
from mic_mail.storage.types import SEEN, AnswerRow, Changes

BATCH_MESSAGES = 128
"""Messages whose lines are made in one piece: half a slice of envelopes.

With 256, so much is freed in one piece that malloc returns it to the kernel.
"""
MEMORY_BATCH_MESSAGES = 2048
"""Messages per batch where only memory is read: 1 ms of the loop's time."""
SLICES_AT_ONCE = 2
"""Most slices pulled in one executor call, for a client that reads quickly.

A call costs 0.1 ms, as much as reading a slice. With more slices the allocator returns the memory freed in between to the
kernel (decision 0048).
"""
PULL_SECONDS = 0.1
"""Time after which a call ends even if no slice is full.

Many small windows into a large part take long to decode.
"""
QUICK_SECONDS = 0.05
"""A client that takes the slices of one call in less than this reads quickly."""
CACHED_FILE_OCTETS = 64 << 10
"""Messages up to this size are read in the event loop where the kernel has them in memory: 10 to 25 us."""
HEADERS_AT_ONCE_OCTETS = 128 << 10
"""Octets of headers that are searched for fields in the event loop: 2 ms."""
HEADER_LINES_AT_ONCE = 4096
"""Lines of these: a field may have three octets, and costs as much as a long one."""
SEEN_GROUP_MESSAGES = 128
SEEN_GROUP_OCTETS = 1 << 20


class Slices:
    """The response for some messages, pulled in an executor slice by slice of at most SLICE_OCTETS."""

    def __init__(self, chunks: Callable[[Account], Iterator[bytes]]) -> None:
        self._make = chunks
        self._chunks: Iterator[bytes] | None = None
        self._rest: memoryview | None = None
        """The part that did not fit into the last slice."""
        self._error: Exception | None = None
        self.most = 1
        """Slices pulled per call."""
        self.ended = False
        """True if the last slice has been pulled.

        Most responses are one slice, and an executor call just to learn that would cost more than the slice.
        """

    def pull(self, account: Account) -> list[bytes]:
        """Return the next slices, perhaps none yet. Blocks.

        An error is raised after the octets before it were returned.
        """
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
        """Return the next slice; empty at the end, after an error, or if time is up."""
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
        except Exception as error:  # noqa: BLE001 - raised once the octets read before it have been returned
            self._error = error
        if octets > SLICE_OCTETS:
            last = memoryview(pieces[-1])
            fits = len(last) - (octets - SLICE_OCTETS)
            pieces[-1], self._rest = last[:fits], last[fits:]
        return b"".join(pieces)

    def left(self) -> bytes:
        """Return what was read but not returned: the end of a piece."""
        rest, self._rest = self._rest, None
        return bytes(rest or b"")

    def close(self) -> None:
        """Close the open files; the rest is not wanted."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


def fetch(ctx: ImapContext, command: Fetch) -> Steps[Reply]:
    view = ctx.selected
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
        group_plan = plan
        if plan.marks_seen and view.marks_seen and (yield from _mark_seen(ctx, view, group, command)):
            # FLAGS go into the same line, since curl reads only the first line (RFC 9051 §6.4.5).
            group_plan = plan if Datum.FLAGS in items else fetch_plan.plan((Datum.FLAGS, *items), view, ctx.enabled)
        gone += yield from send(ctx, group_plan, view, group)
    return Reply("Fetched.", code=b"EXPUNGEISSUED" if gone else b"")  # still OK: no client can do better (RFC 5530 §3)


def send(ctx: ImapContext, plan: Plan, view: View, places: list[range]) -> Steps[int]:
    """Send the lines of these messages; return how many could not be read any more."""
    cached = from_cache(plan, view, ctx.cache.answers, places)
    if cached is not None:
        ctx.write(cached)
        yield from ctx.yield_output()
        return 0
    if (lines := _from_memory(ctx, plan, view, places)) is not None:
        ctx.write(lines)
        yield from ctx.yield_output()
        return 0
    reader = FetchReader(plan, view, ctx.cache, places, BATCH_MESSAGES)
    slices = Slices(reader.chunks)
    pulled: deque[bytes] = deque()
    try:
        while not slices.ended:
            pulled.extend((yield from ctx.ask(slices.pull, view.place)))  # also between commands, for NOTIFY
            begun = ctx.now()
            yield from ctx.yield_output()
            while pulled:
                ctx.write(pulled.popleft())
                yield from ctx.yield_output()
            slices.most = min(2 * slices.most, SLICES_AT_ONCE) if ctx.now() - begun < QUICK_SECONDS else 1
        return reader.gone
    except Exception:
        if reader.mid_line:  # an announced literal: only its octets may follow, not even BYE
            ctx.severed = True
        else:
            ctx.write_lines([*pulled, slices.left()])  # up to the end of the line
        raise
    finally:
        slices.close()


def _from_memory(ctx: ImapContext, plan: Plan, view: View, places: list[range]) -> bytes | None:
    """Return the lines of a few messages, if the answers about them and their files are in memory.

    No disk is needed then. So a mail program opens a message, and a session gets new mail that it was notified of.
    """
    if plan.whole is not None and not (plan.columns or plan.kept):
        return _whole_from_memory(ctx, plan, view, places)
    batch = Batch(places)
    if not plan.takes_rows or len(batch) > FEW_MESSAGES:
        return None
    uids = batch.pick(view.uids)
    rows = ctx.host.answer_rows(view.key, uids)
    if rows is None or not _is_little(plan, rows) or not plan.take(batch, rows):
        return None
    if not plan.streams:
        return plan.lines(view, batch)
    if plan.reads_files and sum(batch.pick(view.sizes)) > CACHED_FILE_OCTETS:
        return None
    reader = FetchReader(plan, view, ctx.cache, places, BATCH_MESSAGES)
    lines: list[bytes] = []
    for at, row, head in zip(chain.from_iterable(places), rows, plan.heads(view, batch), strict=True):
        octets = _octets_in_memory(ctx, view, at, row.path) if plan.reads_files else b""
        if octets is None:
            return None
        lines += reader.streams_of(Message(row.parts, row.header, partial(OctetsInMemory, octets)), head)
    return b"".join(lines)


def _is_little(plan: Plan, rows: Sequence[AnswerRow]) -> bool:
    """Return whether the headers are searched for fields without holding up the event loop."""
    copies = plan.headers_at_once
    octets, lines = sum([len(row.header) for row in rows]), sum([row.header.count(b"\n") for row in rows])
    return copies * octets <= HEADERS_AT_ONCE_OCTETS and copies * lines <= HEADER_LINES_AT_ONCE


def _whole_from_memory(ctx: ImapContext, plan: Plan, view: View, places: list[range]) -> bytes | None:
    """Return the line of one small message requested whole."""
    assert plan.whole is not None
    if len(places) != 1 or len(places[0]) != 1:
        return None
    at = places[0].start
    uid, size = view.uids[at], view.sizes[at]
    if size > CACHED_FILE_OCTETS:
        return None
    path = ctx.cache.paths.get((view.key, uid))
    if path is None:
        rows = ctx.host.answer_rows(view.key, (uid,))
        path = rows[0].path if rows else None
    octets = None if path is None else _octets_in_memory(ctx, view, at, path)
    if octets is None:
        return None
    head = next(plan.heads(view, Batch(places)))
    return b"".join((head, plan.announcement(size), responses.without_nul(octets), b")\r\n"))


def _octets_in_memory(ctx: ImapContext, view: View, at: int, path: str) -> bytes | None:
    """Return the octets of a small message that had this path; its name may have followed its flags since."""
    size = view.sizes[at]
    octets = ctx.host.read_cached(path, size)
    if octets is None:
        folder, _, name = path.rpartition("/")
        now = f"{folder}/{name_with_flags(name, view.flags[at])}"
        octets = ctx.host.read_cached(now, size) if now != path else None
    return octets


def send_unasked(ctx: ImapContext, view: View, items: tuple[FetchItem, ...], places: list[range]) -> Steps[None]:
    """Send FETCH of messages that the client did not name (RFC 5465 §5.2, §7); \\Seen is not set."""
    if Enabled.CONDSTORE in ctx.enabled and Datum.FLAGS in items:
        items = tuple(dict.fromkeys((*items, Datum.MODSEQ)))  # RFC 7162 §3.2.4
    if Enabled.UIDONLY in ctx.enabled:
        items = tuple(item for item in items if item is not Datum.UID) or items
    if places:
        yield from send(ctx, fetch_plan.plan(items, view, ctx.enabled), view, places)


def _seen_groups(view: View, places: Iterable[range]) -> Iterator[list[range]]:
    """Yield groups of messages to mark \\Seen together.

    Groups are small, so that a client that disconnects after ten of 10,000 messages does not leave all of them marked.
    """
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
    """Set \\Seen on messages that lack it; return whether any has changed, which their lines report.

    On a full disk they stay unseen.
    """
    uids = [view.uids[at] for place in places for at in place if not view.flags[at] & SEEN]
    if not uids:
        return False
    expected = {uid: view.flags[at] | SEEN for uid in uids if (at := view.position(uid)) is not None}
    enabled = ctx.enabled

    def work(account: Account) -> list[bytes]:
        result = account.store_flags(view.folder_id, uids, "+", SEEN)
        return view.catch_up(
            view.poll(account, own_change=result.made),
            enabled,
            expunge=False,
            expected=expected,
            with_uid=command.by_uid,
        )

    try:
        ctx.write_lines((yield from ctx.change(work)))
    except Unavailable:
        return False
    return True


def _changed_since(ctx: ImapContext, view: View, command: Fetch, places: list[range]) -> Steps[list[range]]:
    """Handle CHANGEDSINCE: return the changed ones of `places` (RFC 7162 §3.2.6).

    With VANISHED, also report the requested UIDs that no longer exist.
    """
    since = command.changed_since
    assert since is not None

    def work(account: Account) -> tuple[bytes, list[range]]:
        changes = account.changes(view.folder_id, since)
        changed = [at for uid, _, _, _ in changes.changed if (at := view.position(uid)) is not None]
        vanished = responses.vanished(vanished_of(changes, command.messages, view), earlier=True) if command.vanished else b""
        return vanished, ranges(intersect(places, changed))

    vanished, places = yield from ctx.ask(work)
    ctx.write(vanished)
    return places


def vanished_of(changes: Changes, messages: SequenceSet, view: View) -> Ranges:
    """Return the requested UIDs that no longer exist.

    Where the log of expunged UIDs is incomplete, these are all that do not exist now.
    """
    asked = intersection(messages.bounded(view.uids[-1] if view.uids else 1), ((1, view.uidnext - 1),))
    if changes.complete:
        return intersection(ranges_of(uid for uid in changes.vanished if view.position(uid) is None), asked)
    return missing(asked, view.uids)
