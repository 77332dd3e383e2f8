"""Chains of ARC sets: whole ones, broken ones, and what dkimpy says of each."""

import time

import dkim as dkimpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import signed_messages
from arc_chains import BROKEN, PLAIN, TWO, chain
from cost_growth import assert_linear
from mic_mail.mailauth import arc, dkim_header
from mic_mail.mailauth.arc import MOST_OLDER, Arc, ArcResult, check_arc
from mic_mail.mailauth.dkim_header import Dkim, Unusable, parse_key
from mic_mail.mailauth.dkim_verify import check_dkim
from mic_mail.mailauth.message_digest import read
from mic_mail.mime.dkim import relaxed_field

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


def test_none() -> None:
    assert verdict(PLAIN) == ArcResult(Arc.NONE)


@pytest.mark.parametrize("sets", [1, 2, 3, 10])
def test_chains_that_hold(sets: int) -> None:
    message = chain(sets)
    assert verdict(message) == ArcResult(Arc.PASS, 0, (signed_messages.DOMAIN,) * sets)
    assert by_dkimpy(message) == "pass"


@pytest.mark.slow
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
