"""Readers of one account who each have their own \\Seen, and what they have read."""

from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import SEEN
from store_harness import REF, inbox

CNTT, BE, LAN = "cntt@mic.gov.vn", "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
PERSONS = (CNTT, BE, LAN)


def seen_by(store: LocalMailStore, person: str | None, folder: str = "INBOX") -> set[int]:
    """UIDs; also that the counters agree, and that who looks anew finds the same."""
    account = store.account(REF, person)
    info = account.folder(folder)
    view = account.view(info.folder_id)
    found = {uid for uid, flags in zip(view.uids, view.flags, strict=True) if flags & SEEN}
    assert info.unseen == view.info.unseen == len(view.uids) - len(found)
    assert info.highest_modseq == view.info.highest_modseq >= max(view.modseqs, default=0)
    assert next(each for each in account.folders() if each.name == folder) == info
    return found


def read(store: LocalMailStore, person: str, *uids: int, operation: str = "+", flags: int = SEEN) -> int:
    account = store.account(REF, person)
    return account.store_flags(inbox(account), uids, operation, flags).modseq
