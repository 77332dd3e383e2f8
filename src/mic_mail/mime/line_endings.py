"""Count line endings in bulk, and find bare CR and LF. Pure.

A CR without LF or an LF without CR is *bare* (RFC 5321 §2.3.8). Octets are examined as given: a caller that splits a CRLF must
rejoin it.
"""

_CR = b"\r"[0]
"""The octet as a number: it is found in bytes five times as fast."""

_SAMPLE = 61
_MANY = 8
"""Counting is faster where one octet in this many is CR or LF."""
_FEW = 2_048
"""Octets below which the density of line ends is not sampled."""

LineEnds = tuple[int, int, int]
"""Numbers of LF, CR and CRLF: all equal where none is bare."""


def line_ends(octets: bytes) -> LineEnds:
    """Count the line ends. About 2 GB/s where all are CRLF, as in mail; 500 MB/s elsewhere.

    If replacing each line end by CRLF changes nothing, each is CRLF. This is three to five times as fast as counting, as
    `replace` steps by `memchr`; but not where line ends are dense, which a sample of every 61st octet shows.
    """
    first = octets.find(_CR)
    if first < 0:
        return octets.count(b"\n"), 0, 0
    size = len(octets)
    if octets.startswith(b"\n", first + 1) and (size < _FEW or _are_few(octets[::_SAMPLE])):
        without_cr = octets.replace(b"\r", b"")
        if without_cr.replace(b"\n", b"\r\n") == octets:
            pairs = size - len(without_cr)
            return pairs, pairs, pairs
    return octets.count(b"\n"), octets.count(b"\r"), octets.count(b"\r\n")


def _are_few(sample: bytes) -> bool:
    return (sample.count(b"\n") + sample.count(b"\r")) * _MANY <= len(sample)


def has_bare(octets: bytes) -> bool:
    """Return whether a CR or LF is bare."""
    lf, cr, crlf = line_ends(octets)
    return not lf == cr == crlf


def even_lines(octets: bytes) -> tuple[bytearray, int, LineEnds] | None:
    """Split off the leading lines of equal length, as in base64.

    Returns their content, their octets including line ends, and these line ends; None where the lines are not equal. About 8
    GB/s: only the expected positions are checked, so the content may hold other line ends.
    """
    length = octets.find(b"\n") + 1
    if length < 2:
        return None
    lines = len(octets) // length
    stop = lines * length
    if octets[length - 1 : stop : length] != b"\n" * lines:
        return None
    content = bytearray(memoryview(octets)[:stop])
    del content[length - 1 :: length]
    if octets[length - 2] != _CR:
        return content, stop, (lines, 0, 0)
    if octets[length - 2 : stop : length] != b"\r" * lines:
        return None
    del content[length - 2 :: length - 1]
    return content, stop, (lines, lines, lines)
