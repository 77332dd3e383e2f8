"""Junk signals: user actions that say a message is spam, or that it is not (Reg. 15.5). Pure."""

from collections.abc import Collection

JUNK, TRASH = "\\Junk", "\\Trash"
SPAM_KEYWORDS = frozenset({"$junk", "junk"})
HAM_KEYWORDS = frozenset({"$notjunk", "notjunk", "$nonjunk", "nonjunk"})
"""Keywords of RFC 9051 §2.3.2, and those that Thunderbird and Apple Mail have used, in lower case."""


def junk_from_keywords(keywords: Collection[str]) -> bool | None:
    """Return True if setting these keywords marks a message as spam, False if as ham, else None."""
    named = {keyword.lower() for keyword in keywords}
    spam, ham = bool(named & SPAM_KEYWORDS), bool(named & HAM_KEYWORDS)
    return spam if spam is not ham else None  # RFC 9051 §2.3.2: both together count as neither


def junk_from_move(source: str | None, target: str | None) -> bool | None:
    """Return True if a move or copy between these special uses marks spam, False if ham, else None."""
    if target == JUNK:
        return None if source == JUNK else True
    return False if source == JUNK and target != TRASH else None
