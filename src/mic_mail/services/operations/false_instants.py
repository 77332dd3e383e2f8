"""The repair of recorded instants that lie in the future, once the clock is trusted again.

A server that started under a false clock, or believed one for long, recorded its times. A last use of a mailbox or an
app password that lies ahead becomes the present instant, by which it happened at the latest. A notice that was sent
early is void: its readers are notified, and it is sent again when due. A code of a second factor from the future counts
as unused, so that the present codes are valid (`docs/decisions/0094`). Facts and acts stay as they are:
`services.operations.false_records` lists them for people.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from mic_mail.auth import totp
from mic_mail.clock import STEP_SECONDS
from mic_mail.directory.repository import Directory
from mic_mail.process.runtime import Runtime

_UNCHANGED_SECONDS = 0.5
_STEPS_AHEAD = totp.WINDOW + int(STEP_SECONDS // totp.STEP_SECONDS)
"""Steps of codes by which a right one may be ahead of the clock."""


class FalseInstants:
    """The housekeeper's search for them: at the start, and when the clock was set."""

    def __init__(
        self,
        runtime: Runtime,
        directory: Directory,
        is_trusted: Callable[[], Awaitable[bool]],
        refresh: Callable[[], Awaitable[object]],
        correct: Callable[[], Awaitable[None]],
    ) -> None:
        """`correct` notifies the readers of void notices."""
        self._runtime = runtime
        self._directory = directory
        self._is_trusted = is_trusted
        self._refresh = refresh
        self._correct = correct
        self._mended_at: float | None = None
        """The wall clock less the time since boot, when nothing was left to repair."""

    def is_idle(self) -> bool:
        """Return whether the clock was not set since the last repair."""
        return self._mended_at is not None and abs(self._offset() - self._mended_at) <= _UNCHANGED_SECONDS

    async def run_once(self) -> None:
        """Repair instants that lie ahead, if the clock was set since the last repair."""
        if self.is_idle():
            return
        offset = self._offset()
        self._mended_at = None  # a clock that is set back to where it was had another time meanwhile
        is_trusted = await self._is_trusted() and self._runtime.clock.is_settled()  # half an hour behind is still trusted
        if not is_trusted or abs(self._offset() - offset) > _UNCHANGED_SECONDS:  # set meanwhile: the next run
            return
        mended = await self._runtime.executors.io(
            self._directory.mend_instants_ahead, self._runtime.clock.now, timedelta(seconds=STEP_SECONDS)
        )
        factors = await self._runtime.executors.io(
            self._directory.second_factors.mend_steps_ahead, self._present_step, _STEPS_AHEAD
        )
        self._mended_at = offset
        if any(mended) or factors:
            self._runtime.log.event(
                "false_instants_mended",
                uses=mended.uses,
                app_passwords=mended.app_passwords,
                notices=mended.notices,
                second_factors=factors,
            )
            await self._refresh()
        await self._correct()

    def _offset(self) -> float:
        """Return how far the wall clock is ahead of the time since boot."""
        return self._runtime.clock.now().timestamp() - self._runtime.clock.boottime()

    def _present_step(self) -> int:
        return int(self._runtime.clock.now().timestamp() // totp.STEP_SECONDS)
