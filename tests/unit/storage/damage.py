"""Damage of a file of SQLite."""


def no_letters(whole: bytes) -> bytes:
    """The schema is no text any more: SQLite's message quotes octets that are no UTF-8."""
    return whole.replace(b"CREATE TABLE", b"CRE\xc9TE\xffTABL\xc9"[:12])
