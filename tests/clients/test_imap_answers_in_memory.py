"""FETCH of messages whose answers the process has in memory, after a restore, the Centre or others have changed what they were.

Each test first asserts that they are there (`storage.index.answer_rows`).
"""

import imaplib
import re
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clients.shared_mailboxes import CNTT, sign_in
from harness import MailServer
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.services.mail_store import open_mail_store
from mic_mail.storage.local_mailstore import Account, LocalMailStore
from mic_mail.storage.types import FLAGGED, AccountRef
from store_harness import exchange, flag_names, message

ITEMS = "(UID FLAGS RFC822.SIZE ENVELOPE BODY.PEEK[])"
HEAD = re.compile(rb'\d+ \(UID (\d+) FLAGS \((.*)\) RFC822\.SIZE (\d+) ENVELOPE \(NIL "(\w+)" .* BODY\[\] \{')


class Read(NamedTuple):
    """What is told of a message."""

    flags: frozenset[str]
    size: int
    subject: str
    octets: bytes


@pytest.fixture
def server(serve: Callable[..., Any]) -> Any:
    """A person who keeps a unit's mailbox."""
    server = serve()
    server.dvbe, server.cntt = server.issue("dvbe"), server.issue("cntt", kind=MailboxKind.UNIT)
    server.allow(server.cntt, server.dvbe, "keeper")
    return server


@pytest.fixture
def other(server: MailServer) -> Iterator[LocalMailStore]:
    """The store of another process."""
    with closing(process(server)) as store:
        yield store


def process(server: MailServer) -> LocalMailStore:
    return open_mail_store(server.config, server.clock, open_accounts=4)


def add(client: imaplib.IMAP4, token: str, folder: str = "INBOX") -> None:
    assert client.append(folder, "", "", message(token))[0] == "OK"


def fetched(client: imaplib.IMAP4, messages: str) -> dict[int, Read]:
    """By UID."""
    found: dict[int, Read] = {}
    for answer in client.fetch(messages, ITEMS)[1]:
        if isinstance(answer, tuple):
            heads = HEAD.match(answer[0])
            assert heads is not None, answer
            uid, flags, size, subject = (text.decode() for text in heads.groups())
            found[int(uid)] = Read(frozenset(flags.split()) - {"\\Recent"}, int(size), subject, answer[1])
    return found


def stored(server: MailServer, mailbox: Any, folder: str = "INBOX") -> dict[int, Read]:
    """What a process finds that has nothing in memory."""
    found: dict[int, Read] = {}
    with closing(process(server)) as store:
        account = store.account(AccountRef.of(mailbox))
        view = account.view(account.folder(folder).folder_id)
        for uid, flags, size in zip(view.uids, view.flags, view.sizes, strict=True):
            with account.open_message(view.info.folder_id, uid) as file:
                octets = file.pread(0, 1 << 20)
            subject = octets.split(b"Subject: ")[1].split(b"\r\n")[0].decode()
            found[uid] = Read(flag_names(flags, view.info.keywords), size, subject, octets)
    return found


def are_in_memory(server: MailServer, mailbox: Any, folder: str = "INBOX") -> bool:
    """Whether the server has the answers about all messages of a folder."""
    store = server.running.context.store
    account = store.account(AccountRef.of(mailbox))
    view = account.view(account.folder(folder).folder_id)
    return store.answer_rows((mailbox.mailbox_id, view.info.folder_id, view.info.uidvalidity), view.uids) is not None


def last_words(client: imaplib.IMAP4_SSL, command: bytes) -> bytes:
    """All that a server says to a client that commands something, until it closes."""
    heard = []
    with suppress(OSError):
        client.send(b"x " + command + b"\r\n")
    with suppress(OSError):
        while line := client.readline():
            heard.append(line)
    return b"".join(heard)


# ------------------------------------------------------------------ restores


def test_a_restore_takes_new_mail_away(server: Any, other: LocalMailStore, tmp_path: Path) -> None:
    """The session is told so. What comes then has another UID and is itself; what stayed is the same."""
    account, reader, writer = other.account(AccountRef.of(server.dvbe)), sign_in(server), sign_in(server)
    add(writer, "mot")
    add(writer, "hai")
    account.backup(tmp_path / "backup")
    reader.select()
    add(writer, "ba")
    reader.noop()
    before = fetched(reader, "1:*")
    assert are_in_memory(server, server.dvbe)
    assert account.restore(tmp_path / "backup", replace=True).clean
    untold = fetched(reader, "3")
    assert untold in ({}, {3: before[3]})
    reader.noop()
    assert reader.response("EXPUNGE")[1] == [b"3"]
    add(writer, "bon")
    reader.noop()
    after = fetched(reader, "1:*")
    assert after == stored(server, server.dvbe)
    assert [(uid, read.subject) for uid, read in after.items()][:2] == [(1, "mot"), (2, "hai")]
    assert len(after) == 3
    assert 3 not in after
    assert reader.uid("FETCH", "3", "(BODY.PEEK[])")[1] == [None]


@pytest.mark.parametrize("how", ["brings back", "numbers anew"])
def test_a_restore_that_a_session_cannot_follow_ends_it(server: Any, other: LocalMailStore, tmp_path: Path, how: str) -> None:
    """A message is back that the client knows to be gone, or all have other UIDs: BYE, and the next session reads what is."""
    account, reader, writer = other.account(AccountRef.of(server.dvbe)), sign_in(server), sign_in(server)
    for token in ("mot", "hai"):
        add(writer, token)
    account.backup(tmp_path / "backup")
    reader.select()
    add(writer, "ba")
    known = account.folder("INBOX")
    account.remove(known.folder_id, [1])
    reader.noop()
    assert [read.subject for read in fetched(reader, "1:*").values()] == ["hai", "ba"]
    assert are_in_memory(server, server.dvbe)
    if how == "numbers anew":
        account.free(lambda: True)
    assert account.restore(tmp_path / "backup", replace=True).clean
    heard = last_words(reader, b"FETCH 1:2 BODY.PEEK[]")
    assert re.search(rb"\* BYE .*rebuilt", heard)
    assert message("mot") not in heard
    reader = sign_in(server)
    reader.select()
    [uidvalidity] = reader.response("UIDVALIDITY")[1]
    assert (int(uidvalidity) == known.uidvalidity) == (how == "brings back")
    add(writer, "bon")
    reader.noop()
    after = fetched(reader, "1:*")
    assert after == stored(server, server.dvbe)
    assert [read.subject for read in after.values()] == ["mot", "hai", "bon"]


# ------------------------------------------------------------------ access that ends


def reading(server: Any) -> tuple[imaplib.IMAP4_SSL, imaplib.IMAP4_SSL, dict[int, Read]]:
    """A keeper's session in a unit's INBOX and the unit's own, with a new message in memory, and that message."""
    reader, writer = sign_in(server), sign_in(server, CNTT)
    reader.select("Shared/cntt")
    add(writer, "mot")
    reader.noop()
    writer.select()
    assert are_in_memory(server, server.cntt)
    return reader, writer, stored(server, server.cntt)


def test_new_mail_is_not_read_once_the_right_is_gone(server: Any) -> None:
    """Reg. 12.3: the session ends, and no folder of the mailbox opens."""
    reader, writer, new = reading(server)
    server.deny(server.cntt, server.dvbe)
    heard = last_words(reader, b"FETCH 1 " + ITEMS.encode())
    assert b"FETCH" not in heard
    assert re.search(rb"\* BYE .*12\.3", heard)
    again = sign_in(server)
    assert again.select("Shared/cntt")[0] == "NO"
    assert again.select("INBOX")[0] == "OK"
    assert fetched(writer, "1") == new


def test_new_mail_is_read_without_marking_it_once_that_right_is_gone(server: Any) -> None:
    """RFC 4314 §4: without `s`, FETCH BODY[] gives the octets and \\Seen stays away."""
    reader, writer, new = reading(server)
    server.allow(server.cntt, server.dvbe, "keeper", "lr")
    assert fetched(reader, "1") == new
    [answer, _] = reader.fetch("1", "(BODY[])")[1]
    assert isinstance(answer, tuple)
    assert answer[1] == new[1].octets
    writer.noop()
    assert fetched(writer, "1") == new == stored(server, server.cntt)


@pytest.mark.parametrize("kind", [FactKind.SUSPENDED, FactKind.RECLAIMED])
@pytest.mark.parametrize("whose", ["dvbe", "cntt"])
def test_new_mail_is_not_read_once_access_has_ended(server: Any, kind: FactKind, whose: str) -> None:
    """Reg. 6.2, 7.1, 7.2.c: the reader's own mailbox or the one that is read; whoever may still read does."""
    reader, writer, new = reading(server)
    server.record(getattr(server, whose), Draft(kind, server.clock.now(), "test", data={"cause": "c"}))
    heard = last_words(reader, b"FETCH 1 " + ITEMS.encode())
    assert b"FETCH" not in heard
    assert b"* BYE" in heard
    if whose == "dvbe":
        assert fetched(writer, "1") == new
    else:
        assert b"FETCH" not in last_words(writer, b"FETCH 1 " + ITEMS.encode())
        assert sign_in(server).select("Shared/cntt")[0] == "NO"


@pytest.mark.parametrize("whose", ["dvbe", "cntt"])
def test_who_may_not_send_reads_on(server: Any, whose: str) -> None:
    """Reg. 10.2: a lock of sending takes nothing from reading, of what came before and of what comes now."""
    reader, writer, new = reading(server)
    server.record(getattr(server, whose), Draft(FactKind.SENDING_LOCKED, server.clock.now(), "test"))
    assert fetched(reader, "1") == new
    add(writer, "hai")
    reader.noop()
    assert are_in_memory(server, server.cntt)
    assert fetched(reader, "1:*") == fetched(writer, "1:*") == stored(server, server.cntt)


# ------------------------------------------------------------------ what others do


def replace(client: imaplib.IMAP4, number: str, token: str) -> None:
    """REPLACE (RFC 8508) within INBOX, which imaplib does not know."""
    client.select()
    client.literal = message(token)  # type: ignore[attr-defined]
    assert client.xatom("REPLACE", number, "INBOX")[0] == "OK"


@pytest.mark.parametrize("where", ["here", "there"])
def test_fetch_follows_what_others_do(server: Any, other: LocalMailStore, where: str) -> None:
    """In the same process or another one. Before it is told, a client gets the octets that it knows under each number or
    nothing; then what a process finds that has nothing in memory, twice, the second time from memory."""
    ref = AccountRef.of(server.dvbe)
    account = (server.running.context.store if where == "here" else other).account(ref)
    reader, filed, writer = sign_in(server), sign_in(server), sign_in(server)
    reader.select()
    filed.select("Archive")
    for token in ("mot", "hai", "ba", "bon", "nam"):
        add(writer, token)
    add(writer, "xua", "Archive")
    reader.noop()
    inbox, archive = account.folder("INBOX").folder_id, account.folder("Archive").folder_id
    by_command: Callable[[], object] = lambda: replace(writer, "1", "thay")  # noqa: E731 - one of a list
    steps: list[Callable[[], object]] = [
        by_command if where == "here" else lambda: exchange(account, inbox, 1, inbox, "thay"),
        lambda: account.copy(inbox, [2], inbox),
        lambda: account.move(inbox, [3], archive),
        lambda: account.store_flags(inbox, [2, 4], "+", FLAGGED, ["viec"]),
        lambda: account.remove(inbox, [4]),
        lambda: account.undelete(folder="INBOX", uids=[4]),
        lambda: account.move(archive, [2], inbox),
        lambda: account.store_flags(inbox, [2, 5], "=", 0, ["moi", "viec"]),
        lambda: exchange(account, inbox, 5, inbox, "nam"),
    ]
    for number, step in enumerate(steps):
        before = fetched(reader, "1:*")
        assert are_in_memory(server, server.dvbe), number
        step()
        untold = fetched(reader, f"1:{len(before)}")
        assert untold.keys() <= before.keys(), number
        assert all(untold[uid].octets == before[uid].octets for uid in untold), number
        reader.noop()
        told = fetched(reader, "1:*")
        assert told == fetched(reader, "1:*") == stored(server, server.dvbe), number
        assert told != before, number
        filed.noop()
        assert fetched(filed, "1:*") == stored(server, server.dvbe, "Archive"), number
    assert sorted(read.subject for read in told.values()) == ["ba", "bon", "hai", "hai", "nam", "thay"]


@pytest.mark.parametrize("where", ["here", "there"])
def test_folders_that_go_come_back_and_take_a_name(server: Any, other: LocalMailStore, where: str) -> None:
    """Deleted and restored as it was; renamed, while another folder gets its name and a copy under the old UID."""
    ref = AccountRef.of(server.dvbe)
    account: Account = (server.running.context.store if where == "here" else other).account(ref)
    reader, writer = sign_in(server), sign_in(server)
    writer.create("Viec")
    reader.select("Viec")
    for token in ("mot", "hai"):
        add(writer, token, "Viec")
    reader.noop()
    before = fetched(reader, "1:*")
    assert are_in_memory(server, server.dvbe, "Viec")
    account.delete("Viec")
    account.undelete(folder="Viec")
    assert fetched(reader, "1:*") == before == stored(server, server.dvbe, "Viec")
    account.rename("Viec", "Xong")
    old, new = account.folder("Xong"), account.create("Viec")
    account.copy(old.folder_id, [2], new.folder_id)
    assert fetched(reader, "1:*") == before == stored(server, server.dvbe, "Xong")
    writer.select("Viec")
    assert fetched(writer, "1:*") == stored(server, server.dvbe, "Viec") == {1: before[2]}
    account.remove(old.folder_id, [1])
    reader.noop()
    assert fetched(reader, "1:*") == stored(server, server.dvbe, "Xong") == {2: before[2]}
