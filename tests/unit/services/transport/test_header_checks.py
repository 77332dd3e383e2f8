"""What the header of a submitted message is judged by: the rights of one moment, asked again at the message's end."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from addresses import parsed
from mic_mail.services.transport.envelope import Cause, Client, Envelope, Refusal, Role
from mic_mail.services.transport.header_checks import SMALL_HEADER_OCTETS, HeaderChecks
from mic_mail.services.transport.sender_policy import SenderPolicy
from runtimes import runtime

UNIT, PERSON = 7, 1


class Office:
    """A person who may write in a unit's name, until `end`."""

    def __init__(self) -> None:
        self.may = True
        entries = {UNIT: SimpleNamespace(mailbox_id=UNIT, addresses=("cntt@mic.gov.vn",), address="cntt@mic.gov.vn")}
        entries[PERSON] = SimpleNamespace(mailbox_id=PERSON, addresses=("dvbe@mic.gov.vn",), address="dvbe@mic.gov.vn")
        self.snapshot = SimpleNamespace(entries=entries, entry=entries.get)
        self.sharing = self

    def end(self) -> None:
        self.may = False

    def writes_as(self, actor_id: int) -> dict[str, int]:
        return {"cntt@mic.gov.vn": UNIT} if self.may else {}

    def holding(self, actor_id: int, mailbox_id: int) -> Any:
        return SimpleNamespace(may_post=self.may)

    def check_send_as(self, *asked: object) -> None:
        return None


class Lane:
    """Does what it is given, and something else comes in between."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self.meanwhile = meanwhile

    async def io(self, work: Callable[[], Any]) -> Any:
        done = work()
        self.meanwhile()
        return done


async def waited(found: Any) -> Any:
    return await found


@pytest.mark.clause("12.3")
@pytest.mark.parametrize("octets", [0, SMALL_HEADER_OCTETS])
def test_an_authority_that_ends_while_the_header_is_read(octets: int) -> None:
    """Read at once or beside the loop: the message is not taken in the unit's name any more."""
    office: Any = Office()
    config: Any = SimpleNamespace(server=SimpleNamespace(hostname="mail.mic.gov.vn"), smtp=SimpleNamespace(subaddress="+"))
    nothing: Any = None
    clock: Any = SimpleNamespace(now_us=lambda: 1_700_000_000_000_000, steady_us=lambda: 1_700_000_000_000_000)
    executors: Any = Lane(office.end)
    parts = runtime(lambda: config, clock, executors=executors)
    senders = SenderPolicy(parts, office, nothing, exceeds_limit=nothing)
    headings = HeaderChecks(parts, senders, nothing)
    signed_in: Any = SimpleNamespace(mailbox_id=PERSON)
    envelope = Envelope("T1", Client(Role.SUBMISSION, nothing, "x", "ESMTPSA", signed_in), parsed("dvbe@mic.gov.vn"), ())
    header = b"From: Vu <cntt@mic.gov.vn>\r\nX-Long: " + b"x " * (octets // 2) + b"\r\n\r\n"
    found = headings.check_author(envelope, header)
    assert (found if found is None else asyncio.run(waited(found))) is None
    office.end()  # at the latest now
    refusal = senders.still_written_as(envelope)
    assert isinstance(refusal, Refusal)
    assert refusal.cause is Cause.SENDER_NOT_YOURS
