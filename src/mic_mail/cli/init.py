"""`mic-mail init`: make a server: configuration file, folders, directory, certificate.

Asks for what was not given as a flag, or takes the defaults with `--yes`. Never overwrites: a file that is there is refused,
a directory or certificate that is there stays, so running it again after a mishap finishes what was begun.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.auth import passwords
from mic_mail.cli import output
from mic_mail.cli.frame import DEFAULT_CONFIG, frame
from mic_mail.cli.gate import open_to_all
from mic_mail.cli.officer import no_officer_yet
from mic_mail.cli.options import YesOption
from mic_mail.cli.output import say
from mic_mail.clock import Clock
from mic_mail.config import document
from mic_mail.config.load import ConfigErrors, load, parse
from mic_mail.config.model import Config
from mic_mail.directory import migrating  # noqa: F401  # loaded as root: it may lie where the server's account cannot read
from mic_mail.directory.repository import Directory
from mic_mail.errors import Refused, Text, Trouble, in_ascii
from mic_mail.i18n.system import reason as system_reason
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.policy.calendar import local_day
from mic_mail.process import privileges
from mic_mail.process.startup import make_folders
from mic_mail.services.operations.working_calendar import prefill

app = typer.Typer()

DEFAULTS = Config()


@app.command(
    help=say(
        "Tạo máy chủ mới: cấu hình, thư mục, danh bạ, chứng thư số.",
        "Make a server: configuration, folders, directory, certificate.",
    )
)
@open_to_all
def init(
    ctx: typer.Context,
    *,
    domain: Annotated[
        str | None, typer.Option("--domain", help=say("Tên miền của địa chỉ thư.", "Domain of the addresses."))
    ] = None,
    hostname: Annotated[str | None, typer.Option("--hostname", help=say("Tên máy chủ.", "Name of the server."))] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help=say("Thư mục dữ liệu.", "Folder of all data."))] = None,
    support: Annotated[
        str | None, typer.Option("--support", help=say("Hộp thư hỗ trợ của Trung tâm.", "The Centre's help desk address."))
    ] = None,
    ministry: Annotated[
        str | None, typer.Option("--ministry", help=say("Tên cơ quan chủ quản.", "Name of the ministry."))
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help=say("Tài khoản chạy máy chủ.", "Account to run as."))] = None,
    yes: YesOption = False,
) -> None:
    here = frame(ctx)
    path = here.config_path
    if os.path.exists(path):
        raise Refused(
            Text(f"Đã có {path}.", f"There is {in_ascii(path)} already."),
            remedy=Text("Sửa tệp đó, hoặc chọn tệp khác bằng --config.", "Edit that file, or name another one with --config."),
        )
    answers = {
        "server.domain": domain,
        "server.hostname": hostname,
        "server.data_dir": None if data_dir is None else str(data_dir),
        "regulation.support": support,
        "regulation.ministry": ministry,
        "server.user": user or DEFAULTS.server.user,
    }
    config = _settled(answers, path, asking=not yes)
    has_officers = make(config, path, here.clock)
    output.note(
        Text(
            f"Đã tạo {path} và {config.server.data_dir}. Việc tiếp theo:",
            f"Made {in_ascii(path)} and {in_ascii(config.server.data_dir)}. Next:",
        )
    )
    for number, step in enumerate(_next_steps(path, has_officers=has_officers), 1):
        output.note(Text(f"  {number}. {step.vi}", f"  {number}. {step.en}"))
    if not has_officers:
        output.note(no_officer_yet())


def _next_steps(path: Path, *, has_officers: bool) -> Iterator[Text]:
    """What is still to be done, in this order, before people can use the server."""
    command = "mic-mail" if path == DEFAULT_CONFIG else f"mic-mail --config {shlex.quote(str(path))}"
    yield Text(f"Xem lại {path}: các cổng ở mục [listen].", f"Read {in_ascii(path)}: the ports are in [listen].")
    if not has_officers:
        add = f"{command} officer add"
        yield Text(
            f'Ghi nhận cán bộ đầu tiên: {add} TÊN-ĐĂNG-NHẬP "HỌ TÊN" --role centre --document SỐ-QUYẾT-ĐỊNH',
            f'Enter the first officer: {in_ascii(add)} LOGIN "NAME" --role centre --document NUMBER',
        )
    yield Text(f"Chạy: {command} serve", f"Run: {in_ascii(command)} serve")
    yield Text(f"Khai báo tên miền: {command} dns records", f"Publish in the DNS: {in_ascii(command)} dns records")


QUESTIONS: Mapping[str, tuple[str, Text]] = {
    "server.domain": ("--domain", Text("Tên miền", "Domain")),
    "server.hostname": ("--hostname", Text("Tên máy chủ", "Host name")),
    "server.data_dir": ("--data-dir", Text("Thư mục dữ liệu", "Data folder")),
    "regulation.support": ("--support", Text("Hộp thư hỗ trợ", "Help desk")),
    "regulation.ministry": ("--ministry", Text("Tên cơ quan chủ quản", "Name of the ministry")),
    "server.user": ("--user", Text("Tài khoản chạy máy chủ", "Account to run as")),
}


def _settled(answers: dict[str, str | None], path: Path, *, asking: bool) -> Config:
    """The configuration that follows from the answers; who sits at a terminal is asked again for what is wrong."""
    while True:
        for key, answer in answers.items():
            if answer is None:
                default = _default(key)
                answers[key] = str(typer.prompt(output.told(QUESTIONS[key][1]), default=default)) if asking else default
        try:
            return _parsed(answers, path)
        except ConfigErrors as errors:
            wrong = {mistake.key for mistake in errors.mistakes}
            if not asking or not sys.stdin.isatty() or not wrong <= answers.keys():
                raise
            output.failure(errors)
            answers.update(dict.fromkeys(wrong))


def _default(key: str) -> str:
    node: object = DEFAULTS
    for name in key.split("."):
        node = getattr(node, name)
    return str(node)


def _parsed(answers: Mapping[str, str | None], path: Path) -> Config:
    """The same checks and the same words as for a file; a mistake has the option for its place."""
    lines = [f"{key} = {document.value(answer)}" for key, answer in answers.items()]
    try:
        return parse("\n".join(lines).encode(errors="surrogateescape"), path)
    except ConfigErrors as errors:
        placed = [replace(m, option=QUESTIONS[m.key][0]) if m.key in QUESTIONS else m for m in errors.mistakes]
        raise ConfigErrors(placed) from errors


def make(config: Config, path: Path, clock: Clock) -> bool:
    """Everything that `serve` needs; the configuration file last, so that its presence means that all is there.

    Whether officers are on record: a directory that was there already stays.
    """
    umask = os.umask(privileges.UMASK)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)  # a name that no file can have is told before anything is made
        owner = privileges.account(config.server.user, config.server.group)
        make_folders(config, owner)
        with _acting_as(owner):
            has_officers = _fill(config, clock)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            if owner is not None:  # root's to change, the server's to enter
                os.chown(path.parent, -1, owner.gid)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if owner is not None:  # root's to change, the server's to read
                os.fchown(descriptor, -1, owner.gid)
            file.write(document.write(config, output.language()))
    except OSError as error:
        where, why = str(error.filename), system_reason(error)
        raise Trouble(Text(f"Không tạo được {where}: {why.vi}.", f"{in_ascii(where)} cannot be made: {why.en}.")) from error
    finally:
        os.umask(umask)
    load(path)
    return has_officers


def _fill(config: Config, clock: Clock) -> bool:
    """What lies in the data folder from the first day; what is there already stays. Whether officers are on record."""
    directory = Directory(config.directory_url, clock=clock)
    directory.migrate()
    for name in config.domains:
        directory.add_domain(name)
    prefill(directory, local_day(clock.now()))
    has_officers = bool(directory.officers.all())
    directory.close()
    passwords.load_secret(config.server.data_dir / passwords.DECOY_KEY)
    if not (config.certificate.exists() and config.key.exists()):
        write_pair(config.certificate, config.key, self_signed([config.server.hostname], clock.now()))
    return has_officers


@contextlib.contextmanager
def _acting_as(owner: privileges.Account | None) -> Iterator[None]:
    """Be the server's account for a while, so that what is made is its own; then root again, who writes into /etc."""
    if owner is None:
        yield
        return
    uid, gid = os.geteuid(), os.getegid()
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
