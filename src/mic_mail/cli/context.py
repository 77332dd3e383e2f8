"""The context of a command: the language, the configuration, the directory, the actor.

`main` makes one `CliContext` from the root options; a command has it as a parameter of this type. Nothing is read before a
command needs it, so `--help` and `init` work on a bare machine.
"""

import os
import pwd
import shlex
import stat
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from unicodedata import normalize

import typer

from mic_mail.cli.caller import Caller
from mic_mail.clock import Clock, SystemClock
from mic_mail.errors import BadInput, MicMailError, Text, Trouble, in_ascii

if TYPE_CHECKING:  # imported when a command needs it: `--help` and `init` need none of them
    from mic_mail.config.model import Config
    from mic_mail.directory.records import UnitRecord
    from mic_mail.directory.repository import Directory
    from mic_mail.directory.snapshot import Entry
    from mic_mail.log.audit import Audit
    from mic_mail.policy.authorization.roles import Officer, Right
    from mic_mail.services.use_cases import UseCases
    from mic_mail.storage.mailstore import MailStore

    class Closable(Protocol):
        """Something that is closed in the end."""

        def close(self) -> None: ...

    U = TypeVar("U", bound=UseCases)
    C = TypeVar("C", bound=Closable)

DEFAULT_CONFIG = Path("/etc/mic-mail/mic-mail.toml")
CONFIG_VARIABLE = "MIC_MAIL_CONFIG"
ACTOR_VARIABLE = "MIC_MAIL_ACTOR"
CODE_VARIABLE = "MIC_MAIL_CODE"


@dataclass
class CliContext:
    """The context of one run of the program."""

    config_path: Path
    clock: Clock = field(default_factory=SystemClock)
    named: str | None = None
    """The officer for whom automation acts, where a command itself names none."""
    code: str | None = field(default=None, repr=False)
    """A code of the officer's second factor, given by a script."""
    caller: Caller = field(default_factory=Caller.of_this_process)
    officer: "Officer | None" = None
    """The officer for whom the command was admitted; None while no officer is on record."""
    _entered: bool = field(default=False, init=False)
    _opened: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    @property
    def program(self) -> str:
        """The program's name as the person types it, with the configuration where that is not the usual one."""
        return "mic-mail" if self.config_path == DEFAULT_CONFIG else f"mic-mail --config {shlex.quote(str(self.config_path))}"

    def close(self) -> None:
        """Close everything that the command has opened; a failure is safe to ignore."""
        with suppress(MicMailError, OSError):
            self._opened.close()

    @cached_property
    def config(self) -> "Config":
        """The configuration file, read once; all its mistakes are reported together."""
        from mic_mail.config.load import load

        return load(self.config_path)

    @cached_property
    def directory(self) -> "Directory":
        """The directory as the actor may see it: a unit's administrator finds the own unit and those below."""
        from mic_mail.policy.authorization.roles import OfficerRole, Right, units_below

        if not self._entered:  # a command that requires no right reads only what everybody may know
            self.enter(self.actor(), Right.READ, whole=True)
        officer = self.officer
        if officer is None or officer.role is not OfficerRole.UNIT:
            return self.whole_directory
        from mic_mail.directory.scoped import PartialDirectory

        below = officer.unit_id or 0
        part = PartialDirectory(self.whole_directory, lambda parents: units_below(parents, below))
        self._opened.callback(part.close)
        return part

    @cached_property
    def whole_directory(self) -> "Directory":
        """All of the directory; refuses tables of another version.

        For what a unit may know and cannot be found in its part alone.
        """
        from mic_mail.directory.records import BRING_BACK

        directory = self.directory_to_be()
        # SQLite would create an empty file for a mistyped name.
        path = self.config.directory_file
        if path is not None and not os.path.exists(path):
            raise Trouble(Text("Danh bạ chưa được tạo.", "The directory does not exist yet."), remedy=BRING_BACK)
        directory.must_be_current()
        return directory

    def directory_to_be(self) -> "Directory":
        """Return the directory of the configuration, whether there is one yet or not."""
        from mic_mail.directory.repository import Directory

        directory = Directory(self._as_the_server().directory_url, clock=self.clock)
        self._opened.callback(directory.close)
        return directory

    def entry(self, address: str) -> "Entry":
        """Return the mailbox of this address, with its facts."""
        return self.directory.entry(self.directory.mailbox(address).mailbox_id)

    def symbols(self) -> dict[int, str]:
        """Return the symbol of each unit that the actor may see, by its id."""
        return {unit.unit_id: unit.symbol for unit in self.directory.units()}

    def addresses(self) -> dict[int, str]:
        """Return the address of each mailbox that the actor may see, by its id."""
        return {mailbox.mailbox_id: mailbox.address for mailbox in self.directory.mailboxes()}

    def _as_the_server(self) -> "Config":
        """Switch from root to the server's account, which could not write to files that root creates."""
        from mic_mail.process import privileges

        server = self.config.server
        privileges.become(privileges.account(server.user, server.group))
        return self.config

    @cached_property
    def store(self) -> "MailStore":
        """The mailboxes' store; safe beside a running server (its locks are between processes)."""
        from mic_mail.process.change_feed import notify_account_changed
        from mic_mail.services.mail_store import OPEN_BY_COMMANDS, open_mail_store, prepare_mail_store

        config = self._as_the_server()

        def notify(account_id: int, modseq: int) -> None:
            notify_account_changed(config.run_dir, account_id, modseq)

        prepare_mail_store(config)  # the server may not have run yet
        store = open_mail_store(config, self.clock, open_accounts=OPEN_BY_COMMANDS, on_change=notify)
        self._opened.callback(store.close)
        return store

    def closed_at_end(self, part: "C") -> "C":
        """Close something at the end of the command."""
        self._opened.callback(part.close)
        return part

    def use_cases(self, kind: "type[U]") -> "U":
        """Return use cases on what the actor may see."""
        return kind.within(self)

    def notify_server(self) -> None:
        """Notify a running server of a directory change; otherwise workers notice it within two seconds."""
        from mic_mail.process.change_feed import notify_directory_changed

        notify_directory_changed(self.config.run_dir)

    @cached_property
    def audit(self) -> "Audit":
        """The log of administrative acts."""
        from mic_mail.log.audit import Audit

        return Audit(self._as_the_server().log_dir, clock=self.clock)

    # ------------------------------------------------------------ the actor

    def log_event(self, event: str, **fields: object) -> None:
        """Write an event beside an act to the mail log, durable when the call returns; from any thread."""
        from mic_mail.log.maillog import MailLog

        log = MailLog(self.config.log_dir, "cli", clock=self.clock, threaded=False)
        log.event(event, **fields)
        log.close()

    def actor(self, named: str | None = None) -> str:
        """Return the actor: as named, which is refused if empty, else the login of the person at the machine."""
        named = self.named if named is None else named
        if named is not None and not named.strip():
            raise BadInput(Text("--actor để trống.", "--actor is empty."))
        return self.login if named is None else normalize("NFC", named)

    @cached_property
    def login(self) -> str:
        """The login of the person at the machine; with sudo, of the person who typed it."""
        return normalize("NFC", self.caller.login(self._server_uid()))

    @cached_property
    def is_automatic(self) -> bool:
        """Return whether no person at the machine is behind this command."""
        return self.caller.is_automatic(self._server_uid())

    def behind(self, actor: str) -> dict[str, str]:
        """Return the login that named another one as the actor, for the record."""
        return {} if actor == self.login else {"login": self.login}

    def enter(self, actor: str, right: "Right", *, whole: bool) -> None:
        """Admit the actor for `right`, of the ministry or of a unit, which is then all that `directory` shows."""
        from mic_mail.policy.authorization import roles

        if whole:
            self.officer = self.authorise(actor, right)
        else:
            officers = self.whole_directory.officers.all()
            roles.must_not_pose(officers, self.login, actor, automatic=self.is_automatic)
            self.officer = roles.admit(officers, actor, right, self.clock.now(), automatic=self.is_automatic)
        self._entered = True

    def authorise(self, actor: str, right: "Right", unit: "UnitRecord | None" = None) -> "Officer | None":
        """Refuse what the actor's role does not allow (Reg. 6.1); return the officer.

        `unit` is the one that it concerns, None: all of them. A person at the machine acts under no other name; automation
        names an officer by --actor.
        """
        from mic_mail.policy.authorization import roles

        officers = self.whole_directory.officers.all()
        roles.must_not_pose(officers, self.login, actor, automatic=self.is_automatic)
        above = self._above(unit)
        return roles.authorise(officers, actor, right, self.clock.now(), units=above, automatic=self.is_automatic)

    @property
    def is_centre(self) -> bool:
        """Return whether the command was admitted for the Centre, or while no officer is on record."""
        from mic_mail.policy.authorization.roles import OfficerRole

        return self._entered and (self.officer is None or self.officer.role is OfficerRole.CENTRE)

    def must_be_the_servers(self) -> None:
        """Refuse a foreign configuration, which says where the records are, to borrowed powers (`sudo`)."""
        from mic_mail.policy.authorization.roles import CLAUSE, NotAuthorised

        if not self.caller.is_borrowed or not os.path.exists(self.config_path):
            return
        found = os.stat(self.config_path)
        if found.st_uid not in {0, self.caller.uid} or found.st_mode & stat.S_IWOTH:
            raise NotAuthorised(
                Text(
                    f"Tệp cấu hình {self.config_path} không thuộc máy chủ.",
                    f"The configuration does not belong to the server: {in_ascii(self.config_path)}.",
                ),
                clause=CLAUSE,
                remedy=Text("chown root; chmod o-w.", "chown root; chmod o-w."),
            )

    def _above(self, unit: "UnitRecord | None") -> frozenset[int] | None:
        """Return the ids of the unit and its superior units; None for all."""
        from mic_mail.policy.authorization.roles import units_above

        if unit is None:
            return None
        return units_above({each.unit_id: each.parent_id for each in self.whole_directory.units()}, unit.unit_id)

    def _server_uid(self) -> int | None:
        """Return the account that owns the server's data; None where no server tells it."""
        try:
            server = self.config.server
            return pwd.getpwnam(server.user).pw_uid if server.user else os.stat(server.data_dir).st_uid
        except (MicMailError, OSError, KeyError):
            return None


def frame(ctx: typer.Context) -> CliContext:
    """Return the context that `main` put into this Typer context."""
    found = ctx.find_object(CliContext)
    assert found is not None, "main's callback runs before every command"
    return found
