"""What the sessions of one process share, so that many cost little more than one. Bounded; losing any of it costs time only.

headers    HEADER.FIELDS answers by folder and field set: mail programs ask all messages for the same set, again and again
"""

from collections import OrderedDict
from threading import Lock

HEADER_OCTETS = 64 << 20
_OVERHEAD_OCTETS = 120  # a dictionary entry, an int and a bytes object

FolderKey = tuple[int, int]
"""Account and folder."""


class HeaderAnswers(dict[int, bytes]):
    """UID -> the answer to one field set in one folder, a literal ready to send; final, as messages are."""

    __slots__ = ("octets",)

    def __init__(self) -> None:
        super().__init__()
        self.octets = 0


class HeaderShelf:
    """`HeaderAnswers` by folder and field set, the longest unused dropped first; from any thread."""

    def __init__(self, max_octets: int = HEADER_OCTETS) -> None:
        self._max_octets = max_octets
        self._octets = 0
        self._lock = Lock()
        self._answers: OrderedDict[tuple[FolderKey, int, bytes], HeaderAnswers] = OrderedDict()

    def answers(self, folder: FolderKey, uidvalidity: int, fields: bytes) -> HeaderAnswers:
        """The answers known for a field set; the caller fills in what it lacks and tells `filled`."""
        key = (folder, uidvalidity, fields)
        with self._lock:
            answers = self._answers.setdefault(key, HeaderAnswers())
            self._answers.move_to_end(key)
            return answers

    def filled(self, answers: HeaderAnswers, new: dict[int, bytes]) -> None:
        """Keep new answers; what is too much is dropped, oldest field set first."""
        octets = sum(map(len, new.values())) + _OVERHEAD_OCTETS * len(new)
        with self._lock:
            answers.update(new)
            answers.octets += octets
            self._octets += octets
            while self._octets > self._max_octets and self._answers:
                _, dropped = self._answers.popitem(last=False)
                self._octets -= dropped.octets
                dropped.octets = 0


class Shelf:
    """One per process."""

    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers = HeaderShelf()
