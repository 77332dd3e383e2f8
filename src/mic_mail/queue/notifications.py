"""Notifications about the queue among the processes: a new entry, or an administrator's decision.

A notification may be lost; the process that sends polls the queue anyway. While no such process runs, the supervisor gets it
and starts one (`process.demand`).
"""

from collections.abc import Callable
from pathlib import Path

from mic_mail.process.change_feed import Feed, send_word

ANNOUNCEMENT = b"queue "
"""The beginning of the broadcasts."""


class QueueNotifications:
    """One process's end of the channel."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._listeners: list[Callable[[str], None]] = []
        feed.listen(self._on_message)

    def listen(self, callback: Callable[[str], None]) -> None:
        """Register `callback(entry_id)`, called on the loop whichever process sends the notification."""
        self._listeners.append(callback)

    def notify(self, entry_id: str) -> None:
        """Notify this process and the others; on the loop."""
        self._feed.send(ANNOUNCEMENT + entry_id.encode())
        self._call(entry_id)

    def _on_message(self, word: bytes) -> None:
        if word.startswith(ANNOUNCEMENT):
            self._call(word.removeprefix(ANNOUNCEMENT).decode("ascii", "replace"))

    def _call(self, entry_id: str) -> None:
        for listener in self._listeners:
            listener(entry_id)


def notify_decided(run_dir: Path, entry_id: str = "") -> None:
    """Notify the process that sends, if one runs, of a command's decision on an entry; empty: on many."""
    send_word(run_dir, ANNOUNCEMENT + entry_id.encode())
