"""Submitted answers, read from the mail log (Reg. 12.4): also those without a copy in any mailbox.

In: addresses that sign in or are written as, a span. Out: the Message-IDs that their submissions named in In-Reply-To
or References. The log names the signed-in mailbox, so no outsider can answer in another's name. Blocking.
"""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from mic_mail.log.query import Query
from mic_mail.log.search import Search


class SubmittedAnswers:
    """The submissions of one server."""

    def __init__(self, log_dir: Path) -> None:
        self._search = Search(log_dir)

    def named_by(self, addresses: Collection[str], since: datetime) -> set[str]:
        """Return the Message-IDs that mail accepted since then from or as `addresses` refers to.

        With their brackets.
        """
        begins = int(since.timestamp() * 1_000_000)
        named: set[str] = set()
        for address in addresses:
            for _, fields in self._search.each(Query(mailbox=address, event="message_accepted", since_us=begins)):
                refers, written_as = fields.get("refers_to"), fields.get("written_as")
                by = {fields.get("login"), *(written_as if isinstance(written_as, list) else ())}
                if fields.get("login") and isinstance(refers, list) and not by.isdisjoint(addresses):
                    named.update(f"<{name}>" for name in refers)
        return named
