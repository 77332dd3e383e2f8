"""A message on its way into an account: its staged content, and what is published with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mic_mail.mime.imap_structure import Answers


class StagedContent(Protocol):
    """The content of an incoming message, which nobody sees before it is published."""

    @property
    def size(self) -> int: ...

    @property
    def base(self) -> str:
        """The part of its name that it keeps for ever."""
        ...

    @property
    def path(self) -> str:
        """A path by which this process can read what is complete; nothing is renamed or removed by it."""
        ...

    def write(self, octets: bytes | bytearray | memoryview) -> None: ...

    def append_rest(self, source: int, offset: int) -> None:
        """Append the open file `source` from `offset` on."""
        ...

    def finish(self) -> None:
        """Complete the content, and make it durable where that is not done by its publication."""
        ...

    def finish_later(self) -> None:
        """Complete the content without making it durable; `finish` may still follow."""
        ...

    def discard(self) -> None:
        """Drop what is not published; harmless after publication and when called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to publish: its finished content, its initial flags and the index's answers about it."""

    staged: StagedContent
    answers: Answers | Callable[[], Answers]
    """The answers, or a function that makes them while the journal writes; it must not fail."""
    flags: int = 0
    keywords: tuple[str, ...] = ()
    received_at_us: int | None = None
    """INTERNALDATE; None means now."""
    origin: str | None = None
    """Idempotency key: a second delivery with the same key returns the first and stores nothing."""
    octets: bytes | None = None
    """The content of a complete but unfinished file.

    Publication makes it durable, by the journal if the journal takes it.
    """


class Arrival(Protocol):
    """A delivery, and the numbers and the name that it gets."""

    @property
    def delivery(self) -> Delivery: ...

    @property
    def email_pk(self) -> int: ...

    @property
    def name(self) -> str: ...
