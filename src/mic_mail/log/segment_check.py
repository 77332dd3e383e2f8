"""Check one file of the log line by line, for `verify`: all lines written, unchanged and in order.

In: one file, how much of it an anchor holds. Out: its current state (`SegmentCheck`). In a segment each line has its number
from its 34th octet on; in the acts each line has the digest of the one before it. 1.2 us a line with its digests
(`bench/log_index`).
"""

import json
import os
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from mic_mail.log.files import READ_OCTETS, digest, read_chunks
from mic_mail.log.index import Block, digest_of

_NUMBER_AT = len('{"at":"2026-11-24T09:00:00.123456Z')
_ANCHORED = b'"event":"log_anchored"'


@dataclass(slots=True)
class SegmentCheck:
    """The findings in a file."""

    lines: int = 0
    anchored_octets: int = 0
    anchored_sha256: str = ""
    """Digest of as many octets as the anchor holds, or as exist."""
    last_act: str = ""
    """The digest of the last line, if the file holds acts; else the value passed in."""
    broken: list[tuple[str, str, str]] = field(default_factory=list)
    """Kind, place, detail."""
    logged_anchors: list[tuple[int, str, str]] = field(default_factory=list)
    """Number and head of anchors that the mail log reports, and the line."""


def check_segment(path: Path, anchored: int, *, acts_after: str | None, most: int) -> SegmentCheck:
    """Read a whole file; `acts_after` is the digest that its first line has to carry; None for a segment."""
    seen = SegmentCheck(last_act=acts_after or "")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return seen
    try:
        walk = _Acts(seen, most) if acts_after is not None else _Segment(seen, most)
        value, rest, at = sha256(), b"", 0
        for piece in read_chunks(fd, 0, os.fstat(fd).st_size, octets=READ_OCTETS):
            value.update(piece[: max(0, anchored - at)])
            at += len(piece)
            whole, newline, left = piece.rpartition(b"\n")
            if newline:
                walk.feed((rest + whole).split(b"\n"))
                rest = left
            else:
                rest += left
        if rest:
            walk.cut_off(rest)
        seen.anchored_octets, seen.anchored_sha256 = min(at, anchored), value.hexdigest()
    finally:
        os.close(fd)
    return seen


def changed_blocks(path: Path, blocks: list[Block]) -> list[Block]:
    """Return blocks whose octets differ from the index; those beyond the end of the file are ignored."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        read = ((block, os.pread(fd, block.octets, block.start)) for block in blocks)
        return [block for block, octets in read if len(octets) == block.octets and digest_of(octets) != block.digest]
    finally:
        os.close(fd)


class _Walk:
    def __init__(self, seen: SegmentCheck, most: int) -> None:
        self.seen = seen
        self._most = most
        self._counts: dict[str, int] = {}

    def report(self, kind: str, detail: str = "") -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= self._most:
            self.seen.broken.append((kind, f"{self.seen.lines}", detail))

    def feed(self, lines: list[bytes]) -> None:
        raise NotImplementedError

    def cut_off(self, rest: bytes) -> None:
        self.seen.lines += 1
        self.report("line_cut_off", f"{len(rest)}")


class _Segment(_Walk):
    """Lines numbered from 0 without a gap."""

    _expected = 0

    def feed(self, lines: list[bytes]) -> None:
        for line in lines:
            self.seen.lines += 1
            if line.startswith(b'","n":%d,' % self._expected, _NUMBER_AT):
                self._expected += 1
                if _ANCHORED in line:
                    self._note_anchor(line)
            else:
                self._odd(line)

    def _odd(self, line: bytes) -> None:
        try:
            number = json.loads(line)["n"]
        except (ValueError, KeyError, TypeError, RecursionError):
            number = None
        if not isinstance(number, int):
            self.report("line_damaged", f"n={self._expected}")
            self._expected += 1  # it takes the place of that line
            return
        if number != self._expected:
            first_missing = number > self._expected
            self.report("line_missing" if first_missing else "line_order", f"n={self._expected}, {number}")
        self._expected = number + 1

    def _note_anchor(self, line: bytes) -> None:
        try:
            told = json.loads(line)
            self.seen.logged_anchors.append((int(told["number"]), str(told["head"]), f"{self.seen.lines}"))
        except (ValueError, KeyError, TypeError, RecursionError):
            self.report("line_damaged")


class _Acts(_Walk):
    """Lines of which each carries the digest of the one before."""

    def feed(self, lines: list[bytes]) -> None:
        for line in lines:
            self.seen.lines += 1
            before, self.seen.last_act = self.seen.last_act, digest(line + b"\n")
            try:
                carried = json.loads(line)["prev"]
            except (ValueError, KeyError, TypeError, RecursionError):
                # Cut off by a crash, and ended by the next writer; if it was altered, the next line does not match.
                self.report("line_cut_off" if not line.endswith(b"}") else "act_broken")
                continue
            if carried != before:
                self.report("act_broken")

    def cut_off(self, rest: bytes) -> None:
        super().cut_off(rest)
        self.seen.last_act = digest(rest)
