"""Which folders sessions of this process have open, as far as that spares a publication's listeners something.

A session that has a folder open holds its `OpenFolder`. While one does, who publishes into the folder also says what that made
of it (change_result.py), so that those sessions need not look; and claims the new messages as \\Recent for the first of them
that is told (RFC 3501 §2.3.2), which would be a change of the account by each listening process else. What nobody took goes
with the last session.
"""

from threading import Lock
from weakref import WeakValueDictionary


class OpenFolder:
    """Sessions that have one folder open; safe from any thread."""

    __slots__ = ("__weakref__", "_claimed", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._claimed: list[tuple[int, int]] = []
        """Ranges of UIDs, apart from each other: nobody may take them for as long as the folder is open (NOTIFY)."""

    def claim(self, first: int, last: int) -> None:
        """These UIDs are \\Recent for whoever takes them."""
        with self._lock:
            if self._claimed and self._claimed[-1][1] + 1 == first:
                first, _ = self._claimed.pop()
            self._claimed.append((first, last))

    def take(self) -> tuple[tuple[int, int], ...]:
        """What was claimed for the caller and nobody else."""
        if not self._claimed:
            return ()
        with self._lock:
            taken, self._claimed = self._claimed, []
        return tuple(taken)


class Presences:
    """Of all folders that sessions of this process have open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._present: WeakValueDictionary[tuple[int, int, bool], OpenFolder] = WeakValueDictionary()

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        """To be held while the folder is open; `claims`: by a session to which new messages can be \\Recent."""
        with self._lock:
            presence = self._present.get((account_id, folder_id, claims))
            if presence is None:
                presence = self._present[account_id, folder_id, claims] = OpenFolder()
            return presence

    def claimant(self, account_id: int, folder_id: int) -> OpenFolder | None:
        """Of sessions to which new messages can be \\Recent, if there is one."""
        with self._lock:
            return self._present.get((account_id, folder_id, True))

    def is_open(self, account_id: int, folder_id: int) -> bool:
        """Whether any session has the folder open."""
        with self._lock:
            return any((account_id, folder_id, claims) in self._present for claims in (True, False))
