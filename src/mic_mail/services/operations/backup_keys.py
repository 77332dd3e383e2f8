"""The keys that a restored server needs, copied into a folder of the backup (docs/decisions/0087).

    <target>/keys/second-factor.key    without it every code of a device is wrong
    <target>/keys/decoy.key            without it clients can tell unknown names from others: their salts change
    <target>/keys/dkim/                without it mail leaves unsigned until the DNS has another record

Same layout as below `data_dir`, with their modes (0600, folders 0700): for a restore, copy the folder's content back.
Neither the certificate's key nor the password for a smarthost is copied: both can be set anew without harm. Blocking.
"""

import contextlib
from pathlib import Path

from mic_mail.auth.password_hash import DECOY_KEY
from mic_mail.config.model import Config
from mic_mail.durable_files import make_durable
from mic_mail.services.authentication.second_factors import key_path
from mic_mail.smtpclient.dkim_keys import KeyFolder
from mic_mail.storage.backup.files import copy_file, make_folder

FOLDER = "keys"


def copy_keys(config: Config, target: Path) -> None:
    """Copy the keys, durably; `OSError`; `KeyUnusable` for a DKIM key, after all others are copied."""
    keys = target / FOLDER
    make_folder(keys)
    for path in (key_path(config), config.server.data_dir / DECOY_KEY):
        with contextlib.suppress(FileNotFoundError):
            copy_file(path, keys / path.name)
    make_durable(str(keys))
    KeyFolder(config.server.data_dir).copy_into(keys)
