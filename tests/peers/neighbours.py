"""Our server among the mail servers of others: one name server, one authority, and all of these programs that are installed."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import programs
from certificate_authority import Authority
from dns_server import NameServer, name_server
from harness import MailServer, config_for
from mic_mail.clock import Clock
from peers.base import Foreign, Place, free_port
from peers.broken_line import BadLine
from peers.exim import Exim
from peers.opensmtpd import OpenSmtpd
from peers.postfix import Postfix

KINDS: dict[str, type[Foreign]] = {"postfix": Postfix, "exim": Exim, "opensmtpd": OpenSmtpd}
ADDRESSES = {"postfix": "127.0.0.31", "exim": "127.0.0.32", "opensmtpd": "127.0.0.33"}
PASSWORD = "mat khau 2026 dung de thu"
ALL = tuple(KINDS)
EACH = [pytest.param(name, marks=pytest.mark.needs_tool(name)) for name in ALL]
"""For `parametrize`: where one is not installed, its tests are skipped."""


@dataclass
class Neighbours:
    """What runs."""

    folder: Path
    authority: Authority
    names: NameServer
    port: int
    """On which all others listen."""
    others: dict[str, Foreign]
    server: MailServer | None

    @property
    def ours(self) -> MailServer:
        assert self.server is not None
        return self.server

    def __getitem__(self, name: str) -> Foreign:
        """One of them, or the test is skipped."""
        if name not in self.others:
            programs.need(name)
            raise AssertionError(f"{name} is here, and was not wanted")
        return self.others[name]


@contextmanager
def neighbours(
    *wanted: str,
    settings: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    with_us: bool = True,
    home: int = 0,
    trusted: Path | None = None,
    through: BadLine | None = None,
) -> Iterator[Neighbours]:
    """`wanted`: of which programs; `home`, `trusted`: where another server of ours than this one is, and its certificate;
    `through`: the line by which they come to us."""
    port = free_port(*ADDRESSES.values())
    chosen = [name for name in wanted or ALL if not programs.missing(name)]
    for name in chosen:
        programs.need(name)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mic-mail-peers-")))
        folder.chmod(0o755)
        authority = Authority(folder / "ca")
        names = stack.enter_context(name_server(_zone()))
        server = None
        if with_us:
            more = {"dns": {"nameservers": (names.place,)}, "sending": {"port": port}}
            server = MailServer(config_for(folder / "ours", {**more, **(settings or {})}), clock)
            stack.callback(server.stop)
            home, trusted = server.ports["smtp"], server.config.certificate
        if through is not None:
            home = stack.enter_context(through.running(("127.0.0.1", home))).port
        if trusted is not None:  # they may not look into our folder
            trusted = Path(shutil.copy(trusted, folder / "trusted.pem"))
        others = {
            name: KINDS[name](Place(folder / name, ADDRESSES[name], port, home, authority, trusted=trusted)) for name in chosen
        }
        for each in others.values():
            stack.callback(each.stop)
            each.launch()
        for each in others.values():
            each.wait()
        yield Neighbours(folder, authority, names, port, others, server)


def _zone() -> dict[tuple[str, str], list[str]]:
    zone: dict[tuple[str, str], list[str]] = {("null.example", "MX"): ["0 ."]}
    for name, address in ADDRESSES.items():
        zone[f"{name}.example", "MX"] = [f"10 mx.{name}.example."]
        zone[f"mx.{name}.example", "A"] = [address]
    return zone
