"""Clients that work without a pause, each writing into the books (ledger.py) what it asked for and what it was promised.

    Sender     SMTP: messages for one or several mailboxes
    Filer      IMAP: moves delivered messages out of INBOX
    Editor     IMAP: APPEND, REPLACE, STORE, COPY, MOVE, EXPUNGE, CREATE, RENAME and DELETE in folders of its own
    Appender   IMAP: one APPEND after the other into a folder of its own, with flags and a date
    Observer   IMAP: IDLE and NOOP on INBOX; like any mail program it never looks back below the highest UID it saw

A `Site` is the server's ports and what all of them share. `Company` lets them work and stops them. An actor whose connection
is cut makes a new one; anything else that goes wrong is kept in `failure` and raised by `Company.pause`.
"""

import random
import re
import select
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from faults.ledger import Deliveries, Folder, Message, Numbers, Seen, Tree, identify, message
from faults.wire import Cut, Imap, Refused, Smtp, uid_set
from population import PASSWORD

IDLE_SECONDS = 60.0
FLAGS = ("\\Seen", "\\Flagged", "\\Answered", "\\Deleted", "work", "$Forwarded")
_UID = re.compile(rb"[( ]UID (\d+)")
_FLAGS = re.compile(rb"[( ]FLAGS \(([^)]*)\)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")


@dataclass
class Site:
    """What all actors of one server share."""

    ports: Mapping[str, int]
    deliveries: Deliveries = field(default_factory=Deliveries)
    numbers: dict[str, Numbers] = field(default_factory=dict)

    def imap(self, address: str) -> Imap:
        return Imap(self.ports["imap"], address, PASSWORD)

    def smtp(self) -> Smtp:
        return Smtp(self.ports["smtp"])


class Actor(threading.Thread):
    """A client in a thread. Subclasses say how a session begins (`open`) and what one step is (`step`)."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.site = site
        self.dice = random.Random(name)
        self.working = threading.Event()
        self.resting = threading.Event()
        self.ended = False
        self.failure: BaseException | None = None
        self.steps = self.cuts = 0
        self.start()

    def open(self) -> Smtp | Imap:
        raise NotImplementedError

    def step(self, client: Smtp | Imap) -> None:
        raise NotImplementedError

    def run(self) -> None:
        while not self.ended:
            self.resting.set()
            self.working.wait()
            self.resting.clear()
            try:
                self._session()
            except Cut:
                self.cuts += 1
                time.sleep(0.02)  # a worker that was killed is not there yet
            except BaseException as error:  # noqa: BLE001 - raised again by `Company.pause`
                self.failure = error
                self.working.clear()
                self.resting.set()
                return

    def _session(self) -> None:
        client = self.open()
        try:
            while self.working.is_set() and not self.ended:
                self.step(client)
                self.steps += 1
        finally:
            client.close()


class Company:
    """All actors of a test."""

    def __init__(self, actors: Sequence[Actor]) -> None:
        self.actors = actors

    def work(self) -> None:
        for actor in self.actors:
            actor.working.set()

    def stop_asking(self) -> None:
        """Nothing new is begun from now on."""
        for actor in self.actors:
            actor.working.clear()

    def pause(self) -> None:
        """Until everybody has ended what was in progress, one way or the other."""
        self.stop_asking()
        for actor in self.actors:
            assert actor.resting.wait(IDLE_SECONDS), f"{actor.name} does not come to an end"
            if actor.failure is not None:
                raise actor.failure

    def end(self) -> None:
        for actor in self.actors:
            actor.ended = True
            actor.working.set()
        for actor in self.actors:
            actor.join(IDLE_SECONDS)

    @property
    def cuts(self) -> int:
        return sum(actor.cuts for actor in self.actors)


class Sender(Actor):
    """Sends to mailboxes drawn from `choices`."""

    def __init__(self, site: Site, name: str, choices: Sequence[Sequence[str]]) -> None:
        self._choices = choices
        self._count = 0
        super().__init__(site, name)

    def open(self) -> Smtp:
        return self.site.smtp()

    def step(self, client: Smtp | Imap) -> None:
        assert isinstance(client, Smtp)
        self._count += 1
        token, recipients = f"{self.name}-{self._count}", self.dice.choice(self._choices)
        self.site.deliveries.send(token, recipients)
        try:
            client.deliver(recipients, message(token))
        except Refused:
            self.site.deliveries.refuse(token)
            raise
        self.site.deliveries.acknowledge(token)


class ImapActor(Actor):
    """A client of one account."""

    def __init__(self, site: Site, name: str, address: str) -> None:
        self.address = address
        self.numbers = site.numbers.setdefault(address, Numbers())
        super().__init__(site, name)

    def open(self) -> Imap:
        return self.site.imap(self.address)

    def step(self, client: Smtp | Imap) -> None:
        assert isinstance(client, Imap)
        self.act(client)

    def act(self, client: Imap) -> None:
        raise NotImplementedError


class Filer(ImapActor):
    """Moves some of the oldest messages of INBOX into a folder."""

    def __init__(self, site: Site, name: str, address: str) -> None:
        self.moving: list[set[str]] = []
        """Tokens that may lie in either folder, but all of them in the same."""
        self.moved: set[str] = set()
        super().__init__(site, name, address)

    def open(self) -> Imap:
        client = super().open()
        try:
            client.command(b"CREATE Filed")
        except Refused:  # it is there
            pass
        if self.moving:
            account, _ = look(client, ("INBOX", "Filed"))
            self.check(account["INBOX"], account["Filed"])
        client.command(b"SELECT INBOX")
        return client

    def act(self, client: Imap) -> None:
        there = sorted(tokens(client, b"1:*").items())
        self.numbers.learn(uidvalidity(client, b"INBOX"), there)
        batch = there[: min(self.dice.randint(1, 6), len(there) // 2)]
        if not batch:
            time.sleep(0.02)  # others fill it
            return
        self.moving.append({token for _, token in batch})
        responses = client.command(b"UID MOVE %s Filed" % b",".join(b"%d" % uid for uid, _ in batch))
        validity, sources, targets = next(copied for one in responses if (copied := copyuid(one[0])) is not None)
        assert sources == [uid for uid, _ in batch], (batch, sources)
        self.numbers.learn(validity, zip(targets, [token for _, token in batch], strict=True))
        self.moved |= self.moving.pop()

    def check(self, inbox: Seen, filed: Seen) -> None:
        in_inbox, in_filed = ({one.token for one in seen.messages.values()} for seen in (inbox, filed))
        assert self.moved <= in_filed
        for batch in self.moving:
            assert batch <= in_inbox or batch <= in_filed, f"a half move: {batch & in_inbox} {batch & in_filed}"
            self.moved |= batch & in_filed
        self.moving.clear()


class Appender(ImapActor):
    """Appends to a folder without a pause, so that the journal is what its messages are durable by."""

    FOLDER = "Viec"
    DATE, DATE_US = "01-Mar-2020 07:08:09 +0700", 1_583_021_289_000_000

    def __init__(self, site: Site, name: str, address: str) -> None:
        self._count = 0
        self.told: dict[str, tuple[int, frozenset[str]]] = {}
        """By token: the UID that APPENDUID told, and the flags."""
        super().__init__(site, name, address)

    def open(self) -> Imap:
        client = super().open()
        try:
            client.command(b"CREATE %s" % quoted(self.FOLDER))
        except Refused:  # it is there
            pass
        return client

    def act(self, client: Imap) -> None:
        flags = frozenset(self.dice.sample(FLAGS, self.dice.randint(0, 3)))
        self._count += 1
        token, words = f"{self.name}-{self._count}", " ".join(sorted(flags)).encode()
        octets = message(token)
        options = b'(%s) "%s" {%d+}\r\n' % (words, self.DATE.encode(), len(octets))
        client.command(b"APPEND %s " % quoted(self.FOLDER) + options + octets)
        match = re.match(rb"\[APPENDUID \d+ (\d+)\]", client.code)
        assert match, client.code
        self.told[token] = int(match[1]), flags


class Observer(ImapActor):
    """Watches INBOX."""

    def __init__(self, site: Site, name: str, address: str) -> None:
        self.seen: dict[int, str] = {}
        self.next = 1
        super().__init__(site, name, address)

    def open(self) -> Imap:
        client = super().open()
        client.command(b"EXAMINE INBOX")
        return client

    def act(self, client: Imap) -> None:
        if self.dice.random() < 0.5:
            client.command(b"NOOP")
        else:
            client.send(b"I IDLE\r\n")
            while not client.line().startswith(b"+"):
                pass
            select.select([client.socket], [], [], 0.3)
            client.send(b"DONE\r\n")
            while not client.line().startswith(b"I OK"):
                pass
        found = tokens(client, b"%d:*" % self.next)
        new = [uid for uid in found if uid >= self.next]
        assert new == sorted(new), new
        self.seen |= found
        self.next = max(found, default=0) + 1 if new else self.next

    def check(self, inbox: Seen) -> None:
        """Nothing came in below a UID that was seen before it."""
        for uid, one in inbox.messages.items():
            assert uid >= self.next or self.seen.get(uid) == one.token, (uid, one.token, self.seen.get(uid), self.next)


class Editor(ImapActor):
    """Changes folders of its own in every way there is; `tree` are its books."""

    def __init__(self, site: Site, name: str, address: str) -> None:
        self.tree = Tree()
        self.flagged_at: dict[str, float] = {}
        """When the flags of a token's messages last changed (monotonic)."""
        self._count = 0
        super().__init__(site, name, address)

    def open(self) -> Imap:
        client = super().open()
        if self.tree.in_doubt:
            account, _ = look(client, (f"{self.name}-*",))
            self.numbers.check(account)
            self.tree.settle(account, list(account))
        return client

    def mine(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name.startswith(f"{self.name}-")]

    def act(self, client: Imap) -> None:
        names = sorted(self.tree.state)
        if len(names) < 2:
            self.do_create(client)
            return
        kinds = [self.do_append] * 5 + [self.do_store] * 4 + [self.do_copy_or_move] * 5 + [self.do_replace] * 2
        kinds += [self.do_expunge, self.do_create, self.do_rename, self.do_delete]
        try:
            self.dice.choice(kinds)(client)
        except Refused:
            self.tree.refused()
            raise

    def _new_name(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    def _folder(self) -> str:
        return self.dice.choice(sorted(self.tree.state))

    def _some(self, folder: str, most: int = 8) -> list[int]:
        uids = sorted(self.tree.state[folder].kept)
        return sorted(self.dice.sample(uids, self.dice.randint(1, min(most, len(uids))))) if uids else []

    def do_append(self, client: Imap) -> None:
        folder, flags = self._folder(), frozenset(self.dice.sample(FLAGS, self.dice.randint(0, 2)))
        new = [Message(self._new_name(), flags) for _ in range(self.dice.choice([1, 1, 1, 2, 3]))]
        changed = self.tree.copy()
        changed[folder].new += tuple(new)
        self.tree.begin(changed)
        words = " ".join(sorted(flags)).encode()
        literals = [b" (%s) {%d+}\r\n%s" % (words, len(octets), octets) for octets in (message(one.token) for one in new)]
        client.command(b"APPEND %s" % quoted(folder) + b"".join(literals))
        match = re.match(rb"\[APPENDUID (\d+) ([\d:,]+)\]", client.code)
        assert match, client.code
        uids = uid_set(match[2])
        self.numbers.learn(int(match[1]), zip(uids, [one.token for one in new], strict=True))
        self.tree.done({folder: uids})

    def do_replace(self, client: Imap) -> None:
        source, target = self._folder(), self._folder()
        client.command(b"SELECT %s" % quoted(source))
        uids = self._some(source, most=1)
        if not uids:
            return
        new = Message(self._new_name(), frozenset({"\\Draft"}))
        changed = self.tree.copy()
        del changed[source].kept[uids[0]]
        changed[target].new += (new,)
        self.tree.begin(changed)
        octets = message(new.token)
        told = client.command(b"UID REPLACE %d %s (\\Draft) {%d+}\r\n%s" % (uids[0], quoted(target), len(octets), octets))
        match = next(found for one in told if (found := re.search(rb"\[APPENDUID (\d+) (\d+)\]", one[0])))
        self.numbers.learn(int(match[1]), [(int(match[2]), new.token)])
        self.tree.done({target: [int(match[2])]})

    def do_store(self, client: Imap) -> None:
        folder = self._folder()
        client.command(b"SELECT %s" % quoted(folder))
        uids, flag, adds = self._some(folder), self.dice.choice(FLAGS), self.dice.random() < 0.7
        if not uids:
            return
        changed = self.tree.copy()
        kept = changed[folder].kept
        for uid in uids:
            one = kept[uid]
            kept[uid] = Message(one.token, one.flags | {flag} if adds else one.flags - {flag})
            self.flagged_at[one.token] = time.monotonic()
        self.tree.begin(changed)
        client.command(b"UID STORE %s %sFLAGS.SILENT (%s)" % (numbers(uids), b"+" if adds else b"-", flag.encode()))
        self.tree.done()
        for uid in uids:
            self.flagged_at[kept[uid].token] = time.monotonic()

    def do_copy_or_move(self, client: Imap) -> None:
        source, target = self.dice.sample(sorted(self.tree.state), 2)
        moves = self.dice.random() < 0.5
        client.command(b"SELECT %s" % quoted(source))
        uids = self._some(source)
        if not uids:
            return
        changed = self.tree.copy()
        going = tuple(changed[source].kept[uid] for uid in uids)
        changed[target].new += going
        if moves:
            for uid in uids:
                del changed[source].kept[uid]
        self.tree.begin(changed)
        responses = client.command(b"UID %s %s %s" % (b"MOVE" if moves else b"COPY", numbers(uids), quoted(target)))
        told = next(copied for one in [*responses, [client.code]] if (copied := copyuid(one[0])) is not None)
        validity, sources, targets = told
        assert sources == uids
        self.numbers.learn(validity, zip(targets, [one.token for one in going], strict=True))
        self.tree.done({target: targets})

    def do_expunge(self, client: Imap) -> None:
        folder = self._folder()
        client.command(b"SELECT %s" % quoted(folder))
        changed = self.tree.copy()
        kept = changed[folder].kept
        changed[folder].kept = {uid: one for uid, one in kept.items() if "\\Deleted" not in one.flags}
        self.tree.begin(changed)
        client.command(b"EXPUNGE")
        self.tree.done()

    def do_create(self, client: Imap) -> None:
        if len(self.tree.state) > 8:
            return
        parents = [""] + [f"{name}/" for name in self.tree.state if "/" not in name]
        name = self._new_name() if (parent := self.dice.choice(parents)) == "" else f"{parent}{self._new_name()}"
        changed = self.tree.copy()
        changed[name] = Folder()
        self.tree.begin(changed)
        client.command(b"CREATE %s" % quoted(name))
        self.tree.done()

    def do_rename(self, client: Imap) -> None:
        old, new = self._folder(), self._new_name()
        changed = self.tree.copy()
        for name in list(changed):
            if name == old or name.startswith(f"{old}/"):
                changed[new + name.removeprefix(old)] = changed.pop(name)
        self.tree.begin(changed)
        client.command(b"RENAME %s %s" % (quoted(old), quoted(new)))
        self.tree.done()

    def do_delete(self, client: Imap) -> None:
        names = sorted(self.tree.state)
        leaves = [name for name in names if not any(other.startswith(f"{name}/") for other in names)]
        if len(names) < 4:
            return
        name = self.dice.choice(leaves)
        changed = self.tree.copy()
        del changed[name]
        self.tree.begin(changed)
        client.command(b"DELETE %s" % quoted(name))
        self.tree.done()


# What IMAP answers


def quoted(name: str) -> bytes:
    return b'"%s"' % name.encode()


def numbers(uids: Sequence[int]) -> bytes:
    return b",".join(b"%d" % uid for uid in uids)


def copyuid(line: bytes) -> tuple[int, list[int], list[int]] | None:
    match = re.search(rb"\[COPYUID (\d+) ([\d:,]+) ([\d:,]+)\]", line)
    return (int(match[1]), uid_set(match[2]), uid_set(match[3])) if match else None


def tokens(client: Imap, uids: bytes) -> dict[int, str]:
    """The token of each message, in the order of the answers."""
    found = {}
    for parts in client.command(b"UID FETCH %s (UID BODY.PEEK[HEADER.FIELDS (X-Token)])" % uids):
        if len(parts) > 1 and (uid := _UID.search(parts[0] + parts[-1])):
            found[int(uid[1])] = parts[1].decode().partition(": ")[2].strip()
    return found


def uidvalidity(client: Imap, name: bytes) -> int:
    [parts] = [one for one in client.command(b"STATUS %s (UIDVALIDITY)" % name) if one[0].startswith(b"* STATUS")]
    return int(parts[0].rpartition(b" ")[2].rstrip(b")\r\n"))


def look(client: Imap, names: Sequence[str] = ("*",)) -> tuple[dict[str, Seen], int]:
    """Everything in the folders of an account, each message identified octet for octet, and the sum of its sizes."""
    account: dict[str, Seen] = {}
    octets_in_all = 0
    for parts in client.command(b'LIST "" (%s)' % b" ".join(quoted(name) for name in names)):
        line = b"".join(parts)
        if not line.startswith(b"* LIST") or b"\\NonExistent" in line or b"\\Noselect" in line:
            continue
        name = line.rstrip(b"\r\n").rpartition(b'"/" ')[2].strip(b'"').decode()
        status = b"".join(b"".join(one) for one in client.command(b"EXAMINE %s" % quoted(name)))
        validity, following = (int(re.search(rb"\[%s (\d+)\]" % word, status)[1]) for word in (b"UIDVALIDITY", b"UIDNEXT"))  # type: ignore[index]  # else it fails
        messages: dict[int, Message] = {}
        for answer in client.command(b"UID FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[])"):
            if len(answer) < 2:
                continue
            text = answer[0] + answer[-1]
            uid, flags, size = _UID.search(text), _FLAGS.search(text), _SIZE.search(text)
            assert uid, answer[0]
            assert flags, answer[0]
            assert size, answer[0]
            assert int(size[1]) == len(answer[1]), (name, uid[1], size[1], len(answer[1]))
            octets_in_all += len(answer[1])
            words = frozenset(flags[1].decode().split()) - {"\\Recent"}
            assert int(uid[1]) not in messages
            messages[int(uid[1])] = Message(identify(answer[1]), words)
        account[name] = Seen(validity, following, messages)
    return account, octets_in_all
