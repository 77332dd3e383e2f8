"""Convert header text to and from encoded words and charsets.

In: octets of a header value. Out: str in NFC (`decode_text`), or ASCII octets (`encode_words`). RFC 2047, RFC 6532 (raw
UTF-8). Never raises. It copes with thirty years of Vietnamese mail: raw UTF-8 and windows-1258, VISCII (RFC 1456) and TCVN
5712 declared or not, encoded words cut in the middle of a character, spaces inside words.
"""

import binascii
import codecs
import encodings
import pkgutil
import re
import sys
import unicodedata
from collections.abc import Iterator
from encodings.aliases import aliases
from functools import lru_cache
from typing import Literal

from mic_mail.mime.encodings import decode
from mic_mail.mime.headers import unfold

FALLBACK = "cp1258"
"""Charset of 8-bit text that is neither UTF-8 nor labelled: in Vietnam, the Windows code page."""

_WORD = re.compile(rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_NOT_TEXT = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem", "utf_7"})
"""Python codecs that are not charsets of mail, slow on hostile input, or (UTF-7) a way past filters."""

_ALIASES = {
    "x-viet-viscii": "viscii",
    "csviscii": "viscii",
    "tcvn3": "tcvn",
    "tcvn-5712": "tcvn",
    "tcvn5712-1": "tcvn",
    "x-viet-tcvn": "tcvn",
    "x-viet-tcvn5712": "tcvn",
    "x-windows-1258": "cp1258",
    "iso-8859-8-i": "iso-8859-8",
    "x-unknown": FALLBACK,
    "unknown-8bit": FALLBACK,
    **dict.fromkeys(("iso-10646-ucs-2", "ucs-2", "csunicode", "unicode-1-1"), "utf-16-be"),  # RFC 1641
    **dict.fromkeys(("iso-10646-ucs-4", "ucs-4", "csucs4"), "utf-32-be"),
    "unicode": "utf-16",
    "gb2312": "gb18030",
    "ks_c_5601-1987": "cp949",
    "iso-8859-1": "cp1252",
    "us-ascii": "ascii",
    "ansi_x3.4-1968": "ascii",
}


def _single_octet(low: dict[int, str], high: str) -> str:
    return "".join(low.get(octet, chr(octet)) for octet in range(128)) + high


_TABLES = {
    "viscii": _single_octet(
        {2: "Ẳ", 5: "Ẵ", 6: "Ẫ", 20: "Ỷ", 25: "Ỹ", 30: "Ỵ"},
        "ẠẮẰẶẤẦẨẬẼẸẾỀỂỄỆỐỒỔỖỘỢỚỜỞỊỎỌỈỦŨỤỲÕắằặấầẩậẽẹếềểễệốồổỗỠƠộờởịỰỨỪỬơớƯÀÁÂÃẢĂẳẵÈÉÊẺÌÍĨỳĐứÒÓÔạỷừửÙÚỹỵÝỡưàáâãảăữẫèéêẻìíĩỉđựòóôõỏọụùúũủýợỮ",
    ),
    "tcvn": _single_octet(
        {1: "Ú", 2: "Ụ", 4: "Ừ", 5: "Ử", 6: "Ữ", 17: "Ứ", 18: "Ự", 19: "Ỳ", 20: "Ỷ", 21: "Ỹ", 22: "Ý", 23: "Ỵ"},
        "ÀẢÃÁẠẶẬÈẺẼÉẸỆÌỈĨÍỊÒỎÕÓỌỘỜỞỠỚỢÙỦŨ\u00a0ĂÂÊÔƠƯĐăâêôơưđẰ\u0300\u0309\u0303\u0301\u0323"
        "àảãáạẲằẳẵắẴẮẦẨẪẤỀặầẩẫấậèỂẻẽéẹềểễếệìỉỄẾỒĩíịòỔỏõóọồổỗốộờởỡớợùỖủũúụừửữứựỳỷỹýỵỐ",
    ),
}  # fmt: skip


_CODECS = frozenset({*aliases, *aliases.values(), *(module.name for module in pkgutil.iter_modules(encodings.__path__))})
"""All codec names of Python, which would keep in memory every other name it is asked for."""


@lru_cache(maxsize=256)
def _codec(charset: str) -> str | None:
    """Return the codec to decode with, or None for an unknown charset."""
    name = charset.strip(" \t\"'").lower()
    name = _ALIASES.get(name, name)
    if name in _TABLES:
        return name
    spelt = encodings.normalize_encoding(name)
    if spelt not in _CODECS and spelt.replace(".", "_") not in _CODECS:
        return None
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError, TypeError, UnicodeError):
        return None
    known = found.name.replace("-", "_")
    return None if known in _NOT_TEXT or not getattr(found, "_is_text_encoding", True) else found.name


def is_utf8(charset: str) -> bool | None:
    """Return whether `decode_as_written` always decodes this charset as UTF-8; None where the octets decide."""
    name = _codec(charset) if charset else None
    return None if name in (None, "ascii") else name == "utf-8"


@lru_cache(maxsize=64)
def single_octets(charset: str) -> str | None:
    """Return the 256 characters of a charset of single octets that contains ASCII; None for any other charset."""
    name = _codec(charset) or ""
    table = _TABLES.get(name)
    if table is None:
        table = getattr(sys.modules.get(f"encodings.{name.replace('-', '_')}"), "decoding_table", None)
    return table if table is not None and len(table) == 256 and table.startswith(_ASCII, 0x20) and table[10] == "\n" else None


def decode_octets(raw: bytes, charset: str = "") -> str:
    """Decode octets to text in NFC; invalid octets become U+FFFD, an unknown charset is guessed."""
    return compose_letters(decode_as_written(raw, charset))


def decode_as_written(raw: bytes, charset: str = "") -> str:
    """Decode without composing letters and their marks, for callers that compose only some texts."""
    if raw.isascii() and (not charset or charset.lower() in ("utf-8", "us-ascii", "iso-8859-1", "windows-1258")):
        return raw.decode("ascii")
    name = _codec(charset) if charset else None
    if name in (None, "ascii", "utf-8"):
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            # A truncated character is no reason to take UTF-8 for a code page.
            name = "utf-8" if name == "utf-8" or _is_nearly_utf8(raw) else FALLBACK
    assert name is not None
    if name in _TABLES:
        return codecs.charmap_decode(raw, "strict", _TABLES[name])[0]
    try:
        return raw.decode(name, "replace")
    except (UnicodeError, LookupError, ValueError):
        return raw.decode("latin-1")


_8BIT = bytes(range(0x80, 0x100))
_ASCII = bytes(range(0x20, 0x7F)).decode("ascii")
_LIKE_ASCII = frozenset({None, "ascii", "utf-8", "cp1252", "cp1258"})
"""Charsets in which ASCII octets always mean themselves; None (undeclared) is guessed among them."""


def decode_beginning_as_written(raw: bytes, charset: str = "") -> str:
    """Return the beginning of `decode_as_written` for any octets that begin with `raw`; "" where uncertain.

    A caller that needs one line need not decode a page. Works for UTF-8, ASCII and charsets that contain it.
    """
    raw = raw.rstrip(_8BIT)[:-1]  # up to an ASCII octet: the text before it is whole, and does not compose with what follows
    name = _codec(charset) if charset else None
    if raw.isascii():
        return raw.decode("ascii") if name in _LIKE_ASCII else ""
    if name != "utf-8":
        return ""
    return raw.decode("utf-8", "replace")


_BLOCK = 256


def compose_letters(text: str) -> str:
    """Return text in NFC, in time linear in its length.

    `unicodedata.normalize` sorts runs of combining marks by insertion: 120,000 of them take 40 seconds. So long text is
    composed block by block, cut at spaces, or before a letter where there are none.
    """
    return _in_blocks("NFC", text)


def decompose_letters(text: str) -> str:
    """Return text in NFD, in time linear in its length."""
    return _in_blocks("NFD", text)


def _in_blocks(form: Literal["NFC", "NFD"], text: str) -> str:
    if len(text) <= _BLOCK or text.isascii():
        return unicodedata.normalize(form, text)
    blocks: list[str] = []
    start = 0
    while start < len(text):
        end = _end_of_block(text, start)
        blocks.append(unicodedata.normalize(form, text[start:end]))
        start = end
    return "".join(blocks)


def _end_of_block(text: str, start: int) -> int:
    end = start + _BLOCK
    if end >= len(text):
        return len(text)
    space = text.rfind(" ", start + 1, end)
    if space > 0:
        return space
    last = min(end + 32, len(text))
    for at in range(end, last):
        if not unicodedata.combining(text[at]):
            return at
    return last


def _is_nearly_utf8(raw: bytes) -> bool:
    """Return whether it is UTF-8 except for a character cut in two at either end."""
    text = raw.decode("utf-8", "replace")
    return text.strip("\ufffd").count("\ufffd") == 0 and not text.strip("\ufffd").isascii()


def decode_text(value: bytes) -> str:
    """Decode an unstructured value, or a phrase: encoded words decoded, raw octets as UTF-8."""
    value = unfold(value)
    if b"=?" not in value:
        return decode_octets(value)
    text = "".join([decode_octets(raw, charset) for raw, charset in _runs(value)])
    return compose_letters(text)  # a letter in one word, its mark in the next


def _runs(value: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield octets and their charset, adjacent words in one charset as one run.

    A character cut between two words is whole again in a run.
    """
    pos = 0
    held: list[bytes] = []
    held_charset = ""
    for match in _WORD.finditer(value):
        between = value[pos : match.start()]
        is_apart = pos == 0 or bool(between.strip(b" \t"))
        charset = match[1].partition(b"*")[0].decode("ascii", "replace").lower()  # RFC 2231 §5: a language may follow
        if held and (is_apart or charset != held_charset):
            yield b"".join(held), held_charset
            held = []
        if is_apart:
            yield between, ""
        held.append(_open_word(match[2], match[3]))
        held_charset = charset
        pos = match.end()
    if held:
        yield b"".join(held), held_charset
    yield value[pos:], ""


def _open_word(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(text, header=True)
    return decode(text, "base64")


# --- the other way ----------------------------------------------------------------------------------------------------

_WORD_OCTETS = 75  # RFC 2047 §2
_PLAIN_IN_Q = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""Characters allowed unencoded in a word of a phrase, the strictest place (RFC 2047 §5 (3))."""


def encode_words(text: str, *, always: bool = False, first: int = _WORD_OCTETS) -> bytes:
    """Return text as encoded words in UTF-8, separated by single spaces.

    ASCII text that cannot be mistaken for them stays unchanged, unless `always`. `first` is the space for the first word.
    """
    if not always and text.isascii() and "=?" not in text and text.isprintable():
        return text.encode("ascii")
    octets = text.encode("utf-8", "replace")
    plain = sum(octet in _PLAIN_IN_Q or octet == 0x20 for octet in octets)
    quoted = plain + 3 * (len(octets) - plain) <= 4 * ((len(octets) + 2) // 3)
    room = first - len("=?utf-8?q??=")
    words: list[bytes] = []
    piece = b""
    for character in text:
        encoded = character.encode("utf-8", "replace")
        cost = len(_to_q(piece + encoded)) if quoted else (len(piece) + len(encoded) + 2) // 3 * 4
        if cost > room and piece:
            words.append(_make_word(piece, quoted=quoted))
            piece = b""
            room = _WORD_OCTETS - len("=?utf-8?q??=")
        piece += encoded
    words.append(_make_word(piece, quoted=quoted))
    return b" ".join(words)


def _make_word(piece: bytes, *, quoted: bool) -> bytes:
    if quoted:
        return b"=?utf-8?q?" + _to_q(piece) + b"?="
    return b"=?utf-8?b?" + binascii.b2a_base64(piece, newline=False) + b"?="


_Q = {octet: b"%c" % octet if octet in _PLAIN_IN_Q else b"_" if octet == 0x20 else b"=%02X" % octet for octet in range(256)}


def _to_q(octets: bytes) -> bytes:
    return b"".join([_Q[octet] for octet in octets])
