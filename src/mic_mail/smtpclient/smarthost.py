"""A smarthost, which relays all mail to other domains (RFC 5321 §2.3.10), and its password.

The password is in a file of the server's own account and is read for each connection; it is never in the configuration, a log
or a repr.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mic_mail.errors import Text, Trouble, in_ascii

IMPLICIT_PORT = 465
PASSWORD_OCTETS = 1_024


class NoPassword(Trouble):
    """The file has no usable password; the text gives the reason and none of the content."""


@dataclass(frozen=True, slots=True)
class Smarthost:
    """The address of the smarthost, and the credentials for it."""

    name: str
    port: int
    login: str = ""
    """Empty: no authentication."""
    password_file: Path | None = None
    authorities: Path | None = None
    """The trusted certificate authorities; None: those of the system."""
    needs_tls: bool = True
    is_implicit: bool = False
    """TLS from the first octet (RFC 8314 §3.3)."""

    @property
    def place(self) -> str:
        """The name of the smarthost as a destination."""
        return f"{self.name}:{self.port}" if ":" not in self.name else f"[{self.name}]:{self.port}"


def read_password(path: Path | None) -> str:
    """Return the password in the file, without its line end; `NoPassword` unless it is secret. Blocks."""
    if path is None:
        raise NoPassword(Text("chưa khai báo tệp mật khẩu", "no file is configured for it"))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise _unusable(path, "không phải tệp", "is not a file")
            if found.st_uid not in (os.geteuid(), 0):
                raise _unusable(path, "thuộc tài khoản khác", "belongs to another account")
            if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise _unusable(path, "người khác đọc hoặc ghi được; chmod 600", "can be read or written by others; chmod 600")
            octets = os.read(fd, PASSWORD_OCTETS + 1)
        finally:
            os.close(fd)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise _unusable(path, f"không đọc được: {why}", f"cannot be read: {why}") from error
    try:
        password = octets.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise _unusable(path, "không phải UTF-8", "is not UTF-8") from None
    if not password or len(octets) > PASSWORD_OCTETS or any(not char.isprintable() for char in password):
        raise _unusable(path, "không chứa đúng một mật khẩu trên một dòng", "does not hold one password on one line")
    return password


def _unusable(path: Path, vi: str, en: str) -> NoPassword:
    return NoPassword(Text(f"{path} {vi}", f"{in_ascii(path)} {en}"))
