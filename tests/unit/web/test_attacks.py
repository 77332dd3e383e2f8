"""What somebody tries at the page who should not be there: forged forms, other people's sessions, broken HTTP, floods."""

import asyncio
import os
import re
import resource
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from cost_growth import assert_linear
from harness import MailServer, config_for, stopping
from mic_mail.services.mailboxes import credentials
from mic_mail.web.middleware import HEADERS
from population import PASSWORD
from unit.web.conftest import NEW, SETTINGS, Browser, Open, logged

FORM = {"content-type": "application/x-www-form-urlencoded"}


def version(site: MailServer, mailbox_id: int) -> int:
    """How often the mailbox's password was set."""
    credential = site.population.directory.entry(mailbox_id).credential
    assert credential is not None
    return credential.version


def raw(site: MailServer, octets: bytes, *, door: str = "https") -> bytes:
    """Send octets as they are, and read to the end of the connection."""
    with socket.create_connection(("127.0.0.1", site.ports[door]), timeout=20) as plain:
        connection = site.tls().wrap_socket(plain, server_hostname="localhost") if door == "https" else plain
        connection.sendall(octets)
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except (ConnectionResetError, ssl.SSLError):
            pass
        return answer


# ---------------------------------------------------------------- forms that others made


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, ""),
        ({}, "x" * 43),
        ({}, "của người khác"),
        ({"origin": "https://evil.example"}, None),
        ({"origin": "null"}, None),
        ({"sec-fetch-site": "cross-site"}, None),
        ({"sec-fetch-site": "same-site"}, None),
    ],
)
def test_a_forged_form_changes_nothing(site: MailServer, browsers: Open, headers: dict[str, str], token: str | None) -> None:
    """Each of the two signs is enough to refuse it; the third, SameSite, keeps the cookie at home."""
    local = f"gia{abs(hash((str(headers), token))) % 10**6}"
    mailbox = site.issue(local)
    browser = browsers(site).signed_in(local)
    browser.get("/password")
    sent = {"token": token} if token is not None else {}
    answer = browser.post("/password", {"present": PASSWORD, "new": NEW, "again": NEW, **sent}, headers=headers)
    assert answer.status_code == 403
    assert version(site, mailbox.mailbox_id) == 1


def test_a_form_is_worth_nothing_in_another_session_or_later(site: MailServer, browsers: Open) -> None:
    """The token of one's own session neither opens another's nor outlives a change, nor do those of other forms."""
    mailbox, _ = site.issue("nan"), site.issue("ke")
    attacker, victim = browsers(site).signed_in("ke"), browsers(site).signed_in("nan")
    attacker.get("/password")
    victim.get("/password")
    stolen, sign_out = attacker.token("/password"), victim.token("/sign-out")
    for token in (stolen, sign_out):
        assert victim.post("/password", {"present": PASSWORD, "new": NEW, "again": NEW, "token": token}).status_code == 403
    used = victim.token("/password")
    assert victim.change(NEW).status_code == 303
    victim.get("/password")
    assert victim.post("/password", {"present": NEW, "new": NEW + "1", "again": NEW + "1", "token": used}).status_code == 403
    assert version(site, mailbox.mailbox_id) == 2


def test_nobody_is_signed_in_by_a_form_of_somebody_else(site: MailServer, browsers: Open) -> None:
    """The sign-in form has a token too: else a person could be signed in, unnoticed, as somebody who reads along."""
    site.issue("loi")
    mine, theirs = browsers(site), browsers(site)
    mine.get("/")
    theirs.get("/")
    fields = {"token": mine.token("/sign-in"), "address": "loi@mic.gov.vn", "password": PASSWORD}
    answer = theirs.client.post("/sign-in", data=fields)
    assert answer.status_code == 403
    assert "__Host-mic-mail" not in answer.cookies


def test_a_session_that_was_there_before_is_not_taken_over(site: MailServer, browsers: Open) -> None:
    """Fixation: whatever cookie a browser was given, the sign-in makes another, and so does a change."""
    site.issue("cu")
    browser = browsers(site)
    browser.client.cookies.set("__Host-mic-mail", "chosen-by-somebody-else", domain="localhost.local")
    browser.signed_in("cu")
    first = browser.client.cookies["__Host-mic-mail"]
    assert first != "chosen-by-somebody-else"
    browser.get("/password")
    browser.change(NEW)
    second = browser.client.cookies["__Host-mic-mail"]
    assert second != first
    browser.client.cookies.set("__Host-mic-mail", first, domain="localhost.local")
    assert browser.get("/mailbox").status_code == 403


def test_cookies_and_headers_hold_browsers_back(site: MailServer, browsers: Open) -> None:
    """Each cookie: this host, TLS, no script, no other site. Each page: no script, no frame, kept nowhere."""
    site.issue("dau")
    browser = browsers(site)
    answers = [browser.get("/"), browser.sign_in("dau"), browser.get("/mailbox"), browser.get("/?lang=en"), browser.get("/x")]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert answer.headers["cache-control"] == "no-store"
        assert "date" in answer.headers
        assert "server" not in answer.headers
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:", answer.text)
        for cookie in answer.headers.get_list("set-cookie"):
            assert re.match(r"__Host-mic-mail", cookie)
            assert {"secure", "httponly", "samesite=strict", "path=/"} <= set(cookie.lower().split("; "))
            assert "domain" not in cookie.lower()


def test_a_cookie_without_end_is_read_at_once(site: MailServer) -> None:
    """Backslashes between quotes: http.cookies of Python 3.11 took 0.3 s of all pages for each of these (CVE-2024-7592)."""

    def ask(length: int) -> None:
        for name in ("__Host-mic-mail", "__Host-mic-mail-form", "__Host-mic-mail-lang", "x"):
            for path in ("/", "/mailbox", "/code", "/forgot", "/nowhere", "/dav/", "/mail/config-v1.1.xml"):
                cookie = f'{name}="' + r"\"" * length + '"'
                asked = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"
                head = raw(site, asked.encode()).partition(b"\r\n\r\n")[0]
                assert head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 401 ", b"HTTP/1.1 404 ")), head
                assert b"\\" not in head

    longest = 7_800  # that fits into a head
    assert_linear(int, ask, (longest // 4, longest), clock=time.process_time)


def test_cookies_of_others_are_no_matter(site: MailServer, browsers: Open) -> None:
    """Whatever other sites of the ministry have set beside ours, with quotes, spaces and letters of all kinds; no value of
    theirs is taken for one of ours."""
    site.issue("chung")
    browser = browsers(site).signed_in("chung")
    token = browser.client.cookies["__Host-mic-mail"]
    ours = f"__Host-mic-mail={token}"
    for header in (
        f'a="\\"x\\""; {ours}',
        f"{ours};b",
        f"x= y z ;\t{ours} ; =c;;",
        f"\xff=\xfe; {ours}",
        f"__Host-mic-mail-lang=en;{ours}",
    ):
        assert browser.client.get("/mailbox", headers={"cookie": header.encode("latin-1")}).status_code == 200, header
    for header in (
        f"x=y {ours}",
        f"x{ours}",
        f'__Host-mic-mail="{token}"',
        f"{ours}x",
        f"__Host-mic-mail={token} x",
        f"_{ours}",
    ):
        answer = httpx.get(f"{browser.base}/mailbox", headers={"cookie": header}, verify=site.tls())
        assert "/sign-in" in answer.text, header


# ---------------------------------------------------------------- passwords


def test_wrong_passwords_are_counted_for_all_doors(browsers: Open, tmp_path) -> None:
    """The page uses up the same tries as mail programs, and says when to come again; the right one waits too (Reg. 4.3)."""
    servers = [MailServer(config_for(tmp_path, {**SETTINGS, "auth": {"failures_per_mailbox": 3}}))]
    with stopping(servers):
        servers[0].issue("thu")
        browser = browsers(servers[0])
        for number in range(3):
            assert browser.sign_in("thu", f"wrong {number}").status_code == 403
        answer = browser.sign_in("thu")
        assert answer.status_code == 429
        assert "Quá nhiều lần đăng nhập sai" in answer.text


def test_the_present_password_cannot_be_guessed_from_inside(browsers: Open, tmp_path) -> None:
    """Who finds a browser open has no more tries than who stands outside."""
    servers = [MailServer(config_for(tmp_path, {**SETTINGS, "auth": {"failures_per_mailbox": 3}}))]
    with stopping(servers):
        servers[0].issue("trong")
        browser = browsers(servers[0]).signed_in("trong")
        told = []
        for number in range(4):
            browser.get("/password")
            told.append(browser.change(NEW, present=f"wrong {number}").status_code)
        assert told == [403, 403, 403, 429]


def test_ten_changes_at_once_are_one(site: MailServer, browsers: Open) -> None:
    """One is made, the others are told; the password is that of the one, and one fact stands for it."""
    mailbox = site.issue("nhieu")
    browser = browsers(site).signed_in("nhieu")
    browser.get("/password")
    token, cookies = browser.token("/password"), dict(browser.client.cookies)
    together = threading.Barrier(10)

    def change(number: int) -> tuple[int, str]:
        new = f"{NEW} số {number}"
        with httpx.Client(base_url=browser.base, verify=site.tls(), cookies=cookies, timeout=30) as client:
            client.get("/robots.txt")
            together.wait()
            answer = client.post("/password", data={"token": token, "present": PASSWORD, "new": new, "again": new})
        return answer.status_code, new

    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(change, range(10)))
    made = [new for status, new in answers if status == 303]
    assert len(made) == 1, answers
    assert {status for status, _ in answers} <= {303, 403, 409}
    assert version(site, mailbox.mailbox_id) == 2
    assert len(site.population.directory.facts(mailbox.mailbox_id)) == 3
    browsers(site).signed_in("nhieu", made[0])


def test_who_tries_many_passwords_keeps_nobody_waiting(tmp_path: Path, browsers: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes to judge one: of a mailbox one is judged at a time, and who comes for the first time has a turn."""
    servers = [MailServer(config_for(tmp_path, {**SETTINGS, "process": {"hash_threads": 2}}))]
    with stopping(servers):
        _try_many(servers[0], browsers, monkeypatch)


def _try_many(site: MailServer, browsers: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    site.issue("vet")
    site.issue("moiden")
    began, over, judged = threading.Event(), threading.Event(), []

    def judge(password: str, address: str, **rules: Any) -> None:
        judged.append(address)
        began.set()
        over.wait(20)

    monkeypatch.setattr(credentials, "check_strength", judge)
    trying = [browsers(site).signed_in("vet") for _ in range(3)]
    for browser in trying:
        browser.get("/password")
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(trying[0].change, NEW)
        assert began.wait(20)
        assert [browser.change(NEW).status_code for browser in trying[1:]] == [409, 409]
        assert "đang được thay đổi ở nơi khác" in trying[1].page.text
        assert browsers(site).sign_in("moiden").headers["location"] == "/mailbox"
        over.set()
        assert first.result().status_code == 303
    assert judged == ["vet@mic.gov.vn"]


def test_one_session_has_so_many_tries(site: MailServer, browsers: Open) -> None:
    """Each try costs hashes: after twenty one has to sign in again."""
    site.issue("lap")
    browser = browsers(site).signed_in("lap")
    for _ in range(20):
        browser.get("/password")
        assert browser.change("ngắn").status_code == 422
    browser.get("/password")
    assert browser.change(NEW).status_code == 429
    assert browser.get("/mailbox").status_code in (200, 403)
    assert "/sign-in" in browser.page.text


# ---------------------------------------------------------------- HTTP as it should not be


@pytest.mark.parametrize(
    ("request_octets", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        *(
            (b"GET / HTTP/1.1\r\nHost: localhost%b\r\n\r\n" % junk, 421)
            for junk in (b":x", b":8443x", b":-1", b":65536", b":443:443", b":4 43", b"/", b"@localhost", b":" + b"1" * 99)
        ),
        (b"GET / HTTP/1.1\r\nHost: [::1]junk:443\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: LOCALHOST:\r\nConnection: close\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: [::1]:443\r\nConnection: close\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET https://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400),
        (b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n", 415),
        (b"GET /x\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: a\r\n b\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n", 200),
        (b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET /?x=" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421),
        (b"\x16\x03\x01 not http at all\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused(site: MailServer, request_octets: bytes, status: int) -> None:
    """Other hosts, two lengths, chunks, broken heads: refused at once, and nothing after it is read as a request."""
    answer = raw(site, request_octets)
    if len(request_octets) > 16_384 and (not answer or answer.startswith(b"HTTP/1.1 400 ")):
        return  # not all of the head came at once: the parser was faster
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert answer.count(b"HTTP/1.1") == 1
    assert b"Traceback" not in answer


def test_what_follows_a_refused_body_is_no_request(site: MailServer) -> None:
    """Smuggling needs two readings of one body; here the connection ends with the refusal."""
    smuggled = b"GET /forgot HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for framing in (
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000000\r\n\r\n",
    ):
        answer = raw(site, b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\n" + framing + smuggled)
        assert answer.count(b"HTTP/1.1") == 1, answer
        assert b"20" not in answer[9:11]


def test_what_follows_a_chunked_request_is_none(site: MailServer) -> None:
    """Mail programs that set themselves up may send chunks; with a length besides, the connection ends (RFC 9112 §6.1)."""
    chunked = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<x/>\r\n0\r\n\r\n"
    smuggled = b"GET /forgot HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = raw(site, b"POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: localhost\r\n" + chunked + smuggled)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert answer.count(b"HTTP/1.1") == 1, answer


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "OPTIONS", "CONNECT", "BREW"])
@pytest.mark.parametrize("path", ["/", "/password", "/sign-out"])
def test_other_methods_are_refused(site: MailServer, browsers: Open, method: str, path: str) -> None:
    """By a page, which says no more than that."""
    answer = browsers(site).client.request(method, path)
    assert answer.status_code == 405
    assert "<h1>Có lỗi</h1>" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//evil.example/",
        "/password/",
        "/templates/base.html",
        "/style.css",
        "/%00",
    ],
)
def test_paths_lead_nowhere_else(site: MailServer, path: str) -> None:
    """There are no files behind the paths, and no redirect to another host."""
    answer = raw(site, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nlocation:" not in answer.lower()


def test_nothing_typed_comes_back_as_markup_or_header(site: MailServer, browsers: Open) -> None:
    """The address that was typed is shown again, as text; the language asked for is one of two or none."""
    browser = browsers(site)
    browser.get("/")
    answer = browser.post("/sign-in", {"address": '"><script>alert(1)</script>\r\nSet-Cookie: x=y', "password": "x"})
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "x=y" not in str(answer.headers)
    answer = browser.get("/", params={"lang": "vi\r\nSet-Cookie: x=y"})
    assert "x=y" not in str(answer.headers)


def test_ten_mebibytes_are_not_read(site: MailServer, browsers: Open) -> None:
    """Neither with their length told before nor without; the connection ends."""
    browser = browsers(site)
    for headers in (FORM, {**FORM, "content-length": "10485760"}):
        try:
            answer = browser.client.post("/sign-in", content=iter([b"a" * 65536] * 160), headers=headers)
        except httpx.TransportError:  # cut while it still sent
            continue
        assert answer.status_code in (411, 413)


@pytest.mark.parametrize("body", [b"a=%ff", b"\xff\xfe", b"&".join(b"a%d=1" % n for n in range(50)), b"a" * 17_000])
def test_a_body_that_is_no_form(site: MailServer, browsers: Open, body: bytes) -> None:
    """No UTF-8, no ASCII, too many fields, too long."""
    assert browsers(site).client.post("/sign-in", content=body, headers=FORM).status_code in (400, 413)


def test_plain_http_leads_to_https_and_takes_nothing(site: MailServer) -> None:
    """Whatever host was asked for: the address of the page is ours. A form in the open is refused, not passed on."""
    answer = raw(site, b"GET /password HTTP/1.1\r\nHost: evil.example\r\n\r\n", door="http")
    assert answer.startswith(b"HTTP/1.1 301 ")
    assert b"location: https://mail.mic.gov.vn/\r\n" in answer
    assert b"strict-transport-security" not in answer
    assert raw(site, b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na", door="http").startswith(
        b"HTTP/1.1 403 "
    )


# ---------------------------------------------------------------- many, and slow ones


def test_a_thousand_slow_ones_do_not_keep_others_out(browsers: Open, tmp_path) -> None:
    """Connections that send an octet now and then are cut at their deadline; meanwhile the page answers."""
    servers = [MailServer(config_for(tmp_path, {**SETTINGS, "web": {"request_seconds": 3}}))]
    with stopping(servers):
        server = servers[0]

        async def slow() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["http"])
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            while not reader.at_eof():
                try:
                    writer.write(b"a")
                    await writer.drain()
                    return await asyncio.wait_for(reader.read(), 1)
                except TimeoutError:
                    continue
                except OSError:
                    break
            return b""

        async def flood() -> list[bytes]:
            free = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - len(os.listdir("/proc/self/fd"))
            most = (free - 100) // 2  # both ends are of this process
            tasks = [asyncio.create_task(slow()) for _ in range(min(1000, most))]
            await asyncio.sleep(0.5)  # they are connected, most of them
            await asyncio.to_thread(lambda: browsers(server).get("/").raise_for_status())
            return await asyncio.gather(*tasks)

        assert set(asyncio.run(flood())) == {b""}
        assert browsers(server).get("/").status_code == 200


def test_what_fails_inside_tells_a_reference_and_nothing_else(browsers: Open, tmp_path) -> None:
    """The reason stands in the log; the page has no traceback, no path and no version."""
    servers = [MailServer(config_for(tmp_path, SETTINGS))]
    with stopping(servers):
        servers[0].issue("hong")
        browser: Browser = browsers(servers[0]).signed_in("hong")
        mailbox_id = servers[0].running.context.access.snapshot.addresses["hong@mic.gov.vn"].mailbox_id
        servers[0].running.context.access._snapshot.entries.pop(mailbox_id)  # what should never be
        answer = browser.get("/mailbox")
        assert answer.status_code == 500
        assert "Hệ thống gặp lỗi, mã" in answer.text
        assert not re.search(r"Traceback|KeyError|\.py|uvicorn|tarlette", answer.text)
        failed = [event for event in logged(servers[0], "web_request_failed") if event["event"] == "web_request_failed"]
        assert failed[0]["error"] == "KeyError"
