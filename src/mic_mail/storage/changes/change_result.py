"""The effect of a change on the folder that its client has open, computed from the change itself.

A session that knew the folder as it was just before, as most sessions that change something do, learns from the change all that
happened. Querying again would ask the index for the same in five statements, over a connection that must reread every page that
the first one wrote.

In: a committed change, and all that it did to the messages of one folder. Out: `ChangeResult`, or None where the folder must be
queried: the state before is not in memory, or each reader sees another one (seen.py).
"""

from collections.abc import Sequence

from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.view_cache import leads_to, with_changes
from mic_mail.storage.store import Write
from mic_mail.storage.types import ChangeResult, Changes, Row

MANY_MESSAGES = 50_000
"""Above this size, copying the arrays takes longer than a delivery.

A query takes in several deliveries at a time.
"""


def change_result(
    write: Write, folder: FolderRow, *, changed: Sequence[Row] = (), vanished: Sequence[int] = (), asked: bool = True
) -> ChangeResult | None:
    """Return the effect of a change, or None where the folder must be queried.

    `changed`: (uid, flags, modseq, size), new messages included; both lists ascending by UID. Not `asked`: no caller waits for
    the result, but sessions that are notified of the change can use it.
    """
    if not asked and folder.messages > MANY_MESSAGES:
        return None
    shared, account_id, since = write.store.shared, write.store.account_id, write.modseq_before(folder)
    if write.account.seen_each:
        return None
    known = shared.views.get(account_id, folder.folder_id)
    if known is None or known.info.highest_modseq != since or not leads_to(known, folder):
        return None
    info = folder.info()
    difference = list(changed), list(vanished)
    fresh = known
    if info != known.info or changed or vanished:
        fresh = with_changes(known, info, *difference)
        shared.views.put(account_id, folder.folder_id, fresh, after=known, changed=difference[0], vanished=difference[1])
    shared.views.confirm_current(folder, fresh, write.account.modseq, write.mark)
    changes = Changes(info.highest_modseq, info.keywords, *difference, complete=True)
    return ChangeResult(write.account.modseq, since, fresh, changes, write.mark)
