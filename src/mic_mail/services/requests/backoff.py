"""When something that failed is tried again: after as long as it has waited already, an hour at most. Pure.

In: since when it is owed, when it was tried last, the present. What stands for a moment in the way is out of it within seconds;
what stands there for days costs a look an hour. A clock that was set back keeps nothing waiting.
"""

from datetime import datetime, timedelta

LONGEST = timedelta(hours=1)


def is_due(since: datetime, tried_at: datetime, now: datetime) -> bool:
    """Whether to try again."""
    return not timedelta(0) <= now - tried_at < min(tried_at - since, LONGEST)
