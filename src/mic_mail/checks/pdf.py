"""PDF: text page by page, titles, form fields, stamps and notes laid over pages, files attached (ISO 32000-1).

In: the octets of a PDF. Out: what it shows. Read by pypdf, which is pure Python: slow on some pages, so time is asked for
between pages, and the process that this runs in is killed when one page takes too long. An empty password is tried: such files
open without asking in every reader. A page that is a picture has no text, and nothing is said of it.
"""

from io import BytesIO
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import DictionaryObject

from mic_mail.checks.bounds import CannotRead
from mic_mail.checks.looking import Look
from mic_mail.checks.verdict import Unread
from mic_mail.policy.hints import may_mark

_LAID_OVER = ("/FreeText", "/Stamp", "/Text", "/Watermark")
_MOST_NOTES = 500


def read(look: Look, content: bytes) -> None:
    """One file."""
    try:
        reader = PdfReader(BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise CannotRead(Unread.ENCRYPTED)
        _read_titles(look, reader)
        _read_pages(look, reader)
        _read_fields(look, reader)
        _read_files(look, reader)
    except (PyPdfError, KeyError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError) as error:
        raise CannotRead(Unread.DAMAGED) from error


def _read_titles(look: Look, reader: PdfReader) -> None:
    told = reader.metadata
    for name in ("/Title", "/Subject", "/Keywords"):
        if told is not None and isinstance(value := told.get(name), str):
            look.title(value)


def _read_pages(look: Look, reader: PdfReader) -> None:
    for page in reader.pages:
        look.budget.check_time()
        text = page.extract_text()
        look.budget.take_octets(len(text))
        look.text(text)
        if may_mark(text):  # columns are told apart by their gaps; twice the time, so for few pages only
            look.text(page.extract_text(extraction_mode="layout"))
        for note in list(page.get("/Annots", ()) or ())[:_MOST_NOTES]:
            _read_note(look, note.get_object())


def _read_note(look: Look, note: Any) -> None:
    if isinstance(note, DictionaryObject) and note.get("/Subtype") in _LAID_OVER:
        for name in ("/Contents", "/Name", "/Subj"):
            if isinstance(value := note.get(name), str):
                look.text(value.removeprefix("/"), margin=True)


def _read_fields(look: Look, reader: PdfReader) -> None:
    for name, value in (reader.get_form_text_fields() or {}).items():
        if isinstance(value, str):
            look.text(f"{name}: {value}\n{value}")


def _read_files(look: Look, reader: PdfReader) -> None:
    for name, contents in reader.attachments.items():
        look.name(name)
        for content in contents:
            look.budget.take_octets(len(content))
            look.document(bytes(content), name)
