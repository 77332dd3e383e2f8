"""A directory with one mailbox in each state, and the sign-in of one worker over it: all real parts, a clock moved by hand."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mic_mail.clock import ManualClock
from mic_mail.config.auth import Auth
from mic_mail.config.model import Config, Server
from mic_mail.directory.records import MailboxRecord
from mic_mail.directory.repository import Directory
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.facts import Draft, FactKind, MailboxKind
from mic_mail.process.executors import Executors
from mic_mail.process.runtime import Runtime
from mic_mail.services.authentication.identity import Peer, TlsInfo
from mic_mail.services.authentication.second_factors import SecondFactors
from mic_mail.services.authentication.sign_in import SignInService
from mic_mail.services.authentication.web_sign_in import PageAccess
from mic_mail.services.mailboxes.credentials import set_password
from population import migrated
from runtimes import runtime

PASSWORD = "con mèo trèo cây cau"
START = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)  # 09:00 in Ha Noi
CHEAP = Auth(scram_in_tls13=True, argon2_memory=8 << 20, argon2_time=1)


@dataclass
class Events:
    """Keeps what the log was told."""

    lines: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def event(self, name: str, /, **fields: object) -> None:
        self.lines.append((name, fields))


@dataclass
class World:
    """Everything that a test of signing in touches."""

    config: Config
    clock: ManualClock
    directory: Directory
    log: Events
    executors: Executors
    access: SignInService
    runtime: Runtime
    present: list[Config]

    @property
    def page(self) -> PageAccess:
        """The sign-in of the password page, by the settings that the worker began with."""
        factors = SecondFactors(self.directory, self.config, self.clock)
        return PageAccess(self.runtime, self.access, factors)

    def reload(self, config: Config) -> None:
        """Reload with another configuration; the test's own stays as it is."""
        self.present[:] = [config]
        self.access.apply_reload()

    def add(self, local: str, *facts: Draft, password: str | None = PASSWORD) -> MailboxRecord:
        """A personal mailbox issued on 1 November, with a chosen password and then these facts."""
        address, issued = f"{local}@mic.gov.vn", datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
        record = MailboxRecord(0, MailboxKind.PERSONAL, address, f"mic.gov.vn/{local}", local, 1 << 30, None, None)
        mailbox = self.directory.issue_mailbox(record, Draft(FactKind.ISSUED, issued, "test", data={"address": address}))
        if password is not None:
            set_password(
                self.directory, self.config, mailbox, password, at=issued, origin=ActContext("test"), must_change=False
            )
        self.directory.append_facts(mailbox.mailbox_id, facts)
        return mailbox


def peer(address: str = "203.0.113.7", *, tls: bool = True, door: str = "imap") -> Peer:
    """Somebody at a door."""
    return Peer(
        address, 50_000, 993, door, TlsInfo("TLSv1.3", "x", {"tls-server-end-point": b"\1" * 32}) if tls else None, "S1"
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An empty directory and a sign-in over it; tests add mailboxes and refresh."""
    config = Config(server=Server(data_dir=tmp_path), auth=CHEAP)
    clock, log = ManualClock(START), Events()
    directory = migrated(config.directory_url, clock)
    directory.add_domain("mic.gov.vn")
    executors = Executors(io_threads=2, hash_threads=2)
    present = [config]
    parts = runtime(lambda: present[0], clock, log=log, executors=executors)
    access = SignInService(
        parts,
        directory=directory,
        snapshot=directory.load_snapshot(),
        decoy_key=b"k" * 32,
        digest_key=b"d" * 32,
        log_key=b"l" * 32,
        tell=lambda word: None,
    )
    yield World(config, clock, directory, log, executors, access, parts, present)
    executors.close()
    directory.close()
