"""The keys that a restored server cannot do without, in a folder of the backup (docs/decisions/0087).

    <target>/keys/second-factor.key    without it no code of a device is right any more
    <target>/keys/decoy.key            without it who asks can tell names that nobody has from others: their salts change
    <target>/keys/dkim/                without it mail leaves unsigned until the DNS has another record

As they lie below `data_dir`, with their modes (0600, folders 0700): whoever restores copies the folder's content back. Never
the certificate's key, nor the password for a smarthost: both are put in anew without harm to anybody. Blocking.
"""

import contextlib
from pathlib import Path

from mic_mail.auth.password_hash import DECOY_KEY
from mic_mail.config.model import Config
from mic_mail.services.authentication.second_factors import key_path
from mic_mail.smtpclient.dkim_keys import KeyFolder
from mic_mail.storage.backup.files import copy_file, make_folder
from mic_mail.storage.maildir.maildir import make_durable

FOLDER = "keys"


def copy_keys(config: Config, target: Path) -> None:
    """Those that there are, durably. `OSError`; `KeyUnusable` of a DKIM key that cannot be used, once all others are there."""
    keys = target / FOLDER
    make_folder(keys)
    for path in (key_path(config), config.server.data_dir / DECOY_KEY):
        with contextlib.suppress(FileNotFoundError):
            copy_file(path, keys / path.name)
    make_durable(str(keys))
    KeyFolder(config.server.data_dir).copy_into(keys)
