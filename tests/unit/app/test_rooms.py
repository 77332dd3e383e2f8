"""What is told when the rooms of a process are opened."""

from collections.abc import Callable

from harness import MailServer
from mic_mail.storage.journal import FOLDER


def test_what_the_journal_could_not_give_back_is_told(serve: Callable[..., MailServer]) -> None:
    """And the server starts all the same."""
    first = serve()
    first.stop()
    bad = first.config.mail_root / FOLDER / "another boot.bad"
    bad.mkdir(parents=True)
    second = MailServer(first.config)
    second.stop()
    assert [event["place"] for event in second.events() if event["event"] == "journal_not_replayed"] == [str(bad)]
