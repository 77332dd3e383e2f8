"""Whoever sends thousands of commands at once, or of nothing: others have their turn in between."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ldap_client import search, small_book
from mic_mail.connection.actions import COMMANDS_AT_ONCE, NeedInput, Pause
from mic_mail.imap.actions import Decode
from mic_mail.imap.command_table import GRAMMAR
from mic_mail.imap.parser.events import NEED_INPUT
from mic_mail.imap.parser.reader import Limits, Reader
from mic_mail.ldap.dit import Tree
from mic_mail.storage.local_mailstore import LocalMailStore
from session_harness import LdapTalk, Pop3Talk, Talk, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LocalMailStore]:
    store = open_store(tmp_path)
    yield store
    store.close()


def answers_by_turn(ctx: Talk | Pop3Talk, octets: bytes) -> list[int]:
    """How many lines are answered in each turn, whatever it takes to write them."""
    ctx.session.feed(octets)
    turns = [0]
    while not isinstance(step := ctx.session.next(), NeedInput):
        if isinstance(step, Pause):
            turns.append(0)
        turns[-1] += getattr(step, "data", b"").count(b"\r\n")
        if isinstance(ctx, Talk):
            ctx.carry_out(step)
        else:
            ctx.session.done(step, ctx.result_of(step))
    return turns


@pytest.mark.parametrize(("command", "lines"), [(b"a NOOP\r\n", 1), (b"a NAMESPACE\r\n", 2)])
def test_commands_of_imap(store: LocalMailStore, command: bytes, lines: int) -> None:
    turns = answers_by_turn(Talk(store).sign_in(), command * 1_000)
    assert sum(turns) == 1_000 * lines
    assert max(turns) <= COMMANDS_AT_ONCE * lines


def test_long_commands_of_a_stranger(store: LocalMailStore) -> None:
    """A few of them fill a read: turns are counted in octets, too, and over all reads."""
    ctx = Talk(store)
    command = b"a ID (" + b" ".join(b'"%d" "%s"' % (n, b"x" * 20) for n in range(30)) + b")\r\n"
    answered, most = 0, (4 << 10) // len(command) + 1
    for _ in range(40):
        turns = answers_by_turn(ctx, command * 2)
        answered += turns[0]
        assert len(turns) <= 2
        assert answered <= 2 * most + 1
        if len(turns) > 1:
            answered = turns[1]
    assert sum(answers_by_turn(ctx, command * 100)) == 200
    assert max(answers_by_turn(ctx, command * 100)) <= 2 * most


@pytest.mark.parametrize("name", [b"%x", b"&AOE-%x", b'"%x"', b"{5+}\r\n%05x"])
def test_a_command_with_thousands_of_names(store: LocalMailStore, name: bytes) -> None:
    """What it says is found out beside the loop, a mistake at its end too; what was pipelined behind it waits."""
    ctx = Talk(store).sign_in()
    names = b" ".join([name % at for at in range(60_000 // (len(name) + 4) if b"{" not in name else 900)])
    for events, answer in ((b"MessageNew MessageExpunge", b"OK"), (b"MessageNew", b"BAD")):
        ctx.session.feed(b"a NOTIFY SET (MAILBOXES (%b) (%b))\r\nb NOOP\r\n" % (names, events))
        step = ctx.session.next()
        assert isinstance(step, Decode)
        ctx.carry_out(step)
        answers = ctx.run().splitlines()
        assert [line.split()[:2] for line in answers] == [[b"a", answer], [b"b", b"OK"]]


def test_a_session_that_is_cut_while_a_long_command_is_read(store: LocalMailStore) -> None:
    """Nothing of it is done any more."""
    ctx = Talk(store).sign_in()
    ctx.session.feed(b"a CREATE Later" + b" " * 10_000 + b"\r\n")
    step = ctx.session.next()
    assert isinstance(step, Decode)
    ctx.session.end("Suspended.")
    ctx.carry_out(step)
    assert ctx.run() == b"* BYE Suspended.\r\n"
    assert "Later" not in [folder.name for folder in ctx.account.folders()]


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"STAT\r\n"])
def test_commands_of_pop3(store: LocalMailStore, command: bytes) -> None:
    turns = answers_by_turn(Pop3Talk(store).sign_in(), command * 1_000)
    assert sum(turns) == 1_000
    assert max(turns) <= COMMANDS_AT_ONCE


def test_empty_lines_are_passed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anybody has signed in: not one by one, for a third of a second."""
    reader, steps = Reader(GRAMMAR, Limits.before_sign_in()), []
    consume = Reader._consume
    monkeypatch.setattr(Reader, "_consume", lambda self, stop: (steps.append(stop), consume(self, stop)))
    reader.feed(b"\r\n\n\r\n" * 50_000 + b"a NOO")
    assert reader.next() is NEED_INPUT
    assert len(steps) <= 3
    reader.feed(b"P\r\n\r\n")
    assert reader.next().tag == b"a"  # type: ignore[union-attr]
    assert reader.next() is NEED_INPUT


@pytest.mark.parametrize("protocol", ["imap", "pop3", "ldap"])
def test_who_always_has_something_to_say_signs_in_in_time_or_is_out(store: LocalMailStore, protocol: str) -> None:
    """Not only who is waited for."""
    ctx: Talk | Pop3Talk | LdapTalk
    match protocol:
        case "imap":
            ctx, words = Talk(store), b"a NOOP\r\n"
        case "pop3":
            ctx, words = Pop3Talk(store), b"CAPA\r\n"
        case _:
            ctx, words = LdapTalk(Tree(small_book())), search(3, "(objectClass=*)", "+", base="", scope=0)
    assert ctx.say(words)
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=190))
    said = ctx.say(words * 3)
    assert ctx.over
    assert said in {b"", b"* BYE Ket noi bi dong vi qua lau chua dang nhap. / Autologout; no sign-in in time.\r\n"}
