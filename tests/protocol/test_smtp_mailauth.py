"""Mail from other servers is judged by whose it is: at a real name server, over real connections, with real signatures."""

import imaplib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import signed_messages
from clients.smtp_sessions import submission
from dns_server import NameServer, name_server
from harness import MailServer, config_for
from mic_mail.config.manual import write
from mic_mail.mailauth.message_digest import MOST_SIGNATURES
from mic_mail.storage.types import AccountRef
from population import PASSWORD
from protocol.mailauth_server import OURS, STRANGER, TROUBLES, ZONE, bring, filed, logged, message, results, serving, settings
from regulation.console import Console

pytestmark = pytest.mark.clause("10.2")


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with name_server(ZONE, troubles=TROUBLES) as one:
        yield one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, names: NameServer) -> Iterator[MailServer]:
    with serving(tmp_path_factory.mktemp("origin") / "data", settings(names)) as one:
        yield one


# ---------------------------------------------------------------- the field


def test_a_message_of_its_author(server: MailServer) -> None:
    """RFC 8601: our field stands in front of all that came; SPF, DKIM, DMARC and iprev pass; it lies in INBOX."""
    octets = signed_messages.sign(message("lan@one.example"), domain="one.example")
    reply = bring(server, octets)
    folder, stored = filed(server, reply)
    assert folder == "INBOX"
    assert stored.endswith(octets)
    front = stored.removesuffix(octets)
    assert re.fullmatch(
        rb"Return-Path: <lan@one.example>\r\nAuthentication-Results: mail\.mic\.gov\.vn;\r\n(?:\t.+\r\n)+"
        rb"Received: from .+\r\n(?:\t.+\r\n)+",
        front,
    )
    (result,) = results(stored)
    for word in (
        b"spf=pass reason=ip4 smtp.mailfrom=one.example",
        b"dkim=pass header.d=one.example",
        b"dmarc=pass header.from=one.example",
    ):
        assert word in re.sub(rb"\s+", b" ", result)
    assert b"iprev=pass policy.iprev=127.0.0.1" in result
    event = logged(server, reply)
    assert (event["action"], event["spf"], event["dmarc"], event["dkim"]) == ("passed", "pass", "pass", "one.example=pass")
    assert (event["iprev"], event["clause"], event["peer"]) == ("pass", "10.2", OURS)


@pytest.mark.parametrize("recipients", [("dvbe@mic.gov.vn",), ("dvbe@mic.gov.vn", "ttlan@mic.gov.vn")], ids=["one", "two"])
@pytest.mark.parametrize("size", [100, 131_000, 131_072, 300_000, 3_000_000])
def test_bodies_of_all_sizes(server: MailServer, size: int, recipients: tuple[str, ...]) -> None:
    """Whatever its size and its readers: not an octet of what came is changed, and what the index keeps fits what is stored."""
    line = b"".join(b"%07d\r\n" % number for number in range(size // 9))
    octets = signed_messages.sign(message("lan@one.example", body=line), domain="one.example")
    forged = b"Authentication-Results: mail.mic.gov.vn; dmarc=pass header.from=bank.example\r\n"
    for sent in (octets, forged + octets):
        reply = bring(server, sent, None, *recipients)
        for address in recipients:
            folder, stored = filed(server, reply, address.partition("@")[0])
            assert folder == "INBOX"
            assert stored.endswith(octets)
            (result,) = results(stored)
            assert b"dmarc=pass header.from=one.example" in re.sub(rb"\s+", b" ", result)
            assert b"bank.example" not in stored
    for path in server.config.mail_root.rglob("cur/*"):
        assert int(re.search(r",S=(\d+)", path.name)[1]) == path.stat().st_size  # type: ignore[index]
    server.call(server.running.context.executors.io(lambda: None))


FORGED = (
    b"Authentication-Results: mail.mic.gov.vn; spf=pass",
    b"authentication-results:mail.mic.gov.vn;spf=pass",
    b"AUTHENTICATION-RESULTS : MAIL.MIC.GOV.VN; spf=pass",
    b'Authentication-Results: "mail.mic.gov.vn"; spf=pass',
    b"Authentication-Results: mail.mic.gov.vn 1; spf=pass",
    b"Authentication-Results: (x) mail.mic.gov.vn (y) ; spf=pass",
    b"Authentication-Results:\r\n\tmail.mic.gov.vn;\r\n\tspf=pass",
    b"Authentication-Results: mail.mic.gov.vn.; spf=pass",
    b'Authentication-Results: "mail\\.mic.gov.vn"; spf=pass',
    b"Authentication-\x01Results: mail.mic.gov.vn; spf=pass",
    b"Authentication-\xc2\xadResults: mail.mic.gov.vn; spf=pass",
)
OTHERS = (
    b"Authentication-Results: mx.one.example; spf=pass",
    b"Authentication-Results: mail.mic.gov.vn.one.example; spf=pass",
    b"X-Authentication-Results: mail.mic.gov.vn; spf=pass",
    b"ARC-Authentication-Results: i=1; mail.mic.gov.vn; spf=pass",
    b"Subject: Authentication-Results: mail.mic.gov.vn; spf=pass",
)


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
def test_forged_results_are_taken_away_and_nothing_else(server: MailServer, size: int) -> None:
    """RFC 8601 §5, in every writing; those of others stay, octet by octet and in their order."""
    fields = [field for pair in zip(FORGED, (*OTHERS, *OTHERS), strict=False) for field in pair]
    body = b"Authentication-Results: mail.mic.gov.vn; in=body\r\n" + b"x" * 70 * (size // 70) + b"\r\n"
    octets = b"".join(field + b"\r\n" for field in fields) + message("lan@none.example", body=body)
    wanted = b"".join(field + b"\r\n" for field in fields if field in OTHERS) + message("lan@none.example", body=body)
    _, stored = filed(server, bring(server, octets))
    assert stored.endswith(wanted)
    assert re.sub(rb"\s+", b"", stored.removesuffix(wanted)).lower().count(b"mail.mic.gov.vn") == 2  # our field, our Received


@pytest.mark.parametrize("forged", FORGED)
def test_forged_results_that_stand_there_alone(server: MailServer, forged: bytes) -> None:
    """Nothing else in the header says that there may be any."""
    rest = message("lan@none.example")
    _, stored = filed(server, bring(server, forged + b"\r\n" + rest))
    assert stored.endswith(b"\r\n" + rest)
    assert re.sub(rb"\s+", b"", stored).lower().count(b"mail.mic.gov.vn") == 2  # our field, our Received


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
def test_forged_results_in_what_is_submitted(server: MailServer, size: int) -> None:
    """RFC 8601 §5 asks it of every server, and the log tells of it (Reg. 4.2): no colleague vouches in the server's name."""
    rest = message("dvbe@mic.gov.vn", b"Date: now\r\nMessage-ID: <1@x>\r\n", body=b"x" * size + b"\r\n")
    with submission(server, "dvbe") as client:
        client.mail("dvbe@mic.gov.vn")
        client.rcpt("ttlan@mic.gov.vn")
        reply = client.data(b"Authentication-Results: mail.mic.gov.vn; dmarc=pass header.from=bank.example\r\n" + rest)
    folder, stored = filed(server, reply, "ttlan")
    assert folder == "INBOX"
    assert stored.endswith(rest)
    assert results(stored) == []
    event = logged(server, reply, "results_removed")
    assert (event["login"], event["sender"]) == ("dvbe@mic.gov.vn", "dvbe@mic.gov.vn")


@pytest.mark.parametrize("recipients", [("dvbe@mic.gov.vn",), ("dvbe@mic.gov.vn", "ttlan@mic.gov.vn")], ids=["one", "two"])
@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
@pytest.mark.parametrize("blank", [b"\t", b" ", b" \r\n\t"])
def test_nothing_goes_on_where_our_lines_end(server: MailServer, blank: bytes, size: int, recipients: tuple[str, ...]) -> None:
    """A message that begins with a blank has no header: an empty line ends ours, and every octet that came is body."""
    octets = blank + b"dkim=pass header.d=bank.example\r\n" + message("lan@none.example", body=b"x" * size + b"\r\n")
    reply = bring(server, octets, None, *recipients)
    for address in recipients:
        local = address.partition("@")[0]
        folder, stored = filed(server, reply, local)
        assert folder == "Junk"
        header, empty, body = stored.partition(b"\r\n\r\n")
        assert (empty, body) == (b"\r\n\r\n", octets)
        assert [line.partition(b":")[0] for line in header.split(b"\r\n") if not line.startswith(b"\t")] == [
            b"Return-Path",
            b"Authentication-Results",
            b"Received",
        ]
        with imaplib.IMAP4(server.host, server.ports["imap"]) as client:
            client.starttls(server.tls())
            client.authenticate("PLAIN", lambda _, local=local: f"\0{local}@mic.gov.vn\0{PASSWORD}".encode())
            client.select(folder, readonly=True)
            uid = client.uid("SEARCH", "HEADER", "Received", reply[1].split()[-1].decode())[1][0].decode()
            found = client.uid("FETCH", uid, "(ENVELOPE BODYSTRUCTURE RFC822.SIZE BODY.PEEK[TEXT])")[1][0]
        assert octets in found
        assert b"ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)" in found[0]
        assert b'BODYSTRUCTURE ("TEXT" "PLAIN"' in found[0].upper()
        assert f"RFC822.SIZE {len(stored)}".encode() in found[0]


def test_a_header_that_is_longer_than_anybody_writes_is_refused(server: MailServer) -> None:
    """Else what is forged could stand beyond what is looked at."""
    long = b"".join(b"X-%d: %b\r\n" % (number, b"y" * 900) for number in range(300))
    code, said = bring(server, message("lan@none.example", long))
    assert (code, said[:5]) == (552, b"5.3.4")


# ---------------------------------------------------------------- what is done


def test_what_is_disowned_is_refused(server: MailServer) -> None:
    """RFC 7489 with p=reject: 550 5.7.26 (RFC 7372), and the log says why."""
    reply = bring(server, message("lan@one.example"), peer=STRANGER)
    assert (reply[0], reply[1][:6]) == (550, b"5.7.26")
    assert b"one.example" in reply[1]
    event = logged(server, reply)
    assert (event["action"], event["rule"], event["dmarc"], event["spf"]) == ("refused", "dmarc", "fail", "fail")
    assert logged(server, reply, "message_refused")["reason"] == "not-of-author"


def test_slow_names_beside_a_forged_one(server: MailServer) -> None:
    """Signatures of domains that do not answer, in front of one in the name of a domain that does: what that one disowns is
    refused, and does not pass as not answered."""
    field = "DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d={}; s={}; h=from; bh=AAAA; b=AAAA\r\n"
    slow = [field.format("silent.example", f"s{number}").encode() for number in range(MOST_SIGNATURES - 1)]
    reply = bring(server, message("lan@one.example", *slow, field.format("one.example", "none").encode()), peer=STRANGER)
    assert (reply[0], reply[1][:6]) == (550, b"5.7.26"), reply


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
def test_what_is_to_be_put_aside_goes_to_junk(server: MailServer, size: int) -> None:
    """p=quarantine, for one reader and for several."""
    octets = message("lan@two.example", body=b"x" * size + b"\r\n")
    for recipients in (("dvbe@mic.gov.vn",), ("dvbe@mic.gov.vn", "ttlan@mic.gov.vn")):
        reply = bring(server, octets, None, *recipients, peer=STRANGER)
        for address in recipients:
            folder, stored = filed(server, reply, address.partition("@")[0])
            assert folder == "Junk"
            assert b"dmarc=fail" in results(stored)[0]
        assert logged(server, reply)["action"] == "junk"


def test_junk_by_other_names(server: MailServer) -> None:
    """It goes where the mailbox has its Junk, whatever that is called; with none into INBOX, marked."""
    mailbox = server.issue("pvnam")
    account = server.running.context.store.account(AccountRef(mailbox.mailbox_id, mailbox.home))
    account.rename("Junk", "Linh tinh")
    octets = message("lan@two.example")
    assert filed(server, bring(server, octets, None, "pvnam@mic.gov.vn", peer=STRANGER), "pvnam")[0] == "Linh tinh"
    account.delete("Linh tinh")
    folder, _ = filed(server, bring(server, octets, None, "pvnam@mic.gov.vn", peer=STRANGER), "pvnam")
    assert folder == "INBOX"
    inbox = account.folder("INBOX")
    assert "$Junk" in inbox.keywords


@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "large"])
def test_forged_as_one_of_us(server: MailServer, size: int) -> None:
    body = b"x" * size + b"\r\n"
    for sender, octets in (
        (None, message("dvbe@mic.gov.vn", body=body)),
        ("lan@none.example", message("dvbe@mic.gov.vn", body=body)),
        ("dvbe@mic.gov.vn", message("lan@none.example", body=body)),
        ("lan@none.example", b"From: dvbe@mic.gov.vn\r\n" + message("lan@none.example", body=body)),
        ("", message("minister@mic.gov.vn", body=body)),
    ):
        reply = bring(server, octets, sender)
        assert (reply[0], reply[1][:5]) == (550, b"5.7.1"), reply
        assert b"mic.gov.vn" in reply[1]
        assert logged(server, reply)["rule"] == "own-domain"
    assert not list(server.config.spool_dir.glob("tmp/*"))


ODD_AUTHORS = (
    (b"from : dvbe@mic.gov.vn", 550),
    (b"From: dvbe@MIC.GOV.VN.", 550),
    (b"From:\r\n\t<dvbe@mic.gov.vn>", 550),
    (b"From: <dvbe@mic.gov.vn> <a@none.example>", 550),
    (b"From: G: dvbe@mic.gov.vn, a@none.example;", 550),
    (b"From: dvbe @ mic.gov.vn", 550),
    (b"From: <@none.example:dvbe@mic.gov.vn>", 550),
    ("From: dvbe@mic\u3002gov\u3002vn".encode(), 550),
    ("From: dvbe@\uff4d\uff49\uff43.gov.vn".encode(), 550),
    (b"From: a@none.example\r\nFrom: dvbe@mic.gov.vn", 550),
    (b"From: dvbe@mic.gov.vn\0", 550),
    (b"From: dvbe@mic .gov.vn", 550),
    (b"From: dvbe@mic.(x)gov.vn", 550),
    (b"From: dvbe@mic . gov . vn", 550),
    (b"From: <dvbe@mic.\r\n gov.vn>", 550),
    (b"From: dvbe@(x)mic.gov.vn", 550),
    (b'From: "dvbe@mic.gov.vn" <a@none.example>', "Junk"),
    (b"From: a@none.example (dvbe@mic.gov.vn)", "Junk"),
    (b"From: =?utf-8?q?dvbe=40mic=2Egov=2Evn?= <a@none.example>", "Junk"),
    (b"From: dvbe@mic.gov.vn.none.example", "INBOX"),
    (b"From: dvbe@xmic.gov.vn", "INBOX"),
    (b'From: "mic.gov.vn news" <a@none.example>', "INBOX"),
)


@pytest.mark.parametrize(("author", "wanted"), ODD_AUTHORS)
def test_one_of_us_in_odd_writings(server: MailServer, author: bytes, wanted: int | str) -> None:
    """However it is written: who could be read as one of us is refused; who is only shown as one of us lies in Junk."""
    reply = bring(server, author + b"\r\nSubject: x\r\n\r\nx\r\n", "a@none.example")
    if wanted == 550:
        assert (reply[0], logged(server, reply)["rule"]) == (550, "own-domain")
    else:
        assert filed(server, reply)[0] == wanted


def test_one_of_us_by_a_signature_or_by_spf(server: MailServer) -> None:
    """What a list sends back unchanged, and what comes from a machine that our SPF names."""
    signed = signed_messages.sign(message("dvbe@mic.gov.vn"))
    assert filed(server, bring(server, signed, "list@none.example"))[0] == "INBOX"
    assert filed(server, bring(server, message("dvbe@mic.gov.vn"), peer="127.0.0.3"))[0] == "INBOX"
    footer = bring(server, signed + b"-- \r\nthe list\r\n", "list@none.example")
    assert (footer[0], footer[1][:5]) == (550, b"5.7.1")


def test_bounces_come_through(server: MailServer) -> None:
    """RFC 5321 §6.1: from the null sender, whatever their mailer writes into From; in our own name they lie in Junk."""
    for octets in (
        message("MAILER-DAEMON@none.example"),
        message("MAILER-DAEMON@none.example").replace(b"From: Lan <MAILER-DAEMON@none.example>\r\n", b""),
        message("MAILER-DAEMON@none.example").replace(b"Lan <MAILER-DAEMON@none.example>", b"MAILER-DAEMON"),
        message("MAILER-DAEMON@none.example").replace(b"Lan <MAILER-DAEMON@none.example>", b"<>"),
    ):
        assert filed(server, bring(server, octets, ""))[0] == "INBOX"
    shown = message("x@none.example").replace(b"Lan <x@none.example>", "dvbe\uff20mic.gov.vn".encode())
    assert bring(server, shown, "")[0] == 550  # names somebody, in letters that are drawn alike
    for local in ("MAILER-DAEMON", "postmaster"):
        assert filed(server, bring(server, message(f"{local}@mic.gov.vn"), ""))[0] == "Junk"


def test_no_author_and_a_disowned_machine(server: MailServer) -> None:
    two = message("a@none.example, b@plain.example").replace(b"Lan <", b"<", 1).replace(b", b@", b">, <b@", 1)
    for octets, sender in ((two, "a@none.example"), (b"Subject: x\r\n\r\nx\r\n", "a@none.example")):
        reply = bring(server, octets, sender)
        assert filed(server, reply)[0] == "Junk"
        assert logged(server, reply)["rule"] == "author"
    reply = bring(server, message("lan@plain.example"), peer=STRANGER)
    assert filed(server, reply)[0] == "Junk"
    assert logged(server, reply)["rule"] == "spf"


def test_what_somebody_has_added_to_a_signed_letter(server: MailServer) -> None:
    """RFC 6376 §8.2: with `l=` the signature holds, and vouches for what stands before the addition alone."""
    octets = signed_messages.sign(message("lan@one.example"), domain="one.example", length=True)
    assert filed(server, bring(server, octets, "x@none.example", peer=STRANGER))[0] == "INBOX"
    reply = bring(server, octets + b"Pay here: http://evil.example\r\n", "x@none.example", peer=STRANGER)
    folder, stored = filed(server, reply)
    assert folder == "Junk"
    assert b"dmarc=pass" in results(stored)[0]
    assert logged(server, reply)["rule"] == "partial"


def test_names_that_are_not_answered(server: MailServer) -> None:
    """It passes while its client still waits, and is marked: a DNS that fails is held against nobody."""
    for domain in ("silent.example", "broken.example"):
        reply = bring(server, message(f"lan@{domain}"))
        folder, stored = filed(server, reply)
        assert folder == "INBOX"
        assert b"dmarc=temperror" in results(stored)[0]
        assert logged(server, reply)["rule"] == "unsettled"


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            (
                "Checked: SPF fail (two.example), DKIM -, DMARC fail (two.example), ARC none, iprev permerror;",
                "; result filed as junk, rule DMARC",
            ),
        ),
        (
            "vi",
            (
                "Nguồn gốc thư: SPF fail (two.example), DKIM -, DMARC fail (two.example), ARC none, iprev permerror;",
                "kết quả xếp vào thư rác, quy tắc DMARC không đạt",
            ),
        ),
    ],
)
def test_the_log_tells_it_to_people(server: MailServer, tmp_path: Path, language: str, words: tuple[str, str]) -> None:
    """`log trace`: what was found, what was done, by which rule; then where it lies."""
    reply = bring(server, message("lan@two.example"), peer=STRANGER)
    logged(server, reply)
    filed(server, reply)
    (tmp_path / "mic-mail.toml").write_text(write(server.config))
    console = Console(tmp_path)
    console.env["COLUMNS"] = "400"
    console.done("--lang", language, "log", "trace", reply[1].split()[-1].decode())
    shown = " ".join(console.out.split())
    assert all(each in shown for each in words), shown


# ---------------------------------------------------------------- settings


def test_other_settings(tmp_path: Path, names: NameServer) -> None:
    """Each takes effect at a reload, on connections that are open too."""
    with serving(tmp_path / "data", settings(names, trusted_networks=("127.0.0.0/8",))) as server:
        octets = b"Authentication-Results: mail.mic.gov.vn; spf=pass\r\n" + message("dvbe@mic.gov.vn")
        folder, stored = filed(server, bring(server, octets, peer=STRANGER))
        assert (folder, results(stored)) == ("INBOX", [])

        def configured(**inbound: Any) -> None:
            config = config_for(tmp_path / "data", settings(names, **inbound))
            server.call(_configure(server, config))

        configured(own_domain="junk", dmarc="junk", no_author="refuse", spf_fail="none", unsettled="later")
        assert filed(server, bring(server, message("dvbe@mic.gov.vn"), peer=STRANGER))[0] == "Junk"
        assert filed(server, bring(server, message("lan@one.example"), peer=STRANGER))[0] == "Junk"
        assert filed(server, bring(server, message("lan@plain.example"), peer=STRANGER))[0] == "INBOX"
        code, said = bring(server, b"Subject: x\r\n\r\nx\r\n", "a@none.example")
        assert (code, said[:5]) == (550, b"5.6.0")
        code, said = bring(server, message("lan@broken.example"))
        assert (code, said[:5]) == (451, b"4.7.1")
        configured(own_domain="none", dmarc="none", no_author="none")
        assert filed(server, bring(server, message("dvbe@mic.gov.vn"), peer=STRANGER))[0] == "Junk"  # by SPF
        assert filed(server, bring(server, message("lan@one.example"), peer=STRANGER))[0] == "INBOX"
        assert filed(server, bring(server, b"Subject: x\r\n\r\nx\r\n", "a@none.example"))[0] == "INBOX"
        configured(authenticate=False)
        folder, stored = filed(server, bring(server, octets, peer=STRANGER))
        assert (folder, results(stored)) == ("INBOX", [])
        configured(trusted_sealers=("mic.gov.vn",))
        sealed = signed_messages.seal(message("lan@one.example"), 1)
        reply = bring(server, sealed, "list@none.example", peer=STRANGER)
        assert filed(server, reply)[0] == "INBOX"
        assert logged(server, reply)["rule"] == "sealer"
        # what somebody has added since has no seal: another author, or more text
        other = bring(server, b"From: <dvbe@mic.gov.vn>\r\n" + sealed, "list@none.example", peer=STRANGER)
        assert (other[0], logged(server, other)["rule"]) == (550, "own-domain")
        longer = signed_messages.seal(message("lan@one.example"), 1, length=True)
        assert filed(server, bring(server, longer, "list@none.example", peer=STRANGER))[0] == "INBOX"
        assert bring(server, longer + b"Pay here\r\n", "list@none.example", peer=STRANGER)[0] == 550
        configured()
        assert bring(server, sealed, "list@none.example", peer=STRANGER)[0] == 550


async def _configure(server: MailServer, config: Any) -> None:
    server.running.server.configure(config)
