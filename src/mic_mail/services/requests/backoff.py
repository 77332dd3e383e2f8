"""The retry delay after a failure: as long as the task has been pending, an hour at most. Pure.

In: the instant since when it is pending, the last attempt, the present. A short obstacle is passed within seconds; one
that lasts days costs an attempt an hour. A clock that was set back delays nothing.
"""

from datetime import datetime, timedelta

LONGEST = timedelta(hours=1)


def is_due(since: datetime, tried_at: datetime, now: datetime) -> bool:
    """Return whether to try again."""
    return not timedelta(0) <= now - tried_at < min(tried_at - since, LONGEST)
