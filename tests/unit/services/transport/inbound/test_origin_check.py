"""What of the envelope and of the header the rules look at: nothing that a stranger writes raises."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mic_mail.mailauth.message_digest import read
from mic_mail.services.authentication.identity import Peer
from mic_mail.services.transport.envelope import Client, Envelope, Role
from mic_mail.services.transport.inbound.origin_check import _Thread, visible_origin
from mic_mail.storage.errors import Unavailable

OURS = frozenset({"mic.gov.vn", "x.example"})
PEER = Peer("127.0.0.1", 1, 25, "smtp", None, "session")


def envelope(sender: str) -> Envelope:
    return Envelope("T", Client(Role.MX, PEER, "x", "SMTP"), sender, ())


pieces = st.lists(
    st.sampled_from(
        [b"From", b":", b" ", b"dvbe", b"@", b"mic.gov.vn", b"<", b">", b",", b'"', b"(", b")", b"\r\n", b"\xff", b"\0"]
    ),
    max_size=30,
).map(b"".join)


@given(st.one_of(st.binary(max_size=300), pieces), st.text(max_size=40))
def test_nothing_raises(header: bytes, sender: str) -> None:
    message = b"From: " + header + b"\r\n\r\n"
    found = visible_origin(envelope(sender), read(message), message, OURS)
    assert found.is_null == (not sender)


@pytest.mark.parametrize(
    ("value", "ours"),
    [
        (b"dvbe@mic.gov.vn", True),
        (b"a@b, DVBE@MIC.GOV.VN", True),
        (b"dvbe@mic.gov.vn.", True),
        (b"<dvbe@ mic.gov.vn>", True),
        (b"dvbe@mic.gov.vn.evil.example", False),
        (b"dvbe@mic.gov.vnx", False),
        (b"dvbe@mic.gov.vn-x.example", False),
        (b"dvbe@amic.gov.vn", False),
        (b"x@=?utf-8?b?ZHZiZUBtaWMuZ292LnZu?=", True),
        (b"=?utf-8?q?dvbe=40mic.gov.vn=2C_?=@evil.example", True),
        ("dvbe\uff20mic.gov.vn".encode(), True),
        ("dvbe \ufe6b mic.gov.vn".encode(), True),
        ("dvbe@mic\u3002gov\u3002vn x".encode(), False),
        ("dvbe@\u200bmic\u00ad.gov.vn x <>".encode(), True),
        (b"=?utf-8?b?ZHZiZe+8oG1pYy5nb3Yudm4=?=", True),
        (b"dvbe@mic.(x)gov.vn", True),
        (b"(%b) Vu <dvbe@mic.(x)gov.vn>" % (b"x" * 20_000), True),
        (b'"%b" <dvbe@mic . gov . vn>' % (b"x" * 20_000), True),
        (b"dvbe@mic(a(b)c).gov.vn x", True),
        (b"dvbe@mic . gov . vn", True),
        (b"dvbe@mic.gov .vn", True),
        (b"dvbe@mic.gov\t.VN.", True),
        (b"<dvbe@mic.\r\n gov.vn>", True),
        (b"dvbe@(x)mic.gov.vn", True),
        (b"a@b, An <@c:dvbe@(x) mic.gov.(y)vn>", True),
        (b"=?utf-8?q?dvbe=40mic=2E(x)gov=2Evn?= x <>", True),
        ("dvbe\uff20mic. \u200bgov.vn".encode(), True),
        (b"dvbe@mic . gov . vn . evil.example", False),
        (b"dvbe@a.(x)mic.gov.vn", False),
        (b"[(] dvbe@mic . gov . vn", True),
        (b"mic.gov.vn", False),
        (b"", False),
    ],
)
def test_whether_one_of_ours_is_named(value: bytes, ours: bool) -> None:
    message = b"From: " + value + b"\r\n\r\n"
    assert visible_origin(envelope("a@b"), read(message), message, OURS).names_ours is ours


def test_who_wrote_it() -> None:
    message = b'From: "Mail of dvbe@mic.gov.vn" <MAILER-DAEMON@One.example>\r\n\r\n'
    found = visible_origin(envelope(""), read(message), message, OURS)
    assert (found.local_part, found.has_our_name, found.names_somebody) == ("mailer-daemon", True, True)


async def test_a_thread_takes_no_more_than_it_can_do() -> None:
    """Who finds it full hears so at once; with room it goes on."""
    gate, thread = threading.Event(), _Thread("t", 3)
    tasks = [asyncio.create_task(thread.do(gate.wait)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await thread.do(lambda: None)
    gate.set()
    assert await asyncio.gather(*tasks) == [True] * 3
    assert await thread.do(lambda: "done") == "done"
    thread.close()


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("dvbe@mic.gov.vn", True),
        ("dvbe\uff20mic.gov.vn", True),
        ("dvbe@\u200bmic.gov.vn", True),
        ("dvbe@m\u00adic.gov.vn", True),
        ("\uff44vbe\ufe6b\uff4dic.gov.vn", True),
        ("dvbe@mic.gov.vn.evil.example", False),
        ("Đỗ Văn Bê", False),
    ],
)
def test_a_name_that_a_person_takes_for_one_of_our_addresses(name: str, is_ours: bool) -> None:
    """Programs show it in place of the address; signs that are drawn alike, or not at all, are nothing to a reader."""
    message = f'From: "{name}" <a@evil.example>\r\n\r\n'.encode()
    assert visible_origin(envelope("a@evil.example"), read(message), message, OURS).has_our_name is is_ours
