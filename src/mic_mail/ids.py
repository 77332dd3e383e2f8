"""Identifiers that people read aloud and search logs for.

A trace id names one message from its acceptance to its last delivery, or one refusal; it appears in the SMTP reply, in the
`Received:` line and in the log. Sixteen characters of Crockford's base 32: eleven of microseconds since the epoch (so ids sort
by time), five random.
"""

import secrets
from collections.abc import Callable

TokenSource = Callable[[int], int]
"""A callable that returns a number of n random bits; `secrets.randbits` in the running program."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_TIME_CHARS = 11
_RANDOM_CHARS = 5
_SHIFTS = range(5 * (_TIME_CHARS + _RANDOM_CHARS - 2), -1, -10)
"""The bit shifts of the letter pairs, the first pair first: half as many steps as letters."""


def trace_id(now_us: int, source: TokenSource = secrets.randbits) -> str:
    """Return a new trace id for the instant `now_us` (microseconds since the epoch)."""
    number = (now_us << (5 * _RANDOM_CHARS)) | source(5 * _RANDOM_CHARS)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])
