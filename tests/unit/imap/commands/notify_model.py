"""A model of a client that listens by NOTIFY, and commands of others that it hears of."""

import re
from collections.abc import Callable

from hypothesis import strategies as st

from mic_mail.policy.unit_mail.delegation import RIGHTS
from mic_mail.services.authentication.shared_mailboxes import SharedMailbox, shared_folder
from mic_mail.storage.local_mailstore import LocalMailStore
from mic_mail.storage.types import AccountRef
from session_harness import Talk

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
BOX = SharedMailbox("cntt", "cntt@mic.gov.vn", AccountRef(8, "mic.gov.vn/cntt"), RIGHTS, 1 << 30)
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

    def receive(self, octets: bytes) -> None:
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


def listener(store: LocalMailStore, model: Model, group: bytes) -> Talk:
    """A session that wants to hear everything, of the own account or of the unit's."""
    ctx = Talk(store, boxes=[BOX]).sign_in()
    shared = model.called is in_box
    model.receive(ctx.say(b'l LIST "" "%s*" RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))\r\n' % (b"Shared/" if shared else b"")))
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
    model.receive(answer)
    return ctx
