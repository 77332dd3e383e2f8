"""The base subject: what SORT and THREAD compare of a Subject, without Re:, Fwd: and what lists put in front (RFC 5256 §2.1).

In: the decoded text of the field. Out: the base, and whether it was a reply or forward (§3, REFERENCES). Time is linear in the
length: of a subject only two places move, where it begins and where it ends, and neither moves back.
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
    """The base, and whether anything that marks a reply or a forward was taken off."""

    text: str
    is_reply: bool


def base_subject(subject: str) -> BaseSubject:
    """The base of a subject; the numbers are the steps of RFC 5256 §2.1. 1.5 us for a usual one."""
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
            # No subj-refwd follows the blobs, so none follows some of them: all go but one where nothing else would be left.
            start = blobs.end() if blobs.end() < end else _start_of_last_blob(text, start, end)
            break
        if _FWD_HEADER.match(text, start, end) is None or text[end - 1] != "]":  # (6)
            return BaseSubject(text[start:end], is_reply)
        start, end, is_reply = start + 5, end - 1, True


def _start_of_last_blob(text: str, start: int, end: int) -> int:
    """Where the last of the blobs begins that are all there is between `start` and `end`."""
    while (blob := _LAST_BLOB.match(text, start, end)) is not None and blob.end() < end:
        start = blob.end()
    return start
