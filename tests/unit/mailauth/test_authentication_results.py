"""The field that says what was found: what strangers write cannot end it, and none of theirs stays that says it is ours."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mic_mail.mailauth.arc import Arc, ArcResult
from mic_mail.mailauth.authentication_results import field, may_stand_in, value, without_forged
from mic_mail.mailauth.dkim_header import Dkim
from mic_mail.mailauth.dkim_verify import DkimResult
from mic_mail.mailauth.dmarc import Dmarc, DmarcPolicy, DmarcResult
from mic_mail.mailauth.result import Origin
from mic_mail.mailauth.spf import Identity, Spf, SpfResult

OURS = "mx.mic.gov.vn"
GOOD = Origin(
    SpfResult(Spf.PASS, Identity.MAIL_FROM, "x.example", "ip4"),
    SpfResult(Spf.NONE, Identity.HELO, "mail.x.example"),
    (DkimResult(Dkim.PASS, "x.example", "s1", "rsa-sha256", "AbC/d+e="),),
    DmarcResult(Dmarc.PASS, "x.example", "x.example", DmarcPolicy.REJECT),
    ArcResult(Arc.PASS, 0, ("a.example", "b.example")),
)


def test_how_it_looks() -> None:
    assert field(GOOD, OURS).decode() == (
        "Authentication-Results: mx.mic.gov.vn;\r\n"
        "\tspf=pass reason=ip4\r\n\t smtp.mailfrom=x.example;\r\n"
        "\tspf=none smtp.helo=mail.x.example;\r\n"
        '\tdkim=pass header.d=x.example header.s=s1\r\n\t header.a=rsa-sha256\r\n\t header.b="AbC/d+e=";\r\n'
        "\tdmarc=pass header.from=x.example policy.dmarc=none;\r\n"
        "\tarc=pass header.oldest-pass=0\r\n"
    )


NASTY = 'x\r\nSubject: evil\r\n\r\n(;"\\ \x00é=?utf-8?q?x?=)'


def test_no_stranger_ends_it() -> None:
    """Each value there is, as nasty as it can be."""
    dkim = DkimResult(Dkim.FAIL, NASTY, NASTY, NASTY, NASTY, NASTY)
    spf = SpfResult(Spf.FAIL, Identity.MAIL_FROM, NASTY, NASTY, NASTY)
    nasty = Origin(
        spf, None, (dkim,) * 10, DmarcResult(Dmarc.FAIL, NASTY, NASTY, reason=NASTY), ArcResult(Arc.FAIL, reason=NASTY)
    )
    text = field(nasty, OURS)
    assert one_field(text)
    assert len(text) < 16_384


def one_field(text: bytes) -> bool:
    """ASCII, one field, no line of more than 998 octets, and nothing but quoted strings holds what is special."""
    lines = text.removesuffix(b"\r\n").split(b"\r\n")
    outside = re.sub(rb'"(?:[^"\\\r\n]|\\.)*+"', b"", text)
    return (
        text.isascii()
        and all(line.startswith(b"\t") for line in lines[1:])
        and all(0 < len(line) <= 998 for line in lines)
        and not re.search(rb"[\"()\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", outside)
    )


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=400))
def test_any_value(text: str) -> None:
    said = value(text)
    assert re.fullmatch(r'[A-Za-z0-9!#$&*+.^_`{|}~@\-]+|"(?:[ !#-\[\]-~]|\\["\\])*"', said)


FORGED = [
    b"Authentication-Results: mx.mic.gov.vn; dmarc=pass\r\n",
    b"AUTHENTICATION-RESULTS:mx.mic.gov.vn;dmarc=pass\r\n",
    b"Authentication-Results : MX.mic.GOV.vn 1;\r\n\tdmarc=pass\r\n",
    b"Authentication-Results:\r\n (a (b) \\) comment)\r\n\tmx.mic.gov.vn (x)\r\n\t; dmarc=pass\r\n",
    b'Authentication-Results: "mx.mic.gov.vn"; dmarc=pass\r\n',
    b'Authentication-Results: "mx.mic\\.gov.vn" 1; dmarc=pass\r\n',
    b"Authentication-Results: mx.mic.gov.vn\r\n",
    b"Authentication-Results: mx.mic.gov.vn.; dmarc=pass\r\n",
    b"Authentication-Results: mx.(c)mic.gov.vn; dmarc=pass\r\n",
    b"Authentication-Results: x mx.mic.gov.vn; dmarc=pass\r\n",
    b'Authentication-Results: ""mx.mic.gov.vn; dmarc=pass\r\n',
    b"Authentication-Results\r\n : mx.mic.gov.vn; dmarc=pass\r\n",
    b"Authentication-Results \r\n\t:\r\n mx.mic.gov.vn; dmarc=pass\r\n",
    b'Authentication-Results: "" "mx.mic\\.gov.vn"; dmarc=pass\r\n',
    b'Authentication-Results: mx."mic".gov.vn; dmarc=pass\r\n',
    b"Authentication-Results: mx.mic.gov.vn/1; dmarc=pass\r\n",
    b"Authentication-Results: mx.mic.gov.vn,x; dmarc=pass\r\n",
    b"Authentication-Results: mx.mic.gov.vn:25; dmarc=pass\r\n",
    b"Authentication-Results: <mx.mic.gov.vn>; dmarc=pass\r\n",
    b"Authentication-Results: mx.mic.gov.vn\xff; dmarc=pass\r\n",
    b"Authentication-Results: mx.mic.gov.vn\0; dmarc=pass\r\n",
    b"Authentication-Results\0: mx.mic.gov.vn; dmarc=pass\r\n",
    b"Authentication-\x01Results: mx.mic.gov.vn; dmarc=pass\r\n",
    b"Authentication-\xc2\xadResults: mx.mic.gov.vn; dmarc=pass\r\n",
    b"Authentication-Results: mx.mic.gov.vn; dmarc=pass",
]
UNKNOWN = [
    b"Authentication-Results: mx.x.example 2; dmarc=pass\r\n",
    b'Authentication-Results: "mx.x.example" 10; dmarc=pass\r\n',
    b"Authentication-Results: mx.x.example (1) 2 ; dmarc=pass\r\n",
    b"Authentication-Results: mx.x.example\r\n\t3;\r\n\tdmarc=pass\r\n",
]
OTHERS = [
    b"Authentication-Results: mx.x.example; dmarc=pass smtp.x=mx.mic.gov.vn\r\n",
    b"Authentication-Results: mx.x.example 1; dmarc=pass\r\n",
    b"Authentication-Results: mx.x.example (2) 1 (3); dmarc=pass\r\n",
    b'Authentication-Results: "mx.x.example"; dmarc=pass\r\n',
    b"Authentication-Results: notmx.mic.gov.vn; spf=none\r\n",
    b"ARC-Authentication-Results: i=1; mx.mic.gov.vn; spf=pass\r\n",
    b"X-Authentication-Results: mx.mic.gov.vn; spf=pass\r\n",
    b"Authentication-Results:\r\n",
    b"Subject: Authentication-Results: mx.mic.gov.vn\r\n folded\r\n",
    b"no field\r\n",
]


@pytest.mark.parametrize("forged", FORGED)
def test_forged_ones_go(forged: bytes) -> None:
    """RFC 8601 §5."""
    before, behind = b"Received: from x\r\n by y\r\n", b"From: a@x.example\r\n"
    end = b"" if forged.endswith(b"\n") else b"\r\n"
    assert may_stand_in(before + forged + end + behind)
    assert without_forged(before + forged + end + behind, [OURS]) == before + behind


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_versions_that_nobody_here_knows_go(unknown: bytes) -> None:
    """RFC 8601 §5, from whomever: a reader of that version might see in it what we do not."""
    assert without_forged(b"From: a@x.example\r\n" + unknown, [OURS]) == b"From: a@x.example\r\n"


@pytest.mark.parametrize("other", OTHERS)
def test_those_of_others_stay(other: bytes) -> None:
    assert without_forged(b"From: a@x.example\r\n" + other, [OURS]) == b"From: a@x.example\r\n" + other


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FORGED + OTHERS) | st.binary(max_size=30), max_size=6))
def test_any_header(lines: list[bytes]) -> None:
    """Nothing raises; what is there twice is gone at once; without the name nothing changes."""
    header = b"".join(lines)
    left = without_forged(header, [OURS])
    assert without_forged(left, [OURS]) == left
    if not may_stand_in(header):
        assert left == header


def test_in_no_time() -> None:
    """256 KB of comments, and of folds."""
    assert without_forged(b"Authentication-Results: " + b"(" * 250_000 + b"\r\n", [OURS])
    assert without_forged(b"Authentication-Results:" + b"\r\n " * 80_000 + b"\r\n", [OURS])
