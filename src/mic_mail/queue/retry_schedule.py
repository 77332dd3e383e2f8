"""When an entry of the spool is tried again. Pure.

In: how many tries have not settled every recipient. Out: the pause until the next: one minute, doubled each time, at most an
hour (RFC 5321 §4.5.4.1 asks for growing pauses). Which try is the last one `services.queue.spoolreports` says.
"""

FIRST_PAUSE_SECONDS = 60
LONGEST_PAUSE_SECONDS = 3600


def pause_us(attempts: int) -> int:
    """Microseconds from the end of the `attempts`-th try to the next."""
    doublings = min(max(attempts - 1, 0), 10)
    return min(FIRST_PAUSE_SECONDS << doublings, LONGEST_PAUSE_SECONDS) * 1_000_000


def is_due(next_try_us: int, now_us: int) -> bool:
    """Whether the pause is over. One longer than any was begun under a clock that has been set back since: it is over too."""
    return not now_us < next_try_us <= now_us + LONGEST_PAUSE_SECONDS * 1_000_000
