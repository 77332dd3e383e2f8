"""APPEND: a message streams from the client through the MIME scanner into the store.

Published once durable.

In: the reader's events (`AppendMessage`, `AppendChunk`..., `AppendEnd`). Out: steps. Octets are held in memory up to
HELD_OCTETS.
OK is sent after all messages of the command are published; it is all of them or none (RFC 3502 §3). A command that ends
earlier (by a refusal, a lost connection, an error) leaves nothing behind.
Standards: RFC 9051 §6.3.12, RFC 3502 (MULTIAPPEND), RFC 4315 (APPENDUID), RFC 7889 (APPENDLIMIT); attachments: Reg. 8.3.b.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from mic_mail.clock import within_calendar
from mic_mail.connection.actions import Steps
from mic_mail.errors import MicMailError, Text
from mic_mail.i18n import dates
from mic_mail.imap import responses
from mic_mail.imap.actions import Inspect, ScanMessage
from mic_mail.imap.commands import mailboxes
from mic_mail.imap.commands.search_context import send_selected_changes
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.context import AppendTarget, ImapContext
from mic_mail.imap.mailbox_names.acl_rights import allowed_flags
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.imap.parser.events import AppendChunk, AppendEnd, AppendMessage, BadLine, Event
from mic_mail.imap.replies import CommandRefused, Reply, refusal, refuse
from mic_mail.mime.imap_structure import Answers, answers, answers_of
from mic_mail.mime.scanner import Scanner
from mic_mail.storage.delivery import Delivery, StagedContent
from mic_mail.storage.errors import NoSuchFolder, OverQuota, SpecialUseRefused
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import KEYWORD_FLAGS, Published
from mic_mail.textextract.prefilter import is_clear

MOST_MESSAGES = 1000
"""Messages of one MULTIAPPEND.

Each costs a temporary file and the scanner's state until the last has arrived.
"""

HELD_OCTETS = 256 << 10
"""Octets of a command's messages in memory; more is written to temporary files."""
SENT = "\\Sent"
"""The special use of sent mail (RFC 6154)."""
LANDED_SECONDS = 10.0
"""Seconds after an APPEND in which the next one to the same folder does not check the folder first."""


class IncomingAppend:
    """One message on its way in.

    Every method blocks and belongs in an executor, except `hold`, which only collects.
    """

    def __init__(self, message: AppendMessage, attachment_limit: int) -> None:
        self._options = message.options
        self._size = message.size
        self._attachment_limit = attachment_limit
        self._scanner = Scanner()
        self._staged: StagedContent | None = None
        self._held: list[bytes] = []

    @property
    def binary(self) -> bool:
        """True if it comes as a literal8, which may hold NUL."""
        return self._options.binary

    @property
    def is_partly_written(self) -> bool:
        """True if the last of its octets are not in its file yet."""
        return self._staged is not None and bool(self._held)

    @property
    def needs_no_look(self) -> bool:
        """True if the held octets are fewer than attachments may have: no check is needed."""
        return sum(map(len, self._held)) <= self._attachment_limit

    def hold(self, data: bytes) -> None:
        self._held.append(data)

    @property
    def source(self) -> bytes | Path:
        """The complete message: its octets in memory, or the file that holds it."""
        return b"".join(self._held) if self._staged is None else Path(self._staged.path)

    @property
    def is_clear(self) -> bool:
        """True if the prefilter alone tells that it holds no marking."""
        source = self.source
        return isinstance(source, bytes) and is_clear(source)

    def write(self, account: Account) -> None:
        """Write and scan the held octets; raise `CommandRefused` as soon as attachments exceed the limit.

        A completely written file is closed.
        """
        self._write(account)
        if self._staged is not None and self._staged.size == self._size:
            self._staged.finish_later()

    def _write(self, account: Account) -> None:
        if self._held and self._staged is None:
            self._staged = account.stage()
        for data in self._held:
            self._scanner.feed(data)
            self._check_attachments(self._scanner.attachment_octets)
            assert self._staged is not None
            self._staged.write(data)
        self._held.clear()

    def finish(self, account: Account, allowed: int, *, journaled: bool = False) -> Delivery:
        """Finish the complete message: its file is written and its responses rendered.

        Only `allowed` flags are set (RFC 4314 §4). The file is durable unless the message is to be `journaled`; all of it has
        to be held in memory then.
        """
        answered: Answers | Callable[[], Answers]
        octets: bytes | None = None
        if journaled:
            octets = b"".join(self._held)
            answered = partial(answers_of, octets)
            self._staged = account.stage()
            self._staged.write(octets)
            self._staged.finish_later()
            self._held.clear()
        else:
            self._write(account)
            assert self._staged is not None, "an empty message is refused when it is announced"
            scan = self._scanner.finish()
            self._check_attachments(scan.attachment_octets)
            self._staged.finish()
            answered = answers(scan)
        received_at = self._options.received_at
        return Delivery(
            self._staged,
            answered,
            flags=self._options.flags.system & allowed,
            keywords=self._options.flags.keywords if allowed & KEYWORD_FLAGS else (),
            received_at_us=None if received_at is None else within_calendar(int(received_at.timestamp()) * 1_000_000),
            octets=octets,
        )

    def _check_attachments(self, octets: int) -> None:
        if octets > self._attachment_limit:
            megabytes = f"{self._attachment_limit / (1 << 20):g}"
            text = Text(
                f"Tổng dung lượng tệp gửi kèm vượt quá {megabytes} MB (Quy chế, điểm b khoản 3 Điều 8).",
                f"The attachments exceed {megabytes} MB in all (Regulation, 8.3.b).",
            )
            raise CommandRefused(text, b"TOOBIG", clause="8.3.b")

    def discard(self) -> None:
        """Discard the message; harmless after publication."""
        self._held.clear()
        if self._staged is not None:
            self._staged.discard()


class MultiAppend:
    """All messages of one APPEND."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.messages: list[IncomingAppend] = []
        self.held_octets = 0
        self.used_octets: int | None = None
        """Octets in the mailbox when the folder was checked; None: it was not."""
        self._deliveries: list[Delivery] = []
        """The finished messages, once they have been made for a first publication."""
        self.likely_id = 0
        """The number of the folder that had this name a moment ago; 0: unknown."""
        self._is_held = True
        """True while nothing of it has been written to a file."""

    def write(self, account: Account) -> None:
        self._is_held = False
        for message in self.messages:
            message.write(account)

    @property
    def unclear(self) -> list[IncomingAppend]:
        """The messages that may hold a marking; most do not."""
        return [message for message in self.messages if not message.is_clear]

    def check(self, account: Account, size: int, limit_octets: int | None) -> None:
        """Check that the folder exists and has room for this many octets, before they are sent."""
        account.folder_id(self.place.name)
        self.used_octets = account.quota().octets if limit_octets is not None else 0
        if size and limit_octets is not None and self.used_octets + size > limit_octets:
            raise OverQuota(self.used_octets, limit_octets)

    def publish(
        self,
        account: Account,
        limit_octets: int | None,
        open_id: int = 0,
        *,
        claims: bool = False,
        is_it: bool = False,
        unless_use: str | None = None,
    ) -> list[Published]:
        """Make all messages durable and visible, in order.

        `open_id` is the folder that this client has selected. If it is the destination, the last message reports the change
        that was made, and with `claims` all are \\Recent for this client alone. `is_it`: the name is known to be that folder.
        Raises `SpecialUseRefused` where the folder has the special use `unless_use`; the call may then be repeated without it.
        """
        folder_id = open_id if is_it else self.likely_id or open_id
        if not self._deliveries:
            allowed = allowed_flags(self.place.rights)
            journaled = (
                self._is_held
                and all(message.needs_no_look for message in self.messages)
                and account.journal_takes(self.held_octets)
            )
            self._deliveries = [message.finish(account, allowed, journaled=journaled) for message in self.messages]
        deliveries = self._deliveries
        is_open = folder_id != 0 and folder_id == open_id
        published = account.publish(
            folder_id,
            deliveries,
            limit_octets=limit_octets,
            claim=claims and is_open,
            tell=is_open,
            name=self.place.name,
            unless_use=unless_use,
        )
        if self.used_octets is not None:
            self.used_octets += sum(delivery.staged.size for delivery in deliveries)
        self.messages.clear()
        return published

    def leave(self, ctx: ImapContext) -> None:
        """Have unpublished messages discarded; also runs when the connection ends."""
        if self.messages:
            ctx.leave_behind(self._discard)

    def _discard(self) -> None:
        for message in self.messages:
            message.discard()


def append(ctx: ImapContext, first: AppendMessage, forbidden: Reply | None) -> Steps[None]:
    place, refused = target_of(ctx, first.mailbox)
    intake = MultiAppend(place)
    yield from take(ctx, first, intake, partial(_publish, ctx, first.mailbox, intake), forbidden or refused)


def take(
    ctx: ImapContext, first: AppendMessage, intake: MultiAppend, publish: Callable[[], Steps[Reply]], refused: Reply | None
) -> Steps[None]:
    """Run an APPEND or a REPLACE: receive messages, call `publish`, write the tagged line.

    `refused`: the command cannot be carried out; only its octets are skipped.
    """
    try:
        refused = yield from _receive(ctx, first, intake, refused)
        reply = refused or (yield from publish())
    except ReaderRefused:
        return
    except MicMailError as error:
        reply = refusal(error, intake.place)
    finally:
        intake.leave(ctx)
    if reply.status == b"OK":
        yield from mailboxes.send_oldname(ctx, intake.place, first.written)
    last = ctx.line(first.tag, reply)
    yield from send_selected_changes(ctx, last, expunge=True)
    ctx.write(last)


def target_of(ctx: ImapContext, mailbox: str) -> tuple[Place, Reply | None]:
    """Return the destination of a message, and the refusal if it may not be used (RFC 4314 §4: `i`)."""
    try:
        return ctx.place(mailbox, "i"), None
    except MicMailError as error:
        return Place(mailbox), refusal(error)


def target_again(ctx: ImapContext, mailbox: str, before: Place) -> Place:
    """Resolve the destination again once the message is complete.

    A delegation may have ended meanwhile, and the staged file belongs to the account of `before`.
    """
    place = ctx.place(mailbox, "i")
    if place.account != before.account:
        raise NoSuchFolder(mailbox)
    return place


class ReaderRefused(Exception):
    """Raised where the reader has refused the rest of a command, and its response was written."""


def _receive(ctx: ImapContext, event: Event, intake: MultiAppend, refused: Reply | None) -> Steps[Reply | None]:
    """Receive messages until the command ends; return why it is refused, if it is."""
    while True:
        match event:
            case AppendMessage():
                refused = refused or (yield from _tried(_check_announced(ctx, event, intake), intake))
                if refused is not None:
                    ctx.reader.refuse(refused.status, ctx.words(refused.text), refused.code or None)
                else:
                    intake.messages.append(IncomingAppend(event, ctx.settings.attachment_limit))
                    ctx.reader.accept()
                    if event.sync:
                        ctx.write(responses.continuation())
            case AppendChunk(data) if refused is None and b"\0" in data and not intake.messages[-1].binary:
                refused = refuse(
                    Text("Thư có ký tự NUL phải được gửi dưới dạng literal8.", "A message with NUL needs a literal8."),
                    b"CANNOT",
                )  # RFC 9051 §4.3.1, RFC 3516 §4.4
            case AppendChunk() if refused is None:
                intake.messages[-1].hold(event.data)
                intake.held_octets += len(event.data)
                if intake.held_octets >= HELD_OCTETS:
                    refused = yield from _tried(ctx.ask(intake.write, intake.place), intake)
                    intake.held_octets = 0
            case AppendEnd():
                return refused
            case BadLine():
                ctx.write(responses.status_line(event.tag, event.status, event.text, event.code))
                raise ReaderRefused
            case _:
                pass  # the rest of a message that is already refused
        event = yield from ctx.event(ctx.now() + ctx.settings.idle_seconds)


def _tried(work: Steps[None], intake: MultiAppend) -> Steps[Reply | None]:
    """Do a part of the work; return the refusal, if any: the client's octets have to be skipped first."""
    try:
        yield from work
    except MicMailError as error:
        return refusal(error, intake.place)
    return None


def _check_announced(ctx: ImapContext, message: AppendMessage, intake: MultiAppend) -> Steps[None]:
    """Check a message before a client that waits for the continuation sends its megabytes."""
    limit = ctx.settings.append_limit
    if message.options.utf8 and Enabled.UTF8 not in ctx.enabled:  # RFC 6855 §4; 8-bit in other messages: decision 0003
        raise CommandRefused(Text("Phải bật UTF8=ACCEPT trước.", "ENABLE UTF8=ACCEPT is required first."), b"CANNOT")
    if message.size > limit:
        most = dates.size(limit)
        text = Text(f"Thư không được quá {most.vi}.", f"A message may have at most {most.en}.")
        raise CommandRefused(text, b"TOOBIG")
    if message.size == 0:  # RFC 3502 §4: it cancels the APPEND
        raise CommandRefused(Text("Không lưu thư nào.", "Nothing is stored."))
    if message.index >= MOST_MESSAGES:
        raise CommandRefused(
            Text(f"Mỗi lần thêm nhiều nhất {MOST_MESSAGES} thư.", f"One APPEND may have at most {MOST_MESSAGES} messages."),
            b"LIMIT",
        )
    if message.index > 0 or not (message.sync or message.size > HELD_OCTETS):
        return
    place = intake.place
    limit_octets = ctx.quota_octets(place.box)
    landed = _landed_in(ctx, place)
    if landed is not None and landed.used_octets is not None and ctx.now() < landed.until:
        has_room = limit_octets is None or landed.used_octets + message.size <= limit_octets
        if has_room and message.size <= HELD_OCTETS:  # both are checked again before OK
            intake.used_octets = landed.used_octets
            return
    yield from ctx.ask(lambda account: intake.check(account, message.size, limit_octets), place)


def _landed_in(ctx: ImapContext, place: Place) -> AppendTarget | None:
    """Return what the last APPEND has left to know, if it had this destination."""
    landed = ctx.landed
    return landed if landed is not None and (landed.account, landed.name) == (place.account, place.name) else None


def _publish(ctx: ImapContext, mailbox: str, intake: MultiAppend) -> Steps[Reply]:
    intake.place = place = target_again(ctx, mailbox, intake.place)
    yield from check_malware(ctx, intake)
    landed, ctx.landed = _landed_in(ctx, place), None
    intake.likely_id = 0 if landed is None else landed.folder_id
    unclear = intake.unclear
    if landed is not None and landed.is_sent and ctx.now() < landed.until:
        yield from check_marking(ctx, intake, unclear)
        unclear = []
    try:
        published, lines = yield from _store(ctx, intake, unless_use=SENT if unclear else None)
    except SpecialUseRefused:
        yield from check_marking(ctx, intake, unclear)
        published, lines = yield from _store(ctx, intake)
    last = published[-1]
    ctx.landed = AppendTarget(
        place.account,
        place.name,
        last.folder_id,
        intake.used_octets,
        ctx.now() + LANDED_SECONDS,
        last.special_use == SENT,
    )
    ctx.write_lines(lines)
    code = responses.append_uid(published[0].uidvalidity, [each.uid for each in published])
    return Reply("Stored.", code=code)


def _store(ctx: ImapContext, intake: MultiAppend, unless_use: str | None = None) -> Steps[tuple[list[Published], list[bytes]]]:
    """Publish the messages; return them, and the lines that tell of them where the client has the folder selected."""
    place, view, enabled = intake.place, ctx.view, ctx.enabled
    limit = ctx.quota_octets(place.box)
    is_open = view is not None and (view.place.account, view.name) == (place.account, place.name) and ctx.is_current(view)

    def publish(account: Account) -> tuple[list[Published], list[bytes]]:
        if view is None or view.place.account != place.account:
            return intake.publish(account, limit, unless_use=unless_use), []
        published = intake.publish(account, limit, view.folder_id, claims=view.claims, is_it=is_open, unless_use=unless_use)
        claimed = tuple((each.uid, each.uid) for each in published if each.recent)
        return published, view.poll_after_change(account, enabled, claimed=claimed, own_change=published[-1].made)

    return (yield from ctx.change(publish, place))


def check_malware(ctx: ImapContext, intake: MultiAppend) -> Steps[None]:
    """Refuse a message with malware (Reg. 10.2).

    No malware is stored where others, or this person on another machine, may open it.
    """
    for message in intake.messages if ctx.settings.scans else ():
        yield from _complete_file(ctx, intake, message)
        why = cast("Text | None", (yield ScanMessage(message.source)))
        if why is not None:
            raise CommandRefused(why, b"CANNOT")


def check_marking(ctx: ImapContext, intake: MultiAppend, unclear: Sequence[IncomingAppend]) -> Steps[None]:
    """Refuse a message marked as secret that would be stored as sent (Reg. 4.1).

    Drafts and all other folders accept anything: nothing is sent from there.
    """
    for message in unclear:
        yield from _complete_file(ctx, intake, message)
        why = cast("MicMailError | None", (yield Inspect(message.source)))
        if why is not None:
            raise why


def _complete_file(ctx: ImapContext, intake: MultiAppend, message: IncomingAppend) -> Steps[None]:
    if message.is_partly_written:
        yield from ctx.ask(message.write, intake.place)
