"""The mailboxes of units and groups that a person keeps or uses, for the web page (Reg. 12.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError
from mic_mail.policy.lifecycle import Decision
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.policy.unit_mail.handover import running
from mic_mail.services.authentication.live_directory import LiveDirectory
from mic_mail.storage.mailstore import MailStore


@dataclass(frozen=True, slots=True)
class DelegatedMailbox:
    """One mailbox, as one person holds it now."""

    entry: Entry
    part: Part
    until: datetime | None
    decision: Decision | None
    is_handed_over: bool
    used: int | None = None
    """Usage in octets; None: the mailbox cannot be opened now."""


def delegated_mailboxes_of(access: LiveDirectory, mailbox_id: int) -> list[DelegatedMailbox]:
    """Return the mailboxes in which this one's owner is named now, also closed ones, by address."""
    snapshot = access.snapshot
    own = snapshot.entry(mailbox_id)
    person = None if own is None else own.owner.person_id
    found: list[DelegatedMailbox] = []
    for other in snapshot.named_in.get(person, ()) if person is not None else ():
        entry = snapshot.entries[other]
        is_handed_over = running(entry.facts) is not None
        found += [
            DelegatedMailbox(entry, grant.part, grant.until, access.decide(other), is_handed_over)
            for grant in access.sharing.holding(mailbox_id, other).grants
        ]
    return sorted(found, key=lambda kept: (kept.entry.address, kept.part))


def measured(found: Sequence[DelegatedMailbox], store: MailStore) -> list[DelegatedMailbox]:
    """Return `found` with the usage of each mailbox. Blocks."""
    return [replace(kept, used=_octets(store, kept.entry)) for kept in found]


def _octets(store: MailStore, entry: Entry) -> int | None:
    try:
        return store.account_of(entry).quota().octets
    except (MicMailError, OSError):
        return None
