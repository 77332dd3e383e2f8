"""Word of the queue among the processes: that there is a new entry, or that somebody has decided something of one.

A word may be lost; whoever sends looks at the queue every few seconds all the same.
"""

from collections.abc import Callable
from pathlib import Path

from mic_mail.process.change_feed import Feed, send_word

_WORD = b"queue "


class QueueNotifications:
    """One process's end."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._listeners: list[Callable[[str], None]] = []
        feed.listen(self._on_message)

    def listen(self, callback: Callable[[str], None]) -> None:
        """Call `callback(entry_id)` on the loop, whichever process tells."""
        self._listeners.append(callback)

    def notify(self, entry_id: str) -> None:
        """Here and to the others; on the loop."""
        self._feed.send(_WORD + entry_id.encode())
        self._call(entry_id)

    def _on_message(self, word: bytes) -> None:
        if word.startswith(_WORD):
            self._call(word.removeprefix(_WORD).decode("ascii", "replace"))

    def _call(self, entry_id: str) -> None:
        for listener in self._listeners:
            listener(entry_id)


def notify_decided(run_dir: Path, entry_id: str = "") -> None:
    """A command has decided something of an entry (empty: of many): let whoever sends know at once. Without a server nothing
    happens."""
    send_word(run_dir, _WORD + entry_id.encode())
