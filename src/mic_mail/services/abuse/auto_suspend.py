"""Automatic suspension of a mailbox that sends too much, or malware, or looks stolen (Reg. 7.2.c).

The suspension is a fact, an event, and a hint to the other processes; the notice to the Centre follows from the fact
(`services.notifications.lifecycle_notices`). Called repeatedly while the sender goes on: a suspended mailbox is left
alone.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from mic_mail.directory.records import Superseded
from mic_mail.directory.repository import Directory
from mic_mail.errors import MicMailError
from mic_mail.log.error_fields import described
from mic_mail.policy.facts import Detail, Draft, FactKind, SuspensionCause
from mic_mail.policy.states import MailboxState
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.notifications.lifecycle_notices import MALWARE, SERVER, SPAM

TRIES = 3
"""The attempts to suspend while others record facts of the mailbox at the same time."""
WHY = {
    "recipients": "gửi tới quá nhiều người nhận trong một giờ",
    "messages": "gửi quá nhiều thư trong một giờ",
}
WHY_INFECTED = "gửi thư có mã độc"
WHY_SPAM = "gửi nhiều thư rác"


class AutoSuspend:
    """The suspensions by one process."""

    def __init__(
        self, runtime: Runtime, access: SignInService, directory: Directory, *, notify_others: Callable[[], None]
    ) -> None:
        """`notify_others` hints to the other processes that the directory has changed.

        Without it they notice within two seconds.
        """
        self._runtime = runtime
        self._access = access
        self._directory = directory
        self._notify_others = notify_others
        self._under_way: dict[int, asyncio.Task[None]] = {}

    def exceeds_limit(self, mailbox_id: int, what: str, count: int) -> None:
        """Suspend a mailbox that sends too many `messages`, or to too many `recipients`."""
        self._begin(mailbox_id, "outbound-rate", WHY[what], **{what: count})

    def infected(self, mailbox_id: int) -> None:
        """Suspend a mailbox from which a signed-in client sends malware."""
        self._begin(mailbox_id, MALWARE, WHY_INFECTED)

    def spamming(self, mailbox_id: int, messages: int) -> None:
        """Suspend a mailbox from which a signed-in client repeatedly sends rejected spam."""
        self._begin(mailbox_id, SPAM, WHY_SPAM, messages=messages)

    def _begin(self, mailbox_id: int, trigger: str, why: str, **figures: int) -> None:
        if mailbox_id not in self._under_way:
            task = self._once(mailbox_id, trigger, why, **figures)
            self._under_way[mailbox_id] = asyncio.get_running_loop().create_task(task, name=f"suspend {mailbox_id}")

    async def _once(self, mailbox_id: int, trigger: str, why: str, **figures: int) -> None:
        try:
            await self.suspend(mailbox_id, trigger, why, **figures)
        finally:
            del self._under_way[mailbox_id]

    async def suspend(self, mailbox_id: int, trigger: str, why: str, **figures: int) -> bool:
        """Suspend the mailbox, unless it is; return whether it is suspended now."""
        try:
            for _ in range(TRIES):
                entry, decision = self._access.snapshot.entry(mailbox_id), self._access.decide(mailbox_id)
                if entry is None or decision is None or MailboxState.SUSPENDED in decision.states:
                    return entry is not None and decision is not None
                data: dict[str, Detail] = {"cause": SuspensionCause.COMPROMISED.value, "trigger": trigger, **figures}
                fact = Draft(FactKind.SUSPENDED, self._runtime.clock.steady_now(), SERVER, why, None, data)
                with contextlib.suppress(Superseded):
                    await self._runtime.executors.io(
                        partial(self._directory.append_fact, mailbox_id, fact, after=decision.fact_seq)
                    )
                    self._runtime.log.event(
                        "mailbox_suspended", mailbox=entry.address, clause="7.2.c", trigger=trigger, **figures
                    )
                    await self._access.refresh()
                    await self._runtime.executors.io(self._notify_others)
                    return True
                await self._access.refresh()
        except MicMailError as error:
            self._runtime.log.event("suspension_failed", mailbox_id=mailbox_id, error=described(error))
        return False
