"""All notices by name, in the order of their modules: what `mic-mail notice list` shows."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

from mic_mail.errors import BadInput, Text
from mic_mail.i18n.notices import centre, duties, keepers, leaving, mailbox, quarantine, requests, secrecy, sending, unitmail
from mic_mail.i18n.notices.notice import Notice

MODULES: tuple[ModuleType, ...] = (mailbox, leaving, requests, duties, keepers, unitmail, secrecy, quarantine, sending, centre)

CATALOGUE: Mapping[str, Notice[Any]] = {
    row.name: row for module in MODULES for row in vars(module).values() if isinstance(row, Notice)
}


def find(name: str) -> Notice[Any]:
    """The notice of this name."""
    found = CATALOGUE.get(name)
    if found is None:
        raise BadInput(
            Text(f"Không có thông báo “{name}”.", "There is no such notice."),
            remedy=Text("Xem: mic-mail notice list", "See: mic-mail notice list"),
        )
    return found
