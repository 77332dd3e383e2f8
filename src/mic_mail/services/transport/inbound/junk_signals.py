"""What people say of a message by what they do with it: that it is spam, that it is none, or nothing (Reg. 15.5). Pure."""

from collections.abc import Collection

JUNK, TRASH = "\\Junk", "\\Trash"
SPAM_KEYWORDS = frozenset({"$junk", "junk"})
HAM_KEYWORDS = frozenset({"$notjunk", "notjunk", "$nonjunk", "nonjunk"})
"""Those of RFC 9051 §2.3.2, and those that Thunderbird and Apple's Mail have used, in lower case."""


def junk_from_keywords(keywords: Collection[str]) -> bool | None:
    """Whether these keywords, being set, say that a message is spam (True), or none (False)."""
    named = {keyword.lower() for keyword in keywords}
    spam, ham = bool(named & SPAM_KEYWORDS), bool(named & HAM_KEYWORDS)
    return spam if spam is not ham else None  # RFC 9051 §2.3.2: both are as none


def junk_from_move(source: str | None, target: str | None) -> bool | None:
    """The same of a move or copy between folders with these special uses (RFC 6154). What goes to Trash is only thrown away."""
    if target == JUNK:
        return None if source == JUNK else True
    return False if source == JUNK and target != TRASH else None
