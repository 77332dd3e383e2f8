"""The Date field as an instant.

In: the value of a Date field, as tolerant as mail needs. Out: seconds since the epoch, or None. RFC 5322 §3.3 and §4.3.
"""


def parse_date(value: bytes) -> int | None:
    """Seconds since the epoch (UTC), or None when there is no date in it."""
    raise NotImplementedError
