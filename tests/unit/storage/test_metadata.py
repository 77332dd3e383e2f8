"""Annotations (RFC 5464) live as long as their folder: after a restart, a lost index, a power loss, a backup and a restore."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mic_mail.storage.errors import AnnotationTooLong, NoSuchFolder, TooManyAnnotations, UseNotAllowed
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.maildir.sidecars import AccountSidecar, FolderSidecar
from store_harness import Root, deliver

DVBE, TTLAN = "dvbe@mic.gov.vn", "ttlan@mic.gov.vn"
COMMENT, COLOUR = "/shared/comment", "/private/vendor/kolab/color"
BINARY = b"\0\xff\r\n\x80"

Held = dict[tuple[str, str], bytes]


def held(account: Account, folder: str | None, *holders: str) -> Held:
    folder_id = None if folder is None else account.folder(folder).folder_id
    return {(each.holder, each.name): each.value for each in account.annotations(folder_id, holders or ("", DVBE, TTLAN))}


def annotate(account: Account, folder: str | None, *changes: tuple[str, str, bytes | None]) -> None:
    account.annotate(None if folder is None else account.folder(folder).folder_id, changes)


def some(account: Account) -> None:
    annotate(account, "INBOX", ("", COMMENT, "Hộp thư đến".encode()), (DVBE, COLOUR, b"#b71c1c"), (TTLAN, COLOUR, b""))
    annotate(account, "Sent", (DVBE, "/private/vendor/x/octets", BINARY))
    annotate(account, None, (DVBE, "/private/vendor/kolab/state", b"1"))


INBOX = {("", COMMENT): "Hộp thư đến".encode(), (DVBE, COLOUR): b"#b71c1c", (TTLAN, COLOUR): b""}
SENT = {(DVBE, "/private/vendor/x/octets"): BINARY}
SERVER = {(DVBE, "/private/vendor/kolab/state"): b"1"}


def all_there(account: Account) -> bool:
    return (held(account, "INBOX"), held(account, "Sent"), held(account, None)) == (INBOX, SENT, SERVER)


def test_everybody_sees_what_is_shared_and_each_their_own(root: Root) -> None:
    """Private entries are keyed by person (RFC 5464 §3.2); an empty value is one; names are compared without case."""
    root.use(some)
    assert root.use(all_there)
    assert root.use(lambda account: held(account, "INBOX", "", TTLAN)) == {
        key: value for key, value in INBOX.items() if key[0] != DVBE
    }
    root.use(lambda account: annotate(account, "INBOX", ("", "/SHARED/Comment", b"new"), (DVBE, COLOUR.upper(), None)))
    assert root.use(lambda account: held(account, "INBOX", "", DVBE)) == {("", COMMENT): b"new"}


def lost_index(root: Root) -> None:
    root.lose_index()


def power_loss_with_an_old_index(root: Root) -> None:
    root.power_loss({})


@pytest.mark.parametrize("happens", [lost_index, power_loss_with_an_old_index])
def test_they_survive_the_index(root: Root, happens: Callable[[Root], None]) -> None:
    """The sidecars are durable before a change is answered; everything can be made from them and the messages."""
    root.use(lambda account: deliver(account, account.folder("INBOX").folder_id, ["one"]))
    root.use(some)
    happens(root)
    assert root.use(all_there)
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_power_loss_takes_no_answered_change_with_it(root: Root) -> None:
    """The last commits are gone from the index, the sidecars are not: what was set is set, what was removed is removed."""
    root.use(lambda account: annotate(account, "INBOX", ("", COMMENT, b"old"), (DVBE, COLOUR, b"red")))
    root.use(lambda account: annotate(account, None, (DVBE, "/private/comment", b"old")))
    index = root.index_copy()
    before = root.use(lambda account: account.highest_modseq())
    root.use(lambda account: annotate(account, "INBOX", ("", COMMENT, b"new"), (DVBE, COLOUR, None)))
    root.use(lambda account: annotate(account, None, (DVBE, "/private/comment", None)))
    root.power_loss(index)
    assert root.use(lambda account: held(account, "INBOX")) == {("", COMMENT): b"new"}
    assert root.use(lambda account: held(account, None)) == {}
    assert root.use(lambda account: sorted(account.annotations_changed(before, ("", DVBE)))) == [
        ("", "/private/comment"), ("INBOX", COLOUR), ("INBOX", COMMENT),
    ]  # fmt: skip
    assert root.use(lambda account: account.repair(check=True)).clean


def test_they_are_in_a_backup_and_in_what_is_restored_from_it(root: Root, tmp_path: Path) -> None:
    """Index and sidecars of the backup have them; a restore brings back those of the backup, not later ones."""
    root.use(some)
    root.use(lambda account: account.backup(tmp_path / "backup"))
    root.use(lambda account: annotate(account, "INBOX", ("", COMMENT, b"later")))
    root.use(lambda account: account.restore(tmp_path / "backup", replace=True))
    assert root.use(all_there)
    root.lose_index()
    assert root.use(all_there)


def test_they_go_where_their_folder_goes(root: Root) -> None:
    """RENAME keeps them, DELETE takes them along and CREATE does not find them, undelete brings them back (RFC 5464 §4.1)."""
    root.use(lambda account: account.create("A"))
    root.use(lambda account: annotate(account, "A", ("", COMMENT, b"a")))
    root.use(lambda account: account.rename("A", "B"))
    assert root.use(lambda account: held(account, "B")) == {("", COMMENT): b"a"}
    root.use(lambda account: account.delete("B"))
    with pytest.raises(NoSuchFolder):
        root.use(lambda account: held(account, "B"))
    root.use(lambda account: account.create("B"))
    assert root.use(lambda account: held(account, "B")) == {}
    root.use(lambda account: account.delete("B"))
    root.use(lambda account: account.rename("INBOX", "C"))  # nothing to take along
    root.use(lambda account: account.undelete(folder="B"))
    root.lose_index()
    assert root.use(lambda account: held(account, "C")) == {}


def test_a_deleted_folder_comes_back_with_them(root: Root) -> None:
    """Also if the index is lost while it is deleted."""
    root.use(lambda account: account.create("A"))
    root.use(lambda account: annotate(account, "A", ("", COMMENT, b"a")))
    root.use(lambda account: account.delete("A"))
    root.lose_index()
    root.use(lambda account: account.undelete(folder="A"))
    assert root.use(lambda account: held(account, "A")) == {("", COMMENT): b"a"}


def test_inbox_keeps_its_own_when_it_is_renamed_and_gives_copies(root: Root) -> None:
    """RFC 5464 §4.1."""
    root.use(some)
    root.use(lambda account: account.rename("INBOX", "Old"))
    root.lose_index()
    assert root.use(lambda account: (held(account, "INBOX"), held(account, "Old"))) == (INBOX, INBOX)


def test_a_copied_message_takes_none_along(root: Root) -> None:
    """Annotations are the folder's, not its messages'."""
    root.use(some)
    [uid] = root.use(lambda account: deliver(account, account.folder("INBOX").folder_id, ["one"]))
    root.use(lambda account: account.copy(account.folder("INBOX").folder_id, [uid], account.folder("Trash").folder_id))
    assert root.use(lambda account: held(account, "Trash")) == {}


def test_a_change_is_told_and_is_none_of_the_messages(root: Root) -> None:
    """It moves the mailbox's MODSEQ (RFC 7162 §3.2), and no message has changed."""
    root.use(some)
    before = root.use(lambda account: (account.highest_modseq(), account.folder("INBOX").highest_modseq))
    root.changes.clear()
    root.use(lambda account: annotate(account, "INBOX", ("", COMMENT, None), (TTLAN, COLOUR, b"x")))
    after = root.use(lambda account: (account.highest_modseq(), account.folder("INBOX").highest_modseq))
    assert root.changes == [(7, after[0])]
    assert after[0] > before[0]
    assert after[1] == after[0]
    assert root.use(lambda account: account.changes(account.folder("INBOX").folder_id, before[1])).changed == []
    assert root.use(lambda account: account.annotations_changed(before[0], ("", DVBE))) == [("INBOX", COMMENT)]
    assert root.use(lambda account: account.annotations_changed(after[0], ("", DVBE, TTLAN))) == []


def test_limits_leave_everything_as_it_was(root: Root) -> None:
    """RFC 5464 §4.3: where one entry cannot be set, none is; to remove is never refused."""
    root.settings |= {
        "max_annotations": 10, "max_annotation_octets": 1024, "max_annotations_octets": 4000,
        "max_annotations_octets_in_account": 5000,
    }  # fmt: skip
    root.use(lambda account: annotate(account, "INBOX", *((DVBE, f"/private/x/{n}", b"") for n in range(10))))
    with pytest.raises(TooManyAnnotations):
        root.use(lambda account: annotate(account, "INBOX", (DVBE, "/private/x/0", b"y"), (DVBE, "/private/x/10", b"")))
    with pytest.raises(AnnotationTooLong) as error:
        root.use(lambda account: annotate(account, "INBOX", ("", COMMENT, b"c"), (TTLAN, "/private/x", b"x" * 1025)))
    assert error.value.limit_octets == 1024
    assert root.use(lambda account: held(account, "INBOX")) == {(DVBE, f"/private/x/{n}"): b"" for n in range(10)}
    large = [(TTLAN, f"/private/y/{n}", b"y" * 1024) for n in range(3)]
    root.use(lambda account: annotate(account, "INBOX", *large))
    with pytest.raises(TooManyAnnotations):
        root.use(lambda account: annotate(account, "INBOX", ("", COMMENT, b"c" * 1024)))
    root.use(lambda account: annotate(account, "Sent", ("", COMMENT, b"c" * 1024)))
    with pytest.raises(TooManyAnnotations):
        root.use(lambda account: annotate(account, "Drafts", ("", COMMENT, b"c" * 1024)))
    root.settings |= {"max_annotations": 1, "max_annotations_octets": 1}
    root.use(lambda account: annotate(account, "INBOX", (DVBE, "/private/x/0", None), (TTLAN, "/private/y/0", b"less")))
    assert len(root.use(lambda account: held(account, "INBOX"))) == 12


def test_a_sidecar_that_somebody_has_written_chooses_no_words_of_ours(root: Root) -> None:
    """What is no entry name or no value is passed over, and not written again."""
    root.use(some)
    path = root.home / "Maildir" / ".mic-folder"
    fields = json.loads(path.read_text())
    fields["metadata"][""] |= {"/shared/a\r\nb": "x", "/etc/passwd": "x", "/shared/y": 3, "/shared/z": {"base64": "!"}}
    fields["metadata"]["x"] = ["no"]
    path.write_text(json.dumps(fields))
    root.lose_index()
    assert root.use(all_there)
    assert root.use(lambda account: account.repair(check=True)).clean
    assert "/etc/passwd" not in path.read_text()


def test_repair_brings_lost_sidecars_back(root: Root) -> None:
    """The index has what they had."""
    root.use(some)
    inbox, account = FolderSidecar.read(str(root.home / "Maildir")), AccountSidecar.read(str(root.home / "Maildir"))
    assert inbox is not None
    assert account is not None
    replace(inbox, metadata={}).write(str(root.home / "Maildir"))
    replace(account, metadata={}).write(str(root.home / "Maildir"))
    kinds = {finding.kind for finding in root.use(lambda account: account.repair()).findings}
    assert kinds == {"folder-sidecar", "account-sidecar"}
    root.lose_index()
    assert root.use(all_there)


def test_a_special_use_that_was_changed_stays_changed(root: Root) -> None:
    """RFC 6154 §4: through a lost index and a power loss that takes the commits, like every annotation."""

    def uses(account: Account) -> dict[str, str | None]:
        return {info.name: info.special_use for info in account.folders() if info.name in ("Sent", "Trash", "INBOX")}

    root.use(uses)
    index = root.index_copy()
    root.use(lambda account: account.annotate(account.folder("Sent").folder_id, [], [None]))
    root.use(lambda account: account.annotate(account.folder("INBOX").folder_id, [("", COMMENT, b"x")], ["\\Sent"]))
    wanted = {"Sent": None, "Trash": "\\Trash", "INBOX": "\\Sent"}
    assert root.use(uses) == wanted
    with pytest.raises(UseNotAllowed):
        root.use(lambda account: account.annotate(account.folder("Sent").folder_id, [("", COMMENT, b"x")], ["\\Sent"]))
    assert root.use(lambda account: held(account, "Sent")) == {}
    root.power_loss(index)
    assert root.use(uses) == wanted
    root.lose_index()
    assert root.use(uses) == wanted
    assert root.use(lambda account: account.repair(check=True)).clean
