"""PDF: text by page, titles, form fields, stamps and notes on pages, attached files (ISO 32000-1).

In: the octets of a PDF. Out: its text and names. Read by pypdf, which is pure Python and slow on some pages. So the time is
checked between pages, operators are counted, and the worker process is killed when one page takes too long. An empty password
is tried: every reader opens such files without a prompt. A page that is an image has no text, and is not reported.
"""

from io import BytesIO
from typing import Any

from pypdf import PdfReader, apply_configuration
from pypdf.errors import LimitReachedError, PyPdfError
from pypdf.generic import DictionaryObject

from mic_mail.policy.secrecy.prefilter import may_mark
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.result import Unread

_LAID_OVER = ("/FreeText", "/Stamp", "/Text", "/Watermark")
_MOST_NOTES = 500
_STEPS_OF_A_PAGE, _STEPS_OF_AN_OPERATOR, _STEPS_OF_A_TOKEN = 100, 3, 2
_MOST_IN_A_STREAM = 2_000_000


def read(look: Look, content: bytes) -> None:
    """Read one file."""
    room = look.budget.remaining()
    with apply_configuration(
        zlib_maximum_output_length=room,
        lzw_maximum_output_length=room,
        run_length_maximum_output_length=room,
        array_based_stream_maximum_output_length=room,
        stream_decoding_work_maximum_length=2 * room,
        stream_parsing_work_maximum_count=max(1, min(look.budget.work // _STEPS_OF_A_TOKEN, _MOST_IN_A_STREAM)),
    ):
        _read(look, content)


def _read(look: Look, content: bytes) -> None:
    try:
        reader = PdfReader(BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise CannotRead(Unread.ENCRYPTED)
        _read_titles(look, reader)
        _read_pages(look, reader)
        _read_fields(look, reader)
        _read_files(look, reader)
    except LimitReachedError as error:
        raise CannotRead(Unread.OVER_BOUNDS) from error
    except (PyPdfError, KeyError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError) as error:
        raise CannotRead(Unread.DAMAGED) from error


def _read_titles(look: Look, reader: PdfReader) -> None:
    metadata = reader.metadata
    for name in ("/Title", "/Subject", "/Keywords"):
        if metadata is not None and isinstance(value := metadata.get(name), str):
            look.title(value)


def _read_pages(look: Look, reader: PdfReader) -> None:
    def count(*_: object) -> None:
        look.budget.take_work(_STEPS_OF_AN_OPERATOR)

    for page in reader.pages:
        look.budget.check_time()
        look.budget.take_work(_STEPS_OF_A_PAGE)
        text = page.extract_text(visitor_operand_before=count)
        look.budget.take_octets(len(text))
        look.text(text)
        if may_mark(text):  # layout mode separates columns by their gaps; twice the time, so for few pages only
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
