"""The mapping of another system's folder to a folder name here (Reg. 10.4). Pure.

The folders that Outlook, Exchange, Zimbra, Gmail, Thunderbird and Dovecot use for sent mail, drafts, junk and trash, in
Vietnamese and English, map to the folder of that use; all others keep their name. Two folders of the source may share
one of ours, and no name leads out of the mailbox: a level is a word, never a path.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from mic_mail.mime.text_folding import fold, words
from mic_mail.storage.canonical_name import canonical
from mic_mail.storage.errors import NameNotAllowed
from mic_mail.storage.types import DEFAULT_FOLDERS, DELIMITER, INBOX

USES: Mapping[str, str] = {
    name: use
    for use, names in {
        "\\Sent": "sent, sent items, sent messages, sent mail, da gui, thu da gui, muc da gui, thu gui",
        "\\Drafts": "drafts, draft, nhap, thu nhap, ban nhap, ban thao",
        "\\Junk": "junk, junk e-mail, junk email, junk mail, spam, bulk mail, thu rac",
        "\\Trash": "trash, bin, deleted, deleted items, deleted messages, thung rac, da xoa, thu da xoa, muc da xoa, thu xoa",
        "\\Archive": "archive, archives, luu tru, kho luu tru, thu luu tru",
    }.items()
    for name in names.split(", ")
}
"""Special uses by the folded name. “Thư rác” (mail) is Junk, “Thùng rác” (bin) is Trash."""
VIRTUAL = frozenset({"\\All", "\\Flagged", "\\Important"})
"""Folders in which Gmail shows messages of other folders once more."""
_GMAIL = frozenset({"[gmail]", "[google mail]"})
_VIRTUAL_AT_GMAIL = frozenset({"all mail", "starred", "important", "tat ca thu", "co gan dau sao", "quan trong"})
_LONGEST_LEVEL = 150
_DEEPEST = 20
_LONGEST = 700


def _folded(name: str) -> str:
    return " ".join(map(fold, words(name)))


def use_of(levels: Sequence[str], stated: str | None) -> str | None:
    """Return the special use of a folder: as given, or by the usual names at the top of a mailbox."""
    if stated is not None:
        return stated
    top = levels[1:] if len(levels) == 2 and _folded(levels[0]) in {*_GMAIL, "inbox"} else levels
    return USES.get(_folded(top[0])) if len(top) == 1 else None


def is_virtual(levels: Sequence[str], stated: str | None) -> bool:
    """Return whether the folder only shows messages of others."""
    if stated is not None:
        return stated in VIRTUAL
    return len(levels) == 2 and _folded(levels[0]) in _GMAIL and _folded(levels[1]) in _VIRTUAL_AT_GMAIL


def target(levels: Sequence[str], stated: str | None, uses: Mapping[str, str], below: str | None = None) -> str:
    """Return the folder's name here.

    `uses`: our folders by special use; `below`: a folder that everything goes under.
    """
    if below is not None:
        return _allowed((*below.split(DELIMITER), *(levels or (INBOX,))))
    if not levels or (len(levels) == 1 and _folded(levels[0]) == "inbox"):
        return INBOX
    use = use_of(levels, stated)
    if use is not None and use in uses:
        return uses[use]
    if use is not None:
        ours = [name for name, its in DEFAULT_FOLDERS.items() if its == use]
        if ours:
            return ours[0]
    if _folded(levels[0]) in _GMAIL and len(levels) > 1:
        levels = levels[1:]
    return _allowed(levels)


def _allowed(levels: Sequence[str]) -> str:
    """Return the same name, as far as a folder here can have it."""
    safe = [_level(level) for level in levels]
    if len(safe) > _DEEPEST:
        safe = [*safe[: _DEEPEST - 1], _short(" - ".join(safe[_DEEPEST - 1 :]))]
    name = DELIMITER.join(safe)
    try:
        return canonical(name, max_octets=_LONGEST, max_depth=_DEEPEST)
    except NameNotAllowed:
        return f"{safe[0][:40].strip()} {_mark(name)}"


def _level(level: str) -> str:
    shown = "".join("_" if _breaks(letter) else letter for letter in unicodedata.normalize("NFC", level))
    return _short(shown.strip() if shown.strip(" .") else "_")  # `..` would be the parent folder for programs that keep files


def _breaks(letter: str) -> bool:
    return letter == DELIMITER or (letter != " " and unicodedata.category(letter)[0] in "CZ")


def _short(level: str) -> str:
    if len(level) <= _LONGEST_LEVEL:
        return level
    return f"{level[: _LONGEST_LEVEL - 9].strip()} {_mark(level)}"


def _mark(name: str) -> str:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
