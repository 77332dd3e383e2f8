"""Cut fields out of raw header blocks, and parse their structured values.

In: the octets of a header. Out: octets, unchanged (`cut`) or unfolded (`fields`, `parse_...`). `mime.encoded_words` decodes
them to text. Never raises on any input, time is linear in its length.
RFC 5322 §2.2 (fields, folding), RFC 9051 §6.4.5.1 (HEADER.FIELDS), RFC 2045 §5.1 (parameters), RFC 2231 §3 (continuations).
"""

import binascii
import re
from collections.abc import Collection

_RAW_FIELD = re.compile(rb"([^:\n]*+)(:[^\n]*+(?:\n[ \t][^\n]*+)*+\n?+)|([^\n]*+\n|[^\n]++)")
"""Name and rest of a field, unchanged; or a line that is not a field."""

_FIELD = re.compile(rb"([^:\n]*+):([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?+|[^\n]++\n?+|\n")
"""Name and value of a field; or a whole line that is not a field, so that no octet is read twice."""

_BLANK_LINES = frozenset({b"\r\n", b"\n"})
_FOLD = re.compile(rb"\r?\n")
_SPACE = b" \t\r\n"
_SPACES = frozenset({b" ", b"\t", b"\r", b"\n"})
_LF, _OPENING, _ASTERISK, _SEMICOLON = b"\n(*;"
"""Octets as numbers: `in` finds a number in bytes five times as fast as a bytes object."""

MAX_PARAMETERS = 200
"""Parameters read per field; no mail program writes a tenth of them."""
LONGEST_VALUE = 8_192
"""Octets of a field's value searched for parameters: a thousand parts may have 64 KB each."""


def cut(header: bytes, names: Collection[bytes], *, others: bool = False) -> bytes:
    """Return the fields called `names` (lower case), unchanged and in order, then the empty line.

    This is HEADER.FIELDS; with `others` it is HEADER.FIELDS.NOT: everything but them. A message that has neither a body nor an
    empty line gets none (RFC 9051 §6.4.5.1). 4.7 us for a header of 15 fields; bench/mime_scan.py.
    """
    wanted = names if isinstance(names, (frozenset, set)) else frozenset(names)
    found = _RAW_FIELD.findall(header)
    if others:
        return b"".join([name + rest + line for name, rest, line in found if line or name.rstrip(b" \t").lower() not in wanted])
    blank = found[-1][2] if found and found[-1][2] in _BLANK_LINES else b""
    return b"".join([name + rest for name, rest, line in found if not line and name.rstrip(b" \t").lower() in wanted]) + blank


def whole(beginning: bytes) -> bytes:
    """Return the whole fields at the beginning of a header that is too long, with an empty line."""
    return beginning[: beginning.rfind(b"\n") + 1] + b"\r\n"


def written_fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """Return all fields as written, in order; other lines with an empty name. 3.5 us for 13 fields."""
    return _FIELD.findall(header)


def canonical(name: bytes) -> bytes:
    """Return a field's name in lower case, without white space before the colon (RFC 5322 §4.5)."""
    return name.rstrip(b" \t").lower()


def fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """Return all fields in order: name in lower case, value as written; other lines are skipped."""
    return [(canonical(name), value) for name, value in written_fields(header) if name]


def field(header: bytes, name: bytes) -> bytes | None:
    """Return the unfolded value of the first field called `name` (lower case)."""
    for candidate, value in fields(header):
        if candidate == name:
            return unfold(value)
    return None


def unfold(value: bytes) -> bytes:
    """Return a field's value on one line, without white space around it (RFC 5322 §2.2.3)."""
    if _LF in value:
        value = _FOLD.sub(b"", value)
    return value.strip(_SPACE)


# --- parameters -------------------------------------------------------------------------------------------------------

_SIMPLE = re.compile(
    rb";[ \t\r\n]*+([^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]++)=(?:\"([^\"\\\r\n]*+)\"|([^\x00-\x20\x7f\"();\\]++))[ \t\r\n]*+"
)
_SECTION = re.compile(rb"^(.+?)(?:\*([0-9]{1,4}))?(\*)?$", re.DOTALL)


def parse_parameters(value: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return the value before the first semicolon, without comments, and the parameters after it.

    Parameter names are in lower case. Sections of RFC 2231 (`name*0*=`, `name*1=`) are joined in the order of their numbers
    into one parameter: `name` where it is ASCII, else `name*` with its charset and percent-encoding. A repeated name keeps its
    first value. Octets beyond LONGEST_VALUE are ignored.
    """
    value = value[:LONGEST_VALUE]
    end = _end_of_type(value)
    if end < 0:
        return strip_comments(value), []
    found = _parameters(value, end)
    if _ASTERISK in value and any(b"*" in name for name, _ in found):
        found = _join_sections(found)
    if len(found) > 1:
        first: dict[bytes, bytes] = {}
        for name, text in found:
            first.setdefault(name, text)
        found = list(first.items())
    return strip_comments(value[:end]), found


def _end_of_type(value: bytes) -> int:
    """Return the offset of the first semicolon outside comments; -1 where there is none."""
    end, opening = value.find(b";"), value.find(b"(")
    while 0 <= opening < end:
        pos = end_of_comment(value, opening + 1)
        opening = value.find(b"(", pos)
        if end < pos:
            end = value.find(b";", pos)
    return end


def _parameters(value: bytes, pos: int) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    size = len(value)
    for _ in range(MAX_PARAMETERS):
        if pos >= size:
            break
        simple = _SIMPLE.match(value, pos)
        if simple and (simple.end() == size or value[simple.end()] == _SEMICOLON):
            name, quoted, token = simple.groups()
            found.append((name.lower(), token if quoted is None else quoted))
            pos = simple.end()
            continue
        name, text, pos = _odd_parameter(value, pos + 1)
        if name:
            found.append((name, text))
    return found


_ODD = re.compile(rb"\"(?:[^\"\\]++|\\.)*+\"?|\\.?|[^;\"\\(]++|\(|;", re.DOTALL)


def _odd_parameter(value: bytes, pos: int) -> tuple[bytes, bytes, int]:
    """Parse one malformed parameter: comments, spaces around `=` or in the value, missing quotes.

    A value is one token or one quoted string (RFC 2045 §5.1). Octets between a quoted string and the semicolon are not part of
    it and are dropped, as Dovecot and Thunderbird do.
    """
    pieces: list[bytes] = []
    seen_sign = has_begun = False  # the latter: the value has
    is_escaped = is_quoted = False  # how it begins: with a quote behind a backslash, with a quote
    while match := _ODD.match(value, pos):
        piece = match[0]
        if piece == b";":
            break
        if piece == b"(" and not (seen_sign and _is_in_name(pieces, value, pos)):
            pos = end_of_comment(value, match.end())
            continue
        pos = match.end()
        if is_quoted:
            continue
        pieces.append(unquote(piece) if seen_sign and piece.startswith(b'"') else piece)
        if seen_sign and not has_begun:
            is_escaped, is_quoted = piece == b'\\"', piece.startswith(b'"')
        has_begun = has_begun or bool((piece if seen_sign else piece.partition(b"=")[2]).strip(_SPACE))
        seen_sign = seen_sign or b"=" in piece
    name, sign, text = b"".join(pieces).partition(b"=")
    name, text = name.strip(_SPACE).lower(), unfold(text)
    if is_escaped:  # quoted once more than there are quotes
        text = text[2:].removesuffix(b'\\"')
    return (name if sign else b""), text, pos


_FILE_NAME = re.compile(rb"\s*+(?:file)?name(?:\*[0-9]*+\*?)?\s*+=", re.IGNORECASE)
_COMMENT_AT_END = re.compile(rb"\([^()\\;]*+\)[ \t\r\n]*+(?:;|\Z)")


def _is_in_name(pieces: list[bytes], value: bytes, pos: int) -> bool:
    """Return whether a parenthesis belongs to an unquoted file name: `Invoice_(302).pdf`.

    RFC 2045 §5.1 makes it a comment everywhere, but a program that omits the quotes means it literally. Only a parenthesis
    after white space that ends the parameter is a comment.
    """
    if _FILE_NAME.match(b"".join(pieces[:1])) is None:
        return False
    return not (pieces[-1][-1:] in _SPACES and _COMMENT_AT_END.match(value, pos))


def _join_sections(found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Join the sections of each parameter (RFC 2231 §3, §4) at the place of the first one."""
    order: dict[bytes, bytes | None] = {}
    sections: dict[bytes, list[tuple[int, bytes, bool]]] = {}
    for name, text in found:
        match = _SECTION.match(name)
        if match is None or (match[2] is None and match[3] is None):
            order.setdefault(name, text)
        else:
            order.setdefault(match[1] + b"*", None)
            sections.setdefault(match[1] + b"*", []).append((int(match[2] or 0), text, match[3] is not None))
    return [_joined(name, sorted(sections[name])) if text is None else (name, text) for name, text in order.items()]


def _joined(name: bytes, sections: list[tuple[int, bytes, bool]]) -> tuple[bytes, bytes]:
    charset = b""
    octets: list[bytes] = []
    _, first, extended = sections[0]
    if extended and first.count(b"'") >= 2:
        charset, _, first = first.split(b"'", 2)
        sections[0] = (0, first, True)
    for _, text, extended in sections:
        octets.append(_PERCENT.sub(lambda match: binascii.unhexlify(match[1]), text) if extended else text)
    whole = b"".join(octets)
    if whole.isascii() and not _CONTROL.search(whole):
        return name[:-1], whole
    return name, charset + b"''" + percent_encode(whole)


_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_NOT_ATTRIBUTE = re.compile(rb"[^A-Za-z0-9!#$&+.^_`{|}~-]")


def percent_encode(octets: bytes) -> bytes:
    """Return the value of an extended parameter (RFC 2231 §7)."""
    return _NOT_ATTRIBUTE.sub(lambda match: b"%%%02X" % match[0][0], octets)


def unquote(text: bytes) -> bytes:
    """Return the content of a quoted string (RFC 5322 §3.2.4); the closing quote may be missing."""
    text = text[1:-1] if len(text) > 1 and text.endswith(b'"') and not _escaped_at_end(text) else text[1:]
    return _QUOTED_PAIR.sub(rb"\1", text) if b"\\" in text else text


_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)


def _escaped_at_end(text: bytes) -> bool:
    body = text[1:-1]
    return (len(body) - len(body.rstrip(b"\\"))) % 2 == 1


# --- comments ---------------------------------------------------------------------------------------------------------

_COMMENT_STEP = re.compile(rb"[^()\\]++|\\.?|[()]", re.DOTALL)
_OUTSIDE_STEP = re.compile(rb"\"(?:[^\"\\]++|\\.)*+\"?|[^(\"]++|\(", re.DOTALL)


def end_of_comment(value: bytes, pos: int) -> int:
    """Return the end of the comment that opened just before `pos` (RFC 5322 §3.2.2; comments nest)."""
    depth = 1
    while depth and (match := _COMMENT_STEP.match(value, pos)):
        pos = match.end()
        if match[0] == b"(":
            depth += 1
        elif match[0] == b")":
            depth -= 1
    return pos


def strip_comments(value: bytes) -> bytes:
    """Return a structured value without its comments and outer white space, on one line."""
    if _OPENING not in value:
        return unfold(value)
    pieces: list[bytes] = []
    pos = 0
    while match := _OUTSIDE_STEP.match(value, pos):
        pos = match.end()
        if match[0] == b"(":
            pos = end_of_comment(value, pos)
        else:
            pieces.append(match[0])
    return unfold(b"".join(pieces))
