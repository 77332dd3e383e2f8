"""How often each thing is done."""

from collections.abc import Callable

from harness import MailServer
from mic_mail.app.duties import for_itself
from mic_mail.storage.journal import SETTLE_SECONDS


def test_the_journal_is_settled_in_time_whatever_the_configuration(serve: Callable[..., MailServer]) -> None:
    """How long names may lag behind their flags says nothing of how long messages may be durable by the journal alone."""
    server = serve({"storage": {"names_after": 60}})
    seconds = {duty.name: duty.seconds for duty in for_itself(server.running.rooms)}
    assert seconds["names"] == 60
    assert seconds["journal"] <= SETTLE_SECONDS / 2
