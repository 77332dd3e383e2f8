"""What a client is told, played against a client that knows nothing else: in the end both sides have the same mailbox."""

from array import array
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.imap.commands.select import missed
from mic_mail.imap.connection_state import Enabled
from mic_mail.imap.parser.mailbox import QResync
from mic_mail.imap.parser.number_set import merged
from mic_mail.imap.selected.flag_names import flag_names
from mic_mail.imap.selected.mailbox_view import FolderChange, View
from mic_mail.storage.local_mailstore import Account
from mic_mail.storage.types import ChangeResult, Changes, FolderInfo, FolderView

KEYWORDS = ("$Viec", "$Forwarded")


@dataclass
class Mailbox:
    """A folder as the store keeps it: rows and tombstones with their MODSEQs."""

    rows: dict[int, tuple[int, int]] = field(default_factory=dict)
    gone: dict[int, int] = field(default_factory=dict)
    modseq: int = 1
    uidnext: int = 1

    def add(self, flags: int = 0) -> None:
        self.modseq += 1
        self.rows[self.uidnext] = (flags, self.modseq)
        self.uidnext += 1

    def flag(self, uid: int, flags: int) -> None:
        self.modseq += 1
        self.rows[uid] = (flags, self.modseq)

    def expunge(self, uid: int) -> None:
        self.modseq += 1
        del self.rows[uid]
        self.gone[uid] = self.modseq

    def view(self) -> FolderView:
        info = FolderInfo(
            folder_id=7, name="INBOX", uidvalidity=3, uidnext=self.uidnext, highest_modseq=self.modseq, expunge_floor=0,
            mailbox_id="F", special_use=None, keywords=KEYWORDS, messages=len(self.rows), unseen=0, deleted=0,
            size=0, deleted_size=0, recent_from=self.uidnext, selectable=True,
        )  # fmt: skip
        uids = sorted(self.rows)
        return FolderView(
            info,
            array("I", uids),
            array("Q", [self.rows[uid][0] for uid in uids]),
            array("Q", [self.rows[uid][1] for uid in uids]),
            array("Q", [100 + uid for uid in uids]),
        )

    def changes(self, since: int, *, complete: bool = True) -> Changes:
        changed = [(uid, flags, modseq, 100 + uid) for uid, (flags, modseq) in sorted(self.rows.items()) if modseq > since]
        vanished = sorted(uid for uid, modseq in self.gone.items() if modseq > since)
        return Changes(self.modseq, KEYWORDS, changed, vanished if complete else [], complete)


class Client:
    """A mail program: UIDs by sequence number (None: it has not asked yet), flags by number."""

    def __init__(self, view: View) -> None:
        self.messages: list[int | None] = list(view.uids)
        self.flags: list[bytes | None] = [view.names[flags] for flags in view.flags]

    def receive(self, lines: list[bytes]) -> None:
        for line in b"".join(lines).split(b"\r\n")[:-1]:
            words = line.split()
            if line.startswith(b"* VANISHED "):
                for low, _, high in (item.partition(b":") for item in words[2].split(b",")):
                    for uid in range(int(low), int(high or low) + 1):
                        self._drop(self.messages.index(uid))
            elif words[-1] == b"EXPUNGE":
                self._drop(int(words[1]) - 1)
            elif words[-1] == b"EXISTS":
                more = int(words[1]) - len(self.messages)
                assert more > 0, "EXISTS never takes away (RFC 9051 §7.4.1)"
                self.messages += [None] * more
                self.flags += [None] * more
            elif b" FETCH (" in line and b"FLAGS (" in line:
                self.flags[int(words[1]) - 1] = line.partition(b"FLAGS (")[2].partition(b")")[0]

    def _drop(self, place: int) -> None:
        del self.messages[place]
        del self.flags[place]


def glance(mailbox: Mailbox, view: View, *, complete: bool = True) -> FolderChange:
    if mailbox.modseq == view.modseq:
        return FolderChange(mailbox.modseq)
    return FolderChange(mailbox.modseq, mailbox.view(), mailbox.changes(view.modseq, complete=complete))


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "flag", "flag", "expunge", "look", "look quietly", "look below the floor"]),
        st.integers(0, 30),
        st.integers(0, 127),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(moves=MOVES, enabled=st.sampled_from([Enabled.NOTHING, Enabled.CONDSTORE, Enabled.CONDSTORE | Enabled.QRESYNC]))
def test_a_client_that_hears_everything_ends_with_the_store_s_mailbox(
    moves: list[tuple[str, int, int]], enabled: Enabled
) -> None:
    """After a look that may tell expunges, the numbers, UIDs and flags that the client knows are the store's."""
    mailbox = Mailbox()
    for flags in (0, 8, 1):
        mailbox.add(flags)
    view = View(mailbox.view(), polled_modseq=mailbox.modseq, account_id=1)
    client = Client(view)
    for move, which, flags in [*moves, ("look", 0, 0)]:
        uids = sorted(mailbox.rows)
        if move == "add":
            mailbox.add(flags)
        elif move == "flag" and uids:
            mailbox.flag(uids[which % len(uids)], flags)
        elif move == "expunge" and uids:
            mailbox.expunge(uids[which % len(uids)])
        elif move.startswith("look"):
            quiet = move == "look quietly"
            lines = view.catch_up(glance(mailbox, view, complete="floor" not in move), enabled, expunge=not quiet)
            assert not quiet or not any(b"EXPUNGE" in line or b"VANISHED" in line for line in lines)
            client.receive(lines)
            assert len(client.messages) == view.messages
            # What it had not asked yet it fetches now.
            for place, known in enumerate(client.messages):
                if known is None:
                    client.messages[place], client.flags[place] = view.uids[place], view.names[view.flags[place]]
            assert client.messages == list(view.uids)
    assert client.messages == sorted(mailbox.rows)
    assert client.flags == [flag_names(KEYWORDS)[mailbox.rows[uid][0]] for uid in sorted(mailbox.rows)]
    assert not view.has_pending_expunges


def test_sessions_that_know_the_same_share_the_store_s_arrays() -> None:
    """A session has no copy of its mailbox, however large it is, unless it still numbers what is gone."""
    mailbox = Mailbox()
    for _ in range(4):
        mailbox.add()
    fresh = mailbox.view()
    one, other = (View(fresh, polled_modseq=mailbox.modseq, account_id=1) for _ in range(2))
    assert one.uids is other.uids is fresh.uids
    mailbox.expunge(2)
    later = FolderChange(mailbox.modseq, mailbox.view(), mailbox.changes(one.modseq))
    one.catch_up(later, Enabled.NOTHING, expunge=True)
    other.catch_up(later, Enabled.NOTHING, expunge=False)
    assert later.fresh is not None
    assert one.uids is later.fresh.uids
    assert list(other.uids) == [1, 2, 3, 4]
    assert b"".join(other.catch_up(FolderChange(mailbox.modseq), Enabled.NOTHING, expunge=True)) == b"* 2 EXPUNGE\r\n"
    assert other.uids is later.fresh.uids


@given(
    st.sets(st.integers(1, 40)),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted)),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)),
)
def test_recent_messages_have_their_flags_by_stretches(
    gone: set[int], recent: list[tuple[int, int]], places: list[tuple[int, int]]
) -> None:
    """Whatever is \\Recent and whichever messages are asked for: the same texts as for each message alone."""
    mailbox = Mailbox()
    for number in range(40):
        mailbox.add(number % 5)
    for uid in gone:
        mailbox.expunge(uid)
    view = View(mailbox.view(), polled_modseq=mailbox.modseq, account_id=1)
    view.recent = merged(recent)
    expected = []
    asked = [range(min(low, view.messages), min(high, view.messages)) for low, high in places]
    for at in chain.from_iterable(asked):
        names = view.names[view.flags[at]]
        is_recent = any(low <= view.uids[at] <= high for low, high in recent)
        expected.append(b" ".join(filter(None, (b"\\Recent", names))) if is_recent else names)
    assert list(view.flag_texts(asked)) == expected


def test_expunges_are_told_last_one_first() -> None:
    """Each number means what it meant to the client when the line is read (RFC 9051 §7.5.1)."""
    mailbox = Mailbox()
    for _ in range(5):
        mailbox.add()
    view = View(mailbox.view(), polled_modseq=mailbox.modseq, account_id=1)
    for uid in (1, 4):
        mailbox.expunge(uid)
    mailbox.add()
    lines = view.catch_up(glance(mailbox, view), Enabled.NOTHING, expunge=True)
    assert b"".join(lines) == b"* 4 EXPUNGE\r\n* 1 EXPUNGE\r\n* 4 EXISTS\r\n* 0 RECENT\r\n"


def test_a_silent_store_hides_only_what_its_client_expects() -> None:
    """.SILENT: flags that came out as the client thinks are not told; a change by somebody else is (RFC 9051 §6.4.6)."""
    mailbox = Mailbox()
    mailbox.add()
    mailbox.add()
    view = View(mailbox.view(), polled_modseq=mailbox.modseq, account_id=1)
    mailbox.flag(1, 8)
    mailbox.flag(2, 8 | 2)  # the 2 is another session's
    lines = view.catch_up(glance(mailbox, view), Enabled.NOTHING, expunge=False, expected={1: 8, 2: 8})
    assert b"".join(lines) == b"* 2 FETCH (FLAGS (\\Flagged \\Seen))\r\n"


def test_condstore_tells_the_modseq_in_spite_of_silent() -> None:
    """RFC 7162 §3.1.3: a client that uses MODSEQ learns the new one of its own silent STORE, by UID too (§3.2.4)."""
    mailbox = Mailbox()
    mailbox.add()
    view = View(mailbox.view(), polled_modseq=mailbox.modseq, account_id=1)
    mailbox.flag(1, 8)
    lines = view.catch_up(glance(mailbox, view), Enabled.CONDSTORE, expunge=False, expected={1: 8})
    assert b"".join(lines) == b"* 1 FETCH (UID 1 MODSEQ (3))\r\n"


def test_what_is_expunged_while_a_mailbox_is_opened_was_told_of_before() -> None:
    """SELECT with QRESYNC: HIGHESTMODSEQ covers the flags of all that is numbered, also of what goes at that moment."""
    mailbox = Mailbox()
    mailbox.add()
    mailbox.add()
    known = mailbox.modseq
    mailbox.flag(1, 4)
    view = View(mailbox.view(), polled_modseq=mailbox.modseq, account_id=1)
    mailbox.expunge(1)
    mailbox.flag(2, 8)
    enabled = Enabled.QRESYNC | Enabled.CONDSTORE
    told = missed(view, QResync(3, known), mailbox.changes(known), enabled)
    assert b"".join(told) == b"* 1 FETCH (UID 1 MODSEQ (4) FLAGS (\\Deleted))\r\n"
    glance = FolderChange(mailbox.modseq, mailbox.view(), mailbox.changes(view.modseq))
    assert view.catch_up(glance, enabled, expunge=True) == [
        b"* VANISHED 1\r\n",
        b"* 1 FETCH (UID 2 MODSEQ (6) FLAGS (\\Seen))\r\n",
    ]


def test_who_changed_something_need_not_look() -> None:
    """What the own change made of the folder is all there is to see, if the folder was known as it was before; else: a look."""
    mailbox = Mailbox()
    mailbox.add()
    view = View(mailbox.view(), polled_modseq=mailbox.modseq, account_id=1)
    before = mailbox.modseq
    mailbox.flag(1, 2)
    made = ChangeResult(mailbox.modseq, before, mailbox.view(), mailbox.changes(before), 5)
    nobody = cast("Account", None)  # to be asked is to fail
    glance = view.poll(nobody, own_change=made)
    assert view.catch_up(glance, Enabled.NOTHING, expunge=False) == [b"* 1 FETCH (FLAGS (\\Flagged))\r\n"]
    assert (view.modseq, view.polled_modseq, view.mark) == (mailbox.modseq, mailbox.modseq, 5)
    with pytest.raises(AttributeError):
        view.poll(nobody, own_change=made)
