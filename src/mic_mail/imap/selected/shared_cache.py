"""Caches shared by the sessions of one process. Bounded; losing an entry only costs time.

answers    items of message lists (header fields, envelopes, structures), by folder and item: mail programs request the same
           items of all messages again and again
paths      where the files of messages lay, which were read whole or stand beside one that was
dates      the INTERNALDATEs of a folder, and the days of its Date fields, for SEARCH
orders     the sort orders of a folder's messages, for SORT and THREAD (`folder_order`)
listings   the folders of an account, for LIST and STATUS, until its change mark moves
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from threading import Lock

from mic_mail.imap.selected.folder_order import FolderOrder
from mic_mail.imap.selected.mailbox_view import View
from mic_mail.storage.index.answer_rows import FolderKey
from mic_mail.storage.mailstore import Account
from mic_mail.storage.reads.aligned_column import aligned
from mic_mail.storage.types import FolderInfo
from mic_mail.weighted_cache import WeightedCache

ANSWER_OCTETS = 64 << 20
INSTANT_MESSAGES = 2_000_000
ORDER_OCTETS = 64 << 20
PATHS = 16_384
"""Most paths of message files; each takes about 300 octets."""
_OVERHEAD_OCTETS = 120  # a dictionary entry, an int and a bytes object
_ITEM_OVERHEAD_OCTETS = 800  # an empty `CachedAnswers`, its key and its place
MAX_ITEM_OCTETS = 512
"""Longest cached item name; a longer one, with thousands of header fields, is not requested again."""


class CachedAnswers(dict[int, bytes]):
    """UID -> the answer to one item in one folder, ready to send; final, as messages are."""

    __slots__ = ("is_dropped", "octets")

    def __init__(self) -> None:
        super().__init__()
        self.octets = 0
        self.is_dropped = False


class AnswerCache:
    """`CachedAnswers` by folder and item, least recently used dropped first; thread-safe."""

    # No `WeightedCache`: an entry grows while it is cached, the bound holds for a single entry, too, and who holds an entry has
    # to learn that it was dropped.

    def __init__(self, max_octets: int = ANSWER_OCTETS) -> None:
        self._max_octets = max_octets
        self._octets = 0
        self._lock = Lock()
        self._answers: OrderedDict[tuple[FolderKey, bytes], CachedAnswers] = OrderedDict()

    def answers(self, folder: FolderKey, item: bytes) -> CachedAnswers:
        """Return the known answers for an item; the caller adds what is missing by `filled`."""
        key = (folder, item)
        with self._lock:
            answers = self._answers.get(key)
            if answers is not None:
                self._answers.move_to_end(key)
                return answers
            answers = CachedAnswers()
            if len(item) > MAX_ITEM_OCTETS:
                answers.is_dropped = True
                return answers
            self._answers[key] = answers
            self._count(answers, len(item) + _ITEM_OVERHEAD_OCTETS)
            return answers

    def filled(self, answers: CachedAnswers, new: dict[int, bytes]) -> None:
        """Add new answers; items beyond the bound are dropped, the least recently used first.

        Answers of an item that was dropped meanwhile are not shared.
        """
        octets = sum(map(len, new.values())) + _OVERHEAD_OCTETS * len(new)
        with self._lock:
            answers.update(new)
            if answers.is_dropped:
                return
            self._count(answers, octets)

    def _count(self, answers: CachedAnswers, octets: int) -> None:
        answers.octets += octets
        self._octets += octets
        while self._octets > self._max_octets and self._answers:
            _, dropped = self._answers.popitem(last=False)
            self._octets -= dropped.octets
            dropped.is_dropped = True


class Instants:
    """One instant per message of a folder, in seconds since the epoch: 12 octets a message; thread-safe."""

    def __init__(self, max_messages: int = INSTANT_MESSAGES) -> None:
        self._known: WeightedCache[FolderKey, tuple[array[int], array[int]]] = WeightedCache(max_messages)

    def of(self, view: View, ask: Callable[[Sequence[int]], Mapping[int, int]]) -> Generator[None, None, Sequence[int]]:
        """Return the instants of all messages of a view, with pauses.

        `ask` is called with unknown UIDs. 0 stands for a message that is gone.
        """
        uids, instants = self._known.get(view.key) or (array("I"), array("q"))
        if uids is not view.uids:
            uids, instants = view.uids, (yield from aligned(view.uids, uids, instants, ask, missing=0))
            self._known.put(view.key, (uids, instants), len(uids))
        return instants


class Dates:
    """Dates that search keys compare; they do not change while a message exists."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = Instants()
        self.sent = Instants()
        """Midnight (UTC) of the day in the Date field."""


LISTED_FOLDERS = 256
"""Most folders of a cached account: a LIST of them takes some milliseconds of the loop's time."""
ALL_LISTED_FOLDERS = 32_768
"""Most cached folders of all accounts, at most 1 KiB each."""


class Listing:
    """All folders of an account by name, as one person sees them, and the subscribed names."""

    __slots__ = ("by_name", "folders", "mark", "subscribed")

    def __init__(self, mark: int, folders: list[FolderInfo], subscribed: set[str]) -> None:
        """`mark`: the account's change mark from before the read; the listing is valid while it is unchanged."""
        self.mark = mark
        self.folders = folders
        self.subscribed = subscribed
        self.by_name = {info.name: info for info in folders}

    @classmethod
    def read(cls, account: Account) -> "Listing":
        """Read the listing of an account. Blocks."""
        return cls(account.change_mark(), *account.listing())


class Listings:
    """Listings by account and by the mailbox of the signed-in person, least recently used dropped first.

    Listings are not modified.
    """

    def __init__(self) -> None:
        self._known: WeightedCache[tuple[int, int], Listing] = WeightedCache(ALL_LISTED_FOLDERS)

    def get(self, key: tuple[int, int]) -> Listing | None:
        """Return the last listing; its `mark` shows whether it is still valid."""
        return self._known.get(key)

    def put(self, key: tuple[int, int], listing: Listing) -> None:
        """Cache a listing if it is small and has a change mark."""
        if listing.mark and len(listing.folders) <= LISTED_FOLDERS:
            self._known.put(key, listing, len(listing.folders))
        else:
            self._known.drop(key)


class SharedCache:
    """The shared caches of one process."""

    __slots__ = ("answers", "dates", "listings", "orders", "paths")

    def __init__(self) -> None:
        self.dates = Dates()
        self.answers = AnswerCache()
        self.paths: WeightedCache[tuple[FolderKey, int], str] = WeightedCache(PATHS)
        """Paths of message files by folder and UID; hints, since names follow flags."""
        self.orders: WeightedCache[FolderKey, FolderOrder] = WeightedCache(ORDER_OCTETS)
        self.listings = Listings()
