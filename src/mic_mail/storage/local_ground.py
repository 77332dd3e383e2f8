"""The ground of one machine: what rules ask of a store, done with files and SQLite by the modules that know them."""

from mic_mail.storage.changes import staging, transaction
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.index.rows import FolderRow
from mic_mail.storage.index.view_cache import NewestView
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maintenance import external_changes
from mic_mail.storage.maintenance.open import open_store
from mic_mail.storage.reads import open_message


class LocalGround(LocalStore):
    """One account of this machine."""

    open = open_store
    writing = transaction.writing
    open_message = open_message.open_message
    stage = staging.stage
    despite_loss = external_changes.despite_loss
    take_in = external_changes.take_in_new

    def is_unchanged(self, known: NewestView) -> bool:
        """Return whether no other tool has touched `new/` of a folder since its view was made; two stats."""
        return self.is_ready and external_changes.is_new_unchanged(self, known)

    def has_changed_outside(self, folder: FolderRow) -> bool:
        """Return whether `new/` of a folder is not as it was last seen."""
        return bool(external_changes.new_changed(self, folder))

    def recovers_from(self, error: Unavailable) -> bool:
        """Give up the reserve of this file system (reserve.py) if the error was lack of space."""
        return self.reserve.give_up_if_full(error)
