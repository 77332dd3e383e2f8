"""What is lost comes back: index, power, foreign files, a Dovecot Maildir, backup and restore, search."""

import json
import os
import resource
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.storage.errors import NoSuchMessage, Unavailable
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.local_store import LocalStore
from mic_mail.storage.maintenance import sweep as sweeping
from mic_mail.storage.types import FLAGGED, SEEN, TextTest
from store_harness import Root, deliver, inbox, message, observe
from unit.storage.before_opening import another_boot, lose_nothing
from unit.storage.conftest import fill
from unit.storage.damage import no_letters


def test_index_is_made_again_from_the_files(root: Root) -> None:
    """Without its index a store says the same: folders, UIDs, UIDVALIDITY, flags, keywords, dates, tombstones."""
    root.use(fill)
    before = root.use(observe)
    dates = root.use(lambda account: account.rows(inbox(account), [1, 2, 3], ["internaldate_us", "email_id", "envelope"]))
    root.lose_index()
    after = root.use(observe)
    assert {name: seen.messages for name, seen in after.items()} == {name: seen.messages for name, seen in before.items()}
    assert {name: seen.uidvalidity for name, seen in after.items()} == {name: s.uidvalidity for name, s in before.items()}
    assert (
        root.use(lambda account: account.rows(inbox(account), [1, 2, 3], ["internaldate_us", "email_id", "envelope"])) == dates
    )
    assert [stone.uid for stone in root.use(lambda account: account.tombstones())] == [4]
    assert root.use(lambda account: deliver(account, inbox(account), ["e"])) > [before["INBOX"].uidnext]
    assert root.use(lambda account: account.undelete(folder="Junk")) == 0
    assert root.use(lambda account: account.folder("Junk").name) == "Junk"
    assert root.use(lambda account: account.repair(check=True)).clean


@pytest.mark.parametrize(
    "told", [{}, {".Sent": None}, {".Sent": 0}, {".Sent": 1 << 61}, {".Sent": "3"}, {".Sent": 4}, {".Junk": 5, ".Trash": 5}]
)
def test_folders_keep_their_numbers_without_an_index(root: Root, told: dict[str, object]) -> None:
    """A session goes on asking by the number. Where a sidecar does not tell it, or another's, it is one that no other has."""
    root.use(lambda account: (account.create("Aa"), account.create("Zz"), account.delete("Aa"), account.create("Aa")))

    def numbers(account: Account) -> dict[str, int]:
        return {info.name: info.folder_id for info in account.folders()}

    before = root.use(numbers)
    for directory, number in told.items():
        sidecar = root.home / "Maildir" / directory / ".mic-folder"
        fields = json.loads(sidecar.read_bytes()) | {"folder_id": number}
        if number is None:
            del fields["folder_id"]
        sidecar.write_text(json.dumps(fields))
    assert root.use(lambda account: account.repair(check=True)).clean == (set(told.values()) <= {None, 0})
    root.lose_index()
    after = root.use(numbers)
    assert after.keys() == before.keys()
    assert len(set(after.values())) == len(after)
    sound = before.keys() - {directory[1:] for directory in told}
    if 4 not in told.values():
        assert {name: after[name] for name in sound} == {name: before[name] for name in sound}
    assert root.use(lambda account: account.create("Bb").folder_id) > max(*before.values(), *after.values())
    assert root.use(lambda account: account.repair(check=True)).clean


def no_header(whole: bytes) -> bytes:
    return whole[:100] + b"\xff" * (len(whole) - 100)


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: b"not a database at all" * 100, no_header, no_letters])
def test_damaged_index_is_set_aside(root: Root, damage: Callable[[bytes], bytes]) -> None:
    """An index that SQLite cannot read never stops anybody: it is kept aside and made anew."""
    root.use(fill)
    before = root.use(observe)
    index = root.home / "index.sqlite"
    index.write_bytes(damage(index.read_bytes()))
    after = root.use(observe)
    assert {name: seen.messages for name, seen in after.items()} == {name: seen.messages for name, seen in before.items()}


def test_power_loss_starts_an_epoch(root: Root) -> None:
    """Under another boot id every MODSEQ is above the mark, and QRESYNC from before is told that its history is not whole."""
    root.use(fill)
    old = root.use(lambda account: account.folder("INBOX"))
    root.power_loss(root.index_copy())
    new = root.use(lambda account: account.view(inbox(account)))
    assert new.info.uidvalidity == old.uidvalidity
    assert min(new.modseqs) > 1000 >= old.highest_modseq
    assert new.info.expunge_floor == new.info.highest_modseq
    assert not root.use(lambda account: account.changes(inbox(account), old.highest_modseq)).complete
    assert new.info.uidnext >= old.uidnext


@pytest.mark.parametrize("before_opening", [lose_nothing, Root.lose_index, another_boot])
def test_a_name_that_is_known_is_no_proof_of_a_content(root: Root, before_opening: Callable[[Root], None]) -> None:
    """Another message under a base name and size that are taken has its own answers and EMAILID; a copy shares both."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "g"]))
    root.use(lambda account: account.remove(inbox(account), [2]))
    maildir = root.home / "Maildir"
    (known,) = (maildir / "cur").iterdir()
    (buried,) = (file for file in (maildir / ".expunged").iterdir() if file.is_file())
    base = known.name.partition(",")[0]
    (maildir / "new" / base).write_bytes(message("b"))
    (maildir / ".Sent/cur" / known.name).write_bytes(message("c"))
    (maildir / ".Junk/cur" / known.name).write_bytes(message("a"))
    os.link(known, maildir / ".Trash/cur" / known.name)
    (maildir / ".Drafts/new" / buried.name.partition(".")[2].partition(",")[0]).write_bytes(message("h"))
    before_opening(root)
    root.use(lambda account: account.rescan())
    seen = root.use(observe)
    assert [token for token, _ in seen["INBOX"].messages.values()] == ["a", "b"]
    assert [token for name in ("Sent", "Junk", "Trash", "Drafts") for token, _ in seen[name].messages.values()] == [*"caah"]

    def identities(account: Account) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for info in account.folders():
            rows = account.rows(info.folder_id, account.view(info.folder_id).uids, ["envelope", "email_id"])
            for envelope, email_id in rows:
                found.setdefault(envelope.split(b"<")[-1].split(b"@")[0].decode(), set()).add(email_id)
        return found

    found = root.use(identities)
    assert sorted(found) == ["a", "b", "c", "h"]
    assert all(len(ids) == 1 for ids in found.values())
    assert len(set.union(*found.values())) == 4
    root.lose_index()
    assert root.use(identities) == found
    assert root.use(lambda account: account.undelete()) == 1
    assert root.use(observe)["INBOX"].messages.keys() > seen["INBOX"].messages.keys()
    assert root.use(lambda account: account.repair(check=True)).clean


def test_a_message_keeps_its_emailid_through_a_move_whose_commit_was_lost(root: Root) -> None:
    """Its file lies elsewhere than its row says: no file is left to compare with, and the name is believed."""
    root.use(lambda account: deliver(account, account.folder("Sent").folder_id, ["a"]))
    index = root.index_copy()
    email_id = root.use(lambda account: account.rows(account.folder("Sent").folder_id, [1], ["email_id"]))
    root.use(lambda account: account.move(account.folder("Sent").folder_id, [1], inbox(account)))
    root.power_loss(index)
    (uid,) = root.use(observe)["INBOX"].messages
    assert root.use(lambda account: account.rows(inbox(account), [uid], ["email_id"])) == email_id
    assert root.use(lambda account: account.repair(check=True)).clean


def test_lost_file_is_found_out_by_whoever_opens_it(root: Root) -> None:
    """A message that another tool removed is NoSuchMessage, and vanishes for all."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))
    next(file for file in (root.home / "Maildir/cur").iterdir() if "U=1:" in file.name).unlink()

    def look(account: Account) -> list[int]:
        with pytest.raises(NoSuchMessage):
            account.open_message(inbox(account), 1)
        return account.view(inbox(account)).uids.tolist()

    assert root.use(look) == [2]
    assert root.use(lambda account: account.repair(check=True)).clean


def test_dirty_flags_survive_a_foreign_rename(root: Root) -> None:
    """Flags that were stored and not yet in the name win over what another tool wrote into it."""
    store = root.store()
    from store_harness import REF

    account = store.account(REF)
    deliver(account, inbox(account), ["a"])
    account.store_flags(inbox(account), [1], "+", FLAGGED)
    (file,) = (root.home / "Maildir/cur").iterdir()
    file.rename(f"{file}S")
    with account.open_message(inbox(account), 1) as opened:
        assert opened.pread(0, 1000) == message("a")
    assert account.view(inbox(account)).flags.tolist() == [FLAGGED]
    store.close()
    assert root.use(lambda again: again.repair(check=True)).clean


def test_dovecot_maildir_is_taken_over(root: Root) -> None:
    """UIDs, UIDVALIDITY, keywords, flags, folders and subscriptions of a Dovecot Maildir stay what they were."""
    maildir = root.home / "Maildir"
    for folder in ("", ".Sent Items", ".&ARA-&AOM- g&Hu0-i"):
        for part in ("cur", "new", "tmp"):
            (maildir / folder / part).mkdir(parents=True)
    names = {"1500000000.M1P1.host,S=1,W=2": 5, "1500000001.M1P1.host": 9}
    for place, name in enumerate(names):
        (maildir / "cur" / f"{name}:2,Sb").write_bytes(message("ab"[place]).replace(b"\r\n", b"\n"))
    lines = "".join(f"{uid} :{name}\n" for name, uid in names.items())
    (maildir / "dovecot-uidlist").write_text(f"3 V1234567890 N12 G0123456789abcdef\n{lines}")
    (maildir / "dovecot-keywords").write_text("0 $Forwarded\n1 work\n")
    (maildir / "subscriptions").write_text("V\t2\n\nSent Items\n")
    seen = root.use(observe)
    assert seen["INBOX"].uidvalidity == 1234567890
    assert seen["INBOX"].messages == {
        5: ("a", frozenset({"\\Seen", "work"})),
        9: ("b", frozenset({"\\Seen", "work"})),
    }
    assert seen["INBOX"].uidnext == 12
    folders = {info.name: info for info in root.use(lambda account: account.folders())}
    assert folders["Sent Items"].special_use == "\\Sent"
    assert "Sent" not in folders
    assert "Đã gửi" in folders
    assert "Sent Items" in root.use(lambda account: account.subscriptions())
    root.lose_index()
    assert root.use(observe)["INBOX"].messages == seen["INBOX"].messages
    assert root.use(lambda account: account.repair(check=True)).clean


def test_repair_mends_what_check_finds(root: Root) -> None:
    """--check changes nothing and names each difference; repair puts it right."""
    root.use(fill)
    (root.home / "Maildir/.mic-account").write_bytes(b"{")
    (root.home / "Maildir/.Sent/.mic-folder").unlink()
    checked = root.use(lambda account: account.repair(check=True))
    assert {finding.kind for finding in checked.findings} == {"account-sidecar", "folder-sidecar"}
    assert root.use(lambda account: account.repair(check=True)) == checked
    root.use(lambda account: account.repair())
    assert root.use(lambda account: account.repair(check=True)).clean


def test_an_index_damaged_in_its_middle_is_made_anew(root: Root) -> None:
    """Whoever meets the damage is told to come again, and then finds everything; only `repair --check` leaves it as it is."""
    root.use(lambda account: deliver(account, inbox(account), [f"m{number}" for number in range(200)]))
    index = root.home / "index.sqlite"
    whole = index.read_bytes()
    damaged = whole[: 30 * 4096] + b"\xff" * (len(whole) - 30 * 4096)
    index.write_bytes(damaged)
    assert {finding.kind for finding in root.use(lambda account: account.repair(check=True)).findings} == {"index-damaged"}
    assert "index-damaged" in {finding.kind for finding in root.use(lambda account: account.repair()).findings}
    assert len(root.use(observe)["INBOX"].messages) == 200
    index.write_bytes(damaged)

    def come_again(account: Account) -> int:
        with pytest.raises(Unavailable):
            observe(account)
        return len(observe(account)["INBOX"].messages)

    assert root.use(come_again) == 200
    assert root.use(lambda account: account.repair(check=True)).clean


def test_files_are_renamed_later_where_the_index_cannot_be_opened_now(root: Root) -> None:
    """By a process without descriptors, whose round of all mailboxes goes on with the next one."""

    def live(account: Account) -> None:
        deliver(account, inbox(account), ["a"])
        account.store_flags(inbox(account), [1], "+", SEEN)
        account._mailstore.rest(-1)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        next_descriptor = os.open("/dev/null", os.O_RDONLY)
        os.close(next_descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_descriptor + 1, limits[1]))  # for the lock
        try:
            with pytest.raises(Unavailable):
                account.flush_names()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        account.flush_names()
        assert {file.name[-4:] for file in (root.home / "Maildir/cur").iterdir()} == {":2,S"}

    root.use(live)


def test_flags_that_change_during_a_sweep_are_not_taken_for_named(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another session, whose process is killed before it renames the files: the next hourly sweep visits the mailbox."""
    root.use(lambda account: deliver(account, inbox(account), ["a", "b"]))

    def sweep(account: Account) -> bool:
        original = sweeping._drop

        def drop(store: LocalStore, now_us: int, *, keep: bool) -> None:
            original(store, now_us, keep=keep)
            account.store_flags(inbox(account), [1], "+", FLAGGED)

        monkeypatch.setattr(sweeping, "_drop", drop)
        swept = account.sweep()
        assert swept is not None
        store = account._store
        return swept.mark == store.shared.marks.read(store.account_id) and swept.due_us > store.clock.steady_us()

    assert not root.use(sweep)


def test_sweep_lets_go_after_the_term(tmp_path: Path) -> None:
    """After seven days expunged mail and deleted folders are gone from disk, but not under a hold; history has its floor."""
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    root = Root(tmp_path, clock=clock)
    root.use(fill)
    root.use(lambda account: deliver(account, account.folder("Đã lưu").folder_id, ["x"]))
    root.use(lambda account: account.delete("Đã lưu"))
    clock.move_to(clock.now() + timedelta(days=8))
    root.use(lambda account: account.sweep(keep=True))
    assert len(root.use(lambda account: account.tombstones())) == 1
    root.use(lambda account: account.sweep())
    assert root.use(lambda account: account.tombstones()) == []
    assert list((root.home / "Maildir/.expunged").iterdir()) == []
    assert root.use(lambda account: account.repair(check=True)).clean
    assert root.use(lambda account: account.changes(inbox(account), 0)).vanished == [4]
    clock.move_to(clock.now() + timedelta(days=90))
    root.use(lambda account: account.sweep())
    changes = root.use(lambda account: account.changes(inbox(account), 2))
    assert (changes.vanished, changes.complete) == ([], False)


@pytest.mark.parametrize(
    ("test", "hits"),
    [
        (TextTest("BODY", "XIN"), True),
        (TextTest("BODY", "Subject"), False),
        (TextTest("TEXT", "subject: a"), True),
        (TextTest("HEADER", "A", "subject"), True),
        (TextTest("HEADER", "", "message-id"), True),
        (TextTest("HEADER", "", "x-none"), False),
        (TextTest("HEADER", "dvbe", "Subject"), False),
    ],
)
def test_text_is_found(root: Root, test: TextTest, hits: bool) -> None:
    """BODY, TEXT and HEADER find decoded substrings without case."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    assert root.use(lambda account: account.find_text(inbox(account), [1, 7], [test])) == [(1, (hits,))]


def test_keywords_and_seen_survive_reopening(root: Root) -> None:
    """Flags are there after the process has gone, whether or not their names had followed."""
    root.use(lambda account: deliver(account, inbox(account), ["a"]))
    root.use(lambda account: account.store_flags(inbox(account), [1], "+", SEEN, ["z"]))
    assert root.use(observe)["INBOX"].messages[1] == ("a", frozenset({"\\Seen", "z"}))
