"""Commands as clients write them, against the values that the session gets: one row per rule, the section beside it."""

from datetime import datetime, timedelta, timezone

import pytest

from mic_mail.imap import command_table
from mic_mail.imap.capability import HIDEABLE
from mic_mail.imap.command_table import GRAMMAR
from mic_mail.imap.connection_state import ConnectionState
from mic_mail.imap.parser import metadata as d
from mic_mail.imap.parser.append import AppendOptions
from mic_mail.imap.parser.command import Arguments, Command, FlagList
from mic_mail.imap.parser.events import NEED_INPUT, AppendChunk, AppendEnd, AppendMessage, BadLine, LongCommand
from mic_mail.imap.parser.fetch import FlagChange, Store
from mic_mail.imap.parser.mailbox import (
    Create,
    GetQuota,
    KnownMessages,
    List,
    OnMailbox,
    QResync,
    Rename,
    Select,
    SetQuota,
    Status,
)
from mic_mail.imap.parser.messages import Expunge, Transfer
from mic_mail.imap.parser.number_set import SAVED_RESULT, SequenceSet, parse_set
from mic_mail.imap.parser.reader import Limits, Reader
from mic_mail.imap.parser.session import NO_ARGUMENTS, Authenticate, Compress, Enable, Id, Login
from unit.imap.parser.reading import ONE, arguments, read

COMMANDS: list[tuple[bytes, Arguments]] = [
    # the session: RFC 9051 §6.1, §6.2, §6.3.1; RFC 2971; RFC 4978
    (b"a capability", NO_ARGUMENTS),
    (b"A001 NoOp", NO_ARGUMENTS),
    (b"a]b logout", NO_ARGUMENTS),
    (b". starttls", NO_ARGUMENTS),
    (b"a IDLE", NO_ARGUMENTS),
    (b"a NAMESPACE", NO_ARGUMENTS),
    (b"a CHECK", NO_ARGUMENTS),
    (b"a CLOSE", NO_ARGUMENTS),
    (b"a UNSELECT", NO_ARGUMENTS),
    (b"a NOOP  ", NO_ARGUMENTS),  # spaces at the end: Dovecot takes them too
    (b"a LOGIN dvbe secret", Login("dvbe", "secret")),
    (b'a LOGIN "a\\"b" "c\\\\d"', Login('a"b', "c\\d")),
    (b'a LOGIN "" ""', Login("", "")),
    (b"a login {4+}\r\ndvbe {3+}\r\n a ", Login("dvbe", " a ")),
    ('a LOGIN x "mật khẩu"'.encode(), Login("x", "mật khẩu")),
    (b"a AUTHENTICATE plain", Authenticate("PLAIN", None)),
    (b"a AUTHENTICATE SCRAM-SHA-256 AGEAYg==", Authenticate("SCRAM-SHA-256", b"\0a\0b")),  # RFC 4959
    (b"a AUTHENTICATE EXTERNAL =", Authenticate("EXTERNAL", b"")),
    (b"a ID NIL", Id(None)),
    (b"a ID", Id(None)),
    (b'a ID ("name" "Outlook" "os" NIL)', Id((("name", "Outlook"), ("os", None)))),
    (b'a ID ("Name" "nil" "odd")', Id((("name", "nil"), ("odd", None)))),
    (b"a ID ()", Id(())),
    (b"a ENABLE QResync utf8=accept QRESYNC", Enable(("QRESYNC", "UTF8=ACCEPT"))),
    (b"a COMPRESS deflate", Compress("DEFLATE")),
    # mailboxes: RFC 9051 §6.3; RFC 7162; RFC 6154
    (b"a select INBOX", Select("INBOX")),
    (b"a select inbox", Select("INBOX", written="inbox")),  # §5.1
    (b'a select "Inbox/Viec"', Select("INBOX/Viec", written="Inbox/Viec")),
    (b"a select Inboxes", Select("Inboxes")),
    (b"a select NIL", Select("NIL")),
    (b"a  select   {3+}\r\nT m", Select("T m")),
    (b"a EXAMINE x", Select("x", read_only=True)),
    (b"a SELECT x (CONDSTORE)", Select("x", condstore=True)),
    (b"a SELECT x (QRESYNC (67890007 20050715194045000))", Select("x", qresync=QResync(67890007, 20050715194045000))),
    (
        b"a SELECT x (QRESYNC (7 0 41,43:211 (1,3:5 41,43:45)) CONDSTORE)",
        Select(
            "x",
            condstore=True,
            qresync=QResync(
                7, 0, parse_set(b"41,43:211"), KnownMessages(parse_set(b"1,3:5"), parse_set(b"41,43:45"))
            ),
        ),
    ),
    (
        b"a SELECT x (QRESYNC (7 9 (1 41)))",
        Select("x", qresync=QResync(7, 9, None, KnownMessages(ONE, parse_set(b"41")))),
    ),
    (b"a CREATE a/b/", Create("a/b/")),
    (b"a CREATE Sent (USE (\\Sent \\X))", Create("Sent", ("\\Sent", "\\X"))),
    (b"a CREATE Sent (USE ())", Create("Sent")),
    (b"a DELETE a", OnMailbox("a")),
    (b"a RENAME a b", Rename("a", "b")),
    (b"a SUBSCRIBE a", OnMailbox("a")),
    (b"a UNSUBSCRIBE a", OnMailbox("a")),
    (b"a STATUS a (messages UIDNEXT messages)", Status("a", ("MESSAGES", "UIDNEXT"))),
    (b"a GETQUOTA \"\"", GetQuota("")),
    (b"a GETQUOTAROOT inbox", OnMailbox("INBOX", written="inbox")),
    (b"a SETQUOTA \"\" (STORAGE 512 message 5)", SetQuota("", (("STORAGE", 512), ("MESSAGE", 5)))),
    # METADATA: RFC 5464 §5; options also behind the mailbox, as in its examples
    (b'a GETMETADATA "" /shared/admin', d.GetMetadata("", ("/shared/admin",))),
    (b"a getmetadata inbox (/shared/a /SHARED/a \"/private/b c\")",
     d.GetMetadata("INBOX", ("/shared/a", "/private/b c"))),
    (b"a GETMETADATA (DEPTH infinity MAXSIZE 5) x (/private)", d.GetMetadata("x", ("/private",), None, 5)),
    (b"a GETMETADATA x (depth 1) /private/a", d.GetMetadata("x", ("/private/a",), 1)),
    (b"a GETMETADATA x {9+}\r\n/shared/a /shared/b", d.GetMetadata("x", ("/shared/a", "/shared/b"))),
    (b"a SETMETADATA x (/shared/a NIL /private/vendor/v/b ~{4+}\r\n\0\r\n) /shared/c {2+}\r\n() /shared/d \"NIL\")",
     d.SetMetadata("x", (
         ("/shared/a", None), ("/private/vendor/v/b", b"\0\r\n)"), ("/shared/c", b"()"), ("/shared/d", b"NIL")))),
    (b'a LIST "" % RETURN (METADATA ("/shared/a" /private/b) SUBSCRIBED)',
     List("", ("%",), returns=frozenset({"SUBSCRIBED"}), extended=True, metadata=("/shared/a", "/private/b"))),
    # LIST and its kin: RFC 9051 §6.3.9, RFC 5258 §5, RFC 5819, RFC 6154
    (b'a LIST "" %', List("", ("%",))),
    (b"a LIST ~/Mail/ *", List("~/Mail/", ("*",))),
    (b'a list (subscribed) "" "*" return (special-use)',
     List("", ("*",), frozenset({"SUBSCRIBED"}), frozenset({"SPECIAL-USE"}), extended=True)),
    (b'a LIST "" (INBOX "Drafts" Sent/%) RETURN (SUBSCRIBED children)',
     List("", ("INBOX", "Drafts", "Sent/%"), returns=frozenset({"SUBSCRIBED", "CHILDREN"}), extended=True)),
    (b'a LIST () "" x', List("", ("x",), extended=True)),
    (b'a LIST (REMOTE RECURSIVEMATCH SUBSCRIBED) "" x RETURN ()',
     List("", ("x",), frozenset({"REMOTE", "RECURSIVEMATCH", "SUBSCRIBED"}), extended=True)),
    (b'a LIST "" "*" RETURN (SPECIAL-USE STATUS (UNSEEN))',
     List("", ("*",), returns=frozenset({"SPECIAL-USE"}), status=("UNSEEN",), extended=True)),
    (b'a LSUB "" "*"', List("", ("*",))),
    (b'a XLIST "" "%"', List("", ("%",))),
    # messages: RFC 9051 §6.4
    (b"a EXPUNGE", Expunge()),
    (b"a UID EXPUNGE 3000:3002", Expunge(parse_set(b"3000:3002"))),  # RFC 4315 §2.1
    (b"a COPY 2:4 MEETING", Transfer(False, parse_set(b"2:4"), "MEETING")),
    (b"a uid move $ Trash", Transfer(True, SAVED_RESULT, "Trash")),  # RFC 5182
    (b"a STORE 2:4 +FLAGS (\\Deleted)", Store(False, parse_set(b"2:4"), FlagChange.ADD, FlagList(4))),
    (b"a uid store 1 -flags.silent \\seen $Junk $JUNK nonJunk",
     Store(True, ONE, FlagChange.REMOVE, FlagList(8, ("$Junk", "nonJunk")), silent=True)),
    (b"a STORE 1 FLAGS ()", Store(False, ONE, FlagChange.REPLACE, FlagList())),
    (b"a UID STORE 1 (UNCHANGEDSINCE 320162338) +FLAGS ( \\Flagged )",
     Store(True, ONE, FlagChange.ADD, FlagList(2), unchanged_since=320162338)),  # RFC 7162 §3.1.3
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), COMMANDS, ids=[repr(line) for line, _ in COMMANDS])
def test_a_command_becomes_its_value(line: bytes, expected: Arguments) -> None:
    """A line that the grammar allows, or that real clients send, gives exactly one value with its arguments decoded."""
    tag, *words = line.split()
    name = words[1 if words[0].upper() == b"UID" else 0].upper().decode()
    assert read(line + b"\r\n") == Command(tag, name, expected)


NAMES: list[tuple[bytes, bool, str]] = [
    (b'"~peter/mail/&U,BTFw-/&ZeVnLIqe-"', False, "~peter/mail/台北/日本語"),  # RFC 3501 §5.1.3
    (b'"C&APQ-ng v&AQM-n"', False, "Công văn"),
    ('"Công văn"'.encode(), False, "Công văn"),  # RFC 6855 §3: MUST accept, also before ENABLE
    ('"Công văn"'.encode(), True, "Công văn"),
    (b'"C\xc3\xb4ng"', True, "Công"),
    (b'"Co\xcc\x82ng"', True, "Công"),  # decomposed: compared in NFC
    (b'"Tom & Jerry"', True, "Tom & Jerry"),  # Thunderbird with UTF8=ACCEPT
    (b'"Tom & Jerry"', False, "Tom & Jerry"),  # no modified UTF-7: read as it is
    (b'"Tom &- Jerry"', False, "Tom & Jerry"),
    (b'"Tom &- Jerry"', True, "Tom &- Jerry"),  # UTF-8 names have no shifts
    (b'"&AGE-"', False, "&AGE-"),  # superfluous shift: not "a"
]


@pytest.mark.parametrize(("octets", "utf8", "name"), NAMES)
def test_names_of_mailboxes_are_decoded(octets: bytes, utf8: bool, name: str) -> None:
    """A name means the same folder however the client may write it."""
    read_as = arguments(b"a SUBSCRIBE " + octets, utf8=utf8)
    assert isinstance(read_as, OnMailbox)
    assert read_as.mailbox == name


REFUSED: list[tuple[bytes, bytes]] = [
    (b"a", b"a BAD"),
    (b"a ", b"a BAD"),
    (b"+ NOOP", b"* BAD"),
    (b"* NOOP", b"* BAD"),
    (b"{ NOOP", b"* BAD"),
    (b"\xff NOOP", b"* BAD"),
    (b"a\x00b NOOP", b"a BAD"),
    (b"a FOO", b"a BAD"),
    (b"a UID NOOP", b"a BAD"),
    (b"a UIDFETCH 1 FLAGS", b"a BAD"),
    (b"a NOOP x", b"a BAD"),
    (b"a NOOP\r", b"a BAD"),
    (b"GET / HTTP/1.1", b"GET BAD"),
    (b"a LOGIN x", b"a BAD"),
    (b"a LOGIN x ", b"a BAD"),
    (b"a LOGIN x y z", b"a BAD"),
    (b"a LOGIN x \xff", b"a BAD"),  # 8 bits only in strings
    (b'a LOGIN x "y', b"a BAD"),
    (b'a LOGIN x "y\\z"', b"a BAD"),
    (b'a LOGIN x "y\x00"', b"a BAD"),
    (b'a LOGIN "x"y', b"a BAD"),
    (b"a LOGIN x {1+}\r\n\x00", b"a BAD"),
    (b"a AUTHENTICATE PLAIN A", b"a BAD"),
    (b"a AUTHENTICATE PLAIN AGE*AGI=", b"a BAD"),
    (b"a ID x", b"a BAD"),
    (b"a ENABLE", b"a BAD"),
    (b"a SELECT", b"a BAD"),
    (b'a SELECT ""', b"a BAD"),
    (b'a SELECT "a\xff"', b"a BAD"),  # RFC 6855 §3: MUST reject
    (b'a SELECT "a\xc2\x85"', b"a BAD"),  # control character
    (b'a SELECT "a\tb"', b"a BAD"),
    (b"a SELECT x (FOO)", b"a BAD"),
    (b"a SELECT x (QRESYNC (0 1))", b"a BAD"),
    (b"a SELECT x (QRESYNC (1 1 1:*))", b"a BAD"),  # RFC 7162 §7: "*" is not allowed
    (b"a SELECT x (QRESYNC (1 1 $))", b"a BAD"),
    (b"a SELECT x (QRESYNC (1 1 1 2))", b"a BAD"),
    (b"a SELECT x (CONDSTORE", b"a BAD"),
    (b"a CREATE x (USE \\Sent)", b"a BAD"),
    (b'a LIST (RECURSIVEMATCH) "" x', b"a BAD"),  # RFC 5258 §3.1: MUST return BAD
    (b'a LIST (REMOTE RECURSIVEMATCH) "" x', b"a BAD"),
    (b'a LIST (FOO) "" x', b"a BAD"),
    (b'a LIST "" ()', b"a BAD"),
    (b'a LIST "" x RETURN (FOO)', b"a BAD"),
    (b'a LIST "" x RETURN SUBSCRIBED', b"a BAD"),
    (b"a STATUS x ()", b"a BAD"),
    (b"a STATUS x (FOO)", b"a BAD"),
    (b"a FETCH 1", b"a BAD"),
    (b"a FETCH 0 FLAGS", b"a BAD"),
    (b"a FETCH 1: FLAGS", b"a BAD"),
    (b"a FETCH 1,,2 FLAGS", b"a BAD"),
    (b"a FETCH 4294967296 FLAGS", b"a BAD"),
    (b"a FETCH 1 ()", b"a BAD"),
    (b"a FETCH 1 (FAST)", b"a BAD"),
    (b"a FETCH 1 FOO", b"a BAD"),
    (b"a FETCH 1 (FLAGS", b"a BAD"),
    (b"a FETCH 1 BODY[", b"a BAD"),
    (b"a FETCH 1 BODY[0]", b"a BAD"),
    (b"a FETCH 1 BODY[1.]", b"a BAD"),
    (b"a FETCH 1 BODY[MIME]", b"a BAD"),
    (b"a FETCH 1 BODY[FOO]", b"a BAD"),
    (b"a FETCH 1 BODY[]<0>", b"a BAD"),
    (b"a FETCH 1 BODY[]<0.0>", b"a BAD"),
    (b"a FETCH 1 BODY[HEADER.FIELDS ()]", b"a BAD"),
    (b'a FETCH 1 BODY[HEADER.FIELDS ("a\xe1")]', b"a BAD"),
    (b"a FETCH 1 BINARY[1.MIME]", b"a BAD"),
    (b"a FETCH 1 BINARY.SIZE[1]<0.5>", b"a BAD"),
    (b"a FETCH 1 BODY[" + b".".join([b"1"] * 101) + b"]", b"a BAD"),
    (b"a FETCH 1 FLAGS (VANISHED)", b"a BAD"),
    (b"a FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)", b"a BAD"),  # RFC 7162 §3.2.6: UID FETCH only
    (b"a UID FETCH 1 FLAGS (VANISHED)", b"a BAD"),
    (b"a FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)", b"a BAD"),
    (b"a STORE 1 FLAGS", b"a BAD"),
    (b"a STORE 1 FLAGS (\\Recent)", b"a BAD"),
    (b"a STORE 1 FLAGS (\\Foo)", b"a BAD"),
    (b"a STORE 1 *FLAGS (\\Seen)", b"a BAD"),
    (b"a STORE 1 FLAGS (a(b)", b"a BAD"),
    (b"a COPY 1", b"a BAD"),
    (b"a SEARCH", b"a BAD"),
    (b"a SEARCH FOO", b"a BAD"),
    (b"a SEARCH ()", b"a BAD"),
    (b"a SEARCH NOT", b"a BAD"),
    (b"a SEARCH OR ALL", b"a BAD"),
    (b"a SEARCH (ALL", b"a BAD"),
    (b"a SEARCH " + b"(" * 65 + b"ALL" + b")" * 65, b"a BAD"),
    (b"a SEARCH " + b"OR NOT " * 3000 + b"ALL" + b" ALL" * 3000, b"a BAD"),
    (b"a SEARCH " + b"OR FUZZY " * 3000 + b"ALL" + b" ALL" * 3000, b"a BAD"),
    (b"a SEARCH ON 31-Feb-2024", b"a BAD"),
    (b"a SEARCH ON 1-Foo-2024", b"a BAD"),
    (b"a SEARCH OLDER 0", b"a BAD"),
    (b'a SEARCH MODSEQ "/x" all 1', b"a BAD"),
    (b"a SEARCH RETURN (FOO) ALL", b"a BAD"),
    (b"a SEARCH SUBJECT {1+}\r\n\xff", b"a BAD"),
    (b"a APPEND x", b"a BAD"),
    (b"a APPEND x (\\Seen)", b"a BAD"),
    (b"a GETQUOTA", b"a BAD"),
    (b"a COMPRESS", b"a BAD"),
]


@pytest.mark.parametrize(("line", "answer"), REFUSED)
def test_what_is_no_command_is_answered_and_the_next_one_read(line: bytes, answer: bytes) -> None:
    """Bad input is BAD with its tag (RFC 9051 §7.1.3), an unknown charset NO, and the connection goes on."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(line + b"\r\nz NOOP\r\n")
    event = reader.next()
    event = event.read() if isinstance(event, LongCommand) else event
    assert isinstance(event, BadLine)
    assert (event.tag + b" " + event.status + (b" [" + event.code if event.code else b"")).startswith(answer)
    assert not event.fatal
    assert event.text.isascii()
    assert reader.next() == Command(b"z", "NOOP", NO_ARGUMENTS)
    assert reader.next() is NEED_INPUT


APPENDS: list[tuple[bytes, AppendOptions, int]] = [
    (b"{3+}\r\nabc", AppendOptions(), 3),
    (b"(\\Seen $Fwd) {3+}\r\nabc", AppendOptions(FlagList(8, ("$Fwd",))), 3),
    (b"() ~{3+}\r\na\x00c", AppendOptions(binary=True), 3),
    (b"UTF8 (~{3+}\r\nabc)", AppendOptions(binary=True, utf8=True), 3),
    (b'" 7-Jul-1996 02:44:25 -0730" {3+}\r\nabc',
     AppendOptions(received_at=datetime(1996, 7, 7, 2, 44, 25, tzinfo=timezone(-timedelta(hours=7, minutes=30)))), 3),
    (b'(\\Draft) "31-Dec-2016 23:59:60 +0700"  {0+}\r\n',
     AppendOptions(FlagList(16), datetime(2016, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=7)))), 0),
]  # fmt: skip


@pytest.mark.parametrize(("words", "options", "size"), APPENDS)
def test_append_announces_and_streams_its_message(words: bytes, options: AppendOptions, size: int) -> None:
    """Flags, date and form of a message come before its octets, the end comes after them (RFC 9051 §6.3.12)."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b'a append "C&APQ-ng" ' + words + b"\r\nz NOOP\r\n")
    assert reader.next() == AppendMessage(b"a", "Công", 0, options, size, sync=False)
    assert reader.next() is NEED_INPUT  # nothing before the session has decided
    reader.accept()
    octets = b""
    while isinstance(event := reader.next(), AppendChunk):
        octets += event.data
    assert len(octets) == size
    assert event == AppendEnd(b"a", "Công", 1)
    assert reader.next() == Command(b"z", "NOOP", NO_ARGUMENTS)


@pytest.mark.parametrize(
    "words",
    [b"(\\Foo) {3+}\r\nabc", b'"1-Jul-1996 02:44:25 -0700"x {3+}\r\nabc', b"UTF8 ({3+}\r\nabc)", b"foo {3+}\r\nabc",
     b'"31-Feb-2020 00:00:00 +0000" {3+}\r\nabc'],
)  # fmt: skip
def test_a_bad_append_is_refused_behind_its_literal(words: bytes) -> None:
    """RFC 7888 §3: what stands in `{n+}` is never read as a command, whatever is wrong in front of it."""
    reader = Reader(GRAMMAR, Limits.signed_in())
    reader.feed(b"a APPEND x " + words + b"\r\nz NOOP\r\n")
    event = reader.next()
    assert isinstance(event, BadLine)
    assert event.tag == b"a"
    assert reader.next() == Command(b"z", "NOOP", NO_ARGUMENTS)


def test_every_capability_of_a_row_can_be_hidden() -> None:
    """What a row names stands in the table of capabilities."""
    assert {spec.capability for spec in command_table.COMMANDS.values()} - {""} <= set(HIDEABLE)


@pytest.mark.parametrize(
    ("line", "states", "uses_numbers", "may_expunge", "writes"),
    [
        (b"a NOOP", "NAS", False, True, False),
        (b"a STARTTLS", "N", False, True, False),
        (b'a LIST "" *', "AS", False, True, False),
        (b"a SELECT x", "AS", False, True, False),
        (b"a SELECT x (QRESYNC (1 2 3 (1 3)))", "AS", True, True, False),
        (b"a FETCH 1 FLAGS", "S", True, False, False),
        (b"a STORE 1 FLAGS ()", "S", True, False, True),
        (b"a SEARCH ALL", "S", True, False, False),
        (b"a UID FETCH 1 FLAGS", "S", False, True, False),
        (b"a UID SEARCH ALL", "S", False, True, False),
        (b"a UID SEARCH 1", "S", True, False, False),
        (b"a UID SEARCH CHARSET x ALL", "S", False, False, False),
        (b"a UID MOVE 1 x", "S", False, True, True),
        (b"a COPY 1 x", "S", True, True, False),
        (b"a EXPUNGE", "S", False, True, True),
        (b"a CLOSE", "S", False, False, False),
        (b"a UNAUTHENTICATE", "AS", False, False, False),
        (b'a SETMETADATA "" (/shared/comment NIL)', "AS", False, True, False),
    ],
)
def test_rules(line: bytes, states: str, uses_numbers: bool, may_expunge: bool, writes: bool) -> None:
    """RFC 9051 §3 (states), §7.5.1 (no EXPUNGE while FETCH, STORE, SEARCH are answered; UID forms may have them)."""
    command = read(line + b"\r\n")
    assert isinstance(command, Command)
    spec = command_table.COMMANDS[command.name]
    letters = {
        "N": ConnectionState.NOT_AUTHENTICATED,
        "A": ConnectionState.AUTHENTICATED,
        "S": ConnectionState.SELECTED,
    }
    assert "".join(letter for letter, state in letters.items() if state in spec.states) == states
    values = command.arguments
    assert (values.uses_numbers, spec.may_expunge(values), spec.writes) == (uses_numbers, may_expunge, writes)


def test_secrets_stay_out_of_repr() -> None:
    """No log line or traceback that shows a command shows a password."""
    assert "hunter2" not in repr(read(b"a LOGIN dvbe hunter2\r\n"))
    assert "hunter2" not in repr(Authenticate("PLAIN", b"\0dvbe\0hunter2"))


def test_a_set_of_one_number_is_what_the_long_way_gives() -> None:
    """The short cut for one number and the general way agree."""
    assert parse_set(b"17") == SequenceSet(((17, 17),), 17) == parse_set(b"17,17")
