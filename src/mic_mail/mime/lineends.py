"""CRLF and what is none: how lines end, asked of many octets at once. Pure.

A CR without LF or an LF without CR is *bare* (RFC 5321 §2.3.8). Octets are asked about as they lie: a CRLF that was cut in two
is the caller's to put together.
"""

from typing import Final

_NO_LINE_ENDS: Final = bytes(set(range(256)) - set(b"\r\n"))


def has_bare(octets: bytes) -> bool:
    """Whether some CR or LF is alone. About 650 MB/s."""
    # As many of the two as the pairs have: none is alone.
    return len(octets.translate(None, _NO_LINE_ENDS)) != 2 * octets.count(b"\r\n")


def all_end_in_crlf(window: bytes, lines: int) -> bool:
    """Whether all its `lines` LFs have a CR in front, where its lines are equally long but for the last; False also if they are
    not. Base64 is written so, and looking at its line ends alone is much faster than looking for a pair of octets.
    """
    length = window.find(b"\n") + 1
    if length < 2:
        return False
    full = len(window) // length
    ends = slice(length - 1, full * length, length)
    if window[ends] != b"\n" * full or window[length - 2 : ends.stop : length] != b"\r" * full:
        return False
    return full == lines or (full == lines - 1 and window.endswith(b"\r\n", full * length))
