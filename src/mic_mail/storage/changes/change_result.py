"""What a change made of the folder that its client has open, from the change itself.

Whoever knew the folder as it was just before, as most sessions that change something do, learns all that happened from what
the change wrote: a second look would ask the index for the same in five statements, by a connection that has to read every
page anew that the first one wrote.

In: a change that is committed, and what it did to the messages of one folder, all of it. Out: `ChangeResult`, or None where
somebody has to look: the state before is not at hand, or each reader sees another one (seen.py).
"""

from collections.abc import Sequence

from mic_mail.storage.changes.transaction import Write
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.view_cache import with_changes
from mic_mail.storage.types import ChangeResult, Changes, Row

MANY_MESSAGES = 50_000
"""Where a folder has more, the arrays that are copied take longer than a delivery, and a look takes in several of those."""


def change_result(
    write: Write, folder: FolderRow, *, changed: Sequence[Row] = (), vanished: Sequence[int] = (), asked: bool = True
) -> ChangeResult | None:
    """`changed`: (uid, flags, modseq, size), new messages included; both ascending by UID.

    Not `asked`: nobody waits for it, but sessions that hear of the change may be glad of it.
    """
    if not asked and folder.messages > MANY_MESSAGES:
        return None
    shared, account_id, since = write.store.shared, write.store.account_id, write.modseq_before(folder)
    if write.account.seen_each:
        return None
    known = shared.views.get(account_id, folder.folder_id)
    if known is None or known.info.highest_modseq != since or since < folder.expunge_floor:
        return None
    info = folder.info(subscribed=known.info.subscribed, has_children=known.info.has_children)
    told = list(changed), list(vanished)
    fresh = known
    if info != known.info or changed or vanished:
        fresh = with_changes(known, info, *told)
        shared.views.put(account_id, folder.folder_id, fresh, after=known, changed=told[0], vanished=told[1])
    shared.views.confirm_current(account_id, folder.folder_id, fresh, write.account.modseq, write.mark)
    changes = Changes(info.highest_modseq, info.keywords, *told, complete=True)
    return ChangeResult(write.account.modseq, since, fresh, changes, write.mark)
