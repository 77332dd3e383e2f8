"""IMAP values as Python ones, for tests that look into FETCH answers.

string -> bytes     NIL -> None     number, atom -> str     (...) -> list
"""

import re

Value = bytes | str | None | list["Value"]

_TOKEN = re.compile(rb" *(?:(\()|(\))|\"((?:[^\"\\\r\n]|\\[\"\\])*)\"|~?\{(\d+)\+?\}\r\n|([^ ()\"{\r\n]+))")


def parse_value(octets: bytes) -> Value:
    """The one value that `octets` hold; anything that is not by the grammar is a ValueError."""
    values, pos = _values(octets, 0, depth=0)
    if pos != len(octets) or len(values) != 1:
        raise ValueError(f"{len(values)} values, {len(octets) - pos} octets left of {octets[:200]!r}")
    return values[0]


def _values(octets: bytes, pos: int, depth: int) -> tuple[list[Value], int]:
    found: list[Value] = []
    while pos < len(octets):
        match = _TOKEN.match(octets, pos)
        if match is None:
            raise ValueError(f"no IMAP value at {pos}: {octets[pos : pos + 60]!r}")
        pos = match.end()
        if match[1]:
            inner, pos = _values(octets, pos, depth + 1)
            found.append(inner)
        elif match[2]:
            if not depth:
                raise ValueError(f"closing parenthesis at {pos}")
            return found, pos
        elif match[3] is not None:
            found.append(re.sub(rb"\\(.)", rb"\1", match[3]))
        elif match[4]:
            size = int(match[4])
            if len(octets) < pos + size:
                raise ValueError("literal ends early")
            found.append(octets[pos : pos + size])
            pos += size
        else:
            found.append(None if match[5].upper() == b"NIL" else match[5].decode("ascii"))
    if depth:
        raise ValueError("list does not end")
    return found, pos
