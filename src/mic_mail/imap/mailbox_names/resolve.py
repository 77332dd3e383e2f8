"""Where the name of a mailbox leads: into the own account, or below `Shared/` into that of a unit or group (RFC 2342).

In: a name as clients write it, and what the person may use. Out: a `Place`: account, name in that account, rights. Pure.

    Shared/cntt            the INBOX of cntt@
    Shared/cntt/Sent       its folder Sent
    Shared/cntt/INBOX/x    its folder INBOX/x; Shared/cntt/INBOX itself is no name, so that every folder has one
    Shared/cntt@else.vn    the INBOX of a unit at another domain than the server's own

Below `Shared/` nothing personal can be made. Personal folders that lie there already keep their names, and have a `~` behind
the second level where a unit's mailbox has that name: `Shared/cntt~/old`. Who holds nothing of a unit's mailbox is answered as
if it did not exist (RFC 4314 §6).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from mic_mail.errors import Refused, Text
from mic_mail.imap.mailbox_names.acl_rights import OWNER, NoPermission
from mic_mail.services.authentication.shared_mailboxes import ROOT, Shared, shared_folder
from mic_mail.storage.errors import Frozen, NameNotAllowed, NoSuchFolder
from mic_mail.storage.types import DELIMITER, INBOX, AccountRef, FolderInfo, is_inbox

PREFIX = ROOT + DELIMITER
_ASIDE = "~"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, existing or not, as somebody may use it."""

    name: str
    """In its account."""
    box: Shared | None = None
    """None: in the own account."""
    withheld: str = ""
    """Rights that nobody holds there now, the mailbox itself included (Reg. 12.3.d)."""

    @property
    def account(self) -> AccountRef | None:
        """Whose store; None: the own one."""
        return None if self.box is None else self.box.account

    @property
    def rights(self) -> str:
        held = OWNER if self.box is None else self.box.rights
        return "".join(letter for letter in held if letter not in self.withheld) if self.withheld else held

    @property
    def is_creatable(self) -> bool:
        """Whether CREATE would be allowed here."""
        return "k" in self.rights and (self.box is not None or self.name.partition(DELIMITER)[0] != ROOT)

    def need(self, letters: str) -> None:
        """`NoPermission` unless all of these rights are held, `Frozen` where nobody holds them now; to whom cannot see the
        mailbox it does not exist."""
        if all(letter in self.rights for letter in letters):
            return
        if "l" not in self.rights:  # under the name that was asked for: the words are those of one that is not there
            raise NoSuchFolder(self.name if self.box is None else name_in_box(self.box, self.name))
        raise self.lacks(letters)

    def lacks(self, letters: str) -> Refused:
        """Why these rights are not held by who sees the mailbox."""
        return Frozen() if set(letters) & set(self.withheld) else NoPermission()


def find(name: str, boxes: Mapping[str, Shared]) -> Place:
    """Where `name` leads; `NoSuchFolder` for the two spellings that are nobody's (`Shared/cntt/INBOX`, `Shared/cntt/`)."""
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


def find_new(name: str, boxes: Mapping[str, Shared]) -> Place:
    """The same for a folder that is to be made: nothing personal is made below `Shared/`, nor in its place."""
    place = find(name, boxes)
    if place.box is None and not place.is_creatable:
        raise NameNotAllowed(
            Text(
                f"Tên “{ROOT}” dành cho hộp thư đơn vị và nhóm.",
                f'The name "{ROOT}" is kept for mailboxes of units and groups.',
            )
        )
    return place


def name_in_box(box: Shared, name: str) -> str:
    """What the folder `name` of a unit's or group's account is called; the other way round of `find`."""
    return shared_folder(box.name, name)


def own_name(name: str, boxes: Mapping[str, Shared]) -> str:
    """What the folder `name` of the own account is called."""
    if not boxes or not name.startswith(PREFIX):
        return name
    second, _, below = name.removeprefix(PREFIX).partition(DELIMITER)
    return _joined(ROOT, second + _ASIDE, below) if second.rstrip(_ASIDE) in boxes else name


def client_name(place: Place, boxes: Mapping[str, Shared]) -> str:
    """What the folder at `place` is called."""
    return own_name(place.name, boxes) if place.box is None else name_in_box(place.box, place.name)


def own_folders(folders: Iterable[FolderInfo], boxes: Mapping[str, Shared]) -> list[FolderInfo]:
    """The own folders under the names that clients see."""
    if not boxes:
        return list(folders)
    return [
        folder if (name := own_name(folder.name, boxes)) == folder.name else folder._replace(name=name) for folder in folders
    ]


def box_folders(folders: Iterable[FolderInfo], box: Shared) -> list[FolderInfo]:
    """The folders of a unit's or group's account.

    What they are used for is not told: a mail program would take the unit's Sent or Trash for its person's own.
    """
    return [folder._replace(name=name_in_box(box, folder.name), special_use=None) for folder in folders]


def leads_nowhere(name: str, folders: Collection[str], boxes: Mapping[str, Shared]) -> bool:
    """Whether a subscribed name lies below `Shared/` and leads to nothing that there is or that may be seen now."""
    if not name.startswith(PREFIX) or name in folders:
        return False
    box = find_box(name, boxes)
    return box is None or "l" not in box.rights


def find_box(name: str, boxes: Mapping[str, Shared]) -> Shared | None:
    """The unit's or group's mailbox that a name lies in."""
    return boxes.get(name.removeprefix(PREFIX).partition(DELIMITER)[0]) if name.startswith(PREFIX) else None


def _joined(*levels: str) -> str:
    return DELIMITER.join(level for level in levels if level)
