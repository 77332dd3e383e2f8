"""The folders that sessions of this process have open, to spare those sessions queries.

A session that has a folder open holds its `OpenFolder`. Meanwhile a publication into the folder also computes its effect
(change_result.py), so that those sessions need not query. It also claims the new messages as \\Recent for the first of them
that is notified (RFC 3501 §2.3.2); otherwise each listening process would have to change the account for that. Claims that no
session took are dropped with the last session.
"""

from threading import Lock
from weakref import WeakValueDictionary


class OpenFolder:
    """Sessions that have one folder open; safe from any thread."""

    __slots__ = ("__weakref__", "_claimed", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._claimed: list[tuple[int, int]] = []
        """Ranges of UIDs; they may stay untaken for as long as the folder is open (NOTIFY).

        A publication that fails leaves its range, so two may overlap.
        """

    def claim(self, first: int, last: int) -> None:
        """Claim these UIDs as \\Recent for the next caller of `take`."""
        with self._lock:
            if self._claimed and self._claimed[-1][1] + 1 == first:
                first, _ = self._claimed.pop()
            self._claimed.append((first, last))

    def take(self) -> tuple[tuple[int, int], ...]:
        """Return the UIDs claimed for the caller alone, and remove them."""
        if not self._claimed:
            return ()
        with self._lock:
            taken, self._claimed = self._claimed, []
        return tuple(taken)


class Presences:
    """All folders that sessions of this process have open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._present: WeakValueDictionary[tuple[int, int, bool], OpenFolder] = WeakValueDictionary()

    def enter(self, account_id: int, folder_id: int, *, claims: bool) -> OpenFolder:
        """Register a session, which holds the result; `claims`: new messages can be \\Recent for it."""
        with self._lock:
            presence = self._present.get((account_id, folder_id, claims))
            if presence is None:
                presence = self._present[account_id, folder_id, claims] = OpenFolder()
            return presence

    def claimant(self, account_id: int, folder_id: int) -> OpenFolder | None:
        """Return the open folder of sessions to which new messages can be \\Recent, if there is one."""
        with self._lock:
            return self._present.get((account_id, folder_id, True))

    def is_open(self, account_id: int, folder_id: int) -> bool:
        """Return whether any session has the folder open."""
        with self._lock:
            return any((account_id, folder_id, claims) in self._present for claims in (True, False))
