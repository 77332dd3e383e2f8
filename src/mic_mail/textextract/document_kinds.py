"""Tell the kind of a document by its first octets.

Names and content types are trusted last, as they are often wrong.

In: the beginning of an attachment, its name and content type. Out: the name of a reader (`detect`). Pure.
"""

import re

from mic_mail.textextract.cms import is_cms

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
_ARCHIVE_END, ARCHIVE_END_WITHIN = b"PK\x05\x06", 66_000
"""A ZIP is read from its end, which a comment of 64 KiB may follow (APPNOTE.TXT 4.3.16)."""
_WITHIN = 1024
"""Octets before the header of a PDF that PDF readers skip."""
_HTML = re.compile(rb"\s*(?:<!doctype html|<html|<head|<body|<table|<div|<p[ >])", re.IGNORECASE)
_PAGES = ("text/html", "application/xhtml+xml", "image/svg+xml")
_PAGE_NAMES = (".htm", ".html", ".xhtml", ".shtml", ".svg")
_FLAT_ODF = re.compile(rb"<office:document[ \t\r\n]")
_MESSAGES = ("message/rfc822", "message/global", "message/news")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
LOOKED_AT = 4096
"""Octets of a document that tell its kind."""


def kind_of(content: bytes, name: str, kind: str) -> str:
    """Return the name of a reader, `archive` for an unsupported archive, empty for a file without text.

    `content` may be its first `LOOKED_AT` octets.
    """
    head = content[:LOOKED_AT]
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


def archive_may_end(found: str, tail: bytes) -> bool:
    """Return whether a file of the kind `found` is an archive too: self-extracting, or appended to something else.

    Programs find an archive by its end. `tail` are the last octets of the file, `ARCHIVE_END_WITHIN` or more.
    """
    return found in ("", "pdf") and _ARCHIVE_END in tail[-ARCHIVE_END_WITHIN:]


def _is_binary(head: bytes) -> bool:
    """Return whether there are control characters that do not occur in text."""
    return len(head.translate(None, bytes(range(8)) + b"\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19")) < len(head) - 8
