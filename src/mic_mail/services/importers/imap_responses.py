"""An IMAP server's responses as values: strings, lists, None for NIL. Nothing is taken on trust.

Pure, without recursion, in linear time. RFC 9051 §9, laxer: anything that is no list and no string is an atom.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

Value = bytes | list["Value"] | None
_TOKEN = re.compile(
    rb'[ \t]*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\]++|\\.)*+)"|(?P<atom>[^ \t()"]++)|(?P<odd>"))', re.DOTALL
)
_BEHIND_AN_ODD_ONE = re.compile(rb'[ \t]*(?:(?P<open>\()|(?P<close>\))|(?P<quoted>(?!))|(?P<atom>[^ \t()"]++)|(?P<odd>"))')
"""The tokens after an unclosed quotation mark, which is skipped.

Some servers send the delimiter as an unescaped backslash in quotes. Later quotation marks are unclosed as well, so the
end of the line is searched for only once.
"""
_LITERAL = re.compile(rb"~?\{\d+\+?\}\Z")
_MOST_FLAGS = 200
"""The limit of one message's flags."""
_MOST_VALUES = 10_000
"""The limit of one response; no command of ours has an answer of a million parentheses."""
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


def values(parts: Sequence[bytes]) -> list[Value]:
    """Parse a response: `parts` are a line, a literal, a line, a literal, ..., a line.

    Unmatched closing parentheses are skipped, and so is everything beyond the limit of an honest server.
    """
    root: list[Value] = []
    left = _MOST_VALUES
    open_lists = [root]
    for place, part in enumerate(parts[:_MOST_VALUES]):
        if place % 2:
            open_lists[-1].append(part)
            continue
        line = _LITERAL.sub(b"", part) if place + 1 < len(parts) else part
        for each in islice(_tokens(line), left):
            left -= 1
            if each == "(":
                inner: list[Value] = []
                open_lists[-1].append(inner)
                open_lists.append(inner)
            elif each == ")":
                if len(open_lists) > 1:
                    open_lists.pop()
            elif not isinstance(each, str):
                open_lists[-1].append(each)
    return root


def _tokens(line: bytes) -> Iterator[bytes | str | None]:
    at, token = 0, _TOKEN
    while match := token.match(line, at):
        at = match.end()
        if match["odd"]:
            token = _BEHIND_AN_ODD_ONE
        if match["open"]:
            yield "("
        elif match["close"]:
            yield ")"
        elif match["quoted"] is not None:
            yield _ESCAPED.sub(rb"\1", match["quoted"]) if b"\\" in match["quoted"] else match["quoted"]
        elif match["atom"] is not None:
            yield None if match["atom"].upper() == b"NIL" else match["atom"]


def fetched(parts: Sequence[bytes]) -> Mapping[bytes, Value] | None:
    """Return the attributes of a FETCH response by name; None for another response."""
    response = values(parts)
    if len(response) < 4 or response[0] != b"*" or not isinstance(response[2], bytes) or response[2].upper() != b"FETCH":
        return None
    attributes = response[3]
    if not isinstance(attributes, list):
        return None
    pairs = zip(attributes[::2], attributes[1::2], strict=False)
    return {name.upper(): value for name, value in pairs if isinstance(name, bytes)}


def number(value: Value, most: int = (1 << 63) - 1) -> int:
    """Return a number; 0 where the value is none."""
    if isinstance(value, bytes) and value.isdigit() and len(value) <= 19:
        return min(int(value), most)
    return 0


def flags(value: Value) -> frozenset[str]:
    """Return the flags as spelled, without \\Recent."""
    if not isinstance(value, list):
        return frozenset()
    found = {each.decode("ascii", "replace") for each in value[:_MOST_FLAGS] if isinstance(each, bytes) and len(each) <= 100}
    return frozenset(name for name in found if name.lower() != "\\recent")


def sequence(uids: Sequence[int]) -> str:
    """Format ascending UIDs as RFC 9051 §9 `sequence-set`."""
    ranges: list[list[int]] = []
    for uid in uids:
        if ranges and uid == ranges[-1][1] + 1:
            ranges[-1][1] = uid
        else:
            ranges.append([uid, uid])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in ranges)
