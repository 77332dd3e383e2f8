"""SEARCH over text: exact substrings in whole messages, without case (RFC 9051 §6.4.4).

BODY and TEXT match the decoded text of text parts; HEADER matches decoded field bodies. This is the scan that is always
right; an index beside it (`search.sqlite`) may only narrow down which messages it has to read.
"""

from collections.abc import Iterable, Sequence

from mic_mail.storage.store import Store
from mic_mail.storage.types import TextTest


def find_text(
    store: Store, folder_id: int, uids: Iterable[int], tests: Sequence[TextTest]
) -> list[tuple[int, tuple[bool, ...]]]:
    raise NotImplementedError
