"""Bounds of CardDAV: bodies that want harm, answers that are long, clients that read slowly."""

import asyncio
import contextlib
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from harness import MailServer
from mic_mail.directory.records import Employment, PersonRecord, UnitRecord
from mic_mail.policy.facts import Level
from mic_mail.web.carddav import app, requests
from population import PASSWORD
from runtimes import runtime
from unit.web.carddav_client import BOOK, MANY_MATCHES, XMLNS, Phone, address_book_server, matching, query
from unit.web.conftest import SETTINGS


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with address_book_server(tmp_path_factory.mktemp("dav")) as server:
        yield server


@pytest.fixture
def phone(site: MailServer) -> Iterator[Phone]:
    phone = Phone(site)
    yield phone
    phone.client.close()


LAUGHS = "".join(f'<!ENTITY a{n} "{"".join(f"&a{n - 1};" * 10)}">' for n in range(1, 12))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<d:propfind", 400),
        (f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]><d:propfind {XMLNS}><d:prop>&a11;</d:prop></d:propfind>', 400),
        (f'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><d:propfind {XMLNS}>&f;</d:propfind>', 400),
        (f'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><d:propfind {XMLNS}/>', 400),
        (f"<d:propfind {XMLNS}>{'<d:prop>' * 50}{'</d:prop>' * 50}</d:propfind>", 400),
        (f"<d:propfind {XMLNS}><d:prop>{'<d:a/>' * 6_000}</d:prop></d:propfind>", 413),
        (f"<d:propfind {XMLNS}><d:prop>{''.join(f'<d:a{n}/>' for n in range(65))}</d:prop></d:propfind>", 400),
        (f'<d:propfind {XMLNS}><d:prop><a xmlns="{"x" * 5_000}"/></d:prop></d:propfind>', 400),
        (f"<d:propfind {XMLNS}><d:prop>{'x' * 20_000}</d:prop></d:propfind>", 413),
        ('<?xml version="1.0" encoding="utf-7"?><d:propfind xmlns:d="DAV:"/>', 400),
        ("<propfind/>", 400),
        ("", 207),
    ],
)
def test_bodies_that_want_harm(phone: Phone, body: str, status: int) -> None:
    """No entity is expanded, nothing is fetched, nothing is held beyond the bounds."""
    assert phone.ask("PROPFIND", "/dav/", body, depth="0").status_code == status


def test_reports_that_want_harm(phone: Phone) -> None:
    """They may be longer, and are refused no later than they are read."""
    for body, status in (
        (f"<c:addressbook-multiget {XMLNS}>{'<d:href/>' * 6_000}</c:addressbook-multiget>", 400),
        (f'<c:addressbook-multiget {XMLNS}><d:prop xmlns:x="{"u" * 200_000}" x:a="" x:b=""/></c:addressbook-multiget>', 400),
        (f"<c:addressbook-multiget {XMLNS}>{'x' * 300_000}</c:addressbook-multiget>", 413),
        (f"<c:addressbook-multiget {XMLNS}><d:prop/>{'<d:href/>' * 4_000}</c:addressbook-multiget>", 207),
    ):
        assert phone.ask("REPORT", BOOK, body).status_code == status


def test_who_asks_for_much_at_once_makes_nobody_wait(site: MailServer) -> None:
    """A hundred long answers of one mailbox are made one after the other; another mailbox's is made beside the first."""
    books = app.AddressBooks(runtime(Any, site.clock), Any, b"key")  # type: ignore[arg-type]  # not asked here

    async def order() -> list[str]:
        told, first_may_end = list[str](), asyncio.Event()

        async def one(who: str) -> None:
            async with books.at_length(who):
                told.append(who)
                if who == "greedy":
                    await first_may_end.wait()

        greedy = [asyncio.ensure_future(one("greedy")) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.wait_for(one("modest"), 20)
        seen = list(told)
        first_may_end.set()
        await asyncio.gather(*greedy)
        return seen

    assert asyncio.run(order()) == ["greedy", "modest"]


def test_no_answer_is_longer_than_can_be_held(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for all of it in one piece is told so, at each way to ask (RFC 6578 §3.6); the next request is served."""
    cards_only = "<d:prop><c:address-data/></d:prop>"
    monkeypatch.setattr(app, "ANSWER_LETTERS", 1_000)
    for answer in (
        phone.ask("PROPFIND", BOOK, f"<d:propfind {XMLNS}>{cards_only}</d:propfind>", depth="1"),
        phone.report("c:addressbook-query", cards_only),
        phone.report("d:sync-collection", f"<d:sync-token/>{cards_only}"),
    ):
        assert (answer.status_code, "number-of-matches-within-limits" in answer.text) == (507, True)
    assert len(phone.found(BOOK, "d:getetag")) == 1


@pytest.fixture
def long_answer(serve: Callable[..., MailServer], monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], bytes]:
    """Asks for four megabytes, with pauses before and while reading them; what came of the answer."""
    monkeypatch.setattr(requests, "MAX_NAMES", 200_000)
    monkeypatch.setattr(app, "PROPFIND_OCTETS", 200_000)
    server = serve({**SETTINGS, "web": {"request_seconds": 1}})
    server.issue("dvbe")
    directory = server.population.directory
    unit = directory.add_unit(UnitRecord(0, "KHTC", "Vụ Kế hoạch - Tài chính"))
    for _ in range(70):
        directory.add_person(PersonRecord(0, "Lê Hoa", unit.unit_id, "", Level.DIVISION, Employment.CIVIL_SERVANT))
    server.refresh()
    names = "".join(f"<d:{'x' * 1000}{number}/>" for number in range(60))
    body = f"<d:propfind {XMLNS}><d:prop>{names}</d:prop></d:propfind>"
    auth = b64encode(f"dvbe@mic.gov.vn:{PASSWORD}".encode()).decode()
    head = (
        f"PROPFIND {BOOK} HTTP/1.1\r\nHost: localhost\r\nDepth: 1\r\nAuthorization: Basic {auth}\r\nContent-Length: {len(body)}"
    )

    def answer(before: float, between: float) -> bytes:
        bare = socket.socket()
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        bare.settimeout(20)
        bare.connect((server.host, server.ports["https"]))
        heard = b""
        with server.tls().wrap_socket(bare, server_hostname="localhost") as wire:
            wire.sendall(f"{head}\r\n\r\n{body}".encode())
            time.sleep(before)  # as slow as the test wants it
            with contextlib.suppress(OSError):
                while not heard.endswith(b"</D:multistatus>") and (more := wire.recv(16384)):
                    heard += more
                    time.sleep(between)  # as slow as the test wants it
        return heard

    return answer


@pytest.mark.slow
def test_who_reads_slowly_gets_the_whole_answer(long_answer: Callable[[float, float], bytes]) -> None:
    """A telephone on a thin line, for longer than a request may take; who does not read at all is cut off."""
    whole = long_answer(0, 0.02)
    assert len(whole) > 4 << 20
    assert whole.endswith(b"</D:multistatus>")
    assert len(long_answer(4, 0)) < len(whole)


@pytest.mark.slow
def test_nobody_is_kept_more_for_than_can_be_held(
    long_answer: Callable[[float, float], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for long answers by many connections and reads none has so much waiting, and is then told to come later."""
    with ThreadPoolExecutor(8) as pool:
        monkeypatch.setattr(app, "ANSWER_LETTERS", 8 << 20)
        heard = list(pool.map(lambda _: long_answer(0, 0.02), range(8)))
        held = [one for one in heard if one.startswith(b"HTTP/1.1 207 ")]
        assert len(held) == 2
        assert all(one.startswith(b"HTTP/1.1 503 ") for one in heard if one not in held)
    assert long_answer(0, 0).startswith(b"HTTP/1.1 207 ")


@pytest.mark.parametrize(
    ("kind", "inner", "condition"),
    [
        ("d:expand-property", "", "supported-report"),
        ("c:addressbook-query", '<d:prop><c:address-data content-type="text/html"/></d:prop>', "supported-address-data"),
        ("c:addressbook-query", query("anyof", matching("FN", "x", collation="i;other")), "supported-collation"),
        ("c:addressbook-query", query("anyof", *[matching("FN", "x")] * 40), "supported-filter"),
        ("c:addressbook-query", query("anyof", *[MANY_MATCHES] * 3), "supported-filter"),
    ],
)
def test_reports_that_cannot_be_made(phone: Phone, kind: str, inner: str, condition: str) -> None:
    """403 with the condition (RFC 6352 §8.6)."""
    answer = phone.report(kind, inner)
    assert (answer.status_code, condition in answer.text) == (403, True)
