"""The folders of a new account."""

from mic_mail.storage.changes.folders import make_folder
from mic_mail.storage.store import Write
from mic_mail.storage.types import INBOX


def make_default_folders(write: Write) -> None:
    """Make INBOX and the default folders, subscribed."""
    make_folder(write, INBOX)
    write.subscribe(INBOX, True)
    for name, special_use in write.store.settings.default_folders.items():
        make_folder(write, name, special_use=special_use)
        write.subscribe(name, True)
