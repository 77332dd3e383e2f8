"""What the connections of the page take from uvicorn, and what sessions forget."""

import asyncio
import contextlib
import gc
import inspect
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from mic_mail.services.authentication.identity import SignedIn
from mic_mail.storage.types import AccountRef
from mic_mail.web.forms import Tokens
from mic_mail.web.http import Http
from mic_mail.web.middleware import name_of
from mic_mail.web.sessions import MOST_PER_MAILBOX, SessionLifetime, Sessions
from session_harness import decision
from waiting import wait_on_loop

PATIENCE = SessionLifetime(idle=600, whole=3600)


class Monotonic:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def signed_in(mailbox_id: int = 1) -> SignedIn:
    """Somebody who has just typed the right password."""
    address = f"m{mailbox_id}@mic.gov.vn"
    return SignedIn(mailbox_id, address, AccountRef(mailbox_id, f"mic.gov.vn/m{mailbox_id}"), decision(), address, 1)


def test_uvicorn_still_is_what_is_built_upon() -> None:
    """Each member that `web.http` overrides or touches; an upgrade that moves one fails here and not at a ministry."""
    for name in (
        "connection_made", "connection_lost", "data_received", "handle_events", "on_response_complete", "shutdown",
        "_unset_keepalive_if_required", "pause_writing", "resume_writing", "send_400_response",
    ):  # fmt: skip
        assert inspect.isfunction(getattr(H11Protocol, name))
    assert {"config", "server_state", "app_state"} <= inspect.signature(H11Protocol.__init__).parameters.keys()
    assert {"on_response"} <= inspect.signature(RequestResponseCycle.__init__).parameters.keys()
    source = inspect.getsource(H11Protocol) + inspect.getsource(RequestResponseCycle)
    for touched in (
        "self.cycle",
        "self.more_body",
        "self.response_complete",
        "self.app_state.copy()",
        "self.loop",
        "self.transport",
    ):
        assert touched in source
    assert isinstance(ServerState().connections, set)
    assert "h11_max_incomplete_event_size" in inspect.signature(Config.__init__).parameters


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is in a cycle of references stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x00garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nnext is garbage\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000,
    ],
    ids=["whole", "body", "two", "garbage", "bad header", "no host", "garbage after it", "bad chunk", "too long"],
)
async def test_a_connection_goes_with_its_end(octets: bytes, no_collector: None) -> None:
    """No cycle of references holds it, and 256 KiB for TLS, until the collector runs: strangers could fill the memory."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(f"{len(body)}")(scope, receive, send)

    http = Http(app, new_id=lambda: "1", changed=lambda by, strangers: None, request_seconds=60, measure_lag=lambda: None)
    made: list[weakref.ref[asyncio.Protocol]] = []

    def connection() -> asyncio.Protocol:
        new = http.connection()
        made.append(weakref.ref(new))
        return new

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(octets)
    with contextlib.suppress(ConnectionError):  # a server that does not read everything
        assert (await reader.read()).startswith(b"HTTP/1.1 ")
    writer.close()
    await wait_on_loop(lambda: not http.open)
    await wait_on_loop(lambda: made[0]() is None)
    server.close()


@pytest.mark.slow
def test_workers_load_nothing_of_the_pages() -> None:
    """Starlette, uvicorn, Jinja and the word lists are for the process of the pages."""
    program = (
        "import sys, mic_mail.app.server, mic_mail.app.indexer, mic_mail.process.serve;"
        "print([name for name in ('starlette', 'uvicorn', 'jinja2', 'zxcvbn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_session_ends_unused_and_ends_at_all() -> None:
    """After `web.idle_seconds` without a request, and after `web.session_seconds` however busy."""
    clock = Monotonic()
    sessions = Sessions(PATIENCE, clock)
    token = sessions.begin(signed_in())
    clock.advance(599)
    assert sessions.find(token) is not None
    clock.advance(600)
    assert sessions.find(token) is None
    token = sessions.begin(signed_in())
    for _ in range(6):
        clock.advance(590)
        assert sessions.find(token) is not None
    clock.advance(100)
    assert sessions.find(token) is None
    sessions.begin(signed_in())
    clock.advance(700)
    sessions.sweep()
    assert len(sessions) == 0


def test_sessions_are_bounded_and_their_tokens_kept_by_nobody() -> None:
    """The oldest of one mailbox goes; what the process holds is a digest."""
    sessions = Sessions(PATIENCE, lambda: 0.0)
    others = sessions.begin(signed_in(2))
    tokens = [sessions.begin(signed_in()) for _ in range(MOST_PER_MAILBOX + 3)]
    assert [sessions.find(token) is not None for token in tokens] == [False] * 3 + [True] * MOST_PER_MAILBOX
    assert sessions.find(others) is not None
    assert not any(token in repr(vars(sessions)) for token in tokens)
    assert len(set(tokens)) == len(tokens)


def test_a_token_fits_one_form_of_one_session() -> None:
    """Under one key; an empty secret fits nothing."""
    tokens = Tokens(b"key")
    token = tokens.mint("session", "password")
    assert tokens.fits(token, "session", "password")
    for secret, purpose, key in (
        ("other", "password", b"key"),
        ("session", "sign-out", b"key"),
        ("session", "password", b"k2"),
    ):
        assert not Tokens(key).fits(token, secret, purpose)
    assert not tokens.fits(tokens.mint("", "password"), "", "password")
    assert not tokens.fits("\ud800", "session", "password")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Mail.MIC.gov.vn:443", "mail.mic.gov.vn"), ("[::1]:8443", "[::1]"), ("[::1", None), ("", None),
        ("a.b.", "a.b."), ("evil@mail.mic.gov.vn", None), ("mail.mic.gov.vn:x", None), ("mail.mic.gov.vn:65536", None),
    ],
)  # fmt: skip
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    """Without its port; what is no name is none of ours."""
    assert name_of(host) == name
