"""The revisions of the directory's tables that this program knows, and what to do about any other.

Without SQLAlchemy, so that a command that only reads need not load it.
"""

from mic_mail.directory.records import BRING_BACK
from mic_mail.errors import Text, Trouble, in_ascii

BASE = "0010"
"""The oldest revision that is migrated."""
HEAD = "0012"
"""The newest revision in `migrations/versions`."""


class DirectoryUnavailable(Trouble):
    """The database does not answer, is locked for too long, full, or of an unknown version."""


def must_be_head(revision: str | None) -> None:
    """Raise `DirectoryUnavailable` with what to do unless this is the revision of this program.

    None: there are no tables.
    """
    if revision is None:
        raise empty()
    if revision < HEAD and is_known(revision):
        raise DirectoryUnavailable(
            Text(
                f"Danh bạ chưa được nâng cấp ({revision}; chương trình này cần {HEAD}).",
                f"The directory is not upgraded yet ({in_ascii(revision)}; this version needs {HEAD}).",
            ),
            remedy=Text(
                "Khởi động lại máy chủ: khi khởi động, máy chủ nâng cấp danh bạ.",
                "Restart the server: it upgrades the directory when it starts.",
            ),
        )
    if revision != HEAD:
        raise unknown(revision)


def is_known(revision: str) -> bool:
    """Return whether this program ships the revision; they are numbered."""
    return revision.isdecimal() and BASE <= revision <= HEAD


def empty() -> DirectoryUnavailable:
    return DirectoryUnavailable(Text("Cơ sở dữ liệu danh bạ trống.", "The directory database is empty."), remedy=BRING_BACK)


def unknown(revision: str) -> DirectoryUnavailable:
    """Return the trouble with a revision that is not shipped: too old, or of a newer version."""
    if revision.isdecimal() and revision < BASE:
        return DirectoryUnavailable(
            Text(
                f"Danh bạ thuộc phiên bản quá cũ ({revision}; chương trình này biết từ {BASE}).",
                f"The directory is of too old a version ({revision}; this version knows {BASE} and later).",
            ),
            remedy=Text(
                f"Chạy một lần bản mic-mail cũ hơn còn biết {revision} để nâng cấp danh bạ lên {BASE}, rồi khởi động lại.",
                f"Start an older version that still knows {revision} once, to upgrade it to {BASE}; then start again.",
            ),
        )
    return DirectoryUnavailable(
        Text(
            f"Danh bạ thuộc phiên bản mới hơn ({revision}; chương trình này biết đến {HEAD}).",
            f"The directory was upgraded by a newer version ({in_ascii(revision)}; this version knows {HEAD}).",
        ),
        remedy=Text(
            "Chạy bản mic-mail đã nâng cấp danh bạ, hoặc khôi phục bản sao lưu trước khi nâng cấp.",
            "Run the version that upgraded it, or restore the backup from before the upgrade.",
        ),
    )


def unavailable(why: str) -> DirectoryUnavailable:
    """Return the trouble with a database that gave this error."""
    return DirectoryUnavailable(
        Text(
            "Cơ sở dữ liệu danh bạ tạm thời không truy cập được.",
            "The directory database cannot be reached at the moment.",
        ),
        remedy=Text(
            f"Kiểm tra tệp hoặc máy chủ cơ sở dữ liệu: {why}",
            f"Check the database file or server: {in_ascii(why)}",
        ),
    )
