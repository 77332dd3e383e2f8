"""REPLACE in the store (RFC 8508): one message comes and one goes, in one change; the quota sees only the difference."""

import pytest

from mic_mail.storage.errors import NoSuchFolder, NoSuchMessage, OverQuota
from store_harness import Root, deliver, exchange, inbox, message, observe


def test_both_happen_under_one_modseq(root: Root) -> None:
    """New UID, other EMAILID (RFC 8508 §4.6); the old one is a tombstone that can be brought back; one notice to observers."""
    [old] = root.use(lambda account: deliver(account, inbox(account), ["old"], flags=8))
    before = root.use(lambda account: account.highest_modseq())
    root.changes.clear()
    published = root.use(lambda account: exchange(account, inbox(account), old, inbox(account), "new", flags=16))
    changes = root.use(lambda account: account.changes(inbox(account), before))
    assert changes.changed == [(published.uid, 16, published.modseq, len(message("new")))]
    assert changes.vanished == [old]
    assert changes.highest_modseq == published.modseq == before + 1
    assert root.changes == [(7, published.modseq)]
    [grave] = root.use(lambda account: account.tombstones())
    assert grave.uid == old
    assert grave.email_id != published.email_id
    assert root.use(lambda account: account.undelete(uids=[old])) == 1
    assert root.use(lambda account: account.repair(check=True)).clean


def test_what_is_gone_is_replaced_by_nothing(root: Root) -> None:
    """Expunged meanwhile, or its folder deleted: the new message is not stored, and its file is nobody's."""
    root.use(lambda account: account.create("A"))
    [uid] = root.use(lambda account: deliver(account, account.folder("A").folder_id, ["a"]))
    folder_id = root.use(lambda account: account.folder("A").folder_id)
    root.use(lambda account: account.remove(folder_id, [uid]))
    with pytest.raises(NoSuchMessage):
        root.use(lambda account: exchange(account, folder_id, uid, inbox(account), "new"))
    root.use(lambda account: account.delete("A"))
    with pytest.raises(NoSuchFolder):
        root.use(lambda account: exchange(account, folder_id, uid, inbox(account), "new"))
    with pytest.raises(NoSuchFolder):
        root.use(lambda account: exchange(account, inbox(account), uid, folder_id, "new"))
    assert not root.use(observe)["INBOX"].messages


def test_the_quota_sees_the_difference(root: Root) -> None:
    """RFC 8508 §3.4: a full mailbox takes what is not larger, also one that is fuller than it may be, and nothing that is."""
    [uid] = root.use(lambda account: deliver(account, inbox(account), ["aaaa"]))
    size = len(message("aaaa"))
    with pytest.raises(OverQuota):
        root.use(lambda account: exchange(account, inbox(account), uid, inbox(account), "longer", limit_octets=size))
    published = root.use(lambda account: exchange(account, inbox(account), uid, inbox(account), "bbbb", limit_octets=size))
    root.use(lambda account: exchange(account, inbox(account), published.uid, inbox(account), "c", limit_octets=10))
    assert root.use(lambda account: account.quota()).octets == len(message("c"))
    assert root.use(lambda account: account.repair(check=True)).clean


def test_the_index_can_be_made_anew_after_it(root: Root) -> None:
    """UIDs, flags and what is expunged are as they were."""
    [old] = root.use(lambda account: deliver(account, inbox(account), ["old"]))
    root.use(lambda account: exchange(account, inbox(account), old, account.folder("Sent").folder_id, "new", flags=8))
    before = root.use(observe)
    root.lose_index()
    assert {name: seen.messages for name, seen in root.use(observe).items()} == {
        name: seen.messages for name, seen in before.items()
    }
    assert [grave.uid for grave in root.use(lambda account: account.tombstones())] == [old]
