"""What every command stands in: the language, the configuration, the directory.

`main` makes one `Frame` from the root options and puts it into the Typer context; a command takes it with `frame(ctx)`.
Nothing is read before a command asks for it, so `--help` and `init` work on a bare machine.
"""

import getpass
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mic_mail.clock import Clock, SystemClock
from mic_mail.errors import BadInput, Text, Trouble

if TYPE_CHECKING:  # imported when a command asks: `--help` and `init` need none of them
    from mic_mail.config.model import Config
    from mic_mail.directory.records import UnitRecord
    from mic_mail.directory.repository import Directory
    from mic_mail.directory.snapshot import Entry
    from mic_mail.log.audit import Audit
    from mic_mail.policy.roles import Officer, Right
    from mic_mail.storage.mailstore import MailStore

DEFAULT_CONFIG = Path("/etc/mic-mail/mic-mail.toml")
CONFIG_VARIABLE = "MIC_MAIL_CONFIG"


@dataclass
class Frame:
    """The surroundings of one run of the program."""

    config_path: Path
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def config(self) -> "Config":
        """The configuration file, read once; all its mistakes are reported together."""
        from mic_mail.config.load import load

        return load(self.config_path)

    @cached_property
    def directory(self) -> "Directory":
        """The directory of this configuration; refuses tables of another version."""
        from mic_mail.directory.looking import BRING_BACK
        from mic_mail.directory.repository import Directory

        directory = Directory(self._as_the_server().directory_url, clock=self.clock)
        if not self._has_tables(directory):
            raise Trouble(
                Text(
                    "Danh bạ chưa được tạo hoặc thuộc phiên bản khác.", "The directory is not made yet, or of another version."
                ),
                remedy=BRING_BACK,
            )
        return directory

    def entry(self, address: str) -> "Entry":
        """The mailbox of this address, with its facts."""
        return self.directory.entry(self.directory.mailbox(address).mailbox_id)

    def _as_the_server(self) -> "Config":
        """Become the server's account where root started the command: what root writes, the server could not."""
        from mic_mail.process import privileges

        server = self.config.server
        privileges.become(privileges.account(server.user, server.group))
        return self.config

    def _has_tables(self, directory: "Directory") -> bool:
        # SQLite would make an empty file of a name that was only mistyped.
        url = self.config.directory_url
        path = url.removeprefix("sqlite:///")
        return (path == url or os.path.exists(path)) and directory.is_current()

    @cached_property
    def store(self) -> "MailStore":
        """The mailboxes' store; safe beside a running server (its locks are between processes)."""
        from mic_mail.process.feed import tell_account_changed
        from mic_mail.storage.mailstore import MailStore

        config = self._as_the_server()

        def tell(account_id: int, modseq: int) -> None:
            tell_account_changed(config.run_dir, account_id, modseq)

        return MailStore(config.mail_root, clock=self.clock, host=config.server.hostname, on_change=tell)

    def tell_server(self) -> None:
        """Hint to a running server that the directory changed; without it the workers see it within two seconds."""
        from mic_mail.process.feed import tell_directory_changed

        tell_directory_changed(self.config.run_dir)

    @cached_property
    def audit(self) -> "Audit":
        """The log of administrative acts."""
        from mic_mail.log.audit import Audit

        return Audit(self._as_the_server().log_dir, clock=self.clock)

    def actor(self, named: str | None = None) -> str:
        """Who acts: as named, else the login behind sudo, else the login. It is recorded for ever: a blank is nobody."""
        if named is not None and not named.strip():
            raise BadInput(Text("--actor để trống.", "--actor is empty."))
        return named or self.login

    @property
    def login(self) -> str:
        """As whom the person sits at the machine; root by sudo is who typed it."""
        return os.environ.get("SUDO_USER") or getpass.getuser()

    def authorise(self, actor: str, right: "Right", unit: "UnitRecord | None" = None) -> "Officer | None":
        """Refuse what the actor's role does not allow (Reg. 6.1); `unit`: the one that it concerns, None: all of them.

        Who is an officer by his login acts under no other name; automation names an officer by --actor.
        """
        from mic_mail.policy import roles

        officers, now = self.directory.officers.all(), self.clock.now()
        if actor != self.login and roles.officer_of(officers, self.login, now) is not None:
            raise roles.NotAuthorised(
                Text(f"{self.login} không được ghi tên người khác.", "An officer acts under the own name."),
                clause=roles.CLAUSE,
                remedy=Text("Bỏ --actor.", "Leave out --actor."),
            )
        return roles.authorise(officers, actor, right, now, units=self._above(unit))

    def _above(self, unit: "UnitRecord | None") -> frozenset[int] | None:
        """The unit and those that it is part of."""
        if unit is None:
            return None
        units = {each.unit_id: each for each in self.directory.units()}
        found: set[int] = set()
        at: int | None = unit.unit_id
        while at is not None and at not in found:
            found.add(at)
            at = units[at].parent_id
        return frozenset(found)


def frame(ctx: typer.Context) -> Frame:
    """The frame that `main` put into this context."""
    found = ctx.find_object(Frame)
    assert found is not None, "main's callback runs before every command"
    return found
