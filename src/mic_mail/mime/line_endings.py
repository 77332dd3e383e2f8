"""Count line endings in bulk, and find bare CR and LF. Pure.

A CR without LF or an LF without CR is *bare* (RFC 5321 §2.3.8). Octets are examined as given: a caller that splits a CRLF must
rejoin it.
"""

_CR, _LF = b"\r\n"
"""The octets as numbers: they are found in bytes five times as fast."""
_LARGE = 16_384
"""Octets from which on it is worth a look whether the lines are even."""

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
    """Return whether a CR or LF is bare.

    The even lines of base64 are compared together, which is much quicker than counting their ends.
    """
    start, end = _even_middle(octets) if len(octets) >= _LARGE else (0, 0)
    return any(not lf == cr == crlf for lf, cr, crlf in map(line_ends, (octets[:start], octets[end:])))


def _even_middle(octets: bytes) -> tuple[int, int]:
    """Return where lines of equal length begin and end around the middle, with CRLF at their ends and nowhere else.

    They are searched for other line ends in a copy in which their own are blank. (0, 0) where they are not most of the octets.
    """
    size = len(octets)
    middle = octets.find(b"\n", size // 2) + 1
    length = octets.find(b"\n", middle) + 1 - middle
    if not middle or length < 2:
        return 0, 0
    ends = octets[(middle - 1) % length :: length]
    number = (middle - 1) // length
    start = middle - length * (number - len(ends[:number].rstrip(b"\n")))
    end = middle + length * (len(ends) - number - 1 - len(ends[number + 1 :].lstrip(b"\n")))
    lines = (end - start) // length
    content = bytearray(memoryview(octets)[start:end])
    if end - start < size // 2 or content[length - 2 :: length] != b"\r" * lines:
        return 0, 0
    content[length - 2 :: length] = content[length - 1 :: length] = bytes(lines)
    # a line end of the header or of another part may lie where one of these lines would end
    before = max(content.rfind(_CR, 0, middle - start), content.rfind(_LF, 0, middle - start))
    behind = [at for at in (content.find(_CR, middle - start), content.find(_LF, middle - start)) if at >= 0]
    end = start + min(behind, default=len(content)) // length * length
    start += (before // length + 1) * length
    return (start, end) if end - start >= size // 2 else (0, 0)


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
