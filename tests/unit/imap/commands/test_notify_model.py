"""Random commands of several sessions: a client that listens by NOTIFY knows what there is."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.imap.mailbox_names.name_events import NameEvent, Renamed, name_events
from session_harness import Talk, open_store
from unit.imap.commands.notify_model import BOX, STEP, Model, in_box, itself, listener, moved_below, notice


@pytest.mark.slow
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
                    model.receive(answer := ctx.say(b"c " + octets + b"\r\n"))
                    assert b"SERVERBUG" not in answer
                    model.act(answer, octets, selected)
                    if octets.startswith(b"UNSELECT"):
                        selected = ""
                    elif octets.startswith(b"SELECT"):
                        selected = octets[7:].decode() if b"c OK" in answer else ""
                        if selected:
                            model.receive(ctx.say(b"f FETCH 1:* (UID FLAGS)\r\n"))
                elif who < 3:
                    if others[who - 1].over:
                        others[who - 1] = Talk(store, boxes=[BOX]).sign_in()
                    answer = others[who - 1].say(b"o " + octets + b"\r\n")
                    assert b"SERVERBUG" not in answer
                    if b"o OK" in answer:
                        selected = renamed(selected, octets)
                else:
                    model.receive(notice(ctx))
                    if group != b"SELECTED" and not ctx.over:
                        model.receive(ctx.say(b"q NOOP\r\n"))
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
