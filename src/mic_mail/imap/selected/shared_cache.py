"""What the sessions of one process share, so that many cost little more than one. Bounded; losing any of it costs time only.

answers    what lists of messages are made of (header fields, envelopes, structures), by folder and item: mail programs ask all
           messages for the same, again and again
dates      the INTERNALDATEs of a folder, and the days of its Date fields, for SEARCH
orders     the orders of a folder's messages, for SORT and THREAD (`orders`)
listings   the folders of an account, for LIST and STATUS, until its change mark moves
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from threading import Lock

from mic_mail.imap.selected.mailbox_view import View
from mic_mail.imap.selected.sort_cache import SortCache
from mic_mail.storage.mailstore import Account
from mic_mail.storage.reads.aligned_column import aligned
from mic_mail.storage.types import FolderInfo

ANSWER_OCTETS = 64 << 20
INSTANT_MESSAGES = 2_000_000
_OVERHEAD_OCTETS = 120  # a dictionary entry, an int and a bytes object
_ITEM_OVERHEAD_OCTETS = 800  # an empty `KeptAnswers`, its key and its place
MAX_ITEM_OCTETS = 512
"""A longer one, of thousands of header fields, is no mail program's: nobody asks for it again."""

FolderKey = tuple[int, int]
"""Account and folder."""


class KeptAnswers(dict[int, bytes]):
    """UID -> the answer to one item in one folder, ready to send; final, as messages are."""

    __slots__ = ("is_dropped", "octets")

    def __init__(self) -> None:
        super().__init__()
        self.octets = 0
        self.is_dropped = False


class AnswerCache:
    """`KeptAnswers` by folder and item, the longest unused dropped first; from any thread."""

    def __init__(self, max_octets: int = ANSWER_OCTETS) -> None:
        self._max_octets = max_octets
        self._octets = 0
        self._lock = Lock()
        self._answers: OrderedDict[tuple[FolderKey, int, bytes], KeptAnswers] = OrderedDict()

    def answers(self, folder: FolderKey, uidvalidity: int, item: bytes) -> KeptAnswers:
        """The answers known for an item; the caller fills in what it lacks and tells `filled`."""
        key = (folder, uidvalidity, item)
        with self._lock:
            answers = self._answers.get(key)
            if answers is not None:
                self._answers.move_to_end(key)
                return answers
            answers = KeptAnswers()
            if len(item) > MAX_ITEM_OCTETS:
                answers.is_dropped = True
                return answers
            self._answers[key] = answers
            self._count(answers, len(item) + _ITEM_OVERHEAD_OCTETS)
            return answers

    def filled(self, answers: KeptAnswers, new: dict[int, bytes]) -> None:
        """Keep new answers; what is too much is dropped, the oldest item first; answers that were dropped meanwhile are of no
        use to others."""
        octets = sum(map(len, new.values())) + _OVERHEAD_OCTETS * len(new)
        with self._lock:
            answers.update(new)
            if answers.is_dropped:
                return
            self._count(answers, octets)

    def _count(self, answers: KeptAnswers, octets: int) -> None:
        answers.octets += octets
        self._octets += octets
        while self._octets > self._max_octets and self._answers:
            _, dropped = self._answers.popitem(last=False)
            self._octets -= dropped.octets
            dropped.is_dropped = True


class Instants:
    """An instant for each message of a folder, in seconds since the epoch: 12 octets a message. From any thread."""

    def __init__(self, max_messages: int = INSTANT_MESSAGES) -> None:
        self._max_messages = max_messages
        self._lock = Lock()
        self._known: OrderedDict[tuple[FolderKey, int], tuple[array[int], array[int]]] = OrderedDict()

    def of(self, view: View, ask: Callable[[Sequence[int]], Mapping[int, int]]) -> Generator[None, None, Sequence[int]]:
        """The instants of all messages of a view, with pauses; `ask` is given UIDs that are not known. A 0 is of a message that
        is gone."""
        key = ((view.account_id, view.folder_id), view.uidvalidity)
        with self._lock:
            uids, instants = self._known.get(key, (array("I"), array("q")))
        if uids is not view.uids:
            uids, instants = view.uids, (yield from aligned(view.uids, uids, instants, ask, missing=0))
        with self._lock:
            self._known[key] = (uids, instants)
            self._known.move_to_end(key)
            while len(self._known) > 1 and sum(len(kept) for kept, _ in self._known.values()) > self._max_messages:
                self._known.popitem(last=False)
        return instants


class Dates:
    """What date keys compare; neither changes while a message is there."""

    __slots__ = ("received", "sent")

    def __init__(self) -> None:
        self.received = Instants()
        self.sent = Instants()
        """The midnight (UTC) of the day that the Date field names."""


LISTED_FOLDERS = 256
"""Of one account: a LIST of them takes some milliseconds of the loop's time."""
ALL_LISTED_FOLDERS = 32_768
"""1 KiB for each at most."""


class Listing:
    """All folders of an account by name, as one person sees them, and what is subscribed to there."""

    __slots__ = ("by_name", "folders", "mark", "subscribed")

    def __init__(self, mark: int, folders: list[FolderInfo], subscribed: set[str]) -> None:
        """`mark` is the account's change mark from before the folders were read: they are so while it stands."""
        self.mark = mark
        self.folders = folders
        self.subscribed = subscribed
        self.by_name = {info.name: info for info in folders}

    @classmethod
    def read(cls, account: Account) -> "Listing":
        """Blocks."""
        return cls(account.change_mark(), *account.listing())


class Listings:
    """Those of accounts that are used, by account and by whose sign-in looks (mailbox), the longest unused dropped first.

    Nobody writes to one. For the loop alone.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int], Listing] = OrderedDict()
        self._folders = 0

    def get(self, key: tuple[int, int]) -> Listing | None:
        """The one that was read last; whether it still is so its `mark` tells."""
        listing = self._known.get(key)
        if listing is not None:
            self._known.move_to_end(key)
        return listing

    def put(self, key: tuple[int, int], listing: Listing) -> None:
        """Keep it, if it is small and can be told from an outdated one."""
        if (before := self._known.pop(key, None)) is not None:
            self._folders -= len(before.folders)
        if listing.mark and len(listing.folders) <= LISTED_FOLDERS:
            self._known[key] = listing
            self._folders += len(listing.folders)
            while self._folders > ALL_LISTED_FOLDERS:
                _, dropped = self._known.popitem(last=False)
                self._folders -= len(dropped.folders)


class SharedCache:
    """One per process."""

    __slots__ = ("answers", "dates", "listings", "orders")

    def __init__(self) -> None:
        self.dates = Dates()
        self.answers = AnswerCache()
        self.orders = SortCache()
        self.listings = Listings()
