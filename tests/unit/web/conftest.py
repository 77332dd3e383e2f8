"""A ministry's page on a real https port, and browsers that come to it (httpx keeps cookies as they do)."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from harness import MailServer, config_for, stopping
from population import PASSWORD
from waiting import wait_for

SETTINGS: dict[str, Any] = {"listen": {"doors": ("imaps", "submissions", "https", "http")}}
NEW = "bảy con vịt xiêm bơi ngang"


class Browser:
    """Somebody at the page."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.base = f"https://localhost:{server.ports['https']}"
        self.client = httpx.Client(base_url=self.base, verify=server.tls(), timeout=20, follow_redirects=False)
        self.page: httpx.Response

    def get(self, path: str, **how: Any) -> httpx.Response:
        self.page = self.client.get(path, **how)
        return self.page

    def token(self, action: str) -> str:
        """The token of the form on the last page that goes there."""
        form = re.search(rf'<form[^>]*action="{action}">\s*<input type="hidden" name="token" value="([^"]*)"', self.page.text)
        assert form is not None, self.page.text
        return form[1]

    def post(self, path: str, fields: dict[str, str], **how: Any) -> httpx.Response:
        """Send a form as a browser does, with the token that the last page had."""
        headers = {"origin": self.base, "sec-fetch-site": "same-origin", **how.pop("headers", {})}
        self.page = self.client.post(path, data={"token": self.token(path), **fields}, headers=headers, **how)
        return self.page

    def sign_in(self, local: str, password: str = PASSWORD) -> httpx.Response:
        self.get("/")
        return self.post("/sign-in", {"address": f"{local}@mic.gov.vn", "password": password})

    def signed_in(self, local: str, password: str = PASSWORD) -> "Browser":
        """Sign in, and go where that leads."""
        answer = self.sign_in(local, password)
        assert answer.status_code == 303, answer.text
        self.get(answer.headers["location"])
        return self

    def change(self, new: str, present: str = PASSWORD, again: str | None = None, **how: Any) -> httpx.Response:
        """The form on the page for it, which has to be the last one."""
        return self.post("/password", {"present": present, "new": new, "again": again or new}, **how)

    def close(self) -> None:
        self.client.close()


def logged(server: MailServer, wanted: str) -> list[dict[str, Any]]:
    """All events, once there is one of this name: lines are written a moment after they are told."""
    wait_for(lambda: any(event["event"] == wanted for event in server.events()), server.events)
    return server.events()


Open = Callable[[MailServer], Browser]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    """One server for a module; each test issues mailboxes of its own."""
    servers: list[MailServer] = []
    with stopping(servers):
        servers.append(MailServer(config_for(tmp_path_factory.mktemp("site"), SETTINGS)))
        yield servers[0]


@pytest.fixture
def browsers() -> Iterator[Open]:
    """Opens browsers, any number."""
    opened: list[Browser] = []

    def open_one(server: MailServer) -> Browser:
        opened.append(Browser(server))
        return opened[-1]

    yield open_one
    for browser in opened:
        browser.close()
