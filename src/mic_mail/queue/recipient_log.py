"""What has become of each recipient of an entry in the queue: the lines of its log, and what they add up to. Pure.

line of the log                                         by whom
try (places, standing, reason, server, next_try_us)     whoever sends
warned, told (places)                                   whoever sends: what the sender of the message has heard of
kept (is_so, at_us)                                     whoever sends: its mailbox may not send, or may again
hold, retry, drop (places), each with `said`            people
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Standing(StrEnum):
    """Where one recipient stands."""

    OPEN = "open"
    DELIVERED = "delivered"
    FAILED = "failed"
    """For good."""
    DROPPED = "dropped"
    """By a person; what was under way then and has been delivered all the same is DELIVERED."""
    RELAYED = "relayed"
    """Delivered to a server that sends no reports of success, which the sender has asked for (RFC 3461 §5.2.2): we do."""


REPORTED = frozenset({Standing.FAILED, Standing.DROPPED, Standing.RELAYED})
"""Ends of which the sender is told by mail."""


_ARRIVED = frozenset({Standing.DELIVERED, Standing.RELAYED})


class Hold(StrEnum):
    """Why an entry waits though it is due."""

    NO = ""
    PERSON = "person"
    """Somebody has said so."""


@dataclass(frozen=True, slots=True)
class AdminDecision:
    """Who has decided something, why and when."""

    actor: str = ""
    reason: str = ""
    at_us: int = 0
    document: str | None = None
    clause: str | None = None
    """By which of the regulation, where the decision follows from one (7.2.c)."""


NOBODY = AdminDecision()
"""It is not known who, or why."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person has decided of an entry, or of some of its recipients."""

    did: str
    """hold, release, retry or drop."""
    said: AdminDecision
    places: tuple[int, ...] = ()
    """Of whom, where it does not concern all."""


@dataclass(frozen=True, slots=True)
class State:
    """What the log of an entry adds up to."""

    standings: tuple[Standing, ...]
    """One for each recipient."""
    reasons: tuple[str, ...]
    """What was last said of each, an enhanced code in front."""
    servers: tuple[str | None, ...]
    """Who said it; None: no server was spoken to."""
    attempts: tuple[int, ...]
    next_tries_us: tuple[int, ...]
    """Not before these instants; 0: at once."""
    hold: Hold = Hold.NO
    warned: bool = False
    """The sender knows that it is late."""
    told: frozenset[int] = frozenset()
    """Those of whose end the sender knows."""
    is_kept_back: bool = False
    """It waits for its mailbox, which may not send."""
    free_since_us: int = 0
    """When it was last released, or its mailbox could send again; 0: it was never held."""
    decisions: tuple[Decision, ...] = ()
    """What people have decided, in that order."""

    @classmethod
    def fresh(cls, recipients: int) -> "State":
        none = (0,) * recipients
        return cls((Standing.OPEN,) * recipients, ("",) * recipients, (None,) * recipients, none, none)

    @property
    def untold(self) -> tuple[int, ...]:
        """The places of those of whose end the sender has to be told still."""
        ended = (place for place, standing in enumerate(self.standings) if standing in REPORTED)
        return tuple(place for place in ended if place not in self.told)

    @property
    def open(self) -> tuple[int, ...]:
        """The places of those for whom something is still to be done."""
        return tuple(place for place, standing in enumerate(self.standings) if standing is Standing.OPEN)

    @property
    def next_try_us(self) -> int:
        """When something is next to be done for one of them."""
        return min((self.next_tries_us[place] for place in self.open), default=0)

    @property
    def held_by(self) -> AdminDecision | None:
        """Who holds it."""
        holds = (each.said for each in reversed(self.decisions) if each.did == "hold")
        return next(holds, None) if self.hold is Hold.PERSON else None

    def dropped_by(self, place: int) -> AdminDecision | None:
        """Who has dropped this recipient: the first one counts."""
        return next((each.said for each in self.decisions if each.did == "drop" and place in each.places), None)

    def after(self, line: dict[str, Any]) -> "State":
        """With one line more; `ValueError`, `KeyError` or `TypeError` for one that means nothing."""
        match line["did"]:
            case "try":
                return self._tried(line)
            case "hold":
                hold = Hold(line["hold"])
                if hold is not Hold.NO:
                    return replace(self._decided("hold", line), hold=hold)
                released = self._decided("release", line)
                return replace(released, hold=hold, free_since_us=max(self.free_since_us, released.decisions[-1].said.at_us))
            case "kept":
                since_us = self.free_since_us if line["is_so"] else max(self.free_since_us, int(line["at_us"]))
                return replace(self, is_kept_back=bool(line["is_so"]), free_since_us=since_us)
            case "retry":
                return replace(self._decided("retry", line), next_tries_us=(0,) * len(self.standings))
            case "drop":
                said = AdminDecision(**line["said"])
                return self._settled(line["places"], Standing.DROPPED, said.reason, None)._decided("drop", line)
            case "warned":
                return replace(self, warned=True)
            case "told":
                return replace(self, told=self.told | {int(place) for place in line["places"]})
        raise ValueError("unknown line")

    def _decided(self, did: str, line: dict[str, Any]) -> "State":
        decision = Decision(did, AdminDecision(**line["said"]), tuple(int(place) for place in line.get("places", ())))
        # Of retries that follow one another the last counts: a command may ask for them each minute.
        again = did == "retry" and self.decisions and self.decisions[-1].did == "retry"
        return replace(self, decisions=(*(self.decisions[:-1] if again else self.decisions), decision))

    def _tried(self, line: dict[str, Any]) -> "State":
        places, server, next_try_us = line["places"], line["server"], int(line["next_try_us"])
        state = self._settled(places, Standing(line["standing"]), str(line["reason"]), server and str(server))
        tried = set(places)
        attempts = tuple(count + (place in tried) for place, count in enumerate(self.attempts))
        next_tries_us = tuple(next_try_us if place in tried else each for place, each in enumerate(self.next_tries_us))
        return replace(state, attempts=attempts, next_tries_us=next_tries_us)

    def _settled(self, places: Sequence[int], standing: Standing, reason: str, server: str | None) -> "State":
        """What is settled stays so, whatever is said of it later; but what was dropped during a try that delivered it has been
        delivered."""
        over = {Standing.OPEN} | ({Standing.DROPPED} if standing in _ARRIVED else set())
        wanted = {place for place in places if self.standings[place] in over}
        standings = tuple(standing if place in wanted else each for place, each in enumerate(self.standings))
        reasons = tuple(reason if place in wanted else each for place, each in enumerate(self.reasons))
        servers = tuple(server if place in wanted else each for place, each in enumerate(self.servers))
        return replace(self, standings=standings, reasons=reasons, servers=servers)
