"""The amounts that a mailbox may send in an hour and in a day (Reg. 7.2.c).

`services.abuse.send_limits` counts them.
"""

from dataclasses import dataclass

from mic_mail.process.send_counters import Amounts


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The maximum that one mailbox sends."""

    hour: Amounts
    day: Amounts

    def times(self, factor: float) -> "Ceilings":
        return Ceilings(_times(self.hour, factor), _times(self.day, factor))


def _times(amounts: Amounts, factor: float) -> Amounts:
    return Amounts(round(amounts.messages * factor), round(amounts.recipients * factor), round(amounts.octets * factor))
