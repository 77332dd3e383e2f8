"""Retry intervals of spool entries. Pure.

In: the number of attempts that left a recipient open. Out: the pause until the next: one minute, doubled each time, at
most an hour (RFC 5321 §4.5.4.1 asks for growing pauses). `services.queue.inbound_dsn` decides which attempt is the last.
"""

FIRST_PAUSE_SECONDS = 60
LONGEST_PAUSE_SECONDS = 3600


def pause_us(attempts: int) -> int:
    """Return the microseconds from the end of the `attempts`-th attempt to the next."""
    doublings = min(max(attempts - 1, 0), 10)
    return min(FIRST_PAUSE_SECONDS << doublings, LONGEST_PAUSE_SECONDS) * 1_000_000


def is_due(next_try_us: int, now_us: int) -> bool:
    """Return whether the pause is over.

    A pause longer than any was begun before the clock was set back, so it is over too.
    """
    return not now_us < next_try_us <= now_us + LONGEST_PAUSE_SECONDS * 1_000_000
