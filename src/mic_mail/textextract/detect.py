"""Detect the format of a document, and call its reader.

In: the octets of an attachment, its name and content type.
Out: text and names that its reader passes to the `Look`. Runs in the worker process (`worker`), with its limits on memory and
time. The worker imports all readers before the first document, other processes import each when first needed.
"""

from collections.abc import Callable
from importlib import import_module
from typing import cast

from mic_mail.textextract.document_kinds import ARCHIVE_END_WITHIN, archive_may_end, kind_of
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.messages import pages, show
from mic_mail.textextract.readings import hinted_readings
from mic_mail.textextract.result import Unread

READERS = {
    "zip": "zip_files",
    "compound": "compound",
    "tnef": "tnef",
    "cms": "cms",
    "pdf": "pdf",
    "rtf": "rtf",
    "flat-odf": "office",
}


def open_document(look: Look, content: bytes, name: str, kind: str) -> None:
    """Read one document."""
    found = kind_of(content, name, kind)
    if archive_may_end(found, content[-ARCHIVE_END_WITHIN:]):
        try:
            _read(look, "zip", content)
        except CannotRead as error:
            look.missed(error.reason)
    _read(look, found, content)


def _read(look: Look, found: str, content: bytes) -> None:
    look.format = found or "binary"
    match found:
        case "":
            return
        case "message":
            show(look, content)
        case "partial":
            for text in hinted_readings(lambda: (content,), "", look.budget):
                look.text(text)
            show(look, content)
        case "html":
            look.budget.take_work(content.count(b"<"))
            for text in pages(content):
                look.text(text)
        case "text":
            for text in hinted_readings(lambda: (content,), "", look.budget):
                look.text(text)
        case "archive":
            raise CannotRead(Unread.UNKNOWN_ARCHIVE)
        case _:
            reader = import_module(f"mic_mail.textextract.{READERS[found]}")
            cast("Callable[[Look, bytes], None]", reader.read)(look, content)
