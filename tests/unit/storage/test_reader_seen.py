"""\\Seen of each reader (decision 0035): whatever two people do to a mailbox, each has read what they have read."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mic_mail.errors import BadInput
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.maildir.sidecars import AccountSidecar, SeenSidecar
from mic_mail.storage.types import DELETED, FLAGGED, SEEN
from store_harness import REF, Root, deliver, inbox
from unit.storage.reader_seen import BE, CNTT, LAN, PERSONS, read, seen_by


@pytest.fixture
def store(root: Root) -> Iterator[LocalMailStore]:
    store = root.store()
    yield store
    store.close()


def test_each_has_their_own(root: Root, store: LocalMailStore) -> None:
    """RFC 9051 §2.3.2: what one has read the other has not, from the switch on; before it both have what was common."""
    plain = store.account(REF)
    deliver(plain, inbox(plain), "abc")
    read(store, BE, 1)
    assert seen_by(store, LAN) == {1}
    assert not plain.seen_is_each()
    assert plain.keep_seen(each=True, persons=PERSONS)
    assert not plain.keep_seen(each=True, persons=PERSONS)
    read(store, BE, 2)
    read(store, LAN, 1, operation="-")
    assert [seen_by(store, person) for person in PERSONS] == [{1}, {1, 2}, set()]
    assert root.use(lambda account: seen_by(account._mailstore, BE)) == {1, 2}
    assert plain.repair(check=True).clean


@pytest.mark.parametrize("persons", [(), PERSONS])
def test_the_setting_outlives_the_index(root: Root, persons: tuple[str, ...]) -> None:
    """Also before anybody has begun to read: what `.mic-account` does not say, an index made anew does not know."""
    root.use(lambda account: account.keep_seen(each=True, persons=persons))
    root.lose_index()
    assert root.use(lambda account: account.seen_is_each())
    root.use(lambda account: account.keep_seen(each=False, persons=()))
    root.lose_index()
    assert not root.use(lambda account: account.seen_is_each())


def test_nobody_else_hears_of_it(store: LocalMailStore) -> None:
    """A reader's own change raises that reader's HIGHESTMODSEQ and no other's; other flags are told to all (RFC 7162 §3.1)."""
    plain = store.account(REF)
    folder = inbox(plain)
    deliver(plain, folder, "ab")
    plain.keep_seen(each=True, persons=PERSONS)
    be, lan = store.account(REF, BE), store.account(REF, LAN)
    before = be.view(folder).info.highest_modseq
    assert lan.view(folder).info.highest_modseq == before
    modseq = read(store, BE, 1)
    assert modseq == be.view(folder).info.highest_modseq == be.highest_modseq() > before
    assert be.changes(folder, before).changed == [(1, SEEN, modseq, be.view(folder).sizes[0])]
    assert lan.view(folder).info.highest_modseq == before
    assert not lan.changes(folder, before).changed
    assert read(store, LAN, 1, flags=SEEN | FLAGGED) > modseq
    assert [row[:2] for row in be.changes(folder, modseq).changed] == [(1, SEEN | FLAGGED)]
    assert [row[:2] for row in lan.changes(folder, before).changed] == [(1, SEEN | FLAGGED)]


def test_news_of_folders(store: LocalMailStore) -> None:
    """What NOTIFY is made of: what the person marks elsewhere is news, also beside an own message; another's is none."""
    plain = store.account(REF)
    folder = inbox(plain)
    deliver(plain, folder, "ab")
    plain.keep_seen(each=True, persons=PERSONS)
    be, lan = store.account(REF, BE), store.account(REF, LAN)
    since = be.folder_changes(0).modseq
    read(store, BE, 1)
    (state,) = be.folder_changes(since).folders
    assert (state.name, state.messages, state.unseen) == ("INBOX", 2, 1)
    assert not lan.folder_changes(since).folders
    assert next(each.unseen for each in lan.folder_changes(0).folders if each.name == "INBOX") == 2
    deliver(be, folder, "c")
    own = be.folder_changes(since).folders[0].highest_modseq
    assert not be.folder_changes(since, [own]).own_messages
    assert be.folder_changes(own - 1, [own]).own_messages == lan.folder_changes(since, [own]).own_messages != frozenset()


def test_unchanged_since_counts_what_the_reader_was_told(store: LocalMailStore) -> None:
    """RFC 7162 §3.1.3: another's reading fails nobody's STORE, the own one in another session does."""
    plain = store.account(REF)
    deliver(plain, inbox(plain), "a")
    plain.keep_seen(each=True, persons=PERSONS)
    be, lan = store.account(REF, BE), store.account(REF, LAN)
    (modseq,) = be.view(inbox(be)).modseqs
    read(store, BE, 1)
    assert lan.store_flags(inbox(lan), [1], "+", SEEN, unchanged_since=modseq).failed == []
    assert be.store_flags(inbox(be), [1], "-", SEEN, unchanged_since=modseq).failed == [1]
    assert seen_by(store, BE) == {1}


def test_who_comes_new_takes_over_as_things_stand(store: LocalMailStore) -> None:
    """A new keeper has read what somebody has, up to the first look; so has who comes back after a while (`forget_reader`)."""
    plain = store.account(REF)
    folder = inbox(plain)
    deliver(plain, folder, "abc")
    plain.keep_seen(each=True, persons=[CNTT, BE])
    read(store, BE, 1, 2)
    read(store, BE, 2, operation="-")
    assert seen_by(store, LAN) == {1}
    read(store, BE, 3)
    assert seen_by(store, LAN) == {1}
    known = store.account(REF, LAN).view(folder).info.highest_modseq
    plain.forget_reader(LAN)
    assert seen_by(store, LAN) == {1, 3}
    lan = store.account(REF, LAN)
    assert [uid for uid, *_ in lan.changes(folder, known).changed] == [1, 2, 3]


def test_readers_are_written_down(root: Root, store: LocalMailStore) -> None:
    """In the sidecar of the account, in the order in which they came, by the time that each gets an answer."""
    plain = store.account(REF)
    plain.keep_seen(each=True, persons=[CNTT, BE])
    seen_by(store, LAN)
    assert AccountSidecar.read(str(root.home / "Maildir")).readers == (CNTT, BE, LAN)


def test_who_cannot_be_remembered_now_is_shown_the_common_state(store: LocalMailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk stops no reading."""
    plain = store.account(REF)
    deliver(plain, inbox(plain), "ab")
    plain.keep_seen(each=True, persons=[BE])
    read(store, BE, 1)
    seen_by(store, None)
    read(store, BE, 2)
    read(store, BE, 1, operation="-")
    store.account(REF, BE)._store.index.writer().execute("PRAGMA query_only = 1")
    assert seen_by(store, LAN) == {2}
    store.account(REF, BE)._store.index.writer().execute("PRAGMA query_only = 0")
    assert seen_by(store, LAN) == {2}
    assert seen_by(store, BE) == {2}


def test_back_to_one_for_all(store: LocalMailStore) -> None:
    """What it would have been all the while; whoever was told otherwise is told anew."""
    plain = store.account(REF)
    folder = inbox(plain)
    deliver(plain, folder, "abc")
    plain.keep_seen(each=True, persons=PERSONS)
    read(store, BE, 1, 2)
    read(store, LAN, 1)
    read(store, LAN, 1, operation="-")
    known = store.account(REF, BE).view(folder).info.highest_modseq
    assert plain.keep_seen(each=False)
    assert [seen_by(store, person) for person in (None, *PERSONS)] == [{2}] * 4
    assert [row[:2] for row in store.account(REF, BE).changes(folder, known).changed] == [(1, 0), (2, SEEN), (3, 0)]
    assert plain.repair(check=True).clean
    read(store, BE, 3)
    assert seen_by(store, LAN) == {2, 3}


def test_back_to_one_for_all_leaves_no_sidecars(root: Root, store: LocalMailStore) -> None:
    """Those of each reader go with the setting."""
    plain = store.account(REF)
    deliver(plain, inbox(plain), "abc")
    plain.keep_seen(each=True, persons=PERSONS)
    read(store, BE, 1, 2)
    plain.flush_names()
    assert list(root.home.rglob(".mic-seen.*"))
    assert plain.keep_seen(each=False)
    assert not list(root.home.rglob(".mic-seen.*"))
    assert plain.repair(check=True).clean


def test_copies_and_moves(store: LocalMailStore) -> None:
    """Within the account each keeps their own; who may not set \\Seen there has not seen the copy (RFC 4314 §4)."""
    plain = store.account(REF)
    source, target = inbox(plain), plain.folder("Archive").folder_id
    deliver(plain, source, "abcd")
    plain.keep_seen(each=True, persons=PERSONS)
    read(store, BE, 1, 2)
    read(store, LAN, 2, 3)
    be = store.account(REF, BE)
    be.copy(source, [1, 2], target)
    be.move(source, [3], target)
    be.copy(source, [2], target, allowed=FLAGGED)
    assert seen_by(store, BE, "Archive") == {1, 2}
    assert seen_by(store, LAN, "Archive") == {2, 3, 4}
    assert seen_by(store, LAN) == {2}
    plain.rename("INBOX", "Cũ")
    assert (seen_by(store, BE, "Cũ"), seen_by(store, LAN, "Cũ")) == ({1, 2}, {2})
    assert plain.repair(check=True).clean


def test_into_another_account_and_back(root: Root, store: LocalMailStore) -> None:
    """As the one who copies has seen it; nobody else has seen what comes from outside."""
    own = store.account(type(REF)(8, "mic.gov.vn/own"))
    plain = store.account(REF)
    deliver(plain, inbox(plain), "ab")
    plain.keep_seen(each=True, persons=PERSONS)
    read(store, BE, 1)
    read(store, LAN, 2)
    lent = store.account(REF, BE).stage_copies(own.ref, inbox(plain), [1, 2])
    own.publish(inbox(own), [each.delivery for each in lent])
    assert [flags & SEEN for flags in own.view(inbox(own)).flags] == [SEEN, 0]
    lent = own.stage_copies(REF, inbox(own), [1, 2])
    store.account(REF, BE).publish(inbox(plain), [each.delivery for each in lent])
    assert [seen_by(store, person) for person in PERSONS] == [set(), {1, 3}, {2}]


def test_new_messages(store: LocalMailStore) -> None:
    """Who appends with \\Seen has seen it; what a filter files as read all have; what is brought back, by the common state."""
    plain = store.account(REF)
    folder = inbox(plain)
    plain.keep_seen(each=True, persons=PERSONS)
    deliver(store.account(REF, BE), folder, "a", flags=SEEN)
    deliver(plain, folder, "b", flags=SEEN)
    deliver(plain, folder, "c")
    assert [seen_by(store, person) for person in PERSONS] == [{2}, {1, 2}, {2}]
    read(store, LAN, 3, flags=SEEN | DELETED)
    store.account(REF, BE).expunge(folder)
    plain.undelete()
    assert [seen_by(store, person) for person in PERSONS] == [{2, 4}, {1, 2, 4}, {2, 4}]


def test_what_is_gone_leaves_no_rows(root: Root, store: LocalMailStore) -> None:
    """Expunged messages, and folders that the sweep takes."""
    plain = store.account(REF)
    folder = inbox(plain)
    deliver(plain, folder, "ab")
    plain.keep_seen(each=True, persons=PERSONS)
    made = plain.create("Tạm")
    read(store, BE, 1, 2)
    store.account(REF, BE).copy(folder, [1, 2], made.folder_id)
    plain.remove(folder, [1])
    plain.delete("Tạm")
    root.settings["expunge_keep_seconds"] = 0
    store.close()
    root.use(lambda account: account.sweep())
    assert root.rows("SELECT folder_id, uid FROM seen") == [(folder, 2)]


def test_an_account_without_the_setting_has_no_rows(root: Root, store: LocalMailStore) -> None:
    """Whoever reads there: nothing is written, and nobody begins."""
    plain = store.account(REF)
    deliver(store.account(REF, BE), inbox(plain), "ab", flags=SEEN)
    read(store, LAN, 1, operation="-")
    assert seen_by(store, BE) == {2}
    store.close()
    for table in ("reader", "seen", "seen_tally", "seen_unwritten"):
        assert root.rows(f"SELECT count(*) FROM {table}") == [(0,)]


def test_the_files_alone_give_it_back(root: Root) -> None:
    """A lost index: the sidecars followed within seconds, as file names do; without one, what is common."""

    def begin(account: Account) -> None:
        deliver(account, inbox(account), "abcd")
        account.keep_seen(each=True, persons=PERSONS)

    def work(account: Account) -> None:
        store = account._mailstore
        read(store, BE, 1, 2, 4)
        read(store, LAN, 2)
        read(store, LAN, 2, operation="-")

    def each(account: Account) -> list[set[int]]:
        return [seen_by(account._mailstore, person) for person in PERSONS]

    root.use(begin)
    root.use(work)
    for _ in range(2):
        root.lose_index()
        assert root.use(each) == [set(), {1, 2, 4}, set()]
        assert root.use(lambda account: account.repair(check=True)).clean
    (sidecar,) = (root.home / "Maildir").glob(".mic-seen.dvbe*")
    read_back = SeenSidecar.read(str(root.home / "Maildir"), BE)
    assert read_back is not None
    assert [tuple(pair) for pair in read_back.seen] == [(1, 2), (4, 4)]
    sidecar.write_text("[")
    root.lose_index()
    assert root.use(each) == [set(), {1, 4}, set()]


def test_a_power_loss(root: Root) -> None:
    """An older index: who the readers are is durable; what they had read by the last commit that survived is theirs."""

    def begin(account: Account) -> None:
        deliver(account, inbox(account), "ab")

    def work(account: Account) -> None:
        account.keep_seen(each=True, persons=PERSONS)
        read(account._mailstore, BE, 1)

    root.use(begin)
    old = root.index_copy()
    root.use(work)
    new = root.index_copy()
    root.power_loss(new)
    assert root.use(lambda account: seen_by(account._mailstore, BE)) == {1}
    root.power_loss(old)
    assert root.use(lambda account: account.seen_is_each())
    assert root.use(lambda account: account.repair(check=True)).clean


def test_backup_and_restore(root: Root, tmp_path: Path) -> None:
    """They are in a backup, for whoever restores it: with its index, and from its files alone."""

    def work(account: Account) -> None:
        deliver(account, inbox(account), "ab")
        account.keep_seen(each=True, persons=PERSONS)
        read(account._mailstore, BE, 1)
        account.backup(tmp_path / "copy")
        read(account._mailstore, BE, 2)
        read(account._mailstore, LAN, 2)

    def each(account: Account) -> list[set[int]]:
        return [seen_by(account._mailstore, person) for person in PERSONS]

    root.use(work)
    assert root.use(lambda account: account.restore(tmp_path / "copy", replace=True)).clean
    assert root.use(each) == [set(), {1}, set()]
    root.lose_store()
    assert root.use(lambda account: account.restore(tmp_path / "copy")).clean
    root.lose_index()
    assert root.use(each) == [set(), {1}, set()]


def test_an_index_of_another_version_is_rebuilt(root: Root, tmp_path: Path) -> None:
    """It is made anew from the messages; a backup of another version is refused."""
    root.use(lambda account: deliver(account, inbox(account), "a"))
    with sqlite3.connect(root.home / "index.sqlite") as index:
        index.execute("PRAGMA user_version = 2")
    shutil.copytree(root.home, tmp_path / "copy")
    (tmp_path / "copy" / "manifest.json").write_text('{"version": 1, "messages": 1}')
    assert not root.use(lambda account: account.seen_is_each())
    assert root.use(lambda account: account.view(inbox(account)).uids.tolist()) == [1]
    with pytest.raises(BadInput, match="another version"):
        root.use(lambda account: account.restore(tmp_path / "copy", replace=True))
    assert root.use(lambda account: account.view(inbox(account)).uids.tolist()) == [1]
