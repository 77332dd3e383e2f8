"""Raw header blocks: cutting fields out of them, and the structured values that stand in them.

In: the octets of a header. Out: octets, exactly as they lie there (`cut`) or unfolded (`fields`, `parse_...`).
Text for people is made of them in `mime.words`. Never raises on any input, time is linear in its length.
RFC 5322 §2.2 (fields, folding), RFC 9051 §6.4.5.1 (HEADER.FIELDS), RFC 2045 §5.1 (parameters), RFC 2231 §3 (continuations).
"""

import binascii
import re
from collections.abc import Collection

_RAW_FIELD = re.compile(rb"([^:\n]*+)(:[^\n]*+(?:\n[ \t][^\n]*+)*+\n?+)|([^\n]*+\n|[^\n]++)")
"""Name and rest of a field, as they stand; or a line that is no field."""

_FIELD = re.compile(rb"([^:\n]*+):([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?+|[^\n]++\n?+|\n")
"""Name and value of a field; or a line that is no field, up to its end, so that no octet is looked at twice."""

_BLANK_LINES = frozenset({b"\r\n", b"\n"})
_FOLD = re.compile(rb"\r?\n")
_SPACE = b" \t\r\n"
_SPACES = frozenset({b" ", b"\t", b"\r", b"\n"})
_LF, _OPENING, _ASTERISK, _SEMICOLON = b"\n(*;"
"""As numbers: `in` finds an octet in bytes five times as fast when it is given as one."""

MAX_PARAMETERS = 200
"""More parameters of one field are left out: no mail program writes a tenth of it."""
LONGEST_VALUE = 8_192
"""Octets of a field's value in which parameters are looked for: each of a thousand parts may have 64 KB of odd pieces."""


def cut(header: bytes, names: Collection[bytes], *, others: bool = False) -> bytes:
    """HEADER.FIELDS: the fields called `names` (lower case), unchanged and in order, then the empty line at its end.

    With `others`, HEADER.FIELDS.NOT: everything but them. A message that has neither a body nor an empty line gets none
    (RFC 9051 §6.4.5.1). 4.7 us for a header of 15 fields; bench/mime_scan.py.
    """
    wanted = names if isinstance(names, (frozenset, set)) else frozenset(names)
    found = _RAW_FIELD.findall(header)
    if others:
        return b"".join([name + rest + line for name, rest, line in found if line or name.rstrip(b" \t").lower() not in wanted])
    blank = found[-1][2] if found and found[-1][2] in _BLANK_LINES else b""
    return b"".join([name + rest for name, rest, line in found if not line and name.rstrip(b" \t").lower() in wanted]) + blank


def whole(beginning: bytes) -> bytes:
    """The whole fields at the beginning of a header that is too long, as a header: with the empty line that is beyond."""
    return beginning[: beginning.rfind(b"\n") + 1] + b"\r\n"


def written_fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """All fields in order, names and values as they stand; the name of a line that is no field is empty. 3.5 us for 13."""
    return _FIELD.findall(header)


def canonical(name: bytes) -> bytes:
    """A field's name in lower case, without white space before the colon (RFC 5322 §4.5)."""
    return name.rstrip(b" \t").lower()


def fields(header: bytes) -> list[tuple[bytes, bytes]]:
    """All fields in order: name in lower case, value as it stands, folded. Lines that are no field are skipped."""
    return [(canonical(name), value) for name, value in written_fields(header) if name]


def field(header: bytes, name: bytes) -> bytes | None:
    """The unfolded value of the first field called `name` (lower case)."""
    for candidate, value in fields(header):
        if candidate == name:
            return unfold(value)
    return None


def unfold(value: bytes) -> bytes:
    """A field's value on one line, without white space around it (RFC 5322 §2.2.3)."""
    if _LF in value:
        value = _FOLD.sub(b"", value)
    return value.strip(_SPACE)


# --- parameters -------------------------------------------------------------------------------------------------------

_SIMPLE = re.compile(
    rb";[ \t\r\n]*+([^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]++)=(?:\"([^\"\\\r\n]*+)\"|([^\x00-\x20\x7f\"();\\]++))[ \t\r\n]*+"
)
_SECTION = re.compile(rb"^(.+?)(?:\*([0-9]{1,4}))?(\*)?$", re.DOTALL)


def parse_parameters(value: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """What stands before the first semicolon, without comments, and the parameters after it: names in lower case.

    Sections of RFC 2231 (`name*0*=`, `name*1=`) are joined in the order of their numbers into one parameter: `name` where it
    is ASCII, else `name*` with its charset and percent-encoding. A name that comes twice keeps its first value. What stands
    beyond LONGEST_VALUE is not looked at.
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
    """Where the first semicolon is that no comment holds; -1 where there is none."""
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
    """One parameter that is not written by the book: comments, spaces around `=`, spaces in the value, missing quotes.

    A value is one token or one quoted string (RFC 2045 §5.1): what stands between a quoted string and the semicolon is no part
    of it, and is dropped, as Dovecot and Thunderbird do.
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
    """Whether a parenthesis belongs to the name of a file without quotes: `Invoice_(302).pdf`.

    RFC 2045 §5.1 calls it a comment wherever it stands, but who forgets the quotes means it as a letter. Only what stands
    behind white space and ends the parameter is a comment.
    """
    if _FILE_NAME.match(b"".join(pieces[:1])) is None:
        return False
    return not (pieces[-1][-1:] in _SPACES and _COMMENT_AT_END.match(value, pos))


def _join_sections(found: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """RFC 2231 §3 and §4: the sections of one parameter as one value, at the place of its first section."""
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
    """The value of an extended parameter (RFC 2231 §7)."""
    return _NOT_ATTRIBUTE.sub(lambda match: b"%%%02X" % match[0][0], octets)


def unquote(text: bytes) -> bytes:
    """The content of a quoted string (RFC 5322 §3.2.4); the closing quote may be missing."""
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
    """Where the comment that opened just before `pos` ends (RFC 5322 §3.2.2; comments nest)."""
    depth = 1
    while depth and (match := _COMMENT_STEP.match(value, pos)):
        pos = match.end()
        if match[0] == b"(":
            depth += 1
        elif match[0] == b")":
            depth -= 1
    return pos


def strip_comments(value: bytes) -> bytes:
    """A structured value without its comments and outer white space, on one line."""
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
