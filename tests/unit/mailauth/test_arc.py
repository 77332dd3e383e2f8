"""Chains of ARC sets: whole ones, broken ones, and what dkimpy says of each."""

import re
import time

import dkim as dkimpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import signed_messages
from cost_growth import assert_linear
from mic_mail.mailauth import arc, dkim_header
from mic_mail.mailauth.arc import MOST_OLDER, Arc, ArcResult, check_arc
from mic_mail.mailauth.dkim_header import Dkim, Unusable, parse_key
from mic_mail.mailauth.dkim_verify import check_dkim
from mic_mail.mailauth.message_digest import read
from mic_mail.mime.dkim import relaxed_field

PLAIN = b"From: a@mic.gov.vn\r\nTo: b@x.example\r\nSubject: Hello\r\n\r\nbody\r\n"
KEYS = {name: (parse_key(text),) for name, text in signed_messages.records().items()}


def verdict(message: bytes) -> ArcResult:
    reading = read(message)
    keys = {name: KEYS.get(name, Unusable(Dkim.PERMERROR, "there is no key")) for name in arc.key_names(reading)}
    return check_arc(reading, keys, int(time.time()))


def by_dkimpy(message: bytes) -> str:
    def ask(name: bytes, timeout: float = 5) -> bytes | None:  # noqa: ARG001, RUF100 - dkimpy says it
        text = signed_messages.records().get(name.decode().rstrip("."))
        return text.encode() if text else None

    status, _, _ = dkimpy.arc_verify(message, dnsfunc=ask)
    return status.decode()


def chain(sets: int) -> bytes:
    message = PLAIN
    for number in range(1, sets + 1):
        message = signed_messages.seal(message, number)
    return message


def test_none() -> None:
    assert verdict(PLAIN) == ArcResult(Arc.NONE)


@pytest.mark.parametrize("sets", [1, 2, 3, 10])
def test_chains_that_hold(sets: int) -> None:
    message = chain(sets)
    assert verdict(message) == ArcResult(Arc.PASS, 0, (signed_messages.DOMAIN,) * sets)
    assert by_dkimpy(message) == "pass"


def test_fifty_sets_and_no_more() -> None:
    """RFC 8617 §5.2 step 1; each seal is checked once."""
    message = chain(50)
    assert verdict(message).result is Arc.PASS
    assert_linear(lambda sets: message if sets == 50 else chain(sets), verdict, (13, 50))
    assert verdict(b"ARC-Seal: i=51; cv=pass\r\n" + message) == ArcResult(Arc.FAIL, reason="more than 50 sets")


def test_the_oldest_that_passes() -> None:
    """RFC 8617 §5.2 step 5: a list changed the message after the first set, and sealed it again."""
    message = signed_messages.seal(chain(1).replace(b"Hello", b"[list] Hello"), 2)
    message = signed_messages.seal(message, 3)
    assert verdict(message) == ArcResult(Arc.PASS, 2, (signed_messages.DOMAIN,) * 3)
    assert by_dkimpy(message) == "pass"


def test_no_more_older_signatures_than_a_bound() -> None:
    """Nobody has to look at them (§5.2 step 5); what is said is true of those that were looked at."""
    message = chain(1).replace(b"Hello", b"[list] Hello")
    for number in range(2, MOST_OLDER + 4):
        message = signed_messages.seal(message, number)
    assert verdict(message).oldest_pass == 3
    assert verdict(chain(MOST_OLDER + 1)).oldest_pass == 0


def test_a_large_field_that_all_have_signed_is_made_canonical_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty signatures of one message, some with several keys: no more work than its octets are worth."""
    made: list[bytes] = []

    def counted(name: bytes, value: bytes) -> bytes:
        made.append(name)
        return relaxed_field(name, value)

    message = b"X-Large:" + b" a" * 10_000 + b"\r\n" + PLAIN
    for number in range(1, 4):
        message = signed_messages.seal(message, number, names=b"from:x-large")
    for _ in range(3):
        message = signed_messages.sign(message, include_headers=[b"from", b"x-large"])
    reading = read(message)
    monkeypatch.setattr(dkim_header, "relaxed_field", counted)
    assert [each.result for each in check_dkim(reading, KEYS, int(time.time()))] == [Dkim.PASS] * 3
    assert check_arc(reading, KEYS, int(time.time())).sealers == (signed_messages.DOMAIN,) * 3
    assert made.count(b"X-Large") == 1


TWO = chain(2)
SECOND = re.compile(
    rb"(ARC-Seal: i=2;.*?\r\n)(ARC-Message-Signature: i=2;.*?\r\n)(ARC-Authentication-Results: i=2;.*?\r\n)", re.DOTALL
)
BROKEN = {
    "the message changed": TWO.replace(b"Hello", b"Bye"),
    "the body changed": TWO + b"more\r\n",
    "results of the first set changed": TWO.replace(b"i=1; relay.example; arc=none", b"i=1; relay.example; arc=pass"),
    "a seal changed": re.sub(rb"(ARC-Seal: i=1;.* b=)...", rb"\1AAA", TWO),
    "a set without its results": TWO.replace(b"ARC-Authentication-Results: i=1;", b"X-Results: i=1;"),
    "a set without its seal": TWO.replace(b"ARC-Seal: i=2;", b"X-Seal: i=2;"),
    "a set without its signature": TWO.replace(b"ARC-Message-Signature: i=1;", b"X: i=1;"),
    "a gap": TWO.replace(b"i=2;", b"i=3;"),
    "a number twice": TWO.replace(b"i=2;", b"i=1;"),
    "number 0": TWO.replace(b"i=1;", b"i=0;"),
    "no number": TWO.replace(b"i=1; relay", b"j=1; relay"),
    "a set twice": SECOND.sub(rb"\1\2\3\1\2\3", TWO),
    "the last says fail": signed_messages.seal(chain(1), 2, status="fail"),
    "the first says pass": signed_messages.seal(PLAIN, 1, status="pass"),
    "the second says none": signed_messages.seal(chain(1), 2, status="none"),
    "a seal with h=": signed_messages.seal(PLAIN, 1, more=b" h=from;"),
    "no key": TWO.replace(b"s=rsa; cv=pass", b"s=none; cv=pass"),
    "rsa-sha1": signed_messages.seal(PLAIN, 1).replace(b"ARC-Seal: i=1; a=rsa-sha256", b"ARC-Seal: i=1; a=rsa-sha1"),
    "the seal in the signature of the message": signed_messages.seal(chain(1), 2, names=b"from:arc-seal"),
    "only a seal": b"ARC-Seal: i=1; a=rsa-sha256; d=mic.gov.vn; s=rsa; cv=none; b=AAAA\r\n" + PLAIN,
}


@pytest.mark.parametrize("name", BROKEN)
def test_chains_that_are_broken(name: str) -> None:
    said = verdict(BROKEN[name])
    assert said.result is Arc.FAIL
    assert said.reason
    assert said.sealers == ()
    if name != "rsa-sha1":  # dkimpy takes it where the seal says so
        try:
            assert by_dkimpy(BROKEN[name]) != "pass"
        except (dkimpy.DKIMException, IndexError, KeyError, AttributeError, TypeError):
            pass  # it raises, where we say fail


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_changed(data: st.DataObject) -> None:
    """Nothing raises, and no octet that counts can be changed."""
    header = len(TWO.partition(b"\r\n\r\n")[0])
    at = data.draw(st.integers(0, header - 1))
    octet = data.draw(st.integers(0, 255))
    changed = TWO[:at] + bytes([octet]) + TWO[at + 1 :]
    said = verdict(changed)
    unused = TWO.index(b"==\r\n") - 1  # of whose letter four bits count
    was = TWO[at : at + 1]
    if at != unused and was.isalnum() and bytes([octet]).isalnum() and was.lower() != bytes([octet]).lower():
        assert said.result is Arc.FAIL
