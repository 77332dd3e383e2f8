"""A line of readable text from the beginning of a message (RFC 8970).

In: the raw beginning of a text body. Out: at most `LIMIT` characters, without markup, quoted mail and white space runs.
Linear in what it is given (the scanner keeps 16 KiB at most); never raises.
"""

import html
import re

from mic_mail.mime.encodings import Decoder, decode
from mic_mail.mime.structure import Part
from mic_mail.mime.words import decode_beginning, decode_octets

LIMIT = 200
"""Characters (RFC 8970 §3.1: at most 200 unless there is a reason for more)."""

_ENOUGH = 1_000
"""Characters of text to collect before white space is folded."""

_GLANCE = 768
"""Octets that hold the whole line of nearly every plain text. A preview made of them costs 10 us instead of 25."""

_INVISIBLE_CHARACTER = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd"
    "\x00-\x08\x0e-\x1f\x7f-\x9f]"
)
"""What newsletters pad their first line with, marks that turn text around, controls, and characters cut in two."""
_INVISIBLE = re.compile(f"{_INVISIBLE_CHARACTER}{_INVISIBLE_CHARACTER}*+")
"""A run of them. Written in two, `re` looks for the first of them three times as fast as for `[...]++`."""

_SKIPPED = ("style", "script", "head", "title", "template")
_QUOTED = re.compile(r"^>.*$", re.MULTILINE)


def preview(raw: bytes, part: Part) -> str:
    """The preview of the text body `part` that begins with `raw`."""
    charset = (part.parameter(b"charset") or b"").decode("ascii", "replace")
    encoding = part.encoding.decode("ascii", "replace")
    if part.subtype == b"html":
        return _first_line(_strip_html(decode_octets(decode(raw, encoding), charset))).rstrip()
    if len(raw) > _GLANCE:
        # Every step on this way makes of a beginning the beginning of what it makes of the whole: a full line is the line.
        line = _first_line(_strip_quoted(decode_beginning(Decoder(encoding).feed(raw[:_GLANCE]), charset)))
        if len(line) == LIMIT:
            return line.rstrip()
    return _first_line(_strip_quoted(decode_octets(decode(raw, encoding), charset))).rstrip()


def _first_line(text: str) -> str:
    """The beginning of the text on one line; shorter than the limit only where there is no more."""
    line = " ".join(text[:_ENOUGH].split())[:LIMIT]
    if len(line) < LIMIT or _INVISIBLE.search(line):
        # U+FFFD by itself: a text in a wrong charset has hundreds, and a match for each costs more than all the rest here.
        visible = _INVISIBLE.sub("", text[: 4 * _ENOUGH].replace("\ufffd", ""))
        line = " ".join(visible.split())[:LIMIT]
    return line


def _strip_quoted(text: str) -> str:
    """The text without the lines that it answers to."""
    return _QUOTED.sub("", text) if text.startswith(">") or "\n>" in text else text


def _strip_html(text: str) -> str:
    """The text between the tags, as far as it is needed."""
    pieces: list[str] = []
    collected = pos = 0
    lower = text.lower()
    while collected < _ENOUGH:
        tag = text.find("<", pos)
        piece = text[pos:] if tag < 0 else text[pos:tag]
        if piece.strip():
            pieces.append(piece)
            collected += len(piece)
        if tag < 0:
            break
        pos = _after_tag(lower, tag)
        if pos < 0:
            break
        pieces.append(" ")
    return html.unescape("".join(pieces)[: 2 * _ENOUGH])


def _after_tag(lower: str, tag: int) -> int:
    """Where text goes on after the tag at `tag`, and after its element where that is not for reading; -1 for nowhere."""
    if lower.startswith("<!--", tag):
        end = lower.find("-->", tag)
        return end + 3 if end >= 0 else -1
    for name in _SKIPPED:
        if lower.startswith(name, tag + 1) and not lower[tag + 1 + len(name) : tag + 2 + len(name)].isalnum():
            tag = lower.find("</" + name, tag)
            if tag < 0:
                return -1
            break
    end = lower.find(">", tag)
    return end + 1 if end >= 0 else -1
