"""The notices of a mailbox's life, sent by the housekeeper (Reg. 6.4.b, 6.4.c, 7.2, 7.3, 15.2).

`policy.due_notices` decides what is due; here it gets its text and its readers. A notice goes to the mailbox that it is
about, and to its managing unit while nobody can sign in there; what its owner must not know goes to the unit or the
Centre.

Each notice is published under its key first and recorded afterwards. A kill between the two sends nothing twice, since
the mailbox knows the key. A mailbox is checked again only when a fact, its last use, the settings or the clock can have
changed the answer.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta

from mic_mail.clock import Validity
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.errors import MicMailError, Text
from mic_mail.i18n.notices import centre, delegation, leavers, mailbox
from mic_mail.i18n.notices.notice import NoticeText, Reader
from mic_mail.log.error_fields import failure
from mic_mail.policy.calendar import local_day
from mic_mail.policy.due_notices import DueNotices, Notable, NoticeKind, WarnDays, due_notices
from mic_mail.policy.facts import Fact, MailboxKind
from mic_mail.policy.lifecycle import FactsUnreadable, LifecycleSettings
from mic_mail.policy.states import MailboxState, Span
from mic_mail.process.runtime import Runtime
from mic_mail.services.notifications.notices import Notices
from mic_mail.services.notifications.succession import basis, vacancies_on
from mic_mail.services.settings import lifecycle_settings, warn_days
from mic_mail.storage.types import AccountRef

BATCH_SIZE = 50
"""Mailboxes that are checked in one turn of a thread: 5 ms."""
AGAIN = timedelta(hours=1)
"""The retry delay of a notice that reached nobody."""
MALWARE = "malware"
SPAM = "spam"
"""The trigger in the fact of a suspension."""
EXPOSED = frozenset({"leaked-password", "sprayed-password"})
SERVER = "server"
"""The actor of the server's own acts."""


class LifeNotices:
    """The housekeeper's job for due notices. Belongs to the event loop."""

    def __init__(self, runtime: Runtime, directory: Directory, notices: Callable[[], Notices]) -> None:
        """`notices` is called when they are needed, since a reload replaces them."""
        self._runtime = runtime
        self._directory = directory
        self._notices = notices
        self._read_by: object = None
        self._begun: datetime | None = None
        """When the server began to send notices, once it was looked up."""
        self._next: dict[int, tuple[tuple[Entry, ...], Validity]] = {}
        """By mailbox, its entry and those of the people named in it at the last check, and the span without new notices."""
        self._rests: tuple[Config, Snapshot, Validity] | None = None
        """The state that the last run checked, and the span without new notices of any mailbox."""

    def is_idle(self) -> bool:
        """Return whether nothing can have become due since the last run: cheaper than a look at every mailbox."""
        if self._rests is None:
            return False
        config, snapshot, validity = self._rests
        is_same = config is self._runtime.config() and snapshot is self._runtime.snapshot()
        return is_same and validity.holds(self._runtime.clock.steady_now())

    async def run_once(self) -> None:
        """Send what is due now and was not sent."""
        config, snapshot, now = self._runtime.config(), self._runtime.snapshot(), self._runtime.clock.steady_now()
        if self._read_by != (config, snapshot.working_days):
            self._read_by = (config, snapshot.working_days)
            self._next.clear()
        settings, days = lifecycle_settings(config, snapshot.working_days), warn_days(config)
        open_now = [on for entry in snapshot if self._is_open(on := basis(entry, snapshot), now)]
        if open_now and (self._begun is None or self._begun > now):
            self._begun = await self._runtime.executors.io(self._directory.sent.begin, now)
        for start in range(0, len(open_now), BATCH_SIZE):
            batch = open_now[start : start + BATCH_SIZE]
            for on, found in await self._runtime.executors.io(_outlooks, batch, now, settings, days, self._begun):
                done = await self._send(on[0], found, settings) if found.due else True
                self._next[on[0].mailbox_id] = (on, Validity(now, found.again_at if done else now + AGAIN))
        spans = [known[1] for entry in snapshot if (known := self._next.get(entry.mailbox_id)) is not None]
        ends = [span.until for span in spans if span.until is not None]
        self._rests = (config, snapshot, Validity(max((span.made_at for span in spans), default=now), min(ends, default=None)))

    def _is_open(self, on: tuple[Entry, ...], now: datetime) -> bool:
        known = self._next.get(on[0].mailbox_id)
        return known is None or list(map(id, known[0])) != list(map(id, on)) or not known[1].holds(now)

    async def _send(self, entry: Entry, found: DueNotices, settings: LifecycleSettings) -> bool:
        """Send the mailbox's due notices; return whether each is sent, now or before."""
        sent = await self._runtime.executors.io(self._directory.sent.known, [each.key for each in found.due])
        done = True
        for notable in found.due:
            if notable.key in sent:
                continue
            try:
                await self._send_one(entry, notable, settings)
            except Exception as error:  # noqa: BLE001 - what one mailbox does not take must not delay the others'
                self._runtime.log.event("notice_failed", notice=notable.kind, mailbox=entry.address, **failure(error))
                done = False
        return done

    async def _send_one(self, entry: Entry, notable: Notable, settings: LifecycleSettings) -> None:
        now = self._runtime.clock.steady_now()
        decision = entry.decide(now, settings)
        for reader, text in self._texts(entry, notable):
            letter = text.sent_late(notable.since) if notable.is_late(now) else text
            if reader is Reader.OWNER:  # first, since there may be no other reader
                await self._publish(entry, reader, letter, notable.key)
            is_unheard = reader is Reader.OWNER and not decision.signs_in
            if reader is Reader.UNIT or (is_unheard and notable.vacancy is None):  # a vacancy goes to the Centre anyway
                unit = await self._runtime.executors.io(self._unit_of, entry)
                await self._publish(unit, reader, letter, notable.key)
            if reader is Reader.CENTRE:
                await self._publish(self._centre(), reader, letter, notable.key)
        await self._runtime.executors.io(self._directory.sent.put, [notable.key], now)
        late = now - notable.since
        self._runtime.log.event(
            "notice_sent", notice=notable.kind, mailbox=entry.address, due=notable.key, late_seconds=int(late.total_seconds())
        )
        if notable.kind is NoticeKind.TERM_ENDED and notable.vacancy is not None:
            self._runtime.log.event(
                "keeper_missing", mailbox=entry.address, holder=notable.vacancy.last.holder, since=notable.vacancy.since
            )

    @property
    def renew(self) -> Text:
        """The place to change a password, in words."""
        return self._notices().renew

    async def notify_centre(self, key: str, letter: NoticeText) -> bool:
        """Notify the Centre once under this key; return whether it was notified now."""
        return await self._notify(key, Reader.CENTRE, self._centre, letter)

    async def notify_owner(self, key: str, entry: Entry, letter: NoticeText) -> bool:
        """Notify a mailbox's owner once under this key; return whether it was notified now."""
        return await self._notify(key, Reader.OWNER, lambda: entry, letter)

    async def notify_unit(
        self, key: str, unit_id: int, letter: NoticeText, *, asked_from: str, in_reply_to: str | None = None
    ) -> bool:
        """Notify a unit once under this key; False where it was notified before, or has no mailbox for it.

        `asked_from`: the mailbox from which it asked, if any; another one of the unit is used where that no longer
        receives. `in_reply_to`: the Message-ID of the request, without brackets.
        """

        def mailbox_of_unit() -> Entry | None:
            now_id = self._directory.successor(unit_id)
            asking = self._runtime.snapshot().resolve(asked_from)
            is_there = asking is not None and asking.owner.unit_id == now_id and self._receives(asking)
            return asking if is_there else self._of_unit(now_id)

        return await self._notify(key, Reader.UNIT, mailbox_of_unit, letter, in_reply_to)

    async def _notify(
        self,
        key: str,
        reader: Reader,
        mailbox_of_reader: Callable[[], Entry | None],
        letter: NoticeText,
        in_reply_to: str | None = None,
    ) -> bool:
        """Publish a notice unless that was done before; its mailbox is looked up in a thread."""
        if await self._runtime.executors.io(self._directory.sent.known, [key]):
            return False
        now, entry = self._runtime.clock.steady_now(), await self._runtime.executors.io(mailbox_of_reader)
        if entry is None:
            return False
        await self._publish(entry, reader, letter, key, in_reply_to)
        await self._runtime.executors.io(self._directory.sent.put, [key], now)
        return True

    async def _publish(
        self, mailbox: Entry, reader: Reader, letter: NoticeText, key: str, in_reply_to: str | None = None
    ) -> None:
        """Publish into one mailbox, unless it has a message of this key already."""
        origin = f"{await self._runtime.executors.io(self._directory.sent.origin, key)}@{mailbox.mailbox_id}:{reader}"
        await self._runtime.account_executors.write(
            AccountRef.of(mailbox),
            lambda: self._notices().deliver(mailbox, letter, origin=origin, in_reply_to=in_reply_to),
        )

    async def correct(self) -> None:
        """Notify the readers of notices sent by a clock that was ahead, and the Centre, that these are void."""
        void = await self._runtime.executors.io(self._directory.sent.void)
        if not void:
            return
        now, about = self._runtime.clock.steady_now(), {_mailbox_of(key) for key in void.values()}
        entries = [entry for entry in self._runtime.snapshot() if entry.mailbox_id in about]
        batch = f"correction:{next(iter(void))}"
        try:
            support = self._centre()
            for entry in entries:
                letter = mailbox.notices_void(entry.address, now)
                await self._publish(entry, Reader.OWNER, letter, batch)
                if (unit := await self._runtime.executors.io(self._unit_of, entry)) is not support:
                    await self._publish(unit, Reader.OWNER, letter, f"{batch}:{entry.mailbox_id}")
            await self._publish(support, Reader.CENTRE, centre.notices_void(len(void), len(entries), now), batch)
        except Exception as error:  # noqa: BLE001 - one mailbox takes nothing now: retried at the next start or clock step
            self._runtime.log.event(
                "notice_failed", notice="notices_void", mailbox=self._runtime.config().support, **failure(error)
            )
            return
        await self._runtime.executors.io(self._directory.sent.void_reported, void)

    # ------------------------------------------------------------ readers

    def _unit_of(self, entry: Entry) -> Entry:
        """Return the mailbox of the managing unit, if it receives; else the Centre's."""
        unit_id = entry.owner.unit_id
        if entry.owner.person_id is not None:
            unit_id = self._directory.person(entry.owner.person_id).unit_id
        return self._of_unit(unit_id, other_than=entry) or self._centre()

    def _of_unit(self, unit_id: int | None, *, other_than: Entry | None = None) -> Entry | None:
        for entry in self._runtime.snapshot():
            is_units = entry.kind is MailboxKind.UNIT and entry.owner.unit_id == unit_id
            if is_units and entry is not other_than and self._receives(entry):
                return entry
        return None

    def _centre(self) -> Entry:
        found = self._runtime.snapshot().resolve(self._runtime.config().support)
        if found is None or not self._receives(found):
            raise NoRecipient
        return found

    def _receives(self, entry: Entry) -> bool:
        decision = entry.decide_if_readable(self._runtime.clock.steady_now(), self._settings())
        return decision is not None and decision.receives

    def _settings(self) -> LifecycleSettings:
        return lifecycle_settings(self._runtime.config(), self._runtime.snapshot().working_days)

    # ------------------------------------------------------------ texts

    def _texts(self, entry: Entry, notable: Notable) -> Iterator[tuple[Reader, NoticeText]]:
        """Yield the texts of the notice, each with its reader."""
        if notable.vacancy is not None:
            word = delegation.term_ended if notable.kind is NoticeKind.TERM_ENDED else delegation.term_ending
            letter = word(entry.address, notable.vacancy.last.holder, notable.vacancy.since)
            yield Reader.OWNER, letter  # the mailbox, where its unit reads it
            yield Reader.CENTRE, letter
        elif notable.span is not None:
            yield _reader_of(notable.kind), self._text_of_span(entry, notable.kind, notable.span)
            if notable.kind is NoticeKind.SUSPENDED and notable.fact is not None and notable.fact.actor == SERVER:
                yield Reader.CENTRE, centre.suspended_by_server(entry.address, notable.span.since, _noticed(notable.fact))
        elif notable.fact is not None:
            yield (
                _reader_of(notable.kind),
                _text_of_fact(entry.address, notable.kind, notable.fact, self._name_of(notable.fact)),
            )

    def _name_of(self, fact: Fact) -> str:
        """Return the full name of the officer who recorded a fact; any other actor is named as in the fact."""
        return next((each.full_name for each in self._directory.officers.all() if each.login == fact.actor), fact.actor)

    def _text_of_span(self, entry: Entry, kind: NoticeKind, span: Span) -> NoticeText:
        address, renew = entry.address, self._notices().renew
        match kind:
            case NoticeKind.RECLAIM_COMING:
                return leavers.reclaim_coming(address, span.since)
            case NoticeKind.INACTIVITY:
                return mailbox.inactivity(address, span.since)
            case NoticeKind.PASSWORD_ENDING:
                return mailbox.password_ending(span.since, renew)
            case NoticeKind.PASSWORD_ENDED:
                return mailbox.password_ended(address, span.since, renew)
            case NoticeKind.SEND_LOCKED:
                return leavers.send_locked(address, span.since, span.clause, self._reclaimed_at(entry))
            case NoticeKind.RECLAIMED:
                return leavers.reclaimed(address, span.since, span.clause)
            case NoticeKind.SUSPENDED:
                return mailbox.suspended(address, span.since, span.clause)
            case _:
                raise AssertionError(kind)

    def _reclaimed_at(self, entry: Entry) -> datetime | None:
        spans = entry.timeline(self._settings())
        return next((span.since for span in reversed(spans) if span.state is MailboxState.RECLAIMED), None)


def _mailbox_of(key: str) -> int | None:
    """Return the mailbox that a notice of its life is about; None: it is another notice."""
    kind, _, rest = key.partition(":")
    number = rest.partition(":")[0]
    return int(number) if kind in tuple(NoticeKind) and number.isdigit() else None


def _reader_of(kind: NoticeKind) -> Reader:
    """Return who gets a notice of this kind: the unit, where nobody is left to read it in the mailbox."""
    return Reader.UNIT if kind in (NoticeKind.RECLAIMED, NoticeKind.ARCHIVED, NoticeKind.FREED) else Reader.OWNER


def _text_of_fact(address: str, kind: NoticeKind, fact: Fact, by: str) -> NoticeText:
    """Return the notice of a fact; `by`: the actor's name in it."""
    match kind:
        case NoticeKind.RESTORED:
            return mailbox.restored(address)
        case NoticeKind.APP_PASSWORD:
            return mailbox.app_password_added(address, fact.text("name") or "?", fact.effective_at, by)
        case NoticeKind.FACTOR_SET:
            return mailbox.factor_set(address, fact.effective_at, by)
        case NoticeKind.FACTOR_REMOVED:
            return mailbox.factor_removed(address, fact.effective_at, by)
        case NoticeKind.ABSENCE_NOTED:
            begins, until = local_day(fact.effective_at), _day(fact, "until")
            return mailbox.absence_noted(address, begins, until or begins)
        case NoticeKind.TRANSFERRED:
            return mailbox.transferred(address, fact.text("unit_from") or "?", fact.text("unit_to") or "?")
        case NoticeKind.REORGANISED:
            return mailbox.reorganised(address, fact.text("unit_from") or "?", fact.text("unit_to") or "?")
        case NoticeKind.READDRESSED:
            new, old = fact.text("address") or address, fact.text("address_before") or "?"
            if (led_to := fact.text("led_to")) is not None:
                return mailbox.led_elsewhere(new, old, led_to)
            return mailbox.readdressed(new, old, _day(fact, "until"))
        case NoticeKind.ARCHIVED:
            held = fact.data.get("messages")
            last = _day(fact, "keep_until") or local_day(fact.effective_at)
            return leavers.archived(address, fact.text("clause") or "6.4.c", held if isinstance(held, int) else 0, last)
        case NoticeKind.FREED:
            return leavers.freed(address, fact.text("clause") or "6.4.c", fact.effective_at)
        case _:
            raise AssertionError(kind)


def _noticed(fact: Fact) -> Text:
    """Return the reason of a suspension by the server."""
    recipients, messages = fact.data.get("recipients"), fact.data.get("messages")
    if fact.text("trigger") == MALWARE:
        return centre.SENDS_MALWARE
    if fact.text("trigger") == SPAM and isinstance(messages, int):
        return centre.sends_spam(messages)
    if isinstance(recipients, int):
        return centre.too_many_recipients(recipients)
    if isinstance(messages, int):
        return centre.too_many_messages(messages)
    trigger = fact.text("trigger") or ""
    return centre.others_have_it(trigger) if trigger in EXPOSED else centre.LOOKS_STOLEN


class NoRecipient(MicMailError):
    """Neither the unit nor the Centre has a mailbox that receives."""

    def __init__(self) -> None:
        super().__init__("neither the unit nor the Centre (regulation.support) has a mailbox that receives")


def _outlooks(
    open_now: Sequence[tuple[Entry, ...]],
    now: datetime,
    settings: LifecycleSettings,
    days: WarnDays,
    begun: datetime | None,
) -> list[tuple[tuple[Entry, ...], DueNotices]]:
    """Compute due notices in a thread: everything here is immutable."""
    return [(on, _due_notices(on, now, settings, days, begun)) for on in open_now]


def _due_notices(
    on: tuple[Entry, ...], now: datetime, settings: LifecycleSettings, days: WarnDays, begun: datetime | None
) -> DueNotices:
    entry = on[0]
    try:
        spans = entry.timeline(settings)
    except FactsUnreadable:  # nothing is decided, so nothing is sent; `directory check` names it
        return DueNotices((), None)
    return due_notices(entry.mailbox_id, entry.facts, spans, now, days, vacancies=vacancies_on(on), begun=begun)


def _day(fact: Fact, name: str) -> date | None:
    text = fact.text(name)
    return date.fromisoformat(text) if text else None
