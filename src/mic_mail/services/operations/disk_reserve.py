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
        self._paths: tuple[str, ...] = ()

    def trace(self) -> object:
        """Return what changes when a domain is added, or when a process gives a reserve up."""
        return tuple(trace_of(path) for path in (self._reserves.root.folder, *self._paths))

    async def run_once(self) -> bool:
        """Make missing reserves; log each whose state differs from the last run. Return whether one is not whole."""
        for folder, before, after in await self._runtime.executors.io(self._look):
            noted = self._states.get(folder, before if before is ReserveState.WHOLE else None)
            passed = [after] if before is ReserveState.MISSING else [before, after]
            for state in passed:
                if state is not noted:
                    self._runtime.log.event(EVENTS[state], folder=folder, octets=self._octets)
                noted = state
            self._states[folder] = after
        self._paths = tuple(f"{folder}/{FILE}" for folder in self._states)
        return any(state is not ReserveState.WHOLE for state in self._states.values())

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
