"""UIDBATCHES (RFC 10022): UID ranges that split the mailbox into equal batches, newest first.

In: the command. Out: one UIDBATCHES line, also without batches. A batch begins with the UID of its newest message and ends
with that of its oldest, the last one with 1. Ranges cost the server only their octets, so there is no upper limit.
"""

from collections.abc import Sequence

from mic_mail.connection.actions import Steps
from mic_mail.errors import Text
from mic_mail.imap import responses
from mic_mail.imap.context import ImapContext
from mic_mail.imap.parser.messages import UidBatches
from mic_mail.imap.replies import Reply, refuse

LEAST_MESSAGES = 500
"""Least messages of a batch: smaller ones would restore message numbers to clients that do without."""


def uid_batches(ctx: ImapContext, command: UidBatches) -> Steps[Reply]:
    view = ctx.selected
    if command.size < LEAST_MESSAGES:
        return refuse(
            Text(f"Mỗi đợt có ít nhất {LEAST_MESSAGES} thư.", f"A batch must have at least {LEAST_MESSAGES} messages."),
            b"TOOFEW",
        )
    yield from ctx.sync(expunge=True)
    ctx.write(responses.uid_batches(ctx.tag, batches(view.uids, command.size, command.first, command.last)))
    return Reply("Batches listed.")


def batches(uids: Sequence[int], size: int, first: int, last: int | None) -> list[tuple[int, int]]:
    """Return batches `first` to `last` of ascending `uids`, as (highest UID, lowest UID).

    Batches are counted from 1; `last` is None: all that follow.
    """
    count = -(-len(uids) // size)
    found: list[tuple[int, int]] = []
    for number in range(first, min(count, last or count) + 1):
        newest, oldest = len(uids) - (number - 1) * size - 1, len(uids) - number * size
        found.append((uids[newest], uids[oldest] if oldest > 0 else 1))
    return found
