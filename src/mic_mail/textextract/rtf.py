"""RTF: its text, including headers, footers and text boxes.

In: the octets of an RTF file. Out: its text. Read by striprtf, which skips optional destinations. Stamps are in headers and
text boxes, so the control words that make them optional are removed first.
"""

import re

from striprtf.striprtf import rtf_to_text

from mic_mail.textextract.extraction import Look
from mic_mail.textextract.result import Unread

_SENT_AWAY = re.compile(
    r"(?:\\\*)?\\(?:header[lrf]?|footer[lrf]?|shpinst|shpgrp|shptxt|shp|dptxbxtext|do|footnote|annotation)(?![a-z])"
)
_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}[\r\n]{0,2}+){64,}+")
"""Images and objects: a third of a microsecond an octet for striprtf, and no text."""
_CODE_PAGE = re.compile(r"\\ansicpg(\d{3,5})")
_PAGES = {"1258": "cp1258", "65001": "utf-8"}


def read(look: Look, content: bytes) -> None:
    """Read one file."""
    packed, most = _HEX.sub(b"", content), look.budget.bounds.text_chars
    if len(packed) > most:
        look.missed(Unread.OVER_BOUNDS)
    source = packed[:most].decode("latin-1")
    look.budget.take_work(len(source) // 2)
    page = _CODE_PAGE.search(source)
    text: str = rtf_to_text(  # type: ignore[no-untyped-call]  # the package has types but for this one
        _SENT_AWAY.sub(r"\\par ", source), encoding=_PAGES.get(page[1] if page else "", "cp1252"), errors="replace"
    )
    look.budget.take_octets(len(text))
    look.text(text.replace("|", "\t"))
