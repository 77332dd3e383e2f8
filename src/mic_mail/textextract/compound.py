"""Compound files: DOC, XLS, PPT, MSG of Office before 2007, searched without parsing their tables.

In: the octets of a compound file ([MS-CFB]). Out: the runs of text in it. Word, Excel and PowerPoint store letters beyond
Western Europe as UTF-16, so a stamp of Vietnamese capitals is a run of UTF-16 at any place; text for TCVN3 fonts is a run of
octets. A run split by the sectors of a fragmented file is read in two pieces. Files encrypted by Office 2007 and later are
compound files too, and Word marks encryption in its first octets.
"""

import re

from mic_mail.textextract.extraction import CHARS_A_STEP, Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread

_WIDE = re.compile(rb"(?:[\x07\x09\x0b-\x0d\x20-\x7e\xa0-\xff]\x00|[\x00-\xff][\x01\x03\x1e]|[\x10-\x3a]\x20){3,}+")
_NARROW = re.compile(rb"[\x07\x09\x0b-\x0d\x20-\x7e\xa0-\xff]{6,}")
_LINES = re.compile("[\x0b\x0c\r]|\x07\x07")
"""Word ends a cell with one such character, and a row with one more."""
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_WORD_MAGIC, _WORD_FLAGS, _WORD_ENCRYPTED = slice(512, 514), 523, 0x01
_BATCH = 1 << 20
_COST_OF_A_RUN = 20
"""Overhead of a run in characters, for the memory that a batch of short runs takes."""


def read(look: Look, content: bytes) -> None:
    """Read one file."""
    if _ENCRYPTED in content:
        raise CannotRead(Unread.ENCRYPTED)
    if content[_WORD_MAGIC] == b"\xec\xa5" and len(content) > _WORD_FLAGS and content[_WORD_FLAGS] & _WORD_ENCRYPTED:
        raise CannotRead(Unread.ENCRYPTED)
    look.format = "compound"
    for pattern, charset in ((_WIDE, "utf-16-le"), (_NARROW, "latin-1")):
        held: list[str] = []
        size = 0
        for run in pattern.finditer(content):
            look.budget.take_work(1 + len(run[0]) // CHARS_A_STEP)
            held.append(_LINES.sub("\n", run[0].decode(charset, "replace")).replace("\x07", "\t"))
            size += len(held[-1]) + _COST_OF_A_RUN
            if size > _BATCH:
                look.budget.check_time()
                look.text("\n".join(held))
                held, size = [], 0
        look.text("\n".join(held))
