"""A server that takes all mail to other domains and sends it on (RFC 5321 §2.3.10: a gateway's relay), and the password for it.

The password lies in a file of the server's own account and is read for each connection: in no configuration, log or repr.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

IMPLICIT_PORT = 465
PASSWORD_OCTETS = 1_024


class NoPassword(Exception):
    """The file has none that may be used; the text says why, and nothing of what is in it."""


@dataclass(frozen=True, slots=True)
class Smarthost:
    """Where it is, and who we are there."""

    name: str
    port: int
    login: str = ""
    """Empty: nobody signs in."""
    password_file: Path | None = None
    authorities: Path | None = None
    """Whose certificates are believed; None: the machine's."""
    needs_tls: bool = True
    is_implicit: bool = False
    """TLS from the first octet (RFC 8314 §3.3)."""

    @property
    def place(self) -> str:
        """Under this name it is a destination."""
        return f"{self.name}:{self.port}" if ":" not in self.name else f"[{self.name}]:{self.port}"


def read_password(path: Path | None) -> str:
    """What the file holds, without the end of its line; `NoPassword` where it is nobody's secret. Blocks."""
    if path is None:
        raise NoPassword("no file is named for it")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise NoPassword(f"{path} is no file")
            if found.st_uid not in (os.geteuid(), 0):
                raise NoPassword(f"{path} belongs to another account")
            if found.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                raise NoPassword(f"{path} can be read or written by others; chmod 600")
            octets = os.read(fd, PASSWORD_OCTETS + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise NoPassword(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error
    try:
        password = octets.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        raise NoPassword(f"{path} is not UTF-8") from None
    if not password or len(octets) > PASSWORD_OCTETS or any(not char.isprintable() for char in password):
        raise NoPassword(f"{path} does not hold one password on one line")
    return password
