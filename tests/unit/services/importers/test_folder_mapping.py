"""Folders of other systems come to the folders that they mean, and no name leads anywhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.services.importers.folder_mapping import is_virtual, target
from mic_mail.storage.canonical_name import canonical
from mic_mail.storage.maildir.folder_names import encode_directory

USES = {"\\Sent": "Sent", "\\Drafts": "Drafts", "\\Junk": "Junk", "\\Trash": "Trash", "\\Archive": "Archive"}


@pytest.mark.parametrize(
    ("levels", "told", "here"),
    [
        ((), None, "INBOX"),
        (("Inbox",), None, "INBOX"),
        (("Sent",), None, "Sent"),
        (("Sent Items",), None, "Sent"),
        (("Sent Messages",), None, "Sent"),
        (("INBOX", "Sent"), None, "Sent"),
        (("[Gmail]", "Sent Mail"), "\\Sent", "Sent"),
        (("[Gmail]", "Thư đã gửi"), None, "Sent"),
        (("Mục Đã gửi",), None, "Sent"),
        (("Thư đã gửi",), None, "Sent"),
        (("Gesendet",), "\\Sent", "Sent"),
        (("Thư nháp",), None, "Drafts"),
        (("Thư rác",), None, "Junk"),
        (("Junk E-mail",), None, "Junk"),
        (("Spam",), None, "Junk"),
        (("Thùng rác",), None, "Trash"),
        (("Deleted Items",), None, "Trash"),
        (("Mục Đã xóa",), None, "Trash"),
        (("Archives",), None, "Archive"),
        (("Dự án", "Sent"), None, "Dự án/Sent"),
        (("[Gmail]", "Nhãn"), None, "Nhãn"),
        (("a/b", "c"), None, "a_b/c"),
        (("..", "..", "etc"), None, "_/_/etc"),
        (("x\0y\r\n",), None, "x_y__"),
        (("",), None, "_"),
        (("Cũ", "..", "."), None, "Cũ/_/_"),
        (("..", "a..b", ". ."), None, "_/a..b/_"),
    ],
)
def test_where_folders_go(levels: tuple[str, ...], told: str | None, here: str) -> None:
    assert target(levels, told, USES) == here


def test_below_and_other_names_of_ours() -> None:
    """Everything under one folder; and the use counts, not the name that our folder has."""
    assert target(("Sent",), None, USES, "Zimbra/cũ") == "Zimbra/cũ/Sent"
    assert target((), None, USES, "Zimbra") == "Zimbra/INBOX"
    assert target(("Sent Items",), None, {"\\Sent": "Đã gửi"}) == "Đã gửi"


@pytest.mark.parametrize(
    ("levels", "told", "virtual"),
    [
        (("[Gmail]", "All Mail"), None, True), (("[Gmail]", "Tất cả thư"), "\\All", True), (("Starred",), None, False),
        (("[Google Mail]", "Starred"), None, True), (("[Gmail]", "Sent Mail"), "\\Sent", False), (("All Mail",), None, False),
    ],
)  # fmt: skip
def test_gmails_second_looks(levels: tuple[str, ...], told: str | None, virtual: bool) -> None:
    assert is_virtual(levels, told) == virtual


@given(st.lists(st.text(max_size=400), max_size=40).map(tuple), st.sampled_from([None, *USES, "\\All"]))
def test_any_name_is_one_that_the_store_takes(levels: tuple[str, ...], told: str | None) -> None:
    """In the one spelling of its own, the same in each pass, and its directory is one word."""
    name = target(levels, told, USES)
    assert canonical(name, max_octets=700, max_depth=20) == name == target(levels, told, USES)
    assert "/" not in encode_directory(name)
