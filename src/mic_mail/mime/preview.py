"""Make a line of readable text from the beginning of a message (RFC 8970).

In: the raw beginning of a text body. Out: at most `LIMIT` characters, without markup, quoted mail and white space runs. Linear
in the length of its input (the scanner keeps 16 KiB at most); never raises.
"""

import html
import re
from unicodedata import is_normalized

from mic_mail.mime.encoded_words import compose_letters, decode_as_written, decode_beginning_as_written, decode_octets
from mic_mail.mime.encodings import decode, decoder_for
from mic_mail.mime.structure import Part

LIMIT = 200
"""Characters (RFC 8970 §3.1: at most 200 unless there is a reason for more)."""

_LINE_ENDS = 20
"""CRLFs within the limit that become one space each."""

_ENOUGH = 1_000
"""Characters of text to collect before white space is folded."""

_GLANCE = 768
"""Octets that hold the line of nearly every plain text, in 10 us instead of 25 to 100."""

_CUT = 8
"""More characters than an excerpt makes of one that is cut, also in quoted-printable."""

_INVISIBLE_CHARACTER = (
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd"
    "\x00-\x08\x0e-\x1f\x7f-\x9f]"
)
"""Padding in the first lines of newsletters, bidirectional marks, controls, and truncated characters."""
_INVISIBLE = re.compile(f"{_INVISIBLE_CHARACTER}{_INVISIBLE_CHARACTER}*+")
"""A run of invisible characters, written so that `re` finds the first three times as fast."""

_SKIPPED = re.compile(r"<((?ai:style|script|head|title|template))(?![^\W_])")
_CLOSED = {name: re.compile(f"</(?ai:{name})") for name in ("style", "script", "head", "title", "template")}
_QUOTED = re.compile(r"^>.*$", re.MULTILINE)


def preview(raw: bytes, part: Part) -> str:
    """Return the preview of the text body `part` that begins with `raw`."""
    charset = (part.parameter(b"charset") or b"").decode("ascii", "replace")
    encoding = part.encoding.decode("ascii", "replace")
    if part.subtype == b"html":
        return _first_line(_strip_html(decode_octets(decode(raw, encoding), charset))).rstrip()
    if len(raw) > _GLANCE:
        # Each step here maps a beginning to the beginning of its result for the whole, so a full line is final.
        text = decode_beginning_as_written(decoder_for(encoding).feed(raw[:_GLANCE]), charset)
        line = _beginning(_strip_quoted(text)) if _is_damaged(text) or is_normalized("NFC", text) else ""
        if len(line) == LIMIT:
            return line.rstrip()
    text = decode_as_written(decode(raw, encoding), charset)
    return _first_line(_strip_quoted(text if _is_damaged(text) else compose_letters(text))).rstrip()


def _is_damaged(text: str) -> bool:
    """Return whether a text holds octets that are none in its charset, apart from its end.

    A character may be cut there. Such a text is shown as it is written. To compose noise takes 40 us for 500 octets, where most
    texts take one.
    """
    return "\ufffd" in text[:-_CUT]


def _first_line(text: str) -> str:
    """Return the beginning of the text on one line, below the limit only where there is no more."""
    line = " ".join(text[:_ENOUGH].split())[:LIMIT]
    if len(line) == LIMIT and not _INVISIBLE.search(line):
        return line
    for enough in (_ENOUGH, 4 * _ENOUGH):  # the line of a beginning is the beginning of the line
        # U+FFFD is removed separately: a text in a wrong charset has hundreds, and a match for each would dominate the cost.
        visible = _INVISIBLE.sub("", text[:enough].replace("\ufffd", ""))
        line = " ".join(visible.split())[:LIMIT]
        if len(line) == LIMIT or len(text) <= enough:
            break
    return line


_NOT_IN_LINE = re.compile(_INVISIBLE_CHARACTER[:-1] + "\t-\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
"""Invisible characters, or white space other than U+0020."""


def _beginning(text: str) -> str:
    """Return the same line; nearly every text only needs its line ends replaced."""
    line = text.lstrip()[: LIMIT + _LINE_ENDS].replace("\r\n", " ")[:LIMIT]
    return _first_line(text) if len(line) < LIMIT or "  " in line or _NOT_IN_LINE.search(line) else line


def _strip_quoted(text: str) -> str:
    """Remove quoted lines."""
    return _QUOTED.sub("", text) if text.startswith(">") or "\n>" in text else text


def _strip_html(text: str) -> str:
    """Return the text between the tags, as far as it is needed."""
    pieces: list[str] = []
    collected = pos = 0
    while collected < _ENOUGH:
        tag = text.find("<", pos)
        piece = text[pos:] if tag < 0 else text[pos:tag]
        if piece and not piece.isspace():
            pieces.append(piece)
            collected += len(piece)
        if tag < 0:
            break
        pos = _after_tag(text, tag)
        if pos < 0:
            break
        pieces.append(" ")
    return html.unescape("".join(pieces)[: 2 * _ENOUGH])


def _after_tag(text: str, tag: int) -> int:
    """Return the offset after the tag at `tag`, or after its element if that is not shown; -1 at the end."""
    if text.startswith("<!--", tag):
        end = text.find("-->", tag)
        return end + 3 if end >= 0 else -1
    skipped = _SKIPPED.match(text, tag)
    if skipped is not None:
        closed = _CLOSED[skipped[1].lower()].search(text, tag)
        if closed is None:
            return -1
        tag = closed.start()
    end = text.find(">", tag)
    return end + 1 if end >= 0 else -1
