"""What people say of a message by what they do with it: that it is spam, that it is none, or nothing (Reg. 15.5). Pure."""

from collections.abc import Collection

JUNK, TRASH = "\\Junk", "\\Trash"
SPAM_KEYWORDS = frozenset({"$junk", "junk"})
HAM_KEYWORDS = frozenset({"$notjunk", "notjunk", "$nonjunk", "nonjunk"})
"""IANA's names, and those that Thunderbird and Apple's Mail have used, in lower case."""


def said_by(keywords: Collection[str]) -> bool | None:
    """Whether these keywords, being set, say that a message is spam (True), or none (False)."""
    named = {keyword.lower() for keyword in keywords}
    if named & HAM_KEYWORDS:
        return False
    return True if named & SPAM_KEYWORDS else None


def said_by_move(source: str | None, target: str | None) -> bool | None:
    """The same of a move or copy between folders with these special uses (RFC 6154). What goes to Trash is only thrown away."""
    if target == JUNK:
        return None if source == JUNK else True
    return False if source == JUNK and target != TRASH else None
