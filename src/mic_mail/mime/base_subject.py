"""Compute the base subject that SORT and THREAD compare (RFC 5256 §2.1).

It lacks Re:, Fwd: and the tags that lists put in front. In: the decoded text of the field. Out: the base, and whether it was a
reply or forward (§3, REFERENCES). Time is linear in the length: only the start and end offsets move, and neither moves back.
"""

import re
from typing import NamedTuple

_WHITE = re.compile(r"[ \t\r\n]+")
_BLOB = r"\[[^\[\]]*+\][ \t]*+"
_BLOBS = re.compile(rf"(?:{_BLOB})*+")
_LAST_BLOB = re.compile(_BLOB)
_REFWD = re.compile(rf"(?:re|fwd?)[ \t]*+(?:{_BLOB})?+:", re.IGNORECASE | re.ASCII)
_FWD_HEADER = re.compile(r"\[fwd:", re.IGNORECASE | re.ASCII)
_FWD_TRAILER = "(fwd)"


class BaseSubject(NamedTuple):
    """The base subject, and whether a reply or forward marker was removed."""

    text: str
    is_reply: bool


def base_subject(subject: str) -> BaseSubject:
    """Return the base subject; step numbers are those of RFC 5256 §2.1. 1.5 us for a usual subject."""
    text = _WHITE.sub(" ", subject.replace("\0", ""))  # (1)
    start, end, is_reply = 0, len(text), False
    while True:
        while True:  # (2)
            if end > start and text[end - 1] == " ":
                end -= 1
            elif text[max(start, end - 5) : end].lower() == _FWD_TRAILER:
                end -= 5
                is_reply = True
            else:
                break
        while True:  # (3), (4), (5)
            if start < end and text[start] == " ":
                start += 1
                continue
            blobs = _BLOBS.match(text, start, end)
            assert blobs is not None
            refwd = _REFWD.match(text, blobs.end(), end)
            if refwd is not None:
                start, is_reply = refwd.end(), True
                continue
            # No subj-refwd follows the blobs, so none follows a part of them. All are removed, but one if nothing else would be
            # left.
            start = blobs.end() if blobs.end() < end else _start_of_last_blob(text, start, end)
            break
        if _FWD_HEADER.match(text, start, end) is None or text[end - 1] != "]":  # (6)
            return BaseSubject(text[start:end], is_reply)
        start, end, is_reply = start + 5, end - 1, True


def _start_of_last_blob(text: str, start: int, end: int) -> int:
    """Return the offset of the last blob, where only blobs lie between `start` and `end`."""
    while (blob := _LAST_BLOB.match(text, start, end)) is not None and blob.end() < end:
        start = blob.end()
    return start
