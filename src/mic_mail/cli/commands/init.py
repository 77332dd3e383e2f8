"""`mic-mail init`: create a server: configuration file, folders, directory, certificate.

Asks at a terminal for what no option gives; with `--yes`, or without a terminal, takes the defaults. Never overwrites: an
existing configuration file is refused, an existing directory or certificate stays, so it can be run again after a failure.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.auth import password_hash
from mic_mail.cli import output
from mic_mail.cli.authorization import open_to_all
from mic_mail.cli.caller import knows_login
from mic_mail.cli.commands.officer import enter, no_officer_yet
from mic_mail.cli.context import CliContext
from mic_mail.cli.options import Commands, YesOption, option
from mic_mail.cli.output import say
from mic_mail.clock import Clock
from mic_mail.config import manual
from mic_mail.config.listeners import DOORS
from mic_mail.config.load import ConfigErrors, Mistake, load, parse
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import BadInput, MicMailError, Refused, Text, Trouble, in_ascii
from mic_mail.i18n.os_errors import reason as system_reason
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.policy.authorization.grounds import ActContext
from mic_mail.policy.authorization.roles import CLAUSE, Officer, OfficerRole, must_be_a_persons, must_be_known, tidy_login
from mic_mail.policy.calendar import local_day
from mic_mail.policy.naming.transliteration import tidy
from mic_mail.process import privileges
from mic_mail.process.startup import make_folders
from mic_mail.services.operations.working_calendar import prefill

app = Commands()

DEFAULTS = Config()

PORTS = "listen"
"""The answer that names ports; each becomes a setting of `[listen]`."""


@dataclass(frozen=True)
class ServerOptions:
    """The options about the server."""

    domain: Annotated[str | None, option("--domain", "Tên miền của địa chỉ thư.", "Domain of the addresses.")] = None
    hostname: Annotated[str | None, option("--hostname", "Tên máy chủ.", "Name of the server.")] = None
    data_dir: Annotated[Path | None, option("--data-dir", "Thư mục dữ liệu.", "Folder of all data.")] = None
    support: Annotated[str | None, option("--support", "Hộp thư hỗ trợ của Trung tâm.", "The Centre's help desk address.")] = (
        None
    )
    ministry: Annotated[str | None, option("--ministry", "Tên cơ quan chủ quản.", "Name of the ministry.")] = None
    user: Annotated[str | None, option("--user", "Tài khoản chạy máy chủ.", "Account to run as.")] = None
    port: Annotated[
        list[str] | None,
        option(
            "--port",
            "Cổng khác mặc định, ví dụ https=8443.",
            "A port other than the usual one, as https=8443.",
            metavar=say("CỔNG=SỐ", "NAME=NUMBER"),
        ),
    ] = None

    @property
    def account(self) -> str:
        return self.user or DEFAULTS.server.user

    def answers(self) -> dict[str, str | None]:
        """Return the answer to each question; None: still to be asked."""
        return {
            "server.domain": self.domain,
            "server.hostname": self.hostname,
            "server.data_dir": None if self.data_dir is None else str(self.data_dir),
            "regulation.support": self.support,
            "regulation.ministry": self.ministry,
            "server.user": self.account,
            PORTS: " ".join(self.port) if self.port else None,
        }


@dataclass(frozen=True)
class OfficerOptions:
    """The options about the first officer."""

    officer: Annotated[
        str | None,
        option("--officer", "Tài khoản của cán bộ quản trị đầu tiên.", "Login of the first officer.", metavar="LOGIN"),
    ] = None
    officer_name: Annotated[str | None, option("--officer-name", "Họ và tên cán bộ đó.", "The officer's full name.")] = None
    document: Annotated[
        str | None, option("--document", "Quyết định phân công cán bộ đó.", "The decision that appoints the officer.")
    ] = None


@app.command(
    "Tạo máy chủ mới: cấu hình, thư mục, danh bạ, chứng thư số.",
    "Create a server: configuration, folders, directory, certificate.",
)
@open_to_all()
def init(here: CliContext, *, server: ServerOptions, appointed: OfficerOptions, yes: YesOption = False) -> None:
    path, now = here.config_path, here.clock.now()
    _must_be_new(path)
    asking = not yes and sys.stdin.isatty()
    first = _named_officer(appointed, now, server.account)
    config = _settled(server.answers(), path, asking=asking)
    if asking and first is None:
        first = _ask_first_officer(now, config.server.user)
    has_officers = make(config, path, here.clock)
    _print_created(config, path)
    if first is not None and not has_officers:
        enter(here, first, ActContext(here.actor(), "", first.document))
        has_officers = True
    _print_next_steps(path, has_officers=has_officers)


def _must_be_new(path: Path) -> None:
    if os.path.exists(path):
        raise Refused(
            Text(f"Đã có {path}.", f"{in_ascii(path)} already exists."),
            remedy=Text("Sửa tệp đó, hoặc chọn tệp khác bằng --config.", "Edit that file, or name another one with --config."),
        )


def _named_officer(options: OfficerOptions, now: datetime, account: str) -> Officer | None:
    if not options.officer:
        return None
    return _first_officer(options.officer, options.officer_name, options.document, now, account)


def _first_officer(login: str, name: str | None, document: str | None, now: datetime, account: str) -> Officer:
    """Return the officer; refused, before anything is created, where nobody could sign in as that officer."""
    if not (name and name.strip() and document and document.strip()):
        raise BadInput(
            Text("--officer cần --officer-name và --document.", "--officer needs --officer-name and --document."), clause=CLAUSE
        )
    login = tidy_login(login)
    must_be_a_persons(login, account)
    must_be_known(login, knows_login)
    return Officer(login, tidy(name), OfficerRole.CENTRE, None, since=now, document=document.strip())


def _ask_first_officer(now: datetime, account: str) -> Officer | None:
    """Ask for the first officer until the answer is valid; None: later, by `officer add`."""
    while True:
        login = _ask(
            Text("Tài khoản của cán bộ quản trị đầu tiên (để trống: ghi nhận sau)", "Login of the first officer (empty: later)")
        )
        if not login.strip():
            return None
        name = _ask(Text("Họ và tên cán bộ", "The officer's full name"))
        document = _ask(Text("Quyết định phân công số", "Number of the decision that appoints the officer"))
        try:
            return _first_officer(login.strip(), name, document, now, account)
        except MicMailError as error:
            output.failure(error)


def _ask(question: Text, default: str = "") -> str:
    return str(typer.prompt(output.localized(question), default=default, show_default=bool(default)))


def _print_created(config: Config, path: Path) -> None:
    output.note(
        f"Đã tạo {path} và {config.server.data_dir}.", f"Created {in_ascii(path)} and {in_ascii(config.server.data_dir)}."
    )


def _print_next_steps(path: Path, *, has_officers: bool) -> None:
    output.note("Việc tiếp theo:", "Next:")
    for number, step in enumerate(_next_steps(path, has_officers=has_officers), 1):
        output.note(f"  {number}. {step.vi}", f"  {number}. {step.en}")
    if not has_officers:
        output.note(no_officer_yet())


def _next_steps(path: Path, *, has_officers: bool) -> Iterator[Text]:
    """Yield the steps still to be done, in this order, before people can use the server."""
    yield Text(f"Xem lại {path}.", f"Read {in_ascii(path)}.")
    if not has_officers:
        yield Text(
            'Ghi nhận cán bộ đầu tiên: mic-mail officer add TÊN-ĐĂNG-NHẬP "HỌ TÊN" --role trung-tâm --document SỐ-QUYẾT-ĐỊNH',
            'Enter the first officer: mic-mail officer add LOGIN "NAME" --role centre --document NUMBER',
        )
    yield Text("Kiểm tra máy và các cổng: mic-mail config check", "Check machine and ports: mic-mail config check")
    yield Text("Chạy: mic-mail serve", "Run: mic-mail serve")
    yield Text("Khai báo tên miền: mic-mail dns records", "Publish in the DNS: mic-mail dns records")


QUESTIONS: Mapping[str, tuple[str, Text]] = {
    "server.domain": ("--domain", Text("Tên miền", "Domain")),
    "server.hostname": ("--hostname", Text("Tên máy chủ", "Host name")),
    "server.data_dir": ("--data-dir", Text("Thư mục dữ liệu", "Data folder")),
    "regulation.support": ("--support", Text("Hộp thư hỗ trợ", "Help desk")),
    "regulation.ministry": ("--ministry", Text("Tên cơ quan chủ quản", "Name of the ministry")),
    "server.user": ("--user", Text("Tài khoản chạy máy chủ", "Account to run as")),
    PORTS: (
        "--port",
        Text("Cổng cần đổi, ví dụ https=8443 (để trống: như trên)", "Ports to change, as https=8443 (empty: as above)"),
    ),
}


def _settled(answers: dict[str, str | None], path: Path, *, asking: bool) -> Config:
    """Return the configuration of the answers; at a terminal, ask again for what is wrong."""
    while True:
        for key, answer in answers.items():
            if answer is None:
                if asking and key == PORTS:
                    usual = ", ".join(f"{door} {DEFAULTS.listen.port(door)}" for door in DOORS)
                    output.note(f"Các cổng: {usual}.", f"Ports: {usual}.")
                default = _default(key)
                answers[key] = _ask(QUESTIONS[key][1], default) if asking else default
        try:
            return _parsed(answers, path)
        except ConfigErrors as errors:
            wrong = {_question(mistake.key) for mistake in errors.mistakes}
            if not asking or not wrong <= answers.keys():
                raise
            output.failure(errors)
            answers.update(dict.fromkeys(wrong))


def _question(key: str) -> str:
    """Return the key of the answer that holds a setting."""
    return PORTS if key.startswith(f"{PORTS}.") else key


def _default(key: str) -> str:
    if key == PORTS:
        return ""
    node: object = DEFAULTS
    for name in key.split("."):
        node = getattr(node, name)
    return str(node)


def _parsed(answers: Mapping[str, str | None], path: Path) -> Config:
    """Parse the answers with the checks and messages for a file; a mistake names the option as its place."""
    lines = [f"{key} = {manual.value(answer)}" for key, answer in answers.items() if key != PORTS]
    try:
        ports = dict(_named_port(word, path) for word in (answers[PORTS] or "").replace(",", " ").split())
        lines += [f"{PORTS}.{door} = {number}" for door, number in ports.items()]
        return parse("\n".join(lines).encode(errors="surrogateescape"), path)
    except ConfigErrors as errors:
        placed = [
            replace(m, option=QUESTIONS[question][0]) if (question := _question(m.key)) in QUESTIONS else m
            for m in errors.mistakes
        ]
        raise ConfigErrors(placed) from errors


def _named_port(word: str, path: Path) -> tuple[str, int]:
    """Parse a port as it is typed: `https=8443`."""
    door, _, number = word.partition("=")
    if door not in DOORS or not (number.isascii() and number.isdigit()):
        known = ", ".join(DOORS)
        raise ConfigErrors(
            [
                Mistake(
                    path,
                    0,
                    PORTS,
                    Text(f"“{word}” không phải là cổng", f"{in_ascii(word)!r} is not a port"),
                    Text(f"Viết như https=8443. Tên các cổng: {known}.", f"Write it as https=8443. The names: {known}."),
                )
            ]
        )
    return door, int(number)


def make(config: Config, path: Path, clock: Clock) -> bool:
    """Create everything that `serve` needs; return whether officers are on record.

    The configuration file comes last, so that its presence means that all is there. An existing directory stays.
    """
    umask = os.umask(privileges.UMASK)
    try:
        owner = privileges.account(config.server.user, config.server.group)
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)  # a name that no file can have is refused before anything is created
        privileges.must_enter(owner, [path.parent])
        make_folders(config, owner)
        with privileges.acting_as(owner):
            has_officers = _fill(config, clock)
        _write(config, path, owner)
    except OSError as error:
        where, why = str(error.filename), system_reason(error)
        raise Trouble(Text(f"Không tạo được {where}: {why.vi}.", f"{in_ascii(where)} cannot be created: {why.en}.")) from error
    finally:
        os.umask(umask)
    load(path)
    return has_officers


def _write(config: Config, path: Path, owner: privileges.Account | None) -> None:
    """Write the file, and its folder where there is none: root may change it, the server read it."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        if owner is not None:
            os.chown(path.parent, -1, owner.gid)
            path.parent.chmod(0o750)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o640)
        if owner is not None:
            os.fchown(descriptor, -1, owner.gid)
        file.write(manual.write(config, output.language()))


def _fill(config: Config, clock: Clock) -> bool:
    """Create what the data folder lacks; return whether officers are on record."""
    directory = Directory(config.directory_url, clock=clock)
    directory.migrate()
    for name in config.domains:
        directory.add_domain(name)
    prefill(directory, local_day(clock.now()))
    has_officers = bool(directory.officers.all())
    directory.close()
    password_hash.load_secret(config.server.data_dir / password_hash.DECOY_KEY)
    if not (config.certificate.exists() and config.key.exists()):
        write_pair(config.certificate, config.key, self_signed([config.server.hostname], clock.now()))
    return has_officers
