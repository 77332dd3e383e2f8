"""The housekeeper's repair of handover marks that differ from the record (Reg. 12.3.d).

A kill or a restore can cause that. In: the directory's snapshot. Out: marks as the record has them, an event for each
repaired one. Belongs to the event loop.
"""

from collections.abc import Callable

from mic_mail.directory.snapshot import Entry
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described
from mic_mail.policy.facts import MailboxKind
from mic_mail.policy.reclamation import is_empty
from mic_mail.policy.unit_mail.handover import running
from mic_mail.process.runtime import Runtime
from mic_mail.services.handover.transfer import Handovers
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef


class HandoverMarks:
    def __init__(self, runtime: Runtime, handovers: Callable[[], Handovers], store: MailStore) -> None:
        self._runtime = runtime
        self._handovers = handovers
        self._store = store

    async def run_once(self) -> None:
        """Check every unit mailbox; one that is unavailable now is retried in the next run."""
        units = [each for each in self._runtime.snapshot() if each.kind is MailboxKind.UNIT and not is_empty(each.facts)]
        for entry in await self._runtime.executors.io(self._differing, units):
            try:
                settled = await self._runtime.account_executors.write(AccountRef.of(entry), self._handovers().settle, entry)
            except (MicMailError, OSError) as error:
                self._runtime.log.event("visit_failed", visit="handover", mailbox=entry.address, error=described(error))
                continue
            if settled:
                self._runtime.log.event("handover_settled", mailbox=entry.address)

    def _differing(self, units: list[Entry]) -> list[Entry]:
        return [each for each in units if self._differs(each)]

    def _differs(self, entry: Entry) -> bool:
        try:
            return self._store.account(AccountRef.of(entry)).is_frozen() != (running(entry.facts) is not None)
        except OSError:  # logged when it is its turn; the others are checked
            return True
