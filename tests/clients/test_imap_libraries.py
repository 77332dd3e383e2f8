"""imaplib, IMAPClient and aioimaplib against a running server: what programs written with them rely on."""

import asyncio
import imaplib
import random
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aioimaplib
import imapclient
import pytest

from harness import left_in_staging
from messages.hard import HARD
from population import PASSWORD
from waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from harness import MailServer

MESSAGE = b"From: dvbe@mic.gov.vn\r\nTo: ttlan@mic.gov.vn\r\nSubject: Th\xc6\xb0 th\xe1\xbb\xad\r\n\r\nN\xe1\xbb\x99i dung.\r\n"


@pytest.fixture
def imap(mail_server: "MailServer") -> Iterator[imaplib.IMAP4_SSL]:
    """A signed-in imaplib session of dvbe."""
    client = imaplib.IMAP4_SSL("localhost", mail_server.ports["imaps"], ssl_context=mail_server.tls())
    client._encoding = "utf-8"  # type: ignore[attr-defined]  # imaplib's own way to say passwords that are not ASCII
    client.login("dvbe@mic.gov.vn", PASSWORD)
    yield client
    client.logout()


@pytest.fixture
def client(mail_server: "MailServer") -> Iterator[imapclient.IMAPClient]:
    """A signed-in IMAPClient session of dvbe."""
    with connected(mail_server) as session:
        yield session


def connected(server: "MailServer", user: str = "dvbe@mic.gov.vn") -> imapclient.IMAPClient:
    session = imapclient.IMAPClient("localhost", server.ports["imaps"], ssl_context=server.tls())
    session.plain_login(user, PASSWORD)
    return session


def test_imaplib_reads_back_every_hard_message_byte_for_byte(imap: imaplib.IMAP4_SSL) -> None:
    """What goes in by APPEND comes out of BODY[] unchanged, RFC822.SIZE is its length, and ENVELOPE can be parsed."""
    kept = {name: octets for name, octets in HARD.items() if b"\0" not in octets and octets}
    for octets in kept.values():
        assert imap.append("INBOX", None, None, octets)[0] == "OK"
    assert imap.select("INBOX") == ("OK", [b"%d" % len(kept)])
    for number, (name, octets) in enumerate(kept.items(), 1):
        # imaplib makes CRLF of every line end before it sends; the comparison follows it.
        sent = imaplib.MapCRLF.sub(imaplib.CRLF, octets)  # type: ignore[attr-defined]
        _, data = imap.fetch(str(number), "(RFC822.SIZE BODY.PEEK[])")
        assert isinstance(data[0], tuple)
        assert data[0][1] == sent, name
        assert b"RFC822.SIZE %d" % len(sent) in data[0][0], name
        assert imap.fetch(str(number), "(ENVELOPE BODYSTRUCTURE)")[0] == "OK", name


def test_imaplib_does_a_day_s_work(imap: imaplib.IMAP4_SSL) -> None:
    """Create, append, flag, copy, search, expunge and delete, as a script would."""
    assert imap.create("Du-an")[0] == "OK"
    assert imap.append("Du-an", r"(\Flagged)", '"01-Feb-2026 08:00:00 +0700"', MESSAGE)[0] == "OK"
    imap.select("Du-an")
    assert imap.fetch("1", "(FLAGS INTERNALDATE)")[1][0] == (
        b'1 (FLAGS (\\Recent \\Flagged) INTERNALDATE "01-Feb-2026 08:00:00 +0700")'
    )
    assert imap.store("1", "+FLAGS", r"(\Deleted $Viec)")[0] == "OK"
    assert imap.copy("1", "Archive")[0] == "OK"
    assert imap.search(None, "KEYWORD", "$Viec") == ("OK", [b"1"])
    assert imap.search(None, "UNKEYWORD", "$Viec") == ("OK", [b""]), "an empty result is told, not left out"
    assert imap.expunge() == ("OK", [b"1"])
    assert imap.close()[0] == "OK"
    assert imap.status("Archive", "(MESSAGES)")[1] == [b'"Archive" (MESSAGES 1)']
    assert imap.delete("Du-an")[0] == "OK"


def test_imaplib_gets_seen_set_by_reading(imap: imaplib.IMAP4_SSL) -> None:
    """BODY[] without PEEK sets \\Seen and says so, BODY.PEEK[] and EXAMINE do not (RFC 9051 §6.4.5)."""
    imap.append("INBOX", None, None, MESSAGE)
    imap.select("INBOX")
    imap.fetch("1", "(BODY.PEEK[])")
    assert imap.search(None, "UNSEEN") == ("OK", [b"1"])
    imap.select("INBOX", readonly=True)
    imap.fetch("1", "(BODY[])")
    assert imap.search(None, "UNSEEN") == ("OK", [b"1"])
    imap.select("INBOX")
    _, data = imap.fetch("1", "(BODY[TEXT])")
    assert b"\\Seen" in data[0][0], "in the line of the text"
    assert imap.search(None, "UNSEEN") == ("OK", [b""])


@pytest.mark.clause("15.5")
def test_imapclient_finds_the_special_folders(client: imapclient.IMAPClient) -> None:
    """Every account has subscribed folders with their uses, in LIST and in LSUB (Outlook, iOS)."""
    uses = {flag for flags, _, _ in client.list_folders() for flag in flags if flag[1:] in (b"Sent", b"Drafts", b"Trash")}
    assert uses == {b"\\Sent", b"\\Drafts", b"\\Trash"}
    assert {name for _, _, name in client.list_sub_folders()} >= {"Sent", "Drafts", "Trash", "Junk", "Archive"}
    assert client.find_special_folder(b"\\Sent") == "Sent"


def test_imapclient_works_with_names_in_vietnamese(client: imapclient.IMAPClient) -> None:
    """A folder's name survives modified UTF-7, with its diacritics, `&` and levels."""
    name = "Công văn đến/Quý IV & khác"
    client.create_folder(name)
    assert client.folder_exists(name)
    assert name in {name for _, _, name in client.list_folders()}
    client.append(name, MESSAGE)
    assert client.select_folder(name)[b"EXISTS"] == 1
    client.unselect_folder()
    client.rename_folder(name, "Công văn đến/Đã xong")
    assert client.folder_status("Công văn đến/Đã xong", ["MESSAGES", "SIZE"]) == {b"MESSAGES": 1, b"SIZE": len(MESSAGE)}


def test_imapclient_moves_by_uid(client: imapclient.IMAPClient) -> None:
    """MOVE takes a message away here and puts it there, with its flags, date and octets."""
    when = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    client.append("INBOX", MESSAGE, flags=(b"\\Answered",), msg_time=when)
    client.select_folder("INBOX")
    [uid] = client.search("ALL")
    client.move([uid], "Archive")
    assert client.search("ALL") == []
    client.select_folder("Archive")
    [uid] = client.search(["ANSWERED"])
    data = client.fetch([uid], ["BODY[]", "FLAGS", "INTERNALDATE"])[uid]
    assert data[b"BODY[]"] == MESSAGE
    assert set(data[b"FLAGS"]) >= {b"\\Answered", b"\\Seen"}
    assert imapclient.datetime_util.parse_to_datetime(b"04-Mar-2026 12:06:07 +0700") == data[b"INTERNALDATE"]


def test_imapclient_syncs_with_condstore(client: imapclient.IMAPClient) -> None:
    """CHANGEDSINCE brings exactly what changed since the MODSEQ that SELECT told (RFC 7162)."""
    for _ in range(3):
        client.append("INBOX", MESSAGE)
    known = client.select_folder("INBOX")[b"HIGHESTMODSEQ"]
    known = known[0] if isinstance(known, list | tuple) else known
    client.add_flags([2], [b"\\Flagged"])
    changed = client.fetch([1, 2, 3], ["FLAGS"], [f"CHANGEDSINCE {known}"])
    assert set(changed) == {2}
    assert changed[2][b"MODSEQ"][0] > known


def test_imapclient_quota_and_limits(client: imapclient.IMAPClient) -> None:
    """The quota root tells what is used; a message over APPENDLIMIT is refused with TOOBIG before it is sent."""
    client.append("INBOX", MESSAGE)
    _, [storage, messages] = client.get_quota_root("INBOX")
    assert (storage.resource, storage.usage, storage.limit) == ("STORAGE", 1, 1 << 20)
    assert (messages.resource, messages.usage) == ("MESSAGE", 1)
    [limit] = [int(word[12:]) for word in client.capabilities() if word.startswith(b"APPENDLIMIT=")]
    with pytest.raises(imapclient.exceptions.IMAPClientError, match="TOOBIG"):
        client.append("INBOX", b"x" * (limit + 1))


def test_a_full_mailbox_refuses_and_keeps_what_it_has(serve: Callable[..., "MailServer"]) -> None:
    """APPEND over the quota is NO [OVERQUOTA] and leaves nothing behind (Reg. 8.3.b)."""
    server = serve()
    server.issue("dvbe", quota_octets=100_000)
    with connected(server) as client:
        client.append("INBOX", MESSAGE + b"x" * 60_000)
        with pytest.raises(imapclient.exceptions.IMAPClientError, match="OVERQUOTA"):
            client.append("INBOX", MESSAGE + b"x" * 60_000)
        assert client.folder_status("INBOX", ["MESSAGES"]) == {b"MESSAGES": 1}
    assert left_in_staging(server.config.mail_root) == []


def test_attachments_over_the_limit_are_refused(client: imapclient.IMAPClient, mail_server: "MailServer") -> None:
    """20 MiB of attachments pass, one octet more is NO [TOOBIG] (Reg. 8.3.b)."""
    head = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nxin gui\r\n--b\r\n"
    head += b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    limit = mail_server.config.limits.attachment.maximum
    lines = b"x" * 998 + b"\r\n"
    body = lines * (limit // 1000) + b"x" * (limit % 1000)
    client.append("INBOX", head + body + b"\r\n--b--\r\n")
    with pytest.raises(imapclient.exceptions.IMAPClientError, match="TOOBIG"):
        client.append("INBOX", head + body + b"y\r\n--b--\r\n")
    assert client.folder_status("INBOX", ["MESSAGES"]) == {b"MESSAGES": 1}
    assert left_in_staging(mail_server.config.mail_root) == []


def test_idle_tells_of_a_delivery_at_once(mail_server: "MailServer") -> None:
    """A session in IDLE hears EXISTS when another one stores a message, and FETCH when it changes a flag."""
    with connected(mail_server) as waiting, connected(mail_server) as writing:
        waiting.select_folder("INBOX")
        waiting.idle()
        writing.append("INBOX", MESSAGE)
        assert (1, b"EXISTS") in idle_until(waiting, b"EXISTS")
        writing.select_folder("INBOX")
        writing.add_flags([1], [b"\\Flagged"])
        assert any(b"\\Flagged" in line[2][1] for line in idle_until(waiting, b"FETCH") if line[1] == b"FETCH")
        writing.delete_messages([1])
        writing.expunge()
        assert (1, b"EXPUNGE") in idle_until(waiting, b"EXPUNGE")
        waiting.idle_done()


def idle_until(client: imapclient.IMAPClient, word: bytes) -> list[Any]:
    """What IDLE told until `word` came."""
    lines: list[Any] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        lines += client.idle_check(timeout=1)
        if any(word in line for line in lines if isinstance(line, tuple)):
            return lines
    raise AssertionError(lines)


async def test_aioimaplib_signs_in_idles_and_reads(mail_server: "MailServer") -> None:
    """The asyncio client signs in over TLS, is pushed a new message, and reads it."""
    context: ssl.SSLContext = mail_server.tls()
    client = aioimaplib.IMAP4_SSL("localhost", mail_server.ports["imaps"], ssl_context=context)
    await client.wait_hello_from_server()
    assert (await client.login("dvbe", PASSWORD)).result == "OK"
    await client.select("INBOX")
    idle = await client.idle_start(timeout=20)
    await asyncio.to_thread(deliver, mail_server)
    assert b"1 EXISTS" in await client.wait_server_push()
    client.idle_done()
    await asyncio.wait_for(idle, 10)
    answer = await client.fetch("1", "(BODY.PEEK[])")
    assert bytes(answer.lines[1]) == MESSAGE
    await client.logout()


def deliver(server: "MailServer") -> None:
    with connected(server) as session:
        session.append("INBOX", MESSAGE)


def test_two_sessions_agree_after_random_work(mail_server: "MailServer") -> None:
    """Whatever two sessions do, after a NOOP both see the same messages with the same flags (RFC 9051 §5.2)."""
    dice = random.Random(20261124)
    with connected(mail_server) as one, connected(mail_server) as other:
        for session in (one, other):
            session.select_folder("INBOX")
        for _ in range(150):
            session = dice.choice((one, other))
            uids = session.search("ALL")
            match dice.randrange(5):
                case 0 | 1:
                    session.append("INBOX", MESSAGE)
                case 2 if uids:
                    session.add_flags(dice.sample(uids, min(3, len(uids))), [dice.choice((b"\\Seen", b"$Viec", b"\\Flagged"))])
                case 3 if uids:
                    session.remove_flags(dice.sample(uids, min(3, len(uids))), [b"\\Seen"])
                case 4 if len(uids) > 3:
                    session.delete_messages(dice.sample(uids, 2))
                    session.expunge()
                case _:
                    session.noop()
        states = []
        for session in (one, other):
            session.noop()
            data = session.fetch(session.search("ALL"), ["UID", "FLAGS"])
            states.append({uid: {flag for flag in found[b"FLAGS"] if flag != b"\\Recent"} for uid, found in data.items()})
        assert states[0] == states[1]


LETTERS = (
    b"From: b@mic.gov.vn\r\nSubject: Re: Plan\r\nMessage-ID: <1@mic>\r\nReferences: <0@mic>\r\n\r\nx\r\n",
    b"From: a@mic.gov.vn\r\nSubject: Agenda\r\nMessage-ID: <2@mic>\r\n\r\nx\r\n",
    b"From: c@mic.gov.vn\r\nSubject: Plan\r\nMessage-ID: <0@mic>\r\n\r\nx\r\n",
)


def test_imaplib_sorts_and_threads(imap: imaplib.IMAP4_SSL) -> None:
    """`sort`, `thread` and their UID forms (RFC 5256)."""
    for letter in LETTERS:
        imap.append("INBOX", None, None, letter)
    imap.select("INBOX")
    assert imap.sort("(SUBJECT)", "UTF-8", "ALL") == ("OK", [b"2 1 3"])
    assert imap.sort("(REVERSE FROM)", "UTF-8", "UNSEEN") == ("OK", [b"3 1 2"])
    assert imap.sort("(SUBJECT)", "UTF-8", "SEEN") == ("OK", [b""])
    assert imap.uid("SORT", "(SUBJECT)", "UTF-8", "ALL") == ("OK", [b"2 1 3"])
    assert imap.thread("REFERENCES", "UTF-8", "ALL") == ("OK", [b"(2)(3 1)"])
    assert imap.uid("THREAD", "ORDEREDSUBJECT", "UTF-8", "ALL") == ("OK", [b"(1 3)(2)"])


def test_imapclient_sorts_and_threads(client: imapclient.IMAPClient) -> None:
    """It asks for the capabilities first, and parses what comes."""
    for hour, letter in enumerate(LETTERS):
        client.append("INBOX", letter, msg_time=datetime(2026, 7, 1, hour, tzinfo=UTC))
    client.select_folder("INBOX")
    assert client.has_capability("SORT")
    assert client.sort(["SUBJECT"]) == [2, 1, 3]
    assert client.sort("REVERSE ARRIVAL", ["SUBJECT", "plan"]) == [3, 1]
    assert client.thread() == ((2,), (3, 1))
    assert client.thread("ORDEREDSUBJECT", "SUBJECT plan") == ((1, 3),)
