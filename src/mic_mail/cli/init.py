"""`mic-mail init`: make a server: configuration file, folders, directory, certificate.

Asks for what was not given as a flag, or takes the defaults with `--yes`. Never overwrites: a file that is there is refused,
a directory or certificate that is there stays, so running it again after a mishap finishes what was begun.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mic_mail.auth import passwords
from mic_mail.cli import output
from mic_mail.cli.frame import frame
from mic_mail.cli.options import YesOption
from mic_mail.cli.output import say
from mic_mail.clock import Clock
from mic_mail.config import document
from mic_mail.config.load import load, parse
from mic_mail.config.model import Config
from mic_mail.directory.repository import Directory
from mic_mail.errors import Refused, Text, Trouble
from mic_mail.net.tls import self_signed, write_pair
from mic_mail.process import privileges
from mic_mail.process.startup import make_folders

app = typer.Typer()

DEFAULTS = Config()


@app.command(
    help=say(
        "Tạo máy chủ mới: cấu hình, thư mục, danh bạ, chứng thư.",
        "Make a server: configuration, folders, directory, certificate.",
    )
)
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
    user: Annotated[str | None, typer.Option("--user", help=say("Tài khoản chạy máy chủ.", "Account to run as."))] = None,
    yes: YesOption = False,
) -> None:
    here = frame(ctx)
    path = here.config_path
    if path.exists():
        raise Refused(
            Text(f"Đã có {path}.", f"There is {_ascii(path)} already."),
            remedy=Text("Sửa tệp đó, hoặc chọn tệp khác bằng --config.", "Edit that file, or name another one with --config."),
        )
    server = {
        "domain": _asked(yes, domain, say("Tên miền", "Domain"), DEFAULTS.server.domain),
        "hostname": _asked(yes, hostname, say("Tên máy chủ", "Host name"), DEFAULTS.server.hostname),
        "data_dir": _asked(yes, data_dir, say("Thư mục dữ liệu", "Data folder"), str(DEFAULTS.server.data_dir)),
        "user": user or DEFAULTS.server.user,
    }
    address = _asked(yes, support, say("Hộp thư hỗ trợ", "Help desk"), DEFAULTS.regulation.support)
    lines = ["[server]", *(f"{key} = {document.value(value)}" for key, value in server.items())]
    asked = "\n".join([*lines, "[regulation]", f"support = {document.value(address)}"])
    config = parse(asked.encode(), path)  # the same checks and the same words as for a file
    make(config, path, here.clock)
    output.note(
        Text(
            f"Đã tạo {path} và {config.server.data_dir}. Tiếp theo: xem lại tệp, rồi chạy `mic-mail serve`.",
            f"Made {_ascii(path)} and {_ascii(config.server.data_dir)}. Next: read the file, then run `mic-mail serve`.",
        )
    )


def _ascii(path: Path) -> str:
    return ascii(str(path))[1:-1]


def _asked(yes: bool, given: object, question: str, default: str) -> str:
    """What was given, else what the person types, else the default."""
    if given is not None:
        return str(given)
    return default if yes else str(typer.prompt(question, default=default))


def make(config: Config, path: Path, clock: Clock) -> None:
    """Everything that `serve` needs; the configuration file last, so that its presence means that all is there."""
    umask = os.umask(privileges.UMASK)
    try:
        owner = privileges.account(config.server.user, config.server.group)
        make_folders(config, owner)
        with _acting_as(owner):
            _fill(config, clock)
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
        raise Trouble(Text(f"Không tạo được: {error}.", f"Cannot be made: {ascii(str(error))[1:-1]}.")) from error
    finally:
        os.umask(umask)
    load(path)


def _fill(config: Config, clock: Clock) -> None:
    """What lies in the data folder from the first day; what is there already stays."""
    directory = Directory(config.directory_url, clock=clock)
    directory.migrate()
    for name in config.domains:
        directory.add_domain(name)
    directory.close()
    passwords.load_secret(config.server.data_dir / "decoy.key")
    if not (config.certificate.exists() and config.key.exists()):
        write_pair(config.certificate, config.key, self_signed([config.server.hostname], clock.now()))


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
