"""SEARCH, SORT and ESEARCH responses, from positions in the requested order.

In: a view, the command, its result. Out: octets. Pure.
Standards: RFC 4731 §3, RFC 5182 §2.1, RFC 5267 §3 and §4.4, RFC 9394 §3, RFC 7162 §3.1.5 and §3.1.9, RFC 6203 §4, RFC 7377.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mic_mail.imap import responses
from mic_mail.imap.parser.search import Search
from mic_mail.imap.parser.sort import Sort
from mic_mail.imap.selected.folder_order import Scores
from mic_mail.imap.selected.mailbox_view import View

_ITEMS = frozenset({"MIN", "MAX", "ALL", "COUNT", "PARTIAL", "RELEVANCY"})
"""The return options that request an item of the response."""


class SearchResult(NamedTuple):
    """The result of a search: positions in the requested order, which is the mailbox's except for SORT."""

    positions: Sequence[int]
    saved: Sequence[int] = ()
    """The UIDs that `$` meant."""
    with_modseq: bool = False
    """True if MODSEQ was among the keys."""
    scores: Scores | None = None


def format_response(
    view: View, tag: bytes, command: Search, found: SearchResult, *, rev2: bool, mailbox: bytes | None = None
) -> bytes:
    """Return the untagged response, also an empty one, since clients wait for it.

    Nothing for SAVE alone (RFC 5182 §2.1). `mailbox` is the name for ESEARCH, ready to send; ESEARCH sends nothing for a
    mailbox without matches.
    """
    name: Callable[[int], int] = view.uids.__getitem__ if command.by_uid else (1).__add__
    numbers = [name(at) for at in found.positions]
    if mailbox is not None and not numbers:
        return b""
    is_sort = isinstance(command, Sort)
    if command.returns is None and (is_sort or not rev2):
        modseq = _highest(view, found.positions) if found.with_modseq else None
        return responses.sort(numbers, modseq) if is_sort else responses.search(numbers, modseq)
    asked = frozenset({"ALL"}) if command.returns is None else command.returns & _ITEMS
    if command.returns == frozenset({"SAVE"}):
        return b""
    partial = command.partial
    shown = found.positions if partial is None else found.positions[partial.within(len(numbers))]
    counted = kept(command, found.positions)
    return responses.esearch(
        tag,
        by_uid=command.by_uid,
        mailbox=None if mailbox is None else (mailbox, view.uidvalidity),
        minimum=numbers[0] if numbers and "MIN" in asked else None,
        maximum=numbers[-1] if numbers and "MAX" in asked else None,
        found=numbers if "ALL" in asked else None,
        partial=None if partial is None else (bytes(partial), [name(at) for at in shown]),
        ascending=not is_sort,
        relevancy=None if "RELEVANCY" not in asked or found.scores is None else [found.scores[at] for at in shown],
        count=len(numbers) if "COUNT" in asked else None,
        modseq=_highest(view, counted) if found.with_modseq and counted else None,
    )


def kept(command: Search, found: Sequence[int]) -> list[int]:
    """Return the messages that `$` and MODSEQ refer to, ascending.

    These are the reported ones, if only ends or a part were requested, else all. RFC 5182 §2.1, RFC 4731 §3.2, RFC 9394 §3.2
    (table 1).
    """
    asked = (command.returns or frozenset()) & _ITEMS
    if not asked & {"MIN", "MAX", "PARTIAL"} or asked & {"ALL", "COUNT"}:
        return sorted(found)
    part = found[command.partial.within(len(found))] if command.partial is not None else ()
    return sorted({*part, *(found[:1] if "MIN" in asked else ()), *(found[-1:] if "MAX" in asked else ())})


def _highest(view: View, positions: Sequence[int]) -> int:
    """Return the highest MODSEQ of the results, as responses report it (RFC 7162 §3.1.5)."""
    return max((view.modseqs[at] for at in positions), default=0)
