"""A replay that is killed, or that cannot read a mailbox or a segment: the others have their mail."""

import errno
import os
import shutil

import pytest

from mic_mail.storage.errors import DiskFull
from mic_mail.storage.journal import replay
from mic_mail.storage.journal.frames import Journaled
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.maildir.maildir import AccountPaths
from mic_mail.storage.types import AccountRef
from store_harness import REF, Root, arrivals_in, deliver, inbox, killed_at, message, observe
from unit.storage.journal.conftest import (
    Crash,
    as_a_service_user,
    give_away,
    in_inbox,
    lose_content,
    lose_name,
    segments,
)


def test_other_mailboxes_and_lost_ones_do_not_stop_a_replay(root: Root, store: LocalMailStore) -> None:
    """A mailbox that was removed since is passed over; the others have their mail."""
    account = store.account(REF)
    with store.journal.holding([Journaled("mic.gov.vn/gone", "1.M1P1Q1.x", b"x")]) as durable:
        assert durable  # if it comes back, then on the disk of the folder that it was in
    deliver(account, inbox(account), ["here"], together=True)
    crash = Crash(root)
    lose_name(crash.file_of("here"))
    assert list(in_inbox(crash.root.use(observe))) == ["here"]
    crash = Crash(root)
    (path,) = (path for path in segments(crash.root) if list(arrivals_in(str(path))))
    path.write_bytes(path.read_bytes().replace(b"mic.gov.vn/dvbe", b"mic.gov.vn/dvbX"))  # and the checksum fails
    lose_name(crash.file_of("here"))
    assert in_inbox(crash.root.use(observe)) == {}


@pytest.mark.slow
def test_a_replay_that_is_killed_does_not_stop_the_next_one(owned: Root) -> None:
    """Wherever it dies, and though nobody may write into a message of ours once it is there."""
    store = owned.store()
    account = store.account(REF)
    deliver(account, inbox(account), ["one", "two"], together=True)
    crash = Crash(owned)
    lose_name(crash.file_of("one"))
    lose_content(crash.file_of("two"))
    give_away(crash.root)
    boot_id = str(crash.root.settings["boot_id"])
    life, ended = 0, False
    while not ended:
        ended = killed_at(life, as_a_service_user(lambda: replay.recover(str(crash.root.path), boot_id)))
        life += 2
    assert life > 100
    give_away(crash.root)
    assert sorted(in_inbox(crash.root.use(observe))) == ["one", "two"]
    store.close()


NEIGHBOUR = AccountRef(8, "mic.gov.vn/ttlan")


def two_mailboxes(root: Root) -> Crash:
    """Messages of one wave for two mailboxes; the names of both are lost."""
    store = root.store()
    for ref in (REF, NEIGHBOUR):
        account = store.account(ref)
        deliver(account, inbox(account), [ref.home], together=True)
    crash = Crash(root)
    for ref in (REF, NEIGHBOUR):
        for path in (crash.root.path / ref.home / "Maildir/cur").iterdir():
            path.unlink()
    store.close()
    return crash


def test_a_mailbox_that_cannot_be_replayed_stops_no_other(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone cannot be opened until its messages are back; those of others are not given back again meanwhile."""
    crash = two_mailboxes(root)
    put = replay._put

    def no_room(place: AccountPaths, path: str, arrival: Journaled) -> None:
        if arrival.home == REF.home:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put(place, path, arrival)

    with monkeypatch.context() as full:
        full.setattr(replay, "_put", no_room)
        store = crash.root.store()
        result = store.recover()
        assert list(result.failed) == [str(crash.root.home)]
        assert result.restored == 1
        neighbour = store.account(NEIGHBOUR)
        assert list(in_inbox(observe(neighbour))) == [NEIGHBOUR.home]
        with pytest.raises(DiskFull):
            store.account(REF).folders()
    neighbour.remove(inbox(neighbour), neighbour.view(inbox(neighbour)).uids)
    (buried,) = (crash.root.path / NEIGHBOUR.home / "Maildir/.expunged").iterdir()
    buried.unlink()
    other = crash.root.store()
    assert list(in_inbox(observe(other.account(REF)))) == [REF.home]
    assert list(in_inbox(observe(store.account(REF)))) == [REF.home]
    assert in_inbox(observe(neighbour)) == {}
    assert segments(crash.root) == []
    for each in (store, other):
        each.close()


def test_a_segment_that_cannot_be_read_stops_no_other(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept for whoever can read it, and told."""
    crash = two_mailboxes(root)
    (path,) = (path for path in segments(crash.root) if list(arrivals_in(str(path))))
    bad = path.with_name("another boot.bad")
    bad.mkdir()
    store = crash.root.store()
    assert list(store.recover().failed) == [str(bad)]
    assert list(in_inbox(observe(store.account(REF)))) == [REF.home]
    assert segments(crash.root) == [bad]
    store.close()


def test_messages_of_mailboxes_that_are_gone_are_counted(root: Root) -> None:
    """Nothing can be given back to them, but somebody should know."""
    crash = two_mailboxes(root)
    shutil.rmtree(crash.root.path / NEIGHBOUR.home)
    result = crash.root.store().recover()
    assert (result.restored, result.without_mailbox, result.failed) == (1, 1, {})
    assert segments(crash.root) == []


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(owned: Root) -> None:
    """What lies there would be given back once more, into INBOX."""
    store = owned.store()
    account = store.account(REF)
    here = inbox(account)
    moved, _ = deliver(account, here, ["moved", "other"], together=True)
    account.move(here, [moved], account.folder("Archive").folder_id)
    crash = Crash(owned)
    give_away(crash.root)
    (crash.root.home / "Maildir/.Archive/cur").chmod(0)

    def recover() -> None:
        assert list(crash.root.store().recover().failed) == [str(crash.root.home)]

    assert killed_at(10**9, as_a_service_user(recover))
    (crash.root.home / "Maildir/.Archive/cur").chmod(0o700)
    assert list(in_inbox(crash.root.use(observe))) == ["other"]
    store.close()


def test_of_a_torn_segment_all_is_read_that_is_whole(root: Root, store: LocalMailStore) -> None:
    """Cut at any octet, the messages before that are read; where one is spoilt the others are, while it can be told whose."""
    account = store.account(REF)
    deliver(account, inbox(account), ["a", "b", "c"], together=True)
    (path,) = (path for path in segments(root) if list(arrivals_in(str(path))))
    whole = list(arrivals_in(str(path)))
    assert [arrival.octets for arrival in whole] == [message(token) for token in "abc"]
    octets = path.read_bytes()
    end = octets.rindex(whole[-1].octets) + len(whole[-1].octets)
    copy = root.path / "copy"
    for at in range(0, end, 7):
        copy.write_bytes(octets[:at])
        cut = list(arrivals_in(str(copy)))
        assert cut == whole[: len(cut)]
        assert len(cut) < 3
        copy.write_bytes(octets[:at] + bytes([octets[at] ^ 0x55]) + octets[at + 1 :])
        spoilt = list(arrivals_in(str(copy)))
        assert spoilt == (whole[: len(cut)] + whole[len(cut) + 1 :] if at > 12 else [])
