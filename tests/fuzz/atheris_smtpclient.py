"""Fuzz target: what other servers say: SMTP replies, extensions, MTA-STS, TLSA, HTTP, ClamAV, Rspamd, the SASL of a smarthost;
and what is written of it: commands, reports of delivery.

    python tests/fuzz/atheris_smtpclient.py [-max_total_time=600] [CORPUS_DIR]

Allowed: `BadReply`, `NotAPolicy`, `NotAuthentic`, `NotFetched`, `NotScanned`, `NotScored`, `SignInFailed`, `CannotSend`,
ValueError of what is kept on disk. Besides, each an assertion here:
    replies that depend on how the octets were cut, more of them held than there may be, a text that is not one line
    a policy that allows what its own patterns do not; one that is kept and read back as another
    a command of more than one line; a report that the email package reads otherwise, or with a field that somebody put there
"""

import asyncio
import contextlib
import email
import email.policy
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import atheris
import h11

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(
    include=["mic_mail.smtpclient", "mic_mail.net.https_fetch", "mic_mail.filters.clamd", "mic_mail.filters.rspamd"]
):
    from mic_mail.filters.clamd import LONGEST_NAME, Clamd, NotScanned, _whole
    from mic_mail.filters.rspamd import About, NotScored, Scored, read_scored
    from mic_mail.net import https_fetch
    from mic_mail.net.dns import Tlsa
    from mic_mail.net.https_fetch import NotFetched
    from mic_mail.queue import dsn
    from mic_mail.queue.queue import QueueRecipient
    from mic_mail.smtpclient import auth, commands, dane, mta_sts, mta_sts_cache
    from mic_mail.smtpclient.auth import SignInFailed
    from mic_mail.smtpclient.commands import CannotSend, EhloResponse, MailParameters
    from mic_mail.smtpclient.dane import NotAuthentic
    from mic_mail.smtpclient.mta_sts import Mode, NotAPolicy
    from mic_mail.smtpclient.replies import LONGEST_LINE, MOST_LINES, BadReply, Replies, Reply

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fuzzing import pieces, run

from mic_mail.mailbox_address import MailboxAddress, NotAnAddress
from mic_mail.mime.compose import Mailbox, compose
from mic_mail.mime.dsn_mdn import DeliveryReport, DsnAction, read_report
from mic_mail.mime.original_recipient import NotAnOriginalRecipient, OriginalRecipient
from mic_mail.smtp.grammar import ArgumentFault, parse_mail, parse_rcpt

LOOP = asyncio.new_event_loop()
NOW = datetime(2026, 11, 26, tzinfo=UTC)
MAILBOX = Mailbox("", MailboxAddress.parse("a@mic.gov.vn"))
NONCE = "rOprNGfwEbeRWgbNEkqO"


# ------------------------------------------------------------ SMTP


def replies_of(parts: list[bytes]) -> tuple[list[Reply], bool, bool]:
    """Replies, whether it was given up, whether nothing is left."""
    reading, found = Replies(), []
    for part in parts:
        try:
            reading.feed(part)
            while (reply := reading.next_reply()) is not None:
                found.append(reply)
        except BadReply:
            return found, True, False
    return found, False, reading.is_empty


def fuzz_replies(octets: bytes) -> None:
    step, octets = octets[:1] or b"\1", octets[1:]
    whole = replies_of([octets])
    assert replies_of(pieces(octets, step[0] or 1)) == whole, octets
    for reply in whole[0]:
        assert 200 <= reply.code <= 599
        assert len(reply.lines) <= MOST_LINES
        assert reply.text.isprintable() or not reply.text.isascii()
        assert not set(reply.text) & set("\r\n\0")
        assert all(len(line) <= LONGEST_LINE for line in reply.lines)
        offer = EhloResponse.of(reply)
        assert offer.size_limit is None or offer.size_limit > 0


def fuzz_commands(octets: bytes) -> None:
    """Whatever our own grammar has let in goes out as one line, and is read again as what it was."""
    offered, _, rest = octets.partition(b"\n")
    sender, _, recipient = rest.partition(b"\n")
    offer = EhloResponse.of(Reply(250, ("x", *offered.decode("utf-8", "replace").split(","))))
    try:
        path, parameters = parse_mail(b"FROM:" + sender)
        to, more = parse_rcpt(b"TO:" + recipient, smtputf8=parameters.smtputf8)
    except ArgumentFault:
        return
    if not path or to is None:
        return
    sending = MailParameters(path, 7, parameters.body, parameters.smtputf8, parameters.ret, parameters.envid)
    try:
        first = commands.mail(sending, offer)
        second = commands.rcpt(QueueRecipient(to, tuple(more.notify), more.orcpt), offer, utf8=sending.smtputf8)
    except CannotSend:
        return
    for line in (first, second):
        assert line.endswith(b"\r\n")
        assert line.count(b"\n") == line.count(b"\r") == 1, line
        assert b"\0" not in line
    again, _ = parse_mail(first[len(b"MAIL ") : -2])
    assert again == path, (first, path)
    again_to, _ = parse_rcpt(second[len(b"RCPT ") : -2], smtputf8=True)
    assert again_to == to, (second, to)


def fuzz_signin(octets: bytes) -> None:
    """Challenges, one a line."""
    lines = octets.split(b"\n")
    offered = auth.best_mechanism(lines[0].decode("latin-1")) or "LOGIN"
    if b"i=" in octets and any(len(part) > 6 for part in octets.split(b"i=")):
        return  # rounds, which take their time
    ctx = auth.begin(offered, "who", "secret", NONCE)
    next(ctx)
    try:
        for line in lines[1:]:
            with contextlib.suppress(SignInFailed):
                auth.decoded(line.decode("utf-8", "replace"))
            assert b"secret" not in auth.answer(ctx, line) or offered in ("PLAIN", "LOGIN")
        auth.finish(ctx)
        assert offered != "SCRAM-SHA-256", "who does not know the password has shown that he does"
    except SignInFailed:
        pass


# ------------------------------------------------------------ MTA-STS, DANE


def fuzz_sts(octets: bytes) -> None:
    records = [each.decode("ascii", "surrogateescape") for each in octets.split(b"\n")]
    policy_id = mta_sts.policy_id(records)
    assert policy_id is None or (policy_id.isascii() and policy_id.isalnum() and len(policy_id) <= 32)
    try:
        policy = mta_sts.parse(octets)
    except NotAPolicy:
        return
    assert policy.mode is Mode.NONE or policy.patterns
    assert 0 <= policy.max_age_seconds <= mta_sts.LONGEST_SECONDS
    for pattern in policy.patterns:
        host = pattern.replace("*.", "mx.", 1)
        assert policy.allows(host)
        assert policy.allows(host.upper() + ".")
        alone = replace(policy, patterns=(pattern,))
        assert not pattern.startswith("*.") or not alone.allows(pattern[2:])
    assert not policy.allows("evil.example.invalid") or any("invalid" in pattern for pattern in policy.patterns)
    kept = mta_sts_cache._Kept(policy, policy_id or "x", 7)
    assert mta_sts_cache._decoded(mta_sts_cache._encoded(kept)) == kept


def fuzz_kept_policy(octets: bytes) -> None:
    try:
        kept = mta_sts_cache._decoded(octets)
    except ValueError:
        return
    assert kept.policy.max_age_seconds <= mta_sts.LONGEST_SECONDS


KEY = ec.derive_private_key(7, ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example")])
CERTIFICATE = (
    x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(KEY.public_key()).serial_number(1)
    .not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    .sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
)  # fmt: skip


def fuzz_dane(octets: bytes) -> None:
    """Three octets and data of a record; a chain that the fuzzer has changed, or the real one."""
    if len(octets) < 4:
        return
    size = octets[3]
    records = [Tlsa(octets[0] % 5, octets[1] % 3, octets[2] % 4, octets[4 : 4 + size])]
    usable = dane.usable(records)
    changed = bytearray(CERTIFICATE)
    for at, octet in zip(octets[4 + size :: 2], octets[5 + size :: 2], strict=False):
        changed[at] ^= octet
    for chain in ([bytes(changed)], [CERTIFICATE, octets], []):
        try:
            dane.check(usable, chain, ["mx.example"], NOW)
        except NotAuthentic:
            continue
        assert any(record.data in (CERTIFICATE, bytes(changed)) or record.matching for record in usable), octets


# ------------------------------------------------------------ HTTP, ClamAV


def fuzz_https(octets: bytes) -> None:
    async def answer(parts: list[bytes]) -> bytes | None:
        http, reader = h11.Connection(our_role=h11.CLIENT), asyncio.StreamReader()
        http.send(h11.Request(method="GET", target="/x", headers=[("Host", "x.example"), ("Connection", "close")]))
        http.send(h11.EndOfMessage())
        for part in parts:
            reader.feed_data(part)
        reader.feed_eof()
        try:
            return await https_fetch._answer("x.example", http, reader, 1_000)
        except (NotFetched, h11.ProtocolError):
            return None

    whole = LOOP.run_until_complete(answer([octets]))
    assert whole is None or len(whole) <= 1_000
    assert LOOP.run_until_complete(answer(pieces(octets, 7))) == whole
    if whole is not None:
        head = octets.partition(b"\n\r\n")[0].lower()
        assert b" 200" in octets
        assert b"content-length" in head or b"transfer-encoding" in octets.lower()


class _Answering(Clamd):
    """A daemon that has said so much, and hung up."""

    said = b""

    async def _ask(self, pieces: AsyncIterator[bytes]) -> bytes:
        reader = asyncio.StreamReader(limit=1_024)
        reader.feed_data(self.said)
        reader.feed_eof()
        return await _whole(reader)


def fuzz_clamd(octets: bytes) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    asked = _Answering("unix:/nowhere", seconds=5, connections=1)
    asked.said = octets
    try:
        name = LOOP.run_until_complete(asked.scan(nothing()))
    except NotScanned:
        return
    if name is None:
        assert octets.startswith(b"stream: OK\0"), octets
    else:
        assert 0 < len(name) <= LONGEST_NAME
        assert name.isascii()
        assert name.isprintable()
        assert " " not in name


def fuzz_rspamd(octets: bytes) -> None:
    """An answer; and the fields of a question made of anything."""
    text = octets.decode("utf-8", "surrogateescape")
    about = About(text, text, text, text, [text], text, text, text)
    h11.Request(method="POST", target="/checkv2", headers=[(b"Host", b"x"), *about.fields()])
    try:
        scored = read_scored(octets)
    except NotScored as error:
        told = str(error)
    else:
        told = ""
        assert isinstance(scored, Scored)
        assert abs(scored.score) < 1e6
        assert abs(scored.required) < 1e6
        for word in (scored.unknown_action, *(w for each in scored.symbols for w in (each.name, *each.options))):
            assert word.isascii()
            assert word.isprintable()
            assert " " not in word
    assert told.isascii()
    assert len(told) <= 300


# ------------------------------------------------------------ reports


def fuzz_dsn(octets: bytes) -> None:
    texts = [each.decode("utf-8", "surrogateescape") for each in octets.split(b"\n\n")[:7]]
    diagnostic, server, status, orcpt, envid, address, message = [*texts, *[""] * 7][:7]
    try:
        recipient = MailboxAddress.parse(address)
        first = OriginalRecipient.parse(orcpt) if orcpt else None
        _, parameters = parse_mail(f"FROM:<>{' ENVID=' * bool(envid)}{envid}".encode())
    except (NotAnAddress, NotAnOriginalRecipient, ArgumentFault, UnicodeEncodeError):
        return
    report = dsn.RecipientReport(recipient, DsnAction.FAILED, status, first, diagnostic, server or None)
    original = dsn.ReportedMessage(parameters.envid, NOW, message.encode("utf-8", "surrogateescape"))
    for utf8 in (False, True):
        told, returned = dsn.parts("mail.example", original, [report], utf8=utf8)
        assert told.content.isascii() or told.content_type == "message/global-delivery-status"
        groups = [email.message_from_bytes(group + b"\r\n\r\n") for group in told.content.split(b"\r\n\r\n")]
        assert len(groups) == 2, told.content
        assert set(groups[0].keys()) <= {"Original-Envelope-Id", "Reporting-MTA", "Arrival-Date"}
        names = ["Final-Recipient", "Action", "Status", *(["Remote-MTA"] if server else []), "Diagnostic-Code"]
        assert groups[1].keys() == [*(["Original-Recipient"] if orcpt else []), *names], told.content
        assert all(len(line) <= 998 for line in told.content.split(b"\r\n"))
        whole = (
            b"Content-Type: multipart/report; report-type=delivery-status; boundary=B\r\n\r\n--B\r\nContent-Type: "
            + told.content_type.encode() + b"\r\n\r\n" + told.content + b"\r\n--B--\r\n"
        )  # fmt: skip
        read = read_report(whole)
        assert isinstance(read, DeliveryReport)
        assert [each.final for each in read.recipients] == [recipient.folded()]
        assert returned.content_type.partition("/")[0] in ("message", "text")
        sent = compose(
            sender=MAILBOX, to=[MAILBOX], subject="x", text="x", date=NOW, message_id="1@x", attachments=[told, returned],
            report_type="delivery-status",
        )  # fmt: skip
        assert sent.count(b"\n") == sent.count(b"\r") == sent.count(b"\r\n")


TARGETS = (
    fuzz_replies, fuzz_commands, fuzz_signin, fuzz_sts, fuzz_kept_policy, fuzz_dane, fuzz_https, fuzz_clamd, fuzz_rspamd,
    fuzz_dsn,
)  # fmt: skip


def fuzz(octets: bytes) -> None:
    if octets:
        TARGETS[octets[0] % len(TARGETS)](octets[1:])


SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    fuzz_replies: (
        b"\x05220 mx.example ESMTP\r\n250-mx.example\r\n250-SIZE 1000\r\n250 DSN\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n",
        b"\x01354\r\n4",
    ),
    fuzz_commands: (
        (b"SIZE 1000,DSN,SMTPUTF8,8BITMIME\n<a@b.example> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=q\n"
         b"<c@d.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;x@y"),
        "DSN\n<\"a b\\\"\"@b.example>\n<\u00e9@d\u00e9.example>".encode(),
    ),
    fuzz_signin: (b"SCRAM-SHA-256 PLAIN\nr=" + NONCE.encode() + b"x,s=QUJD,i=9\nv=AAAA", b"LOGIN\nUser\nPass", b"PLAIN\n"),
    fuzz_sts: (
        b"v=STSv1; id=20160831085700Z;",
        b"version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmax_age: 604800\n",
    ),
    fuzz_kept_policy: (b'{"format": 1, "id": "x", "fetched_at_us": 7, "mode": "enforce", "mx": ["a.b"], "max_age": 9}',),
    fuzz_dane: (b"\3\1\1\x20" + bytes(32), b"\2\0\1\x20" + bytes(32) + b"\x09\1"),
    fuzz_https: (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ),
    fuzz_clamd: (b"stream: OK\0", b"stream: Eicar FOUND\0", b"INSTREAM size limit exceeded. ERROR\0"),
    fuzz_rspamd: (
        b'{"action": "add header", "score": 7.25, "required_score": 15, "symbols": {"A": {"score": 1, "options": ["a b"]}}}',
    ),
    fuzz_dsn: (b"550 5.1.1 no\n\nmx.example\n\n5.1.1\n\nrfc822;a+40b\n\nqq\n\na@b.example\n\nSubject: x\r\n\r\nbody",),
}  # fmt: skip


if __name__ == "__main__":
    ssl.OPENSSL_VERSION  # noqa: B018 - loaded before the fuzzer counts
    run(fuzz, [bytes([number]) + seed for number, target in enumerate(TARGETS) for seed in SEEDS[target]])
