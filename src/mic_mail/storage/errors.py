"""Errors of the store. The class says whether trying later helps (`Trouble`) or not."""

import errno
from typing import ClassVar

from mic_mail.errors import BadInput, Refused, Text, Trouble

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class NoSuchFolder(Refused):
    """IMAP NONEXISTENT (RFC 9051 §7.1)."""

    def __init__(self, name: str) -> None:
        super().__init__(Text(f"Không có thư mục “{name}”.", "No such folder."))
        self.name = name


class FolderExists(Refused):
    """IMAP ALREADYEXISTS."""

    def __init__(self, name: str) -> None:
        super().__init__(Text(f"Thư mục “{name}” đã có.", "The folder already exists."))
        self.name = name


class NameNotAllowed(BadInput):
    """IMAP CANNOT: the name is empty, too long, too deep, or holds characters that no client can show."""


class NotPermitted(Refused):
    """IMAP CANNOT or NOPERM: INBOX cannot be deleted, a folder cannot go below itself."""


class UseNotAllowed(Refused):
    """IMAP USEATTR: the special use is unknown, or another folder has it."""


class TooMany(Refused):
    """IMAP LIMIT: the keyword table is full, or the mailbox has its maximum of folders or subscriptions."""


class AnnotationTooLong(Refused):
    """IMAP METADATA MAXSIZE (RFC 5464 §4.3)."""

    def __init__(self, limit_octets: int) -> None:
        super().__init__(
            Text(f"Một giá trị chỉ được có {limit_octets} octet.", f"A value may have at most {limit_octets} octets."),
        )
        self.limit_octets = limit_octets


class TooManyAnnotations(Refused):
    """IMAP METADATA TOOMANY (RFC 5464 §4.3): too many entries, or too many octets in all of them."""


class Frozen(Refused):
    """IMAP INUSE (RFC 5530 §3): the mailbox is being handed over (changes/legal_hold.py)."""

    def __init__(self) -> None:
        super().__init__(
            Text(
                "Hộp thư đang được bàn giao: chưa được xóa, chuyển hoặc đổi tên (điểm d khoản 3 Điều 12 Quy chế).",
                "The mailbox is being handed over: expunge, move and rename are refused until that is done (Reg. 12.3.d).",
            ),
            clause="12.3.d",
        )


class NoSuchMessage(Refused):
    """IMAP EXPUNGEISSUED: the message is gone and this reader cannot read it any more."""

    def __init__(self, folder_id: int, uid: int) -> None:
        super().__init__(Text("Thư không còn nữa.", "The message no longer exists."))
        self.folder_id = folder_id
        self.uid = uid


class OverQuota(Refused):
    """IMAP OVERQUOTA, SMTP 452 4.2.2."""

    def __init__(self, used_octets: int, limit_octets: int) -> None:
        super().__init__(Text("Hộp thư đã đầy.", "The mailbox is full."))
        self.used_octets = used_octets
        self.limit_octets = limit_octets


class Unavailable(Trouble):
    """IMAP UNAVAILABLE, SMTP 451 4.3.0: the account was busy, or its index or disk does not answer."""

    TOLD: ClassVar[Text] = Text("Hộp thư tạm thời không truy cập được.", "The mailbox is temporarily unavailable.")

    def __init__(self, detail: str) -> None:
        super().__init__(self.TOLD)
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class Overloaded(Unavailable):
    """More wait for a turn than the server serves in time; no mailbox is at fault."""

    TOLD = Text("Máy chủ đang quá tải; đề nghị thử lại sau.", "The server is overloaded; try again later.")


class JournalUnavailable(Unavailable):
    """The journal cannot be written; each message is then made durable by itself."""

    TOLD = Text("Nhật ký ghi trước tạm thời không dùng được.", "The journal is temporarily unavailable.")


class Busy(Unavailable):
    """Another writer holds the account, and the caller did not want to wait longer."""


class NothingSetAside(BadInput):
    """No restore of this mailbox has left anything under that name."""

    def __init__(self, name: str) -> None:
        super().__init__(Text(f"Không có “{name}” được để riêng.", "Nothing of that name was set aside."))


class AccountGone(Unavailable):
    """The account has no rows any more: it was freed, or replaced by a restore, since this process has opened it."""


class OutcomeUnknown(Unavailable):
    """The connection was lost at COMMIT: the change may have happened. A retry recognises a message by its origin."""


class SpecialUseRefused(Exception):
    """Raised where a folder has the special use in which the caller does not want to publish; nothing has happened."""


class DiskFull(Unavailable):
    """No space or file-system quota left: SMTP 452 4.3.1. Nothing half-written stays behind."""

    TOLD = Text("Máy chủ hết dung lượng lưu trữ; đề nghị thử lại sau.", "The server has no room left; try again later.")


class NotOurs(Unavailable):
    """The files, or the database, are not a store of this program (a file in place of a folder, another version, a pooler)."""


def of_os_error(what: str, error: OSError, kind: type[Unavailable] = Unavailable) -> Unavailable:
    """Return the store's error for an error of the file system: `DiskFull`, else of this `kind`."""
    return (DiskFull if error.errno in NO_ROOM else kind)(f"{what}: {error}")
