"""NOTIFY (RFC 5465): a client that only listens knows as much as one that asks; it is told no more than it asked for."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.connection.actions import Action, Send
from mic_mail.imap.actions import SubscribeAccounts, Waiting, Work
from mic_mail.imap.mailbox_names.name_events import NameEvent, Renamed, name_events
from mic_mail.policy.unit_mail.delegation import RIGHTS
from mic_mail.services.authentication.shared_mailboxes import Shared, shared_folder
from mic_mail.storage.changes.transaction import writing
from mic_mail.storage.errors import Unavailable
from mic_mail.storage.mailstore import MailStore
from mic_mail.storage.types import AccountRef
from session_harness import Talk, open_store

NAMES = ("INBOX", "Trash", "Viec", "Viec/Con", "Viec/Con/Nua", "Xong", "Xong/Con", "Het")
NAME = st.sampled_from(NAMES).map(str.encode)
FLAGS = st.sampled_from([b"+FLAGS (\\Seen)", b"-FLAGS (\\Seen)", b"+FLAGS (\\Deleted)", b"FLAGS ($Viec \\Flagged)"])
UIDS = st.sampled_from([b"1", b"2", b"1:3", b"2:9", b"4,6", b"1:*"])
APPEND = b" {21+}\r\nSubject: x\r\n\r\nnoi gi"


def command(*parts: object) -> st.SearchStrategy[bytes]:
    pieces = [st.just(part) if isinstance(part, bytes) else part for part in parts]
    return st.tuples(*pieces).map(b"".join)  # type: ignore[arg-type]


COMMANDS = st.one_of(
    command(b"APPEND ", NAME, APPEND), command(b"SELECT ", NAME), command(b"UID STORE ", UIDS, b" ", FLAGS),
    command(b"UID COPY ", UIDS, b" ", NAME), command(b"UID MOVE ", UIDS, b" ", NAME), st.just(b"EXPUNGE"), st.just(b"CLOSE"),
    command(b"CREATE ", NAME), command(b"DELETE ", NAME), command(b"RENAME ", NAME, b" ", NAME),
    command(b"SUBSCRIBE ", NAME), command(b"UNSUBSCRIBE ", NAME),
)  # fmt: skip
LISTENERS = st.one_of(
    command(b"SELECT ", st.sampled_from([b"INBOX", b"Trash"])), st.just(b"UNSELECT"), st.just(b"NOOP"),
    command(b"UID FETCH ", UIDS, b" (FLAGS)"), command(b"UID STORE ", UIDS, b" ", FLAGS),
    command(b"UID COPY ", UIDS, b" Trash"), command(b"APPEND INBOX", APPEND), command(b"UID MOVE ", UIDS, b" Trash"),
)  # fmt: skip
BOX = Shared("cntt", "cntt@mic.gov.vn", AccountRef(8, "mic.gov.vn/cntt"), RIGHTS, 1 << 30)
"""A unit's mailbox, whose folders have the same names below `Shared/`."""
STEP = st.one_of(st.tuples(st.integers(1, 2), COMMANDS), st.tuples(st.just(0), LISTENERS), st.just((3, b"")))
"""Who says what; 0 is the listener, 3 the change feed's hint."""


def in_box(name: str) -> str:
    """What a folder of the unit's is called."""
    return shared_folder(BOX.name, name)


def itself(name: str) -> str:
    return name


def moved_below(octets: bytes) -> bytes:
    """A command with its names moved below `Shared/`."""
    names = b"|".join(sorted((name.encode() for name in NAMES), key=len, reverse=True))
    return re.sub(rb"(?<= )(" + names + rb")(?= |$)", lambda found: in_box(found[1].decode()).encode(), octets)


class Model:
    """What the listening client believes, from what it hears alone; `called`: what its account's folders are called."""

    def __init__(self, called: Callable[[str], str] = itself) -> None:
        self.called = called
        self.folders: set[str] = set()
        self.status: dict[str, dict[str, int]] = {}
        self.subscribed: set[str] = set()
        self.uidnext = 1
        """Of the open mailbox, as SELECT told it."""
        self.messages: list[tuple[int | None, frozenset[str] | None]] = []
        """(UID, flags) by sequence number; None until it is told."""
        self.before: list[tuple[int | None, frozenset[str] | None]] = []
        """The same, before the command in progress."""

    def hear(self, octets: bytes) -> None:
        for line in octets.decode().split("\r\n"):
            if found := re.fullmatch(r"\* (\d+) EXISTS", line):
                self.messages += [(None, None)] * (int(found[1]) - len(self.messages))
            elif found := re.fullmatch(r"\* (\d+) EXPUNGE", line):
                del self.messages[int(found[1]) - 1]
            elif found := re.fullmatch(r"\* (\d+) FETCH \(UID (\d+) FLAGS \((.*)\)\)", line):
                flags = frozenset(found[3].split()) - {"\\Recent"}
                self.messages[int(found[1]) - 1] = (int(found[2]), flags)
            elif found := re.fullmatch(r"\* OK \[UIDNEXT (\d+)\].*", line):
                self.uidnext = int(found[1])
            elif found := re.fullmatch(r'\* STATUS "(.*)" \((.*)\)', line):
                words = found[2].split()
                self.status.setdefault(found[1], {}).update(zip(words[::2], map(int, words[1::2]), strict=True))
            elif found := re.fullmatch(r'\* LIST \((.*)\) "/" "(.*?)"(?: \("OLDNAME" \("(.*)"\)\))?', line):
                self._hear_list(found[2], set(found[1].split()), found[3])

    def leave(self, selected: str) -> None:
        """The open mailbox is left: what was told of its messages is its status."""
        if selected in self.status:
            uids = [uid + 1 for uid, _ in self.messages if uid is not None]
            self.status[selected].update(MESSAGES=len(self.messages), UIDNEXT=max([self.uidnext, *uids]))
        self.messages = []

    def act(self, answer: bytes, octets: bytes, selected: str) -> None:
        """What the client knows of its own change, by APPENDUID and COPYUID: it is not told (RFC 5465 §5)."""
        came: list[int] = []
        unseen: list[bool | None] = []
        target = self.called("INBOX" if octets.startswith(b"APPEND") else "Trash")
        if found := re.search(rb"APPENDUID \d+ (\d+)", answer):
            came, unseen = [int(found[1])], [True]
        elif found := re.search(rb"COPYUID \d+ (\S+) (\S+)]", answer):
            came = expanded(found[2])
            flags = dict(self.before)
            unseen = [None if flags.get(uid) is None else "\\Seen" not in (flags[uid] or ()) for uid in expanded(found[1])]
        if came and target == selected:
            self.uidnext = max(self.uidnext, came[-1] + 1)
        if not came or target == selected or target not in self.status:
            return
        known = self.status[target]
        known["MESSAGES"] += len(came)
        known["UIDNEXT"] = max(known["UIDNEXT"], came[-1] + 1)
        if None in unseen:
            known.pop("UNSEEN", None)
        elif "UNSEEN" in known:
            known["UNSEEN"] += sum(map(bool, unseen))

    def _hear_list(self, name: str, attributes: set[str], old: str | None) -> None:
        if old == self.called("INBOX"):  # a new one is assumed to be there (RFC 5465 §5.4)
            old = None
        if old is not None:
            for held in sorted(self.folders):
                if held == old or held.startswith(old + "/"):
                    self.folders.discard(held)
                    self.folders.add(name + held[len(old) :])
                    if held in self.status:
                        self.status[name + held[len(old) :]] = self.status.pop(held)
        (self.subscribed.add if "\\Subscribed" in attributes else self.subscribed.discard)(name)
        if "\\NonExistent" in attributes:
            self.folders.discard(name)
            self.status.pop(name, None)
        else:
            self.folders.add(name)
            self.status.setdefault(name, {"MESSAGES": 0, "UIDNEXT": 1, "UNSEEN": 0})


def expanded(numbers: bytes) -> list[int]:
    ends = [tuple(map(int, part.split(b":"))) for part in numbers.split(b",")]
    return [number for pair in ends for number in range(pair[0], pair[-1] + 1)]


def notice(ctx: Talk) -> bytes:
    """The change feed tells a session that its account, and those that it follows, have moved."""
    ctx.session.noticed(ctx.account.highest_modseq())
    attended = ctx.attended[-1] if ctx.attended else None
    if attended is not None:
        ctx.session.noticed(ctx.store.account(attended).highest_modseq(), there=True)
    for at in ctx.overheard.accounts:
        ctx.session.account_changed(at.account_id, ctx.store.account(at).highest_modseq())
    return ctx.run()


def listener(store: MailStore, model: Model, group: bytes) -> Talk:
    """A session that wants to hear everything, of the own account or of the unit's."""
    ctx = Talk(store, boxes=[BOX]).sign_in()
    shared = model.called is in_box
    model.hear(ctx.say(b'l LIST "" "%s*" RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))\r\n' % (b"Shared/" if shared else b"")))
    model.folders = {name for name in model.folders if name.startswith("Shared/") is shared}
    model.subscribed = set(ctx.account.subscriptions())
    answer = ctx.say(
        b"n NOTIFY SET STATUS ("
        + group
        + b" (MessageNew (UID FLAGS) MessageExpunge FlagChange)) ("
        + (b"SUBTREE Shared" if shared else b"PERSONAL")
        + b" (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))\r\n"
    )
    assert b"n OK" in answer
    model.hear(answer)
    return ctx


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from([b"SELECTED", b"SELECTED-DELAYED"]),
    st.sampled_from([itself, in_box]),
    st.lists(STEP, min_size=5, max_size=50),
)
@example(
    b"SELECTED",
    itself,
    [(0, b"SELECT Trash"), (1, b"RENAME Trash Viec"), (1, b"APPEND Viec {21+}\r\nSubject: x\r\n\r\nnoi gi")],
)
def test_who_listens_knows_what_there_is(group: bytes, called: Callable[[str], str], script: list[tuple[int, bytes]]) -> None:
    """At every quiet point the folders, their counts and the messages of the open one are what the client was told."""
    if called is in_box:
        script = [(who, moved_below(octets)) for who, octets in script]
    with folder_in_memory() as folder:
        store = open_store(folder)
        try:
            others = [Talk(store, boxes=[BOX]).sign_in(), Talk(store, boxes=[BOX]).sign_in()]
            model = Model(called)
            ctx = listener(store, model, group)
            selected = ""
            for who, octets in [*script, (3, b"")]:
                if ctx.over:  # its mailbox was deleted
                    break
                if who == 0:
                    if octets.startswith((b"SELECT", b"UNSELECT")):
                        model.leave(selected)
                    model.before = list(model.messages)
                    model.hear(answer := ctx.say(b"c " + octets + b"\r\n"))
                    assert b"SERVERBUG" not in answer
                    model.act(answer, octets, selected)
                    if octets.startswith(b"UNSELECT"):
                        selected = ""
                    elif octets.startswith(b"SELECT"):
                        selected = octets[7:].decode() if b"c OK" in answer else ""
                        if selected:
                            model.hear(ctx.say(b"f FETCH 1:* (UID FLAGS)\r\n"))
                elif who < 3:
                    if others[who - 1].over:
                        others[who - 1] = Talk(store, boxes=[BOX]).sign_in()
                    answer = others[who - 1].say(b"o " + octets + b"\r\n")
                    assert b"SERVERBUG" not in answer
                    if b"o OK" in answer:
                        selected = renamed(selected, octets)
                else:
                    model.hear(notice(ctx))
                    if group != b"SELECTED" and not ctx.over:
                        model.hear(ctx.say(b"q NOOP\r\n"))
                    if not ctx.over:
                        agrees(model, ctx, selected)
                assert not ctx.notes or ctx.notes[-1].error is None, ctx.notes[-1]
        finally:
            store.close()


def renamed(selected: str, octets: bytes) -> str:
    """The name of the open mailbox after a command of somebody else: a RENAME of it, or of one above it, closes nothing."""
    command, *names = octets.decode().split()
    if command != "RENAME" or selected == "INBOX":
        return selected
    old, new = names
    return new + selected[len(old) :] if f"{selected}/".startswith(f"{old}/") else selected


def agrees(model: Model, ctx: Talk, selected: str) -> None:
    """The model is the store."""
    account = ctx.account if model.called is itself else ctx.store.account(BOX.account)
    infos = {model.called(info.name): info for info in account.folders() if info.selectable}
    assert model.folders == set(infos)
    assert model.subscribed == set(ctx.account.subscriptions())
    for name, info in infos.items():
        if name == selected:
            view = account.view(info.folder_id)
            assert [uid for uid, _ in model.messages if uid is not None] == [
                uid for (known, _), uid in zip(model.messages, view.uids, strict=True) if known is not None
            ]
            names = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", *info.keywords]
            for (uid, flags), bits in zip(model.messages, view.flags, strict=True):
                assert uid is None or flags == {word for at, word in enumerate(names) if bits >> at & 1}
        else:
            known = model.status.get(name, {})
            found = {"MESSAGES": info.messages, "UIDNEXT": info.uidnext, "UNSEEN": info.unseen}
            assert {key: known.get(key, found[key] if key == "UNSEEN" else None) for key in found} == found, name


# ------------------------------------------------------------------ names that change hands

LEAF = st.sampled_from(["A", "B", "A/B", "B/A", "A/B/C", "C", "C/A", "B/C"])
CHANGE = st.tuples(st.sampled_from(["make", "drop", "name", "name"]), LEAF, LEAF)


@settings(max_examples=500, deadline=None)
@given(st.lists(CHANGE, max_size=25), st.sets(LEAF))
def test_a_client_that_carries_out_name_events_has_the_names(changes: list[tuple[str, str, str]], unwanted: set[str]) -> None:
    """Whatever was made, dropped and renamed in between, and whichever names the client does not want to hear of."""
    before = dict(enumerate(["A", "A/B", "A/B/C", "B/A"]))
    now, following = dict(before), len(before)
    for what, name, new in changes:
        names = set(now.values())
        if what == "make" and name not in names:
            now[following] = name
            following += 1
        elif what == "drop":
            now = {key: held for key, held in now.items() if held != name}
        elif what == "name" and not new.startswith(name + "/") and name != new:
            if any(held == new or held.startswith(new + "/") for held in names):
                continue
            now = {key: new + held[len(name) :] if f"{held}/".startswith(name + "/") else held for key, held in now.items()}
    events = name_events(
        [name for key, name in before.items() if key not in now],
        [Renamed(before[key], name) for key, name in now.items() if key in before and before[key] != name],
        [(name, None) for key, name in now.items() if key not in before],
        [name for key, name in now.items() if before.get(key) == name],
        lambda name: name not in unwanted,
    )
    believed = {name for name in before.values() if name not in unwanted}
    for event in events:
        if event.old_name is not None:
            below = {held for held in believed if f"{held}/".startswith(event.old_name + "/")}
            believed = (believed - below) | {event.name + held[len(event.old_name) :] for held in below} | {event.name}
        elif event.gone or event.name not in now.values():
            believed.discard(event.name)
        else:
            believed.add(event.name)
    assert {name for name in believed if name not in unwanted} == {name for name in now.values() if name not in unwanted}


def test_many_names_at_once_cost_little() -> None:
    """10,000 renames that do not hang together, and a parent with 10,000 children: about as many steps as names."""
    apart = [Renamed(f"A{at}", f"B{at}") for at in range(10_000)]
    assert len(name_events([], apart, [], [], lambda name: True)) == 10_000
    together = [Renamed("A", "B"), *(Renamed(f"A/{at}", f"B/{at}") for at in range(10_000))]
    assert name_events([], together, [], [], lambda name: True) == [NameEvent("B", "A")]
    chain = [Renamed(f"A{at:05}", f"A{at + 1:05}") for at in range(1, 10_000)]
    assert len(name_events([], chain, [], [], lambda name: True)) >= 9_999


# ------------------------------------------------------------------ too much


def test_what_is_too_much_is_not_told(store: MailStore) -> None:
    """More than 10,000 messages in one look: NOTIFICATIONOVERFLOW, then silence as after NOTIFY NONE (RFC 5465 §5.8)."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    for each in (ctx, other):
        each.say(b"s SELECT INBOX\r\n")
    groups = b"(SELECTED (MessageNew (UID) MessageExpunge)) (PERSONAL (MessageNew MessageExpunge))"
    assert b"n OK" in ctx.say(b"n NOTIFY SET " + groups + b"\r\n")
    other.say(b"a APPEND INBOX" + b" {20+}\r\nSubject: x\r\n\r\nnoi gi" * 700 + b"\r\n")
    assert notice(ctx).count(b" FETCH (UID ") == 700
    for _ in range(4):
        assert b"c OK" in other.say(b"n NOOP\r\nc COPY 1:* INBOX\r\n")
    assert notice(ctx) == b"* OK [NOTIFICATIONOVERFLOW] Too many events; notifications are off.\r\n"
    other.say(b"d APPEND Sent {21+}\r\nSubject: x\r\n\r\nnoi gi\r\n")
    assert notice(ctx) == b""
    assert ctx.say(b"e NOOP\r\n") == b"e OK NOOP completed.\r\n"
    answer = ctx.say(b"f NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge))\r\n")
    assert b"* 11200 EXISTS\r\n" in answer
    assert b" FETCH " not in answer


def test_a_look_that_fails_is_taken_again(store: MailStore) -> None:
    """A store that cannot answer now costs a second, not the connection and not what is to be told."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"n NOTIFY SET (PERSONAL (MessageNew MessageExpunge))\r\n")
    other.say(b"a APPEND Sent {21+}\r\nSubject: x\r\n\r\nnoi gi\r\n")
    ctx.session.noticed(ctx.account.highest_modseq())
    step = ctx.session.next()
    assert isinstance(step, Work)
    ctx.session.failed(step, Unavailable("busy"))
    assert ctx.run() == b""
    assert isinstance(ctx.waiting, Waiting)
    assert ctx.waiting.until == ctx.clock.monotonic() + 1.0
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=1))
    assert ctx.run().startswith(b'* STATUS "Sent" (MESSAGES 1 ')


def test_a_unit_that_cannot_be_read_keeps_nothing_else_back(store: MailStore) -> None:
    """The own mailbox is told of meanwhile; the unit's is looked at again a second later, also where it was never read."""
    for at_once in (True, False):
        ctx, other = Talk(store, boxes=[BOX]).sign_in(), Talk(store, boxes=[BOX]).sign_in()
        busy = Busy(ctx, at_once=at_once)
        busy.say(b"n NOTIFY SET (SUBTREE Shared (MessageNew MessageExpunge)) (PERSONAL (MessageNew MessageExpunge))\r\n")
        other.say(b"a APPEND Shared/cntt" + APPEND + b"\r\nb APPEND Sent" + APPEND + b"\r\n")
        busy.is_busy = True
        assert re.fullmatch(rb'\* STATUS "Sent" \(.*\)\r\n', notice(ctx))
        assert isinstance(ctx.waiting, Waiting)
        assert ctx.waiting.until == ctx.clock.monotonic() + 1.0
        busy.is_busy = False
        ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=1))
        assert re.fullmatch(rb'\* STATUS "Shared/cntt" \(.*\)\r\n', ctx.run())


def test_a_look_that_nobody_waits_for_any_more_wakes_nobody(store: MailStore) -> None:
    """The unit's account was busy as its folder was left, which is opened again: nothing is due, and no time to wait for."""
    ctx, other = Talk(store, boxes=[BOX]).sign_in(), Talk(store, boxes=[BOX]).sign_in()
    busy = Busy(ctx, at_once=False)
    busy.say(b"n NOTIFY SET (SUBTREE Shared (MessageNew MessageExpunge))\r\ns SELECT Shared/cntt\r\n")
    other.say(b"a APPEND Shared/cntt" + APPEND + b"\r\n")
    assert notice(ctx) == b""
    busy.is_busy = True
    busy.say(b"u UNSELECT\r\n")
    busy.is_busy = False
    assert b"s OK" in busy.say(b"s SELECT Shared/cntt\r\n")
    ctx.clock.move_to(ctx.clock.now() + timedelta(seconds=2))
    assert ctx.run() == b""
    assert isinstance(ctx.waiting, Waiting)
    assert ctx.waiting.until > ctx.clock.monotonic() + 60


class Busy:
    """Makes work on the unit's account fail while `is_busy`, `at_once` from the beginning."""

    def __init__(self, ctx: Talk, *, at_once: bool) -> None:
        self.is_busy = at_once
        self._carry_out = ctx.carry_out
        self._talk = ctx
        ctx.carry_out = self._refusing  # type: ignore[method-assign]

    def say(self, octets: bytes) -> bytes:
        return self._talk.say(octets)

    def _refusing(self, action: Action) -> None:
        if self.is_busy and isinstance(action, Work) and action.account == BOX.account:
            self._talk.session.failed(action, Unavailable("busy"))
        else:
            self._carry_out(action)


def test_so_many_accounts_are_followed_and_no_more(store: MailStore) -> None:
    """32 below `Shared/`; more are refused as too expensive (RFC 5465 §3.1), or are too much when they come (§5.8)."""
    boxes = [replace(BOX, name=f"u{at}", account=AccountRef(10 + at, f"mic.gov.vn/u{at}")) for at in range(33)]
    groups = b"(SUBTREE Shared (MessageNew MessageExpunge))"
    ctx = Talk(store, boxes=boxes).sign_in()
    assert b"a NO [NOTIFICATIONOVERFLOW]" in ctx.say(b"a NOTIFY SET " + groups + b"\r\n")
    assert not ctx.overheard.accounts
    last = ctx.host.boxes.pop("u32")
    assert b"b OK" in ctx.say(b"b NOTIFY SET " + groups + b"\r\n")
    assert len(ctx.overheard.accounts) == 32
    ctx.host.boxes["u32"] = last
    ctx.session.shared_mailboxes_changed()
    assert ctx.run().startswith(b"* OK [NOTIFICATIONOVERFLOW]")
    assert (len(ctx.overheard.accounts), ctx.overheard.rights) == (0, False)


def test_a_refused_notify_forgets_no_change(store: MailStore) -> None:
    """A unit that became visible meanwhile is told by the NOTIFY that goes on, which a refused one leaves as it was."""
    boxes = [replace(BOX, name=f"u{at}", account=AccountRef(10 + at, f"mic.gov.vn/u{at}")) for at in range(33)]
    ctx = Talk(store, boxes=boxes).sign_in()
    later = [ctx.host.boxes.pop(f"u{at}") for at in range(1, 33)]
    assert b"a OK" in ctx.say(b"a NOTIFY SET (MAILBOXES (Shared/u0/INBOX Shared/u1/INBOX) (MessageNew MessageExpunge))\r\n")
    carry_out = ctx.carry_out

    def meanwhile(action: Action) -> None:
        if isinstance(action, Work) and not ctx.host.boxes.keys() >= {box.name for box in later}:
            ctx.host.boxes.update({box.name: box for box in later})
            ctx.session.shared_mailboxes_changed()
        carry_out(action)

    ctx.carry_out = meanwhile  # type: ignore[method-assign]
    told = ctx.say(b"b NOTIFY SET (SUBTREE Shared (MessageNew MessageExpunge))\r\n")
    assert b"b NO [NOTIFICATIONOVERFLOW]" in told
    ctx.run()
    assert len(ctx.overheard.accounts) == 2


def test_only_what_is_asked_for_is_followed(store: MailStore) -> None:
    """A session whose NOTIFY names nothing below `Shared/` is not woken by units, nor when rights move."""
    ctx = Talk(store, boxes=[BOX]).sign_in()
    ctx.say(b"a NOTIFY SET (PERSONAL (MessageNew MessageExpunge)) (SUBSCRIBED (MailboxName))\r\n")
    assert ctx.overheard == SubscribeAccounts()
    ctx.say(b"b SUBSCRIBE Shared/cntt/Sent\r\n")
    assert ctx.overheard == SubscribeAccounts(frozenset([BOX.account]), rights=True)
    ctx.say(b"c UNSUBSCRIBE Shared/cntt/Sent\r\n")
    assert ctx.overheard == SubscribeAccounts()


@pytest.mark.parametrize("by_itself", [True, False])
def test_from_the_word_on_a_subscription_all_is_told(store: MailStore, by_itself: bool) -> None:
    """What comes in the moment in which the client hears that it has subscribed, at the latest: nobody else tells it."""
    ctx, other = Talk(store, boxes=[BOX]).sign_in(), Talk(store, boxes=[BOX]).sign_in()
    ctx.say(b"n NOTIFY SET (SUBSCRIBED (MessageNew MessageExpunge SubscriptionChange))\r\n")
    carry_out = ctx.carry_out

    def carried_out(action: Action) -> None:
        carry_out(action)
        if isinstance(action, Send) and b"Subscribed" in action.data:
            other.say(b"a APPEND Shared/cntt" + APPEND + b"\r\n")

    ctx.carry_out = carried_out  # type: ignore[method-assign]
    subscribing = ctx if by_itself else other
    subscribing.say(b"s SUBSCRIBE Shared/cntt\r\n")
    assert b'* STATUS "Shared/cntt" (MESSAGES 1 ' in notice(ctx) + notice(ctx)


def test_the_selected_mailbox_is_deleted(store: MailStore) -> None:
    """What is to be told of others comes first, then the session ends, as it does in IDLE."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT Trash\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge)) (PERSONAL (MailboxName))\r\n")
    other.say(b"d DELETE Trash\r\n")
    listed = b'* LIST (\\NonExistent \\HasNoChildren \\Subscribed) "/" "Trash"\r\n'
    assert notice(ctx) == listed + b"* BYE Thu muc dang mo da bi xoa. / The mailbox has been deleted.\r\n"


def test_an_index_made_anew_hides_nothing(store: MailStore) -> None:
    """A folder that went while its row was lost is told: the number of folders does not fit, so all are compared."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    other.say(b"c CREATE Viec\r\n")
    ctx.say(b"n NOTIFY SET (PERSONAL (MailboxName MessageNew MessageExpunge))\r\n")
    other.say(b"d DELETE Viec\r\n")
    real = store.store(ctx.account.ref)
    with writing(real) as write:
        write.connection.execute("DELETE FROM folder WHERE deleted_at_us IS NOT NULL")
        write.announce()
    assert notice(ctx) == b'* LIST (\\NonExistent \\HasNoChildren) "/" "Viec"\r\n'


def test_a_session_without_notify_waits_as_before(store: MailStore) -> None:
    """It is not woken by changes, and holds nothing of other folders."""
    ctx = Talk(store).sign_in()
    assert not isinstance(ctx.waiting, Waiting)
    work = ctx.work
    Talk(store).sign_in().say(b"a APPEND Sent {21+}\r\nSubject: x\r\n\r\nnoi gi\r\n")
    assert notice(ctx) == b""
    assert ctx.work == work


def test_what_the_client_appends_itself_is_not_fetched(store: MailStore) -> None:
    """EXISTS counts it, FETCH is for what others put there (RFC 5465 §5.2)."""
    ctx, other = Talk(store).sign_in(), Talk(store).sign_in()
    ctx.say(b"s SELECT INBOX\r\n")
    ctx.say(b"n NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge)) (PERSONAL (MessageNew MessageExpunge))\r\n")
    heard = ctx.say(b"a APPEND INBOX" + APPEND + b"\r\n") + notice(ctx)
    assert b"* 1 EXISTS\r\n" in heard
    assert b"FETCH" not in heard
    other.say(b"a APPEND INBOX" + APPEND + b"\r\n")
    assert notice(ctx).endswith(b"* 2 FETCH (UID 2)\r\n")


def test_what_happens_while_followed_searches_are_looked_at_is_told_too(store: MailStore) -> None:
    """An expunge that the change feed tells of in the middle of an update: nobody calls again, so it is looked for."""
    other = Talk(store).sign_in()
    for _ in range(2):
        assert b"OK" in other.say(b"a APPEND INBOX" + APPEND + b"\r\n")
    other.say(b"s SELECT INBOX\r\n")

    class Interrupted(Talk):
        """Another session expunges when its n-th work from now on has been done."""

        until = -1

        def carry_out(self, action: Action) -> None:
            super().carry_out(action)
            if isinstance(action, Work):
                self.until -= 1
                if self.until == 0:
                    assert b"EXPUNGE" in other.say(b"x EXPUNGE\r\n")
                    self.session.noticed(self.account.highest_modseq())

    for idle in (b"", b"i IDLE\r\n"):
        for place in range(1, 4):
            listener = Interrupted(store).sign_in()
            assert b"OK" in other.say(b"a APPEND INBOX" + APPEND + b"\r\n")
            listener.say(b"s SELECT INBOX\r\n")
            listener.say(b"f SEARCH RETURN (UPDATE) TEXT noi\r\n")
            listener.say(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))\r\n")
            if idle:
                listener.say(idle)
            other.say(b"d STORE 1 +FLAGS (\\Deleted)\r\n")
            listener.until = place
            assert listener.session.noticed(listener.account.highest_modseq())
            told = listener.run()
            if listener.until <= 0:
                assert b"* 1 EXPUNGE" in told, (idle, place, told)
            else:
                assert place == 3, told
                other.say(b"x EXPUNGE\r\n")
