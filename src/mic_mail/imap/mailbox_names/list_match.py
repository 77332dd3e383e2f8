"""Selection and attributes of the folders in LIST, LSUB and XLIST.

RFC 9051 §6.3.9, RFC 5258, RFC 3501 §6.3.9, RFC 6154. In: an account's folders, its subscriptions, one query. Out: the lines
to send as `ListedFolder` values, INBOX first, parents before children. Parents that were not created but have children appear
as `\\NonExistent` (`\\Noselect` in the basic forms, which lack that attribute). The time to match a pattern is bounded by the
length of name and pattern, whatever its wildcards. Pure.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from mic_mail.imap.parser.mailbox import List
from mic_mail.storage.types import DELIMITER, INBOX, at_and_above, is_inbox

_XLIST_NAMES = {"\\Junk": "\\Spam", "\\Flagged": "\\Starred", "\\All": "\\AllMail"}


class Folder(Protocol):
    """The data of a folder that LIST needs, as in the store's FolderInfo.

    `selectable` is false for a name that exists only through its children.
    """

    @property
    def name(self) -> str: ...
    @property
    def special_use(self) -> str | None: ...
    @property
    def selectable(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ListedFolder:
    """One line of a LIST response.

    `folder` is the folder itself, for its STATUS, if it can be selected and the line is not there for its children alone.
    """

    name: str
    attributes: tuple[str, ...]
    child_info: tuple[str, ...] = ()
    folder: Folder | None = None


# ------------------------------------------------------------------ patterns


class Pattern:
    """A mailbox pattern: `*` matches anything, `%` anything within one level.

    All positions reached in the pattern are tracked in parallel (bits of an integer), without backtracking: `*%*%*%...` costs
    no more than letters do.
    """

    def __init__(self, text: str) -> None:
        # INBOX is case-insensitive (RFC 9051 §5.1), so it is folded where nothing else can be meant.
        if is_inbox(text[:5]) and (len(text) == 5 or text[5] in f"{DELIMITER}*%"):
            text = INBOX + text[5:]
        signs = _without_runs(text)
        self._literal = text if "*" not in text and "%" not in text else None
        self._everything = signs == "*"
        self._least = sum(sign not in "*%" for sign in signs)
        self._places: dict[str, int] = {}
        self._stars = self._percents = 0
        for i, sign in enumerate(signs):
            if sign == "*":
                self._stars |= 1 << i
            elif sign == "%":
                self._percents |= 1 << i
            else:
                self._places[sign] = self._places.get(sign, 0) | 1 << i
        self._goal = 1 << len(signs)

    def matches(self, name: str) -> bool:
        if self._everything:
            return True
        if self._literal is not None:
            return name == self._literal
        if self._least > len(name):
            return False
        wild = self._stars | self._percents
        reached = self._settle(1, wild)
        for letter in name:
            staying = self._stars if letter == DELIMITER else wild
            reached = self._settle(((reached & self._places.get(letter, 0)) << 1) | (reached & staying), wild)
            if not reached:
                return False
        return bool(reached & self._goal)

    @staticmethod
    def _settle(reached: int, wild: int) -> int:
        """Let wildcards match nothing; two never stand side by side."""
        return reached | (reached & wild) << 1


def _without_runs(text: str) -> str:
    """Collapse adjacent wildcards: `*` absorbs its neighbours, and `%%` is `%`."""
    result: list[str] = []
    for sign in text:
        if sign in "*%" and result and result[-1] in "*%":
            if sign == "*":
                result[-1] = "*"
        else:
            result.append(sign)
    return "".join(result)


# ------------------------------------------------------------------ selection


class NameTree:
    """An account's names: folders, their implied parents, and subscriptions."""

    def __init__(self, folders: Iterable[Folder], subscribed: Collection[str]) -> None:
        self.folders = {folder.name: folder for folder in folders}
        self.subscribed = frozenset(subscribed)
        self.existing = set(self.folders)
        for name in self.folders:
            self.existing.update(self.parents(name))
        self.parents_of_folders = {parent for name in self.folders for parent in self.parents(name)}

    def parents(self, name: str) -> Iterable[str]:
        """Return the names above `name`, nearest first."""
        return islice(at_and_above(name), 1, None)

    def ordered(self, names: Iterable[str]) -> list[str]:
        """Sort names with INBOX first, then level by level, so that a parent comes before its children."""
        return sorted(names, key=lambda name: (name != INBOX, name.split(DELIMITER)))

    def selectable(self, name: str) -> Folder | None:
        folder = self.folders.get(name)
        return folder if folder is not None and folder.selectable else None

    def child_attribute(self, name: str) -> str:
        """Return \\HasChildren or \\HasNoChildren (RFC 5258 §4)."""
        return "\\HasChildren" if name in self.parents_of_folders else "\\HasNoChildren"

    def special_use(self, name: str) -> str | None:
        """Return the folder's special-use attribute (RFC 6154), if any."""
        folder = self.folders.get(name)
        return None if folder is None else folder.special_use


def list_folders(query: List, folders: Iterable[Folder], subscribed: Collection[str]) -> list[ListedFolder]:
    if not query.extended and query.patterns == ("",):
        # RFC 9051 §6.3.9: an empty pattern asks for the delimiter and the root of the reference; names here have no root.
        return [ListedFolder(DELIMITER if query.reference.startswith(DELIMITER) else "", ("\\Noselect",))]
    tree = NameTree(folders, subscribed)
    # RFC 9051 §6.3.9: in the extended form an empty pattern matches nothing, whatever the reference.
    patterns = [Pattern(query.reference + pattern) for pattern in query.patterns if pattern]
    selected = _selected(query, tree)
    names = tree.existing | selected | {parent for name in selected for parent in tree.parents(name)}
    matching = {name for name in names if any(pattern.matches(name) for pattern in patterns)}
    shown = matching & selected
    child_info = _child_info(query, tree, selected, matching)
    wants_subscribed = "SUBSCRIBED" in query.returns or "SUBSCRIBED" in query.selection
    lines = []
    for name in tree.ordered(shown | child_info.keys()):
        attributes = _attributes(tree, name, "\\NonExistent" if query.extended else "\\Noselect")
        if wants_subscribed and name in tree.subscribed:
            attributes.append("\\Subscribed")
        itself = tree.selectable(name) if name in shown else None  # RFC 5819 §2: not for a line shown for its children
        lines.append(ListedFolder(name, tuple(attributes), child_info.get(name, ()), itself))
    return lines


def describe(name: str, folders: Iterable[Folder], subscribed: Collection[str]) -> ListedFolder:
    """Return the line of one mailbox with all its attributes (RFC 9051 §6.3.2: they MUST be accurate)."""
    return described(NameTree(folders, subscribed), name)


def described(tree: NameTree, name: str, *, gone: bool = False) -> ListedFolder:
    """Return the line of a name from an existing tree; `gone`: as a nonexistent mailbox."""
    attributes = _attributes(tree, name, "\\NonExistent")
    if gone and attributes[0] != "\\NonExistent":
        attributes.insert(0, "\\NonExistent")
    if name in tree.subscribed:
        attributes.append("\\Subscribed")
    return ListedFolder(name, tuple(attributes))


def _selected(query: List, tree: NameTree) -> set[str]:
    """Return the names that meet the selection options, regardless of patterns.

    REMOTE adds nothing, as no mailbox is remote.
    """
    selected = set(tree.existing)
    if "SUBSCRIBED" in query.selection:
        selected = set(tree.subscribed)  # RFC 5258 §3.1: also names that do not exist
    if "SPECIAL-USE" in query.selection:
        selected = {name for name in selected if tree.special_use(name)}
    return selected


def _child_info(query: List, tree: NameTree, selected: set[str], matching: set[str]) -> dict[str, tuple[str, ...]]:
    """Return CHILDINFO for RECURSIVEMATCH (RFC 5258 §3.5).

    A selected name reports all selected descendants. Any other name is shown only for descendants that the patterns do not
    show (§3.3, rule 2.B).
    """
    if "RECURSIVEMATCH" not in query.selection:
        return {}
    criteria = tuple(sorted(query.selection - {"RECURSIVEMATCH", "REMOTE"}))
    above_selected = {parent for name in selected for parent in tree.parents(name)}
    above_hidden = {parent for name in selected - matching for parent in tree.parents(name)}
    return {name: criteria for name in matching if name in (above_selected if name in selected else above_hidden)}


def _attributes(tree: NameTree, name: str, nonexistent: str) -> list[str]:
    folder = tree.folders.get(name)
    attributes = []
    if name not in tree.folders or (folder is not None and not folder.selectable):
        attributes.append(nonexistent)
    attributes.append(tree.child_attribute(name))
    special_use = tree.special_use(name)
    if special_use:
        attributes.append(special_use)  # also in the basic forms: Outlook looks for it there
    return attributes


def lsub_folders(query: List, folders: Iterable[Folder], subscribed: Collection[str]) -> list[ListedFolder]:
    """Return the LSUB response: subscribed names (RFC 3501 §6.3.9).

    With `%`, also parents of such names, as `\\Noselect`.
    """
    if query.patterns == ("",):
        return [ListedFolder("", ("\\Noselect",))]
    tree = NameTree(folders, subscribed)
    pattern = Pattern(query.reference + query.patterns[0])
    shown = {name for name in tree.subscribed if pattern.matches(name)}
    hidden = tree.subscribed - shown
    parents = {parent for name in hidden for parent in tree.parents(name) if pattern.matches(parent)} - tree.subscribed
    lines = []
    for name in tree.ordered(shown | parents):
        attributes = [] if name in shown and tree.selectable(name) else ["\\Noselect"]
        special_use = tree.special_use(name)
        if special_use:
            attributes.append(special_use)  # Outlook 2013 looks for it here
        lines.append(ListedFolder(name, tuple(attributes)))
    return lines


def xlist_folders(query: List, folders: Iterable[Folder]) -> list[ListedFolder]:
    """Return the XLIST response: as LIST, with the old names of special uses and `\\Inbox`."""
    return [ListedFolder(line.name, _in_old_words(line)) for line in list_folders(query, folders, ())]


def _in_old_words(line: ListedFolder) -> tuple[str, ...]:
    words = [_XLIST_NAMES.get(word, word) for word in line.attributes]
    return tuple([*words, "\\Inbox"] if line.name == INBOX else words)
