"""Detect the format of a document by its first octets, and call its reader.

Names and content types are trusted last, as they are often wrong. In: the octets of an attachment, its name and content type.
Out: text and names that its reader passes to the `Look`. Runs in the worker process (`worker`), with its limits on memory and
time. The worker imports all readers before the first document, other processes import each when first needed.
"""

import re
from collections.abc import Callable
from importlib import import_module
from typing import cast

from mic_mail.textextract.cms import is_cms
from mic_mail.textextract.extraction import Look
from mic_mail.textextract.limits import CannotRead
from mic_mail.textextract.messages import pages, readings, show
from mic_mail.textextract.result import Unread

_MAGIC = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "compound"),
    (b"\x78\x9f\x3e\x22", "tnef"),
    (b"Rar!", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"\x1f\x8b", "archive"),
    (b"BZh", "archive"),
    (b"\xfd7zXZ\x00", "archive"),
    (b"MSCF", "archive"),
)
READERS = {
    "zip": "zip_files",
    "compound": "compound",
    "tnef": "tnef",
    "cms": "cms",
    "pdf": "pdf",
    "rtf": "rtf",
    "flat-odf": "office",
}
_ARCHIVE_END, _ARCHIVE_END_WITHIN = b"PK\x05\x06", 66_000
"""A ZIP is read from its end, which a comment of 64 KiB may follow (APPNOTE.TXT 4.3.16)."""
_WITHIN = 1024
"""Octets before the header of a PDF that PDF readers skip."""
_HTML = re.compile(rb"\s*(?:<!doctype html|<html|<head|<body|<table|<div|<p[ >])", re.IGNORECASE)
_PAGES = ("text/html", "application/xhtml+xml", "image/svg+xml")
_PAGE_NAMES = (".htm", ".html", ".xhtml", ".shtml", ".svg")
_FLAT_ODF = re.compile(rb"<office:document[ \t\r\n]")
_MESSAGES = ("message/rfc822", "message/global", "message/news")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 4096


def kind_of(content: bytes, name: str, kind: str) -> str:
    """Return the name of a reader, `archive` for an unsupported archive, empty for a file without text."""
    head = content[:_LOOKED_AT]
    for magic, found in _MAGIC:
        if head.startswith(magic):
            return found
    if is_cms(head):
        return "cms"
    if b"%PDF-" in head[:_WITHIN]:
        return "pdf"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{\\rtf"):
        return "rtf"
    if head[257:262] == b"ustar":
        return "archive"
    if kind.lower() == "message/partial":  # RFC 2046 §5.2.2: the first part begins with the header fields of the whole message
        return "partial"
    if kind.lower() in _MESSAGES or name.lower().endswith((".eml", ".mht", ".mhtml")):
        return "message"
    if _FLAT_ODF.search(head):
        return "flat-odf"
    if _HTML.match(head.removeprefix(b"\xef\xbb\xbf")) or kind.lower() in _PAGES or name.lower().endswith(_PAGE_NAMES):
        return "html"
    if head.startswith(_MARKS) or not _is_binary(head):
        return "text"
    return ""


def open_document(look: Look, content: bytes, name: str, kind: str) -> None:
    """Read one document."""
    found = kind_of(content, name, kind)
    if found in ("", "pdf") and _ARCHIVE_END in content[-_ARCHIVE_END_WITHIN:]:
        try:  # self-extracting, or appended to something else: programs find it by its end
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
            for text in readings(content, ""):
                look.text(text)
            show(look, content)
        case "html":
            look.budget.take_work(content.count(b"<"))
            for text in pages(content):
                look.text(text)
        case "text":
            for text in readings(content, ""):
                look.text(text)
        case "archive":
            raise CannotRead(Unread.UNKNOWN_ARCHIVE)
        case _:
            reader = import_module(f"mic_mail.textextract.{READERS[found]}")
            cast("Callable[[Look, bytes], None]", reader.read)(look, content)


def _is_binary(head: bytes) -> bool:
    """Return whether there are control characters that do not occur in text."""
    return len(head.translate(None, bytes(range(8)) + b"\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19")) < len(head) - 8
