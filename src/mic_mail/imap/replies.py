"""The tagged line of a command without its tag, and the response code of each error. Pure.

A NO is what a mail program shows to a person: its text is in both languages (`i18n.spoken`). BAD is for the author of the
mail program, and no program shows the text of OK; both stay in English.

Standards: RFC 9051 §7.1, RFC 5530.
"""

from dataclasses import dataclass

from mic_mail.errors import MicMailError, Refused, Text, Trouble
from mic_mail.imap.mailbox_names.acl_rights import NoPermission
from mic_mail.imap.mailbox_names.resolve import Place
from mic_mail.storage.errors import (
    FolderExists,
    Frozen,
    NameNotAllowed,
    NoSuchFolder,
    NoSuchMessage,
    NotPermitted,
    OverQuota,
    TooMany,
    UseNotAllowed,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """A tagged line without its tag."""

    text: Text | str
    status: bytes = b"OK"
    code: bytes = b""


def refuse(text: Text, code: bytes = b"") -> Reply:
    """Return NO: the command cannot be carried out."""
    return Reply(text, b"NO", code)


def bad(text: str, code: bytes = b"") -> Reply:
    """Return BAD: the command makes no sense here."""
    return Reply(text, b"BAD", code)


class CommandRefused(Refused):
    """Raised to refuse a command with this response code."""

    def __init__(self, text: Text | str, code: bytes = b"", *, clause: str | None = None) -> None:
        super().__init__(text, clause=clause)
        self.code = code


REFUSAL_CODES: tuple[tuple[type[MicMailError], bytes], ...] = (
    (NoSuchFolder, b"NONEXISTENT"),
    (FolderExists, b"ALREADYEXISTS"),
    (NameNotAllowed, b"CANNOT"),
    (NotPermitted, b"CANNOT"),
    (UseNotAllowed, b"USEATTR"),
    (TooMany, b"LIMIT"),
    (NoPermission, b"NOPERM"),
    (Frozen, b"INUSE"),
    (NoSuchMessage, b"EXPUNGEISSUED"),
    (OverQuota, b"OVERQUOTA"),
    (Trouble, b"UNAVAILABLE"),
)
"""Response codes (RFC 9051 §7.1, RFC 5530) for refusals of the store; the first class that matches."""


def refusal(error: MicMailError, target: Place | None = None) -> Reply:
    """Return NO for an error that was raised on purpose.

    TRYCREATE where the missing folder is the `target` of the command, and CREATE would help (RFC 9051 §6.3.12, §6.4.7).
    """
    if isinstance(error, CommandRefused):
        return refuse(error.text, error.code)
    if target is not None and isinstance(error, NoSuchFolder) and error.name == target.name and target.is_creatable:
        return refuse(error.text, b"TRYCREATE")
    return refuse(error.text, next((code for kind, code in REFUSAL_CODES if isinstance(error, kind)), b"CANNOT"))
