"""The process as a session sees it: questions answered from memory, uses of mailboxes and events recorded."""

import weakref
from typing import Any

from mic_mail.connection.actions import LogEvent
from mic_mail.connection.services import Services
from mic_mail.ids import trace_id
from mic_mail.log import error_fields
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.unit_mail.handover import withheld
from mic_mail.services.authentication.identity import Peer, SignedIn


class ProcessHost:
    """The part of a connection that answers its session (`session_core.SessionHost`), and writes to the log for it."""

    __slots__ = ("_peer", "_services", "_session_id", "_signed_in")

    def __init__(self, services: Services) -> None:
        self._services = services
        self._session_id = trace_id(services.runtime.clock.now_us())
        self._peer: Peer
        self._signed_in: SignedIn | None = None

    def _session_host(self) -> Any:
        """This connection for its session, by a weak reference.

        A strong one would form a reference cycle with the buffers of TLS until the collector runs.
        """
        return weakref.proxy(self)

    def mechanisms(self) -> tuple[str, ...]:
        """Return the SASL mechanisms to offer on this connection in its present state."""
        return self._services.access.mechanisms(self._peer)

    def records_access(self, mailbox_id: int) -> bool:
        """Return whether openings and removals are recorded: a unit's or a group's mailbox (Reg. 12.3.a)."""
        entry = self._services.access.snapshot.entry(mailbox_id)
        return entry is not None and entry.kind is not MailboxKind.PERSONAL

    def withheld(self, mailbox_id: int) -> str:
        """Return the rights that nobody has in a mailbox while it is handed over (Reg. 12.3.d)."""
        entry = self._services.access.snapshot.entry(mailbox_id)
        return withheld(entry.facts) if entry is not None and entry.kind is MailboxKind.UNIT else ""

    def _used(self, signed_in: SignedIn, mailbox_id: int, how: str | None) -> None:
        """Record the use of a mailbox; for a unit's also who opened it (Reg. 12.3.a)."""
        access = self._services.access
        access.used(mailbox_id)
        if how is not None and self.records_access(mailbox_id):
            self._services.runtime.log.event(
                "mailbox_opened", mailbox=access.snapshot.entries[mailbox_id].address, actor=signed_in.actor, how=how,
                peer=self._peer.address, session=self._session_id,
            )  # fmt: skip

    def _log(self, note: LogEvent) -> None:
        """Log an event; a person who acts in another mailbox than the own one is named as its actor."""
        own = self._signed_in.address if self._signed_in is not None else None
        mailbox = note.fields.get("mailbox", own)
        fields = {**note.fields, "mailbox": mailbox, "actor": own if mailbox != own else None}
        where = error_fields.where(note.error) if note.error is not None else None
        self._services.runtime.log.event(note.event, **fields, peer=self._peer.address, session=self._session_id, where=where)
