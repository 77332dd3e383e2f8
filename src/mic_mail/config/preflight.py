"""Check a valid configuration against this machine: the files, accounts and ports of its settings.

For `config check`; a start reports the same troubles one by one. Blocking, changes nothing.
"""

import contextlib
import grp
import os
import pwd
import ssl
import stat
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mic_mail.config.load import LARGEST_FILE
from mic_mail.config.model import Config, is_postgresql, ports_of_database
from mic_mail.errors import Text, in_ascii


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that does not fit this machine."""

    key: str
    reason: Text
    remedy: Text


def problems(config: Config) -> list[Problem]:
    """Return all problems that can be found without starting anything."""
    checks = (_account, _folders, certificate, _open_keys, _open_data, _database, _ports, _cleartext, _smarthost)
    return [problem for check in checks for problem in check(config)]


def _account(config: Config) -> Iterator[Problem]:
    known = {"user": pwd.getpwnam, "group": grp.getgrnam}
    for key, lookup in known.items():
        name = getattr(config.server, key)
        try:
            if name:
                lookup(name)
        except (KeyError, ValueError):  # ValueError: no account can have that name
            yield Problem(
                f"server.{key}",
                Text("không có trên máy này", "does not exist on this machine"),
                Text(f"Tạo bằng: useradd --system {name}", f"Create it: useradd --system {in_ascii(name)}"),
            )


def _folders(config: Config) -> Iterator[Problem]:
    folders = {
        "server.data_dir": config.server.data_dir,
        "server.run_dir": config.run_dir,
        "storage.mail_root": config.mail_root,
        "log.dir": config.log_dir,
    }
    for key, folder in folders.items():
        nearest = next(place for place in (folder, *folder.parents) if _exists(place))
        if not nearest.is_dir():
            yield Problem(
                key,
                Text(f"{nearest} không phải thư mục", f"{in_ascii(nearest)} is not a folder"),
                Text("Chọn chỗ khác.", "Choose another place."),
            )
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield Problem(
                key,
                Text(f"không ghi được vào {nearest}", f"{in_ascii(nearest)} cannot be written to by this account"),
                Text(
                    "Sửa quyền thư mục, hoặc chạy lệnh bằng tài khoản của máy chủ.",
                    "Change its mode, or run this as the server's account.",
                ),
            )


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:  # a parent folder is closed to this account, or the name is too long
        return False


def certificate(config: Config) -> Iterator[Problem]:
    """Yield certificates and keys that cannot be read or do not belong together."""
    yield from _pair("tls.", config.certificate, config.key)
    for pair in config.tls.more:
        yield from _pair("tls.more.", pair.certificate, pair.key)


def _pair(prefix: str, chain: Path, key: Path) -> Iterator[Problem]:
    for name, path in (("certificate", chain), ("key", key)):
        why = _no_small_file(path)
        if why is not None:
            yield Problem(
                prefix + name,
                Text(f"{path} {why.vi}", f"{in_ascii(path)} {why.en}"),
                Text("Tạo bằng `mic-mail init`, hoặc sửa đường dẫn.", "Create it with `mic-mail init`, or correct the path."),
            )
            return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password="")
    except (OSError, ValueError):  # OSError includes `ssl.SSLError`
        yield Problem(
            f"{prefix}key",
            Text("không phải khóa của chứng thư số này", "is not the key of this certificate"),
            Text("Đặt đúng cặp tệp PEM, khóa không mã hóa.", "Name a matching pair of PEM files, with an unencrypted key."),
        )


def _open_keys(config: Config) -> Iterator[Problem]:
    """Yield keys that others than the server's account and group may read.

    A start goes on with them: running the mail service is worth more. The housekeeper logs them (`certificate_key_open`).
    """
    keys = {"tls.key": config.key} | {f"tls.more.key {pair.key}": pair.key for pair in config.tls.more}
    for name, key in keys.items():
        with contextlib.suppress(OSError):
            if key.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                yield Problem(
                    name.partition(" ")[0],
                    Text(f"{key} người khác đọc hoặc ghi được", f"{in_ascii(key)} can be read or written by others"),
                    Text(
                        "Giao tệp cho tài khoản của máy chủ và đặt quyền 600.",
                        "Give it to the server's account, with mode 600.",
                    ),
                )


def _open_data(config: Config) -> Iterator[Problem]:
    """Yield private data of the server that other accounts can open."""
    data = config.server.data_dir
    files = [] if config.directory_file is None else [config.directory_file]
    private = (config.directory_dir, *files, config.dkim_dir, *sorted(data.glob("*.key")))
    wide = {config.log_dir: stat.S_IRWXO, **dict.fromkeys(private, stat.S_IRWXG | stat.S_IRWXO)}
    for file in files:
        if _exists(file) and data.absolute().is_relative_to(file.parent.absolute()):
            yield Problem(
                "directory.url",
                Text(
                    f"{file} nằm cùng thư mục với dữ liệu khác, nên mọi tiến trình mở được cả thư mục đó",
                    f"{in_ascii(file)} lies beside other data, so each process can open all of that folder",
                ),
                Text("Để danh bạ trong thư mục riêng, hoặc bỏ mục này.", "Keep it in a folder of its own, or leave this out."),
            )
    for path, others in wide.items():
        with contextlib.suppress(OSError):
            if (mode := path.stat().st_mode) & others:
                right = "700" if stat.S_ISDIR(mode) else "600"
                yield Problem(
                    "log.dir" if path == config.log_dir else "server.data_dir",
                    Text(f"{path} người khác mở được", f"{in_ascii(path)} can be opened by others"),
                    Text(f"chmod {right} {path}", f"chmod {right} {in_ascii(path)}"),
                )


def _smarthost(config: Config) -> Iterator[Problem]:
    """Yield a missing or open password file of the smarthost, and unreadable authorities."""
    password, authorities = config.sending.smarthost_password, config.sending.smarthost_ca
    if password is not None:
        why = _no_small_file(password)
        if why is None and password.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            why = Text("người khác đọc hoặc ghi được", "can be read or written by others")
        if why is not None:
            yield Problem(
                "sending.smarthost_password",
                Text(f"{password} {why.vi}", f"{in_ascii(password)} {why.en}"),
                Text("Giao tệp cho tài khoản của máy chủ và đặt quyền 600.", "Give it to the server's account, with mode 600."),
            )
    if authorities is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(authorities)
        except OSError:  # OSError includes `ssl.SSLError`
            yield Problem(
                "sending.smarthost_ca",
                Text(f"{authorities} không phải chứng thư số PEM", f"{in_ascii(authorities)} contains no certificates (PEM)"),
                Text("Đặt đúng tệp, hoặc bỏ mục này.", "Name the right file, or remove the setting."),
            )


def _no_small_file(path: Path) -> Text | None:
    """Return why `path` is no file that may be read whole; None where it is."""
    try:
        found = path.stat()
    except OSError:
        return Text("không đọc được", "cannot be read")
    if not stat.S_ISREG(found.st_mode):
        return Text("không phải là tệp", "is not a file")
    if found.st_size > LARGEST_FILE:
        return Text("quá lớn", "is too large")
    return None if os.access(path, os.R_OK) else Text("không đọc được", "cannot be read")


def _database(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the database of the mailboxes or of the directory, without connecting to it."""
    if config.storage.database is not None:
        yield from _postgresql("storage.database", config.storage.database)
    if config.directory.url is not None and is_postgresql(config.directory.url):
        yield from _postgresql("directory.url", config.directory.url)


def _postgresql(key: str, url: str) -> Iterator[Problem]:
    if find_spec("psycopg") is None:
        yield Problem(
            key,
            Text("thiếu trình điều khiển PostgreSQL", "the driver of PostgreSQL is not installed"),
            Text("Cài đặt: pip install 'mic-mail[cluster]'", "Install it: pip install 'mic-mail[cluster]'"),
        )
    try:
        ports_of_database(url)
    except ValueError:
        yield Problem(
            key,
            Text("không phải URL của PostgreSQL", "is not a URL of PostgreSQL"),
            Text("Ví dụ: postgresql://mic-mail@db.mic.gov.vn/mail", "For example: postgresql://mic-mail@db.mic.gov.vn/mail"),
        )
        return
    account = url.partition("://")[2].partition("/")[0].rpartition("@")[0]
    if ":" in account or "password=" in url:
        yield Problem(
            key,
            Text("có mật khẩu trong cấu hình", "has a password in the configuration"),
            Text("Để mật khẩu trong ~/.pgpass của tài khoản máy chủ.", "Keep it in ~/.pgpass of the server's account."),
        )


def _ports(config: Config) -> Iterator[Problem]:
    doors = defaultdict(list)
    for door in config.listen.doors:
        if config.listen.port(door):
            doors[config.listen.port(door)].append(door)
    for port, sharing in doors.items():
        for door in sharing[1:]:
            yield Problem(
                f"listen.{door}",
                Text(f"cổng {port} đã dùng cho {sharing[0]}", f"port {port} is already used by {sharing[0]}"),
                Text("Chọn cổng khác.", "Choose another port."),
            )


def _cleartext(config: Config) -> Iterator[Problem]:
    loopback = all(address in ("127.0.0.1", "::1") for address in config.listen.addresses)
    if config.auth.cleartext and not loopback:
        yield Problem(
            "auth.cleartext",
            Text("cho gửi mật khẩu không mã hóa qua mạng", "lets passwords be sent in the clear"),
            Text("Đặt false; true chỉ để thử trên 127.0.0.1.", "Set it to false; true is for tests on 127.0.0.1."),
        )
