"""Extract the text that a reader of HTML sees, without the tags.

In: HTML, however damaged. Out: text; white space in it only separates words. Tags are cut as browsers cut them (WHATWG HTML
§13.2.5: quotes count after `=` only, a `<` before no letter is text, an unclosed tag runs to the end). So nothing is read
twice and time is linear. An inline tag does not separate letters (`hóa <b>đơn</b>`), a block tag does; scripts, styles and
comments are dropped. Never raises.
"""

import html
import re
from functools import lru_cache

_ATTRIBUTES = r"(?:[^>=]++|=[ \t\r\n\f]*+(?:\"[^\"]*+\"?+|'[^']*+'?+)?+)*+"
_HIDDEN = (
    rf"(?P<hidden>script|style)(?=[ \t\r\n\f/>]){_ATTRIBUTES}"
    rf"(?:>(?:[^<]++|<(?!/(?P=hidden)[ \t\r\n\f/>]))*+(?:</{_ATTRIBUTES}>?+)?+)?+"
)
_TAG = rf"(?P<name>/?+[a-z][^ \t\r\n\f/>]*+){_ATTRIBUTES}>?+"
_COMMENT = r"!--(?:[^-]++|-(?!->))*+(?:-->)?+|[!?/][^>]*+>?+"
_MARKUP = re.compile(f"<(?:{_HIDDEN}|{_TAG}|{_COMMENT})", re.IGNORECASE)
_PARTING = frozenset(
    "address article aside audio blockquote body br button caption center col colgroup dd details dialog dir div dl dt embed "
    "fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe img input legend li "
    "link main map menu meta nav object ol optgroup option output p param picture pre progress search section select source "
    "summary svg table tbody td template textarea tfoot th thead title tr track ul video".split()
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,32}|#x[0-9a-f]{1,32}|[a-z][a-z0-9]{0,31});?", re.IGNORECASE)
_DECLARED = re.compile(rb"<meta[^>]{1,200}?charset[ \t\r\n]*=[ \t\r\n]*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_DECLARED_WITHIN = 1024
"""Octets; WHATWG HTML §4.2.5.4."""


def visible_text(source: str) -> str:
    """Return the text between the tags, with entities resolved."""
    text = _MARKUP.sub(_parting, source) if "<" in source else source
    return _ENTITY.sub(_character, text) if "&" in text else text


CELL_END, ROW_END = "\x1c", "\x1d"
_ROUND_CELL = " \n"


def rows_as_lines(text: str) -> str:
    """Turn table rows into lines with cells separated by tabs.

    Cells and rows end with `CELL_END` and `ROW_END`, their paragraphs with line ends. Where a cell has several lines, its last
    line and the first line of the next cell share a line.
    """
    first, *others = text.split(CELL_END)
    if others:
        text = "\t".join(
            [first.rstrip(_ROUND_CELL), *(cell.strip(_ROUND_CELL) for cell in others[:-1]), others[-1].lstrip(_ROUND_CELL)]
        )
    return text.replace(ROW_END, "\n")


_CELL_ENDS = frozenset({"/td", "/th"})
_INNER = _PARTING - {"td", "th", "tr", "tbody", "thead", "wbr"}
_SPACES = re.compile(r"[ \t\r\n\f\u00a0]+")


def visible_lines(source: str) -> str:
    """Return the visible text by line: a block begins a line, the cells of a row are separated by tabs."""
    text = _SPACES.sub(" ", source)
    if "<" in text:
        text = rows_as_lines(_MARKUP.sub(_breaking, text))
    return _ENTITY.sub(_character, text) if "&" in text else text


def _breaking(tag: re.Match[str]) -> str:
    name = tag["name"]
    if name is None:
        return ""
    name = name.lower()
    if name in _CELL_ENDS:
        return CELL_END
    return ROW_END if name == "/tr" else "\n" if name.lstrip("/") in _INNER else ""


def _parting(tag: re.Match[str]) -> str:
    name = tag["name"]
    return " " if name is not None and name.lstrip("/").lower() in _PARTING else ""


def _character(entity: re.Match[str]) -> str:
    return _read(entity[0])


@lru_cache(maxsize=4096)
def _read(entity: str) -> str:
    return html.unescape(entity)


def declared_charset(raw: bytes) -> str:
    """Return the charset that the page declares, used where no header does; "" if none."""
    found = _DECLARED.search(raw[:_DECLARED_WITHIN])
    return found[1].decode("ascii") if found else ""
