"""Digests of the messages already in a mailbox, to tell them from those still missing. Sets no flag."""

from hashlib import sha256

from mic_mail.services.importers.content import StagedMessage
from mic_mail.services.importers.ledger import Ledger
from mic_mail.services.importers.source import CHUNK_OCTETS
from mic_mail.storage.errors import NoSuchMessage
from mic_mail.storage.mailstore import Account
from mic_mail.storage.types import FolderInfo


class Unclaimed:
    """The messages of a local folder that no import of this source brought; they may be the source's."""

    def __init__(self, account: Account, info: FolderInfo, ledger: Ledger) -> None:
        self._account = account
        self._folder_id = info.folder_id
        claimed = {
            entry.uid
            for entry in ledger.entries()
            if entry.mailbox == info.mailbox_id and entry.uidvalidity == info.uidvalidity
        }
        self._by_size: dict[int, list[int]] = {}
        if info.messages:
            view = account.view(info.folder_id)
            for uid, size in zip(view.uids, view.sizes, strict=True):
                if uid not in claimed:
                    self._by_size.setdefault(size, []).append(uid)
        self._digests: dict[int, bytes | None] = {}

    def claim(self, incoming: StagedMessage) -> int | None:
        """Claim a message with the same octets and return its UID; nothing else can claim it afterwards."""
        candidates = self._by_size.get(incoming.staged.size, [])
        for uid in candidates:
            if self._digest(uid) == incoming.digest:
                candidates.remove(uid)
                return uid
        return None

    def _digest(self, uid: int) -> bytes | None:
        if uid not in self._digests:
            self._digests[uid] = stored_digest(self._account, self._folder_id, uid)
        return self._digests[uid]


def stored_digest(account: Account, folder_id: int, uid: int) -> bytes | None:
    """Return the SHA-256 of a message as it is stored; None: it is gone."""
    found = sha256()
    try:
        with account.open_message(folder_id, uid) as file:
            offset = 0
            while part := file.pread(offset, CHUNK_OCTETS):
                found.update(part)
                offset += len(part)
    except NoSuchMessage:
        return None
    return found.digest()
