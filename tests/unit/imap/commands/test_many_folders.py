"""Hundreds of folders, deep trees, and their RENAME under sessions that have them open."""

import json
import re
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.config.model import Config
from mic_mail.services.mail_store import storage_settings
from mic_mail.storage.changes import maildir_record
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import StorageSettings
from session_harness import START, Talk

FOLDERS = 500
MESSAGE = b"Subject: mot\r\n\r\nx\r\n"


def append(ctx: Talk, name: bytes) -> bytes:
    return ctx.say(b"p APPEND %b {%d+}\r\n%b\r\n" % (name, len(MESSAGE), MESSAGE))


@pytest.mark.slow
def test_500_folders_with_messages_and_no_more(tmp_path: Path) -> None:
    """LIST tells each with its STATUS; CREATE, RENAME of INBOX and SUBSCRIBE beyond the limits get LIMIT and leave nothing."""
    settings = StorageSettings(max_folders=FOLDERS + 6, max_subscriptions=6)
    store = LocalMailStore(tmp_path, clock=ManualClock(START), host="h", settings=settings)
    ctx = Talk(store).sign_in()
    wanted = {}
    for number in range(FOLDERS):
        name = b"t%d/x%03d" % (number // 100, number) if number % 100 else b"t%d" % (number // 100)
        assert b"c OK" in ctx.say(b"c CREATE %b\r\n" % name)
        for _ in range(number % 3):
            assert b"p OK" in append(ctx, name)
        wanted[name] = number % 3
    for command in (b"CREATE more", b"CREATE a/b", b"RENAME INBOX more", b"RENAME t0/x001 more/x"):
        assert re.fullmatch(rb"d NO \[LIMIT\] .*\r\n", ctx.say(b"d " + command + b"\r\n")), command
    assert ctx.say(b"d SUBSCRIBE more\r\n").startswith(b"d NO [LIMIT]")
    answer = ctx.say(b'l LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))\r\n')
    told = {name: int(count) for name, count in re.findall(rb'\* STATUS "(t[^"]+)" \(MESSAGES (\d+) UNSEEN \2\)', answer)}
    assert told == wanted
    assert answer.count(b"* LIST ") == answer.count(b"* STATUS ") == FOLDERS + 6
    assert len(list((tmp_path / "mic.gov.vn/dvbe/Maildir").glob(".*/cur"))) == FOLDERS + 5
    store.close()


def test_a_tree_is_renamed_under_its_readers(ctx: Talk) -> None:
    """Children go along and stay open; their messages, those to come and what is stored go on under the new name."""
    deep = b"/".join(b"%d" % level for level in range(19))
    assert b"c OK" in ctx.say(b"c CREATE cay/%b\r\n" % deep)
    reader = Talk(ctx.store).sign_in()
    append(ctx, b"cay/%b" % deep)
    assert b"* 1 EXISTS" in reader.say(b"s SELECT cay/%b\r\n" % deep)
    assert ctx.say(b"r RENAME cay rung\r\n").startswith(b"r OK")
    assert b"[TRYCREATE]" in append(ctx, b"cay/%b" % deep)
    assert b"p OK" in append(ctx, b"rung/%b" % deep)
    assert b"* 2 EXISTS" in reader.say(b"n NOOP\r\n")
    assert b"f OK" in (fetched := reader.say(b"f FETCH 1:2 BODY[TEXT]\r\n"))
    assert fetched.count(b"x\r\n") == 2
    assert b"s OK" in reader.say(b"s STORE 1 +FLAGS (\\Deleted)\r\n")
    assert b"* 1 EXPUNGE" in reader.say(b"e EXPUNGE\r\n")
    assert b"(MESSAGES 1)" in ctx.say(b"t STATUS rung/%b (MESSAGES)\r\n" % deep)
    assert b"* LIST" not in ctx.say(b'l LIST "" "cay*"\r\n')
    assert ctx.account.repair(check=True).clean


def held(ctx: Talk, *names: str) -> list[int]:
    """How many messages each has."""
    return [ctx.account.folder(name).messages for name in names]


@pytest.mark.parametrize("between", [b"", b"n NOOP\r\n", b"x EXPUNGE\r\n", b"i IDLE\r\nDONE\r\n"])
@pytest.mark.parametrize("remembers", [True, False])
def test_a_name_that_an_open_folder_had_is_no_longer_its(store: LocalMailStore, between: bytes, remembers: bool) -> None:
    """RENAME by this session or another, before any message changes: who appends to the old name is told that it is missing,
    and once it is made anew the message lies there."""
    talks = [Talk(store).sign_in(), Talk(store).sign_in()]
    talks[0].say(b"c CREATE cu\r\n")
    for ctx in talks:
        ctx.host.remembers = remembers
        ctx.say(b"s SELECT cu\r\n")
    assert talks[0].say(b"r RENAME cu moi\r\n").startswith(b"r OK")
    for ctx in talks:
        ctx.say(between)
        assert b"p NO [TRYCREATE]" in append(ctx, b"cu")
    assert held(talks[0], "moi") == [0]
    talks[0].say(b"c CREATE cu\r\n")
    for ctx in talks:
        ctx.say(between)
        assert b"p OK [APPENDUID" in (answer := append(ctx, b"cu"))
        assert b"EXISTS" not in answer
    assert held(talks[0], "moi", "cu") == [0, 2]
    for number, ctx in enumerate(talks, 1):
        assert b"* %d EXISTS" % number in append(ctx, b"moi")
    assert held(talks[0], "moi", "cu") == [2, 2]


def test_who_deletes_a_folder_that_is_called_as_the_open_one_was_keeps_that_open(store: LocalMailStore) -> None:
    """And whoever deletes the open one by its new name has left it; in either case without a look in between."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"c CREATE cu\r\ns SELECT cu\r\n")
    append(ctx, b"cu")
    other.say(b"r RENAME cu moi\r\nc CREATE cu\r\n")
    assert b"d OK" in ctx.say(b"d DELETE cu\r\n")
    assert ctx.say(b"f FETCH 1 UID\r\n") == b"* 1 FETCH (UID 1)\r\nf OK Fetched.\r\n"
    other.say(b"r RENAME moi nua\r\n")
    assert ctx.say(b"d DELETE nua\r\n") == b"d OK Deleted.\r\n"
    assert ctx.say(b"f FETCH 1 UID\r\n").startswith(b"f BAD ")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (b"RENAME a a/b", b"CANNOT"),
        (b"RENAME a a", b"CANNOT"),
        (b"RENAME a b", b"ALREADYEXISTS"),
        (b"RENAME a inbox", b"ALREADYEXISTS"),
        (b"RENAME a/c a", b"ALREADYEXISTS"),
        (b"RENAME none x", b"NONEXISTENT"),
        (b"RENAME a " + b"/".join([b"x"] * 20), b"CANNOT"),  # its child would be too deep
        (b"RENAME a " + b"y" * 699, b"CANNOT"),  # and too long
    ],
)
def test_a_rename_that_cannot_be_leaves_everything(ctx: Talk, command: bytes, code: bytes) -> None:
    for name in (b"a", b"a/c", b"b"):
        ctx.say(b"c CREATE %b\r\n" % name)
    before = ctx.say(b'l LIST "" "*"\r\n')
    assert re.fullmatch(rb"r NO \[%b\] .*\r\n" % code, ctx.say(b"r " + command + b"\r\n"))
    assert ctx.say(b'l LIST "" "*"\r\n') == before
    assert ctx.account.repair(check=True).clean


def test_what_a_rename_writes_down_grows_with_the_tree_alone(ctx: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of what is intended is written a few times, not once for each child."""
    for number in range(50):
        ctx.say(b"c CREATE a/%d\r\n" % number)
    written: list[int] = []
    write_intent = maildir_record.write_intent

    def noting(fd: int, intent: maildir_record.Intent, *before: maildir_record.Written) -> maildir_record.Written:
        written.append(len(json.dumps(intent.renames)))
        return write_intent(fd, intent, *before)

    monkeypatch.setattr(maildir_record, "write_intent", noting)
    assert ctx.say(b"r RENAME a b\r\n").startswith(b"r OK")
    assert len(written) < 5


def test_names_that_do_not_exist_are_subscribed_up_to_the_setting(tmp_path: Path) -> None:
    """RFC 9051 §6.3.7 lets them; `storage.folders` bounds them as it bounds folders."""
    config = Config.model_validate({"storage": {"folders": 20}})
    store = LocalMailStore(tmp_path, clock=ManualClock(START), host="h", settings=storage_settings(config))
    ctx = Talk(store).sign_in()
    answers = [ctx.say(b"s SUBSCRIBE none%d\r\n" % number)[:12] for number in range(30)]
    taken = sum(answer.startswith(b"s OK") for answer in answers)
    assert 10 <= taken <= 20
    assert all(answer.startswith(b"s NO [LIMIT]") for answer in answers[taken:])
    store.close()
