"""Signatures of others: each verdict as dkimpy and OpenDKIM have it, and what RFC 6376, 8301 and 8463 say beyond."""

import asyncio
import base64
import hashlib
import random
import re
import subprocess
import time
from pathlib import Path

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

import programs
import signed_messages
from cost_growth import assert_linear
from dns_server import BROKEN, name_server
from mic_mail.mailauth.dkim_dns import fetch_keys
from mic_mail.mailauth.dkim_header import Dkim, PublicKey, Unusable, matching_key, parse_key
from mic_mail.mailauth.dkim_verify import DkimResult, check_dkim, key_names
from mic_mail.mailauth.message_digest import MOST_FIELDS, MOST_HEADER_OCTETS, MOST_SIGNATURES, read
from mic_mail.mime.dkim import BodyDigest, relaxed_field, strings_of
from mic_mail.net.dns import Resolver

PLAIN = b"From: a@mic.gov.vn\r\nTo: b@x.example\r\nSubject: Hello\r\n\r\nbody\r\n"
KEYS = {name: (parse_key(text),) for name, text in signed_messages.records().items()}
NONE = Unusable(Dkim.PERMERROR, "there is no key")


def verdicts(message: bytes, keys: dict[str, tuple[PublicKey, ...]] = KEYS, now: int | None = None) -> list[DkimResult]:
    reading = read(message)
    there = {name: keys.get(name, NONE) for name in key_names(reading)}
    return list(check_dkim(reading, there, int(time.time()) if now is None else now))


def verdict(message: bytes, **more: object) -> DkimResult:
    (only,) = verdicts(message, **more)
    return only


def by_dkimpy(message: bytes) -> bool:
    def ask(name: bytes, timeout: float = 5) -> bytes | None:  # noqa: ARG001, RUF100 - dkimpy says it
        text = signed_messages.records().get(name.decode().rstrip("."))
        return text.encode() if text else None

    try:
        return bool(dkimpy.DKIM(message).verify(dnsfunc=ask))
    except dkimpy.DKIMException:
        return False


@pytest.mark.slow
def test_whatever_others_sign() -> None:
    """310 messages: all forms, with and without `l=`, both algorithms."""
    failed = {name: str(said) for name, message in signed_messages.signed() if not (said := verdicts(message)[0]).counts}
    assert failed == {}


def test_what_was_changed_as_dkimpy_sees_it() -> None:
    differ = {
        name: (str(said.result), said.reason)
        for name, message in signed_messages.broken()
        if (said := verdict(message)).counts != by_dkimpy(message)
    }
    assert differ == {}


@pytest.mark.slow
@pytest.mark.needs_tool("opendkim")
def test_what_was_changed_as_opendkim_sees_it(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("".join(f"{name} {text}\n" for name, text in signed_messages.records().items()))
    (tmp_path / "conf").write_text(f"Mode v\nTestPublicKeys {tmp_path / 'keys'}\nMaximumHeaders 0\n")
    differ = {}
    for number, (name, message) in enumerate(signed_messages.broken()):
        file = tmp_path / f"{number}.eml"
        file.write_bytes(message if message.endswith(b"\n") else message + b"\r\n")
        command = [programs.need("opendkim"), "-x", str(tmp_path / "conf"), "-vv", "-t", str(file)]
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
        said = verdict(file.read_bytes())
        if said.counts != ("dkim=pass" in told):
            differ[name] = (str(said.result), said.reason, told)
    assert differ == {}


RFC_8463 = """\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
"""
RFC_8463_KEYS = {
    "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
    "iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
    "DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
    "Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
}


def test_the_example_of_rfc_8463() -> None:
    """Appendix A: both of its signatures."""
    keys = {name: (parse_key(text),) for name, text in RFC_8463_KEYS.items()}
    said = verdicts(RFC_8463.replace("\n", "\r\n").encode(), keys)
    assert [(str(one.result), one.algorithm) for one in said] == [
        ("pass", "ed25519-sha256"), ("pass", "rsa-sha256"),
    ]  # fmt: skip


def with_key(text: str) -> dict[str, tuple[PublicKey, ...] | Unusable]:
    try:
        return {f"rsa._domainkey.{signed_messages.DOMAIN}": (parse_key(text),)}
    except Unusable as error:
        return {f"rsa._domainkey.{signed_messages.DOMAIN}": error}


RECORD = signed_messages.rsa()[1]
P = RECORD.partition("p=")[2]


@pytest.mark.parametrize(
    ("record", "result"),
    [
        (RECORD, "pass"),
        (f"p={P}", "pass"),
        (f"v=DKIM1; k=rsa; n=note; p={P}; ", "pass"),
        (f"v=DKIM1; h=sha1:sha256; s=email; p={P};", "pass"),
        (f"v=DKIM1; t=s; p={P}", "pass"),
        (f"v=DKIM2; p={P}", "permerror"),
        (f"p={P}; v=DKIM1", "permerror"),
        (f"v=DKIM1; h=sha1; p={P}", "permerror"),
        (f"v=DKIM1; s=tlsrpt; p={P}", "permerror"),
        (f"v=DKIM1; k=ed25519; p={P}", "permerror"),
        (f"v=DKIM1; k=dsa; p={P}", "permerror"),
        ("v=DKIM1; p=", "permerror"),
        ("v=DKIM1", "permerror"),
        ("v=DKIM1; p=AAAA", "permerror"),
        ("v=DKIM1; p=@@@", "permerror"),
        ("v=DKIM1; p=\udcc3", "permerror"),
        pytest.param(signed_messages.ed25519()[1], "permerror", id="another algorithm"),
        ("", "permerror"),
        ("v=spf1 -all", "permerror"),
    ],
)
def test_records_of_keys(record: str, result: str) -> None:
    """RFC 6376 §3.6.1, §6.1.2."""
    assert str(verdict(signed_messages.sign(PLAIN), keys=with_key(record)).result) == result


def test_a_key_for_testing_vouches_for_nothing() -> None:
    """RFC 6376 §3.6.1: as if it were not signed."""
    said = verdict(signed_messages.sign(PLAIN), keys=with_key(f"v=DKIM1; t=y; p={P}"))
    assert (said.result, said.is_testing, said.counts) == (Dkim.PASS, True, False)


@pytest.mark.needs_tool("openssl")
def test_a_key_of_768_bits_proves_nothing() -> None:
    """RFC 8301 §3.2. A key as old ones are: made by OpenSSL, since `cryptography` makes none."""
    made = subprocess.run(["openssl", "genrsa", "-traditional", "768"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "DER"], input=made, capture_output=True, check=True).stdout
    message = dkimpy.sign(PLAIN, b"rsa", signed_messages.DOMAIN.encode(), made) + PLAIN
    said = verdict(message, keys=with_key(f"v=DKIM1; p={base64.b64encode(der).decode()}"))
    assert said.result in (Dkim.FAIL, Dkim.PERMERROR)
    assert not said.counts


def test_a_key_with_an_exponent_as_long_as_itself_is_not_tried() -> None:
    """Each try would take 7 ms, and four keys may be there for each of seventy signatures."""
    key = RSAPublicNumbers(2**3_069 - 1, 2**3_072 - 24_691).public_key()
    text = base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    said = verdict(signed_messages.sign(PLAIN), keys=with_key(f"v=DKIM1; p={text}"))
    assert (said.result, said.reason) == (Dkim.PERMERROR, "its key has a large exponent")


def test_rsa_sha1_fails() -> None:
    """RFC 8301 §3.1, though its arithmetic would be right."""
    message = signed_messages.sign(PLAIN).replace(b"rsa-sha256", b"rsa-sha1")
    assert verdict(message).result is Dkim.FAIL
    assert "sha1" in verdict(message).reason


NOW = 1_800_000_000


def tagged(tags: bytes) -> bytes:
    """A signature with these tags too, made anew by the letter."""
    unsigned = b" v=1; a=rsa-sha256; c=relaxed/relaxed; d=mic.gov.vn; s=rsa; h=from; " + tags + b" bh="
    unsigned += base64.b64encode(hashlib.sha256(b"body\r\n").digest()) + b"; b="
    key = load_pem_private_key(signed_messages.rsa()[0], None)
    assert isinstance(key, RSAPrivateKey)
    octets = key.sign(b"from:a@mic.gov.vn\r\n" + relaxed_field(b"DKIM-Signature", unsigned), PKCS1v15(), SHA256())
    return b"DKIM-Signature:" + unsigned + base64.b64encode(octets) + b"\r\n" + PLAIN


@pytest.mark.parametrize(
    ("tags", "result"),
    [
        (b"", "pass"),
        (b"t=1799999999; x=1800000001;", "pass"),
        (b"t=1799999999; x=1799999999;", "neutral"),
        (b"t=1; x=1799999999;", "fail"),
        (b"t=1800010000;", "fail"),
        (b"t=now;", "neutral"),
        (b"t=-1;", "neutral"),
        (b"q=dns/txt;", "pass"),
        (b"q=http:dns/txt;", "pass"),
        (b"q=http;", "neutral"),
        (b"i=@mic.gov.vn;", "pass"),
        (b"i=an@sub.mic.gov.vn;", "pass"),
        (b"i=an@evilmic.gov.vn;", "permerror"),
        (b"i=mic.gov.vn;", "permerror"),
        (b"i=@gov.vn;", "permerror"),
        (b"l=6;", "pass"),
        (b"l=7;", "permerror"),
        (b"l=5;", "fail"),
        (b"l=99999999999999999999999999;", "permerror"),
        (b"l=x;", "neutral"),
        (b"z=From:a|To:b;", "pass"),
    ],
)
def test_tags(tags: bytes, result: str) -> None:
    """RFC 6376 §3.5, §6.1.1."""
    said = verdict(tagged(tags), now=NOW)
    assert str(said.result) == result, said


def test_a_strict_key_wants_i_to_be_d() -> None:
    """RFC 6376 §3.6.1, `t=s`."""
    strict = with_key(f"v=DKIM1; t=s; p={P}")
    assert verdict(tagged(b"i=an@mic.gov.vn;"), keys=strict, now=NOW).counts
    assert verdict(tagged(b"i=an@sub.mic.gov.vn;"), keys=strict, now=NOW).result is Dkim.PERMERROR


def test_what_l_leaves_out_is_said() -> None:
    """RFC 6376 §8.2."""
    message = signed_messages.sign(PLAIN, length=True) + b"<a href=evil>\r\n"
    said = verdict(message)
    assert said.counts
    assert said.unsigned_octets == len(b"<a href=evil>\r\n")


def test_no_more_signatures_than_a_bound() -> None:
    good = signed_messages.sign(PLAIN)
    many = (good.partition(b"From:")[0]) * 300 + PLAIN
    assert len(verdicts(many)) == MOST_SIGNATURES
    assert read(many).untried == 300 - MOST_SIGNATURES


def test_no_more_lengths_of_a_body_than_a_bound() -> None:
    """Each would be a digest of its own."""
    fields = b"".join(tagged(b"l=%d;" % number).partition(b"From:")[0] for number in range(1, 11))
    said = verdicts(fields + PLAIN, now=NOW)
    assert sum(one.reason == "too many lengths of the body" for one in said) == 2


def test_headers_that_are_none() -> None:
    assert read(b"X: " + b"y" * MOST_HEADER_OCTETS + b"\r\n\r\n").fault
    assert read(b"a: b\r\n" * MOST_FIELDS + signed_messages.sign(PLAIN)).fault
    assert not read(b"a: b\r\n c\r\n\td\r\n" * (MOST_FIELDS - 10) + signed_messages.sign(PLAIN)).fault
    assert read(b"no field\r\n" + signed_messages.sign(PLAIN)).fault
    assert read(PLAIN.replace(b"Hello", b"Hello\nFrom: evil@x.example")).fault
    assert read(PLAIN.replace(b"Hello", b"Hello\rFrom: evil@x.example")).fault
    assert read(b"").fault == ""
    assert read(b"\r\nDKIM-Signature: v=1\r\n\r\n").signatures == ()


def test_a_body_in_any_pieces_as_it_is() -> None:
    """RFC 6376 §3.4.3 written out, and limits of both forms."""
    rng = random.Random(6376)
    for _ in range(20_000):
        body = bytes(rng.choice(b" \t\r\n\r\nab") for _ in range(rng.randrange(24)))
        whole = re.sub(rb"(?:\r\n)*\Z", b"", body) + b"\r\n"
        relaxed = BodyDigest(is_relaxed=True)
        relaxed.update(body)
        limit = rng.randrange(12)
        made, short, at = BodyDigest(is_relaxed=False), BodyDigest(is_relaxed=False, limit=limit), 0
        while at < len(body):
            piece = body[at : at + rng.randrange(5)]
            made.update(piece)
            short.update(piece)
            at += len(piece)
        assert made.finish().digest() == hashlib.sha256(whole).digest(), body
        shortened = short.finish()
        assert shortened.digest() == hashlib.sha256(whole[:limit]).digest(), body
        assert shortened.octets == len(whole)


@pytest.mark.parametrize("piece", [1 << 14, 1 << 18])
def test_a_body_of_nothing_but_spaces_and_letters_in_linear_time(piece: int) -> None:
    """In many pieces, and in one."""

    def digest(body: bytes) -> None:
        relaxed = BodyDigest(is_relaxed=True)
        for at in range(0, len(body), piece):
            relaxed.update(body[at : at + piece])
        relaxed.finish()

    assert_linear(lambda size: b" a" * size, digest, (1 << 15, 1 << 17))


def test_keys_of_the_dns() -> None:
    texts = signed_messages.records()
    zone = signed_messages.zone(texts) | {
        ("two._domainkey.mic.gov.vn", "TXT"): ['"v=DKIM1; p=AAAA"', *signed_messages.zone({"": RECORD})["", "TXT"]],
        ("many._domainkey.mic.gov.vn", "TXT"): [strings_of(f"v=DKIM1; n={number}; p={P}") for number in range(6)],
        ("empty._domainkey.mic.gov.vn", "MX"): ["10 a.example."],
    }

    async def ask() -> dict[str, str]:
        resolver = Resolver([server.place], seconds=10)
        names = [f"{one}._domainkey.mic.gov.vn" for one in ("rsa", "ed", "two", "many", "empty", "none", "broken")]
        found = await fetch_keys(resolver, [*names, *names])
        return {
            name.partition(".")[0]: str(keys.result) if isinstance(keys, Unusable) else f"{len(keys)} keys"
            for name, keys in found.items()
        }

    with name_server(zone, troubles={"broken._domainkey.mic.gov.vn": BROKEN}) as server:
        assert asyncio.run(ask()) == {
            "rsa": "1 keys", "ed": "1 keys", "two": "1 keys", "many": "2 keys", "empty": "permerror", "none": "permerror",
            "broken": "temperror",
        }  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300),
    st.lists(
        st.sampled_from(
            [
                "v=1;",
                "a=rsa-sha256;",
                "b=AA==;",
                "bh=;",
                "d=x.y;",
                "s=.",
                "h=from:",
                "l=",
                "c=/",
                ";",
                "=",
                "i=@",
                "t=9",
                "\r\n ",
                "q=",
                "x=",
            ]
        ),
        max_size=20,
    ),
)
def test_whatever_stands_there(octets: bytes, tags: list[str]) -> None:
    """Nothing raises."""
    field = b"DKIM-Signature: " + "".join(tags).encode() + octets.replace(b"\n", b"") + b"\r\n"
    for message in (octets, field + PLAIN, field.replace(b"DKIM-Signature", b"ARC-Message-Signature") + PLAIN):
        verdicts(message)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_whatever_a_record_says(text: str) -> None:
    for record in (text, f"v=DKIM1; p={text}", f"{RECORD}; {text}"):
        try:
            parse_key(record)
        except Unusable:
            pass


@pytest.mark.parametrize(
    ("found", "same"),
    [
        ("v=DKIM1; k=rsa; p={ours}", True),
        ("v=DKIM1; p={ours}", True),
        ("k=rsa; p={halves};", True),
        ("p={ours}", True),
        (" v = DKIM1 ; k = rsa ; h=sha1:sha256; s=email ; p = {ours} ", True),
        ("v=DKIM1; k=rsa; t=y; p={ours}", True),
        ("v=DKIM1; k=ed25519; p={ours}", False),
        ("k=rsa; v=DKIM1; p={ours}", False),
        ("v=DKIM2; k=rsa; p={ours}", False),
        ("v=DKIM1; k=rsa; h=sha1; p={ours}", False),
        ("v=DKIM1; k=rsa; s=tlsrpt; p={ours}", False),
        ("v=DKIM1; k=rsa; p={other}", False),
        ("v=DKIM1; k=rsa; p=", False),
        ("v=DKIM1; k=rsa", False),
        ("v=DKIM1; k=rsa; p={ours}; p={ours}", False),
        ("v=DKIM1; k=rsa; p=\udc80", False),
        ("", False),
        (";", False),
        ("garbage", False),
    ],
)
def test_what_counts_in_a_record(found: str, same: bool) -> None:
    """RFC 6376 §3.2, §3.6.1."""
    ours, other = (signed_messages.rsa(bits)[1].partition("p=")[2] for bits in (2048, 1024))
    text = found.format(ours=ours, halves=f"{ours[:9]} {ours[9:]}", other=other)
    assert (matching_key(text, f"v=DKIM1; k=rsa; p={ours}") is not None) is same
