"""The mailboxes of units and groups that a person keeps or uses, for the web page (Reg. 12.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError
from mic_mail.policy.lifecycle import Decision
from mic_mail.policy.unit_mail.delegation import Part
from mic_mail.policy.unit_mail.handover import running
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef


@dataclass(frozen=True, slots=True)
class Kept:
    """One mailbox, as one person holds it now."""

    entry: Entry
    part: Part
    until: datetime | None
    decision: Decision | None
    is_handed_over: bool
    """A handover is running (Reg. 12.3.d)."""
    used: int | None = None
    """Usage in octets; None: the mailbox cannot be opened now."""


def kept_by(access: SignInService, mailbox_id: int) -> list[Kept]:
    """Return the mailboxes in which this mailbox's owner is named now, by address.

    Includes those that a state closes for a while.
    """
    snapshot = access.snapshot
    own = snapshot.entry(mailbox_id)
    person = None if own is None else own.owner.person_id
    found: list[Kept] = []
    for other in snapshot.named_in.get(person, ()) if person is not None else ():
        entry = snapshot.entries[other]
        is_handed_over = running(entry.facts) is not None
        found += [
            Kept(entry, grant.part, grant.until, access.decide(other), is_handed_over)
            for grant in access.sharing.holding(mailbox_id, other).grants
        ]
    return sorted(found, key=lambda kept: (kept.entry.address, kept.part))


def measured(found: Sequence[Kept], store: MailStore) -> list[Kept]:
    """Return `found` with the usage of each mailbox. Blocks."""
    return [_with_use(kept, lambda ref: store.account(ref).quota().octets) for kept in found]


def _with_use(kept: Kept, octets_of: Callable[[AccountRef], int]) -> Kept:
    entry = kept.entry
    try:
        used = octets_of(AccountRef(entry.mailbox_id, entry.home))
    except (MicMailError, OSError):
        used = None
    return Kept(entry, kept.part, kept.until, kept.decision, kept.is_handed_over, used)
