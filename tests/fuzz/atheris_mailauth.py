"""Fuzz target: who a message is from: SPF, DKIM, ARC, DMARC, Authentication-Results, and the answers of name servers.

    python tests/fuzz/atheris_mailauth.py [-max_total_time=600] [CORPUS_DIR]

Allowed: `BadRecord`, `Unusable`, `NotAHeader`, `NoAuthor`, and of a resolver its three. Besides, each an assertion here:
    a record that is read back from what was read is the same one; more questions to the DNS than RFC 7208 §4.6.4 allows
    an explanation that is not printable; a name that was shortened and is no end of the long one
    a DKIM signature that holds for us and not for dkimpy, where the message is one to it at all
    what is signed without `b=` changes when `b=` is taken away once more
    a field Authentication-Results that is not one field of ASCII to the email package, or is left by `without_forged`
    a header in which `without_forged` has left what the email package reads as ours
    a message that passes as anybody's, and in whose From another reader sees an address of our domain
"""

import asyncio
import email
import email.errors
import email.policy
import email.utils
import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))
with atheris.instrument_imports(
    include=["mic_mail.mailauth", "mic_mail.services.transport.inbound", "mic_mail.mime.dkim", "mic_mail.net"]
):
    from mic_mail.domain_name import NotAName
    from mic_mail.mailauth import arc, authentication_results, dkim_verify, dmarc, spf_record
    from mic_mail.mailauth.arc import Arc, ArcResult, check_arc
    from mic_mail.mailauth.dkim_dns import MOST_NAMES
    from mic_mail.mailauth.dkim_header import Dkim, HeaderField, Signature, Unusable, parse_key, parse_signature, unsigned
    from mic_mail.mailauth.dkim_verify import DkimResult, check_dkim
    from mic_mail.mailauth.dmarc import Dmarc, DmarcPolicy, DmarcResult, NoAuthor, ask_policy, judge_dmarc
    from mic_mail.mailauth.message_digest import DigestedMessage, read
    from mic_mail.mailauth.result import Origin
    from mic_mail.mailauth.spf import LONGEST_EXPLANATION, Identity, Spf, SpfClient, SpfResult, check_mail_from
    from mic_mail.mailauth.spf_record import BadRecord, Mechanism, Record, parse_record
    from mic_mail.mailbox_address import MailboxAddress
    from mic_mail.mime.dkim import NotAHeader, split_written
    from mic_mail.net.dns import DnsUnavailable, NoSuchName
    from mic_mail.services.transport.envelope import InboundAction
    from mic_mail.services.transport.inbound.origin_check import visible_origin
    from mic_mail.services.transport.inbound.origin_rules import OriginRules, decide

import dkim as dkimpy
from fuzzing import run
from zone import Zone, resolver

import signed_messages
from mic_mail.clock import SystemClock

LOOP = asyncio.new_event_loop()
CLOCK = SystemClock()
VALUES = {letter: f"{letter}.value-of.example" for letter in "slodiphcrtv"}
MOST_QUESTIONS = 1 + 10 * 12 + 2 * 11 + 1
"""Records; ten terms with ten names each; what `%{p}` asks; the explanation."""
KEYS = {name: (parse_key(text),) for name, text in signed_messages.records().items()}
NONE = Unusable(Dkim.PERMERROR, "there is no key")
OURS = "mx1.mic.gov.vn"


def text_of(octets: bytes) -> str:
    """As `Resolver.txt` gives it."""
    return octets.decode("ascii", "surrogateescape")


# ------------------------------------------------------------ SPF


def written(record: Record) -> str:
    def term(each: Mechanism) -> str:
        if each.network is not None:
            return f"{each.qualifier}{each.kind}:{each.network}"
        target = f":{each.target}" if each.target else ""
        prefixes = f"/{each.prefix4}//{each.prefix6}" if each.kind in ("a", "mx") else ""
        return f"{each.qualifier}{each.kind}{target}{prefixes}"

    modifiers = [f"{name}={text}" for name, text in (("redirect", record.redirect), ("exp", record.explanation)) if text]
    return " ".join(["v=spf1", *map(term, record.mechanisms), *modifiers])


def fuzz_spf_record(octets: bytes) -> None:
    text = text_of(octets)
    try:
        record = parse_record(f"v=spf1 {text}")
        again = written(record)
        assert len(again) > spf_record.LONGEST_RECORD or parse_record(again) == record, (text, again)
        for each in record.mechanisms:
            name = spf_record.expand(each.target, VALUES)
            short = spf_record.shortened(name)
            assert len(short) <= spf_record.LONGEST_NAME
            assert name.removesuffix(".").endswith(short)
    except BadRecord:
        pass
    try:
        explained = spf_record.expand(spf_record.check_explanation(text), VALUES)
    except BadRecord:
        return
    assert len(explained) <= 30 * len(text)


def fuzz_spf_check(octets: bytes) -> None:
    """Lines: the sender, HELO, then records of x0.example, x1.example, ..."""
    zone = Zone()
    sender, helo, *records = (octets + b"\n").split(b"\n")[:8]
    for number, record in enumerate(records):
        zone.text(f"x{number}.example", record)
    zone.record("x0.example", "A", "192.0.2.1")
    zone.record("x1.example", "MX", "10 x0.example.")
    zone.record("1.2.0.192.in-addr.arpa", "PTR", "x0.example.")
    address = "192.0.2.1" if len(octets) % 2 else "2001:db8::1"
    client = SpfClient(address, helo.decode("utf-8", "replace"), OURS)
    found = LOOP.run_until_complete(
        check_mail_from(resolver(zone), CLOCK, client, sender.decode("utf-8", "replace") + "@x0.example")
    )
    assert found.result in Spf
    assert found.explanation == "" or (found.explanation.isascii() and found.explanation.isprintable())
    assert len(found.explanation) <= LONGEST_EXPLANATION
    assert zone.asked <= MOST_QUESTIONS, zone.asked


# ------------------------------------------------------------ DKIM, ARC


def fuzz_signature(octets: bytes) -> None:
    field = HeaderField(b"DKIM-Signature", octets, b"DKIM-Signature:" + octets)
    for relaxed in (False, True) if is_mail(octets) else ():
        once = unsigned(field, relaxed)
        value = once.partition(b":")[2]
        assert unsigned(HeaderField(field.name, value, once), relaxed) == once
    try:
        parse_signature(field)
    except Unusable:
        pass
    try:
        key = parse_key(text_of(octets))
        assert key.bits > 0
    except Unusable:
        pass


def asked_of_dkimpy(message: bytes) -> bool:
    def ask(name: bytes, timeout: float = 5) -> bytes | None:
        text = signed_messages.records().get(name.decode("ascii", "replace").rstrip("."))
        return text.encode() if text else None

    checked = dkimpy.DKIM(message)
    for number in range(10):
        try:
            if checked.verify(idx=number, dnsfunc=ask):
                return True
        except (dkimpy.DKIMException, IndexError, UnicodeError, ValueError):
            continue
    return False


def is_mail(message: bytes) -> bool:
    """Whether there is no line end but CRLF: dkimpy takes others for line ends too."""
    return message.count(b"\n") == message.count(b"\r\n") == message.count(b"\r")


def fuzz_message(octets: bytes) -> None:
    reading = read(octets)
    now = CLOCK.now_us() // 1_000_000
    assert len(dkim_verify.key_names(reading)) <= MOST_NAMES
    signed = check_dkim(reading, {name: KEYS.get(name, NONE) for name in dkim_verify.key_names(reading)}, now)
    sealed = check_arc(reading, {name: KEYS.get(name, NONE) for name in arc.key_names(reading)}, now)
    assert (sealed.result is Arc.NONE) == (reading.chain is None)
    check_fields(octets, reading)
    if any(each.counts for each in signed) and is_mail(octets):
        assert asked_of_dkimpy(octets), (octets, signed_messages.records())


def check_fields(octets: bytes, reading: DigestedMessage) -> None:
    header = octets.partition(b"\r\n\r\n")[0]
    if not reading.fault and not octets.startswith(b"\r\n"):
        assert b"\r\n".join(field.written for field in reading.fields) == header.removesuffix(b"\r\n"), octets
    for signature in reading.signatures:
        if isinstance(signature, Signature):
            assert reading.digest(signature.body) is not None or len(reading.digests) == 8
    try:
        split_written(octets)
    except NotAHeader:
        pass


# ------------------------------------------------------------ DMARC


def fuzz_dmarc(octets: bytes) -> None:
    """A line with From, then records."""
    author, *records = octets.split(b"\n")[:4]
    record = dmarc.parse_dmarc("v=DMARC1;" + text_of(records[0] if records else b""))
    assert record is None or 0 <= record.percent <= 100
    try:
        domain = dmarc.author_domain([author])
    except NoAuthor:
        domain = ""
    assert domain == domain.lower()
    zone = Zone()
    for each in records:
        zone.text("_dmarc.x0.example", b"v=DMARC1;" + each)
    spf = SpfResult(Spf.PASS, Identity.MAIL_FROM, "x0.example")
    found = judge_dmarc(LOOP.run_until_complete(ask_policy(resolver(zone), [author])), spf, (), roll=50)
    assert (found.result is Dmarc.PERMERROR) == (domain == ""), (found, domain)
    assert found.result is not Dmarc.PASS or found.domain.endswith("x0.example")


def seen_by_others(header: bytes) -> set[str]:
    """Domains of the addresses in From, as two readers of Python's see them."""
    found = email.message_from_bytes(header + b"\r\n\r\n").get_all("From", [])
    addresses = [address for _, address in email.utils.getaddresses([str(value) for value in found])]
    try:
        for value in email.message_from_bytes(header + b"\r\n\r\n", policy=email.policy.default).get_all("From", []):
            addresses += [each.addr_spec for each in value.addresses]
    except (AttributeError, IndexError, ValueError, TypeError, NameError, RecursionError, email.errors.HeaderParseError):
        pass  # defects of its own
    return {address.rpartition("@")[2].lower().rstrip(".") for address in addresses}


def fuzz_impostor(octets: bytes) -> None:
    """SPF is content with the envelope of a stranger, whose header says what the fuzzer wants."""
    header = octets.replace(b"~", b"mic.gov.vn").replace(b"^", b"\r\nFrom: ")
    if not is_mail(header) or b"\r\n\r\n" in header or b"\0" in header:
        return
    reading = read(header + b"\r\n\r\nx\r\n")
    zone = Zone()
    zone.text("_dmarc.mic.gov.vn", b"v=DMARC1; p=none")
    spf = SpfResult(Spf.PASS, Identity.MAIL_FROM, "evil.example")
    if reading.fault:
        found = DmarcResult(Dmarc.PERMERROR, reason=reading.fault)
    else:
        found = judge_dmarc(LOOP.run_until_complete(ask_policy(resolver(zone), reading.values(b"from"))), spf, (), roll=0)
    origin = Origin(spf, None, (), found, ArcResult(Arc.NONE), fault=reading.fault)
    envelope = SimpleNamespace(sender=MailboxAddress.parse("who@evil.example"))
    told = visible_origin(envelope, reading, header, {"mic.gov.vn"})  # type: ignore[arg-type]  # no more of it is looked at
    ruling = decide(origin, told, OriginRules(frozenset({"mic.gov.vn"})))
    if "mic.gov.vn" in seen_by_others(header):
        assert ruling.act is not InboundAction.PASS, (header, ruling)


# ------------------------------------------------------------ Authentication-Results


def fuzz_results(octets: bytes) -> None:
    texts = [each.decode("utf-8", "surrogateescape") for each in octets.split(b"\n")[:8]]
    ours, domain, selector, algorithm, begins, reason, author, helo = [*texts, *[""] * 8][:8]
    origin = Origin(
        SpfResult(Spf.FAIL, Identity.MAIL_FROM, domain, reason), SpfResult(Spf.NONE, Identity.HELO, helo),
        (DkimResult(Dkim.FAIL, domain, selector, algorithm, begins, reason=reason),),
        DmarcResult(Dmarc.FAIL, author, author, DmarcPolicy.REJECT, DmarcPolicy.REJECT, reason=reason),
        ArcResult(Arc.FAIL, reason=reason),
    )  # fmt: skip
    field = authentication_results.field(origin, ours or OURS)
    assert field.isascii()
    assert field.endswith(b"\r\n")
    parsed = email.message_from_bytes(field + b"\r\n", policy=email.policy.SMTP)
    assert parsed.keys() == [authentication_results.NAME], field
    assert not parsed.defects, field
    assert not parsed.get_payload()
    assert field.count(b"\n") == field.count(b"\r") == field.count(b"\r\n")
    if (ours or OURS).isascii() and (ours or OURS).isprintable() and len(ours) <= authentication_results.LONGEST_VALUE:
        assert authentication_results.without_forged(field, [ours or OURS]) == b"", field


def fuzz_forged(octets: bytes) -> None:
    header = octets.replace(b"~", OURS.encode()).replace(b"^", b"Authentication-Results:")
    left = authentication_results.without_forged(header, [OURS])
    assert authentication_results.without_forged(left, [OURS]) == left, header
    assert [line for line in header.splitlines(True) if line in left.splitlines(True)] or not left
    if header.count(b"\n") != header.count(b"\r\n") or header.count(b"\r") != header.count(b"\r\n"):
        return
    for name, value in email.message_from_bytes(left + b"\r\n\r\n").items():
        if name.strip().lower() == "authentication-results":
            first = str(value).partition(";")[0].split()
            assert not first or first[0].strip('"').lower() != OURS, (header, left)


# ------------------------------------------------------------ the DNS


def fuzz_wire(octets: bytes) -> None:
    zone = Zone()
    zone.wire = octets[1:]
    asked = resolver(zone)
    kinds: tuple[Callable[[str], object], ...] = (
        asked.mx, asked.txt, asked.srv, asked.ipv4, asked.ipv6, lambda name: asked.tlsa(name, 25),
    )  # fmt: skip
    ask = kinds[octets[0] % len(kinds)] if octets else asked.mx
    try:
        found = LOOP.run_until_complete(ask("x0.example"))  # type: ignore[arg-type]  # coroutines of several types
        for value in found.values:
            if isinstance(value, str) and ask in (asked.ipv4, asked.ipv6):
                ipaddress.ip_address(value)
    except (DnsUnavailable, NoSuchName, NotAName):
        pass


TARGETS = (
    fuzz_spf_record, fuzz_spf_check, fuzz_signature, fuzz_message, fuzz_dmarc, fuzz_impostor, fuzz_results, fuzz_forged,
    fuzz_wire,
)  # fmt: skip


def fuzz(octets: bytes) -> None:
    if octets:
        TARGETS[octets[0] % len(TARGETS)](octets[1:])


PLAIN = b"From: a@mic.gov.vn\r\nTo: b@x.example\r\nSubject: Hello  you\r\nDate: now\r\n\r\nOne \r\n\r\n two\t three\r\n\r\n"
SEEDS: dict[Callable[[bytes], None], tuple[bytes, ...]] = {
    fuzz_spf_record: (
        b"a:%{ir}.%{d2}/24//64 mx -all exp=%{i}.x redirect=y.example", b"ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all",
        b"exists:%{l1r+-}.%{v}._spf.%{D} ?include:x.example ptr +ptr:a.b x=%{c}",
    ),
    fuzz_spf_check: (
        b"who\nhelo.x\nv=spf1 a mx:x1.example ptr exists:%{p}.x include:x1.example -all exp=x2.example\nv=spf1 -all\n%{s} %{t}",
        b"a\nb\nv=spf1 redirect=x1.example\nv=spf1 include:x0.example a:no mx:no2 -all",
    ),
    fuzz_signature: (
        (b" v=1; a=rsa-sha256; c=relaxed/simple; d=x.example; i=@y.x.example; s=s; t=1; x=2; l=3; q=dns/txt; h=from:to;"
         b" bh=AA==; b=AA=="),
        b"v=DKIM1; k=ed25519; h=sha256; s=email; t=y:s; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        signed_messages.rsa()[1].encode(),
    ),
    fuzz_message: (
        PLAIN, signed_messages.sign(PLAIN, algorithm=b"ed25519-sha256"), signed_messages.sign(PLAIN, signed_messages.FORMS[1]),
        signed_messages.sign(PLAIN, signed_messages.FORMS[2], length=True),
        signed_messages.seal(signed_messages.seal(PLAIN, 1), 2),
    ),
    fuzz_dmarc: (b"A <a@x0.example>\n p=reject; sp=none; adkim=s; aspf=s; pct=10; rua=mailto:x@y", b"a@b.x0.example\np=none"),
    fuzz_impostor: (
        b"From: dvbe@~", b"From: x <a@evil.example>^b <dvbe@~>", b"From: \"dvbe@~\" <a@evil.example>, c@~",
        b"from : =?utf-8?q?dvbe=40mic.gov.vn?= <a@evil.example>", b"From: g: dvbe@~, x@y;", b"From: <@~:a@evil.example>",
        b"From: a@evil.example (c) ,\r\n dvbe(x)@ ~ .", b"Subject: x\r\nFrom:dvbe@MIC.gov.vn\r\n\tx: y",
    ),
    fuzz_results: (b"mx.example\nx.example\nsel\nrsa-sha256\nAAAA\na reason\nfrom.example\nhelo", b"\nA B;c\"\\d"),
    fuzz_forged: (b"^ ~; spf=pass\r\nSubject: x\r\n", b"^ (x) \"~\" 1;\r\n\tdkim=pass\r\n^\r\n ~\r\n",
        b"^ other.example;\r\n x\r\n"),
    fuzz_wire: (
        b"\x01\x81\x80\0\1\0\1\0\0\0\0\x02x0\x07example\0\0\x10\0\1\xc0\x0c\0\x10\0\1\0\0\1\x2c\0\x08\x07v=spf1 ",
        b"\x00\x81\x80\0\1\0\1\0\0\0\0\x02x0\x07example\0\0\x0f\0\1\xc0\x0c\0\x0f\0\1\0\0\1\x2c\0\x04\0\x0a\xc0\x0c",
    ),
}  # fmt: skip


if __name__ == "__main__":
    run(fuzz, [bytes([number]) + seed for number, target in enumerate(TARGETS) for seed in SEEDS[target]])
