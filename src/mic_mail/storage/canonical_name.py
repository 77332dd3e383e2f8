"""Names of folders, as people and clients see them: `str` in NFC with "/" between the levels.

Pure; refuses with `NameNotAllowed`, never raises anything else.
"""

import unicodedata
from functools import lru_cache

from mic_mail.errors import Text
from mic_mail.storage.errors import NameNotAllowed
from mic_mail.storage.types import DELIMITER, INBOX, is_inbox


@lru_cache(maxsize=4096)
def canonical(name: str, *, max_octets: int, max_depth: int) -> str:
    """Return the one spelling (NFC) of `name`, or raise `NameNotAllowed`."""
    if not name:
        raise _refusal("Tên thư mục trống.", "The folder name is empty.")
    try:
        octets = len(name.encode())
    except UnicodeEncodeError:
        raise _refusal("Tên thư mục không phải Unicode hợp lệ.", "The folder name is not valid Unicode.") from None
    if octets > 4 * max_octets:
        raise _refusal("Tên thư mục quá dài.", "The folder name is too long.")
    name = unicodedata.normalize("NFC", name)
    if len(name.encode()) > max_octets:
        raise _refusal("Tên thư mục quá dài.", "The folder name is too long.")
    levels = name.split(DELIMITER)
    if len(levels) > max_depth:
        raise _refusal("Cây thư mục quá sâu.", "The folder tree is too deep.")
    if not all(levels):
        raise _refusal("Tên thư mục có bậc trống.", "A level of the folder name is empty.")
    if not is_displayable(name):
        raise _refusal("Tên thư mục có ký tự điều khiển.", "The folder name holds control characters.")
    if is_inbox(levels[0]):
        levels[0] = INBOX
    return DELIMITER.join(levels)


_UNSHOWN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def is_displayable(name: str) -> bool:
    """Return whether every character of a name can be shown: U+0000, for example, cannot."""
    return not any(unicodedata.category(character) in _UNSHOWN for character in name)


def _refusal(vi: str, en: str) -> NameNotAllowed:
    return NameNotAllowed(Text(vi, en))
