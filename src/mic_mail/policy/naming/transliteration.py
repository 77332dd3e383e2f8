"""Names of people and units as words of letters that an address can hold: a-z and 0-9.

In: a name as typed, in any Unicode form. Out: plain words, or `UnusableName`. Nothing is guessed: a name whose letters come
from an old encoding (TCVN3, VNI read as Latin) is refused, because stripping its accents would give a wrong address without
anybody noticing. Vietnamese letters follow the server's own rule; foreign letters that it leaves non-ASCII (ø, ł, ß, æ) are
transliterated, and a word that becomes several by that is refused.
"""

import re
import sys
from unicodedata import category, combining, normalize

from unidecode import unidecode

from mic_mail.errors import BadInput, Text
from mic_mail.i18n.invisible_chars import UNSEEN

LONGEST_EXCERPT = 200
"""In characters."""
MAX_NAME = 200
"""The most characters of a name.

The longest unit's name has about a hundred, and the directory's column ends soon after.
"""


class UnusableName(BadInput):
    """No address can be made from this name."""


# đ and Đ do not decompose; Ð and ð (Icelandic, U+00D0 and U+00F0) are typed for them by mistake.
_STROKES = str.maketrans({"đ": "d", "Đ": "D", "Ð": "D", "ð": "d"})
_INNER_SIGNS = str.maketrans("", "", "'’‘ʼ-‐‑")
"""Signs inside a word that an address omits: H'Hen, K'Sor, Jean-Pierre."""


def plain(text: str) -> str:
    """Return `text` in lower case without diacritics (Reg. 5.1, 5.3).

    đ becomes d before marks are stripped.
    """
    decomposed = normalize("NFD", text.translate(_STROKES))
    return normalize("NFC", "".join(c for c in decomposed if not combining(c))).lower()


def folded(name: str) -> str:
    """Return a name as names are compared: regardless of case, blanks and the form of Unicode."""
    return " ".join(normalize("NFC", name).casefold().split())


_UNSEEN = re.compile(f"[{UNSEEN}]+")
_ENDING = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of characters that end a line or control a terminal."""


def one_line(text: str) -> str:
    """Return a text as lists and letters show it, on one line with single blanks.

    Characters that end a line or control a terminal become blanks. Invisible characters are removed, since a list would show
    another name than the real one. U+200B, which web pages use to separate words, becomes a blank.
    """
    shown = text if text.isascii() else _UNSEEN.sub("", text.replace("\u200b", " "))
    if not shown.isprintable():
        shown = "".join(" " if category(c) in _ENDING else c for c in shown if category(c) != "Cf")
    return " ".join(shown.split())


def excerpt(text: str) -> str:
    """Return text written by an unauthenticated sender, a subject above all, for use in notices and lists.

    The result is one line of at most `LONGEST_EXCERPT` characters, in which nothing can pass for the server's own words.
    """
    line = one_line(text[: 4 * LONGEST_EXCERPT])
    return line if len(line) <= LONGEST_EXCERPT else f"{line[: LONGEST_EXCERPT - 3]}..."


def tidy(name: str) -> str:
    """Return the name of a person, unit or group as it is stored: NFC, one line.

    `UnusableName` for an empty or too long name.
    """
    kept = one_line(normalize("NFC", name))
    if not kept:
        raise UnusableName(Text("Tên để trống.", "The name is empty."))
    if len(kept) > MAX_NAME:
        raise UnusableName(
            Text(f"Tên dài {len(kept)} ký tự, tối đa {MAX_NAME}.", f"The name has {len(kept)} characters; at most {MAX_NAME}.")
        )
    return kept


def words(name: str) -> list[str]:
    """Return the words of a person's or group's name as plain letters."""
    found: list[str] = []
    for word in normalize("NFC", name).split():
        letters = word.translate(_INNER_SIGNS)
        if not letters:
            continue
        if _damaged(letters):
            raise UnusableName(
                Text(
                    f"Họ tên “{name}” bị lỗi bảng mã (TCVN3 hoặc VNI); đề nghị nhập lại bằng Unicode.",
                    "The name is damaged by an old encoding (TCVN3 or VNI); type it again in Unicode.",
                ),
                clause="13.1",
            )
        bare = "".join(c if c.isascii() else unidecode(c) for c in plain(letters)).lower()
        if not (bare.isascii() and bare.isalpha() and all(c.isalpha() or combining(c) for c in letters)):
            raise UnusableName(
                Text(
                    f"“{word}” trong họ tên “{name}” không phải là chữ.",
                    "The name has a word with characters that are not letters.",
                ),
                clause="5.3",
            )
        found.append(bare)
    if not found:
        raise UnusableName(Text("Họ tên để trống.", "The name is empty."), clause="5.3")
    return found


# ------------------------------------------------------------ order in lists

_ALPHABET = {letter: place for place, letter in enumerate("aăâbcdđeêfghijklmnoôơpqrstuưvwxyz")}
_SHAPES = {"\u0302", "\u0306", "\u031b"}  # of â ê ô, of ă, of ơ ư: they make another letter, a tone does not
_TONE_ORDER = {tone: place for place, tone in enumerate(("\u0300", "\u0309", "\u0303", "\u0301", "\u0323"), start=1)}

Place = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def alphabetical(text: str) -> Place:
    """Return the sort key of `text` in the Vietnamese alphabet, word by word.

    d, đ, e; then the tones ngang, huyền, hỏi, ngã, sắc, nặng.
    """
    return tuple(_place(word) for word in normalize("NFC", text).casefold().split())


def by_given_name(full_name: str) -> tuple[Place, Place]:
    """Return a person's sort key: by the given name, which comes last, then by the names before it."""
    placed = alphabetical(full_name)
    return placed[-1:], placed[:-1]


def _place(word: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sort key of a word: its letters, then its tones.

    Tones count only between words of the same letters.
    """
    letters, tones = [], []
    for char in word.replace("ð", "đ"):
        marks = normalize("NFD", char)
        letter = normalize("NFC", marks[0] + "".join(mark for mark in marks[1:] if mark in _SHAPES))
        letters.append(_ALPHABET.get(letter, ord(letter[0]) + (len(_ALPHABET) if letter.isalpha() else -sys.maxunicode)))
        tones.append(next((_TONE_ORDER[mark] for mark in marks if mark in _TONE_ORDER), 0))
    return tuple(letters), tuple(tones)


# ------------------------------------------------------------ old encodings

# TCVN3 puts each accented letter on one octet above 0x7F; read as Latin-1 these octets show as the keys here.
_TCVN3 = dict(
    zip(
        "¸µ¶·¹¨¾»¼½Æ©ÊÇÈÉËÐÌÎÏÑªÕÒÓÔÖÝ×ØÜÞãßáâä«èåæçé¬íêëìîóïñòô\u00adøõö÷ùýúûüþ®§",
        "áàảãạăắằẳẵặâấầẩẫậéèẻẽẹêếềểễệíìỉĩịóòỏõọôốồổỗộơớờởỡợúùủũụưứừửữựýỳỷỹỵđĐ",
        strict=True,
    )
)
# VNI writes the accent as a letter of its own after the vowel: the five tones, and the six of â and of ă.
_TONES = ("\u0301", "\u0300", "\u0309", "\u0303", "\u0323")
_VNI_MARKS = dict(
    zip(
        "ùøûõïâáàåãäêéèúüë",
        (*_TONES, *("\u0302" + tone for tone in ("", *_TONES)), *("\u0306" + tone for tone in ("", *_TONES))),
        strict=True,
    )
)
_VNI_LETTERS = {"ñ": "đ", "Ñ": "Đ", "ô": "ơ", "ö": "ư", "æ": "ỉ", "ó": "ĩ", "ò": "ị", "î": "ỵ"}

_NO_TONES = str.maketrans("", "", "".join(_TONES))
_SYLLABLE = re.compile(
    "(?:ngh|ng|nh|ch|gh|gi|kh|ph|qu|th|tr|[bcdđghklmnprstvx])?"
    "(?:iêu|yêu|oai|oay|oao|oeo|uây|uôi|uya|uyê|uyu|ươi|ươu"
    "|ai|ao|au|ay|âu|ây|eo|êu|ia|iê|iu|oa|oă|oe|oi|ôi|ơi|ua|uâ|uê|ui|uô|uơ|uy|ưa|ưi|ươ|ưu|yê"
    "|[aăâeêioôơuưy])"
    "(?:ch|ng|nh|[cmnpt])?"
)


def _damaged(word: str) -> bool:
    """Return whether `word` is no Vietnamese syllable as it stands, but is one when read as TCVN3 or VNI."""
    signs = [c for c in word if category(c) not in {"Lu", "Ll", "Lt", "Mn"} or c == "µ"]
    if signs:  # ª, º, ¹, ¨, © and the like: letters in the old encodings, signs in Unicode; others are no letters anywhere
        return any(c in _TCVN3 for c in signs)
    if word.isascii() or _is_syllable(word):
        return False
    return _is_syllable("".join(_TCVN3.get(c, c) for c in word)) or _is_syllable(_from_vni(word))


def _is_syllable(word: str) -> bool:
    bare = normalize("NFC", normalize("NFD", word.lower()).translate(_NO_TONES))
    return _SYLLABLE.fullmatch(bare) is not None


def _from_vni(word: str) -> str:
    read: list[str] = []
    for char in word:
        mark = _VNI_MARKS.get(char.lower())
        if mark is not None and read and plain(read[-1])[:1] in set("aeiouy"):
            read.append(mark)
        else:
            read.append(_VNI_LETTERS.get(char, char))
    return normalize("NFC", "".join(read))
