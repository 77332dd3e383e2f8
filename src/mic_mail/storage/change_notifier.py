"""Notices of changes to the observers of a process."""

import contextlib
import threading
from collections.abc import Iterator

from mic_mail.storage.store import OnChange


class ChangeNotifier:
    """Notifies of each durable change in the thread that made it, at once or together."""

    def __init__(self, tell: OnChange) -> None:
        self._tell = tell
        self._here = threading.local()

    def changed(self, account_id: int, modseq: int) -> None:
        noted: list[tuple[int, int]] | None = getattr(self._here, "noted", None)
        if noted is not None:
            noted.append((account_id, modseq))
        held: dict[int, int] | None = getattr(self._here, "held", None)
        if held is None:
            self._tell(account_id, modseq)
        else:
            held[account_id] = modseq

    @contextlib.contextmanager
    def recording_modseqs(self) -> Iterator[list[tuple[int, int]]]:
        noted: list[tuple[int, int]] = []
        self._here.noted = noted
        try:
            yield noted
        finally:
            self._here.noted = None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        held = self._here.held = {}
        try:
            yield
        finally:
            self._here.held = None
            for account_id, modseq in held.items():
                self._tell(account_id, modseq)
