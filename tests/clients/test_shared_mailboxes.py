"""A unit's mailbox in the hands of its keeper, over real sockets (Reg. 12.3): read, moved, answered, taken away again."""

import imaplib
import json
import poplib
import re
import smtplib
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from clients.shared_mailboxes import CNTT, DVBE, TTLAN, deliver, events_named, idle, read_until, sign_in
from clients.smtp_sessions import letter, received_by, submission
from harness import MailServer, left_in_staging
from mic_mail.clock import ManualClock
from mic_mail.policy.facts import Detail, Draft, FactKind, MailboxKind
from mic_mail.storage.types import AccountRef
from population import PASSWORD, draft
from waiting import wait_for

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


@pytest.fixture
def server(serve: Callable[..., MailServer]) -> MailServer:
    """cntt@ with an alias, its keeper dvbe, and ttlan of the same unit, who is nothing."""
    server = serve(clock=ManualClock(NOW))
    server.cntt = server.issue("cntt", kind=MailboxKind.UNIT, name="Cục CNTT", aliases=["support"])  # type: ignore[attr-defined]
    server.dvbe = server.issue("dvbe", name="Đỗ Văn Bê")  # type: ignore[attr-defined]
    server.ttlan = server.issue("ttlan", name="Trần Thị Lan")  # type: ignore[attr-defined]
    server.allow(server.cntt, server.dvbe, "keeper")  # type: ignore[attr-defined]
    return server


def test_imaplib_asks_for_rights(server: MailServer) -> None:
    """namespace, myrights, getacl of Python's own library (RFC 4314, RFC 2342)."""
    client = sign_in(server)
    assert client.namespace()[1] == [b'(("" "/")) NIL (("Shared/" "/"))']
    assert client.myrights("Shared/cntt")[1] == [b'"Shared/cntt" lrswipkxtecd']
    assert client.getacl("INBOX")[1] == [b'"INBOX" "dvbe@mic.gov.vn" lrswipkxteacd']
    assert client.getacl("Shared/cntt")[0] == "NO"
    assert client.setacl("INBOX", TTLAN, "lrs")[0] == "NO"
    assert client.deleteacl("Shared/cntt", DVBE)[0] == "NO"
    unit = sign_in(server, CNTT)
    assert unit.getacl("INBOX")[1] == [b'"INBOX" "cntt@mic.gov.vn" lrswipkxteacd "dvbe@mic.gov.vn" lrswipkxtecd']


def test_two_people_see_the_same_mailbox(server: MailServer) -> None:
    """What one does the other is told in IDLE: new mail, flags, expunge; \\Seen is one for all (Reg. 12.3)."""
    server.allow(server.cntt, server.ttlan, "substitute", until="2026-11-30")  # type: ignore[attr-defined]
    be, lan = sign_in(server), sign_in(server, TTLAN)
    for client in (be, lan):
        assert client.select("Shared/cntt")[0] == "OK"
    idle(lan)
    deliver(server, CNTT)
    read_until(lan, rb"\* 1 EXISTS")
    assert be.noop()[0] == "OK"
    assert be.fetch("1", "(BODY[TEXT])")[0] == "OK"
    read_until(lan, rb"\* 1 FETCH \(FLAGS \(.*\\Seen\)\)")
    assert be.status("Shared/cntt", "(UNSEEN)")[1] == [b'"Shared/cntt" (UNSEEN 0)']
    be.store("1", "+FLAGS", r"(\Deleted)")
    be.expunge()
    read_until(lan, rb"\* 1 EXPUNGE")
    done = events_named(server, "messages_expunged", 1)
    assert [(event["mailbox"], event["actor"], event["uids"]) for event in done] == [(CNTT, DVBE, "1")]


def test_each_reads_for_themselves(server: MailServer) -> None:
    """Where the mailbox says so (decision 0035): what POP3 retrieves is read for the sign-in that retrieved it; a new keeper
    takes over what is read and what is not."""
    server.keep_seen(server.cntt, each=True, persons=[server.dvbe])  # type: ignore[attr-defined]
    for subject in ("một", "hai", "ba"):
        deliver(server, CNTT, subject)
    unit = poplib.POP3_SSL("localhost", server.ports["pop3s"], context=server.tls(), timeout=20)
    unit.user(CNTT)
    unit.pass_(PASSWORD)
    unit.retr(1)
    unit.quit()
    keeper, own = sign_in(server), sign_in(server, CNTT)
    assert own.status("INBOX", "(UNSEEN)")[1] == [b'"INBOX" (UNSEEN 2)']
    assert keeper.status("Shared/cntt", "(UNSEEN)")[1] == [b'"Shared/cntt" (UNSEEN 3)']
    keeper.select("Shared/cntt")
    keeper.fetch("1:2", "(BODY[TEXT])")
    keeper.store("2", "-FLAGS", r"(\Seen)")
    assert keeper.search(None, "SEEN")[1] == [b"1"]
    server.allow(server.cntt, server.ttlan, "keeper")  # type: ignore[attr-defined]
    new = sign_in(server, TTLAN)
    new.select("Shared/cntt")
    assert new.search(None, "UNSEEN")[1] == [b"2 3"]
    new.fetch("2", "(BODY[TEXT])")
    assert new.search(None, "UNSEEN")[1] == [b"3"]
    assert own.status("INBOX", "(UNSEEN)")[1] == [b'"INBOX" (UNSEEN 2)']


@pytest.mark.clause("12.3.a")
def test_openings_are_on_record(server: MailServer) -> None:
    """Reg. 12.3.a: SELECT, and reading on in what is open, once in five minutes; IDLE and STATUS do not count."""
    deliver(server, CNTT)
    client = sign_in(server)
    client.status("Shared/cntt", "(MESSAGES)")
    client.select("Shared/cntt")
    client.fetch("1:*", "FLAGS")
    server.move_clock_to(NOW + timedelta(minutes=11))
    client.fetch("1:*", "FLAGS")
    client.fetch("1:*", "FLAGS")
    client.select("INBOX")
    sign_in(server, CNTT).select("INBOX")
    opened = events_named(server, "mailbox_opened", 3)
    assert [(e["mailbox"], e["actor"], e["how"]) for e in opened] == [
        (CNTT, DVBE, "select"), (CNTT, DVBE, "fetch"), (CNTT, CNTT, "select"),
    ]  # fmt: skip


def test_an_authority_that_is_revoked_cuts_idle_and_nothing_else(server: MailServer) -> None:
    """The session that has the mailbox open ends with the clause; the person's others go on, and it is nowhere any more."""
    shared, own = sign_in(server), sign_in(server)
    shared.select("Shared/cntt")
    own.select("INBOX")
    idle(shared)
    server.deny(server.cntt, server.dvbe)  # type: ignore[attr-defined]
    assert b"Reg. 12.3" in read_until(shared, rb"\* BYE ")
    assert shared.readline() == b""
    assert own.noop()[0] == "OK"
    assert own.select("Shared/cntt")[0] == "NO"
    assert own.list('""', "Shared/*")[1] == [None]
    assert own.select("INBOX")[0] == "OK"
    cut = events_named(server, "session_cut", 1)
    assert [(event["mailbox"], event["detail"], event["clause"]) for event in cut] == [(DVBE, CNTT, "12.3")]


@pytest.mark.parametrize("left", ["CLOSE", "UNSELECT", "SELECT Shared/cntt/nix"])
def test_what_cuts_nothing_is_no_cut_in_the_log(server: MailServer, left: str) -> None:
    """A session that has left the unit's mailbox goes on, and `session_cut` is not said of it (Reg. 8.2)."""
    client, watching = sign_in(server), sign_in(server)
    client.select("Shared/cntt")
    watching.select("Shared/cntt")
    client.send(f"x9 {left}\r\n".encode())
    read_until(client, b"x9 ")
    idle(watching)
    server.deny(server.cntt, server.dvbe)  # type: ignore[attr-defined]
    read_until(watching, rb"\* BYE ")
    client.send(b"x2 NOOP\r\n")
    read_until(client, b"x2 OK")
    sign_in(server, TTLAN).logout()
    events_named(server, "signed_in", 3)
    assert len(events_named(server, "session_cut", 1)) == 1


def test_a_substitution_ends_by_the_clock(server: MailServer) -> None:
    """Nobody records anything: at the end of the last day the session is cut. (It idles for less than its half hour.)"""
    server.allow(server.cntt, server.ttlan, "substitute", until="2026-11-25")  # type: ignore[attr-defined]
    server.move_clock_to(datetime(2026, 11, 25, 16, 50, tzinfo=UTC))
    client = sign_in(server, TTLAN)
    client.select("Shared/cntt")
    idle(client)
    server.move_clock_to(datetime(2026, 11, 25, 16, 59, tzinfo=UTC))  # 23:59 in Ha Noi
    client.send(b"DONE\r\n")
    read_until(client, b"x1 OK")
    assert client.noop()[0] == "OK"
    idle(client)
    server.move_clock_to(datetime(2026, 11, 25, 17, 0, tzinfo=UTC))
    read_until(client, rb"\* BYE .*Reg. 12.3")


@pytest.mark.parametrize(
    ("edge", "comes"), [(datetime(2026, 11, 24, 17, tzinfo=UTC), True), (datetime(2026, 11, 25, 17, tzinfo=UTC), False)]
)
def test_who_listens_hears_of_a_substitution_by_the_clock(server: MailServer, edge: datetime, comes: bool) -> None:
    """NOTIFY (RFC 5465 §5.9): the mailbox is there from the first day and gone after the last, without anybody's doing."""
    ttlan = server.ttlan  # type: ignore[attr-defined]
    data: dict[str, Detail] = {"person": ttlan.person_id, "holder": TTLAN, "part": "substitute", "until": "2026-11-25"}
    named = Draft(FactKind.AUTHORISED, datetime(2026, 11, 24, 17, tzinfo=UTC), "test", "", "1/QĐ", data)
    server.record(server.cntt, named)  # type: ignore[attr-defined]
    server.move_clock_to(edge - timedelta(minutes=10))
    client = sign_in(server, TTLAN)
    client.send(b"n NOTIFY SET (MAILBOXES Shared/cntt (MessageNew MessageExpunge MailboxName))\r\n")
    read_until(client, rb"n OK")
    server.move_clock_to(edge)
    listed = rb"* LIST (\HasChildren)" if comes else rb"* LIST (\NonExistent \NoAccess \HasNoChildren)"
    assert read_until(client, rb"\* LIST ") == listed + b' "/" "Shared/cntt"\r\n'
    deliver(server, CNTT)
    if comes:
        assert read_until(client, rb"\* STATUS ").startswith(b'* STATUS "Shared/cntt" (MESSAGES 1 ')
    client.send(b"m NOOP\r\n")
    assert client.readline().startswith(b"m OK")


@pytest.mark.parametrize("whose", ["cntt", "dvbe"])
def test_a_suspension_of_either_cuts(server: MailServer, whose: str) -> None:
    """Reg. 7.1: nobody uses a suspended mailbox, and a suspended person uses none. What is told is the suspension (7.2)."""
    client = sign_in(server)
    client.select("Shared/cntt")
    idle(client)
    server.suspend(getattr(server, whose))
    bye = read_until(client, rb"\* BYE ")
    assert f"Mailbox {whose}@mic.gov.vn has been suspended".encode() in bye
    assert b"Reg. 7.2.c" in bye
    cut = events_named(server, "session_cut", 1)
    detail = CNTT if whose == "cntt" else None
    assert [(e["mailbox"], e.get("detail"), e["reason"], e["clause"]) for e in cut] == [(DVBE, detail, "suspended", "7.2.c")]


def test_who_is_cut_is_told_once(server: MailServer) -> None:
    """By the suspension of the own mailbox, with a unit's open, and before the client has read what it asked for."""
    for _ in range(12):
        with smtplib.SMTP(server.host, server.ports["smtp"], "client.example", timeout=10) as mx:
            mx.send_message(letter("a@a.example", CNTT, body="y\r\n" * 300_000))
    client = sign_in(server)
    client.select("Shared/cntt")
    client.send(b"f1 FETCH 1:* BODY.PEEK[]\r\n")
    client.socket().recv(1)
    with submission(server, "dvbe"):
        server.suspend(server.dvbe)  # type: ignore[attr-defined]
        server.suspend(server.cntt)  # type: ignore[attr-defined]
        server.refresh()
        with pytest.raises(imaplib.IMAP4.error, match="suspended"):
            sign_in(server)
        events_named(server, "sign_in_refused", 1)
        cut = events_named(server, "session_cut", 2)
    assert sorted((event["mailbox"], event["door"]) for event in cut) == [(DVBE, "imap"), (DVBE, "submission")]
    assert {event["reason"] for event in cut} == {"suspended"}


def test_a_reclaim_cuts_and_is_what_is_told(server: MailServer) -> None:
    """Of a unit's mailbox that is taken back while its keeper has it open: not that the keeper's authority ended."""
    client = sign_in(server)
    client.select("Shared/cntt")
    idle(client)
    server.record(server.cntt, draft(FactKind.RECLAIMED, NOW))  # type: ignore[attr-defined]
    bye = read_until(client, rb"\* BYE ")
    assert b"Mailbox cntt@mic.gov.vn was reclaimed" in bye


def test_a_restored_mailbox_waits_for_its_new_password(server: MailServer) -> None:
    """Reg. 7.3.c: until then its keeper does not use it either, and hears whose password it is."""
    client = sign_in(server)
    client.select("Shared/cntt")
    idle(client)
    server.record(server.cntt, draft(FactKind.SUSPENDED, NOW, cause="c"), draft(FactKind.RESTORED, NOW))  # type: ignore[attr-defined]
    bye = read_until(client, rb"\* BYE ")
    assert b"The password of the mailbox cntt@mic.gov.vn must be changed" in bye
    assert b"Reg. 7.3.c" in bye


def test_moving_between_accounts(server: MailServer) -> None:
    """MOVE and COPY keep octets, flags, keywords and INTERNALDATE; quota and log are the target's and the source's."""
    deliver(server, CNTT, "chuyển")
    client = sign_in(server)
    client.select("Shared/cntt")
    client.store("1", "+FLAGS", r"(\Flagged $Viec)")
    before = client.fetch("1", "(INTERNALDATE BODY.PEEK[] RFC822.SIZE)")[1][0]
    code, _ = client.uid("MOVE", "1", "Archive")
    assert (code, client.response("EXPUNGE")[1]) == ("OK", [b"1"])
    client.select("Archive")
    after = client.fetch("1", "(INTERNALDATE BODY.PEEK[] RFC822.SIZE)")[1][0]
    assert after == before
    assert rb"\Flagged $Viec" in client.fetch("1", "FLAGS")[1][0]
    assert client.copy("1", "Shared/cntt/Archive")[0] == "OK"
    assert client.status("Shared/cntt/Archive", "(MESSAGES)")[1] == [b'"Shared/cntt/Archive" (MESSAGES 1)']
    moved = events_named(server, "messages_moved", 1)
    assert [(e["mailbox"], e["actor"], e["folder"], e["to"]) for e in moved] == [(CNTT, DVBE, "INBOX", "Archive")]


def test_a_connection_lost_in_the_midst_leaves_no_staged_file(server: MailServer) -> None:
    """Half a message for the unit's mailbox: what was written of it is unlinked, by a thread and before any sweep."""
    staged = server.config.mail_root / "mic.gov.vn/cntt/Maildir/tmp"
    client = sign_in(server)
    client.send(b"a APPEND Shared/cntt {900000+}\r\nSubject: x\r\n\r\n" + b"x" * 800_000)
    wait_for(lambda: any(staged.glob("*")))
    client.shutdown()
    wait_for(lambda: not any(staged.glob("*")))


def test_the_quota_of_the_target_counts(server: MailServer) -> None:
    """A full unit mailbox takes nothing, from APPEND or COPY, and nothing half."""
    server.allow(server.issue("nho", kind=MailboxKind.UNIT, quota_octets=400), server.dvbe, "keeper")  # type: ignore[attr-defined]
    client = sign_in(server)
    deliver(server, DVBE)
    deliver(server, DVBE)
    client.select("INBOX")
    code, answer = client.copy("1:2", "Shared/nho")
    assert (code, answer[0][:11]) == ("NO", b"[OVERQUOTA]")
    assert client.append("Shared/nho", "", "", b"Subject: x\r\n\r\n" + b"x" * 500)[0] == "NO"
    assert client.status("Shared/nho", "(MESSAGES)")[1] == [b'"Shared/nho" (MESSAGES 0)']
    assert left_in_staging(server.config.mail_root) == []


def test_read_marks_of_who_is_named_no_more_are_dropped(server: MailServer) -> None:
    """Decision 0035: who comes back begins anew, so nothing is kept; a suspension is not an end, and leaves all as it is."""
    server.allow(server.cntt, server.ttlan, "substitute")  # type: ignore[attr-defined]
    server.keep_seen(server.cntt, each=True, persons=[server.dvbe, server.ttlan])  # type: ignore[attr-defined]
    home = server.config.mail_root / "mic.gov.vn/cntt"
    account = server.running.context.store.account(AccountRef(server.cntt.mailbox_id, server.cntt.home))  # type: ignore[attr-defined]

    def readers() -> list[str]:
        return json.loads((home / "Maildir/.mic-account").read_text())["readers"]

    server.suspend(server.cntt)  # type: ignore[attr-defined]
    server.suspend(server.ttlan)  # type: ignore[attr-defined]
    server.housekeep()
    assert readers() == [CNTT, DVBE, TTLAN]
    account.flush_names()
    assert len(list(home.glob("Maildir/.mic-seen.*"))) == 3
    server.deny(server.cntt, server.ttlan)  # type: ignore[attr-defined]
    server.housekeep()
    assert readers() == [CNTT, DVBE]
    assert not list(home.glob("Maildir/.mic-seen.*ttlan*"))
    assert [(e["mailbox"], e["readers"]) for e in events_named(server, "readers_forgotten", 1)] == [(CNTT, [TTLAN])]


# ------------------------------------------------------------------ sending


@pytest.mark.parametrize(
    ("envelope", "author", "sender"),
    [
        (CNTT, CNTT, None),
        (DVBE, CNTT, None),
        (CNTT, CNTT, DVBE),
        ("support@mic.gov.vn", "Cục CNTT <support@mic.gov.vn>", None),
        ("cntt+1@mic.gov.vn", "cntt+1@mic.gov.vn", None),
    ],
)
def test_a_keeper_writes_as_the_unit(server: MailServer, envelope: str, author: str, sender: str | None) -> None:
    """Reg. 12.3, 4.3: From and envelope of the unit pass as they are; the log says who signed in and as whom it was written."""
    message = letter(author, TTLAN)
    if sender:
        message["Sender"] = sender
    with submission(server, "dvbe") as client:
        client.send_message(message, envelope)
    (octets,) = received_by(server, "ttlan")
    assert b"\nSender:" in octets if sender else b"\nSender:" not in octets
    (event,) = events_named(server, "message_accepted", 1)
    assert (event["login"], event["written_as"]) == (DVBE, [CNTT])


def refused(server: MailServer, local: str, envelope: str, author: str) -> str:
    with submission(server, local) as client, pytest.raises(smtplib.SMTPException) as error:
        client.send_message(letter(author, TTLAN), envelope)
    return str(error.value)


def test_nobody_else_writes_as_the_unit(server: MailServer) -> None:
    """Before a naming, after a revocation, without `p`, and ever for a personal mailbox: refused."""
    for envelope in (CNTT, TTLAN):
        assert "4.3" in refused(server, "ttlan", envelope, CNTT)
    server.allow(server.cntt, server.dvbe, "keeper", "lrsw")  # type: ignore[attr-defined]
    assert "4.3" in refused(server, "dvbe", CNTT, CNTT)
    server.allow(server.cntt, server.dvbe, "keeper")  # type: ignore[attr-defined]
    server.deny(server.cntt, server.dvbe)  # type: ignore[attr-defined]
    assert "4.3" in refused(server, "dvbe", CNTT, CNTT)
    server.allow(server.ttlan, server.dvbe, "keeper")  # type: ignore[attr-defined]
    assert "4.3" in refused(server, "dvbe", TTLAN, TTLAN)
    assert received_by(server, "ttlan") == []


@pytest.mark.parametrize(
    ("fact", "clause"), [(draft(FactKind.SENDING_LOCKED, NOW), "10.2"), (draft(FactKind.SUSPENDED, NOW, cause="c"), "7.2.c")]
)
def test_a_unit_that_may_not_send(server: MailServer, fact: Any, clause: str) -> None:
    """Its state is told, in the envelope and in the header, and the person's own mail goes on."""
    server.record(server.cntt, fact)  # type: ignore[attr-defined]
    assert clause in refused(server, "dvbe", CNTT, CNTT)
    assert clause in refused(server, "dvbe", DVBE, CNTT)
    with submission(server, "dvbe") as client:
        client.send_message(letter(DVBE, TTLAN))


@pytest.mark.parametrize("octets", [1_000, 600_000])
def test_an_authority_that_ends_within_a_message(server: MailServer, octets: int) -> None:
    """Asked again at the end: what was begun as the unit is refused, whole or streamed."""
    message = EmailMessage()
    message["From"], message["To"] = CNTT, TTLAN
    message.set_content(("x" * 70 + "\n") * (octets // 71))
    raw = message.as_bytes().replace(b"\n", b"\r\n")
    with submission(server, "dvbe") as client:
        assert client.mail(CNTT)[0] == 250
        assert client.rcpt(TTLAN)[0] == 250
        assert client.docmd("DATA")[0] == 354
        client.send(raw)
        time.sleep(0.3)  # the header is read by then
        server.deny(server.cntt, server.dvbe)  # type: ignore[attr-defined]
        client.send(b"\r\n.\r\n")
        code, words = client.getreply()
    assert (code, b"4.3" in words) == (550, True)
    assert received_by(server, "ttlan") == []


# ------------------------------------------------------------------ a real mail program


MBSYNC = """
IMAPStore remote
Host localhost
Port {port}
User dvbe@mic.gov.vn
Pass "{password}"
TLSType IMAPS
CertificateFile {certificate}
AuthMechs PLAIN

MaildirStore local
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel unit
Far :remote:
Near :local:
Patterns Shared/cntt Shared/cntt/Sent
Create Near
Expunge Both
Sync All
SyncState *
"""


@pytest.mark.needs_tool("mbsync")
def test_mbsync_keeps_a_shared_folder(server: MailServer, tmp_path: Path) -> None:
    """The unit's INBOX comes down below Shared/, and a flag that is set there goes up."""
    deliver(server, CNTT, "đồng bộ")
    folder = tmp_path / "mail"
    folder.mkdir()
    rc = tmp_path / "mbsyncrc"
    rc.write_text(
        MBSYNC.format(port=server.ports["imaps"], password=PASSWORD, certificate=server.config.certificate, folder=folder)
    )

    def sync() -> None:
        done = subprocess.run(["mbsync", "-c", rc, "-a"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    sync()
    (copy,) = [path for path in folder.rglob("*") if path.is_file() and path.parent.name in {"new", "cur"}]
    assert "Shared/cntt" in str(copy)
    seen = copy.parent.parent / "cur" / (copy.name.partition(":")[0] + ":2,FS")
    copy.rename(seen)
    sync()
    client = sign_in(server)
    client.select("Shared/cntt")
    assert rb"\Flagged \Seen" in client.fetch("1", "FLAGS")[1][0]


def test_a_stranger_learns_nothing(server: MailServer) -> None:
    """Whatever is asked below Shared/, the answer is that of a name that was never there."""
    client = sign_in(server, TTLAN)

    def answers(name: str) -> list[bytes]:
        said = []
        for words in (f"SELECT {name}", f"STATUS {name} (MESSAGES)", f"MYRIGHTS {name}", f"GETACL {name}", f"DELETE {name}",
                      f"CREATE {name}", f"LISTRIGHTS {name} {DVBE}", f"GETQUOTA {name}", f"SETACL {name} x lr"):  # fmt: skip
            tag = client._new_tag()  # type: ignore[attr-defined]
            client.send(b"%b %b\r\n" % (tag, words.encode()))
            said.append(read_until(client, re.escape(tag)).removeprefix(tag).replace(name.encode(), b"NAME"))
        return said

    assert answers("Shared/cntt") == answers("Shared/khong-co")
