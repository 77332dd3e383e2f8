"""What is told when a process opens its context, and what is left when it ends."""

import inspect
from collections.abc import Callable

import pytest

from harness import MailServer
from mic_mail.storage.journal.journal import FOLDER
from mic_mail.storage.maildir import syncfs


def test_what_the_journal_could_not_give_back_is_told(serve: Callable[..., MailServer]) -> None:
    """And the server starts all the same."""
    first = serve()
    first.stop()
    bad = first.config.mail_root / FOLDER / "another boot.bad"
    bad.mkdir(parents=True)
    second = MailServer(first.config)
    second.stop()
    assert [event["place"] for event in second.events() if event["event"] == "journal_not_replayed"] == [str(bad)]


def test_that_there_can_be_no_journal_is_told_once(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system whose syncfs proves nothing: mail is received all the same."""
    monkeypatch.setattr(syncfs, "file_system_type", lambda fd: 0x65735546)
    server = serve()
    server.housekeep()
    server.stop()
    (told,) = (event for event in server.events() if "journal" in str(event))
    assert told["event"] == "journal_unavailable"
    assert "0x65735546" in told["error"]["en"]


def test_an_errand_that_ends_before_it_began(serve: Callable[..., MailServer]) -> None:
    """Nothing of it is left lying that Python would complain of."""
    server = serve()
    context = server.running.context

    async def errand() -> None:
        raise AssertionError("it was cancelled")

    async def begin_and_end() -> str:
        begun = errand()
        context.spawn(begun)
        context._tasks.cancel()
        await context._tasks.settle()
        return inspect.getcoroutinestate(begun)

    assert server.call(begin_and_end()) == inspect.CORO_CLOSED
