"""Settings of the way to other servers."""

from typing import Annotated

from pydantic import Field

from mic_mail.config.doors import Port
from mic_mail.config.section import About, Section
from mic_mail.config.units import DAY, HOUR, MINUTE, Seconds, Unit


class Sending(Section):
    """Mail to other domains."""

    give_up: Annotated[
        Seconds,
        Field(ge=HOUR, le=30 * DAY),
        About("A message that could not be delivered for so long goes back to its sender.", "4.2", reload=False),
    ] = 5 * DAY
    warn_after: Annotated[
        Seconds,
        Field(ge=MINUTE, le=30 * DAY),
        About("The sender is told once that a message has not been delivered for so long.", "4.2", reload=False),
    ] = 4 * HOUR
    connections: Annotated[
        int, Field(ge=1, le=2_000), Unit("connections"), About("To all other servers at once.", reload=False)
    ] = 200
    connections_per_domain: Annotated[
        int, Field(ge=1, le=200), Unit("connections"), About("To the servers of one domain at once.", reload=False)
    ] = 20
    port: Annotated[Port, About("Where other servers take mail; another one only for tests.", reload=False)] = 25
