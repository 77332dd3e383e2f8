"""Names of mailboxes as anybody may send them: exactly that mailbox, or a refusal; nothing outside of the Maildir."""

import os
import re
import unicodedata
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_folder import folder_in_memory
from mic_mail.storage.canonical_name import canonical
from mic_mail.storage.local_mailstore import LocalMailStore
from session_harness import REF, Talk, open_store

HOME = REF.home
SPECIAL = [
    "/", "//", ".", "..", "../", "../../x", "./", "~", "*", "%", "\\", '"', "'", "&", "&-", "&AOk-", "&AC8-",
    "&AC4ALg-", "&AAA-", "&2D0-", "&2D3cAA-", "&Jjo", "&Jjo!", "&U,BTFw-&ZeVnLIqe-", "&AGE-", "-", "INBOX", "inbox",
    "InBox/", "Shared", "cur", "new", "tmp", ".mic-folder", "mic-folder", "mic-new-0011", ".mic-account",
    "dovecot-uidlist", "dovecot.index", "expunged", ".expunged", "maildirfolder", "index.sqlite", "&~", "A", "a",
    "Thư", "th\u01b0", "e\u0301", "\u00e9", "\u1ec7", "e\u0323\u0302", "\u212b", "\U0001f4e7", "\u202e", "\u2028",
    "\ufeff", "\ufffd", " ", "\t", "\x01", "\x1b[2J", "\x7f", "\x85", "x" * 100, "ệ" * 80, "a/b/c",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(SPECIAL) | st.text(max_size=4), min_size=1, max_size=5).map("".join)
OCTETS = st.lists(
    st.sampled_from([text.encode() for text in SPECIAL] + [b"\0", b"\r", b"\n", b"\r\n", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"])
    | st.binary(max_size=3),
    min_size=1,
    max_size=5,
).map(b"".join)
UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}


def wire_form(name: str) -> bytes:
    """Modified UTF-7 as RFC 3501 §5.1.3 has it."""
    out, run = b"", ""
    for character in [*name, ""]:
        if character and not " " <= character <= "~":
            run += character
            continue
        if run:
            out += b"&" + b64encode(run.encode("utf-16-be"), b"+,").rstrip(b"=") + b"-"
            run = ""
        out += b"&-" if character == "&" else character.encode()
    return out


def meant(name: str) -> str | None:
    """The one spelling of the mailbox that a name is of; None: it must be refused."""
    name = unicodedata.normalize("NFC", name.removesuffix("/"))
    levels = name.split("/")
    if levels[0].isascii() and levels[0].upper() == "INBOX":
        levels[0] = "INBOX"
    bad = not all(levels) or len(levels) > 20 or len(name.encode()) > 700
    bad = bad or any(unicodedata.category(character) in UNSHOWN for character in name)
    return None if bad or levels[0] == "Shared" else "/".join(levels)


def parents(name: str) -> set[str]:
    levels = name.split("/")
    return {"/".join(levels[:depth]) for depth in range(1, len(levels))}


class Client:
    """A session that sends names as literals, whatever they hold, and the disk below it."""

    def __init__(self, folder: Path, *, utf8: bool) -> None:
        self.folder = folder
        self.utf8 = utf8
        self.connect()
        self.listed()  # the first look makes the mailbox

    def connect(self) -> None:
        self.store = open_store(self.folder)
        self.ctx = Talk(self.store).sign_in()
        if self.utf8:
            assert b"\r\na OK" in self.ctx.say(b"a ENABLE UTF8=ACCEPT\r\n")

    def lose_the_index(self) -> None:
        self.store.close()
        for path in self.folder.rglob("index.sqlite*"):
            path.unlink()
        self.connect()

    def command(self, verb: bytes, *names: bytes) -> bytes:
        """All of the answer; what is refused by BAD leaves the connection, unless it is said to end."""
        arguments = b"".join(b" {%d+}\r\n%b" % (len(name), name) for name in names)
        answer = self.ctx.say(b"t " + verb + arguments + b"\r\n")
        if self.ctx.over:
            self.ctx = Talk(self.store).sign_in()
            if self.utf8:
                self.ctx.say(b"a ENABLE UTF8=ACCEPT\r\n")
        return answer

    def listed(self) -> set[bytes]:
        """The names as LIST writes them."""
        answer = self.ctx.say(b'l LIST "" "*"\r\n')
        names = set()
        for found in re.finditer(rb'\* LIST \([^)]*\) "/" (?:"((?:[^"\\]|\\.)*)"|\{(\d+)\}\r\n)', answer):
            literal = answer[found.end() :][: int(found[2])] if found[2] else None
            names.add(literal if literal is not None else re.sub(rb"\\(.)", rb"\1", found[1]))
        assert answer.count(b"* LIST ") == len(names)
        return names

    def id_of(self, name: bytes) -> bytes:
        """MAILBOXID of the mailbox, by SELECT."""
        answer = self.command(b"SELECT", name)
        found = re.search(rb"MAILBOXID \((\S+)\)", answer)
        assert found, (name, answer)
        return found[1]

    def outside(self) -> set[str]:
        """Everything around the Maildir; SQLite's side files come and go."""
        maildir = self.folder / HOME / "Maildir"
        found = {str(path) for path in self.folder.rglob("*") if maildir not in (path, *path.parents)}
        return {path for path in found if not path.endswith(("-wal", "-shm"))}

    def in_order(self) -> None:
        """In the Maildir there are folders of one level, and in them the three directories of messages."""
        maildir = self.folder / HOME / "Maildir"
        for entry in os.scandir(maildir):
            if entry.is_dir() and entry.name not in ("cur", "new", "tmp", ".expunged"):
                assert entry.name.startswith(".")
                inside = {path.name for path in os.scandir(entry) if path.is_dir()}
                assert inside == {"cur", "new", "tmp"}, (entry.name, inside)


def spelled(name: str, client: Client) -> bytes:
    return name.encode() if client.utf8 else wire_form(name)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(names=st.lists(TEXTS, min_size=1, max_size=6), utf8=st.booleans())
def test_a_name_is_made_exactly_or_refused(names: list[str], utf8: bool) -> None:
    """CREATE makes that name and what is above it, or refuses with a code; LIST, SELECT and a new index agree."""
    with folder_in_memory() as folder:
        client = Client(folder, utf8=utf8)
        before = client.outside()
        made: dict[bytes, bytes] = {}
        for name in names:
            there = client.listed()
            answer = client.command(b"CREATE", spelled(name, client))
            new = client.listed() - there
            wanted = meant(name)
            if b"t OK" in answer:
                assert wanted is not None, (name, answer)
                chain = {spelled(each, client) for each in {wanted, *parents(wanted)}}
                assert spelled(wanted, client) in new
                assert new == chain - there
                made[spelled(wanted, client)] = client.id_of(spelled(wanted, client))
                assert client.id_of(spelled(name.removesuffix("/"), client)) == made[spelled(wanted, client)]
            else:
                assert new == set()
                assert re.search(rb"^t (NO \[[A-Z]+\]|BAD) ", answer, re.MULTILINE), answer
                assert wanted is None or b"[ALREADYEXISTS]" in answer, (name, answer)
        assert client.outside() == before
        client.in_order()
        listed = client.listed()
        client.lose_the_index()
        assert client.listed() == listed
        assert {name: client.id_of(name) for name in made} == made
        client.store.close()


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(names=st.lists(OCTETS, min_size=2, max_size=6), utf8=st.booleans())
def test_no_octets_lead_out_of_the_maildir(names: list[bytes], utf8: bool) -> None:
    """Whatever is sent as a name to whatever command, legal or not: what there is afterwards can be listed and opened."""
    with folder_in_memory() as folder:
        client = Client(folder, utf8=utf8)
        before = client.outside()
        for name, other in zip(names, [*names[1:], names[0]], strict=True):
            for verb in (b"CREATE", b"SUBSCRIBE", b"SELECT", b"GETQUOTAROOT"):
                answer = client.command(verb, name)
                assert re.search(rb"^(t (OK|NO|BAD)|\* BYE|\* BAD|\+) ", answer, re.MULTILINE), answer
            client.command(b"RENAME", name, other)
            client.command(b"DELETE", other)
            client.command(b"CREATE", name + b"/" + other)
        assert client.outside() == before
        client.in_order()
        listed = {name: client.id_of(name) for name in client.listed() if client.command(b"SELECT", name).count(b"t OK")}
        client.lose_the_index()
        assert {name: client.id_of(name) for name in listed} == listed
        client.store.close()


@pytest.mark.parametrize("octets", [b"a\0b", b"a\rb", b"a\nb", b"a\r\nb", b"\x01", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80"])
@pytest.mark.parametrize("utf8", [False, True])
def test_octets_that_are_no_name(tmp_path: Path, octets: bytes, utf8: bool) -> None:
    client = Client(tmp_path, utf8=utf8)
    before, there = client.outside(), client.listed()
    assert re.search(rb"^(t (NO \[CANNOT\]|BAD)|\* BAD) ", client.command(b"CREATE", octets), re.MULTILINE)
    assert (client.outside(), client.listed()) == (before, there)
    client.store.close()


@pytest.mark.parametrize("name", ["\u0131nbox", "\u0131nbox/x", "Shared\u0131"])
def test_inbox_is_so_in_its_own_letters_alone(ctx: Talk, name: str) -> None:
    """RFC 9051 §5.1: a dotless i has the capital of another letter; a name with one is a folder of its own."""
    assert b"a OK" in ctx.say(b"a APPEND INBOX {14+}\r\nSubject: x\r\n\r\n\r\n")
    assert b"a OK" in ctx.say(b'a CREATE "%b"\r\n' % name.encode())
    assert b"(MESSAGES 0)" in ctx.say(b'a STATUS "%b" (MESSAGES)\r\n' % name.encode())
    assert ctx.say(b'a LIST "" "%b"\r\n' % name.encode()).count(b"* LIST") == 1
    assert b"a OK" in ctx.say(b'a DELETE "%b"\r\n' % name.encode())
    assert b"(MESSAGES 1)" in ctx.say(b"a STATUS iNbOx (MESSAGES)\r\n")


def test_the_store_knows_inbox_by_its_own_letters(store: LocalMailStore) -> None:
    assert canonical("inBOX/x", max_octets=1000, max_depth=9) == "INBOX/x"
    assert canonical("\u0131nbox", max_octets=1000, max_depth=9) == "\u0131nbox"
