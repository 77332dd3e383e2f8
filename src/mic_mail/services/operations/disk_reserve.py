"""The disk space reserved for the mailboxes: made, made again, and reported (`storage.reserve`).

In: the reserves of a store, the setting. Out: an event when a reserve is given up, when it is whole again, and when
there is no space for it; the state of each for `mic-mail status`. Only the housekeeper makes reserves, so no change is
missed.
"""

from mic_mail.file_trace import trace_of
from mic_mail.process.runtime import Runtime
from mic_mail.storage.reserve import FILE, Reserve, Reserves, ReserveState

EVENTS = {
    ReserveState.WHOLE: "reserve_set_aside",
    ReserveState.GIVEN_UP: "reserve_given_up",
    ReserveState.MISSING: "reserve_not_made",
}


class DiskReserve:
    def __init__(self, runtime: Runtime, reserves: Reserves, octets: int) -> None:
        self._runtime = runtime
        self._reserves = reserves
        self._octets = octets
        self._states: dict[str, ReserveState] = {}

    def trace(self) -> object:
        """Return what changes when a domain is added, or when a process gives the mail root's reserve up."""
        folder = self._reserves.root.folder
        return trace_of(folder), trace_of(f"{folder}/{FILE}")

    async def run_once(self) -> bool:
        """Make missing reserves; log each whose state differs from the last run. Return whether to run again soon."""
        for folder, before, after in await self._runtime.executors.io(self._look):
            noted = self._states.get(folder, before if before is ReserveState.WHOLE else None)
            passed = [after] if before is ReserveState.MISSING else [before, after]
            for state in passed:
                if state is not noted:
                    self._runtime.log.event(EVENTS[state], folder=folder, octets=self._octets)
                noted = state
            self._states[folder] = after
        # A file system of its own may hang: its reserve is looked at by the thread alone, in each run.
        return len(self._states) > 1 or any(state is not ReserveState.WHOLE for state in self._states.values())

    def report(self) -> dict[str, object]:
        """Return the state and size of the reserves for `mic-mail status`; empty without any."""
        if not self._states:
            return {}
        return {"reserves": {folder: str(state) for folder, state in self._states.items()}, "reserve_octets": self._octets}

    def _look(self) -> list[tuple[str, ReserveState, ReserveState]]:
        return [self._looked_at(reserve) for reserve in self._reserves.every()]

    def _looked_at(self, reserve: Reserve) -> tuple[str, ReserveState, ReserveState]:
        before = reserve.state
        reserve.set_aside(self._octets)
        return reserve.folder, before, reserve.state
