"""Resolves mailbox names: to the own account, or below `Shared/` to a unit's or group's (RFC 2342).

In: a name as clients write it, and the shared mailboxes that the person may use. Out: a `Place`: account, name in that
account, rights. Pure.

    Shared/cntt            the INBOX of cntt@
    Shared/cntt/Sent       its folder Sent
    Shared/cntt/INBOX/x    its folder INBOX/x; Shared/cntt/INBOX itself is not a name, so that every folder has exactly one
    Shared/cntt@else.vn    the INBOX of a unit at another domain than the server's own

Personal folders cannot be created below `Shared/`. Existing ones there keep their names, with a `~` after the second level
where a unit's mailbox has that name: `Shared/cntt~/old`. For a person without rights in a unit's mailbox it does not exist
(RFC 4314 §6).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mic_mail.errors import Refused, Text
from mic_mail.imap.mailbox_names.acl_rights import OWNER, NoPermission
from mic_mail.services.authentication.shared_mailboxes import ROOT, SharedMailbox, shared_folder
from mic_mail.storage.errors import Frozen, NameNotAllowed, NoSuchFolder
from mic_mail.storage.types import DELIMITER, INBOX, AccountRef, FolderInfo, is_inbox

PREFIX = ROOT + DELIMITER
_ASIDE = "~"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, existing or not, as a person may use it."""

    name: str
    """The name in its account."""
    box: SharedMailbox | None = None
    """The shared mailbox; None: in the own account."""
    withheld: str = ""
    """Rights that nobody holds there now, not even the mailbox itself (Reg. 12.3.d)."""

    @property
    def account(self) -> AccountRef | None:
        """The account of its store; None: the own one."""
        return None if self.box is None else self.box.account

    @property
    def rights(self) -> str:
        held = OWNER if self.box is None else self.box.rights
        return "".join(letter for letter in held if letter not in self.withheld) if self.withheld else held

    @property
    def is_creatable(self) -> bool:
        """True if CREATE would be allowed here."""
        return "k" in self.rights and (self.box is not None or self.name.partition(DELIMITER)[0] != ROOT)

    def need(self, letters: str) -> None:
        """Raise `NoPermission` unless all of these rights are held, or `Frozen` if nobody holds them now.

        Raises `NoSuchFolder` for a person who may not see the mailbox.
        """
        if all(letter in self.rights for letter in letters):
            return
        if "l" not in self.rights:  # under the requested name: the same text as for a mailbox that does not exist
            raise NoSuchFolder(self.name if self.box is None else name_in_box(self.box, self.name))
        raise self.lacks(letters)

    def lacks(self, letters: str) -> Refused:
        """Return the reason why a person who sees the mailbox lacks these rights."""
        return Frozen() if set(letters) & set(self.withheld) else NoPermission()


def find(name: str, boxes: Mapping[str, SharedMailbox]) -> Place:
    """Return the place of `name`.

    `NoSuchFolder` for the two spellings that name no folder (`Shared/cntt/INBOX`, `Shared/cntt/`).
    """
    root, _, rest = name.partition(DELIMITER)
    if root != ROOT or not rest:
        return Place(name)
    second, _, below = rest.partition(DELIMITER)
    box = boxes.get(second)
    if box is not None:
        if is_inbox(below) or rest == f"{second}{DELIMITER}":
            raise NoSuchFolder(name)
        return Place(below or INBOX, box)
    if second.endswith(_ASIDE) and second.rstrip(_ASIDE) in boxes:
        return Place(_joined(ROOT, second[: -len(_ASIDE)], below))
    return Place(name)


def find_new(name: str, boxes: Mapping[str, SharedMailbox]) -> Place:
    """Return the place of a folder to create; nothing personal is created at or below `Shared/`."""
    place = find(name, boxes)
    if place.box is None and not place.is_creatable:
        raise NameNotAllowed(
            Text(
                f"Tên “{ROOT}” dành cho hộp thư đơn vị và nhóm.",
                f'The name "{ROOT}" is reserved for unit and group mailboxes.',
            )
        )
    return place


def name_in_box(box: SharedMailbox, name: str) -> str:
    """Return the client's name of a folder in a unit's or group's account; the inverse of `find`."""
    return shared_folder(box.name, name)


def own_name(name: str, boxes: Mapping[str, SharedMailbox]) -> str:
    if not boxes or not name.startswith(PREFIX):
        return name
    second, _, below = name.removeprefix(PREFIX).partition(DELIMITER)
    return _joined(ROOT, second + _ASIDE, below) if second.rstrip(_ASIDE) in boxes else name


def client_name(place: Place, boxes: Mapping[str, SharedMailbox]) -> str:
    return own_name(place.name, boxes) if place.box is None else name_in_box(place.box, place.name)


def own_folders(folders: Iterable[FolderInfo], boxes: Mapping[str, SharedMailbox]) -> list[FolderInfo]:
    """Return the own folders under the names that clients see."""
    if not boxes:
        return list(folders)
    return [
        folder if (name := own_name(folder.name, boxes)) == folder.name else folder._replace(name=name) for folder in folders
    ]


def box_folders(folders: Iterable[FolderInfo], box: SharedMailbox) -> list[FolderInfo]:
    """Return the folders of a unit's or group's account under the names that clients see.

    Their special uses are left out: a mail program would take the unit's Sent or Trash for its person's own.
    """
    return [folder._replace(name=name_in_box(box, folder.name), special_use=None) for folder in folders]


def leads_nowhere(name: str, folders: Collection[str], boxes: Mapping[str, SharedMailbox]) -> bool:
    """Return whether a subscribed name lies below `Shared/` and does not exist or may not be seen now."""
    if not name.startswith(PREFIX) or name in folders:
        return False
    box = find_box(name, boxes)
    return box is None or "l" not in box.rights


def find_box(name: str, boxes: Mapping[str, SharedMailbox]) -> SharedMailbox | None:
    return boxes.get(name.removeprefix(PREFIX).partition(DELIMITER)[0]) if name.startswith(PREFIX) else None


def _joined(*levels: str) -> str:
    return DELIMITER.join(level for level in levels if level)
