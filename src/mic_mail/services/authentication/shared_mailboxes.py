"""The mailboxes of units and groups that a person uses with the own password, with the rights in each.

Reg. 12.3, 5.2. In: the directory in memory and the decisions on mailboxes. Out: a `SharedMailbox` for each mailbox and person,
cached until a fact or the clock can change it; a callback when it may have changed. The steady time counts: a clock step
that is not believed takes nothing from an open session. A record that cannot be read gives nobody any right.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from mic_mail.clock import Clock, TimedCache, Validity
from mic_mail.directory.snapshot import Entry, Snapshot
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.lifecycle import Decision, FactsUnreadable
from mic_mail.policy.unit_mail.delegation import NOTHING, PARTS, Holding, grants, judge
from mic_mail.policy.unit_mail.handover import withheld
from mic_mail.services.authentication.watches import Watch, Watches
from mic_mail.storage.types import DELIMITER, INBOX, AccountRef

ROOT = "Shared"
"""The folder below which people see the mailboxes of units and groups."""

MailboxPair = tuple[int, int]
"""The person's own mailbox, and the mailbox that is used."""


@dataclass(frozen=True, slots=True)
class SharedMailbox:
    """A mailbox as one person may use it now; `rights` are never empty."""

    name: str
    """The name below `Shared/`, unique for each mailbox."""
    address: str
    account: AccountRef
    rights: str
    quota_octets: int


def shared_name(address: str, domain: str) -> str:
    """Return the local part; at a domain other than the server's the whole address."""
    return address.removesuffix(f"@{domain}")


def shared_folder(name: str, folder: str) -> str:
    """Return the name below ROOT of a folder of the mailbox called `name`."""
    return f"{ROOT}{DELIMITER}{name}" if folder == INBOX else f"{ROOT}{DELIMITER}{name}{DELIMITER}{folder}"


class Sharing:
    """The answers of one process; belongs to the event loop."""

    def __init__(
        self, clock: Clock, snapshot: Callable[[], Snapshot], decide: Callable[[int, datetime], Decision | None]
    ) -> None:
        self._clock = clock
        self._snapshot = snapshot
        self._decide = decide
        self._domain = ""
        self._known = TimedCache[MailboxPair, Holding]()
        self._watches = Watches[MailboxPair](clock)
        self._watches_of_all = Watches[int](clock)

    def configure(self, domain: str) -> None:
        """Set the server's own domain and drop all cached answers: the settings may have changed."""
        self._domain = domain
        self._known.clear()
        self._watches.changed(lambda _: True)
        self._watches_of_all.changed(lambda _: True)

    def of(self, actor_id: int) -> Mapping[str, SharedMailbox]:
        """Return the mailboxes that the owner of `actor_id` may use besides the own one, by name."""
        snapshot = self._snapshot()
        found: dict[str, SharedMailbox] = {}
        for mailbox_id in self._named_in(snapshot, actor_id):
            if holding := self.holding(actor_id, mailbox_id):
                entry = snapshot.entries[mailbox_id]
                name = shared_name(entry.address, self._domain)
                ref = AccountRef(mailbox_id, entry.home)
                found[name] = SharedMailbox(name, entry.address, ref, holding.rights, entry.quota_octets)
        return found

    def holding(self, actor_id: int, mailbox_id: int, now: datetime | None = None) -> Holding:
        """Return the grants and rights of the owner of `actor_id` in another mailbox, even if there are none."""
        snapshot, now = self._snapshot(), now or self._clock.steady_now()
        actor, entry = snapshot.entry(actor_id), snapshot.entry(mailbox_id)
        if actor is None or entry is None or actor.owner.person_id is None or actor.kind is not MailboxKind.PERSONAL:
            return NOTHING
        known = self._known.get((actor_id, mailbox_id), (actor, entry), now)
        if known is not None:
            return known
        try:
            mailbox, person = self._decide(mailbox_id, now), self._decide(actor_id, now)
        except FactsUnreadable:
            return NOTHING
        assert mailbox is not None
        assert person is not None
        named = grants(entry.kind, entry.facts)
        holding = judge(
            named, actor.owner.person_id, actor.facts, now,
            mailbox=mailbox, person=person, withheld=withheld(entry.facts),
        )  # fmt: skip
        return self._known.put((actor_id, mailbox_id), (actor, entry), Validity(now, holding.valid_until), holding)

    def holders(self, mailbox_id: int) -> Mapping[str, str]:
        """Return the rights by address of everybody who may use this mailbox now besides its own password."""
        entry = self._snapshot().entry(mailbox_id)
        if entry is None or not PARTS[entry.kind]:
            return {}
        return {
            actor.address: holding.rights
            for actor in self._everybody_named(entry)
            if (holding := self.holding(actor.mailbox_id, mailbox_id))
        }

    def readers(self, mailbox_id: int) -> frozenset[str] | None:
        """Return the identities that may have their own read marks in the mailbox.

        These are the mailbox itself and everybody whose naming is in force now, also where a state suspends their rights
        for a while. None where the record, or a person's, cannot be read.
        """
        now, entry = self._clock.steady_now(), self._snapshot().entry(mailbox_id)
        if entry is None:
            return None
        found = {entry.address}
        try:
            self._decide(mailbox_id, now)
            for actor in self._everybody_named(entry):
                if self._decide(actor.mailbox_id, now) and self.holding(actor.mailbox_id, mailbox_id).grants:
                    found.add(actor.address)
        except FactsUnreadable:
            return None
        return frozenset(found)

    def _everybody_named(self, entry: Entry) -> Iterator[Entry]:
        """Yield the own mailboxes of the people who were, are or will be named in a mailbox of a unit or group."""
        snapshot = self._snapshot()
        for person in {grant.person_id for grant in grants(entry.kind, entry.facts)}:
            actor = snapshot.entry(snapshot.own.get(person, 0))
            if actor is not None:
                yield actor

    def writes_as(self, actor_id: int) -> Mapping[str, int]:
        """Return every other address that the person may write as now, with its mailbox."""
        snapshot = self._snapshot()
        return {
            address: shared.account.account_id
            for shared in self.of(actor_id).values()
            if "p" in shared.rights
            for address in snapshot.entries[shared.account.account_id].addresses
        }

    # ------------------------------------------------------------ open sessions

    def watch(self, actor_id: int, mailbox_id: int, callback: Callable[[], None]) -> Watch[MailboxPair]:
        """Call back (on the loop) when a person's rights in a mailbox may have changed.

        Close the watch at the end. The callback's owner asks `holding` and then renews the watch (`renew`).
        """
        return self._watches.add((actor_id, mailbox_id), callback, self._validity(actor_id, mailbox_id))

    def renew(self, actor_id: int, mailbox_id: int) -> None:
        """Renew the watch after `holding` was asked again."""
        self._watches.renew((actor_id, mailbox_id), self._validity(actor_id, mailbox_id))

    def _validity(self, actor_id: int, mailbox_id: int) -> Validity:
        now = self._clock.steady_now()
        return Validity(now, self.holding(actor_id, mailbox_id, now).valid_until)

    def watch_all(self, actor_id: int, callback: Callable[[], None]) -> Watch[int]:
        """Like `watch`, for all mailboxes that a person uses or comes to use.

        The callback's owner asks `of` and then calls `renew_all`.
        """
        return self._watches_of_all.add(actor_id, callback, self._validity_of_all(actor_id))

    def renew_all(self, actor_id: int) -> None:
        """Renew the watch after `of` was asked again."""
        self._watches_of_all.renew(actor_id, self._validity_of_all(actor_id))

    def _validity_of_all(self, actor_id: int) -> Validity:
        now = self._clock.steady_now()
        named = self._named_in(self._snapshot(), actor_id)
        ends = (self.holding(actor_id, mailbox_id, now).valid_until for mailbox_id in named)
        return Validity(now, min(filter(None, ends), default=None))

    def _named_in(self, snapshot: Snapshot, actor_id: int) -> frozenset[int]:
        actor = snapshot.entry(actor_id)
        person = None if actor is None else actor.owner.person_id
        return frozenset() if person is None else snapshot.named_in.get(person, frozenset())

    def changed(self, old: Snapshot, new: Snapshot) -> None:
        """Update after the directory moved from `old` to `new`."""
        self._known.retain(lambda pair, made_of: all(each is new.entry(key) for each, key in zip(made_of, pair, strict=True)))
        self._watches.changed(lambda pair: any(old.entry(each) is not new.entry(each) for each in pair))

        def moved(actor_id: int) -> bool:
            return any(old.entry(each) is not new.entry(each) for each in (actor_id, *self._named_in(new, actor_id)))

        self._watches_of_all.changed(moved)

    def on_clock_set(self) -> None:
        """Check all watches after the clock was set."""
        self._watches.run_once()
        self._watches_of_all.run_once()
