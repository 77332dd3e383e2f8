"""Following the directory and other processes: what this process has to notice that it did not do itself.

The feed asks each `poll_seconds`, and at every hint, for the MODSEQ of the accounts that are watched here and for the
directory's version; a new version is a new snapshot.
"""

import contextlib
from collections.abc import Mapping, Sequence

from mic_mail.app.rooms import Rooms
from mic_mail.storage.types import AccountRef


def follow_the_directory(rooms: Rooms) -> None:
    """Watched accounts and the directory's version are asked for each `poll_seconds`, and at every hint."""

    def modseqs(refs: Sequence[AccountRef]) -> dict[int, int]:
        found = {}
        for ref in refs:
            with contextlib.suppress(Exception):  # what cannot be read now is asked for again in two seconds
                account = rooms.store.account(ref)
                account.look_for_foreign()
                found[ref.account_id] = account.highest_modseq()
        return found

    async def probe(account_ids: Sequence[int]) -> Mapping[int, int]:
        snapshot = rooms.access.snapshot
        entries = filter(None, map(snapshot.entry, account_ids))
        return await rooms.lanes.io(modseqs, [AccountRef(entry.mailbox_id, entry.home) for entry in entries])

    def refresh(version: int) -> None:
        rooms.spawn(rooms.access.refresh())

    async def version() -> int:
        return await rooms.lanes.io(rooms.directory.version)

    rooms.feed.watch_directory(refresh)
    rooms.feed.start(probe, version)
