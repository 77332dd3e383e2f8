"""Answers about single messages in memory, as the index holds them.

They are those of new mail, and of messages that were asked for. A session that is notified of new mail asks for it at once, and
a mail program for one message after another. Whoever has just read or written the rows leaves them here, so that these are
answered in the event loop. Messages do not change, and a UID means one message for ever, so that no row here is ever wrong. Its
path is a hint: names follow flags.
"""

from collections.abc import Iterable, Sequence
from itertools import islice

from mic_mail.storage.types import AnswerRow
from mic_mail.weighted_cache import WeightedCache

MOST_OCTETS = 16 << 20
"""Memory for the rows: of some 5,000 messages."""
MOST_OCTETS_OF_ONE = 32 << 10
"""A larger row is not kept: to make an answer of it could take long."""
_OVERHEAD_OCTETS = 900
FEW_MESSAGES = 32
"""Most messages of which a caller looks for rows here, or leaves them."""

FolderKey = tuple[int, int, int]
"""Account id, folder id and UIDVALIDITY: while these stand, a UID means one message."""


def _octets(row: AnswerRow) -> int:
    utf8 = row.envelope_utf8 or b""
    answers = (row.envelope, utf8, row.body, row.bodystructure, row.header, row.parts)
    return _OVERHEAD_OCTETS + sum(map(len, answers))


class AnswerRows:
    """Rows by folder and UID, the least recently used dropped first; safe from any thread."""

    def __init__(self, most_octets: int = MOST_OCTETS) -> None:
        self._rows: WeightedCache[tuple[FolderKey, int], AnswerRow] = WeightedCache(most_octets)

    def get(self, folder: FolderKey, uids: Sequence[int]) -> list[AnswerRow] | None:
        """Return the rows of a few messages, or None where one of them is not known."""
        found: list[AnswerRow] = []
        for uid in uids:
            row = self._rows.get((folder, uid))
            if row is None:
                return None
            found.append(row)
        return found

    def put(self, folder: FolderKey, rows: Iterable[tuple[int, AnswerRow]]) -> None:
        """Leave the rows of a few messages, by UID."""
        for uid, row in islice(rows, FEW_MESSAGES):
            octets = _octets(row)
            if octets <= MOST_OCTETS_OF_ONE:
                self._rows.put((folder, uid), row, octets)

    def forget(self, account_id: int) -> None:
        """Drop the rows of an account, because its index was rebuilt."""
        self._rows.drop_where(lambda key: key[0][0] == account_id)
