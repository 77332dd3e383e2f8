"""What a server has promised, and whether it kept it: the books of a test that kills.

    message(token)    the octets of a message, made from its token alone: whoever knows the token knows every octet
    Deliveries        tokens that were sent to mailboxes by SMTP, and which of them were acknowledged
    Numbers           which message each UID of an account has ever meant
    Tree              the folders of one IMAP client that nobody else touches, and the one change that is under way

Nothing here knows how the server works. Whatever is under way when the server is killed has happened wholly or not at all;
everything before it has happened, everything else has not.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MARK = b"X-Token: "


def message(token: str) -> bytes:
    """Mostly small, some larger than what a server holds in memory; with lines that begin with dots."""
    dice = random.Random(token)
    octets = dice.choice([0, 60, 500, 2000, 2000, 4000, 70_000] + [400_000] * (dice.random() < 0.2))
    head = f"{MARK.decode()}{token}\r\nFrom: sender@example.org\r\nSubject: {token}\r\n\r\n".encode()
    line = b"." * dice.randint(0, 2) + dice.randbytes(30).hex().encode() + b"\r\n"
    return head + line * (octets // len(line))


def identify(octets: bytes, *, traced: bool | None = None) -> str:
    """The token of a message that must be there octet for octet, behind a trace header (`traced`) or without one."""
    start = octets.index(MARK)
    token = octets[start + len(MARK) : octets.index(b"\r\n", start)].decode()
    assert octets[start:] == message(token), f"{token} has changed: {digest(octets[start:])}"
    if start:
        assert octets.startswith(b"Return-Path: <"), octets[:start]
    assert traced is None or traced == (start > 0), (token, start)
    return token


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()[:16]


@dataclass(frozen=True)
class Message:
    """A message in a folder."""

    token: str
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Seen:
    """A folder as a client found it."""

    uidvalidity: int
    uidnext: int
    messages: Mapping[int, Message]


Account = Mapping[str, Seen]
"""All folders of an account by name."""


class Numbers:
    """UIDs of one account: (UIDVALIDITY, UID) means one message for ever."""

    def __init__(self) -> None:
        self._meaning: dict[tuple[int, int], str] = {}
        self._highest: dict[int, int] = {}

    def learn(self, uidvalidity: int, pairs: Iterable[tuple[int, str]]) -> None:
        """Somebody has seen these, or was told them."""
        for uid, token in pairs:
            known = self._meaning.setdefault((uidvalidity, uid), token)
            assert known == token, f"UID {uid} of {uidvalidity} was {known} and is {token}"
            self._highest[uidvalidity] = max(uid, self._highest.get(uidvalidity, 0))

    def check(self, account: Account) -> None:
        for name, seen in account.items():
            self.learn(seen.uidvalidity, ((uid, one.token) for uid, one in seen.messages.items()))
            assert seen.uidnext > self._highest.get(seen.uidvalidity, 0), (name, seen.uidnext)


class Deliveries:
    """Messages sent by SMTP. They may be moved afterwards, never copied and never expunged."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, ...]] = {}
        self.acknowledged: dict[str, None] = {}

    def send(self, token: str, recipients: Sequence[str]) -> None:
        self.sent[token] = tuple(recipients)

    def acknowledge(self, token: str) -> None:
        self.acknowledged[token] = None

    def refuse(self, token: str) -> None:
        """Told to come again: it must not be there."""
        del self.sent[token]

    def check(self, address: str, account: Account) -> None:
        """Every acknowledged message is there once, every other one at most once, and nothing else."""
        found = Counter(one.token for seen in account.values() for one in seen.messages.values() if one.token in self.sent)
        for token, recipients in self.sent.items():
            wanted = address in recipients
            if wanted and token in self.acknowledged:
                assert found[token] == 1, f"{token} is there {found[token]} times"
            else:
                assert found[token] <= wanted, f"{token} is there {found[token]} times"

    def check_order(self, sender: str, inbox: Seen, address: str) -> None:
        """What one session sent to one mailbox, each after the acknowledgement of the one before, has rising UIDs."""
        uids = {one.token: uid for uid, one in inbox.messages.items()}
        mine = [token for token in self.acknowledged if token.startswith(f"{sender}-") and self.sent[token] == (address,)]
        there = [uids[token] for token in mine if token in uids]
        assert there == sorted(there), (sender, there)


@dataclass
class Folder:
    """A folder as it should be: messages by UID, and new ones, in order, whose UIDs nobody was told."""

    kept: dict[int, Message] = field(default_factory=dict)
    new: tuple[Message, ...] = ()
    uidvalidity: int | None = None

    def agrees(self, seen: Seen, known_up_to: int) -> bool:
        new = [(uid, one) for uid, one in sorted(seen.messages.items()) if uid not in self.kept]
        return (
            self.uidvalidity in (None, seen.uidvalidity)
            and {uid: one for uid, one in seen.messages.items() if uid in self.kept} == self.kept
            and tuple(one for _, one in new) == self.new
            and all(uid > known_up_to for uid, _ in new)
        )


State = dict[str, Folder]


class Tree:
    """The folders of one client: `begin` a change, then `done` or `refused`; after a kill, `settle` with what is found."""

    def __init__(self) -> None:
        self.state: State = {}
        self._changed: State | None = None
        self._highest: dict[str, int] = {}

    def copy(self) -> State:
        """To be changed and handed to `begin`."""
        return {name: Folder(dict(folder.kept), folder.new, folder.uidvalidity) for name, folder in self.state.items()}

    def begin(self, changed: State) -> None:
        """The state after a change that is about to be asked for."""
        assert self._changed is None
        self._changed = changed

    def refused(self) -> None:
        self._changed = None

    @property
    def in_doubt(self) -> bool:
        """A change was asked for and not answered."""
        return self._changed is not None

    def done(self, told: Mapping[str, Sequence[int]] | None = None, uidvalidity: Mapping[str, int] | None = None) -> None:
        """The change was acknowledged; `told` are the UIDs of the new messages of folders, in order."""
        assert self._changed is not None
        self.state, self._changed = self._changed, None
        for name, uids in (told or {}).items():
            folder = self.state[name]
            folder.kept |= dict(zip(uids, folder.new, strict=True))
            folder.new = ()
        for name, value in (uidvalidity or {}).items():
            self.state[name].uidvalidity = value

    def settle(self, account: Account, mine: Collection[str]) -> None:
        """`mine` are the names found that could be this client's. From here on, what was found is the state."""
        found = {name: account[name] for name in mine}
        if not self._agrees(self.state, found):
            assert self._changed is not None, self._difference(self.state, found)
            assert self._agrees(self._changed, found), (
                self._difference(self.state, found),
                self._difference(self._changed, found),
            )
        self._changed = None
        self.state = {name: Folder(dict(seen.messages), (), seen.uidvalidity) for name, seen in found.items()}

    def forget_flags(self, account: Account, tokens: Collection[str]) -> None:
        """The flags of these may be older than promised: believe what is found."""
        for state in filter(None, (self.state, self._changed)):
            for name, folder in state.items():
                for uid, one in folder.kept.items():
                    found = account[name].messages.get(uid) if name in account else None
                    if one.token in tokens and found is not None and found.token == one.token:
                        folder.kept[uid] = found

    @staticmethod
    def _agrees(state: State, found: Account) -> bool:
        return state.keys() == found.keys() and all(
            folder.agrees(found[name], max(folder.kept, default=0)) for name, folder in state.items()
        )

    @staticmethod
    def _difference(state: State, found: Account) -> list[object]:
        """Where books and findings differ, for people."""
        lines: list[object] = [("folders", set(state) ^ set(found))]
        for name in state.keys() & found.keys():
            promised, there = state[name].kept, found[name].messages
            lines += [
                (name, uid, promised.get(uid), there.get(uid))
                for uid in {*promised, *there}
                if promised.get(uid) != there.get(uid)
            ]
            lines.append((name, "promised without UIDs", state[name].new, state[name].uidvalidity, found[name].uidvalidity))
        return lines
