"""Progress lines (RFC 9585): only while work is in progress, whether it ends at once or cannot begin."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mic_mail.connection.actions import Action
from mic_mail.errors import MicMailError
from mic_mail.imap import server as imap_server
from mic_mail.imap.actions import Work
from mic_mail.imap.server import ImapConnection, ImapServer
from mic_mail.storage.types import AccountRef
from unit.connection.scripted_connection import KeptOutput, Script, services

ACCOUNT = AccountRef(7, "mic.gov.vn/dvbe")
LINE = b"* OK [INPROGRESS] Still in progress.\r\n"


class AtOnce:
    """Executors whose calls end in the next turn of the loop, unless they are held."""

    def __init__(self) -> None:
        self.is_held = False
        self.held: list[tuple[Any, object]] = []

    def start(self, ref: AccountRef, call: Any, receiver: Any, *, writes: bool) -> None:
        if self.is_held:
            self.held.append((receiver, call()))
        else:
            asyncio.get_running_loop().call_soon(lambda: receiver.set_result(call()))


class ScriptedImap(ImapConnection):
    """A connection of a signed-in client."""

    steps: list[Action]

    def _new_session(self) -> Any:
        return Script(self.steps)


class Progress:
    """The connection, with a store that has this account unless `error` is set."""

    def __init__(self, *works: Work[object]) -> None:
        self.executors, self.transport = AtOnce(), KeptOutput()
        self.error: MicMailError | None = None
        services_ = services(account_executors=self.executors)
        services_.store = SimpleNamespace(account=self.account)
        self.connection = ScriptedImap(ImapServer(services_), "imap")
        self.connection._signed_in = cast("Any", SimpleNamespace(address="dvbe@mic.gov.vn"))
        self.connection.steps = list(works)

    def account(self, ref: AccountRef, address: str) -> object:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(ref=ref)

    async def run(self) -> list[object]:
        """Run the script to its end and some turns beyond; return the results of its steps."""
        self.connection.connection_made(self.transport)
        while not self.session.is_over:
            await asyncio.sleep(0)
        await self.pass_turns()
        return self.session.results

    async def pass_turns(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def session(self) -> Script:
        return cast("Script", self.connection._session)


@pytest.fixture(autouse=True)
def due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is due in each turn of the loop in which there is work."""
    monkeypatch.setattr(imap_server, "PROGRESS_SECONDS", 0.0)


def work() -> Work[object]:
    return Work(lambda account: "done", writes=True, account=ACCOUNT, meanwhile=lambda: LINE)


async def test_work_that_cannot_begin() -> None:
    """The session has the error, and the client no line about work that does not exist."""
    progress = Progress(work())
    progress.error = MicMailError("no such store")
    assert await progress.run() == [progress.error]
    assert progress.transport.written == []
    assert progress.connection._progress is None


async def test_work_that_ends_at_once() -> None:
    """The timer that it leaves writes nothing, and is not set again."""
    progress = Progress(work())
    assert await progress.run() == ["done"]
    assert progress.transport.written == []
    assert progress.connection._progress is None


async def test_work_that_lasts() -> None:
    progress = Progress(work())
    progress.executors.is_held = True
    progress.connection.connection_made(progress.transport)
    await progress.pass_turns()
    assert set(progress.transport.take()) == {LINE}
    [(receiver, result)] = progress.executors.held
    receiver.set_result(result)
    await progress.pass_turns()
    assert progress.transport.written == []
    assert progress.session.results == ["done"]
