"""REPLACE (RFC 8508): publish a new message and expunge an old one in one critical section.

States and orders are those of publish.py and expunge.py in one change: one record, one COMMIT, one MODSEQ. A kill before the
COMMIT leaves the old message and no new one, after it the new one and a tombstone. The new file is durable (and its folder
fsynced) before the change is acknowledged, and the expunged message can be restored like any other.
"""

from mic_mail.storage.changes.expunge import read_messages, tombstone_files
from mic_mail.storage.changes.publish import check_quota, publish_within
from mic_mail.storage.delivery import Delivery
from mic_mail.storage.errors import NoSuchMessage, SpecialUseRefused
from mic_mail.storage.store import Store
from mic_mail.storage.types import Published


def exchange(  # noqa: PLR0917 - the parameters of REPLACE, as callers name them in order
    store: Store,
    person: str | None,
    folder_id: int,
    uid: int,
    target_id: int,
    delivery: Delivery,
    *,
    limit_octets: int | None = None,
    unless_use: str | None = None,
) -> Published:
    """Publish the finished `delivery` in the target and expunge message `uid` of the folder: REPLACE.

    The message is expunged whatever its flags. The two folders may be the same. Raises `NoSuchMessage` if the message
    is gone. Only the growth of the mailbox counts against the quota (RFC 8508 §3.4).
    """
    with store.writing(folder_id, adds=True) as write:
        source, target = write.folder(folder_id), write.folder(target_id)
        if unless_use is not None and target.special_use == unless_use:
            raise SpecialUseRefused
        going = read_messages(write, folder_id, [uid])
        if not going:
            raise NoSuchMessage(folder_id, uid)
        check_quota(write, max(0, delivery.staged.size - going[0].size), limit_octets)
        [published] = publish_within(write, target, [delivery], person=person)
        tombstone_files(write, source, going)
    return published
