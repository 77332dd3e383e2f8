"""Mail that waits for an answer (Reg. 12.4): found in the index of a mailbox, told to its people once a week.

In: mailboxes as the index has them: dates, flags, headers; no file is opened but for a header that is too long for the index.
Out: a list with deadlines; a reminder (wording 12) in the mailbox itself. What others see of it is who wrote when, and never
the subject (Reg. 4.3). A folder is read from its newest message backwards as far as `DAYS_BACK` goes.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from mic_mail.clock import HO_CHI_MINH, Clock
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError
from mic_mail.i18n.notices import duties as letters
from mic_mail.log.maillog import MailLog
from mic_mail.mime.addresses import parse_addresses
from mic_mail.mime.headers import fields, unfold
from mic_mail.mime.words import decode_text
from mic_mail.policy import authority, replies
from mic_mail.policy.calendar import local_day, start_of
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.replies import Addressed, Incoming, ReplySettings
from mic_mail.process.lanes import AccountLanes, Lanes
from mic_mail.services.access import Access
from mic_mail.services.notices import Notices
from mic_mail.storage.mailstore import Account, MailStore
from mic_mail.storage.types import ANSWERED, KEYWORD_SHIFT, AccountRef, Column, FolderInfo

_COLUMNS: Sequence[Column] = ("uid", "flags", "internaldate_us", "header")
_PIECE = 500
"""Messages that are looked at together."""
_LONG_HEADER = 256 << 10
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_SENT, _DRAFTS = "\\Sent", "\\Drafts"
_NOT_INCOMING = frozenset({_SENT, _DRAFTS, "\\Trash", "\\Junk"})
"""Special uses (RFC 6154) of folders in which no mail waits."""
LISTED = 30
"""Messages that a reminder names; it says how many there are."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message that waits for an answer."""

    sender: str
    subject: str
    """For the mailbox's own people alone."""
    received_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class _Row:
    incoming: Incoming
    subject: bytes
    refers: frozenset[str]


def reply_settings(config: Config) -> ReplySettings:
    """How the configuration reads Reg. 12.4."""
    reply = config.reply
    return ReplySettings(Addressed(reply.addressed), reply.skip_bulk, reply.own_unit, config.office.closes)


class Replies:
    """What waits for answers, in any mailbox of one store."""

    def __init__(self, store: MailStore, config: Config) -> None:
        self._store = store
        self._settings = reply_settings(config)

    def waiting(self, entry: Entry, snapshot: Snapshot, now: datetime, unit: Collection[str] = ()) -> list[Waiting]:
        """All that waits in one mailbox, oldest first; `unit`: the addresses of its unit. Blocking."""
        since = now - timedelta(days=replies.DAYS_BACK)
        own = frozenset(entry.addresses)
        incoming: dict[int, _Row] = {}
        named: set[str] = set()
        account = self._account(entry)
        for folder in account.folders():
            if not folder.selectable or folder.special_use == _DRAFTS:
                continue
            for row in _rows(account, folder, since):
                if row.incoming.sender in own:
                    named |= row.refers
                elif folder.special_use not in _NOT_INCOMING:
                    incoming[id(row.incoming)] = row
        found = replies.unanswered((row.incoming for row in incoming.values()), own, unit, named, self._settings)
        if found and entry.kind is not MailboxKind.PERSONAL:
            named |= self._named_by_holders(entry, snapshot, since)
            found = [each for each in found if not replies.is_answered(each, named)]
        calendar = snapshot.working_days
        return [
            Waiting(
                each.sender,
                decode_text(incoming[id(each)].subject),
                each.received_at,
                replies.due_at(each, calendar, self._settings.closes),
            )
            for each in found
        ]

    def _account(self, entry: Entry) -> Account:
        return self._store.account(AccountRef(entry.mailbox_id, entry.home))

    def _named_by_holders(self, entry: Entry, snapshot: Snapshot, since: datetime) -> set[str]:
        """What those who use a unit's or group's mailbox have answered from their own (Reg. 12.3)."""
        named: set[str] = set()
        for person in authority.names(entry.facts):
            holder = snapshot.entries.get(snapshot.own.get(person, 0))
            if holder is None:
                continue
            account = self._account(holder)
            for folder in account.folders():
                if folder.special_use == _SENT:
                    for row in _rows(account, folder, since):
                        named |= row.refers
        return named


def _rows(account: Account, folder: FolderInfo, since: datetime) -> Iterator[_Row]:
    """The messages of a folder that came since then. They are numbered in the order in which they were saved, and nothing is
    saved before it has come, so the first that was saved earlier ends the search."""
    answered = ANSWERED
    for place, keyword in enumerate(folder.keywords):
        if keyword.lower() == "$answered":
            answered |= 1 << (KEYWORD_SHIFT + place)
    since_us = int(since.timestamp() * 1_000_000)
    uids = account.view(folder.folder_id).uids
    for end in range(len(uids), 0, -_PIECE):
        piece = uids[max(0, end - _PIECE) : end]
        young = [uid for uid, saved in account.rows(folder.folder_id, piece, ("uid", "savedate_us")) if saved >= since_us]
        for uid, flags, received_us, header in account.rows(folder.folder_id, young, _COLUMNS):
            if received_us >= since_us:
                octets = header or _read_header(account, folder.folder_id, uid)
                yield _row(octets, received_us, is_marked=bool(flags & answered))
        if len(young) < len(piece):
            return


def _read_header(account: Account, folder_id: int, uid: int) -> bytes:
    try:
        message = account.open_message(folder_id, uid)
    except MicMailError:  # expunged meanwhile
        return b""
    try:
        return message.pread(0, _LONG_HEADER).partition(b"\r\n\r\n")[0]
    finally:
        message.close()


_WANTED = frozenset(
    b"message-id from to cc subject in-reply-to references auto-submitted precedence list-id list-post list-unsubscribe "
    b"content-type return-path".split()
)
_PLAIN = ("auto-submitted", "precedence", "list-id", "list-post", "list-unsubscribe", "content-type", "return-path")


def _row(header: bytes, received_us: int, *, is_marked: bool) -> _Row:
    found: dict[bytes, bytes] = {}
    for name, value in fields(header):
        if name in _WANTED and name not in found:
            found[name] = unfold(value)
    sender = next(iter(_addresses(found.get(b"from", b""))), "")
    plain = {name: found[name.encode()].decode("ascii", "replace").lower() for name in _PLAIN if name.encode() in found}
    ids = _MESSAGE_ID.findall(found.get(b"message-id", b"").decode("utf-8", "replace"))
    refers = (found.get(b"in-reply-to", b"") + b" " + found.get(b"references", b"")).decode("utf-8", "replace")
    incoming = Incoming(
        message_id=ids[0] if ids else "",
        sender=sender,
        to=frozenset(_addresses(found.get(b"to", b""))),
        cc=frozenset(_addresses(found.get(b"cc", b""))),
        received_at=datetime.fromtimestamp(received_us // 1_000_000, UTC),
        is_marked=is_marked,
        is_automatic=replies.is_automatic(plain, sender),
    )
    return _Row(incoming, found.get(b"subject", b""), frozenset(_MESSAGE_ID.findall(refers)))


def _addresses(value: bytes) -> list[str]:
    return [
        f"{each.mailbox.decode('utf-8', 'replace')}@{each.host.decode('utf-8', 'replace')}".lower()
        for each in (parse_addresses(value) if value else ())
        if each.mailbox and each.host
    ]


def addresses_of_units(directory: Directory, snapshot: Snapshot) -> Callable[[Entry], frozenset[str]]:
    """Whose unit is whose: for an entry, the addresses of all mailboxes of its unit. Reads the directory once."""
    unit_of_person = {person.person_id: person.unit_id for person in directory.people()}

    def unit_of(entry: Entry) -> int | None:
        owner = entry.owner
        return owner.unit_id if owner.person_id is None else unit_of_person.get(owner.person_id)

    by_unit: dict[int, set[str]] = {}
    for entry in snapshot:
        if (unit := unit_of(entry)) is not None:
            by_unit.setdefault(unit, set()).update(entry.addresses)
    return lambda entry: frozenset(by_unit.get(unit_of(entry) or 0, ()))


# ---------------------------------------------------------------- reminders


class ReplyReminders:
    """The housekeeper's weekly round: on the first working day of a week on which it runs, each mailbox that is late hears so.

    At most one reminder a week and mailbox, whatever is restarted or killed: its key names the week.
    """

    def __init__(
        self,
        notices: Callable[[], Notices],
        config: Callable[[], Config],
        *,
        store: MailStore,
        directory: Directory,
        access: Access,
        accounts: AccountLanes,
        lanes: Lanes,
        log: MailLog,
        clock: Clock,
    ) -> None:
        self._notices = notices
        self._config = config
        self._store = store
        self._directory = directory
        self._access = access
        self._accounts = accounts
        self._lanes = lanes
        self._log = log
        self._clock = clock
        self._done = ""
        """The week whose round has ended."""

    async def round(self) -> None:
        """Nothing but a look at the clock, unless a round is due."""
        now = self._clock.now()
        week = week_of(now)
        if week == self._done or not self._is_time(now):
            return
        reminded = set(await self._lanes.io(self._directory.sent.beginning, f"{week}:"))
        snapshot, config = self._access.snapshot, self._config()
        finder = Replies(self._store, config)
        units = await self._lanes.io(addresses_of_units, self._directory, snapshot)
        for entry in tuple(snapshot):
            key = f"{week}:{entry.mailbox_id}"
            if key not in reminded and self._can_answer(entry):
                await self._remind(entry, key, partial(finder.waiting, entry, snapshot, now, units(entry)), now)
        self._done = week

    def _is_time(self, now: datetime) -> bool:
        """Within a working day, so that people find it when they come."""
        today = local_day(now)
        return not self._access.snapshot.working_days.is_rest(today) and now >= start_of(today) + timedelta(hours=6)

    def _can_answer(self, entry: Entry) -> bool:
        try:
            decision = self._access.decide(entry.mailbox_id)
        except MicMailError:
            return False
        return decision is not None and decision.sends

    async def _remind(self, entry: Entry, key: str, find: Callable[[], list[Waiting]], now: datetime) -> None:
        ref = AccountRef(entry.mailbox_id, entry.home)
        try:
            waiting = await self._accounts.read(ref, find)
            late = [each for each in waiting if each.due_at <= now]
            if not late:
                return
            await self._accounts.write(ref, self._tell, entry, late, key)
            await self._lanes.io(self._directory.sent.put, [key], now)
        except Exception as error:  # noqa: BLE001 - one mailbox that cannot be read must not end the round for the others
            self._log.event("reminder_failed", mailbox=entry.address, error=str(error) or type(error).__name__)
        else:
            self._log.event("reply_reminded", mailbox=entry.address, count=len(late))

    def _tell(self, entry: Entry, late: Sequence[Waiting], key: str) -> None:
        self._notices().deliver(entry, letters.replies_late(len(late), _listed(late)), origin=key)


def week_of(now: datetime) -> str:
    """The first part of this week's keys, by the ISO calendar of Ho Chi Minh City."""
    year, week, _ = now.astimezone(HO_CHI_MINH).isocalendar()
    return f"unanswered:{year}-W{week:02}"


def _listed(late: Sequence[Waiting]) -> str:
    lines = [
        f"- {each.received_at.astimezone(HO_CHI_MINH):%d/%m/%Y %H:%M}, từ {each.sender}: {each.subject or '(không có chủ đề)'}"
        for each in late[:LISTED]
    ]
    if len(late) > LISTED:
        lines.append(f"... và {len(late) - LISTED} thư khác")
    return ";\n".join(lines) + "."
