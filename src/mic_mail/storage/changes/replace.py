"""REPLACE (RFC 8508): a new message is published and an old one expunged in one critical section, and nothing comes between.

States and orders are those of publish.py and expunge.py in one change: one record, one COMMIT, one MODSEQ. A kill before the
COMMIT leaves the old message and no new one, after it the new one and a tombstone; the file of the new one is durable (and its
folder fsynced) before the change is acknowledged, and what is expunged can be brought back like any other.
"""

from mic_mail.storage.changes.expunge import read_messages, tombstone_files
from mic_mail.storage.changes.publish import check_quota, publish_within
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.store import Store
from mic_mail.storage.types import Delivery, Published


def exchange(
    store: Store,
    folder_id: int,
    uid: int,
    target_id: int,
    delivery: Delivery,
    *,
    limit_octets: int | None,
    person: str | None = None,
) -> Published:
    """Publish `delivery` in the target and expunge the message `uid` of the folder, which may be the same, whatever its flags.

    `NoSuchMessage` if that is gone. Only what the mailbox grows by counts against the quota (RFC 8508 §3.4).
    """
    with writing(store, folder_id, adds=True) as write:
        source, target = write.folder(folder_id), write.folder(target_id)
        going = read_messages(write, folder_id, [uid])
        if not going:
            raise NoSuchMessage(folder_id, uid)
        check_quota(write, max(0, delivery.staged.size - going[0].size), limit_octets)
        [published] = publish_within(write, target, [delivery], person=person)
        tombstone_files(write, source, going)
    return published
