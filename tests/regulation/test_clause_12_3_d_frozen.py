"""Reg. 12.3.d at the doors: while a mailbox is handed over nothing of it goes, whoever asks and however."""

import imaplib
import poplib
import smtplib
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from clients.shared_mailboxes import events_named, read_until
from clients.smtp_sessions import letter
from harness import MailServer
from mic_mail.services.handover.verify import MessageFinding
from mic_mail.storage.errors import Frozen
from mic_mail.storage.types import DELETED, SEEN
from regulation.handover_setup import BE, CNTT, HEAD, LAN, NAMING, Office, open_office
from store_harness import exchange, message

pytestmark = pytest.mark.clause("12.3.d")


@pytest.fixture
def office(serve: Callable[..., MailServer]) -> Iterator[Office]:
    made = open_office(serve)
    made.fill("một", "hai", "ba")
    made.fill("bốn", flags=DELETED)
    made.account.create("Công văn")
    yield made
    made.close()


def ok(answer: tuple[str, list[object]]) -> bytes:
    assert answer[0] == "OK", answer
    return b" ".join(part for part in answer[1] if isinstance(part, bytes))


def no(answer: tuple[str, list[object]]) -> None:
    """Refused as in use, with the clause (RFC 5530 §3: it may succeed later)."""
    kind, [text] = answer
    assert kind == "NO", answer
    assert isinstance(text, bytes)
    assert text.startswith(b"[INUSE] "), text
    assert b"(Reg. 12.3.d)" in text


@pytest.mark.parametrize(("who", "root"), [(CNTT, ""), (BE, "Shared/cntt")])
@pytest.mark.parametrize("open_before", [False, True])
def test_clause_12_3_d_nothing_goes_by_imap(office: Office, who: str, root: str, open_before: bool) -> None:
    """By the mailbox's own password and by the keeper's, in sessions old and new; mail is read, marked, filed by copies."""
    inbox, sent, filed = (root, f"{root}/Sent", f"{root}/Công văn") if root else ("INBOX", "Sent", "Công văn")
    client = office.imap(who)
    client.enable("UTF8=ACCEPT")
    if open_before:
        client.select(f'"{inbox}"')
    before = office.begin()
    if not open_before:
        client.select(f'"{inbox}"')
        assert b"\\Deleted" not in client.response("PERMANENTFLAGS")[1][0]
    text = "đang được bàn giao".encode()

    def refused(answer: tuple[str, list[object]]) -> None:
        assert answer[0] == "NO", answer
        assert answer[1][0].startswith(b"[INUSE]"), answer
        assert text in answer[1][0]

    refused(client.store("1", "+FLAGS", r"(\Deleted)"))
    refused(client.expunge())
    refused(client.uid("EXPUNGE", "1:*"))
    refused(client._simple_command("MOVE", "1", f'"{sent}"'))
    refused(client._simple_command("UID", "MOVE", "2", f'"{filed}"'))
    refused(client.delete(f'"{filed}"'))
    refused(client.rename(f'"{filed}"', f'"{filed}2"'))
    if not root:
        refused(client.rename("INBOX", "Moi"))
    ok(client.store("1", "+FLAGS", r"(\Seen \Flagged)"))
    ok(client.store("2", "FLAGS", r"(\Seen \Deleted)"))  # what may be set is set (RFC 4314 §4)
    assert b"\\Deleted" not in ok(client.fetch("2", "(FLAGS)"))
    ok(client.copy("1:4", f'"{filed}"'))
    ok(client.append(f'"{sent}"', None, None, message("năm")))
    assert b"lrswipk" in ok(client.myrights(f'"{inbox}"')).replace(b" lrswipka", b" lrswipk")
    assert client.close()[0] == "OK"
    assert office.uids() == [1, 2, 3, 4]
    assert office.fates() == {MessageFinding.SAME: before.counted.data["messages"]}
    assert sum(check.added for check in office.verify().folders) == 5


def test_clause_12_3_d_replace_and_close_say_so(office: Office) -> None:
    """REPLACE is refused before anything is stored; CLOSE leaves, and says that nothing was expunged."""
    client = office.imap(CNTT)
    office.begin()
    client.select("INBOX")
    octets = message("mới")
    client.send(b"r1 REPLACE 1 INBOX {%d+}\r\n%b\r\n" % (len(octets), octets))
    assert read_until(client, rb"r1 ").startswith(b"r1 NO [INUSE]")
    client.send(b"c1 CLOSE\r\n")
    assert b"(Reg. 12.3.d)" in read_until(client, rb"c1 OK ")
    assert office.uids() == [1, 2, 3, 4]


def test_clause_12_3_d_an_expunge_of_nothing_is_no_trouble(office: Office) -> None:
    """Programs that say EXPUNGE without having marked anything hear OK: nobody is alarmed for nothing."""
    office.begin()
    client = office.imap(CNTT)
    client.select('"Sent"')
    assert client.expunge()[0] == "OK"


def test_clause_12_3_d_nothing_is_moved_into_another_account(office: Office) -> None:
    """MOVE out is refused before a copy is made there; MOVE in goes on."""
    office.begin()
    client = office.imap(BE)
    client.append("INBOX", None, None, message("riêng"))
    client.select("Shared/cntt")
    no(client._simple_command("MOVE", "1:2", "INBOX"))
    client.select("INBOX")
    assert client.search(None, "ALL")[1] == [b"1"]
    ok(client._simple_command("MOVE", "1", "Shared/cntt"))
    assert len(office.uids()) == 5


def test_clause_12_3_d_nothing_goes_by_pop3(office: Office) -> None:
    """DELE is refused; what was marked before it began is not removed at QUIT, and QUIT says so."""
    early = office.pop3()
    early.dele(1)
    office.begin()
    late = office.pop3()
    with pytest.raises(poplib.error_proto, match=r"12\.3\.d"):
        late.dele(2)
    late.retr(2)
    assert late.quit().startswith(b"+OK")
    with pytest.raises(poplib.error_proto, match=r"Some deleted messages were not removed.*12\.3\.d"):
        early.quit()
    assert office.uids() == [1, 2, 3, 4]
    assert office.fates() == {MessageFinding.SAME: 4}


def test_clause_12_3_d_mail_comes_meanwhile(office: Office) -> None:
    """Deliveries go on, and are none of what is handed over."""
    office.begin()
    with smtplib.SMTP(office.server.host, office.server.ports["smtp"], "client.example", timeout=10) as client:
        client.send_message(letter("a@a.example", CNTT, body="thư mới"))
    [inbox] = [check for check in office.verify().folders if check.folder.name == "INBOX"]
    assert (inbox.folder.messages, inbox.fates[MessageFinding.SAME], inbox.added) == (4, 4, 1)


def test_clause_12_3_d_finish_ends_what_was(office: Office) -> None:
    """Sessions under the old password and the old keeper's end within seconds; the successor reads, and may expunge again."""
    own, keeper, takes = office.imap(CNTT), office.imap(BE), office.imap(LAN)
    own.select("INBOX")
    keeper.select("Shared/cntt")
    mailbox = office.pop3()
    office.begin()
    password = office.finish()
    assert b"BYE" in read_until(own, rb"\* BYE ")
    assert b"(Reg. 12.3)" in read_until(keeper, rb"\* BYE ")
    with pytest.raises((poplib.error_proto, OSError)):
        mailbox.noop()
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        office.imap(CNTT)
    with pytest.raises(imaplib.IMAP4.error, match="EXPIRED"):
        office.imap(CNTT, password)  # to be changed at the page first
    again = office.imap(BE)
    assert again.select("Shared/cntt")[0] == "NO"
    takes.select("Shared/cntt")
    ok(takes.store("1", "+FLAGS", r"(\Deleted)"))
    assert sorted(ok(takes.expunge()).split()) == [b"1", b"4"]  # and what was marked from before
    events_named(office.server, "messages_expunged", 1)
    assert office.fates() == {MessageFinding.SAME: 2, MessageFinding.EXPUNGED: 2}
    assert office.verify().is_whole
    assert {found.note.en.partition(" (")[2] for found in office.verify().found} == {f"{LAN})"}


def test_clause_12_3_d_cancelled_it_is_as_before(office: Office) -> None:
    """The keeper keeps the mailbox, the password stays, mail can be expunged; open sessions learn of it."""
    office.begin()
    client = office.imap(CNTT)
    client.select("INBOX")
    office.cancel()
    ok(client.noop())
    assert b"\\Deleted" in client.response("PERMANENTFLAGS")[1][-1]
    assert ok(client.expunge()) == b"4"
    keeper = office.imap(BE)
    keeper.select("Shared/cntt")
    ok(keeper.store("1", "+FLAGS", r"(\Deleted)"))
    ok(keeper.expunge())


def test_clause_12_3_d_ten_clients_expunge_while_it_begins(office: Office) -> None:
    """Each EXPUNGE is wholly before the inventory or refused: what was counted is there when it is looked at again."""
    office.fill(*(f"thư {number}" for number in range(200)))
    clients = [office.imap(CNTT if number % 2 else BE) for number in range(10)]
    for number, client in enumerate(clients):
        client.select("INBOX" if number % 2 else "Shared/cntt")
    go, answers = threading.Barrier(11), []

    def expunge(number: int, client: imaplib.IMAP4_SSL) -> None:
        go.wait()
        for uid in range(5 + number, 205, 10):
            client.uid("STORE", str(uid), "+FLAGS.SILENT", r"(\Deleted)")
            answers.append(client.uid("EXPUNGE", str(uid)))

    threads = [threading.Thread(target=expunge, args=each) for each in enumerate(clients)]
    for thread in threads:
        thread.start()
    go.wait()
    office.handovers.begin(office.unit, NAMING, HEAD)
    inventory, _ = office.handovers.count(office.unit, HEAD)
    for thread in threads:
        thread.join()
    assert inventory.messages == len(office.uids())
    assert office.fates() == {MessageFinding.SAME: inventory.messages}
    assert inventory.messages + len(office.account.tombstones()) == 204
    assert all(kind == "OK" or answer[0].startswith(b"[INUSE]") for kind, answer in answers)


def test_clause_12_3_d_the_store_itself_refuses(office: Office) -> None:
    """Under the account's lock, whatever a process knows of the record by then: every way in which messages leave a folder."""
    office.begin()
    account = office.account
    inbox, sent = account.folder("INBOX").folder_id, account.folder("Sent").folder_id
    for act in (
        lambda: account.expunge(inbox),
        lambda: account.remove(inbox, [1]),
        lambda: account.move(inbox, [1], sent),
        lambda: account.delete("Công văn"),
        lambda: account.rename("Công văn", "Khác"),
        lambda: account.rename("INBOX", "Khác"),
        lambda: exchange(account, inbox, 1, inbox, "mới"),
    ):
        with pytest.raises(Frozen):
            act()
    assert account.store_flags(inbox, [1], "+", DELETED | SEEN).changed[0][1] == SEEN
    assert account.store_flags(inbox, [4], "=", SEEN).changed[0][1] == SEEN | DELETED
    assert [info.name for info in account.folders() if info.name.startswith("K")] == []
    assert office.fates() == {MessageFinding.SAME: 4}


SETS = st.sampled_from(("1", "1:2", "2:*", "*", "1:*"))
FLAGS = st.lists(st.sampled_from((r"\Deleted", r"\Seen", r"\Flagged", "$Xong")), unique=True, min_size=1).map(" ".join)
FOLDERS = st.sampled_from(("INBOX", "Sent", "Moi", "Moi/Con", "Trash"))
COMMANDS = st.one_of(
    st.builds("SELECT {}".format, FOLDERS),
    st.builds("CREATE {}".format, FOLDERS),
    st.builds("DELETE {}".format, FOLDERS),
    st.builds("RENAME {} {}".format, FOLDERS, FOLDERS),
    st.builds("{}STORE {} {}FLAGS ({})".format, st.sampled_from(("", "UID ")), SETS, st.sampled_from(("", "+", "-")), FLAGS),
    st.builds("{}{} {} {}".format, st.sampled_from(("", "UID ")), st.sampled_from(("COPY", "MOVE")), SETS, FOLDERS),
    st.builds("UID EXPUNGE {}".format, SETS),
    st.builds("REPLACE {} {} {{12+}}\r\nX: y\r\n\r\nabc\r\n".format, SETS.filter(str.isdecimal), FOLDERS),
    st.builds("APPEND {} ({}) {{12+}}\r\nX: y\r\n\r\nabc\r\n".format, FOLDERS, FLAGS),
    st.sampled_from(("EXPUNGE", "CLOSE", "UNSELECT", "NOOP")),
)


def test_clause_12_3_d_whatever_clients_do(office: Office) -> None:
    """Any sequence of commands by the mailbox and by its keeper leaves what was counted as it was, in its folder."""
    whole = {MessageFinding.SAME: office.begin().counted.data["messages"]}

    @settings(max_examples=25, deadline=None, phases=[Phase.generate])
    @given(st.lists(st.tuples(st.booleans(), COMMANDS), min_size=4, max_size=25))
    def check(steps: list[tuple[bool, str]]) -> None:
        own, keeper = office.imap(CNTT), office.imap(BE)
        own.select("INBOX")
        keeper.select("Shared/cntt")
        for by_keeper, step in steps:
            command = _below(step, "Shared/cntt") if by_keeper else step
            client = keeper if by_keeper else own
            client.send(b"x " + command.encode() + b"\r\n")
            read_until(client, rb"x ")
        for client in (own, keeper):
            client.shutdown()
        assert office.fates() == whole, steps

    check()


def _below(command: str, root: str) -> str:
    """The same of the mailbox as its keeper names it."""
    words = [f"{root}/{word}" if word in {"Sent", "Moi", "Moi/Con", "Trash"} else word for word in command.split(" ")]
    return " ".join(root if word == "INBOX" else word for word in words)
